/* crypto/wrap.h: key-committing authenticated encryption of small secrets (keybag sections, file keys, the software element's S).
 *
 * wrap = nonce 24 || ciphertext || tag 16 || commitment 32, where KDF(key, context, nonce) yields the XChaCha20-Poly1305 key and the
 * commitment; the commitment is compared first, in constant time. Library: libsodium. Source: spec/20-keys.md [KW-1]…[KW-3].
 * With a commitment no ciphertext opens under two keys. */
#ifndef HF_CRYPTO_WRAP_H
#define HF_CRYPTO_WRAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"
#include "crypto/kdf.h"

#define HF_WRAP_OVERHEAD 72
#define HF_FILE_WRAP_LEN 104 /* a 32-byte key */

/* Once per process before anything else in crypto/; HF_FAILED when libsodium can't start. */
HF_MUST_USE enum hf_result hf_crypto_start(void);

/* out: plain.len + HF_WRAP_OVERHEAD bytes. */
void hf_wrap(enum hf_kdf_context context, const uint8_t key[32], struct hf_span aad, struct hf_span plain, uint8_t *out);
/* out: wrapped.len - HF_WRAP_OVERHEAD bytes, untouched on failure. HF_DAMAGED when it is not authentic under this key. */
HF_MUST_USE enum hf_result hf_unwrap(enum hf_kdf_context context, const uint8_t key[32], struct hf_span aad, struct hf_span wrapped, uint8_t *out);

#endif
