/* keys/kek.h: KEK = KDF(S, B, vault id): unwraps the user section of the keybag. Enclave only, for the length of one request.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_KEK_H
#define HF_KEYS_KEK_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_KEK_LEN 32

struct hf_kek {
    uint8_t bytes[HF_KEK_LEN];
};

static inline void hf_kek_wipe(struct hf_kek *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
