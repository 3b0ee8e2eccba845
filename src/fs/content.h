/* fs/content.h: one file's header and pages on its descriptor. The caller holds the file's lock (shared for reading, exclusive else). Source: spec/30-file.md.
 *
 * A content is loaded or made, used, then freed; hf_content_forget in between wipes everything that shows plaintext. */
#ifndef HF_FS_CONTENT_H
#define HF_FS_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/result.h"
#include "format/content.h"
#include "format/fileheader.h"
#include "keys/file_key.h"
#include "keys/page_key.h"

/* Lies in the secret arena. */
struct hf_content_keys {
    struct hf_file_key file;
    uint32_t gen[2]; /* whose page keys these are; UINT32_MAX: none */
    struct hf_page_key page[2];
};

struct hf_content {
    int fd; /* the node's */
    uint8_t s[HF_STATIC_LEN];
    struct hf_file_static header;
    struct hf_file_meta meta;
    struct hf_file_dynamic dynamic;
    struct hf_content_keys *keys;
    bool in_window;      /* read from a header of an open window: may be cut at C */
    bool trim;           /* the disk is longer than L(P) */
    bool trim_durable;   /* the header that says so is durable */
    bool clip;           /* page clip_page holds bytes behind the cut */
    bool clipped;        /* written, but not durable yet */
    bool never_synced;
    uint64_t clip_page;
    uint8_t inline_data[HF_INLINE_MAX];
};

/* The epoch of changes made now, and the one settled last (window: above it), set by tree_settle.c. */
extern uint32_t hf_epoch, hf_settled;

HF_MUST_USE enum hf_result hf_content_load(int fd, struct hf_content **ret);
/* A new file's content; page 0 is not written yet. */
HF_MUST_USE enum hf_result hf_content_make(int fd, unsigned class, struct hf_content **ret);
void hf_content_free(struct hf_content **content);
/* Page 0 whole, version + 1, with that epoch. */
HF_MUST_USE enum hf_result hf_content_put_header(struct hf_content *content, uint32_t epoch);
/* Seals M under its class's metadata key. */
HF_MUST_USE enum hf_result hf_meta_seal(unsigned class, const uint8_t file_id[16], struct hf_file_meta *meta);
HF_MUST_USE enum hf_result hf_meta_check(unsigned class, const uint8_t file_id[16], const uint8_t bytes[HF_META_LEN], struct hf_file_meta *ret);
/* Up to len bytes at offset; *ret_len is short only at the end. */
HF_MUST_USE enum hf_result hf_content_read(struct hf_content *content, uint64_t offset, size_t len, uint8_t *out, size_t *ret_len);
HF_MUST_USE enum hf_result hf_content_write(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len);
HF_MUST_USE enum hf_result hf_content_truncate(struct hf_content *content, uint64_t size);
/* mode: FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE with it, or FALLOC_FL_ZERO_RANGE. */
HF_MUST_USE enum hf_result hf_content_fallocate(struct hf_content *content, int mode, uint64_t offset, uint64_t len);
HF_MUST_USE enum hf_result hf_content_fsync(struct hf_content *content);
/* After the settle's barrier: clip or cut. Returns true in *ret_more when another settle is needed. */
HF_MUST_USE enum hf_result hf_content_after_settle(struct hf_content *content, bool *ret_more);
HF_MUST_USE enum hf_result hf_content_seek(struct hf_content *content, uint64_t offset, int whence, uint64_t *ret);

#endif
