/* format/head.h: VAULT/.holdfast/head, the vault's record of how far it is settled. Kept by the enclave, authenticated under the device key.
 *
 * 136 bytes: magic 8 | vault id 16 | settled epoch u32 | state u32 (enum below) | tips of the freshness index 2 × 32 (main, always; zeros: none made yet,
 * ones: mounted without) | count u64 (the element's counter H; 0 without one) | MAC 32 (HF_KDF_HEAD_MAC over the first 104). Source: spec/35-crash.md [CR-1], spec/36-freshness.md [FR-6]. */
#ifndef HF_FORMAT_HEAD_H
#define HF_FORMAT_HEAD_H

#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_HEAD_LEN 136
#define HF_HEAD_MACCED_LEN 104
#define HF_HEAD_TIPS_LEN 64

enum hf_head_state { HF_HEAD_FRESH = 1, HF_HEAD_OPEN = 2, HF_HEAD_CLOSED = 3 };

struct hf_head {
    uint8_t vault_id[16];
    uint32_t settled;
    uint32_t state;
    uint8_t tips[HF_HEAD_TIPS_LEN];
    uint64_t count; /* the element's, when this head is the newest [FR-13] */
    uint8_t mac[32];
};

HF_MUST_USE enum hf_result hf_head_parse(struct hf_span bytes, struct hf_head *ret);
void hf_head_encode(const struct hf_head *head, uint8_t out[HF_HEAD_LEN]);

#endif
