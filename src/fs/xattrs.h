/* fs/xattrs.h: inside the tree alone: what the scan and a change of class do with a file's extended attributes. hf_ns and the files' locks held exclusively, contents ready. */
#ifndef HF_FS_XATTRS_H
#define HF_FS_XATTRS_H

#include "fs/node.h"

#define HF_XATTR_VALUE_MAX (65536u - 32u)

/* The header's digest becomes that of what is on disk, when the header or evidence vouches for it; else -EIO. */
HF_MUST_USE int hf_xattr_rebind(struct hf_node *file);
/* The digest of what is on disk. */
HF_MUST_USE int hf_xattr_digest(struct hf_node *file, uint8_t out[32]);
/* Seals from's attributes anew for to. */
HF_MUST_USE int hf_xattr_copy(struct hf_node *from, struct hf_node *to);
/* As they are on disk, from one symlink to another that takes its place; and to a file that does. */
HF_MUST_USE int hf_xattr_move_link(int from_dir, const char *from, int to_dir, const char *to);
HF_MUST_USE int hf_xattr_copy_link(int from_dir, const char *from, struct hf_node *to);

/* A directory's, whose key changes with its class: taken away and held, then set again under the key it has by then. (A stop between the two loses them.) hf_ns held exclusively. */
struct hf_xattr_held;
HF_MUST_USE int hf_xattr_hold(struct hf_node *dir, struct hf_xattr_held **ret);
HF_MUST_USE int hf_xattr_release(struct hf_node *dir, struct hf_xattr_held *held);

#endif
