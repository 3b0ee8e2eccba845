#include "fs/acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/acl.h"
#include "fs/bearer.h"
#include "fs/treepart.h"
#include "os/disk.h"

bool hf_acl_is_name(const char *name)
{
    return strcmp(name, HF_ACL_ACCESS_NAME) == 0 || strcmp(name, HF_ACL_DEFAULT_NAME) == 0;
}

static bool is_access(const char *name)
{
    return strcmp(name, HF_ACL_ACCESS_NAME) == 0;
}

/* 0, or why this object has no such list. */
static int may_have(const struct hf_node *node, const char *name)
{
    switch (node->kind) {
    case HF_NODE_LINK:
    case HF_NODE_LONG_LINK: return -EOPNOTSUPP;
    case HF_NODE_DIR: return 0;
    case HF_NODE_FILE:
    case HF_NODE_OTHER: break;
    }
    return is_access(name) ? 0 : -EACCES;
}

/* As it is stored; *ret is the caller's to free. */
static ssize_t load(struct hf_node *node, const char *name, uint8_t **ret)
{
    struct hf_bearer bearer;
    int failed = hf_bearer_open(node, false, &bearer);
    if (failed)
        return failed;
    uint8_t *acl = NULL;
    ssize_t len = hf_bearer_get(&bearer, name, NULL, 0);
    if (len >= 0 && !(acl = malloc((size_t)len + 1)))
        len = -ENOMEM;
    if (len >= 0)
        len = hf_bearer_get(&bearer, name, acl, (size_t)len + 1);
    hf_bearer_close(&bearer);
    if (len >= 0 && hf_acl_check(HF_SPAN(acl, (size_t)len)) != HF_OK)
        len = -EIO;
    if (len < 0)
        free(acl);
    else
        *ret = acl;
    return len;
}

ssize_t hf_acl_get(struct hf_node *node, const char *name, void *value, size_t cap)
{
    struct stat st;
    uint8_t *acl = NULL;
    int failed = may_have(node, name);
    if (failed)
        return failed == -EACCES ? -ENODATA : failed;
    ssize_t len = load(node, name, &acl);
    if (len < 0)
        return len;
    if (is_access(name)) { /* [PA-2] */
        failed = hf_tree_disk_stat(node, &st);
        if (!failed)
            hf_acl_put_mode(acl, (size_t)len, st.st_mode);
    }
    if (!failed && cap > 0 && cap < (size_t)len)
        failed = -ERANGE;
    if (!failed && cap > 0)
        memcpy(value, acl, (size_t)len);
    free(acl);
    return failed ? failed : len;
}

/* Removing what is not there is done already. */
static int store(struct hf_node *node, const char *name, struct hf_span value)
{
    struct hf_bearer bearer;
    int failed = hf_bearer_open(node, value.data != NULL, &bearer);
    if (failed)
        return failed;
    bool any = value.data || hf_bearer_get(&bearer, name, NULL, 0) != -ENODATA;
    if (any)
        failed = hf_bearer_set(&bearer, name, value, 0);
    hf_bearer_close(&bearer);
    return failed;
}

/* [PA-3] The list and the mode are two changes: a stop between them leaves less than either grants. */
static int set_access(struct hf_node *node, struct hf_span acl, bool kill_sgid)
{
    uint32_t bits = 0;
    struct stat st;
    bool all = hf_acl_is_mode(acl, &bits);
    int failed = hf_tree_disk_stat(node, &st);
    if (failed)
        return failed;
    mode_t old = st.st_mode & 07777, fresh = (old & ~(mode_t)(kill_sgid ? 02777 : 0777)) | bits, between = old & (fresh | ~(mode_t)0777);
    if (between != old)
        failed = hf_tree_set_mode(node, between);
    if (!failed)
        failed = store(node, HF_ACL_ACCESS_NAME, all ? HF_SPAN(NULL, 0) : acl);
    if (between == old || !failed)
        return failed || fresh == between ? failed : hf_tree_set_mode(node, fresh);
    (void)!hf_tree_set_mode(node, old); /* all or nothing */
    return failed;
}

int hf_acl_set(struct hf_node *node, const char *name, struct hf_span value, int flags)
{
    int failed = may_have(node, name);
    if (failed)
        return failed == -EACCES && !value.data ? 0 : failed;
    if (!value.data)
        return store(node, name, value);
    if (hf_acl_check(value) != HF_OK)
        return -EINVAL;
    return is_access(name) ? set_access(node, value, (flags & HF_XATTR_KILL_SGID) != 0) : store(node, name, value);
}

/* --- inheritance --- */

int hf_acl_birth(struct hf_node *dir, mode_t mode, mode_t umask, struct hf_acl_birth *ret)
{
    uint8_t *acl = NULL;
    ssize_t len = -ENODATA;
    *ret = (struct hf_acl_birth){.mode = mode & ~umask};
    if (dir->dir.record.flags & HF_DIR_ATTRIBUTES && !S_ISLNK(mode))
        len = load(dir, HF_ACL_DEFAULT_NAME, &acl);
    if (len < 0)
        return len == -ENODATA ? 0 : (int)len;
    uint32_t narrowed = mode;
    uint8_t *memory = malloc(2 * (size_t)len);
    if (!memory) {
        free(acl);
        return -ENOMEM;
    }
    memcpy(memory, acl, (size_t)len);
    memcpy(memory + len, acl, (size_t)len);
    free(acl);
    bool all = hf_acl_inherit(memory, (size_t)len, &narrowed); /* [PA-4] the umask has no part in it */
    *ret = (struct hf_acl_birth){.mode = narrowed, .memory = memory};
    if (!all)
        ret->access = HF_SPAN(memory, (size_t)len);
    if (S_ISDIR(mode))
        ret->fallback = HF_SPAN(memory + len, (size_t)len);
    return 0;
}

void hf_acl_birth_end(struct hf_acl_birth *birth)
{
    free(birth->memory);
    birth->memory = NULL;
}
