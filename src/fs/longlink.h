/* fs/longlink.h: inside the tree alone: a symlink that needs a header becomes a file with a symlink's kind. Source: spec/35-crash.md [CR-14]. */
#ifndef HF_FS_LONGLINK_H
#define HF_FS_LONGLINK_H

#include "fs/dirs.h"
#include "fs/node.h"

/* A symlink on disk has one name, to which its target is sealed. Before it is given a second one, or changes places with something, a file with its target takes its place
 * (as targets that are too long have from the start). dir is in use, hf_ns held exclusively. place->st and the node, when it is known, follow. */
HF_MUST_USE int hf_link_to_file(struct hf_node *dir, int dir_fd, const char *name, struct hf_place *place);

#endif
