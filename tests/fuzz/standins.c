/* Under every target: randomness that is the same each run, and a disk that is never waited for. */
#include <stdint.h>
#include <unistd.h>

#include "os/random.h"

void hf_random(void *out, size_t len)
{
    static uint64_t state = 88172645463325252u;
    for (size_t i = 0; i < len; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((uint8_t *)out)[i] = (uint8_t)(state >> 24);
    }
}

int fsync(int fd)
{
    (void)fd;
    return 0;
}

int fdatasync(int fd)
{
    (void)fd;
    return 0;
}
