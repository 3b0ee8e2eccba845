/* keys/element_auth.h: A, the element's authorisation: the first half of Argon2id's output. Enclave and element, in transit.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_ELEMENT_AUTH_H
#define HF_KEYS_ELEMENT_AUTH_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_ELEMENT_AUTH_LEN 32

struct hf_element_auth {
    uint8_t bytes[HF_ELEMENT_AUTH_LEN];
};

static inline void hf_element_auth_wipe(struct hf_element_auth *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
