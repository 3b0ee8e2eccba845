#include "fs/bearer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/base64url.h"
#include "crypto/kdf.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

enum { VALUE_MAX = HF_XATTR_VALUE_MAX, SEALED_MAX = VALUE_MAX + 32, LIST_MAX = 65536, ITEMS_MAX = 512, OTHER_LEN = 21 };
static const char other_id[] = HF_BEARER_OTHER_ID;
static const uint8_t none[32];

/* --- the disk's own attributes --- */

static const char *prefix_of(const struct hf_bearer *bearer)
{
    return bearer->kind == HF_BEARER_OTHER ? "trusted.hf." : "user.hf.";
}

static ssize_t disk_get(const struct hf_bearer *bearer, const char *name, void *value, size_t cap)
{
    return bearer->kind == HF_BEARER_OTHER ? hf_disk->getxattrat(bearer->fd, bearer->name, name, value, cap) : hf_getxattr_lent(bearer->fd, name, value, cap);
}

static ssize_t disk_list(const struct hf_bearer *bearer, char *list)
{
    return bearer->kind == HF_BEARER_OTHER ? hf_disk->listxattrat(bearer->fd, bearer->name, list, LIST_MAX - 256) : hf_disk->flistxattr(bearer->fd, list, LIST_MAX - 256);
}

static int disk_set(const struct hf_bearer *bearer, const char *name, struct hf_span value, int flags)
{
    uint32_t lent;
    if (bearer->kind == HF_BEARER_OTHER)
        return value.data ? hf_disk->setxattrat(bearer->fd, bearer->name, name, value.data, value.len, flags) : hf_disk->removexattrat(bearer->fd, bearer->name, name);
    int failed = hf_lend(bearer->fd, 0600, &lent);
    if (failed)
        return failed;
    failed = value.data ? hf_disk->fsetxattr(bearer->fd, name, value.data, value.len, flags) : hf_disk->fremovexattr(bearer->fd, name);
    hf_lend_back(bearer->fd, lent);
    return failed;
}

/* --- keys --- */

static int key_by_class(struct hf_bearer *bearer, unsigned class, uint32_t generation)
{
    struct hf_name_key name;
    struct hf_span id = HF_SPAN_OF(bearer->id);
    enum hf_result result = hf_keyring_name(class, generation, &name);
    if (result != HF_OK)
        return -hf_errno(result);
    hf_kdf(HF_KDF_XATTR_KEY, name.bytes, &id, 1, bearer->key, sizeof bearer->key);
    hf_name_key_wipe(&name);
    return 0;
}

void hf_bearer_key_of_file(struct hf_bearer *bearer)
{
    struct hf_span id = HF_SPAN_OF(bearer->id);
    memcpy(bearer->id, bearer->node->content->header.file_id, sizeof bearer->id);
    hf_kdf(HF_KDF_XATTR_KEY, bearer->node->content->keys->file.bytes, &id, 1, bearer->key, sizeof bearer->key);
}

static int key_of_dir(struct hf_bearer *bearer, const struct hf_dir_record *record)
{
    memcpy(bearer->id, record->dir_id, sizeof bearer->id);
    return key_by_class(bearer, record->class, record->class_generation);
}

/* [NM-10] */
int hf_bearer_key_of_other(struct hf_bearer *bearer, struct hf_node *make_in)
{
    uint8_t bytes[OTHER_LEN];
    ssize_t len = disk_get(bearer, other_id, bytes, sizeof bytes);
    if (len == -ENODATA || len == -EOPNOTSUPP) {
        bearer->none = !make_in;
        if (!make_in)
            return 0;
        uint32_t generation = make_in->dir.record.class_generation;
        bytes[0] = (uint8_t)hf_dir_class(make_in);
        for (unsigned i = 0; i < 4; i++)
            bytes[1 + i] = (uint8_t)(generation >> (8 * i));
        hf_random(bytes + 5, 16);
        int failed = disk_set(bearer, other_id, HF_SPAN_OF(bytes), XATTR_CREATE);
        if (failed)
            return failed;
        len = sizeof bytes;
    }
    if (len != OTHER_LEN)
        return len < 0 && len != -ERANGE ? (int)len : -EIO;
    memcpy(bearer->id, bytes + 5, 16);
    return key_by_class(bearer, bytes[0], bytes[1] | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3] << 16 | (uint32_t)bytes[4] << 24);
}

/* --- in use --- */

static int open_file(struct hf_bearer *bearer, bool to_write)
{
    struct hf_node *file = bearer->node;
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_bind(file);
    bearer->none = !failed && !to_write && !file->evidence && hf_equal_ct(file->content->meta.xattr_digest, none, sizeof none);
    bearer->fd = file->fd;
    if (!failed) /* for "none" no key of the file's is needed */
        failed = bearer->none ? hf_bearer_check(bearer) : hf_file_ready(file);
    if (failed)
        pthread_rwlock_unlock(&file->lock);
    else if (!bearer->none)
        hf_bearer_key_of_file(bearer);
    return failed;
}

static int open_dir(struct hf_bearer *bearer)
{
    bearer->fd = hf_dir_use(bearer->node);
    if (bearer->fd < 0)
        return bearer->fd;
    int failed = key_of_dir(bearer, &bearer->node->dir.record);
    if (failed)
        hf_dir_done(bearer->node);
    return failed;
}

static int open_other(struct hf_bearer *bearer, bool to_write)
{
    struct hf_node *dir = bearer->node->parent;
    bearer->name = bearer->node->name;
    bearer->fd = !dir ? -ESTALE : to_write ? hf_dir_use(dir) : hf_dir_use_fd(dir);
    if (bearer->fd < 0)
        return bearer->fd;
    int failed = hf_bearer_key_of_other(bearer, to_write ? dir : NULL);
    if (failed)
        hf_dir_done(dir);
    return failed;
}

int hf_bearer_open(struct hf_node *node, bool to_write, struct hf_bearer *ret)
{
    *ret = (struct hf_bearer){.node = node, .fd = -1};
    switch (node->kind) {
    case HF_NODE_DIR: ret->kind = HF_BEARER_DIR; return open_dir(ret);
    case HF_NODE_FILE:
    case HF_NODE_LONG_LINK: ret->kind = HF_BEARER_FILE; return open_file(ret, to_write);
    case HF_NODE_LINK:
    case HF_NODE_OTHER: break;
    }
    ret->kind = HF_BEARER_OTHER;
    return open_other(ret, to_write);
}

void hf_bearer_close(struct hf_bearer *bearer)
{
    hf_wipe(bearer->key, sizeof bearer->key);
    switch (bearer->kind) {
    case HF_BEARER_FILE: pthread_rwlock_unlock(&bearer->node->lock); break;
    case HF_BEARER_DIR: hf_dir_done(bearer->node); break;
    case HF_BEARER_OTHER: hf_dir_done(bearer->node->parent); break;
    }
}

static int seal_name(const struct hf_bearer *bearer, const char *name, char out[256])
{
    const char *prefix = prefix_of(bearer);
    size_t len = strlen(name), prefix_len = strlen(prefix), max = (255 - prefix_len) * 3 / 4 - HF_SIV_TAG_LEN;
    uint8_t sealed[256];
    if (len > max)
        return -ERANGE;
    int failed = -hf_errno(hf_siv_seal(bearer->key, HF_SPAN_OF(bearer->id), HF_SPAN(name, len), sealed));
    memcpy(out, prefix, prefix_len);
    hf_base64url_encode(sealed, len + HF_SIV_TAG_LEN, out + prefix_len);
    return failed;
}

static struct hf_span value_aad(const struct hf_bearer *bearer, const char *name, uint8_t aad[16 + 256])
{
    memcpy(aad, bearer->id, 16);
    memcpy(aad + 16, name, strlen(name));
    return HF_SPAN(aad, 16 + strlen(name));
}

/* --- the digest --- */

struct item {
    const char *name;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct item *)a)->name, ((const struct item *)b)->name);
}

/* Ours among the names in list; count of items. */
static size_t ours(const struct hf_bearer *bearer, const char *list, size_t len, struct item *items, size_t cap)
{
    const char *prefix = prefix_of(bearer);
    size_t count = 0, prefix_len = strlen(prefix);
    for (const char *at = list; at < list + len && count < cap; at += strlen(at) + 1) {
        if (strncmp(at, prefix, prefix_len) == 0)
            items[count++].name = at;
    }
    return count;
}

/* A digest under the class's metadata key (file), or a hash that the record's MAC covers (directory). */
struct digester {
    enum hf_kdf_context context;
    uint8_t key[32], id[16];
};

static int digester_of(const struct hf_bearer *bearer, struct digester *ret)
{
    struct hf_meta_key key;
    memcpy(ret->id, bearer->id, sizeof ret->id);
    if (bearer->kind == HF_BEARER_DIR) {
        ret->context = HF_KDF_DIR_XATTRS;
        memset(ret->key, 0, sizeof ret->key);
        memcpy(ret->key, bearer->id, sizeof bearer->id);
        return 0;
    }
    const struct hf_file_static *header = &bearer->node->content->header;
    ret->context = HF_KDF_XATTR_DIGEST;
    memcpy(ret->id, header->file_id, sizeof ret->id);
    enum hf_result result = hf_keyring_meta(header->class, header->class_generation, &key);
    if (result == HF_OK)
        memcpy(ret->key, key.bytes, sizeof ret->key);
    hf_meta_key_wipe(&key);
    return -hf_errno(result);
}

/* Of what is on disk, with `name` changed to value (value.data NULL: removed; name NULL: nothing changed). Zeros when nothing is there. */
int hf_bearer_digest(const struct hf_bearer *bearer, const char *name, struct hf_span value, uint8_t out[32])
{
    struct digester digester;
    if (!name && hf_disk->flistxattr(bearer->fd, NULL, 0) == 0) { /* most have none at all */
        memset(out, 0, 32);
        return 0;
    }
    char *list = malloc(LIST_MAX);
    uint8_t *bytes = malloc(SEALED_MAX);
    struct item items[ITEMS_MAX];
    uint8_t chain[32] = {0};
    int failed = list && bytes ? digester_of(bearer, &digester) : -ENOMEM;
    ssize_t len = failed ? 0 : disk_list(bearer, list);
    if (len < 0 && len != -EOPNOTSUPP)
        failed = (int)len;
    size_t count = 0;
    if (!failed) {
        count = ours(bearer, list, len > 0 ? (size_t)len : 0, items, ITEMS_MAX - 1);
        bool known = false;
        for (size_t i = 0; name && i < count; i++)
            known = known || strcmp(items[i].name, name) == 0;
        if (name && !known)
            items[count++].name = name;
        qsort(items, count, sizeof *items, by_name);
    }
    for (size_t i = 0; i < count && !failed; i++) {
        struct hf_span this = value;
        if (!name || strcmp(items[i].name, name) != 0) {
            ssize_t got = disk_get(bearer, items[i].name, bytes, SEALED_MAX);
            failed = got < 0 ? (int)got : 0;
            this = HF_SPAN(bytes, got < 0 ? 0 : (size_t)got);
        } else if (!value.data) {
            continue;
        }
        uint8_t name_len[2] = {(uint8_t)strlen(items[i].name), 0};
        struct hf_span info[] = {HF_SPAN_OF(digester.id), HF_SPAN_OF(chain), HF_SPAN_OF(name_len), HF_SPAN(items[i].name, strlen(items[i].name)), this};
        uint8_t next[32];
        if (!failed)
            hf_kdf(digester.context, digester.key, info, 5, next, sizeof next);
        memcpy(chain, next, failed ? 0 : sizeof chain);
    }
    hf_wipe(digester.key, sizeof digester.key);
    free(list);
    free(bytes);
    if (!failed)
        memcpy(out, chain, sizeof chain);
    return failed;
}

int hf_bearer_dir_digest(int fd, const uint8_t dir_id[16], uint8_t ret[32])
{
    struct hf_bearer bearer = {.kind = HF_BEARER_DIR, .fd = fd};
    memcpy(bearer.id, dir_id, sizeof bearer.id);
    return hf_bearer_digest(&bearer, NULL, HF_SPAN(NULL, 0), ret);
}

int hf_bearer_check(const struct hf_bearer *bearer)
{
    uint8_t now[32];
    if (bearer->kind == HF_BEARER_OTHER || !bearer->node)
        return 0;
    int failed = hf_bearer_digest(bearer, NULL, HF_SPAN(NULL, 0), now);
    if (failed)
        return failed;
    if (bearer->kind == HF_BEARER_DIR)
        return hf_equal_ct(now, bearer->node->dir.digest, sizeof now) ? 0 : -EIO;
    if (hf_equal_ct(now, bearer->node->content->meta.xattr_digest, sizeof now))
        return 0;
    return bearer->node->evidence && hf_evidence_has(bearer->node, HF_EVIDENCE_XATTRS, now) ? 0 : -EIO;
}

/* --- reading --- */

ssize_t hf_bearer_get(const struct hf_bearer *bearer, const char *name, void *value, size_t cap)
{
    char disk_name[256];
    uint8_t aad[16 + 256];
    if (bearer->none)
        return -ENODATA;
    int failed = seal_name(bearer, name, disk_name);
    if (failed)
        return failed == -ERANGE ? -ENODATA : failed;
    uint8_t *sealed = malloc(SEALED_MAX);
    if (!sealed)
        return -ENOMEM;
    failed = hf_bearer_check(bearer);
    ssize_t len = failed ? failed : disk_get(bearer, disk_name, sealed, SEALED_MAX);
    if (len >= 0 && len < HF_SIV_TAG_LEN + 1)
        len = -EIO;
    if (len >= 0) {
        size_t plain_len = (size_t)len - HF_SIV_TAG_LEN - 1;
        uint8_t *plain = malloc(plain_len + 1);
        if (!plain)
            len = -ENOMEM;
        else if (hf_siv_open(bearer->key, value_aad(bearer, name, aad), HF_SPAN(sealed, (size_t)len), plain) != HF_OK)
            len = -EIO;
        else if (cap > 0 && cap < plain_len)
            len = -ERANGE;
        else
            len = (ssize_t)plain_len;
        if (len >= 0 && cap > 0)
            memcpy(value, plain + 1, plain_len);
        if (plain)
            hf_wipe(plain, plain_len + 1);
        free(plain);
    }
    free(sealed);
    return len;
}

ssize_t hf_bearer_list(const struct hf_bearer *bearer, char *out, size_t cap)
{
    if (bearer->none)
        return 0;
    char *list = malloc(LIST_MAX);
    struct item items[ITEMS_MAX];
    ssize_t total = 0;
    if (!list)
        return -ENOMEM;
    int failed = hf_bearer_check(bearer);
    ssize_t len = failed ? failed : disk_list(bearer, list);
    size_t count = len > 0 ? ours(bearer, list, (size_t)len, items, ITEMS_MAX) : 0;
    for (size_t i = 0; i < count && len > 0; i++) {
        uint8_t sealed[256], plain[256];
        size_t sealed_len = 0;
        const char *text = items[i].name + strlen(prefix_of(bearer));
        if (hf_base64url_decode(text, strlen(text), sealed, sizeof sealed, &sealed_len) != HF_OK || sealed_len <= HF_SIV_TAG_LEN ||
            hf_siv_open(bearer->key, HF_SPAN_OF(bearer->id), HF_SPAN(sealed, sealed_len), plain) != HF_OK) {
            len = -EIO;
            break;
        }
        size_t plain_len = sealed_len - HF_SIV_TAG_LEN;
        if (cap > 0 && (size_t)total + plain_len + 1 > cap) {
            len = -ERANGE;
            break;
        }
        if (cap > 0) {
            memcpy(out + total, plain, plain_len);
            out[(size_t)total + plain_len] = '\0';
        }
        total += (ssize_t)plain_len + 1;
    }
    free(list);
    return len < 0 ? len : total;
}

/* --- changing --- */

/* Evidence first, then the change; the header follows at the settle. */
static int change_file(struct hf_bearer *bearer, const char *disk_name, struct hf_span value, int flags)
{
    uint8_t fresh[32];
    struct hf_node *node = bearer->node;
    int failed = hf_bearer_digest(bearer, disk_name, value, fresh);
    if (!failed)
        failed = hf_evidence_put(node, HF_EVIDENCE_XATTRS, fresh);
    if (failed)
        return failed;
    hf_dirty(node);
    failed = disk_set(bearer, disk_name, value, flags);
    if (failed)
        return failed;
    hf_content_attr_moves(node->content);
    hf_attr_moved();
    memcpy(node->content->meta.xattr_digest, fresh, sizeof fresh);
    node->stale = true;
    return 0;
}

/* [NM-9] As a change of mode: the next record, the change, the record in its place. */
static int change_dir(struct hf_bearer *bearer, const char *disk_name, struct hf_span value, int flags)
{
    struct hf_node *dir = bearer->node;
    struct hf_dir_record record;
    struct stat st;
    char plain[256] = "";
    uint8_t fresh[32];
    int failed = hf_bearer_digest(bearer, disk_name, value, fresh);
    if (!failed && dir->unlinked) /* it has no record any more, and takes none */
        failed = disk_set(bearer, disk_name, value, flags);
    if (failed || dir->unlinked) {
        if (!failed)
            memcpy(dir->dir.digest, fresh, sizeof fresh);
        return failed;
    }
    failed = hf_disk->fstat(bearer->fd, &st);
    if (!failed && dir->id != HF_TREE_ROOT)
        failed = hf_node_plain(dir, plain);
    if (!failed)
        failed = hf_dir_record_next(dir, bearer->fd, dir->parent, plain, &st, dir->dir.record.class, dir->dir.record.flags, fresh, &record);
    if (!failed) {
        hf_dirty(NULL);
        failed = disk_set(bearer, disk_name, value, flags);
        if (failed) {
            hf_dir_record_forget_next(bearer->fd);
        } else {
            memcpy(dir->dir.digest, fresh, sizeof fresh);
            hf_dir_record_commit(dir, bearer->fd, &record);
        }
    }
    hf_wipe(plain, sizeof plain);
    return failed;
}

static int change(struct hf_bearer *bearer, const char *disk_name, struct hf_span value, int flags)
{
    int failed = hf_bearer_check(bearer);
    if (failed)
        return failed;
    if (!bearer->node || bearer->kind == HF_BEARER_OTHER)
        return disk_set(bearer, disk_name, value, flags);
    return bearer->kind == HF_BEARER_FILE ? change_file(bearer, disk_name, value, flags) : change_dir(bearer, disk_name, value, flags);
}

int hf_bearer_set(struct hf_bearer *bearer, const char *name, struct hf_span value, int flags)
{
    char disk_name[256];
    uint8_t aad[16 + 256];
    int failed = seal_name(bearer, name, disk_name);
    if (failed)
        return failed;
    /* The answers that the flags ask for come before any evidence. */
    ssize_t there = disk_get(bearer, disk_name, NULL, 0);
    if ((flags & XATTR_CREATE) && there >= 0)
        return -EEXIST;
    if (((flags & XATTR_REPLACE) || !value.data) && there < 0)
        return (int)there;
    if (!value.data)
        return change(bearer, disk_name, HF_SPAN(NULL, 0), 0);
    uint8_t *plain = calloc(1, value.len + 1), *sealed = malloc(value.len + 1 + HF_SIV_TAG_LEN);
    if (!plain || !sealed)
        failed = -ENOMEM;
    if (!failed) {
        if (value.len > 0)
            memcpy(plain + 1, value.data, value.len);
        failed = -hf_errno(hf_siv_seal(bearer->key, value_aad(bearer, name, aad), HF_SPAN(plain, value.len + 1), sealed));
    }
    if (!failed)
        failed = change(bearer, disk_name, HF_SPAN(sealed, value.len + 1 + HF_SIV_TAG_LEN), flags);
    if (plain)
        hf_wipe(plain, value.len + 1);
    free(plain);
    free(sealed);
    return failed;
}

/* --- what is being made --- */

int hf_bearer_birth_file(struct hf_node *file, const char *name, struct hf_span value)
{
    struct hf_bearer bearer = {.kind = HF_BEARER_FILE, .node = file, .fd = file->fd};
    hf_bearer_key_of_file(&bearer);
    bearer.node = NULL;
    int failed = hf_bearer_set(&bearer, name, value, XATTR_CREATE);
    if (!failed)
        failed = hf_xattr_digest(file, file->content->meta.xattr_digest);
    hf_wipe(bearer.key, sizeof bearer.key);
    return failed;
}

int hf_bearer_birth_dir(int fd, const struct hf_dir_record *record, const char *name, struct hf_span value)
{
    struct hf_bearer bearer = {.kind = HF_BEARER_DIR, .fd = fd};
    int failed = key_of_dir(&bearer, record);
    if (!failed)
        failed = hf_bearer_set(&bearer, name, value, XATTR_CREATE);
    hf_wipe(bearer.key, sizeof bearer.key);
    return failed;
}

int hf_bearer_birth_other(struct hf_node *dir, int dir_fd, const char *backing, const char *name, struct hf_span value)
{
    struct hf_bearer bearer = {.kind = HF_BEARER_OTHER, .fd = dir_fd, .name = backing};
    int failed = hf_bearer_key_of_other(&bearer, dir);
    if (!failed)
        failed = hf_bearer_set(&bearer, name, value, XATTR_CREATE);
    hf_wipe(bearer.key, sizeof bearer.key);
    return failed;
}
