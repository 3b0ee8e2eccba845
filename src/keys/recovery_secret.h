/* keys/recovery_secret.h: the 256 bits behind the recovery phrase. Enclave in transit; shown once to the owner by the CLI.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_RECOVERY_SECRET_H
#define HF_KEYS_RECOVERY_SECRET_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_RECOVERY_SECRET_LEN 32

struct hf_recovery_secret {
    uint8_t bytes[HF_RECOVERY_SECRET_LEN];
};

static inline void hf_recovery_secret_wipe(struct hf_recovery_secret *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
