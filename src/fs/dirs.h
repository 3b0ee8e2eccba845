/* fs/dirs.h: inside the tree alone: a directory's descriptor and record, and its entries' names on disk. */
#ifndef HF_FS_DIRS_H
#define HF_FS_DIRS_H

#include "base/span.h"
#include "fs/lend.h"
#include "fs/names.h"
#include "fs/node.h"

/* Descriptor alone; returns it, in use until hf_dir_done, or a negative errno. hf_ns held. */
HF_MUST_USE int hf_dir_use_fd(struct hf_node *dir);
/* Descriptor and checked record; as hf_dir_use_fd. -EIO when the record is not what it must be, -ENOKEY when its class can't be checked yet. */
HF_MUST_USE int hf_dir_use(struct hf_node *dir);
void hf_dir_done(struct hf_node *dir);

/* The class of its names, and of directories and links that are made in it; the class of files that are made in it [UO-8]. */
unsigned hf_dir_class(const struct hf_node *dir);
unsigned hf_dir_file_class(const struct hf_node *dir);
const uint8_t *hf_dir_id(const struct hf_node *dir);

/* An entry on disk, found by its plain name. */
struct hf_place {
    char backing[HF_BACKING_MAX];
    char side[400];       /* a long name's record, else empty */
    bool exists;
    bool always;          /* a root entry whose name is under class always */
    struct stat st;       /* when it exists */
};
/* dir is in use. 0 with exists set or not; -ENAMETOOLONG, -ENOKEY, … */
HF_MUST_USE int hf_place_find(struct hf_node *dir, int dir_fd, const char *name, struct hf_place *ret);
/* As it would be in the root under that generation of class always. */
HF_MUST_USE int hf_place_always(struct hf_node *dir, const char *name, uint32_t generation, struct hf_place *ret);
/* As it would be under that class's name key (protect of root entries); else like hf_place_find without looking. */
HF_MUST_USE int hf_place_make(struct hf_node *dir, const char *name, bool always, struct hf_place *ret);
/* A name on disk in the directory, in use: whether it is the root's and under class always. */
HF_MUST_USE int hf_place_is_always(struct hf_node *dir, int dir_fd, const char *backing, bool *ret);
/* The side record of a long name: made before the name, removed after it. */
HF_MUST_USE int hf_place_side_put(int dir_fd, const struct hf_place *place);
void hf_place_side_remove(int dir_fd, const char *backing);
/* The plain name of a name on disk. dir is in use. */
HF_MUST_USE int hf_dir_plain(struct hf_node *dir, int dir_fd, const char *backing, char out[256]);
/* A node's own plain name; hf_ns held. */
HF_MUST_USE int hf_node_plain(struct hf_node *node, char out[256]);

/* Writes a fresh record for a directory that has just been made at parent/name; fills record and digest. birth: attributes that it is made with, or NULL. */
struct hf_dir_birth {
    size_t attributes;
    const char *names[2];
    struct hf_span values[2];
};
HF_MUST_USE int hf_dir_record_make(struct hf_node *parent, int dir_fd, unsigned class, const char *name, const struct stat *st, const struct hf_dir_birth *birth,
                                   struct hf_dir_record *ret, uint8_t ret_digest[32]);
/* The next record of a directory, as `.hf+` in it: for a new place, mode, owner, class, or (digest, else NULL) new extended attributes; then, after the change, hf_dir_record_commit puts it in `.hf`'s place.
 * The change is made then: where that fails, `.hf+` vouches for it in the open window, and hf_dir_record_late tries again before the window closes. hf_ns held exclusively. */
HF_MUST_USE int hf_dir_record_next(struct hf_node *dir, int dir_fd, struct hf_node *parent, const char *name, const struct stat *st, unsigned class, unsigned flags,
                                   const uint8_t *digest, struct hf_dir_record *ret);
void hf_dir_record_commit(struct hf_node *dir, int dir_fd, const struct hf_dir_record *record);
HF_MUST_USE int hf_dir_record_late(struct hf_node *dir);
void hf_dir_record_forget_next(int dir_fd);
/* No entry but our own records. Positive: empty; 0: not; else a negative errno. */
HF_MUST_USE int hf_dir_is_empty(int dir_fd);
/* What comes and goes in it for our own ends (a record, a fresh file in an old one's place) is no change that a program has made: its time of modification stays what st has. */
void hf_dir_keep_mtime(int dir_fd, const struct stat *st);

/* tree_readdir.c's */
void hf_stream_free(struct hf_stream **stream);

#endif
