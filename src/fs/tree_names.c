/* Requests that take names away or move them: unlink, rmdir, rename. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/base64url.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/longlink.h"
#include "fs/morenames.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "fs/treepart.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

/* One side of a request: a directory in use, and the object that a name in it stands for. */
struct side {
    struct hf_node *dir;
    int fd;
    const char *name;
    struct hf_place place;
    struct hf_node *node; /* a reference; NULL when nothing is there or nobody knows it */
    bool has_slot;
    uint8_t slot[HF_SLOT_LEN]; /* a file's, of this name */
};

static int side_open(struct side *side, struct hf_node *dir, const char *name)
{
    side->dir = dir;
    side->name = name;
    side->fd = hf_dir_use(dir);
    return side->fd < 0 ? side->fd : hf_place_find(dir, side->fd, name, &side->place);
}

static int side_open_there(struct side *side, struct hf_node *dir, const char *name)
{
    int failed = side_open(side, dir, name);
    return failed || side->place.exists ? failed : -ENOENT;
}

static void side_close(struct side *side)
{
    hf_node_unref(side->node);
    if (side->dir && side->fd >= 0)
        hf_dir_done(side->dir);
}

/* Something with a header. */
static bool is_file(const struct side *side)
{
    return side->node && (side->node->kind == HF_NODE_FILE || side->node->kind == HF_NODE_LONG_LINK);
}

static bool is_this_name(const struct side *side)
{
    return side->node->parent == side->dir && strcmp(side->node->name, side->place.backing) == 0;
}

/* Before a name goes: a file with further names keeps its descriptor (its node may lose its only known name) and learns which slot goes.
 * What can't be read (damaged, or its class was never open) goes all the same. */
static void before_loss(struct side *side)
{
    if (!side->place.exists)
        return;
    bool more_names = S_ISREG(side->place.st.st_mode) && side->place.st.st_nlink > 1;
    side->node = more_names ? hf_node_get(&side->place.st, side->dir, side->place.backing, false) : hf_node_find(side->place.st.st_ino);
    if (!is_file(side) || !more_names)
        return;
    pthread_rwlock_wrlock(&side->node->lock);
    side->has_slot = hf_file_bind(side->node) == 0 && hf_slot_of(side->node, side->dir, side->name, side->slot) == 0;
    pthread_rwlock_unlock(&side->node->lock);
}

/* The object has lost this name on disk; taken: another object has it now. */
static void after_loss(struct side *side, bool taken)
{
    struct hf_node *node = side->node;
    if (!taken) {
        hf_place_side_remove(side->fd, side->place.backing);
        hf_fresh_remove(side->dir, side->place.backing);
    }
    if (!node)
        return;
    bool last = side->place.st.st_nlink <= 1 || S_ISDIR(side->place.st.st_mode);
    if (last) {
        if (node->fd < 0 && (node->last = malloc(sizeof *node->last)) != NULL) {
            *node->last = side->place.st;
            node->last->st_nlink = 0;
        }
        hf_node_unhash(node);
        pthread_rwlock_wrlock(&node->lock);
        hf_more_remove(node);
        node->unsynced = false; /* no fsync of a directory asks for it any more */
        pthread_rwlock_unlock(&node->lock);
        if (!hf_node_in_kernel(node))
            hf_file_discard(node);
    }
    if (last || is_this_name(side))
        hf_node_unplace(node);
    if (!last && side->has_slot) {
        pthread_rwlock_wrlock(&node->lock);
        hf_dirty(node);
        hf_slot_drop(node, side->slot);
        pthread_rwlock_unlock(&node->lock);
    }
}

int hf_tree_unlink(uint64_t parent, const char *name)
{
    struct side side = {.fd = -1};
    struct hf_node *dir;
    int failed = hf_tree_enter(parent, true, &dir);
    if (failed)
        return failed;
    failed = side_open_there(&side, dir, name);
    if (!failed && S_ISDIR(side.place.st.st_mode))
        failed = -EISDIR;
    if (!failed) {
        before_loss(&side);
        hf_dirty(NULL);
        failed = hf_disk->unlinkat(side.fd, side.place.backing, 0);
    }
    if (!failed)
        after_loss(&side, false);
    side_close(&side);
    hf_tree_leave();
    return failed;
}

/* Takes the record out of an empty directory, so that the disk sees it empty. */
static int unmark_dir(const struct side *side, int *ret_fd)
{
    uint32_t lent;
    int fd = hf_open_lent(side->fd, side->place.backing, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    int empty = hf_dir_is_empty(fd);
    int failed = empty < 0 ? empty : empty ? hf_lend(fd, 0700, &lent) : -ENOTEMPTY;
    if (!failed) {
        failed = hf_disk->unlinkat(fd, ".hf", 0);
        if (failed == -ENOENT)
            failed = 0;
        if (!failed) /* last: it may be the true one */
            hf_dir_record_forget_next(fd);
        hf_lend_back(fd, lent);
    }
    if (failed)
        (void)hf_disk->close(fd);
    else
        *ret_fd = fd;
    return failed;
}

/* The directory stayed after all. */
static void mark_again(const struct side *side, int fd)
{
    char text[HF_DIR_RECORD_TEXT_LEN + 1];
    uint32_t lent;
    if (!side->node || !side->node->dir.loaded || hf_lend(fd, 0700, &lent))
        return;
    hf_dir_record_encode(&side->node->dir.record, text);
    (void)hf_disk->symlinkat(text, fd, ".hf");
    hf_lend_back(fd, lent);
}

/* So that the record can be put back when the removal fails. */
static void load_record(struct side *side)
{
    side->node = hf_node_get(&side->place.st, side->dir, side->place.backing, false);
    if (side->node && hf_dir_use(side->node) >= 0)
        hf_dir_done(side->node);
}

int hf_tree_rmdir(uint64_t parent, const char *name)
{
    struct side side = {.fd = -1};
    struct hf_node *dir;
    int fd = -1;
    int failed = hf_tree_enter(parent, true, &dir);
    if (failed)
        return failed;
    failed = side_open_there(&side, dir, name);
    if (!failed && !S_ISDIR(side.place.st.st_mode))
        failed = -ENOTDIR;
    if (!failed) {
        load_record(&side);
        hf_dirty(NULL);
        failed = unmark_dir(&side, &fd);
    }
    if (!failed) {
        failed = hf_disk->unlinkat(side.fd, side.place.backing, AT_REMOVEDIR);
        if (failed)
            mark_again(&side, fd);
    }
    if (fd >= 0)
        (void)hf_disk->close(fd);
    if (!failed)
        after_loss(&side, false);
    side_close(&side);
    hf_tree_leave();
    return failed;
}

/* --- rename --- */

/* btrfs writes a file's data before a rename puts it over another; elsewhere a file never synced is synced first: ext4 only starts to write
 * (auto_da_alloc), and with dioread_nolock, its default, the journal can have the rename without the data. */
static bool disk_orders_renames(int fd)
{
    struct statfs st;
    return fstatfs(fd, &st) == 0 && (unsigned)st.f_type == BTRFS_SUPER_MAGIC;
}

/* What goes with a name that moves: a file's evidence, a directory's next record. */
struct mover {
    struct side *from;
    struct hf_node *to_dir;
    const char *to_name;
    uint8_t new_slot[HF_SLOT_LEN];
    struct hf_dir_record record;
    int dir_fd;
    bool next; /* the record was put: what an earlier change left there, when it could not be, is the true one and stays */
    char *room; /* for the node's new name: once the disk has it, nothing may fail any more */
};

static int mover_prepare_file(struct mover *mover, bool over)
{
    struct hf_node *file = mover->from->node;
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_bind(file);
    if (!failed)
        failed = hf_slot_room(file);
    if (!failed)
        failed = hf_slot_of(file, mover->from->dir, mover->from->name, mover->from->slot);
    if (!failed && !hf_file_name_fits(file, mover->from->slot))
        failed = -EIO;
    if (!failed)
        failed = hf_slot_of(file, mover->to_dir, mover->to_name, mover->new_slot);
    if (!failed && over && file->unsynced && !disk_orders_renames(file->fd))
        failed = hf_sync_data(file->fd);
    if (!failed)
        failed = hf_evidence_put(file, HF_EVIDENCE_NAME, mover->new_slot);
    pthread_rwlock_unlock(&file->lock);
    return failed;
}

static int mover_prepare_dir(struct mover *mover)
{
    struct hf_node *dir = mover->from->node;
    struct stat st;
    mover->dir_fd = hf_dir_use(dir);
    if (mover->dir_fd < 0)
        return mover->dir_fd;
    int failed = hf_disk->fstat(mover->dir_fd, &st);
    if (!failed)
        failed = hf_dir_record_next(dir, mover->dir_fd, mover->to_dir, mover->to_name, &st, dir->dir.record.class, dir->dir.record.flags,
                                    NULL, &mover->record);
    mover->next = !failed;
    return failed;
}

static int mover_prepare(struct mover *mover, bool over)
{
    struct side *from = mover->from;
    mover->dir_fd = -1;
    from->node = hf_node_get(&from->place.st, from->dir, from->place.backing, false);
    if (from->node)
        mover->room = malloc(HF_BACKING_MAX);
    if (!mover->room)
        return -ENOMEM;
    switch (from->node->kind) {
    case HF_NODE_FILE:
    case HF_NODE_LONG_LINK: return mover_prepare_file(mover, over);
    case HF_NODE_DIR: return mover_prepare_dir(mover);
    case HF_NODE_LINK:
    case HF_NODE_OTHER: break;
    }
    return 0;
}

/* The index follows, once the node knows its new place (a link has told it itself). */
static void mover_enter(const struct mover *mover, const char *backing, bool always)
{
    struct hf_node *node = mover->from->node;
    switch (node->kind) {
    case HF_NODE_FILE:
    case HF_NODE_LONG_LINK:
        pthread_rwlock_wrlock(&node->lock);
        hf_fresh_put_file(node, mover->to_dir, backing, always);
        pthread_rwlock_unlock(&node->lock);
        break;
    case HF_NODE_DIR: hf_fresh_put_dir(node, mover->to_dir, backing, always); break;
    case HF_NODE_OTHER: hf_fresh_put_other(mover->to_dir, backing, always, &mover->from->place.st); break;
    case HF_NODE_LINK: break;
    }
}

/* After the rename; done: it happened. */
static void mover_finish(struct mover *mover, const char *backing, bool always, bool done)
{
    struct hf_node *node = mover->from->node;
    if (done && (node->kind == HF_NODE_FILE || node->kind == HF_NODE_LONG_LINK)) {
        pthread_rwlock_wrlock(&node->lock);
        hf_dirty(node);
        hf_slot_drop(node, mover->from->slot);
        hf_slot_add(node, mover->new_slot);
        pthread_rwlock_unlock(&node->lock);
    }
    if (mover->dir_fd >= 0) {
        if (done)
            hf_dir_record_commit(node, mover->dir_fd, &mover->record);
        else if (mover->next)
            hf_dir_record_forget_next(mover->dir_fd);
        hf_dir_done(node);
    }
    if (done && (is_this_name(mover->from) || !node->parent)) {
        hf_node_place(node, mover->to_dir, backing, mover->room);
        mover->room = NULL;
    }
    free(mover->room);
    if (done)
        mover_enter(mover, backing, always);
}

/* A link's target is sealed to its place: a new link comes, the old one goes. */
static int move_link(struct side *from, struct side *to, const char *backing, unsigned flags)
{
    const struct hf_dir_record *old = &from->dir->dir.record, *fresh = &to->dir->dir.record;
    char text[4096], target[4096], temporary[32] = ".hf~";
    uint8_t random[9];
    struct stat st;
    ssize_t len = hf_disk->readlinkat(from->fd, from->place.backing, text, sizeof text);
    if (len < 0)
        return (int)len;
    enum hf_result result = hf_link_open(old->class, old->class_generation, old->dir_id, from->name, text, (size_t)len, target);
    if (result == HF_OK)
        result = hf_link_seal(fresh->class, fresh->class_generation, fresh->dir_id, to->name, target, text);
    hf_wipe(target, sizeof target);
    if (result != HF_OK)
        return -hf_errno(result);
    hf_random(random, sizeof random);
    hf_base64url_encode(random, sizeof random, temporary + 4);
    int failed = hf_disk->symlinkat(text, to->fd, temporary);
    if (failed)
        return failed;
    const struct timespec times[2] = {from->place.st.st_atim, from->place.st.st_mtim};
    if (geteuid() == 0)
        failed = hf_disk->fchownat(to->fd, temporary, from->place.st.st_uid, from->place.st.st_gid);
    if (!failed)
        failed = hf_xattr_move_link(from->fd, from->place.backing, to->fd, temporary);
    if (!failed)
        failed = hf_disk->utimensat(to->fd, temporary, times);
    if (!failed)
        failed = hf_disk->fstatat(to->fd, temporary, &st);
    if (!failed)
        failed = hf_disk->renameat2(to->fd, temporary, to->fd, backing, flags);
    if (failed) {
        (void)hf_disk->unlinkat(to->fd, temporary, 0);
        return failed;
    }
    hf_node_rehash(from->node, st.st_ino);
    hf_fresh_put_link(to->dir, backing, false, text, strlen(text));
    return hf_disk->unlinkat(from->fd, from->place.backing, 0);
}

/* Who found the file by its name may open it after another took the name: it always had one, so the kernel must not have to look again and again (ESTALE). */
static void keep_for_finders(struct side *side)
{
    if (!is_file(side) || side->node->fd >= 0 || !hf_node_in_kernel(side->node))
        return;
    pthread_rwlock_wrlock(&side->node->lock);
    if (hf_file_bind(side->node) != 0)
        side->node->bound = false; /* what can't be opened goes all the same */
    pthread_rwlock_unlock(&side->node->lock);
}

/* Makes room at the target: an empty directory loses its record, so that the disk's rename may replace it. */
static int clear_target(struct side *from, struct side *to, int *ret_dir_fd)
{
    if (!to->place.exists)
        return 0;
    if (!S_ISDIR(to->place.st.st_mode)) {
        if (S_ISDIR(from->place.st.st_mode))
            return -ENOTDIR;
        before_loss(to);
        keep_for_finders(to);
        return 0;
    }
    if (!S_ISDIR(from->place.st.st_mode))
        return -EISDIR;
    load_record(to);
    return unmark_dir(to, ret_dir_fd);
}

static int move(struct side *from, struct side *to, unsigned flags)
{
    struct mover mover = {.from = from, .to_dir = to->dir, .to_name = to->name};
    struct hf_place target;
    int target_fd = -1;
    bool over = to->place.exists;
    if (over && to->place.st.st_ino == from->place.st.st_ino)
        return 0; /* two names of one file */
    int failed = hf_place_make(to->dir, to->name, from->place.always && to->dir->id == HF_TREE_ROOT, &target);
    if (!failed)
        failed = hf_place_side_put(to->fd, &target);
    if (!failed)
        failed = mover_prepare(&mover, over);
    if (!failed)
        failed = clear_target(from, to, &target_fd);
    if (!failed) {
        hf_dirty(NULL);
        failed = from->node->kind == HF_NODE_LINK ? move_link(from, to, target.backing, flags)
                                                  : hf_disk->renameat2(from->fd, from->place.backing, to->fd, target.backing, flags);
        if (failed && target_fd >= 0)
            mark_again(to, target_fd);
    }
    bool done = !failed;
    if (done)
        hf_fresh_remove(from->dir, from->place.backing);
    if (target_fd >= 0)
        (void)hf_disk->close(target_fd);
    if (done && over) {
        if (strcmp(to->place.backing, target.backing) != 0) /* the root's other name for it */
            failed = hf_disk->unlinkat(to->fd, to->place.backing, S_ISDIR(to->place.st.st_mode) ? AT_REMOVEDIR : 0);
        after_loss(to, strcmp(to->place.backing, target.backing) == 0);
    }
    if (from->node)
        mover_finish(&mover, target.backing, target.always, done);
    if (done)
        hf_place_side_remove(from->fd, from->place.backing);
    else if (!over && target.side[0])
        hf_place_side_remove(to->fd, target.backing);
    return failed;
}

static int exchange(struct side *a, struct side *b)
{
    struct mover first = {.from = a, .to_dir = b->dir, .to_name = b->name}, second = {.from = b, .to_dir = a->dir, .to_name = a->name};
    if (!b->place.exists)
        return -ENOENT;
    if (a->place.st.st_ino == b->place.st.st_ino)
        return 0;
    /* A sealed target can't change its place in one step. */
    int failed = S_ISLNK(a->place.st.st_mode) ? hf_link_to_file(a->dir, a->fd, a->name, &a->place) : 0;
    if (!failed && S_ISLNK(b->place.st.st_mode))
        failed = hf_link_to_file(b->dir, b->fd, b->name, &b->place);
    second.dir_fd = -1;
    if (failed)
        return failed;
    failed = mover_prepare(&first, true); /* each stands in a name that may be promised */
    if (!failed)
        failed = mover_prepare(&second, true);
    if (!failed) {
        hf_dirty(NULL);
        failed = hf_disk->renameat2(a->fd, a->place.backing, b->fd, b->place.backing, RENAME_EXCHANGE);
    }
    if (a->node)
        mover_finish(&first, b->place.backing, b->place.always, !failed);
    if (b->node)
        mover_finish(&second, a->place.backing, a->place.always, !failed);
    return failed;
}

static int rename_once(uint64_t parent, const char *name, uint64_t new_parent, const char *new_name, unsigned flags)
{
    struct side from = {.fd = -1}, to = {.fd = -1};
    struct hf_node *dir, *new_dir = hf_node_of(new_parent);
    if (!new_dir)
        return -ESTALE;
    int failed = hf_tree_enter(parent, true, &dir);
    if (failed)
        return failed;
    failed = side_open_there(&from, dir, name);
    if (!failed)
        failed = side_open(&to, new_dir, new_name);
    if (!failed && (flags & RENAME_NOREPLACE) && to.place.exists)
        failed = -EEXIST;
    if (!failed)
        failed = flags & RENAME_EXCHANGE ? exchange(&from, &to) : move(&from, &to, flags);
    side_close(&from);
    side_close(&to);
    hf_tree_leave();
    return failed;
}

int hf_tree_rename(uint64_t parent, const char *name, uint64_t new_parent, const char *new_name, unsigned flags)
{
    if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) || flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    int failed = rename_once(parent, name, new_parent, new_name, flags);
    if (failed != -EAGAIN)
        return failed;
    failed = hf_tree_settle(); /* old names lose their slots */
    return failed ? failed : rename_once(parent, name, new_parent, new_name, flags);
}
