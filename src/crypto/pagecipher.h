/* crypto/pagecipher.h: AES-256-GCM for file pages. Library: libcrypto (EVP). One context a thread; not shared.
 *
 * hf_page_cipher_open decrypts into the caller's private buffer and wipes it when the tag is wrong, so unauthenticated bytes never travel on. */
#ifndef HF_CRYPTO_PAGECIPHER_H
#define HF_CRYPTO_PAGECIPHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"
#include "keys/page_key.h"

#define HF_GCM_NONCE_LEN 12
#define HF_GCM_TAG_LEN 16

struct hf_page_cipher; /* holds a key schedule after use: hf_page_cipher_forget at lock */

HF_MUST_USE enum hf_result hf_page_cipher_new(struct hf_page_cipher **ret);
void hf_page_cipher_free(struct hf_page_cipher **cipher);
/* Wipes the key schedule. */
void hf_page_cipher_forget(struct hf_page_cipher *cipher);

/* The key that the next calls use; setting the same key again (by value) is free. */
HF_MUST_USE enum hf_result hf_page_cipher_key(struct hf_page_cipher *cipher, const struct hf_page_key *key);
/* out may be the same as plain.data. */
HF_MUST_USE enum hf_result hf_page_cipher_seal(struct hf_page_cipher *cipher, const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_span aad,
                                               struct hf_span plain, uint8_t *out, uint8_t ret_tag[HF_GCM_TAG_LEN]);
HF_MUST_USE enum hf_result hf_page_cipher_open(struct hf_page_cipher *cipher, const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_span aad,
                                               struct hf_span sealed, const uint8_t tag[HF_GCM_TAG_LEN], uint8_t *out);

#endif
