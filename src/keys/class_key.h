/* keys/class_key.h: a protection class's key: wraps file keys, yields name keys. Enclave only; gone when its class is locked.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_CLASS_KEY_H
#define HF_KEYS_CLASS_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_CLASS_KEY_LEN 32

struct hf_class_key {
    uint8_t bytes[HF_CLASS_KEY_LEN];
};

static inline void hf_class_key_wipe(struct hf_class_key *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
