/* keys/file_key.h: one file's key, random, wrapped by its class key. Enclave in transit, filesystem while the file is open.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_FILE_KEY_H
#define HF_KEYS_FILE_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_FILE_KEY_LEN 32

struct hf_file_key {
    uint8_t bytes[HF_FILE_KEY_LEN];
};

static inline void hf_file_key_wipe(struct hf_file_key *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
