/* fs/content.h: one file's header and pages on its descriptor. Source: spec/30-file.md, spec/35-crash.md.
 *
 * A content has two stages. With its label (static part and metadata) its names and attributes can be checked and changed; that needs its class's metadata key.
 * Unsealed it has the file key and everything else. hf_content_forget goes back to the label and wipes all that shows plaintext.
 * The caller holds the file's lock: shared for read and seek, exclusive for all else. */
#ifndef HF_FS_CONTENT_H
#define HF_FS_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/result.h"
#include "format/content.h"
#include "format/fileheader.h"
#include "fs/epoch.h"
#include "keys/file_key.h"
#include "keys/page_key.h"

/* Lies in the secret arena. */
struct hf_content_keys {
    struct hf_file_key file;
    uint32_t gen; /* whose page key this is: the current one */
    struct hf_page_key page;
};

/* A shrink's way to the disk; each step needs the one before to be durable. */
enum hf_cut {
    HF_CUT_NONE,
    HF_CUT_HEADER,  /* page 0 says the new size; pages behind it are still there, none may be written */
    HF_CUT_CLIPPED, /* the edge page was written anew without the bytes behind the cut */
    HF_CUT_PUNCHED  /* the tail is cut, stale pages in later holes are punched: the floors can go */
};

struct hf_content {
    int fd; /* the node's; -1 while that is closed */
    uint8_t s[HF_STATIC_LEN];
    struct hf_file_static header;
    struct hf_file_meta meta;
    struct hf_file_dynamic dynamic;
    struct hf_content_keys *keys; /* NULL: label alone */
    bool in_window;               /* written since the last settle before an unclean stop */
    bool header_due; /* the next settle writes page 0 */
    bool gen_due;    /* page 0 of this generation is not known to be durable: no other page may be written */
    bool loose;      /* pages of this generation may lie behind the end: they go before the file grows */
    bool ahead;      /* the disk's file is longer than L(size), by less than a page: the settle cuts it */
    bool filled, filled_seen; /* pages were written inside cover: the settle after they are durable takes them out of it */
    bool cover_moved;         /* since the last hf_content_before_settle */
    bool attr_ahead;          /* meta's attr_mac and xattr_digest are newer than what is known to be durable: page 0 goes on saying attr_durable, xattr_durable */
    uint32_t attr_epoch;      /* of the last such change */
    uint32_t class_epoch;     /* of the last change of class or of its key: evidence under the new one needs a durable header that has it */
    uint8_t attr_durable[16], xattr_durable[32];
    enum hf_cut cut, cut_seen; /* seen: at the last hf_content_before_settle */
    uint64_t writes;           /* page encryptions under the current generation; dynamic.writes, on disk, runs ahead of it */
    uint64_t length, reach;    /* of the disk's file: as it is, and at least that much of it is durable */
    uint64_t ragged, ragged_next, ragged_seen; /* the page in which the durable length ends, and a later one that may be; UINT64_MAX: none */
    uint64_t version;          /* of the sealed part, as last read or written, or (32 bits) as the freshness index has it; 0: not known. Outlives hf_content_forget */
    uint64_t found;            /* the size at unsealing: what was there may be promised to someone */
    uint64_t size_seen, length_seen;
    uint32_t gen_seen;
    struct hf_range cover_next[HF_COVERS];
    struct hf_more *more;   /* fs/morenames.h's: slots that have no place in meta; NULL: not loaded, or none */
    uint8_t names_since;    /* name evidence since the last settle: the list has place for so many */
    uint8_t inline_data[HF_INLINE_MAX];
};

/* HF_NOT_FOUND: there is no page 0. HF_DAMAGED; HF_LOCKED: not even the class's metadata key is there. */
HF_MUST_USE enum hf_result hf_content_label(int fd, struct hf_content **ret);
/* Nothing to do when unsealed already. In an open window the file is cut where the crash rules say [CR-3]. */
HF_MUST_USE enum hf_result hf_content_unseal(struct hf_content *content);
bool hf_content_unsealed(const struct hf_content *content);
void hf_content_forget(struct hf_content *content);
/* A new file's content, unsealed; page 0 is not written yet. kind: enum hf_file_kind. */
HF_MUST_USE enum hf_result hf_content_make(int fd, unsigned class, unsigned kind, struct hf_content **ret);
void hf_content_free(struct hf_content **content);

/* Page 0 whole (static part, metadata, the rest) with that epoch. */
HF_MUST_USE enum hf_result hf_content_put_header(struct hf_content *content, uint32_t epoch);
/* The metadata part alone: at the label. */
HF_MUST_USE enum hf_result hf_content_put_meta(struct hf_content *content, uint32_t epoch);
/* [CR-6] Before meta's attr_mac or xattr_digest changes. Page 0 is data and may reach the disk before the journal with the change and its evidence:
 * so it says what was until hf_content_attr_is_durable, which follows a barrier that came after the change. */
void hf_content_attr_moves(struct hf_content *content);
void hf_content_attr_is_durable(struct hf_content *content);
/* The same file key under the class's current generation, in memory: names and attributes are to be bound anew, then page 0 written. */
HF_MUST_USE enum hf_result hf_content_rewrap(struct hf_content *content, unsigned class);

/* The rest needs an unsealed content, else HF_LOCKED. A failure leaves size and structure as they were, and hf_content_pending true. */
/* Up to len bytes at offset; *ret_len is short only at the end. */
HF_MUST_USE enum hf_result hf_content_read(struct hf_content *content, uint64_t offset, size_t len, uint8_t *out, size_t *ret_len);
HF_MUST_USE enum hf_result hf_content_write(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len);
HF_MUST_USE enum hf_result hf_content_truncate(struct hf_content *content, uint64_t size);
/* mode: FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE with it, or FALLOC_FL_ZERO_RANGE. */
HF_MUST_USE enum hf_result hf_content_fallocate(struct hf_content *content, int mode, uint64_t offset, uint64_t len);
/* attributes: times, mode, owner as well, by the same barrier. */
HF_MUST_USE enum hf_result hf_content_fsync(struct hf_content *content, bool attributes);
/* whence: SEEK_DATA, SEEK_HOLE. HF_NOT_FOUND: nothing behind offset. */
HF_MUST_USE enum hf_result hf_content_seek(struct hf_content *content, uint64_t offset, int whence, uint64_t *ret);

/* Around the settle's barrier. Before: writes page 0 when it is due. After: takes the next step of a shrink; *ret_more: another settle is needed. */
HF_MUST_USE enum hf_result hf_content_before_settle(struct hf_content *content, uint32_t epoch);
HF_MUST_USE enum hf_result hf_content_after_settle(struct hf_content *content, bool *ret_more);
/* True while the disk is not in its settled shape: the node stays on the list of dirty ones, and its content is not forgotten. After a stop it may be so
 * from hf_content_unseal on. */
bool hf_content_pending(const struct hf_content *content);

#endif
