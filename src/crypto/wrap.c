#include "crypto/wrap.h"

#include <sodium.h>

#include "crypto/committed.h"
#include "keys/wipe.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

_Static_assert(HF_WRAP_OVERHEAD == HF_COMMITTED_OVERHEAD, "a wrap is one committed message");

static void derive(enum hf_kdf_context context, const uint8_t key[32], const uint8_t nonce[HF_COMMITTED_NONCE_LEN], struct hf_committed_key *ret)
{
    const struct hf_span info[] = {HF_SPAN(nonce, HF_COMMITTED_NONCE_LEN)};
    hf_kdf(context, key, info, 1, (uint8_t *)ret, sizeof *ret);
}

enum hf_result hf_crypto_start(void)
{
    return sodium_init() < 0 ? HF_FAILED : HF_OK;
}

void hf_wrap(enum hf_kdf_context context, const uint8_t key[32], struct hf_span aad, struct hf_span plain, uint8_t *out)
{
    uint8_t nonce[HF_COMMITTED_NONCE_LEN];
    struct hf_committed_key derived;
    hf_random(nonce, sizeof nonce);
    derive(context, key, nonce, &derived);
    hf_committed_seal(&derived, nonce, aad, plain, out);
    hf_wipe(&derived, sizeof derived);
}

enum hf_result hf_unwrap(enum hf_kdf_context context, const uint8_t key[32], struct hf_span aad, struct hf_span wrapped, uint8_t *out)
{
    if (wrapped.len < HF_WRAP_OVERHEAD)
        return HF_DAMAGED;
    struct hf_committed_key derived;
    derive(context, key, wrapped.data, &derived);
    bool opened = hf_committed_open(&derived, aad, wrapped, out);
    hf_wipe(&derived, sizeof derived);
    return opened ? HF_OK : HF_DAMAGED;
}
