/* format/fileheader.h: the three parts of page 0 and the head of every page. Pure: bytes in, struct out. Source: spec/30-file.md [FH-1].
 *
 *   0    S  static: id, class, wrapped key, commitment          (written at creation and at a change of class or of its key)
 *   256  M  metadata: name slots, attribute MAC                 (changeable without the file key)
 *   512  page head
 *   544  D  dynamic, encrypted: size, durable size, cover, floors
 *   704  inline data, encrypted with D as one message */
#ifndef HF_FORMAT_FILEHEADER_H
#define HF_FORMAT_FILEHEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_STATIC_LEN 256u
#define HF_STATIC_AAD_LEN 40u    /* AAD of the wrap */
#define HF_META_OFFSET 256u
#define HF_META_LEN 256u
#define HF_META_MACCED_LEN 240u
#define HF_HEAD_OFFSET 512u
#define HF_DYNAMIC_OFFSET 544u
#define HF_DYNAMIC_LEN 160u
#define HF_FILE_ID_LEN 16u
#define HF_SLOT_LEN 16u
#define HF_SLOTS 8u
#define HF_COVERS 4u
#define HF_FLOORS 4u
#define HF_GEN_MAX ((1u << 20) - 1)

enum hf_file_kind { HF_KIND_REGULAR = 1, HF_KIND_LONG_SYMLINK = 2 };
enum hf_wrap_algorithm { HF_WRAP_CLASS = 1 /* crypto/wrap.h under the class key */, HF_WRAP_UNLESS_OPEN = 2 };

struct hf_file_static {
    uint8_t kind;
    uint8_t class;
    uint32_t flags;
    uint8_t file_id[HF_FILE_ID_LEN];
    uint32_t class_generation;
    uint16_t wrap_algorithm;
    uint16_t wrap_len;
    uint8_t wrap[104];
    /* reserved 80 */
    uint8_t commitment[32];
};
/* [UO-8] class_generation of a file of class unless-open that was made before the first unlock: this bit and the generation of class always under whose metadata
 * key its MACs are. Which pair the wrap is for shows its commitment. */
#define HF_GENERATION_SPOOL (1u << 31)
/* Flags with a meaning; the parsers refuse others. */
#define HF_STATIC_UNVERIFIED 1u /* it came before the first unlock: whoever has D could have made it */
#define HF_STATIC_FLAGS_KNOWN HF_STATIC_UNVERIFIED
#define HF_META_FLAGS_KNOWN 0u
#define HF_DYNAMIC_FLAGS_KNOWN 0u

struct hf_file_meta {
    uint64_t version;
    uint32_t epoch;
    uint8_t current;          /* how many of the slots, from the first, are current names */
    uint8_t old;              /* how many behind them are old ones (valid in a window header alone) */
    uint16_t flags;
    uint8_t slots[HF_SLOTS][HF_SLOT_LEN];
    uint8_t attr_mac[16];
    uint8_t xattr_digest[32];
    uint32_t more_number;     /* of the record of further slots (fs/morenames.h); 0: none, and the rest zero */
    uint32_t more_current, more_old;
    uint8_t more_digest[32];
    uint8_t mac[16];
};

struct hf_range { uint64_t start, count; };        /* pages, u48 each */
struct hf_floor { uint64_t offset; uint32_t gen; }; /* pages at or behind offset are of gen or later */

struct hf_file_dynamic {
    uint64_t size;            /* P */
    uint64_t durable;         /* C */
    uint64_t version;
    uint32_t epoch;
    uint32_t gen;
    uint32_t flags;
    uint64_t writes;          /* page encryptions under gen */
    struct hf_range cover[HF_COVERS]; /* count 0: unused; sorted, disjoint */
    struct hf_floor floors[HF_FLOORS];/* gen 0: unused; sorted by offset */
};

struct hf_page_head {
    uint8_t nonce[12];
    uint32_t gen; /* 20 bits */
    uint32_t len; /* 12 bits: data bytes (page 0: inline bytes, D not counted) */
    uint8_t tag[16];
};

HF_MUST_USE enum hf_result hf_file_static_parse(const uint8_t bytes[HF_STATIC_LEN], struct hf_file_static *ret);
void hf_file_static_encode(const struct hf_file_static *header, uint8_t out[HF_STATIC_LEN]);
HF_MUST_USE enum hf_result hf_file_meta_parse(const uint8_t bytes[HF_META_LEN], struct hf_file_meta *ret);
void hf_file_meta_encode(const struct hf_file_meta *meta, uint8_t out[HF_META_LEN]); /* with mac as it stands in meta */
HF_MUST_USE enum hf_result hf_file_dynamic_parse(const uint8_t bytes[HF_DYNAMIC_LEN], struct hf_file_dynamic *ret);
void hf_file_dynamic_encode(const struct hf_file_dynamic *dynamic, uint8_t out[HF_DYNAMIC_LEN]);
void hf_page_head_parse(const uint8_t bytes[32], struct hf_page_head *ret);
void hf_page_head_encode(const struct hf_page_head *head, uint8_t out[32]);
bool hf_page_is_zero(const uint8_t head[32]);

/* AAD of a page: "HFPAGE01" 8 || u32 gen:20,len:12 || file id 16 || page number u64 = 36 bytes; page 0: followed by S (256). */
#define HF_PAGE_AAD_LEN 36u
#define HF_PAGE0_AAD_LEN (HF_PAGE_AAD_LEN + HF_STATIC_LEN)
void hf_page_aad(const struct hf_page_head *head, const uint8_t file_id[HF_FILE_ID_LEN], uint64_t page, uint8_t out[HF_PAGE_AAD_LEN]);

/* Cover arithmetic. add merges; a fifth range merges the two that lie nearest. remove cuts (a split that would need a fifth range leaves the cover as it is). */
void hf_cover_add(struct hf_range cover[HF_COVERS], uint64_t start, uint64_t count);
void hf_cover_remove(struct hf_range cover[HF_COVERS], uint64_t start, uint64_t count);
void hf_cover_cut(struct hf_range cover[HF_COVERS], uint64_t end_page); /* nothing at or behind end_page */
bool hf_cover_has(const struct hf_range cover[HF_COVERS], uint64_t page);

/* Floor staircase: at a shrink to offset with a new gen, entries at or above it go and this one comes. false when it is full: flush the file, then clear. */
bool hf_floor_add(struct hf_floor floors[HF_FLOORS], uint64_t offset, uint32_t gen);

#endif
