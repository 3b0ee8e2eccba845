/* keys/page_key.h: KDF(file key, generation): AES-256-GCM key of a file's pages. Filesystem.
 *
 * Held by pointer, in locked memory (or on the enclave's locked stack), wiped on every path. */
#ifndef HF_KEYS_PAGE_KEY_H
#define HF_KEYS_PAGE_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_PAGE_KEY_LEN 32

struct hf_page_key {
    uint8_t bytes[HF_PAGE_KEY_LEN];
};

static inline void hf_page_key_wipe(struct hf_page_key *key)
{
    hf_wipe(key, sizeof *key);
}

#endif
