/* crypto/prf.h: a fast PRF for values that never leave a sealed file or memory: SipHash-2-4 with 128 bits of output (libsodium).
 *
 * Not for keys, and not where an attacker may see outputs in bulk for inputs of his choice and gains from 64-bit collisions. Source: spec/36-freshness.md. */
#ifndef HF_CRYPTO_PRF_H
#define HF_CRYPTO_PRF_H

#include <stdint.h>

#include "base/span.h"

#define HF_PRF_KEY_LEN 16
#define HF_PRF_INPUT_MAX 4352u /* domain byte and pieces together */

/* domain: what the value is for. Pieces as in hf_kdf: fixed-length ones first, at most one of variable length, last. */
void hf_prf(const uint8_t key[HF_PRF_KEY_LEN], uint8_t domain, const struct hf_span *pieces, unsigned count, uint64_t ret[2]);

#endif
