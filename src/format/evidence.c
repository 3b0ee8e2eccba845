#include "format/evidence.h"

#include <string.h>

#include "base/reader.h"
#include "base/writer.h"

enum hf_result hf_evidence_parse(struct hf_span bytes, struct hf_evidence *ret)
{
    if (bytes.len % HF_EVIDENCE_ENTRY_LEN != 0 || bytes.len / HF_EVIDENCE_ENTRY_LEN > HF_EVIDENCE_MAX)
        return HF_DAMAGED;
    struct hf_reader reader;
    struct hf_evidence evidence = {.count = (uint32_t)(bytes.len / HF_EVIDENCE_ENTRY_LEN)};
    hf_reader_init(&reader, bytes);
    for (uint32_t i = 0; i < evidence.count; i++) {
        evidence.entries[i].kind = hf_read_u8(&reader);
        hf_read_bytes(&reader, evidence.entries[i].tag, sizeof evidence.entries[i].tag);
        evidence.entries[i].epoch = hf_read_u32(&reader);
        if (evidence.entries[i].kind < HF_EVIDENCE_NAME || evidence.entries[i].kind > HF_EVIDENCE_XATTRS)
            hf_reader_reject(&reader);
    }
    HF_TRY(hf_reader_end(&reader));
    *ret = evidence;
    return HF_OK;
}

/* Of attributes only the last two can be on the disk, of names as many as there are slots: so what is there most often loses its oldest. */
static void make_room(struct hf_evidence *evidence)
{
    uint32_t counts[HF_EVIDENCE_XATTRS + 1] = {0}, at = 0;
    for (uint32_t i = 0; i < evidence->count; i++)
        counts[evidence->entries[i].kind]++;
    for (uint32_t i = 1; i < evidence->count; i++) {
        if (counts[evidence->entries[i].kind] > counts[evidence->entries[at].kind])
            at = i;
    }
    evidence->count--;
    memmove(&evidence->entries[at], &evidence->entries[at + 1], (evidence->count - at) * sizeof evidence->entries[0]);
}

void hf_evidence_add(struct hf_evidence *evidence, enum hf_evidence_kind kind, const uint8_t tag[16], uint32_t epoch)
{
    HF_ASSERT(evidence->count <= HF_EVIDENCE_MAX);
    if (evidence->count == HF_EVIDENCE_MAX)
        make_room(evidence);
    evidence->entries[evidence->count].kind = (uint8_t)kind;
    memcpy(evidence->entries[evidence->count].tag, tag, 16);
    evidence->entries[evidence->count].epoch = epoch;
    evidence->count++;
}

size_t hf_evidence_encode(const struct hf_evidence *evidence, uint8_t out[HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN])
{
    HF_ASSERT(evidence->count <= HF_EVIDENCE_MAX);
    struct hf_writer writer;
    hf_writer_init(&writer, out, (size_t)HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN);
    for (uint32_t i = 0; i < evidence->count; i++) {
        hf_write_u8(&writer, evidence->entries[i].kind);
        hf_write_bytes(&writer, evidence->entries[i].tag, sizeof evidence->entries[i].tag);
        hf_write_u32(&writer, evidence->entries[i].epoch);
    }
    HF_ASSERT(hf_writer_end(&writer) == HF_OK);
    return writer.len;
}
