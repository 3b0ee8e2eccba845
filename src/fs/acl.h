/* fs/acl.h: inside the tree alone: access control lists, kept as sealed extended attributes of their own names. Source: spec/32-acl.md. */
#ifndef HF_FS_ACL_H
#define HF_FS_ACL_H

#include "fs/dirs.h"
#include "fs/node.h"

#define HF_ACL_ACCESS_NAME "system.posix_acl_access"
#define HF_ACL_DEFAULT_NAME "system.posix_acl_default"

bool hf_acl_is_name(const char *name);
/* hf_ns held. As getxattr. */
ssize_t hf_acl_get(struct hf_node *node, const char *name, void *value, size_t cap);
/* hf_ns held exclusively. As setxattr; value.data NULL removes. flags: HF_XATTR_KILL_SGID alone counts. */
HF_MUST_USE int hf_acl_set(struct hf_node *node, const char *name, struct hf_span value, int flags);

/* What an object that is made in a directory gets. Lists are NULL where there is none; freed by hf_acl_birth_end. */
struct hf_acl_birth {
    mode_t mode; /* the umask or the default list has been taken off */
    struct hf_span access, fallback; /* the second: a directory's own default list */
    uint8_t *memory;
};
/* dir in use, hf_ns held. */
HF_MUST_USE int hf_acl_birth(struct hf_node *dir, mode_t mode, mode_t umask, struct hf_acl_birth *ret);
void hf_acl_birth_end(struct hf_acl_birth *birth);

#endif
