/* A change of class: user.holdfast.class.
 *
 * Lowering wraps the same file key under the other class's key: page 0 is written anew. Raising makes a fresh file with a fresh key beside the old one, copies the content,
 * syncs, and renames it over: at each moment one whole file has the name; the old wrap and the old ciphertext are freed with the old inode.
 * A directory changes class while it is empty (its entries' names are sealed under its class). Source: spec/30-file.md [FC-9]. */
#include "fs/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "fs/closing.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "fs/treepart.h"
#include "fs/worker.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

static int copy_content(struct hf_content *from, struct hf_content *to)
{
    uint8_t *buffer = malloc(HF_MAX_IO);
    uint64_t size = from->dynamic.size, offset = 0;
    enum hf_result result = buffer ? HF_OK : HF_NO_MEMORY;
    while (result == HF_OK && offset < size) {
        uint64_t start = offset;
        size_t got = 0;
        result = hf_content_seek(from, offset, SEEK_DATA, &start);
        if (result == HF_NOT_FOUND) {
            result = HF_OK;
            break;
        }
        if (result == HF_OK)
            result = hf_content_read(from, start, HF_MAX_IO, buffer, &got);
        if (result == HF_OK)
            result = hf_content_write(to, start, buffer, got);
        offset = start + got;
    }
    if (result == HF_OK && to->dynamic.size < size)
        result = hf_content_truncate(to, size);
    if (buffer)
        hf_wipe(buffer, HF_MAX_IO);
    free(buffer);
    return -hf_errno(result);
}

/* The file as it is, under a fresh key and the class, at a temporary name. */
static int make_copy(struct hf_node *file, int dir_fd, unsigned class, const char *temporary, const char *plain, struct hf_node **ret)
{
    struct stat st;
    int failed = hf_disk->fstat(file->fd, &st);
    int fd = failed ? failed : hf_disk->openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    if (geteuid() == 0)
        failed = hf_disk->fchown(fd, st.st_uid, st.st_gid);
    struct hf_file_birth birth = {.class = class, .kind = file->content->header.kind, .mode = st.st_mode & 07777};
    if (failed) {
        (void)hf_disk->close(fd);
        return failed;
    }
    failed = hf_file_birth(fd, &birth, file->parent, plain, temporary, ret);
    if (failed)
        return failed;
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    failed = copy_content(file->content, (*ret)->content);
    if (!failed)
        failed = hf_xattr_copy(file, *ret);
    if (!failed)
        failed = hf_disk->fchmod(fd, st.st_mode & 07777);
    if (!failed)
        failed = -hf_errno(hf_content_put_header((*ret)->content, hf_epoch_now()));
    if (!failed)
        failed = -hf_errno(hf_content_fsync((*ret)->content, false));
    if (!failed)
        failed = hf_disk->futimens(fd, times);
    if (!failed)
        failed = hf_sync_whole(fd);
    return failed;
}

static int raise_file(struct hf_node *file, unsigned class)
{
    char temporary[32] = ".hf~", plain[256];
    uint8_t random[9];
    struct hf_node *copy = NULL;
    struct stat st, before;
    int failed = hf_disk->fstat(file->fd, &st);
    if (!failed && (st.st_nlink != 1 || !file->parent))
        failed = -EMLINK; /* other names would keep the old key's file */
    int dir_fd = failed ? failed : hf_dir_use(file->parent);
    if (dir_fd < 0)
        return dir_fd;
    failed = hf_dir_plain(file->parent, dir_fd, file->name, plain);
    hf_random(random, sizeof random);
    hf_base64url_encode(random, sizeof random, temporary + 4);
    if (!failed)
        failed = hf_disk->fstat(dir_fd, &before);
    bool known = !failed;
    if (!failed)
        failed = make_copy(file, dir_fd, class, temporary, plain, &copy);
    if (!failed)
        failed = hf_disk->renameat2(dir_fd, temporary, dir_fd, file->name, 0);
    if (failed)
        (void)hf_disk->unlinkat(dir_fd, temporary, 0);
    else {
        hf_file_adopt(file, copy);
        hf_fresh_put_file(file, file->parent, file->name, hf_fresh_is_always(file->parent, file->name));
    }
    if (known)
        hf_dir_keep_mtime(dir_fd, &before);
    if (failed && copy) {
        hf_node_unhash(copy);
        hf_node_unplace(copy);
    }
    if (!failed) /* an fsync of the new inode is to promise what the name stands for, also where a disk syncs inodes one by one */
        failed = hf_sync_whole(dir_fd);
    hf_node_unref(copy);
    hf_dir_done(file->parent);
    hf_wipe(plain, sizeof plain);
    return failed;
}

static int protect_file(struct hf_node *file, unsigned class)
{
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_ready(file);
    if (!failed && class < file->class)
        failed = raise_file(file, class);
    else if (!failed && class > file->class) {
        hf_dirty(file);
        failed = hf_file_rewrap(file, class);
    }
    pthread_rwlock_unlock(&file->lock);
    return failed;
}

/* [UO-8] Class unless-open inside an `always` directory: names stay under `always`, so that it is a directory before the first unlock too. */
static bool becomes_spool(const struct hf_node *dir, unsigned class)
{
    return class == HF_CLASS_UNLESS_OPEN && dir->parent && dir->parent->id != HF_TREE_ROOT && hf_dir_class(dir->parent) == HF_CLASS_ALWAYS;
}

static int protect_dir(struct hf_node *dir, unsigned class)
{
    struct hf_dir_record record;
    struct stat st;
    char plain[256];
    if (dir->id == HF_TREE_ROOT)
        return -EOPNOTSUPP;
    int fd = hf_dir_use(dir);
    if (fd < 0)
        return fd;
    int failed = hf_disk->fstat(fd, &st);
    if (!failed && (!hf_keyring_has_name(class) || !hf_keyring_has_name(hf_dir_file_class(dir))))
        failed = -ENOKEY; /* its emptiness is no reason to let a class go, or come, that is locked */
    unsigned flags = becomes_spool(dir, class) ? HF_DIR_SPOOL : 0;
    if (flags)
        class = HF_CLASS_ALWAYS;
    if (!failed && (class != dir->dir.record.class || flags != dir->dir.record.flags)) {
        int empty = hf_dir_is_empty(fd);
        failed = empty < 0 ? empty : empty ? hf_node_plain(dir, plain) : -ENOTEMPTY;
        if (!failed)
            failed = hf_dir_record_next(dir, fd, dir->parent, plain, &st, class, flags, &record);
        hf_dirty(NULL);
        if (!failed) {
            hf_dir_record_commit(dir, fd, &record);
            dir->class = record.class;
        }
    }
    hf_dir_done(dir);
    return failed;
}

/* An entry of the root has its name under `always` exactly while it is of that class, so that it is found before the first unlock. */
static int rename_in_root(struct hf_node *node, unsigned class)
{
    struct hf_place place;
    char plain[256], *room = NULL;
    if (!node->parent || node->parent->id != HF_TREE_ROOT)
        return 0;
    int fd = hf_dir_use(node->parent);
    if (fd < 0)
        return fd;
    int failed = hf_dir_plain(node->parent, fd, node->name, plain);
    if (!failed)
        failed = hf_place_make(node->parent, plain, class == HF_CLASS_ALWAYS, &place);
    if (!failed && strcmp(place.backing, node->name) != 0) {
        room = malloc(HF_BACKING_MAX);
        failed = room ? hf_place_side_put(fd, &place) : -ENOMEM;
        if (!failed)
            failed = hf_disk->renameat2(fd, node->name, fd, place.backing, 0);
        if (!failed) {
            hf_place_side_remove(fd, node->name);
            hf_fresh_remove(node->parent, node->name);
            if (node->kind == HF_NODE_DIR) {
                hf_fresh_put_dir(node, node->parent, place.backing, place.always);
            } else {
                pthread_rwlock_wrlock(&node->lock);
                hf_fresh_put_file(node, node->parent, place.backing, place.always);
                pthread_rwlock_unlock(&node->lock);
            }
            hf_node_place(node, node->parent, place.backing, room);
            room = NULL;
        }
    }
    free(room);
    hf_dir_done(node->parent);
    return failed;
}

int hf_protect(uint64_t id, const char *class_name, size_t len)
{
    struct hf_node *node;
    char name[32] = "";
    if (len >= sizeof name)
        return -EINVAL;
    memcpy(name, class_name, len);
    unsigned class = hf_class_from_name(name);
    if (class == 0)
        return -EINVAL;
    int failed = hf_tree_enter(id, true, &node);
    if (failed)
        return failed;
    if (node->parent && node->parent->id == HF_TREE_ROOT && !hf_keyring_has_name(HF_CLASS_AFTER_UNLOCK)) {
        hf_tree_leave(); /* its name would have to change with it */
        return -ENOKEY;
    }
    switch (node->kind) {
    case HF_NODE_FILE: failed = protect_file(node, class); break;
    case HF_NODE_DIR: failed = protect_dir(node, class); break;
    case HF_NODE_LINK:
    case HF_NODE_LONG_LINK:
    case HF_NODE_OTHER: failed = -EOPNOTSUPP; break;
    }
    if (!failed)
        failed = rename_in_root(node, class);
    hf_tree_leave();
    hf_closing_note(node);
    return failed;
}
