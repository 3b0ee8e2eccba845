/* The cache of wrong passcodes: the same one again does not count twice [AT-3]. In memory alone, as tags under a key that is random per start. */
#include "enclave/enclave.h"

#pragma GCC poison memcmp strcpy sprintf

static void tag_of(const struct hf_enclave *e, const struct hf_passcode *passcode, uint8_t out[32])
{
    struct hf_span info = HF_SPAN(passcode->bytes, passcode->len);
    hf_kdf(HF_KDF_TRY_CACHE, e->cache_key, &info, 1, out, 32);
}

bool hf_cache_has(const struct hf_enclave *e, const struct hf_passcode *passcode)
{
    uint8_t tag[32];
    bool found = false;
    tag_of(e, passcode, tag);
    for (uint32_t i = 0; i < HF_TRY_CACHE_LEN && i < e->cache_count; i++)
        found |= hf_equal_ct(e->cache[i], tag, sizeof tag);
    hf_wipe(tag, sizeof tag);
    return found;
}

void hf_cache_put(struct hf_enclave *e, const struct hf_passcode *passcode)
{
    tag_of(e, passcode, e->cache[e->cache_count++ % HF_TRY_CACHE_LEN]);
}

void hf_cache_clear(struct hf_enclave *e)
{
    hf_wipe(e->cache, sizeof e->cache);
    e->cache_count = 0;
}
