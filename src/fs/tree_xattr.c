/* Extended attributes: names and values sealed; a file's are bound to its header by a digest. user.holdfast.class is not stored: it is the object's class.
 *
 * On disk: `user.hf.` + base64url(SIV(name)) = SIV(1 byte ‖ value; AAD: object id ‖ name). Source: spec/31-names.md [NM-6]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/base64url.h"
#include "crypto/kdf.h"
#include "crypto/siv.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/keyring.h"
#include "fs/protect.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"

#define PREFIX "user.hf."
#define CLASS_NAME "user.holdfast.class"
#define UNVERIFIED_NAME "user.holdfast.unverified" /* [UO-8] not stored either */
enum { PREFIX_LEN = 8, PLAIN_NAME_MAX = 169, VALUE_MAX = 65536 - 32, LIST_MAX = 65536 };

/* An object whose attributes are in use. */
struct bearer {
    struct hf_node *node;
    int fd;
    bool is_dir;
    uint8_t id[16];
    uint8_t key[HF_SIV_KEY_LEN];
};

static int bearer_keys(struct bearer *bearer)
{
    struct hf_span id = HF_SPAN_OF(bearer->id);
    if (bearer->is_dir) {
        struct hf_name_key name;
        const struct hf_dir_record *record = &bearer->node->dir.record;
        memcpy(bearer->id, record->dir_id, sizeof bearer->id);
        enum hf_result result = hf_keyring_name(record->class, record->class_generation, &name);
        if (result != HF_OK)
            return -hf_errno(result);
        hf_kdf(HF_KDF_XATTR_KEY, name.bytes, &id, 1, bearer->key, sizeof bearer->key);
        hf_name_key_wipe(&name);
        return 0;
    }
    memcpy(bearer->id, bearer->node->content->header.file_id, sizeof bearer->id);
    hf_kdf(HF_KDF_XATTR_KEY, bearer->node->content->keys->file.bytes, &id, 1, bearer->key, sizeof bearer->key);
    return 0;
}

/* hf_ns held; a file's lock is taken. */
static int bearer_open(struct hf_node *node, struct bearer *ret)
{
    *ret = (struct bearer){.node = node, .fd = -1, .is_dir = node->kind == HF_NODE_DIR};
    int failed = 0;
    if (ret->is_dir) {
        ret->fd = hf_dir_use(node);
        failed = ret->fd < 0 ? ret->fd : 0;
    } else if (node->kind == HF_NODE_FILE) {
        pthread_rwlock_wrlock(&node->lock);
        failed = hf_file_ready(node);
        ret->fd = node->fd;
        if (failed)
            pthread_rwlock_unlock(&node->lock);
    } else {
        return -EOPNOTSUPP;
    }
    if (failed)
        return failed;
    failed = bearer_keys(ret);
    if (failed && ret->is_dir)
        hf_dir_done(node);
    return failed;
}

static void bearer_close(struct bearer *bearer)
{
    hf_wipe(bearer->key, sizeof bearer->key);
    if (bearer->is_dir)
        hf_dir_done(bearer->node);
    else
        pthread_rwlock_unlock(&bearer->node->lock);
}

/* The namespaces that disks have, and what they answer to others. */
static int name_allowed(const char *name)
{
    static const char *const spaces[] = {"user.", "trusted.", "security."};
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++) {
        size_t len = strlen(spaces[i]);
        if (strncmp(name, spaces[i], len) == 0)
            return name[len] ? 0 : -EINVAL;
    }
    return -EOPNOTSUPP;
}

static int seal_name(const struct bearer *bearer, const char *name, char out[256])
{
    uint8_t sealed[PLAIN_NAME_MAX + HF_SIV_TAG_LEN];
    size_t len = strlen(name);
    int failed = name_allowed(name);
    if (!failed && len > PLAIN_NAME_MAX)
        failed = -ERANGE;
    if (failed)
        return failed;
    failed = -hf_errno(hf_siv_seal(bearer->key, HF_SPAN_OF(bearer->id), HF_SPAN(name, len), sealed));
    memcpy(out, PREFIX, PREFIX_LEN);
    hf_base64url_encode(sealed, len + HF_SIV_TAG_LEN, out + PREFIX_LEN);
    return failed;
}

static struct hf_span value_aad(const struct bearer *bearer, const char *name, uint8_t aad[16 + 256])
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
static size_t ours(const char *list, size_t len, struct item *items, size_t cap)
{
    size_t count = 0;
    for (const char *at = list; at < list + len && count < cap; at += strlen(at) + 1) {
        if (strncmp(at, PREFIX, PREFIX_LEN) == 0)
            items[count++].name = at;
    }
    return count;
}

/* The digest of what is on disk, with `name` changed to value (value.data NULL: removed; name NULL: nothing changed). Zeros when nothing is there. */
static int digest(const struct bearer *bearer, const char *name, struct hf_span value, uint8_t out[32])
{
    const struct hf_file_static *header = &bearer->node->content->header;
    struct hf_meta_key key;
    char *list = malloc(LIST_MAX);
    uint8_t *bytes = malloc(VALUE_MAX + 32);
    struct item items[512];
    uint8_t chain[32] = {0};
    int failed = list && bytes ? 0 : -ENOMEM;
    if (!failed)
        failed = -hf_errno(hf_keyring_meta(header->class, header->class_generation, &key));
    ssize_t len = failed ? 0 : hf_disk->flistxattr(bearer->fd, list, LIST_MAX - 256);
    if (len < 0)
        failed = (int)len;
    size_t count = 0;
    if (!failed) {
        count = ours(list, (size_t)len, items, 511);
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
            ssize_t got = hf_getxattr_lent(bearer->fd, items[i].name, bytes, VALUE_MAX + 32);
            failed = got < 0 ? (int)got : 0;
            this = HF_SPAN(bytes, got < 0 ? 0 : (size_t)got);
        } else if (!value.data) {
            continue;
        }
        uint8_t name_len[2] = {(uint8_t)strlen(items[i].name), 0};
        struct hf_span info[] = {HF_SPAN_OF(header->file_id), HF_SPAN_OF(chain), HF_SPAN_OF(name_len), HF_SPAN(items[i].name, strlen(items[i].name)), this};
        uint8_t next[32];
        if (!failed)
            hf_kdf(HF_KDF_XATTR_DIGEST, key.bytes, info, 5, next, sizeof next);
        memcpy(chain, next, failed ? 0 : sizeof chain);
    }
    hf_meta_key_wipe(&key);
    free(list);
    free(bytes);
    if (!failed)
        memcpy(out, chain, sizeof chain);
    return failed;
}

/* -EIO when the attributes on disk are not those of the header. Directories have no digest: their values are bound to them one by one. */
static int check_digest(const struct bearer *bearer)
{
    uint8_t now[32];
    if (bearer->is_dir)
        return 0;
    int failed = digest(bearer, NULL, HF_SPAN(NULL, 0), now);
    if (failed || hf_equal_ct(now, bearer->node->content->meta.xattr_digest, sizeof now))
        return failed;
    return bearer->node->evidence && hf_evidence_has(bearer->node, HF_EVIDENCE_XATTRS, now) ? 0 : -EIO;
}

/* --- requests --- */

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

static ssize_t get(const struct bearer *bearer, const char *name, void *value, size_t cap)
{
    char disk_name[256];
    uint8_t aad[16 + 256];
    int failed = seal_name(bearer, name, disk_name);
    if (failed)
        return failed == -ERANGE ? -ENODATA : failed;
    uint8_t *sealed = malloc(VALUE_MAX + 32);
    if (!sealed)
        return -ENOMEM;
    failed = check_digest(bearer);
    ssize_t len = failed ? failed : hf_getxattr_lent(bearer->fd, disk_name, sealed, VALUE_MAX + 32);
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
    struct bearer bearer;
    int failed = hf_tree_enter(id, false, &node);
    if (failed)
        return failed;
    ssize_t result;
    if (strcmp(name, CLASS_NAME) == 0) {
        result = class_value(node, value, cap);
    } else if (strcmp(name, UNVERIFIED_NAME) == 0) {
        result = unverified_value(node, value, cap);
    } else if (has_none(node)) {
        result = -ENODATA;
    } else if ((failed = bearer_open(node, &bearer)) != 0) {
        result = failed;
    } else {
        result = get(&bearer, name, value, cap);
        bearer_close(&bearer);
    }
    hf_tree_leave();
    return result;
}

static ssize_t list_plain(const struct bearer *bearer, char *out, size_t cap)
{
    char *list = malloc(LIST_MAX);
    struct item items[512];
    ssize_t total = 0;
    if (!list)
        return -ENOMEM;
    int failed = check_digest(bearer);
    ssize_t len = failed ? failed : hf_disk->flistxattr(bearer->fd, list, LIST_MAX - 256);
    size_t count = len > 0 ? ours(list, (size_t)len, items, 512) : 0;
    for (size_t i = 0; i < count && len > 0; i++) {
        uint8_t sealed[256], plain[256];
        size_t sealed_len = 0;
        const char *text = items[i].name + PREFIX_LEN;
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

ssize_t hf_tree_listxattr(uint64_t id, char *list, size_t cap)
{
    struct hf_node *node;
    struct bearer bearer;
    int failed = hf_tree_enter(id, false, &node);
    if (failed)
        return failed;
    failed = bearer_open(node, &bearer);
    ssize_t result = failed == -EOPNOTSUPP ? 0 : failed;
    if (!failed) {
        result = list_plain(&bearer, list, cap);
        bearer_close(&bearer);
    }
    hf_tree_leave();
    return result;
}

/* Evidence first, then the change; the header follows at the settle. value.data NULL removes. */
static int change(struct bearer *bearer, const char *disk_name, struct hf_span value, int flags)
{
    uint8_t fresh[32];
    uint32_t lent;
    struct hf_node *node = bearer->node;
    int failed = check_digest(bearer);
    if (!failed && !bearer->is_dir) {
        failed = digest(bearer, disk_name, value, fresh);
        if (!failed)
            failed = hf_evidence_put(node, HF_EVIDENCE_XATTRS, fresh);
    }
    if (!failed)
        failed = hf_lend(bearer->fd, 0600, &lent);
    if (failed)
        return failed;
    hf_dirty(bearer->is_dir ? NULL : node);
    failed = value.data ? hf_disk->fsetxattr(bearer->fd, disk_name, value.data, value.len, flags) : hf_disk->fremovexattr(bearer->fd, disk_name);
    hf_lend_back(bearer->fd, lent);
    if (!failed && !bearer->is_dir) {
        hf_content_attr_moves(node->content);
        hf_attr_moved();
        memcpy(node->content->meta.xattr_digest, fresh, sizeof fresh);
        node->stale = true;
    }
    return failed;
}

static int set(struct bearer *bearer, const char *name, const void *value, size_t len, int flags)
{
    char disk_name[256];
    uint8_t aad[16 + 256];
    int failed = seal_name(bearer, name, disk_name);
    if (failed)
        return failed;
    uint8_t *plain = calloc(1, len + 1), *sealed = malloc(len + 1 + HF_SIV_TAG_LEN);
    if (!plain || !sealed)
        failed = -ENOMEM;
    if (!failed) {
        if (len > 0)
            memcpy(plain + 1, value, len);
        failed = -hf_errno(hf_siv_seal(bearer->key, value_aad(bearer, name, aad), HF_SPAN(plain, len + 1), sealed));
    }
    /* The answers that the flags ask for come before any evidence. */
    ssize_t there = failed ? 0 : hf_getxattr_lent(bearer->fd, disk_name, NULL, 0);
    if (!failed && (flags & XATTR_CREATE) && there >= 0)
        failed = -EEXIST;
    if (!failed && (flags & XATTR_REPLACE) && there < 0)
        failed = (int)there;
    if (!failed)
        failed = change(bearer, disk_name, HF_SPAN(sealed, len + 1 + HF_SIV_TAG_LEN), flags);
    if (plain)
        hf_wipe(plain, len + 1);
    free(plain);
    free(sealed);
    return failed;
}

int hf_tree_setxattr(uint64_t id, const char *name, const void *value, size_t len, int flags)
{
    struct hf_node *node;
    struct bearer bearer;
    if (strcmp(name, CLASS_NAME) == 0)
        return hf_protect(id, value, len);
    if (strcmp(name, UNVERIFIED_NAME) == 0)
        return -EPERM;
    if (len > VALUE_MAX)
        return -E2BIG;
    int failed = hf_tree_enter(id, true, &node);
    if (failed)
        return failed;
    failed = bearer_open(node, &bearer);
    if (!failed) {
        if (!bearer.is_dir)
            node->no_capability = false;
        failed = set(&bearer, name, value, len, flags);
        bearer_close(&bearer);
    }
    hf_tree_leave();
    return failed;
}

int hf_tree_removexattr(uint64_t id, const char *name)
{
    struct hf_node *node;
    struct bearer bearer;
    char disk_name[256];
    if (strcmp(name, CLASS_NAME) == 0 || strcmp(name, UNVERIFIED_NAME) == 0)
        return -EPERM;
    int failed = hf_tree_enter(id, true, &node);
    if (failed)
        return failed;
    failed = bearer_open(node, &bearer);
    if (!failed) {
        failed = seal_name(&bearer, name, disk_name);
        if (!failed && hf_getxattr_lent(bearer.fd, disk_name, NULL, 0) == -ENODATA)
            failed = -ENODATA;
        if (!failed)
            failed = change(&bearer, disk_name, HF_SPAN(NULL, 0), 0);
        bearer_close(&bearer);
    }
    hf_tree_leave();
    return failed == -ERANGE ? -ENODATA : failed;
}

/* --- for the scan and for a change of class --- */

int hf_xattr_digest(struct hf_node *file, uint8_t out[32])
{
    struct bearer bearer = {.node = file, .fd = file->fd};
    return digest(&bearer, NULL, HF_SPAN(NULL, 0), out);
}

int hf_xattr_rebind(struct hf_node *file)
{
    struct bearer bearer = {.node = file, .fd = file->fd};
    uint8_t now[32];
    int failed = check_digest(&bearer);
    if (!failed)
        failed = hf_xattr_digest(file, now);
    if (!failed)
        memcpy(file->content->meta.xattr_digest, now, sizeof now);
    return failed;
}

int hf_xattr_copy(struct hf_node *from, struct hf_node *to)
{
    struct bearer source = {.node = from, .fd = from->fd}, target = {.node = to, .fd = to->fd};
    char *list = malloc(LIST_MAX), *value = malloc(VALUE_MAX);
    int failed = list && value ? 0 : -ENOMEM;
    if (!failed)
        failed = bearer_keys(&source);
    if (!failed)
        failed = bearer_keys(&target);
    ssize_t len = failed ? 0 : list_plain(&source, list, LIST_MAX);
    failed = len < 0 ? (int)len : failed;
    for (const char *name = list; !failed && name < list + len; name += strlen(name) + 1) {
        ssize_t got = get(&source, name, value, VALUE_MAX);
        failed = got < 0 ? (int)got : set(&target, name, value, (size_t)got, 0);
        hf_wipe(value, VALUE_MAX);
    }
    hf_wipe(source.key, sizeof source.key);
    hf_wipe(target.key, sizeof target.key);
    free(list);
    free(value);
    return failed;
}
