/* crypto/recovery.h: the recovery phrase (24 words of BIP-39's English list: 256 bits and an 8-bit checksum) and the box that it opens.
 *
 * The vault keeps only the X25519 public key made from the phrase (inside the sealed user section), so class keys can be re-sealed for the phrase
 * at any time without asking for it. Source: spec/20-keys.md [RC-1]…[RC-4]. */
#ifndef HF_CRYPTO_RECOVERY_H
#define HF_CRYPTO_RECOVERY_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"
#include "keys/recovery_secret.h"

#define HF_PHRASE_WORDS 24
#define HF_PHRASE_MAX 256 /* 24 words of at most 8 letters, blanks, NUL */
#define HF_RECOVERY_PUBLIC_LEN 32
#define HF_RECOVERY_BOX_OVERHEAD (32 + 72) /* ephemeral public key, wrap */

/* The phrase as lower-case words with single blanks, NUL-terminated. */
void hf_phrase_encode(const struct hf_recovery_secret *secret, char out[HF_PHRASE_MAX]);
/* Accepts any case, any white space, and words cut to their first four letters. HF_DAMAGED with the position of the first unknown word
 * (1…24; 0: word count or checksum is wrong) in *ret_word. */
HF_MUST_USE enum hf_result hf_phrase_decode(const char *text, size_t len, struct hf_recovery_secret *ret, int *ret_word);
/* Word i (0…2047) of the list, for generated passphrases. */
const char *hf_phrase_word(unsigned index);

void hf_recovery_public(const struct hf_recovery_secret *secret, const uint8_t vault_id[16], uint8_t ret_public[HF_RECOVERY_PUBLIC_LEN]);
/* out: plain.len + HF_RECOVERY_BOX_OVERHEAD. HF_DAMAGED when public_key is a point of low order. */
HF_MUST_USE enum hf_result hf_recovery_seal(const uint8_t public_key[HF_RECOVERY_PUBLIC_LEN], struct hf_span aad, struct hf_span plain, uint8_t *out);
HF_MUST_USE enum hf_result hf_recovery_open(const struct hf_recovery_secret *secret, const uint8_t vault_id[16], struct hf_span aad, struct hf_span box,
                                            uint8_t *out);

#endif
