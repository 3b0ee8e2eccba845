/* fs/names.h: plain names to names on disk and back; link targets; directory records; slots. Source: spec/31-names.md. */
#ifndef HF_FS_NAMES_H
#define HF_FS_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "format/dirrecord.h"

#define HF_BACKING_MAX 256 /* with its NUL */

/* The name on disk; long ones: `L`, and in side (when not NULL) the `N` record's target, else side[0] = 0. */
HF_MUST_USE enum hf_result hf_name_encode(unsigned class, uint32_t generation, const uint8_t dir_id[16], const char *name, char out[HF_BACKING_MAX], char side[400]);
/* dir_fd is for long names' side records. HF_DAMAGED when it is no name of ours, HF_LOCKED. */
HF_MUST_USE enum hf_result hf_name_decode(unsigned class, uint32_t generation, const uint8_t dir_id[16], int dir_fd, const char *backing, char out[256]);
bool hf_name_is_long(const char *backing);
/* True for .hf, .hf+, .holdfast, side records and temporary names. */
bool hf_name_is_ours(const char *backing);

#define HF_LINK_MAX 3055u
HF_MUST_USE enum hf_result hf_link_seal(unsigned class, uint32_t generation, const uint8_t dir_id[16], const char *name, const char *target, char out[4096]);
HF_MUST_USE enum hf_result hf_link_open(unsigned class, uint32_t generation, const uint8_t dir_id[16], const char *name, const char *sealed, size_t len, char out[4096]);

HF_MUST_USE enum hf_result hf_name_slot(unsigned class, uint32_t generation, const uint8_t dir_id[16], const uint8_t file_id[16], const char *name, uint8_t out[16]);
HF_MUST_USE enum hf_result hf_attr_mac(unsigned class, uint32_t generation, const uint8_t file_id[16], uint32_t mode, uint32_t uid, uint32_t gid, uint8_t out[16]);
HF_MUST_USE enum hf_result hf_evidence_tag(unsigned class, uint32_t generation, const uint8_t file_id[16], uint8_t kind, const uint8_t value[16], uint32_t epoch, uint8_t out[16]);
/* mac_class and generation are the record's own, but for the root's: that one is under `always`. digest: of its extended attributes, used where the record says that it has some. */
HF_MUST_USE enum hf_result hf_dir_mac(const struct hf_dir_record *record, unsigned mac_class, uint32_t mac_generation, const uint8_t parent_id[16], uint32_t mode, uint32_t uid, uint32_t gid,
                                      const uint8_t digest[32], const char *name, uint8_t out[16]);

#endif
