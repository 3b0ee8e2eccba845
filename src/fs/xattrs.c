#include "fs/xattrs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/bearer.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum { VALUE_MAX = HF_XATTR_VALUE_MAX, LIST_MAX = 65536 };

int hf_xattr_move_link(int from_dir, const char *from, int to_dir, const char *to)
{
    char *list = malloc(LIST_MAX);
    uint8_t *bytes = malloc(VALUE_MAX + 32);
    int failed = list && bytes ? 0 : -ENOMEM;
    ssize_t len = failed ? 0 : hf_disk->listxattrat(from_dir, from, list, LIST_MAX);
    if (len < 0 && len != -EOPNOTSUPP)
        failed = (int)len;
    for (const char *at = list; !failed && len > 0 && at < list + len; at += strlen(at) + 1) {
        if (strncmp(at, HF_BEARER_OTHER_ID, sizeof HF_BEARER_OTHER_ID - 1) != 0)
            continue;
        ssize_t got = hf_disk->getxattrat(from_dir, from, at, bytes, VALUE_MAX + 32);
        failed = got < 0 ? (int)got : hf_disk->setxattrat(to_dir, to, at, bytes, (size_t)got, 0);
    }
    free(list);
    free(bytes);
    return failed;
}

int hf_xattr_digest(struct hf_node *file, uint8_t out[32])
{
    struct hf_bearer bearer = {.kind = HF_BEARER_FILE, .node = file, .fd = file->fd};
    return hf_bearer_digest(&bearer, NULL, HF_SPAN(NULL, 0), out);
}

int hf_xattr_rebind(struct hf_node *file)
{
    struct hf_bearer bearer = {.kind = HF_BEARER_FILE, .node = file, .fd = file->fd};
    uint8_t now[32];
    int failed = hf_bearer_check(&bearer);
    if (!failed)
        failed = hf_xattr_digest(file, now);
    if (!failed)
        memcpy(file->content->meta.xattr_digest, now, sizeof now);
    return failed;
}

static int copy_all(const struct hf_bearer *source, struct hf_bearer *target)
{
    char *list = malloc(LIST_MAX), *value = malloc(VALUE_MAX);
    int failed = list && value ? 0 : -ENOMEM;
    ssize_t len = failed ? 0 : hf_bearer_list(source, list, LIST_MAX);
    failed = len < 0 ? (int)len : failed;
    for (const char *name = list; !failed && name < list + len; name += strlen(name) + 1) {
        ssize_t got = hf_bearer_get(source, name, value, VALUE_MAX);
        failed = got < 0 ? (int)got : hf_bearer_set(target, name, HF_SPAN(value, (size_t)got), 0);
        hf_wipe(value, VALUE_MAX);
    }
    free(list);
    free(value);
    return failed;
}

int hf_xattr_copy(struct hf_node *from, struct hf_node *to)
{
    struct hf_bearer source = {.kind = HF_BEARER_FILE, .node = from, .fd = from->fd}, target = {.kind = HF_BEARER_FILE, .node = to, .fd = to->fd};
    hf_bearer_key_of_file(&source);
    hf_bearer_key_of_file(&target);
    int failed = copy_all(&source, &target);
    hf_wipe(source.key, sizeof source.key);
    hf_wipe(target.key, sizeof target.key);
    return failed;
}

int hf_xattr_copy_link(int from_dir, const char *from, struct hf_node *to)
{
    struct hf_bearer source = {.kind = HF_BEARER_OTHER, .fd = from_dir, .name = from}, target = {.kind = HF_BEARER_FILE, .node = to, .fd = to->fd};
    int failed = hf_bearer_key_of_other(&source, NULL);
    if (!failed && source.none)
        return 0;
    hf_bearer_key_of_file(&target);
    if (!failed)
        failed = copy_all(&source, &target);
    hf_wipe(source.key, sizeof source.key);
    hf_wipe(target.key, sizeof target.key);
    return failed;
}

struct hf_xattr_held {
    struct hf_xattr_held *next;
    size_t len;
    char name[256];
    uint8_t value[];
};

static int hold_one(struct hf_bearer *bearer, const char *name, struct hf_xattr_held **list)
{
    ssize_t len = hf_bearer_get(bearer, name, NULL, 0);
    if (len < 0 || strlen(name) >= sizeof (*list)->name)
        return len < 0 ? (int)len : -EIO;
    struct hf_xattr_held *held = calloc(1, sizeof *held + (size_t)len + 1);
    if (!held)
        return -ENOMEM;
    held->len = (size_t)len;
    memcpy(held->name, name, strlen(name));
    len = hf_bearer_get(bearer, name, held->value, held->len + 1);
    int failed = len == (ssize_t)held->len ? hf_bearer_set(bearer, name, HF_SPAN(NULL, 0), 0) : -EIO;
    if (failed) {
        hf_wipe(held, sizeof *held + held->len);
        free(held);
        return failed;
    }
    held->next = *list;
    *list = held;
    return 0;
}

int hf_xattr_hold(struct hf_node *dir, struct hf_xattr_held **ret)
{
    struct hf_bearer bearer;
    *ret = NULL;
    if (!(dir->dir.record.flags & HF_DIR_ATTRIBUTES))
        return 0;
    int failed = hf_bearer_open(dir, true, &bearer);
    if (failed)
        return failed;
    char *list = malloc(LIST_MAX);
    ssize_t len = list ? hf_bearer_list(&bearer, list, LIST_MAX) : -ENOMEM;
    failed = len < 0 ? (int)len : 0;
    for (const char *name = list; !failed && name < list + len; name += strlen(name) + 1)
        failed = hold_one(&bearer, name, ret);
    free(list);
    hf_bearer_close(&bearer);
    if (failed)
        (void)!hf_xattr_release(dir, *ret);
    return failed;
}

int hf_xattr_release(struct hf_node *dir, struct hf_xattr_held *held)
{
    struct hf_bearer bearer;
    if (!held)
        return 0;
    int failed = hf_bearer_open(dir, true, &bearer), result = failed;
    while (held) {
        struct hf_xattr_held *next = held->next;
        int one = failed ? failed : hf_bearer_set(&bearer, held->name, HF_SPAN(held->value, held->len), 0);
        result = result ? result : one;
        hf_wipe(held, sizeof *held + held->len);
        free(held);
        held = next;
    }
    if (!failed)
        hf_bearer_close(&bearer);
    return result;
}
