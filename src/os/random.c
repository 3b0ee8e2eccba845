#include "os/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#include "base/result.h"

void hf_random(void *out, size_t len)
{
    uint8_t *at = out;
    while (len > 0) {
        ssize_t got = getrandom(at, len, 0);
        if (got < 0 && errno == EINTR)
            continue;
        HF_ASSERT(got > 0);
        at += got;
        len -= (size_t)got;
    }
}
