/* keys/kek_half.h: B, the second half of Argon2id's output; never leaves the enclave.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_KEK_HALF_H
#define HF_KEYS_KEK_HALF_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_KEK_HALF_LEN 32

struct hf_kek_half {
    uint8_t bytes[HF_KEK_HALF_LEN];
};

static inline void hf_kek_half_wipe(struct hf_kek_half *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
