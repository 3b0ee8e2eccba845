/* A file made ready: label, binding, content. */
#include "fs/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/class.h"
#include "fs/acl.h"
#include "fs/bearer.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/morenames.h"
#include "fs/settle.h"
#include "fs/spool.h"
#include "fs/sync.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/file.h"

/* --- evidence --- */

static enum hf_result evidence_read(int fd, struct hf_evidence *ret)
{
    uint8_t bytes[HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN];
    ssize_t len = hf_getxattr_lent(fd, HF_EVIDENCE_XATTR, bytes, sizeof bytes);
    if (len == -ENODATA) {
        memset(ret, 0, sizeof *ret);
        return HF_OK;
    }
    if (len == -ERANGE)
        return HF_DAMAGED;
    return len < 0 ? hf_result_from_errno((int)-len) : hf_evidence_parse(HF_SPAN(bytes, (size_t)len), ret);
}

int hf_evidence_put(struct hf_node *file, enum hf_evidence_kind kind, const uint8_t value[16])
{
    struct hf_content *content = file->content;
    struct hf_evidence evidence = {0};
    uint8_t tag[16], bytes[HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN];
    uint32_t epoch = hf_epoch_now(), lent;
    enum hf_result result = file->evidence ? evidence_read(file->fd, &evidence) : HF_OK;
    if (result == HF_DAMAGED) { /* damaged evidence proves nothing: this starts a new list */
        memset(&evidence, 0, sizeof evidence);
        result = HF_OK;
    }
    if (result == HF_OK)
        result = hf_evidence_tag(content->header.class, content->header.class_generation, content->header.file_id, (uint8_t)kind, value, epoch, tag);
    if (result != HF_OK)
        return -hf_errno(result);
    hf_evidence_add(&evidence, kind, tag, epoch);
    /* [CR-6] The tag is under the class's key: a header that names that key must be there before. */
    int failed = content->class_epoch > hf_settled ? hf_sync_data(file->fd) : 0;
    if (failed)
        return failed;
    content->class_epoch = 0;
    failed = hf_lend(file->fd, 0600, &lent);
    if (!failed)
        failed = hf_disk->fsetxattr(file->fd, HF_EVIDENCE_XATTR, bytes, hf_evidence_encode(&evidence, bytes), 0);
    hf_lend_back(file->fd, lent);
    if (!failed)
        file->evidence = true;
    if (!failed && kind == HF_EVIDENCE_NAME)
        content->names_since++;
    return failed;
}

bool hf_evidence_has(const struct hf_node *file, enum hf_evidence_kind kind, const uint8_t value[16])
{
    const struct hf_content *content = file->content;
    struct hf_evidence evidence;
    uint8_t tag[16];
    if (evidence_read(file->fd, &evidence) != HF_OK)
        return false;
    for (uint32_t i = 0; i < evidence.count; i++) {
        if (evidence.entries[i].kind != kind || evidence.entries[i].epoch <= hf_settled)
            continue;
        if (hf_evidence_tag(content->header.class, content->header.class_generation, content->header.file_id, (uint8_t)kind, value, evidence.entries[i].epoch,
                            tag) == HF_OK &&
            hf_equal_ct(tag, evidence.entries[i].tag, sizeof tag))
            return true;
    }
    return false;
}

void hf_evidence_settled(struct hf_node *file)
{
    file->content->names_since = 0;
    file->evidence = false;
}

/* Damaged evidence proves nothing; what the disk could not read is another matter. */
static enum hf_result evidence_counts(int fd, bool *ret)
{
    struct hf_evidence evidence;
    enum hf_result result = evidence_read(fd, &evidence);
    *ret = false;
    for (uint32_t i = 0; result == HF_OK && i < evidence.count; i++)
        *ret = *ret || evidence.entries[i].epoch > hf_settled;
    return result == HF_DAMAGED ? HF_OK : result;
}

/* --- the owner's times --- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

int hf_file_touch_begin(const struct hf_node *file, bool named, struct hf_touch *ret)
{
    struct stat st;
    int failed = hf_disk->fstat(file->fd, &st);
    if (failed)
        return failed;
    *ret = (struct hf_touch){.atime = st.st_atim, .mtime = st.st_mtim, .disk = st.st_ctim};
    if (named || file->ctime_touched != 0)
        hf_fresh_ctime(file, &st);
    ret->shown = st.st_ctim;
    return 0;
}

int hf_file_touch_end(struct hf_node *file, const struct hf_touch *touch, bool *ret_moved)
{
    struct stat st;
    int failed = hf_disk->fstat(file->fd, &st);
    if (failed || (same_time(&st.st_ctim, &touch->disk) && same_time(&st.st_mtim, &touch->mtime)))
        return failed;
    const struct timespec times[2] = {touch->atime, touch->mtime};
    failed = hf_disk->futimens(file->fd, times);
    hf_file_keep_mode(file);
    if (!failed)
        failed = hf_disk->fstat(file->fd, &st);
    if (failed)
        return failed;
    hf_file_ctime_is(file, &touch->shown, &st.st_ctim);
    if (ret_moved)
        *ret_moved = true;
    return 0;
}

void hf_file_ctime_is(struct hf_node *file, const struct timespec *shown, const struct timespec *disk)
{
    file->ctime_shown = hf_time_ns(shown);
    file->ctime_touched = hf_time_ns(disk);
    atomic_store_explicit(&file->ctime_moved, false, memory_order_relaxed);
}

/* --- slots --- */

int hf_slot_of(const struct hf_node *file, const struct hf_node *dir, const char *plain, uint8_t out[HF_SLOT_LEN])
{
    const struct hf_file_static *header = &file->content->header;
    return -hf_errno(hf_name_slot(header->class, header->class_generation, hf_dir_id(dir), header->file_id, plain, out));
}

/* So many names at most have evidence at once: the list is never so full of others that one of them has to go. */
enum { NAMES_SINCE_MAX = HF_EVIDENCE_MAX / 3 };

int hf_slot_room(struct hf_node *file)
{
    const struct hf_file_meta *meta = &file->content->meta;
    if (file->content->names_since >= NAMES_SINCE_MAX)
        return -EAGAIN;
    if (meta->current + meta->old < (int)HF_SLOTS)
        return 0;
    return meta->old > 0 ? -EAGAIN : hf_more_room(file);
}

void hf_slot_add(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    struct hf_file_meta *meta = &file->content->meta;
    file->stale = true;
    file->names_epoch = hf_epoch_now();
    if (meta->current + meta->old == (int)HF_SLOTS) {
        hf_more_add(file, slot);
        return;
    }
    memmove(meta->slots[meta->current + 1], meta->slots[meta->current], (size_t)meta->old * HF_SLOT_LEN);
    memcpy(meta->slots[meta->current], slot, HF_SLOT_LEN);
    meta->current++;
}

void hf_slot_drop(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    struct hf_file_meta *meta = &file->content->meta;
    for (unsigned i = 0; i < meta->current; i++) {
        if (!hf_equal_ct(meta->slots[i], slot, HF_SLOT_LEN))
            continue;
        uint8_t gone[HF_SLOT_LEN];
        memcpy(gone, meta->slots[i], HF_SLOT_LEN);
        memmove(meta->slots[i], meta->slots[i + 1], (size_t)(meta->current - i - 1) * HF_SLOT_LEN);
        memcpy(meta->slots[meta->current - 1], gone, HF_SLOT_LEN);
        meta->current--;
        meta->old++;
        file->stale = true;
        file->names_epoch = hf_epoch_now();
        return;
    }
    if (!hf_more_drop(file, slot))
        return;
    file->stale = true;
    file->names_epoch = hf_epoch_now();
}

void hf_slots_settled(struct hf_node *file)
{
    struct hf_file_meta *meta = &file->content->meta;
    memset(meta->slots[meta->current], 0, (size_t)(HF_SLOTS - meta->current) * HF_SLOT_LEN);
    meta->old = 0;
    hf_more_settled(file);
}

/* --- ready --- */

int hf_file_label(struct hf_node *file)
{
    int failed = hf_node_open_fd(file);
    if (failed || file->content)
        return failed;
    struct hf_content *content = NULL;
    bool evidence = false;
    enum hf_result result = hf_content_label(file->fd, &content);
    if (result == HF_OK)
        result = evidence_counts(file->fd, &evidence);
    if (result != HF_OK) {
        hf_content_free(&content);
        return result == HF_NOT_FOUND ? -EIO : -hf_errno(result);
    }
    file->content = content;
    file->class = content->header.class;
    file->bound = false;
    file->evidence = evidence;
    return 0;
}

bool hf_file_name_fits(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    const struct hf_file_meta *meta = &file->content->meta;
    unsigned count = meta->current + (file->content->in_window ? meta->old : 0u);
    for (unsigned i = 0; i < count; i++) {
        if (hf_equal_ct(meta->slots[i], slot, HF_SLOT_LEN))
            return true;
    }
    return hf_more_has(file, slot) || (file->evidence && hf_evidence_has(file, HF_EVIDENCE_NAME, slot));
}

static enum hf_result attributes_fit(struct hf_node *file, const struct stat *st, bool *ret)
{
    const struct hf_file_static *header = &file->content->header;
    uint8_t mac[16];
    HF_TRY(hf_attr_mac(header->class, header->class_generation, header->file_id, st->st_mode & 07777, st->st_uid, st->st_gid, mac));
    *ret = hf_equal_ct(mac, file->content->meta.attr_mac, sizeof mac) || (file->evidence && hf_evidence_has(file, HF_EVIDENCE_ATTR, mac));
    return HF_OK;
}

int hf_file_bind(struct hf_node *file)
{
    char plain[256];
    uint8_t slot[HF_SLOT_LEN];
    struct stat st;
    bool fits = false;
    int failed = hf_file_label(file);
    if (failed || file->bound || !file->parent)
        return failed;
    int dir = hf_dir_use(file->parent);
    if (dir < 0)
        return dir;
    failed = hf_dir_plain(file->parent, dir, file->name, plain);
    if (!failed)
        failed = hf_slot_of(file, file->parent, plain, slot);
    hf_dir_done(file->parent);
    hf_wipe(plain, sizeof plain);
    if (!failed)
        failed = hf_disk->fstat(file->fd, &st);
    if (failed)
        return failed;
    if (!hf_file_name_fits(file, slot))
        return -EIO;
    enum hf_result result = attributes_fit(file, &st, &fits);
    /* After an unclean stop the owner's bits may still be lent. */
    for (mode_t bits = 0; result == HF_OK && !fits && hf_unclean && geteuid() != 0 && bits < 8; bits++) {
        struct stat guess = st;
        guess.st_mode = (st.st_mode & ~(mode_t)0700) | bits << 6;
        result = attributes_fit(file, &guess, &fits);
        if (result == HF_OK && fits)
            st.st_mode = guess.st_mode;
        if (result == HF_OK && fits && hf_disk->fchmod(file->fd, guess.st_mode & 07777) < 0)
            result = HF_IO;
    }
    if (result != HF_OK)
        return -hf_errno(result);
    failed = fits ? hf_fresh_bind(file, slot) : -EIO;
    file->bound = !failed;
    hf_file_mode_is(file, st.st_mode);
    return failed;
}

int hf_file_ready(struct hf_node *file)
{
    int failed = hf_file_bind(file);
    bool unsealed = !failed && hf_content_unsealed(file->content);
    uint64_t before = failed ? 0 : file->content->version;
    if (!failed)
        failed = -hf_errno(hf_content_unseal(file->content));
    if (!failed && !unsealed && (failed = hf_fresh_open(file, before)) != 0) {
        hf_content_forget(file->content);
        file->content->version = before;
    }
    if (!failed && hf_content_pending(file->content))
        hf_dirty(file); /* an unclean stop left a tail to cut */
    return failed;
}

static bool is_ready(const struct hf_node *file)
{
    return file->fd >= 0 && file->content && hf_content_unsealed(file->content) && (file->bound || !file->parent);
}

/* Its key is there for the last settle before the lock alone; an open file of unless-open goes on [UO-6]. */
static bool is_late(const struct hf_node *file)
{
    return hf_keyring_is_closing(file->class) && (file->class != HF_CLASS_UNLESS_OPEN || file->opens == 0);
}

int hf_file_use(struct hf_node *file, bool exclusive)
{
    if (file->kind != HF_NODE_FILE && file->kind != HF_NODE_LONG_LINK)
        return file->kind == HF_NODE_DIR ? -EISDIR : -EINVAL;
    for (;;) {
        if (atomic_load_explicit(&hf_dead, memory_order_relaxed))
            return -EIO;
        if (exclusive)
            pthread_rwlock_wrlock(&file->lock);
        else
            pthread_rwlock_rdlock(&file->lock);
        bool ready = is_ready(file), late = ready && is_late(file);
        if (ready && !late)
            return 0;
        pthread_rwlock_unlock(&file->lock);
        if (late)
            return -ENOKEY;
        pthread_rwlock_rdlock(&hf_ns);
        pthread_rwlock_wrlock(&file->lock);
        int failed = hf_file_ready(file);
        pthread_rwlock_unlock(&file->lock);
        pthread_rwlock_unlock(&hf_ns);
        if (failed)
            return failed;
    }
}

void hf_file_done(struct hf_node *file)
{
    pthread_rwlock_unlock(&file->lock);
}

void hf_file_mode_is(struct hf_node *file, mode_t mode)
{
    file->set_id = mode & (S_ISUID | S_ISGID) ? (uint16_t)(mode & 07777) : 0;
}

void hf_file_keep_mode(const struct hf_node *file)
{
    if (file->set_id && file->fd >= 0 && geteuid() != 0)
        (void)hf_disk->fchmod(file->fd, file->set_id);
}

int hf_file_truncate(struct hf_node *file, uint64_t size)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    bool same = size == file->content->dynamic.size;
    hf_dirty(file);
    int failed = -hf_errno(hf_content_truncate(file->content, size));
    hf_file_keep_mode(file);
    return failed || !same ? failed : hf_disk->futimens(file->fd, times);
}

void hf_file_discard(struct hf_node *file)
{
    pthread_rwlock_wrlock(&file->lock);
    if (file->kind != HF_NODE_DIR && file->opens == 0 && file->fd >= 0) {
        struct stat st;
        if (!file->last && hf_disk->fstat(file->fd, &st) == 0 && (file->last = malloc(sizeof st)) != NULL)
            *file->last = st;
        hf_content_free(&file->content);
        (void)hf_disk->close(file->fd);
        file->fd = -1;
    }
    pthread_rwlock_unlock(&file->lock);
}

void hf_file_adopt(struct hf_node *file, struct hf_node *copy)
{
    ino_t ino = copy->ino;
    hf_content_free(&file->content);
    if (file->fd >= 0)
        (void)hf_disk->close(file->fd);
    file->content = copy->content;
    file->fd = copy->fd;
    file->class = copy->class;
    file->bound = true;
    file->evidence = copy->evidence;
    file->stale = true;
    if (copy->unsynced)
        hf_never_synced(file);
    else
        file->unsynced = false;
    copy->content = NULL;
    copy->fd = -1;
    hf_node_unhash(copy);
    hf_node_unplace(copy);
    hf_node_rehash(file, ino);
    hf_dirty(file);
}

/* --- attributes --- */

void hf_file_attr(const struct hf_node *node, struct stat *st)
{
    st->st_size = (off_t)(node->content && hf_content_unsealed(node->content) ? node->content->dynamic.size : hf_size_from_disk_len((uint64_t)st->st_size));
    st->st_blksize = 4096;
    if (node->kind == HF_NODE_LONG_LINK)
        st->st_mode = S_IFLNK | 0777;
}

/* [LK-9] A length of whole pages is also that of a file which a stop or a lock kept from being cut to its size: the header knows. hf_ns held. */
static void ask_size(struct hf_node *node, const struct stat *st)
{
    pthread_rwlock_rdlock(&node->lock);
    bool unsure = st->st_size > 0 && st->st_size % HF_PAGE_LEN == 0 && !(node->content && hf_content_unsealed(node->content)) && !node->unlinked;
    pthread_rwlock_unlock(&node->lock);
    if (!unsure)
        return;
    pthread_rwlock_wrlock(&node->lock);
    (void)!hf_file_ready(node); /* locked or damaged: it is shown by its length */
    pthread_rwlock_unlock(&node->lock);
}

void hf_node_attr(struct hf_node *node, struct stat *st)
{
    switch (node->kind) {
    case HF_NODE_FILE:
    case HF_NODE_LONG_LINK:
        ask_size(node, st);
        pthread_rwlock_rdlock(&node->lock);
        hf_file_attr(node, st);
        hf_fresh_ctime(node, st);
        pthread_rwlock_unlock(&node->lock);
        break;
    case HF_NODE_LINK:
        st->st_size = st->st_size * 3 / 4 - 16; /* base64url of tag and target */
        break;
    case HF_NODE_DIR:
        if (node->id == HF_TREE_ROOT && st->st_nlink > 2)
            st->st_nlink--; /* .holdfast */
        break;
    case HF_NODE_OTHER: break;
    }
}

/* --- birth --- */

static enum hf_result write_first_header(struct hf_node *file, const struct hf_file_birth *birth, struct hf_node *dir, const char *plain, const struct stat *st)
{
    struct hf_content *content = file->content;
    const struct hf_file_static *header = &content->header;
    if (plain) {
        HF_TRY(hf_name_slot(header->class, header->class_generation, hf_dir_id(dir), header->file_id, plain, content->meta.slots[0]));
        content->meta.current = 1;
    }
    HF_TRY(hf_attr_mac(header->class, header->class_generation, header->file_id, birth->mode & 07777, st->st_uid, st->st_gid, content->meta.attr_mac));
    hf_dirty(file);
    HF_TRY(hf_content_put_header(content, hf_epoch_now()));
    return birth->data_len > 0 ? hf_content_write(content, 0, birth->data, birth->data_len) : HF_OK;
}

int hf_file_birth(int fd, const struct hf_file_birth *birth, struct hf_node *dir, const char *plain, const char *backing, struct hf_node **ret)
{
    struct hf_content *content = NULL;
    struct hf_node *file = NULL;
    struct stat st;
    int failed = hf_disk->fstat(fd, &st);
    enum hf_result result = failed ? HF_IO : hf_content_make(fd, birth->class, birth->kind, &content);
    if (result == HF_OK && content->header.class_generation & HF_GENERATION_SPOOL && hf_spool_note() != 0)
        result = HF_IO;
    if (result == HF_OK) {
        enum hf_node_kind kind = birth->kind == HF_KIND_LONG_SYMLINK ? HF_NODE_LONG_LINK : HF_NODE_FILE;
        file = hf_node_get_new(&st, kind, plain ? dir : NULL, backing);
        if (!file)
            result = HF_NO_MEMORY;
    }
    if (result != HF_OK) {
        hf_content_free(&content);
        (void)hf_disk->close(fd);
        return -hf_errno(result);
    }
    pthread_rwlock_wrlock(&file->lock); /* the settle and the lock's sweep find it already */
    file->fd = fd;
    file->content = content;
    file->class = (uint8_t)birth->class;
    file->bound = true;
    hf_never_synced(file);
    if (birth->opened)
        hf_node_opened(file);
    file->written = birth->opened;
    hf_file_mode_is(file, birth->mode);
    if (birth->acl.data)
        result = hf_result_from_errno(-hf_bearer_birth_file(file, HF_ACL_ACCESS_NAME, birth->acl));
    if (result == HF_OK)
        result = write_first_header(file, birth, dir, plain, &st);
    hf_file_keep_mode(file);
    /* The sweep may have passed before there was anything to forget. */
    bool spool = (content->header.class_generation & HF_GENERATION_SPOOL) != 0; /* [UO-8] made while nothing of the class is there */
    if (!spool && !(birth->class == HF_CLASS_UNLESS_OPEN ? hf_keyring_has_name(birth->class) : hf_keyring_holds(birth->class)))
        hf_content_forget(content);
    pthread_rwlock_unlock(&file->lock);
    if (result != HF_OK) {
        file->unsynced = false;
        hf_node_unhash(file);
        hf_node_unplace(file);
        hf_node_unref(file);
        return -hf_errno(result);
    }
    hf_node_idle(file);
    *ret = file;
    return 0;
}
