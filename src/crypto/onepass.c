#include "crypto/onepass.h"

#include <sodium.h>

#include "crypto/kdf.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { PUBLIC_LEN = HF_ONEPASS_PUBLIC_LEN, COMMITMENT_LEN = 24, TAG_LEN = crypto_aead_xchacha20poly1305_ietf_ABYTES };
enum { COMMITMENT_AT = PUBLIC_LEN, TEXT_AT = COMMITMENT_AT + COMMITMENT_LEN, TAG_AT = TEXT_AT + HF_FILE_KEY_LEN };
_Static_assert(TAG_AT + TAG_LEN == HF_ONEPASS_WRAP_LEN, "the wrap is on disk");

static const uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

struct once {
    uint8_t aead[32];
    uint8_t commitment[COMMITMENT_LEN];
};

/* HF_DAMAGED when peer is a point of low order: the shared secret would be a constant. */
static enum hf_result agree(const uint8_t scalar[32], const uint8_t peer[PUBLIC_LEN], const uint8_t ephemeral[PUBLIC_LEN], const uint8_t recipient[PUBLIC_LEN],
                            struct once *ret)
{
    uint8_t shared[crypto_scalarmult_BYTES];
    bool agreed = crypto_scalarmult(shared, scalar, peer) == 0;
    if (agreed) {
        const struct hf_span info[] = {HF_SPAN(ephemeral, PUBLIC_LEN), HF_SPAN(recipient, PUBLIC_LEN)};
        hf_kdf(HF_KDF_ONEPASS, shared, info, 2, (uint8_t *)ret, sizeof *ret);
    }
    hf_wipe(shared, sizeof shared);
    return agreed ? HF_OK : HF_DAMAGED;
}

void hf_onepass_public(const struct hf_class_key *private_half, uint8_t ret_public[HF_ONEPASS_PUBLIC_LEN])
{
    HF_ASSERT(crypto_scalarmult_base(ret_public, private_half->bytes) == 0);
}

enum hf_result hf_onepass_seal_with(const uint8_t scalar[32], const uint8_t recipient[HF_ONEPASS_PUBLIC_LEN], struct hf_span aad, const struct hf_file_key *key,
                                    uint8_t out[HF_ONEPASS_WRAP_LEN])
{
    uint8_t ephemeral[PUBLIC_LEN];
    struct once once;
    HF_ASSERT(crypto_scalarmult_base(ephemeral, scalar) == 0);
    HF_TRY(agree(scalar, recipient, ephemeral, recipient, &once));
    memcpy(out, ephemeral, PUBLIC_LEN);
    memcpy(out + COMMITMENT_AT, once.commitment, COMMITMENT_LEN);
    HF_ASSERT(crypto_aead_xchacha20poly1305_ietf_encrypt_detached(out + TEXT_AT, out + TAG_AT, NULL, key->bytes, sizeof key->bytes, aad.data, aad.len, NULL, nonce,
                                                                  once.aead) == 0);
    hf_wipe(&once, sizeof once);
    return HF_OK;
}

enum hf_result hf_onepass_seal(const uint8_t recipient[HF_ONEPASS_PUBLIC_LEN], struct hf_span aad, const struct hf_file_key *key, uint8_t out[HF_ONEPASS_WRAP_LEN])
{
    uint8_t scalar[32];
    hf_random(scalar, sizeof scalar);
    enum hf_result result = hf_onepass_seal_with(scalar, recipient, aad, key, out);
    hf_wipe(scalar, sizeof scalar);
    return result;
}

enum hf_result hf_onepass_open(const struct hf_class_key *private_half, struct hf_span aad, const uint8_t wrap[HF_ONEPASS_WRAP_LEN], struct hf_file_key *ret)
{
    uint8_t recipient[PUBLIC_LEN];
    struct hf_file_key key;
    struct once once;
    hf_onepass_public(private_half, recipient);
    HF_TRY(agree(private_half->bytes, wrap, wrap, recipient, &once));
    bool opened = hf_equal_ct(once.commitment, wrap + COMMITMENT_AT, COMMITMENT_LEN) &&
                  crypto_aead_xchacha20poly1305_ietf_decrypt_detached(key.bytes, NULL, wrap + TEXT_AT, sizeof key.bytes, wrap + TAG_AT, aad.data, aad.len, nonce,
                                                                      once.aead) == 0;
    hf_wipe(&once, sizeof once);
    if (opened)
        *ret = key;
    hf_file_key_wipe(&key);
    return opened ? HF_OK : HF_DAMAGED;
}
