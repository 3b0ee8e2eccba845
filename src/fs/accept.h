/* fs/accept.h: what is on disk is taken for what it shall be, by the owner's word, and that is written down in .holdfast/accepted. Source: spec/36-freshness.md [FR-9]. */
#ifndef HF_FS_ACCEPT_H
#define HF_FS_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

/* path: plain, below the root, without a slash in front; empty: everything. *ret_changed: entries of the index that are others now. -EIO: something above the path is not
 * fresh itself, or the object is damaged (*ret_unsound); -EROFS: the index is not sound, so only everything can be accepted. */
int hf_tree_accept(const char *path, uint64_t *ret_changed, uint64_t *ret_unsound);
/* Calls entry for each acceptance so far: unix time, what was accepted (empty: everything), entries changed. -EIO: the file is altered, cut or missing. */
int hf_tree_accepted(void (*entry)(void *arg, uint64_t time, const char *path, uint64_t changed), void *arg);

#endif
