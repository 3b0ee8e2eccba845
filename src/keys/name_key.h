/* keys/name_key.h: AES-256-SIV key for the names in directories of one class. Enclave and filesystem, while the class is available.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_NAME_KEY_H
#define HF_KEYS_NAME_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_NAME_KEY_LEN 64

struct hf_name_key {
    uint8_t bytes[HF_NAME_KEY_LEN];
};

static inline void hf_name_key_wipe(struct hf_name_key *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
