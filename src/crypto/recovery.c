/* The box for the phrase: ephemeral public key 32 || committed message (crypto/committed.h). The phrase itself is in phrase.c. */
#include "crypto/recovery.h"

#include <sodium.h>

#include "crypto/committed.h"
#include "crypto/kdf.h"
#include "keys/wipe.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { PUBLIC_LEN = HF_RECOVERY_PUBLIC_LEN };
_Static_assert(PUBLIC_LEN + HF_COMMITTED_OVERHEAD == HF_RECOVERY_BOX_OVERHEAD, "the overhead is on disk");

/* KDF(X25519(scalar, peer), ephemeral || recovery). HF_DAMAGED when peer is a point of low order: the shared secret would be a constant. */
static enum hf_result agree(const uint8_t scalar[32], const uint8_t peer[PUBLIC_LEN], const uint8_t ephemeral[PUBLIC_LEN],
                            const uint8_t recovery[PUBLIC_LEN], struct hf_committed_key *ret)
{
    uint8_t shared[crypto_scalarmult_BYTES];
    bool agreed = crypto_scalarmult(shared, scalar, peer) == 0;
    if (agreed) {
        const struct hf_span info[] = {HF_SPAN(ephemeral, PUBLIC_LEN), HF_SPAN(recovery, PUBLIC_LEN)};
        hf_kdf(HF_KDF_RECOVERY_KEY, shared, info, 2, (uint8_t *)ret, sizeof *ret);
    }
    hf_wipe(shared, sizeof shared);
    return agreed ? HF_OK : HF_DAMAGED;
}

static void derive_scalar(const struct hf_recovery_secret *secret, const uint8_t vault_id[16], uint8_t ret_scalar[32])
{
    const struct hf_span info[] = {HF_SPAN(vault_id, 16)};
    hf_kdf(HF_KDF_RECOVERY_SEED, secret->bytes, info, 1, ret_scalar, 32);
}

void hf_recovery_public(const struct hf_recovery_secret *secret, const uint8_t vault_id[16], uint8_t ret_public[HF_RECOVERY_PUBLIC_LEN])
{
    uint8_t scalar[32];
    derive_scalar(secret, vault_id, scalar);
    HF_ASSERT(crypto_scalarmult_base(ret_public, scalar) == 0);
    hf_wipe(scalar, sizeof scalar);
}

enum hf_result hf_recovery_seal(const uint8_t public_key[HF_RECOVERY_PUBLIC_LEN], struct hf_span aad, struct hf_span plain, uint8_t *out)
{
    uint8_t scalar[32];
    uint8_t ephemeral[PUBLIC_LEN];
    struct hf_committed_key key;
    hf_random(scalar, sizeof scalar);
    HF_ASSERT(crypto_scalarmult_base(ephemeral, scalar) == 0);
    enum hf_result result = agree(scalar, public_key, ephemeral, public_key, &key);
    hf_wipe(scalar, sizeof scalar);
    if (result != HF_OK)
        return result;
    uint8_t nonce[HF_COMMITTED_NONCE_LEN];
    hf_random(nonce, sizeof nonce);
    memcpy(out, ephemeral, PUBLIC_LEN);
    hf_committed_seal(&key, nonce, aad, plain, out + PUBLIC_LEN);
    hf_wipe(&key, sizeof key);
    return HF_OK;
}

enum hf_result hf_recovery_open(const struct hf_recovery_secret *secret, const uint8_t vault_id[16], struct hf_span aad, struct hf_span box,
                                uint8_t *out)
{
    if (box.len < HF_RECOVERY_BOX_OVERHEAD)
        return HF_DAMAGED;
    uint8_t scalar[32];
    uint8_t recovery[PUBLIC_LEN];
    struct hf_committed_key key;
    derive_scalar(secret, vault_id, scalar);
    HF_ASSERT(crypto_scalarmult_base(recovery, scalar) == 0);
    enum hf_result result = agree(scalar, box.data, box.data, recovery, &key);
    hf_wipe(scalar, sizeof scalar);
    if (result != HF_OK)
        return result;
    bool opened = hf_committed_open(&key, aad, HF_SPAN(box.data + PUBLIC_LEN, box.len - PUBLIC_LEN), out);
    hf_wipe(&key, sizeof key);
    return opened ? HF_OK : HF_DAMAGED;
}
