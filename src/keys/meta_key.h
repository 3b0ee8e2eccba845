/* keys/meta_key.h: authenticates headers' changeable part, directory records and evidence of a class. Enclave and filesystem, from the first unlock until the vault
 * goes back to before it; that of class always from the start to the close.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_META_KEY_H
#define HF_KEYS_META_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_META_KEY_LEN 32

struct hf_meta_key {
    uint8_t bytes[HF_META_KEY_LEN];
};

static inline void hf_meta_key_wipe(struct hf_meta_key *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
