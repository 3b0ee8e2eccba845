/* crypto/onepass.h: a file's key wrapped by whoever has only the public half: class unless-open, while locked.
 *
 *   wrap = ephemeral public key 32 || commitment 24 || ciphertext 32 || tag 16
 * KDF(X25519(ephemeral, recipient), HF_KDF_ONEPASS, ephemeral public || recipient public) gives the XChaCha20-Poly1305 key and the commitment, which is compared
 * first, in constant time. A fresh ephemeral key a wrap: its key is used once, so the nonce is zeros. The ephemeral secret is wiped before seal returns: from
 * then on only the private half opens the wrap. It shows nothing about who made it: that is the header's MAC. Library: libsodium. Source: spec/20-keys.md [UO-1] [UO-2]. */
#ifndef HF_CRYPTO_ONEPASS_H
#define HF_CRYPTO_ONEPASS_H

#include <stdint.h>

#include "base/result.h"
#include "base/span.h"
#include "keys/class_key.h"
#include "keys/file_key.h"

#define HF_ONEPASS_PUBLIC_LEN 32
#define HF_ONEPASS_WRAP_LEN 104

/* The class key of unless-open is the private half: 32 random bytes. */
void hf_onepass_public(const struct hf_class_key *private_half, uint8_t ret_public[HF_ONEPASS_PUBLIC_LEN]);
/* HF_DAMAGED when recipient is a point of low order. */
HF_MUST_USE enum hf_result hf_onepass_seal(const uint8_t recipient[HF_ONEPASS_PUBLIC_LEN], struct hf_span aad, const struct hf_file_key *key,
                                           uint8_t out[HF_ONEPASS_WRAP_LEN]);
/* *ret is untouched on failure. HF_DAMAGED when it is not authentic. */
HF_MUST_USE enum hf_result hf_onepass_open(const struct hf_class_key *private_half, struct hf_span aad, const uint8_t wrap[HF_ONEPASS_WRAP_LEN],
                                           struct hf_file_key *ret);

/* For known-answer tests: the ephemeral secret is given. */
HF_MUST_USE enum hf_result hf_onepass_seal_with(const uint8_t scalar[32], const uint8_t recipient[HF_ONEPASS_PUBLIC_LEN], struct hf_span aad,
                                                const struct hf_file_key *key, uint8_t out[HF_ONEPASS_WRAP_LEN]);

#endif
