/* fs/files.h: inside the tree alone: a file's content made ready for use, its binding to name and attributes, and the evidence of changes to those.
 *
 * Source: spec/35-crash.md [CR-4] [CR-6]. */
#ifndef HF_FS_FILES_H
#define HF_FS_FILES_H

#include "format/evidence.h"
#include "fs/node.h"

/* Takes the node's lock with the content unsealed and bound, until hf_file_done. No lock held. */
HF_MUST_USE int hf_file_use(struct hf_node *file, bool exclusive);
void hf_file_done(struct hf_node *file);
/* After each write to the disk: the set-id bits that this took away come back (the kernel has taken away what a program's write must, by a request of its own). */
void hf_file_mode_is(struct hf_node *file, mode_t mode);
void hf_file_keep_mode(const struct hf_node *file);
/* In use, exclusively. The time of change follows also when the size is that already. */
HF_MUST_USE int hf_file_truncate(struct hf_node *file, uint64_t size);

/* An unlinked file that the kernel has forgotten lets go of everything at once: it may wait long for a settle. (Not earlier: who has found it by its name may
 * ask for it after the name went.) Takes the node's lock. */
void hf_file_discard(struct hf_node *file);

/* The three below: hf_ns held, the node's lock held exclusively. */
HF_MUST_USE int hf_file_label(struct hf_node *file); /* descriptor, static part and metadata are there */
HF_MUST_USE int hf_file_bind(struct hf_node *file);  /* … and fit the name and attributes that the disk shows */
HF_MUST_USE int hf_file_ready(struct hf_node *file); /* … and the content is unsealed */
/* The slot is a current name's, or in an open window an old one's or one that evidence vouches for. */
bool hf_file_name_fits(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]);

/* Name slots: label is there, node's lock held exclusively. */
HF_MUST_USE int hf_slot_of(const struct hf_node *file, const struct hf_node *dir, const char *plain, uint8_t out[HF_SLOT_LEN]);
HF_MUST_USE int hf_slot_room(struct hf_node *file); /* 0; -EAGAIN: after a settle; -EMLINK, -EIO */
void hf_slot_add(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]);
void hf_slot_drop(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]); /* becomes an old one */
void hf_slots_settled(struct hf_node *file);

/* The copy's content and inode become the file's: who has it open goes on with it. hf_ns and the file's lock held exclusively. */
void hf_file_adopt(struct hf_node *file, struct hf_node *copy);

/* Sets the evidence before the change: a name slot or an attribute MAC. */
HF_MUST_USE int hf_evidence_put(struct hf_node *file, enum hf_evidence_kind kind, const uint8_t value[16]);
/* True when valid evidence of a window says so. */
bool hf_evidence_has(const struct hf_node *file, enum hf_evidence_kind kind, const uint8_t value[16]);
/* The settle has ended: no evidence counts any more. What is on the disk stays until the next change (its epoch says that it is void). */
void hf_evidence_settled(struct hf_node *file);

/* [FR-11] Around what we ourselves write into a file: the owner's times stay. The node's lock held exclusively, its descriptor open; named: hf_ns held, the
 * index is asked as well (what waits for a settle has its times in the node). The second is for every case that is no failure; *ret_moved (may be NULL): the disk's time of change is another one now, and the index does not know it yet. */
struct hf_touch {
    struct timespec atime, mtime, disk, shown;
};
HF_MUST_USE int hf_file_touch_begin(const struct hf_node *file, bool named, struct hf_touch *ret);
HF_MUST_USE int hf_file_touch_end(struct hf_node *file, const struct hf_touch *touch, bool *ret_moved);

/* st as the disk gives it becomes what the owner sees. The node's lock held (any). */
void hf_file_attr(const struct hf_node *node, struct stat *st);
/* Plain attributes of any object. hf_ns held; takes the node's lock. */
void hf_node_attr(struct hf_node *node, struct stat *st);

/* A new regular file's descriptor becomes a node: header written, bound to dir/plain (plain NULL: no name yet), dirty. hf_ns held exclusively. On failure fd is closed. */
struct hf_file_birth {
    unsigned class;
    uint8_t kind;            /* enum hf_file_kind */
    mode_t mode;             /* what the header says; the disk has it already, or gets it at the end (long symlinks) */
    const uint8_t *data;     /* first content or NULL */
    size_t data_len;
    bool opened;             /* by whoever makes it, to write */
    struct hf_span acl;      /* its access list, or NULL */
};
HF_MUST_USE int hf_file_birth(int fd, const struct hf_file_birth *birth, struct hf_node *dir, const char *plain, const char *backing, struct hf_node **ret);

#endif
