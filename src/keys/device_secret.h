/* keys/device_secret.h: D, given by the element without a passcode. Element and enclave.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_DEVICE_SECRET_H
#define HF_KEYS_DEVICE_SECRET_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_DEVICE_SECRET_LEN 32

struct hf_device_secret {
    uint8_t bytes[HF_DEVICE_SECRET_LEN];
};

static inline void hf_device_secret_wipe(struct hf_device_secret *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
