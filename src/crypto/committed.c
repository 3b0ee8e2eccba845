#include "crypto/committed.h"

#include <sodium.h>

#include "base/result.h"
#include "keys/wipe.h"

#pragma GCC poison memcmp strcpy sprintf

enum { TAG_LEN = crypto_aead_xchacha20poly1305_ietf_ABYTES, COMMITMENT_LEN = sizeof((struct hf_committed_key *)0)->commitment };
_Static_assert(HF_COMMITTED_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "XChaCha's nonce");
_Static_assert(HF_COMMITTED_NONCE_LEN + TAG_LEN + COMMITMENT_LEN == HF_COMMITTED_OVERHEAD, "the overhead is on disk");
_Static_assert(sizeof(struct hf_committed_key) == 64, "one KDF output");

void hf_committed_seal(const struct hf_committed_key *key, const uint8_t nonce[HF_COMMITTED_NONCE_LEN], struct hf_span aad, struct hf_span plain,
                       uint8_t *out)
{
    uint8_t *sealed = out + HF_COMMITTED_NONCE_LEN;
    memmove(out, nonce, HF_COMMITTED_NONCE_LEN);
    unsigned long long len = 0;
    HF_ASSERT(crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &len, plain.data, plain.len, aad.data, aad.len, NULL, out, key->aead) == 0);
    HF_ASSERT(len == plain.len + TAG_LEN);
    memcpy(sealed + len, key->commitment, COMMITMENT_LEN);
}

bool hf_committed_open(const struct hf_committed_key *key, struct hf_span aad, struct hf_span sealed, uint8_t *out)
{
    HF_ASSERT(sealed.len >= HF_COMMITTED_OVERHEAD);
    size_t len = sealed.len - HF_COMMITTED_OVERHEAD;
    const uint8_t *nonce = sealed.data;
    const uint8_t *ciphertext = nonce + HF_COMMITTED_NONCE_LEN;
    const uint8_t *tag = ciphertext + len;
    if (!hf_equal_ct(key->commitment, tag + TAG_LEN, COMMITMENT_LEN))
        return false;
    /* Verified first, then decrypted: libsodium zeroes its output on failure, and out is the caller's until we succeed. */
    if (crypto_aead_xchacha20poly1305_ietf_decrypt_detached(NULL, NULL, ciphertext, len, tag, aad.data, aad.len, nonce, key->aead) != 0)
        return false;
    return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(out, NULL, ciphertext, len, tag, aad.data, aad.len, nonce, key->aead) == 0;
}
