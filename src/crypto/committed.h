/* crypto/committed.h: inside crypto/ only: the committing AEAD that wrap.c and recovery.c share.
 *
 * sealed = nonce 24 || ciphertext || tag 16 || commitment 32; key and commitment come out of one KDF call. XChaCha20-Poly1305 (libsodium). */
#ifndef HF_CRYPTO_COMMITTED_H
#define HF_CRYPTO_COMMITTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#define HF_COMMITTED_NONCE_LEN 24
#define HF_COMMITTED_OVERHEAD 72

/* One 64-byte output of hf_kdf. The caller wipes it. */
struct hf_committed_key {
    uint8_t aead[32];
    uint8_t commitment[32];
};

/* out: plain.len + HF_COMMITTED_OVERHEAD. nonce may lie at out's start already. */
void hf_committed_seal(const struct hf_committed_key *key, const uint8_t nonce[HF_COMMITTED_NONCE_LEN], struct hf_span aad, struct hf_span plain,
                       uint8_t *out);
/* out: sealed.len - HF_COMMITTED_OVERHEAD, untouched unless true comes back. sealed.len >= HF_COMMITTED_OVERHEAD is the caller's to check. */
bool hf_committed_open(const struct hf_committed_key *key, struct hf_span aad, struct hf_span sealed, uint8_t *out);

#endif
