/* keys/duress_auth.h: Q's authorisation, made from A of the duress passcode (or random, where none is set: nobody can tell). Enclave and element, in transit;
 * at rest in the keybag's user section.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. Source: spec/51-duress.md [DU-2]. */
#ifndef HF_KEYS_DURESS_AUTH_H
#define HF_KEYS_DURESS_AUTH_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_DURESS_AUTH_LEN 32

struct hf_duress_auth {
    uint8_t bytes[HF_DURESS_AUTH_LEN];
};

static inline void hf_duress_auth_wipe(struct hf_duress_auth *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
