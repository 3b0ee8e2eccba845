/* format/dirrecord.h: a directory's record: the target of the symlink `.hf` in it, 44 bytes in 59 base64url characters. Source: spec/31-names.md [NM-5].
 *
 *   version u8 = 1 | class:4 (low), flags:4 | key generation u16 | directory id 16 | epoch u32 | record version u32 | MAC 16
 * MAC = KDF(meta key of the class, HF_KDF_DIR_MAC, the 28 bytes before || parent id 16 || mode u32 || uid u32 || gid u32 || with HF_DIR_ATTRIBUTES their digest 32 || name),
 * name empty and parent zeros for the root.
 * `.hf+` is the next record: made before a rename or chmod of the directory, put in `.hf`'s place at the settle. */
#ifndef HF_FORMAT_DIRRECORD_H
#define HF_FORMAT_DIRRECORD_H

#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_DIR_ID_LEN 16u
#define HF_DIR_RECORD_LEN 44u
#define HF_DIR_RECORD_TEXT_LEN 59u
#define HF_DIR_RECORD_MACCED_LEN 28u
#define HF_DIR_SPOOL 1u /* [UO-8] of class always: what is made in it is of class unless-open. The parser refuses it elsewhere, and other flags */
#define HF_DIR_ATTRIBUTES 2u /* [NM-9] the directory has extended attributes; without it, it has none */
#define HF_DIR_RECORD_FLAGS_KNOWN (HF_DIR_SPOOL | HF_DIR_ATTRIBUTES)

struct hf_dir_record {
    uint8_t class;
    uint8_t flags;
    uint16_t class_generation;
    uint8_t dir_id[HF_DIR_ID_LEN];
    uint32_t epoch;
    uint32_t version;
    uint8_t mac[16];
};

HF_MUST_USE enum hf_result hf_dir_record_parse(struct hf_span text, struct hf_dir_record *ret);
void hf_dir_record_encode(const struct hf_dir_record *record, char out[HF_DIR_RECORD_TEXT_LEN + 1]);
/* The first HF_DIR_RECORD_MACCED_LEN bytes, for the MAC. */
void hf_dir_record_macced(const struct hf_dir_record *record, uint8_t out[HF_DIR_RECORD_MACCED_LEN]);

#endif
