/* Lookup, and requests that make an object: create, mknod, mkdir, symlink, link. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/acl.h"
#include "fs/acl.h"
#include "fs/bearer.h"
#include "fs/closing.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/longlink.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "keys/wipe.h"
#include "os/disk.h"

int hf_tree_enter(uint64_t id, bool exclusive, struct hf_node **ret)
{
    struct hf_node *node = hf_node_of(id);
    if (atomic_load_explicit(&hf_dead, memory_order_relaxed))
        return -EIO;
    if (!node)
        return -ESTALE;
    if (exclusive && hf_fresh_frozen()) /* [FR-7] */
        return -EROFS;
    if (exclusive) {
        hf_settle_pace();
        pthread_rwlock_wrlock(&hf_ns);
        int failed = hf_fresh_room(0);
        if (failed) {
            pthread_rwlock_unlock(&hf_ns);
            return failed;
        }
    } else {
        pthread_rwlock_rdlock(&hf_ns);
    }
    *ret = node;
    return 0;
}

void hf_tree_leave(void)
{
    pthread_rwlock_unlock(&hf_ns);
}

/* [CR-4] A file with several names has one node, which is bound by one of them: the others are held against its header here.
 * What has no header to hold against can be looked up, so that it can be removed; reading it fails. */
static int check_further_name(struct hf_node *file, struct hf_node *dir, const char *plain)
{
    uint8_t slot[HF_SLOT_LEN];
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_label(file);
    bool headless = failed == -EIO;
    if (!failed)
        failed = hf_slot_of(file, dir, plain, slot);
    if (!failed && !hf_file_name_fits(file, slot))
        failed = -EIO;
    pthread_rwlock_unlock(&file->lock);
    return headless ? 0 : failed;
}

int hf_tree_entry(struct hf_node *dir, const char *plain, const struct hf_place *place, struct hf_entry *ret)
{
    struct hf_node *node = hf_node_get(&place->st, dir, place->backing, true);
    if (!node)
        return -ENOMEM;
    int failed = S_ISREG(place->st.st_mode) && place->st.st_nlink > 1 ? check_further_name(node, dir, plain) : 0;
    if (failed) {
        (void)hf_node_lookup_drop(node, 1);
        return failed;
    }
    ret->id = node->id;
    ret->generation = node->generation;
    ret->attr = place->st;
    hf_node_attr(node, &ret->attr);
    return 0;
}

int hf_tree_lookup(uint64_t parent, const char *name, struct hf_entry *ret)
{
    struct hf_node *dir;
    struct hf_place place;
    int failed = hf_tree_enter(parent, false, &dir);
    if (failed)
        return failed;
    int fd = hf_dir_use(dir);
    failed = fd < 0 ? fd : hf_place_find(dir, fd, name, &place);
    if (!failed)
        failed = hf_fresh_lookup(dir, name, &place);
    if (!failed)
        failed = place.exists ? hf_tree_entry(dir, name, &place, ret) : -ENOENT;
    if (fd >= 0)
        hf_dir_done(dir);
    hf_tree_leave();
    return failed;
}

void hf_tree_forget(uint64_t id, uint64_t count)
{
    struct hf_node *node = hf_node_of(id);
    if (node) {
        hf_node_ref(node);
        if (hf_node_lookup_drop(node, count))
            hf_file_discard(node);
        hf_node_unref(node);
    }
    hf_node_trim();
}

/* A place for a new entry in the directory; hf_ns held exclusively, *ret_fd in use. */
static int begin(uint64_t parent, const char *name, struct hf_node **ret_dir, int *ret_fd, struct hf_place *place)
{
    int failed = hf_tree_enter(parent, true, ret_dir);
    if (failed)
        return failed;
    *ret_fd = hf_dir_use(*ret_dir);
    failed = *ret_fd < 0 ? *ret_fd : hf_place_find(*ret_dir, *ret_fd, name, place);
    if (!failed && place->exists)
        failed = -EEXIST;
    if (!failed)
        failed = hf_place_side_put(*ret_fd, place);
    if (!failed)
        return 0;
    if (*ret_fd >= 0)
        hf_dir_done(*ret_dir);
    hf_tree_leave();
    return failed;
}

static void end(struct hf_node *dir, int dir_fd, const struct hf_place *place, int failed)
{
    if (failed && place->side[0])
        hf_place_side_remove(dir_fd, place->backing);
    hf_dirty(NULL);
    hf_dir_done(dir);
    hf_tree_leave();
}

/* The owner that the request asks for; a set-group-id directory has given the group already. *ret: the object as it is then. */
static int give_to(int fd, int dir_fd, const struct hf_caller *caller, struct stat *ret)
{
    struct stat dir;
    int failed = hf_disk->fstat(fd, ret);
    if (failed || (ret->st_uid == caller->uid && ret->st_gid == caller->gid))
        return failed;
    failed = hf_disk->fstat(dir_fd, &dir);
    gid_t gid = failed || dir.st_mode & S_ISGID ? ret->st_gid : caller->gid;
    if (failed || (ret->st_uid == caller->uid && ret->st_gid == gid))
        return failed;
    failed = hf_disk->fchown(fd, caller->uid, gid);
    /* A change of owner clears these, even root's. */
    if (!failed && ret->st_mode & (S_ISUID | S_ISGID))
        failed = hf_disk->fchmod(fd, ret->st_mode & 07777);
    return failed ? failed : hf_disk->fstat(fd, ret);
}

/* Makes a regular file and its node (one reference). */
static int make_file(struct hf_node *dir, int dir_fd, const char *name, const struct hf_place *place, mode_t mode, const struct hf_caller *caller,
                     const struct hf_file_birth *what, struct hf_node **ret)
{
    struct stat st;
    struct hf_file_birth birth = *what;
    int fd = hf_disk->openat(dir_fd, place->backing, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 07777);
    if (fd < 0)
        return fd;
    int failed = give_to(fd, dir_fd, caller, &st);
    if (failed) {
        (void)hf_disk->close(fd);
    } else {
        if (birth.kind == HF_KIND_REGULAR)
            birth.mode = st.st_mode & 07777;
        failed = hf_file_birth(fd, &birth, dir, name, place->backing, ret);
    }
    if (failed)
        (void)hf_disk->unlinkat(dir_fd, place->backing, 0);
    else
        hf_fresh_put_file(*ret, dir, place->backing, place->always);
    return failed;
}

/* Counts the kernel's lookup, gives the reference back. */
static int answer(struct hf_node *node, int failed, struct hf_entry *ret)
{
    if (!failed) {
        failed = hf_disk->fstat(node->fd, &ret->attr);
        hf_node_attr(node, &ret->attr);
    }
    if (!failed) {
        ret->id = node->id;
        ret->generation = node->generation;
        hf_node_lookup_add(node);
    }
    hf_node_unref(node);
    return failed;
}

/* O_TMPFILE. Its node counts as unlinked until it is given a name. */
static int create_nameless(uint64_t parent, mode_t mode, const struct hf_caller *caller, struct hf_entry *ret)
{
    struct hf_node *dir, *file = NULL;
    struct hf_acl_birth acl = {.memory = NULL};
    struct stat st;
    int failed = hf_tree_enter(parent, true, &dir);
    if (failed)
        return failed;
    int dir_fd = hf_dir_use(dir);
    failed = dir_fd < 0 ? dir_fd : hf_acl_birth(dir, mode, caller->umask, &acl);
    int fd = failed ? failed : hf_disk->openat(dir_fd, ".", O_RDWR | O_TMPFILE, acl.mode & 07777);
    failed = fd < 0 ? fd : give_to(fd, dir_fd, caller, &st);
    if (failed && fd >= 0)
        (void)hf_disk->close(fd);
    if (!failed) {
        struct hf_file_birth birth = {.class = hf_dir_file_class(dir), .kind = HF_KIND_REGULAR, .mode = st.st_mode & 07777, .opened = true, .acl = acl.access};
        failed = hf_file_birth(fd, &birth, dir, NULL, NULL, &file);
    }
    hf_acl_birth_end(&acl);
    if (!failed) {
        hf_node_unhash(file);
        hf_node_busy(file);
        failed = answer(file, 0, ret);
    }
    if (dir_fd >= 0)
        hf_dir_done(dir);
    hf_tree_leave();
    return failed;
}

int hf_tree_create(uint64_t parent, const char *name, mode_t mode, int flags, const struct hf_caller *caller, struct hf_entry *ret)
{
    struct hf_node *dir, *file = NULL;
    struct hf_place place;
    int dir_fd;
    (void)flags; /* the kernel has looked: what it asks to create is not there */
    if (strcmp(name, HF_TMPFILE_NAME) == 0)
        return create_nameless(parent, mode, caller, ret);
    int failed = begin(parent, name, &dir, &dir_fd, &place);
    if (failed)
        return failed;
    struct hf_acl_birth acl;
    failed = hf_acl_birth(dir, mode, caller->umask, &acl);
    if (!failed) {
        struct hf_file_birth birth = {.class = hf_dir_file_class(dir), .kind = HF_KIND_REGULAR, .opened = true, .acl = acl.access};
        failed = make_file(dir, dir_fd, name, &place, acl.mode, caller, &birth, &file);
    }
    hf_acl_birth_end(&acl);
    if (!failed)
        failed = answer(file, 0, ret);
    end(dir, dir_fd, &place, failed);
    return failed;
}

/* [PA-5] A plain user's filesystem has no place for it: then nobody gets more than without. */
static int give_list(struct hf_node *dir, int dir_fd, const struct hf_place *place, struct hf_span acl)
{
    int failed = hf_bearer_birth_other(dir, dir_fd, place->backing, HF_ACL_ACCESS_NAME, acl);
    if (failed != -EPERM && failed != -EOPNOTSUPP)
        return failed;
    return hf_disk->fchmodat(dir_fd, place->backing, hf_acl_mode_without(acl, place->st.st_mode) & 07777);
}

/* What has no descriptor to change its owner by: a device, FIFO, socket or symlink that was just made; acl: its access list, or NULL. Where that fails it goes again. */
static int give_by_name(struct hf_node *dir, int dir_fd, const char *name, struct hf_place *place, const struct hf_caller *caller, struct hf_span acl, struct hf_entry *ret)
{
    struct stat up;
    int failed = hf_disk->fstat(dir_fd, &up);
    if (!failed)
        failed = hf_disk->fstatat(dir_fd, place->backing, &place->st);
    if (!failed && geteuid() == 0)
        failed = hf_disk->fchownat(dir_fd, place->backing, caller->uid, up.st_mode & S_ISGID ? (gid_t)-1 : caller->gid);
    if (!failed && geteuid() == 0 && !S_ISLNK(place->st.st_mode) && place->st.st_mode & (S_ISUID | S_ISGID)) /* which the change of owner took */
        failed = hf_disk->fchmodat(dir_fd, place->backing, place->st.st_mode & 07777);
    if (!failed && acl.data)
        failed = give_list(dir, dir_fd, place, acl);
    if (!failed)
        failed = hf_disk->fstatat(dir_fd, place->backing, &place->st);
    if (!failed)
        failed = hf_tree_entry(dir, name, place, ret);
    if (failed && hf_disk->unlinkat(dir_fd, place->backing, 0) == 0)
        hf_fresh_remove(dir, place->backing);
    return failed;
}

/* A file that was made, but is not open. Takes the reference; file may be NULL. */
static void made(struct hf_node *file)
{
    if (file)
        hf_closing_note(file);
    hf_node_unref(file);
}

int hf_tree_mknod(uint64_t parent, const char *name, mode_t mode, dev_t rdev, const struct hf_caller *caller, struct hf_entry *ret)
{
    struct hf_node *dir, *file = NULL;
    struct hf_place place;
    int dir_fd;
    int failed = begin(parent, name, &dir, &dir_fd, &place);
    if (failed)
        return failed;
    struct hf_acl_birth acl;
    failed = hf_acl_birth(dir, mode, caller->umask, &acl);
    if (!failed && S_ISREG(mode)) {
        struct hf_file_birth birth = {.class = hf_dir_file_class(dir), .kind = HF_KIND_REGULAR, .acl = acl.access};
        failed = make_file(dir, dir_fd, name, &place, acl.mode, caller, &birth, &file);
        if (!failed) {
            hf_node_ref(file);
            failed = answer(file, 0, ret);
        }
    } else if (!failed) {
        failed = hf_disk->mknodat(dir_fd, place.backing, acl.mode, rdev);
        if (!failed)
            failed = give_by_name(dir, dir_fd, name, &place, caller, acl.access, ret);
        if (!failed)
            hf_fresh_put_other(dir, place.backing, place.always, &place.st);
    }
    hf_acl_birth_end(&acl);
    end(dir, dir_fd, &place, failed);
    made(file);
    return failed;
}

static void bear(struct hf_dir_birth *birth, const char *name, struct hf_span value)
{
    if (!value.data)
        return;
    birth->names[birth->attributes] = name;
    birth->values[birth->attributes++] = value;
}

static int make_dir(struct hf_node *dir, int dir_fd, const char *name, struct hf_place *place, const struct hf_acl_birth *acl, const struct hf_caller *caller, struct hf_node **ret)
{
    struct hf_dir_record record;
    struct hf_dir_birth birth = {0};
    uint8_t digest[32];
    bear(&birth, HF_ACL_ACCESS_NAME, acl->access);
    bear(&birth, HF_ACL_DEFAULT_NAME, acl->fallback);
    int failed = hf_disk->mkdirat(dir_fd, place->backing, acl->mode & 07777);
    if (failed)
        return failed;
    int fd = hf_open_lent(dir_fd, place->backing, O_RDONLY | O_DIRECTORY);
    failed = fd < 0 ? fd : give_to(fd, dir_fd, caller, &place->st);
    if (!failed)
        failed = hf_dir_record_make(dir, fd, hf_dir_class(dir), name, &place->st, &birth, &record, digest);
    struct hf_node *node = failed ? NULL : hf_node_get(&place->st, dir, place->backing, false);
    if (!failed && !node)
        failed = -ENOMEM;
    if (failed) {
        if (fd >= 0) {
            (void)hf_disk->unlinkat(fd, ".hf", 0);
            (void)hf_disk->close(fd);
        }
        (void)hf_disk->unlinkat(dir_fd, place->backing, AT_REMOVEDIR);
        return failed;
    }
    pthread_mutex_lock(&node->dir.lock);
    node->fd = fd;
    node->dir.record = record;
    memcpy(node->dir.digest, digest, sizeof digest);
    node->dir.loaded = true;
    node->class = record.class;
    hf_never_synced(node);
    pthread_mutex_unlock(&node->dir.lock);
    hf_dirty(node);
    hf_fresh_put_dir(node, dir, place->backing, place->always);
    *ret = node;
    return 0;
}

int hf_tree_mkdir(uint64_t parent, const char *name, mode_t mode, const struct hf_caller *caller, struct hf_entry *ret)
{
    struct hf_node *dir, *node = NULL;
    struct hf_place place;
    int dir_fd;
    int failed = begin(parent, name, &dir, &dir_fd, &place);
    if (failed)
        return failed;
    struct hf_acl_birth acl;
    failed = hf_acl_birth(dir, S_IFDIR | mode, caller->umask, &acl);
    if (!failed)
        failed = make_dir(dir, dir_fd, name, &place, &acl, caller, &node);
    hf_acl_birth_end(&acl);
    if (!failed)
        failed = answer(node, 0, ret);
    end(dir, dir_fd, &place, failed);
    return failed;
}

int hf_tree_symlink(uint64_t parent, const char *name, const char *target, const struct hf_caller *caller, struct hf_entry *ret)
{
    struct hf_node *dir, *file = NULL;
    struct hf_place place;
    char sealed[4096];
    int dir_fd;
    size_t len = strlen(target);
    if (len == 0 || len > 4095)
        return len ? -ENAMETOOLONG : -ENOENT;
    int failed = begin(parent, name, &dir, &dir_fd, &place);
    if (failed)
        return failed;
    const struct hf_dir_record *record = &dir->dir.record;
    if (len > HF_LINK_MAX) {
        struct hf_file_birth birth = {.class = hf_dir_class(dir), .kind = HF_KIND_LONG_SYMLINK, .mode = HF_LONG_LINK_MODE, .data = (const uint8_t *)target, .data_len = len};
        failed = make_file(dir, dir_fd, name, &place, 0600, caller, &birth, &file);
        if (!failed) {
            failed = hf_disk->fchmod(file->fd, HF_LONG_LINK_MODE);
            hf_node_ref(file);
            failed = answer(file, failed, ret);
        }
    } else {
        failed = -hf_errno(hf_link_seal(record->class, record->class_generation, record->dir_id, name, target, sealed));
        if (!failed)
            failed = hf_disk->symlinkat(sealed, dir_fd, place.backing);
        if (!failed)
            hf_fresh_put_link(dir, place.backing, place.always, sealed, strlen(sealed));
        if (!failed)
            failed = give_by_name(dir, dir_fd, name, &place, caller, HF_SPAN(NULL, 0), ret);
    }
    end(dir, dir_fd, &place, failed);
    made(file);
    return failed;
}

int hf_tree_readlink(uint64_t id, char out[4096])
{
    struct hf_node *node;
    char plain[256], text[4096];
    int failed = hf_tree_enter(id, false, &node);
    if (failed)
        return failed;
    if (node->kind == HF_NODE_LONG_LINK) {
        size_t len = 0;
        hf_tree_leave();
        failed = hf_file_use(node, false);
        if (failed)
            return failed;
        failed = -hf_errno(hf_content_read(node->content, 0, 4095, (uint8_t *)out, &len));
        hf_file_done(node);
        out[failed ? 0 : len] = '\0';
        return failed;
    }
    int dir_fd = node->parent ? hf_dir_use(node->parent) : -ENOENT;
    failed = dir_fd < 0 ? dir_fd : hf_dir_plain(node->parent, dir_fd, node->name, plain);
    if (!failed) {
        const struct hf_dir_record *record = &node->parent->dir.record;
        ssize_t len = hf_readlink_lent(dir_fd, node->name, text, sizeof text);
        failed = len < 0 ? (int)len : hf_fresh_link(node->parent, node->name, text, (size_t)len);
        if (!failed)
            failed = -hf_errno(hf_link_open(record->class, record->class_generation, record->dir_id, plain, text, (size_t)len, out));
    }
    if (dir_fd >= 0)
        hf_dir_done(node->parent);
    hf_tree_leave();
    return failed;
}

/* A further name for a file. hf_ns held exclusively. */
static int link_file(struct hf_node *file, struct hf_node *dir, int dir_fd, const char *name, const struct hf_place *place)
{
    uint8_t slot[HF_SLOT_LEN];
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_bind(file);
    if (!failed)
        failed = hf_slot_room(file);
    if (!failed)
        failed = hf_slot_of(file, dir, name, slot);
    if (!failed)
        failed = hf_evidence_put(file, HF_EVIDENCE_NAME, slot);
    if (!failed) {
        int from = file->parent ? hf_dir_use_fd(file->parent) : 0;
        hf_dirty(file);
        if (from < 0)
            failed = from;
        else if (file->parent)
            failed = hf_disk->linkat(from, file->name, dir_fd, place->backing);
        else
            failed = hf_disk->link_fd(file->fd, dir_fd, place->backing);
        if (from >= 0 && file->parent)
            hf_dir_done(file->parent);
    }
    if (!failed) {
        file->linked = file->unsynced;
        hf_slot_add(file, slot);
        hf_fresh_before_link(file);
        hf_fresh_put_file(file, dir, place->backing, place->always);
        if (file->unlinked)
            hf_node_rehash(file, file->ino);
    }
    pthread_rwlock_unlock(&file->lock);
    return failed;
}

static int link_becomes_file(struct hf_node *link)
{
    char plain[256];
    struct hf_place place;
    struct hf_node *dir = link->parent;
    int fd = dir ? hf_dir_use(dir) : -ENOENT;
    if (fd < 0)
        return fd;
    int failed = hf_dir_plain(dir, fd, link->name, plain);
    if (!failed)
        failed = hf_place_find(dir, fd, plain, &place);
    if (!failed)
        failed = place.exists && place.st.st_ino == link->ino ? hf_link_to_file(dir, fd, plain, &place) : -EIO;
    hf_dir_done(dir);
    return failed;
}

static int link_once(uint64_t id, uint64_t new_parent, const char *new_name, struct hf_entry *ret)
{
    struct hf_node *dir, *file = hf_node_of(id);
    struct hf_place place;
    int dir_fd;
    if (!file)
        return -ESTALE;
    int failed = begin(new_parent, new_name, &dir, &dir_fd, &place);
    if (failed)
        return failed;
    if (file->kind == HF_NODE_LINK)
        failed = link_becomes_file(file);
    switch (failed ? HF_NODE_LINK : file->kind) {
    case HF_NODE_FILE:
    case HF_NODE_LONG_LINK:
        failed = link_file(file, dir, dir_fd, new_name, &place);
        break;
    case HF_NODE_OTHER: {
        int from = file->parent ? hf_dir_use_fd(file->parent) : -ENOENT;
        failed = from < 0 ? from : hf_disk->linkat(from, file->name, dir_fd, place.backing);
        if (from >= 0)
            hf_dir_done(file->parent);
        break;
    }
    case HF_NODE_LINK: break;
    case HF_NODE_DIR: failed = -EPERM; break;
    }
    if (!failed)
        failed = hf_disk->fstatat(dir_fd, place.backing, &place.st);
    if (!failed && file->kind == HF_NODE_OTHER)
        hf_fresh_put_other(dir, place.backing, place.always, &place.st);
    if (!failed)
        failed = hf_tree_entry(dir, new_name, &place, ret);
    end(dir, dir_fd, &place, failed);
    return failed;
}

int hf_tree_link(uint64_t id, uint64_t new_parent, const char *new_name, struct hf_entry *ret)
{
    int failed = link_once(id, new_parent, new_name, ret);
    if (failed != -EAGAIN)
        return failed;
    failed = hf_tree_settle(); /* old names lose their slots */
    return failed ? failed : link_once(id, new_parent, new_name, ret);
}
