/* fs/treepart.h: inside tree_*.c: the start and end of each request. */
#ifndef HF_FS_TREEPART_H
#define HF_FS_TREEPART_H

#include "fs/dirs.h"
#include "fs/node.h"

extern const struct hf_tree_kernel *hf_kernel; /* hf_tree_start's */

/* The node of a request, with hf_ns held until hf_tree_leave. */
HF_MUST_USE int hf_tree_enter(uint64_t id, bool exclusive, struct hf_node **ret);
void hf_tree_leave(void);
/* The entry of an object that a directory has; counts one lookup. hf_ns held, dir in use. */
HF_MUST_USE int hf_tree_entry(struct hf_node *dir, const char *plain, const struct hf_place *place, struct hf_entry *ret);

/* The disk's attributes of a node; its mode alone set, as chmod. hf_ns held; for the second exclusively. */
HF_MUST_USE int hf_tree_disk_stat(struct hf_node *node, struct stat *st);
HF_MUST_USE int hf_tree_set_mode(struct hf_node *node, mode_t mode);

#endif
