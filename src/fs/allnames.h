/* fs/allnames.h: inside the tree alone: all names of a file, for what changes its key: each name's slot is made under it. Source: spec/35-crash.md [CR-17].
 *
 * A file does not know its names (a slot is a PRF of one): they are looked for by the inode's number, in the directory of the known name first, then in the whole tree. */
#ifndef HF_FS_ALLNAMES_H
#define HF_FS_ALLNAMES_H

#include "fs/names.h"
#include "fs/node.h"

struct hf_one_name {
    struct hf_node *dir; /* a reference */
    char backing[HF_BACKING_MAX];
    char plain[256];
};

struct hf_all_names {
    struct hf_one_name *names;
    size_t count, cap;
};

/* hf_ns held exclusively, no node's lock. A file whose known name was taken away gets one of the others. The caller frees, also after a failure.
 * -ENOKEY: a name is in a directory that is locked. -EIO: the disk has names of it that are not authentic, or that cannot be found. */
HF_MUST_USE int hf_all_names(struct hf_node *file, struct hf_all_names *ret);
/* One that is known already; the same when the list, held against the disk, is not all. */
HF_MUST_USE int hf_all_names_add(struct hf_all_names *all, struct hf_node *dir, const char *backing, const char *plain);
HF_MUST_USE int hf_all_names_known(struct hf_node *file, const struct hf_all_names *known, struct hf_all_names *ret);
void hf_all_names_free(struct hf_all_names *all);

#endif
