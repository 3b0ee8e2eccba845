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
