/* format/indexlog.h: .holdfast/index and .holdfast/index-always, the freshness index's files. Pure: bytes in, struct out. Source: spec/36-freshness.md [FR-4] [FR-5].
 *
 *   header 192: magic 8 | file id 16 | class u8, zeros 3 | class-key generation u32 | base records u32 | zeros 4 | continues 32 (the tip that the base stands for)
 *               | wrap 120 of struct hf_index_keys (HF_KDF_INDEX_WRAP under the class's metadata key, AAD the 72 bytes before)
 *   records:    length u32 of what is sealed | wrap (HF_KDF_INDEX_RECORD under the seal key; AAD file id || number of the record u64 || length u32)
 * The first `base records` hold entries that are set as they are; each later one a settle's changes, in order. An entry without versions and tag removes its name.
 * Tips: T0 = KDF(seal key, HF_KDF_INDEX_TIP, the header); Tn = KDF(…, Tn-1 || the last 48 bytes of the record, its tag and commitment). */
#ifndef HF_FORMAT_INDEXLOG_H
#define HF_FORMAT_INDEXLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_INDEX_FIXED_LEN 72u
#define HF_INDEX_WRAP_LEN 120u
#define HF_INDEX_HEADER_LEN 192u
#define HF_INDEX_TIP_LEN 32u
#define HF_INDEX_ENTRY_LEN 48u
#define HF_INDEX_ENTRIES_MAX 16384u /* of a record */
#define HF_INDEX_RECORD_MAX ((size_t)HF_INDEX_ENTRIES_MAX * HF_INDEX_ENTRY_LEN)
#define HF_INDEX_SEALED_MORE 72u    /* crypto/wrap.h */
#define HF_INDEX_SEAL_TAIL 48u
#define HF_INDEX_AAD_LEN 28u

/* dir 0: a file with several names, name its identity. name 0: a directory's number of names, in meta. Both 0: none. */
struct hf_index_entry {
    uint64_t dir, name;
    uint32_t meta, content; /* versions; both 0 in a name of a file with several, in a symlink, a FIFO, … */
    uint64_t tag;           /* kind and identity */
    /* [FR-11] ns: the time of change to show while the disk says `touched`; both 0: the disk's. */
    uint64_t shown, touched;
};

struct hf_index_header {
    uint8_t file_id[16];
    uint8_t class;
    uint32_t class_generation;
    uint32_t base_records;
    uint8_t continues[HF_INDEX_TIP_LEN];
    uint8_t wrap[HF_INDEX_WRAP_LEN];
};

HF_MUST_USE enum hf_result hf_index_header_parse(struct hf_span bytes, struct hf_index_header *ret);
void hf_index_header_encode(const struct hf_index_header *header, uint8_t out[HF_INDEX_HEADER_LEN]);

/* The record at the beginning of bytes: *ret_sealed views its wrap. HF_NOT_FOUND: nothing is there; HF_DAMAGED: not a whole record of a possible length. */
HF_MUST_USE enum hf_result hf_index_record_parse(struct hf_span bytes, struct hf_span *ret_sealed);
void hf_index_record_aad(const uint8_t file_id[16], uint64_t number, uint32_t len, uint8_t out[HF_INDEX_AAD_LEN]);

static inline bool hf_index_entry_removes(const struct hf_index_entry *entry)
{
    return entry->meta == 0 && entry->content == 0 && entry->tag == 0;
}
void hf_index_entry_read(const uint8_t bytes[HF_INDEX_ENTRY_LEN], struct hf_index_entry *ret);
void hf_index_entry_write(const struct hf_index_entry *entry, uint8_t out[HF_INDEX_ENTRY_LEN]);

#endif
