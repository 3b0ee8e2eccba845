/* keys/release_secret.h: S, given by the element for the right A alone. Element and enclave, in transit.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_RELEASE_SECRET_H
#define HF_KEYS_RELEASE_SECRET_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_RELEASE_SECRET_LEN 32

struct hf_release_secret {
    uint8_t bytes[HF_RELEASE_SECRET_LEN];
};

static inline void hf_release_secret_wipe(struct hf_release_secret *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
