/* keys/passcode.h: the owner's passcode in transit, UTF-8. CLI (as typed) and enclave (after NFKC).
 *
 * At most HF_PASSCODE_MAX bytes; no NUL. Lives in locked memory and is wiped when the request that brought it ends. */
#ifndef HF_KEYS_PASSCODE_H
#define HF_KEYS_PASSCODE_H

#include <stddef.h>
#include <stdint.h>

#include "keys/wipe.h"

#define HF_PASSCODE_MAX 1024

struct hf_passcode {
    size_t len;
    uint8_t bytes[HF_PASSCODE_MAX];
};

static inline void hf_passcode_wipe(struct hf_passcode *passcode)
{
    hf_wipe(passcode, sizeof *passcode);
}

#endif
