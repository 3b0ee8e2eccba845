#include "crypto/kdf.h"

#include <sodium.h>

#include "base/result.h"
#include "keys/wipe.h"

#pragma GCC poison memcmp strcpy sprintf

void hf_kdf(enum hf_kdf_context context, const uint8_t key[32], const struct hf_span *info, size_t info_count, uint8_t *out, size_t out_len)
{
    static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "holdfast-kdf-v1"; /* the NUL is the last byte */
    const uint8_t salt[crypto_generichash_blake2b_SALTBYTES] = {(uint8_t)(unsigned)context, (uint8_t)((unsigned)context >> 8)};
    HF_ASSERT(context > 0 && context <= UINT16_MAX);
    HF_ASSERT(out_len >= crypto_generichash_blake2b_BYTES_MIN && out_len <= crypto_generichash_blake2b_BYTES_MAX);

    crypto_generichash_blake2b_state state;
    HF_ASSERT(crypto_generichash_blake2b_init_salt_personal(&state, key, 32, out_len, salt, personal) == 0);
    for (size_t i = 0; i < info_count; i++) {
        if (info[i].len > 0)
            HF_ASSERT(crypto_generichash_blake2b_update(&state, info[i].data, info[i].len) == 0);
    }
    HF_ASSERT(crypto_generichash_blake2b_final(&state, out, out_len) == 0);
    hf_wipe(&state, sizeof state);
}
