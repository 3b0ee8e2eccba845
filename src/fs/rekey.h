/* fs/rekey.h: inside the tree alone: a file gets another key, or its key another wrap, and keeps all its names. Source: spec/30-file.md [FC-9], spec/35-crash.md [CR-17]. */
#ifndef HF_FS_REKEY_H
#define HF_FS_REKEY_H

#include "fs/allnames.h"
#include "fs/node.h"

/* The two below: hf_ns and the file's lock held exclusively, content ready, names: all it has, found with that hf_ns. */

/* Its key under the class's current generation, names and attributes bound anew, page 0 written. The file is dirty. */
HF_MUST_USE int hf_file_rewrap(struct hf_node *file, unsigned class, const struct hf_all_names *names);
/* Fresh key and ciphertext in a fresh inode that takes the old one's place at every name; who has the file open goes on with it. */
HF_MUST_USE int hf_file_raise(struct hf_node *file, unsigned class, const struct hf_all_names *names);

/* What a stop left of the second, in the scan: copies that have some of a file's names already. hf_ns held exclusively. */
struct hf_raised;
HF_MUST_USE int hf_raised_load(struct hf_raised **ret);
/* A file's label is there, its lock held: when a copy is to have this name, it gets it. 1: it has it now; 0: none is; -ENOKEY: the copy's class is locked. */
HF_MUST_USE int hf_raised_finish(struct hf_raised *list, const struct hf_node *file, struct hf_node *dir, int dir_fd, const char *backing);
/* done: every name was seen, and what the scan did is durable. */
void hf_raised_end(struct hf_raised **list, bool done);

#endif
