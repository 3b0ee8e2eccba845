/* crypto/argon.h: Argon2id over the passcode, in a wiped arena of our own. Library: libargon2. Source: spec/20-keys.md [PC-1]…[PC-3].
 *
 * Runs on the calling thread alone, whatever the lanes: libargon2's threads would leave blocks of the arena on stacks that nobody locks or wipes,
 * and the enclave's seccomp filter would need clone. The price on two cores, 256 MiB and three passes: 1.1 to 1.5 s so, 0.7 to 0.95 s
 * with two threads.
 * New vaults therefore have one lane: more lanes on one thread would only help whoever guesses on many. */
#ifndef HF_CRYPTO_ARGON_H
#define HF_CRYPTO_ARGON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "keys/element_auth.h"
#include "keys/kek_half.h"
#include "keys/passcode.h"

#define HF_ARGON_SALT_LEN 32
#define HF_ARGON_MIN_KIB 65536u
#define HF_ARGON_MAX_KIB (4u * 1024 * 1024)
#define HF_ARGON_MAX_PASSES 64u
#define HF_ARGON_MAX_LANES 16u

struct hf_argon_cost {
    uint32_t memory_kib;
    uint32_t passes;
    uint32_t lanes;
};

/* HF_NO_MEMORY when the arena can't be had; HF_REFUSED when cost is outside the limits above. The 64 bytes of output are split: A, then B.
 * *ret_locked (may be NULL): the arena was locked in memory. */
HF_MUST_USE enum hf_result hf_argon_derive(const struct hf_passcode *passcode, const uint8_t salt[HF_ARGON_SALT_LEN], const struct hf_argon_cost *cost,
                                           struct hf_element_auth *ret_auth, struct hf_kek_half *ret_half, bool *ret_locked);
/* The cost that takes about target_ms here: one lane, passes 3, memory between HF_ARGON_MIN_KIB and max_kib (and half of the free memory, or an
 * eighth of all where that is more). Where memory is at that limit and time is left, more passes. Runs Argon2id three times. */
struct hf_argon_cost hf_argon_calibrate(uint32_t max_kib, uint32_t target_ms);

/* NFKC (libutf8proc) of input into ret; HF_USAGE when it is empty, not UTF-8, has a NUL or a code point that is not assigned (a later Unicode
 * version could normalise it differently), or is over HF_PASSCODE_MAX bytes, before or after. HF_NO_MEMORY when the arena of os/secret.h is full.
 * input may lie in ret. */
HF_MUST_USE enum hf_result hf_passcode_normalize(const void *input, size_t len, struct hf_passcode *ret);

#endif
