/* Extended attributes: which names there are. user.holdfast.class is not stored: it is the object's class. What is stored is bearer.c's. Source: spec/31-names.md [NM-6]. */
#include <errno.h>
#include <string.h>

#include "fs/acl.h"
#include "fs/bearer.h"
#include "fs/files.h"
#include "fs/keyring.h"
#include "fs/protect.h"
#include "fs/treepart.h"
#include "fs/xattrs.h"

#define CLASS_NAME "user.holdfast.class"
#define UNVERIFIED_NAME "user.holdfast.unverified" /* [UO-8] not stored either */

/* The namespaces that disks have, and what they answer to others. The kernel has looked who may use them, and for what. */
static int name_allowed(const struct hf_node *node, const char *name)
{
    static const char *const spaces[] = {"trusted.", "security.", "user."};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        size_t len = strlen(spaces[i]);
        if (strncmp(name, spaces[i], len) != 0)
            continue;
        bool users = i == 2;
        return name[len] == '\0' ? -EINVAL : users && node->kind != HF_NODE_FILE && node->kind != HF_NODE_DIR ? -EPERM : 0;
    }
    return -EOPNOTSUPP;
}

static ssize_t class_value(struct hf_node *node, void *value, size_t cap)
{
    int failed = 0;
    unsigned class = 0;
    if (node->kind == HF_NODE_DIR) {
        int fd = hf_dir_use(node);
        failed = fd < 0 ? fd : 0;
        class = hf_dir_file_class(node);
        if (!failed)
            hf_dir_done(node);
    } else if (node->kind == HF_NODE_FILE) {
        pthread_rwlock_wrlock(&node->lock);
        failed = hf_file_bind(node);
        class = node->class;
        pthread_rwlock_unlock(&node->lock);
    } else {
        return -ENODATA;
    }
    if (failed)
        return failed;
    const char *name = hf_class_name(class);
    size_t len = strlen(name);
    if (cap > 0 && cap < len)
        return -ERANGE;
    if (cap > 0)
        memcpy(value, name, len);
    return (ssize_t)len;
}

static ssize_t unverified_value(struct hf_node *node, void *value, size_t cap)
{
    static const char text[] = "before-first-unlock";
    if (node->kind != HF_NODE_FILE)
        return -ENODATA;
    pthread_rwlock_wrlock(&node->lock);
    int failed = hf_file_bind(node);
    bool unverified = !failed && node->content->header.flags & HF_STATIC_UNVERIFIED;
    pthread_rwlock_unlock(&node->lock);
    if (failed || !unverified)
        return failed ? failed : -ENODATA;
    if (cap > 0 && cap < sizeof text - 1)
        return -ERANGE;
    if (cap > 0)
        memcpy(value, text, sizeof text - 1);
    return sizeof text - 1;
}

/* The kernel asks for security.capability at each write: a loaded header that says "none" answers without a look at the disk. */
static bool has_none(struct hf_node *node)
{
    static const uint8_t none[32];
    if (node->kind != HF_NODE_FILE)
        return false;
    pthread_rwlock_rdlock(&node->lock);
    bool is = node->content && node->bound && !node->evidence && hf_equal_ct(node->content->meta.xattr_digest, none, sizeof none);
    pthread_rwlock_unlock(&node->lock);
    return is;
}

ssize_t hf_tree_getxattr(uint64_t id, const char *name, void *value, size_t cap)
{
    struct hf_node *node;
    struct hf_bearer bearer;
    int failed = hf_tree_enter(id, false, &node);
    if (failed)
        return failed;
    ssize_t result;
    if (strcmp(name, CLASS_NAME) == 0) {
        result = class_value(node, value, cap);
    } else if (strcmp(name, UNVERIFIED_NAME) == 0) {
        result = unverified_value(node, value, cap);
    } else if (hf_acl_is_name(name)) {
        result = hf_acl_get(node, name, value, cap);
    } else if ((failed = name_allowed(node, name)) != 0) {
        result = failed == -EPERM ? -ENODATA : failed;
    } else if (has_none(node)) {
        result = -ENODATA;
    } else if ((failed = hf_bearer_open(node, false, &bearer)) != 0) {
        result = failed;
    } else {
        result = hf_bearer_get(&bearer, name, value, cap);
        hf_bearer_close(&bearer);
    }
    hf_tree_leave();
    return result;
}

ssize_t hf_tree_listxattr(uint64_t id, char *list, size_t cap)
{
    struct hf_node *node;
    struct hf_bearer bearer;
    int failed = hf_tree_enter(id, false, &node);
    if (failed)
        return failed;
    failed = hf_bearer_open(node, false, &bearer);
    ssize_t result = failed;
    if (!failed) {
        result = hf_bearer_list(&bearer, list, cap);
        hf_bearer_close(&bearer);
    }
    hf_tree_leave();
    return result;
}

/* value.data NULL removes. */
static int set(struct hf_node *node, const char *name, struct hf_span value, int flags)
{
    struct hf_bearer bearer;
    int failed = name_allowed(node, name);
    if (!failed)
        failed = hf_bearer_open(node, value.data != NULL, &bearer);
    if (failed)
        return failed;
    if (bearer.kind == HF_BEARER_FILE)
        node->no_capability = node->no_capability && !value.data;
    failed = bearer.none ? -ENODATA : hf_bearer_set(&bearer, name, value, flags);
    hf_bearer_close(&bearer);
    return failed;
}

int hf_tree_setxattr(uint64_t id, const char *name, const void *value, size_t len, int flags)
{
    struct hf_node *node;
    struct hf_span span = HF_SPAN(len > 0 ? value : "", len);
    if (strcmp(name, CLASS_NAME) == 0)
        return hf_protect(id, value, len);
    if (strcmp(name, UNVERIFIED_NAME) == 0)
        return -EPERM;
    if (len > HF_XATTR_VALUE_MAX)
        return -E2BIG;
    int failed = hf_tree_enter(id, true, &node);
    if (failed)
        return failed;
    failed = hf_acl_is_name(name) ? hf_acl_set(node, name, span, flags) : set(node, name, span, flags & ~HF_XATTR_KILL_SGID);
    hf_tree_leave();
    return failed;
}

int hf_tree_removexattr(uint64_t id, const char *name)
{
    struct hf_node *node;
    const struct hf_span nothing = {.data = NULL};
    if (strcmp(name, CLASS_NAME) == 0 || strcmp(name, UNVERIFIED_NAME) == 0)
        return -EPERM;
    int failed = hf_tree_enter(id, true, &node);
    if (failed)
        return failed;
    failed = hf_acl_is_name(name) ? hf_acl_set(node, name, nothing, 0) : set(node, name, nothing, 0);
    hf_tree_leave();
    return failed == -ERANGE ? -ENODATA : failed;
}
