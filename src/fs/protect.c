/* A change of class: user.holdfast.class.
 *
 * Lowering wraps the same file key under the other class's key: page 0 is written anew. Raising makes a fresh file with a fresh key beside the old one, copies the content,
 * syncs, and renames it over: at each moment one whole file has the name; the old wrap and the old ciphertext are freed with the old inode (rekey.c).
 * A directory changes class while it is empty (its entries' names are sealed under its class). Source: spec/30-file.md [FC-9]. */
#include "fs/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "fs/allnames.h"
#include "fs/closing.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/rekey.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "fs/treepart.h"
#include "fs/worker.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

static int protect_file(struct hf_node *file, unsigned class, const struct hf_all_names *names)
{
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_ready(file);
    if (!failed && class < file->class)
        failed = hf_file_raise(file, class, names);
    else if (!failed && class > file->class) {
        hf_dirty(file);
        failed = hf_file_rewrap(file, class, names);
        if (!failed && names->count > 1) /* a name of the root may change its form now, and the scan is to see that this file's names are new */
            failed = hf_sync_data(file->fd);
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
    if (!failed && (class != dir->dir.record.class || flags != (dir->dir.record.flags & HF_DIR_SPOOL))) {
        int empty = hf_dir_is_empty(fd);
        struct hf_xattr_held *attributes = NULL;
        failed = empty < 0 ? empty : empty ? hf_node_plain(dir, plain) : -ENOTEMPTY;
        if (!failed)
            failed = hf_xattr_hold(dir, &attributes); /* their key goes with the class */
        if (!failed)
            failed = hf_dir_record_next(dir, fd, dir->parent, plain, &st, class, flags, NULL, &record);
        hf_dirty(NULL);
        if (!failed) {
            hf_dir_record_commit(dir, fd, &record);
            dir->class = record.class;
        }
        int kept = hf_xattr_release(dir, attributes);
        failed = failed ? failed : kept;
    }
    hf_dir_done(dir);
    return failed;
}

/* An entry of the root has its name under `always` exactly while it is of that class, so that it is found before the first unlock. backing: the node's name there, or one of several. */
static int rename_in_root(struct hf_node *node, struct hf_node *root, const char *backing, unsigned class)
{
    struct hf_place place;
    struct stat before;
    char plain[256], *room = NULL;
    bool own = node->parent == root && strcmp(node->name, backing) == 0;
    int fd = hf_dir_use(root);
    if (fd < 0)
        return fd;
    int failed = hf_disk->fstat(fd, &before);
    if (!failed)
        failed = hf_dir_plain(root, fd, backing, plain);
    if (!failed)
        failed = hf_place_make(root, plain, class == HF_CLASS_ALWAYS, &place);
    if (!failed && strcmp(place.backing, backing) != 0) {
        room = malloc(HF_BACKING_MAX);
        failed = room ? hf_place_side_put(fd, &place) : -ENOMEM;
        if (!failed)
            failed = hf_disk->renameat2(fd, backing, fd, place.backing, 0);
        if (!failed) {
            hf_place_side_remove(fd, backing);
            hf_dir_keep_mtime(fd, &before);
            hf_fresh_remove(root, backing);
            if (node->kind == HF_NODE_DIR) {
                hf_fresh_put_dir(node, root, place.backing, place.always);
            } else {
                pthread_rwlock_wrlock(&node->lock);
                hf_fresh_put_file(node, root, place.backing, place.always);
                pthread_rwlock_unlock(&node->lock);
            }
            if (own) {
                hf_node_place(node, root, place.backing, room);
                room = NULL;
            }
        }
    }
    free(room);
    hf_dir_done(root);
    return failed;
}

/* [CR-17] All names follow. */
static int file_with_names(struct hf_node *file, unsigned class)
{
    struct hf_all_names all;
    int failed = hf_all_names(file, &all);
    bool in_root = false;
    for (size_t i = 0; i < all.count; i++)
        in_root = in_root || all.names[i].dir->id == HF_TREE_ROOT;
    if (!failed && in_root && !hf_keyring_has_name(HF_CLASS_AFTER_UNLOCK))
        failed = -ENOKEY; /* its name would have to change with it */
    if (!failed)
        failed = hf_fresh_room(2 * all.count);
    if (!failed)
        failed = protect_file(file, class, &all);
    for (size_t i = 0; i < all.count && !failed; i++) {
        if (all.names[i].dir->id == HF_TREE_ROOT)
            failed = rename_in_root(file, all.names[i].dir, all.names[i].backing, class);
    }
    hf_all_names_free(&all);
    return failed;
}

static int dir_with_name(struct hf_node *dir, unsigned class)
{
    bool in_root = dir->parent && dir->parent->id == HF_TREE_ROOT;
    if (in_root && !hf_keyring_has_name(HF_CLASS_AFTER_UNLOCK))
        return -ENOKEY;
    int failed = protect_dir(dir, class);
    return failed || !in_root ? failed : rename_in_root(dir, dir->parent, dir->name, class);
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
    switch (node->kind) {
    case HF_NODE_FILE: failed = file_with_names(node, class); break;
    case HF_NODE_DIR: failed = dir_with_name(node, class); break;
    case HF_NODE_LINK:
    case HF_NODE_LONG_LINK:
    case HF_NODE_OTHER: failed = -EOPNOTSUPP; break;
    }
    hf_tree_leave();
    hf_closing_note(node);
    return failed;
}
