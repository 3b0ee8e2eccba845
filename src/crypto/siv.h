/* crypto/siv.h: AES-256-SIV (RFC 5297, two associated strings) for names, link targets and attributes. Library: libcrypto.
 *
 * Deterministic: equal names in one directory give equal ciphertexts (that is what lookup needs), other directories give other ones. */
#ifndef HF_CRYPTO_SIV_H
#define HF_CRYPTO_SIV_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_SIV_TAG_LEN 16
#define HF_SIV_KEY_LEN 64

/* out: HF_SIV_TAG_LEN + plain.len: tag, then ciphertext. plain.len > 0. Thread-safe (contexts of its own for each thread, given
 * back when it ends). HF_NO_MEMORY. aad.len > 0. Seal and open: 1.0 us while the key stays the same, 3.1 us where it changes. */
HF_MUST_USE enum hf_result hf_siv_seal(const uint8_t key[HF_SIV_KEY_LEN], struct hf_span aad, struct hf_span plain, uint8_t *out);
/* out: sealed.len - HF_SIV_TAG_LEN. HF_DAMAGED when not authentic; out is wiped then. */
HF_MUST_USE enum hf_result hf_siv_open(const uint8_t key[HF_SIV_KEY_LEN], struct hf_span aad, struct hf_span sealed, uint8_t *out);
/* Wipes and frees the calling thread's contexts; the next call makes new ones. */
void hf_siv_forget(void);

#endif
