/* keys/index_key.h: seals the freshness index's records, and hides and binds what its entries say. Filesystem alone; random, wrapped under a class's metadata key in the index file.
 *
 * Held by pointer, in locked memory, wiped on every path. */
#ifndef HF_KEYS_INDEX_KEY_H
#define HF_KEYS_INDEX_KEY_H

#include <stdint.h>

#include "keys/wipe.h"

#define HF_INDEX_KEYS_LEN 48

struct hf_index_keys {
    uint8_t seal[32]; /* a file's own */
    uint8_t prf[16];  /* stays when the file is written anew */
};

static inline void hf_index_keys_wipe(struct hf_index_keys *keys)
{
    hf_wipe(keys, sizeof *keys);
}

#endif
