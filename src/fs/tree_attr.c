/* Attributes: what stat shows, and chmod, chown, truncate, utimens. */
#include <errno.h>
#include <string.h>

#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "keys/wipe.h"
#include "os/disk.h"

int hf_tree_disk_stat(struct hf_node *node, struct stat *st)
{
    if (node->kind == HF_NODE_DIR) {
        int fd = hf_dir_use_fd(node);
        if (fd < 0 && node->last) {
            *st = *node->last;
            return 0;
        }
        int failed = fd < 0 ? fd : hf_disk->fstat(fd, st);
        if (fd >= 0)
            hf_dir_done(node);
        return failed;
    }
    pthread_rwlock_rdlock(&node->lock);
    bool open = node->fd >= 0;
    int failed = open ? hf_disk->fstat(node->fd, st) : 0;
    pthread_rwlock_unlock(&node->lock);
    if (open)
        return failed;
    if (!node->parent) {
        if (!node->last)
            return -ESTALE;
        *st = *node->last;
        return 0;
    }
    int fd = hf_dir_use_fd(node->parent);
    if (fd < 0)
        return fd;
    failed = hf_stat_lent(fd, node->name, st);
    hf_dir_done(node->parent);
    return !failed && st->st_ino != node->ino ? -EIO : failed;
}

/* [CH-20] Open, its class's keys taken away. */
static bool open_and_locked(struct hf_node *node)
{
    if (!hf_kernel->writeback || node->kind != HF_NODE_FILE)
        return false;
    pthread_rwlock_rdlock(&node->lock);
    bool is = node->opens > 0 && node->content && !hf_content_unsealed(node->content) && !hf_keyring_has_name(node->class);
    pthread_rwlock_unlock(&node->lock);
    return is;
}

bool hf_tree_attr_keeps(uint64_t id)
{
    struct hf_node *node = hf_kernel->writeback ? hf_node_of(id) : NULL;
    return !node || !open_and_locked(node);
}

int hf_tree_getattr(uint64_t id, struct stat *ret)
{
    struct hf_node *node;
    int failed = hf_tree_enter(id, false, &node);
    if (failed)
        return failed;
    failed = open_and_locked(node) ? -ENOKEY : hf_tree_disk_stat(node, ret);
    if (!failed)
        hf_node_attr(node, ret);
    hf_tree_leave();
    return failed;
}

/* Mode and owner on a descriptor: the owner first, since its change clears set-id bits. */
static int apply_once(int fd, const struct stat *from, const struct stat *to)
{
    int failed = 0;
    struct stat now;
    if (to->st_uid != from->st_uid || to->st_gid != from->st_gid)
        failed = hf_disk->fchown(fd, to->st_uid, to->st_gid);
    if (!failed)
        failed = hf_disk->fstat(fd, &now);
    if (!failed && (now.st_mode & 07777) != (to->st_mode & 07777))
        failed = hf_disk->fchmod(fd, to->st_mode & 07777);
    return failed;
}

/* All or nothing: header, evidence and record know the state before and the one after. */
static int apply(int fd, const struct stat *from, const struct stat *to)
{
    int failed = apply_once(fd, from, to);
    if (failed)
        (void)apply_once(fd, to, from);
    return failed;
}

static int set_file(struct hf_node *file, const struct stat *from, const struct stat *to)
{
    uint8_t mac[16];
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_bind(file);
    if (!failed) {
        const struct hf_file_static *header = &file->content->header;
        failed = -hf_errno(hf_attr_mac(header->class, header->class_generation, header->file_id, to->st_mode & 07777, to->st_uid, to->st_gid, mac));
    }
    if (!failed && hf_equal_ct(mac, file->content->meta.attr_mac, sizeof mac)) {
        atomic_store_explicit(&file->ctime_moved, true, memory_order_relaxed);
        failed = hf_disk->fchmod(file->fd, to->st_mode & 07777); /* nothing but its ctime changes */
        pthread_rwlock_unlock(&file->lock);
        return failed;
    }
    if (!failed)
        failed = hf_evidence_put(file, HF_EVIDENCE_ATTR, mac);
    if (!failed) {
        hf_dirty(file);
        failed = apply(file->fd, from, to);
    }
    if (!failed) {
        hf_content_attr_moves(file->content);
        hf_attr_moved();
        memcpy(file->content->meta.attr_mac, mac, sizeof mac);
        hf_file_mode_is(file, to->st_mode);
        file->stale = true;
    }
    pthread_rwlock_unlock(&file->lock);
    return failed;
}

static int set_dir(struct hf_node *dir, const struct stat *from, const struct stat *to)
{
    struct hf_dir_record record;
    char plain[256] = "";
    int fd = hf_dir_use(dir);
    if (fd < 0)
        return fd;
    if (dir->unlinked) { /* it has no record any more, and takes none */
        int changed = apply(fd, from, to);
        hf_dir_done(dir);
        return changed;
    }
    int failed = dir->id == HF_TREE_ROOT ? 0 : hf_node_plain(dir, plain);
    if (!failed)
        failed = hf_dir_record_next(dir, fd, dir->parent, plain, to, dir->dir.record.class, dir->dir.record.flags, NULL, &record);
    if (!failed) {
        hf_dirty(NULL);
        failed = apply(fd, from, to);
        if (failed)
            hf_dir_record_forget_next(fd);
        else
            hf_dir_record_commit(dir, fd, &record);
    }
    hf_dir_done(dir);
    return failed;
}

/* FIFOs, sockets, devices and symlinks have no header: their directory's names alone vouch for them. */
static int set_other(struct hf_node *node, const struct stat *from, const struct stat *to)
{
    int fd = node->parent ? hf_dir_use_fd(node->parent) : -ENOENT, failed = 0;
    if (fd < 0)
        return fd;
    if (to->st_uid != from->st_uid || to->st_gid != from->st_gid)
        failed = hf_disk->fchownat(fd, node->name, to->st_uid, to->st_gid);
    if (!failed && node->kind == HF_NODE_OTHER)
        failed = hf_disk->fchmodat(fd, node->name, to->st_mode & 07777);
    hf_dir_done(node->parent);
    return failed;
}

/* Set-group-id without execution for the group means something else, and stays. */
static mode_t without_set_id(mode_t mode)
{
    return mode & ~(mode_t)(S_ISUID | (mode & S_IXGRP ? S_ISGID : 0));
}

static int set_owner_and_mode(struct hf_node *node, const struct stat *attr, unsigned set)
{
    struct stat from, to;
    int failed = hf_tree_disk_stat(node, &from);
    if (failed)
        return failed;
    to = from;
    if ((set & (HF_SET_UID | HF_SET_GID)) && (node->kind == HF_NODE_FILE || node->kind == HF_NODE_OTHER))
        to.st_mode = without_set_id(from.st_mode);
    if (set & HF_SET_MODE)
        to.st_mode = (from.st_mode & S_IFMT) | (attr->st_mode & 07777);
    if (set & HF_SET_UID)
        to.st_uid = attr->st_uid;
    if (set & HF_SET_GID)
        to.st_gid = attr->st_gid;
    switch (node->kind) {
    case HF_NODE_FILE:
        return set_file(node, &from, &to);
    case HF_NODE_LONG_LINK:
        to.st_mode = from.st_mode;
        return set_file(node, &from, &to);
    case HF_NODE_DIR: return set_dir(node, &from, &to);
    case HF_NODE_LINK:
    case HF_NODE_OTHER: break;
    }
    return set_other(node, &from, &to);
}

int hf_tree_set_mode(struct hf_node *node, mode_t mode)
{
    const struct stat attr = {.st_mode = mode};
    return set_owner_and_mode(node, &attr, HF_SET_MODE);
}

static int set_times(struct hf_node *node, const struct stat *attr, unsigned set)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    if (set & HF_SET_ATIME)
        times[0] = attr->st_atim;
    if (set & HF_SET_MTIME)
        times[1] = attr->st_mtim;
    if (node->kind == HF_NODE_DIR) {
        int fd = hf_dir_use_fd(node);
        if (fd < 0)
            return fd;
        int failed = hf_disk->futimens(fd, times);
        hf_dir_done(node);
        return failed;
    }
    atomic_store_explicit(&node->ctime_moved, true, memory_order_relaxed);
    pthread_rwlock_rdlock(&node->lock);
    bool open = node->fd >= 0;
    int failed = open ? hf_disk->futimens(node->fd, times) : 0;
    pthread_rwlock_unlock(&node->lock);
    if (open || !node->parent)
        return failed;
    int fd = hf_dir_use_fd(node->parent);
    if (fd < 0)
        return fd;
    failed = hf_disk->utimensat(fd, node->name, times);
    hf_dir_done(node->parent);
    return failed;
}

static int set_size(uint64_t id, off_t size)
{
    struct hf_node *file = hf_node_of(id);
    if (!file)
        return -ESTALE;
    int failed = hf_file_use(file, true);
    if (failed)
        return failed;
    if (file->opens == 0 && file->class == HF_CLASS_UNLESS_OPEN && !hf_keyring_is_open(HF_CLASS_UNLESS_OPEN))
        failed = -ENOKEY; /* [UO-6] closed: its key is on its way out */
    else
        failed = size < 0 ? -EINVAL : hf_file_truncate(file, (uint64_t)size);
    bool idle = file->opens == 0;
    hf_file_done(file);
    if (idle)
        hf_node_idle(file);
    return failed;
}

int hf_tree_setattr(uint64_t id, const struct stat *attr, unsigned set, struct stat *ret)
{
    struct hf_node *node;
    int failed = hf_fresh_frozen() ? -EROFS : 0;
    if (failed)
        return failed;
    if (set & HF_SET_SIZE)
        failed = set_size(id, attr->st_size);
    if (failed)
        return failed;
    bool names = set == 0 || (set & (HF_SET_MODE | HF_SET_UID | HF_SET_GID)) != 0;
    failed = hf_tree_enter(id, names, &node);
    if (failed)
        return failed;
    if (names)
        failed = set_owner_and_mode(node, attr, set);
    if (!failed && (set & (HF_SET_ATIME | HF_SET_MTIME)))
        failed = set_times(node, attr, set);
    if (!failed)
        failed = hf_tree_disk_stat(node, ret);
    if (!failed)
        hf_node_attr(node, ret);
    hf_tree_leave();
    return failed;
}

int hf_tree_lose_privileges(uint64_t id, bool set_id)
{
    static const char capability[] = "security.capability";
    static const uint8_t none[32];
    struct hf_node *file = hf_node_of(id);
    if (!file)
        return -ESTALE;
    int failed = hf_file_use(file, false);
    if (failed)
        return failed;
    mode_t mode = file->set_id;
    bool may_have = !hf_equal_ct(file->content->meta.xattr_digest, none, sizeof none) && !file->no_capability;
    hf_file_done(file);
    int lost = 0;
    if (set_id && mode != without_set_id(mode)) {
        struct stat attr = {.st_mode = without_set_id(mode)}, ignored;
        failed = hf_tree_setattr(id, &attr, HF_SET_MODE, &ignored);
        lost = 1;
    }
    if (!failed && may_have) {
        failed = hf_tree_removexattr(id, capability);
        lost = failed ? lost : 1;
        failed = failed == -ENODATA ? 0 : failed;
        pthread_rwlock_wrlock(&file->lock);
        file->no_capability = !failed;
        pthread_rwlock_unlock(&file->lock);
    }
    return failed ? failed : lost;
}
