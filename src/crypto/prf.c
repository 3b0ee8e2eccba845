#include "crypto/prf.h"

#include <sodium.h>
#include <string.h>

#include "base/result.h"

#pragma GCC poison memcmp strcpy sprintf

_Static_assert(crypto_shorthash_siphashx24_KEYBYTES == HF_PRF_KEY_LEN && crypto_shorthash_siphashx24_BYTES == 16, "SipHash-2-4-128");

void hf_prf(const uint8_t key[HF_PRF_KEY_LEN], uint8_t domain, const struct hf_span *pieces, unsigned count, uint64_t ret[2])
{
    uint8_t input[HF_PRF_INPUT_MAX], out[16];
    size_t len = 1;
    input[0] = domain;
    for (unsigned i = 0; i < count; i++) {
        HF_ASSERT(pieces[i].len <= sizeof input - len);
        if (pieces[i].len > 0)
            memcpy(input + len, pieces[i].data, pieces[i].len);
        len += pieces[i].len;
    }
    HF_ASSERT(crypto_shorthash_siphashx24(out, input, len, key) == 0);
    for (unsigned half = 0; half < 2; half++) {
        ret[half] = 0;
        for (unsigned i = 0; i < 8; i++)
            ret[half] |= (uint64_t)out[8 * half + i] << (8 * i);
    }
}
