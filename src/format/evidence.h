/* format/evidence.h: the extended attribute `user.hf`: what a namespace or attribute change did, set before it, so that it travels in the same journal. Source: spec/35-crash.md [CR-6].
 *
 * A list of at most 32 entries of 21 bytes: kind u8 | tag 16 | epoch u32. A slot's tag is KDF(meta key, HF_KDF_EVIDENCE, file id || kind || value 16 || epoch). */
#ifndef HF_FORMAT_EVIDENCE_H
#define HF_FORMAT_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_EVIDENCE_XATTR "user.hf"
#define HF_EVIDENCE_MAX 32u
#define HF_EVIDENCE_ENTRY_LEN 21u

enum hf_evidence_kind { HF_EVIDENCE_NAME = 1, HF_EVIDENCE_ATTR = 2, HF_EVIDENCE_XATTRS = 3 };

struct hf_evidence {
    uint32_t count;
    struct {
        uint8_t kind;
        uint8_t tag[16];
        uint32_t epoch;
    } entries[HF_EVIDENCE_MAX];
};

HF_MUST_USE enum hf_result hf_evidence_parse(struct hf_span bytes, struct hf_evidence *ret);
/* Appends; when full the oldest entry of the kind with the most entries goes. */
void hf_evidence_add(struct hf_evidence *evidence, enum hf_evidence_kind kind, const uint8_t tag[16], uint32_t epoch);
/* Returns the encoded length. */
size_t hf_evidence_encode(const struct hf_evidence *evidence, uint8_t out[HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN]);

#endif
