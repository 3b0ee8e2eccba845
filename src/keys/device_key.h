/* keys/device_key.h: KDF(D): unwraps the device section of the keybag and authenticates the file. Enclave only.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_DEVICE_KEY_H
#define HF_KEYS_DEVICE_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_DEVICE_KEY_LEN 32

struct hf_device_key {
    uint8_t bytes[HF_DEVICE_KEY_LEN];
};

static inline void hf_device_key_wipe(struct hf_device_key *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
