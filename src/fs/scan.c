/* The scan after an unclean stop.
 *
 * Each name is visited. A file of the window whose page 0 never came is a create that was lost: its name is removed and reported. Other files of the window are
 * loaded (which cuts them where the crash rules say), learn which of their names the disk still has, and are written anew by the settle that follows.
 * What belongs to a class that is locked waits, and so does what there is no memory for: the window stays open until it was seen. What the disk cannot show is asked for
 * twice: with the window the proof goes of what was in it, so a read that failed once must not count as damage. Source: spec/35-crash.md [CR-16]. */
#include "fs/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/morenames.h"
#include "fs/rekey.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"

struct scan {
    bool accept; /* a walk to believe what is there, not one after an unclean stop */
    uint64_t lost, waiting, unsound;
    struct seen *seen; /* files of the window, with the names found so far */
    struct hf_raised *raised; /* copies that were on their way to a file's names */
};

struct seen {
    struct seen *next;
    struct hf_node *node;
    uint32_t count, cap;
    uint8_t (*slots)[HF_SLOT_LEN];
};

static struct seen *seen_of(struct scan *scan, struct hf_node *node, bool more_names)
{
    for (struct seen *seen = more_names ? scan->seen : NULL; seen; seen = seen->next) {
        if (seen->node == node)
            return seen;
    }
    struct seen *seen = calloc(1, sizeof *seen);
    if (!seen)
        return NULL;
    hf_node_ref(node);
    seen->node = node;
    seen->next = scan->seen;
    scan->seen = seen;
    return seen;
}

static bool see(struct seen *seen, const uint8_t slot[HF_SLOT_LEN])
{
    if (seen->count == seen->cap) {
        uint32_t cap = seen->cap * 2 + HF_SLOTS;
        uint8_t (*more)[HF_SLOT_LEN] = realloc(seen->slots, (size_t)cap * HF_SLOT_LEN);
        if (!more)
            return false;
        seen->slots = more;
        seen->cap = cap;
    }
    memcpy(seen->slots[seen->count++], slot, HF_SLOT_LEN);
    return true;
}

static int once_more(int failed)
{
    return failed < 0 && failed != -ENOENT && failed != -ENOKEY;
}

/* What was not to be had in the end. */
static void missed(struct scan *scan, int failed)
{
    if (failed == -ENOKEY || failed == -ENOMEM)
        scan->waiting++;
    else
        scan->unsound++;
}

static int remove_name(int dir_fd, const char *backing, int flags)
{
    int failed = hf_disk->unlinkat(dir_fd, backing, flags);
    return once_more(failed) ? hf_disk->unlinkat(dir_fd, backing, flags) : failed;
}

/* Reported without its name: the log is plaintext. */
static void lose(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing)
{
    (void)fprintf(stderr, "holdfast-fs: a file's creation was lost in the power cut: its name is taken away\n");
    if (remove_name(dir_fd, backing, 0) == 0) {
        hf_place_side_remove(dir_fd, backing);
        hf_fresh_remove(dir, backing);
    }
    scan->lost++;
}

/* A file at the name that it has there; its node's lock held. *ret_window: it is one of the window, by the name with this slot. -ENOENT: its page 0 never came. */
static int look_at_file(const struct scan *scan, struct hf_node *file, struct hf_node *dir, int dir_fd, const char *backing, const struct stat *st, bool *ret_window,
                        uint8_t slot[HF_SLOT_LEN])
{
    char plain[256];
    struct hf_content *probe = NULL;
    *ret_window = false;
    int failed = hf_node_open_fd(file);
    if (!failed && !scan->accept && !file->content && hf_content_label(file->fd, &probe) == HF_NOT_FOUND)
        return -ENOENT;
    hf_content_free(&probe);
    if (!failed)
        failed = hf_file_label(file);
    if (!failed)
        hf_fresh_walk_file(file);
    if (!failed && scan->accept) {
        file->bound = false;
        failed = hf_file_ready(file);
        if (!failed) /* a content that was loaded already, too */
            failed = hf_fresh_open(file, 0);
    }
    *ret_window = !failed && !scan->accept && (file->content->in_window || file->evidence || hf_fresh_is_new(dir, backing) ||
                                               hf_disk_len(hf_size_from_disk_len((uint64_t)st->st_size)) != (uint64_t)st->st_size);
    if (!*ret_window)
        return failed;
    /* Bound by this name, whichever the node knows. */
    failed = hf_dir_plain(dir, dir_fd, backing, plain);
    if (!failed)
        failed = hf_slot_of(file, dir, plain, slot);
    if (!failed)
        failed = hf_file_ready(file);
    if (!failed && !hf_file_name_fits(file, slot))
        failed = -EIO;
    if (!failed)
        failed = hf_xattr_rebind(file);
    hf_wipe(plain, sizeof plain);
    return failed;
}

static void scan_file(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing, const struct stat *st)
{
    uint8_t slot[HF_SLOT_LEN];
    bool window = false;
    struct hf_node *file = hf_node_get(st, dir, backing, false);
    if (!file) {
        scan->waiting++;
        return;
    }
    pthread_rwlock_wrlock(&file->lock);
    int failed = look_at_file(scan, file, dir, dir_fd, backing, st, &window, slot);
    if (once_more(failed)) {
        hf_fresh_forget_why();
        failed = look_at_file(scan, file, dir, dir_fd, backing, st, &window, slot);
    }
    if (failed == -ENOENT) {
        pthread_rwlock_unlock(&file->lock);
        hf_node_unref(file);
        lose(scan, dir, dir_fd, backing);
        return;
    }
    if (window && !failed) {
        struct seen *seen = seen_of(scan, file, st->st_nlink > 1);
        if (!seen || !see(seen, slot))
            scan->waiting++; /* without memory for its names it can't be written anew */
    }
    if ((window || scan->accept) && !failed && (file->parent != dir || strcmp(backing, file->name) != 0)) { /* a further name */
        bool always;
        failed = hf_place_is_always(dir, dir_fd, backing, &always);
        if (once_more(failed))
            failed = hf_place_is_always(dir, dir_fd, backing, &always);
        if (!failed) {
            hf_fresh_before_link(file);
            hf_fresh_put_file(file, dir, backing, always);
        }
    }
    if (failed == -EIO && hf_fresh_why())
        (void)fprintf(stderr, "holdfast-fs: a file is not as the vault last saw it: %s\n", hf_fresh_why());
    hf_fresh_forget_why();
    if (failed)
        missed(scan, failed);
    if (failed && failed != -ENOKEY && scan->accept && hf_fresh_believe_name(dir, backing) != 0) /* so that it can be removed */
        scan->waiting++;
    pthread_rwlock_unlock(&file->lock);
    hf_node_idle(file);
    hf_node_unref(file);
}

static void scan_dir(struct scan *scan, struct hf_node *dir);

/* These carry no epoch: what is there is believed [FR-8]. */
static int look_at_other(struct hf_node *dir, int dir_fd, const char *backing, const struct stat *st)
{
    char text[4096], plain[256];
    int failed = hf_dir_plain(dir, dir_fd, backing, plain);
    hf_wipe(plain, sizeof plain);
    if (failed == -EIO)
        return failed; /* no name of ours */
    ssize_t len = !failed && S_ISLNK(st->st_mode) ? hf_readlink_lent(dir_fd, backing, text, sizeof text) : 0;
    if (failed || len < 0)
        return failed ? failed : (int)len;
    return S_ISLNK(st->st_mode) ? hf_fresh_link(dir, backing, text, (size_t)len) : hf_fresh_believe_other(dir, backing, st);
}

static void scan_other(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing, const struct stat *st)
{
    int failed = look_at_other(dir, dir_fd, backing, st);
    if (once_more(failed))
        failed = look_at_other(dir, dir_fd, backing, st);
    if (failed == -ENOMEM)
        scan->waiting++;
}

/* [CR-17] */
static void finish_raised(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing, struct stat *st)
{
    struct hf_node *file = scan->raised ? hf_node_get(st, dir, backing, false) : NULL;
    if (!file)
        return;
    pthread_rwlock_wrlock(&file->lock);
    int has = hf_file_label(file); /* what fails here, the scan of the name tells */
    if (!has)
        has = hf_raised_finish(scan->raised, file, dir, dir_fd, backing);
    pthread_rwlock_unlock(&file->lock);
    if (has > 0 && file->parent == dir && strcmp(file->name, backing) == 0)
        hf_node_unplace(file);
    if (has > 0)
        has = hf_disk->fstatat(dir_fd, backing, st);
    if (has < 0)
        missed(scan, has);
    hf_node_idle(file);
    hf_node_unref(file);
}

static void scan_entry(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing)
{
    struct stat st;
    if (!scan->accept && strncmp(backing, ".hf~", 4) == 0) { /* a link on its way to its place */
        (void)remove_name(dir_fd, backing, 0);
        return;
    }
    if (hf_name_is_ours(backing))
        return;
    int failed = hf_disk->fstatat(dir_fd, backing, &st);
    if (once_more(failed))
        failed = hf_disk->fstatat(dir_fd, backing, &st);
    if (failed != -ENOENT)
        hf_fresh_walk_name(dir, backing);
    if (failed && failed != -ENOENT)
        missed(scan, failed);
    if (failed)
        return;
    if (S_ISREG(st.st_mode)) {
        finish_raised(scan, dir, dir_fd, backing, &st);
        scan_file(scan, dir, dir_fd, backing, &st);
    } else if (S_ISDIR(st.st_mode)) {
        struct hf_node *child = hf_node_get(&st, dir, backing, false);
        if (child)
            scan_dir(scan, child);
        else
            scan->waiting++;
        hf_node_unref(child);
    } else {
        scan_other(scan, dir, dir_fd, backing, &st);
    }
}

/* A directory that is empty and has no record was being made or removed. */
static bool was_half_made(struct hf_node *dir)
{
    struct stat st;
    int fd = hf_dir_use_fd(dir);
    if (fd < 0)
        return false;
    bool half = hf_disk->fstatat(fd, ".hf", &st) == -ENOENT && hf_dir_is_empty(fd) == 1;
    if (half)
        hf_dir_record_forget_next(fd);
    hf_dir_done(dir);
    if (!half || !dir->parent)
        return false;
    int up = hf_dir_use_fd(dir->parent);
    bool gone = up >= 0 && remove_name(up, dir->name, AT_REMOVEDIR) == 0;
    if (up >= 0)
        hf_dir_done(dir->parent);
    if (gone) {
        hf_fresh_remove(dir->parent, dir->name);
        hf_node_unhash(dir);
        hf_node_unplace(dir);
    }
    return gone;
}

/* 0, or what kept the listing from its end. */
static int scan_entries(struct scan *scan, struct hf_node *dir, int dir_fd)
{
    _Alignas(8) char buffer[8192];
    int stream = hf_disk->openat(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (once_more(stream))
        stream = hf_disk->openat(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
    for (;;) {
        ssize_t got = stream < 0 ? stream : hf_disk->getdents(stream, buffer, sizeof buffer);
        if (stream >= 0 && once_more((int)got))
            got = hf_disk->getdents(stream, buffer, sizeof buffer);
        if (got <= 0) {
            if (stream >= 0)
                (void)hf_disk->close(stream);
            return (int)got;
        }
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *raw = (const void *)(buffer + at);
            if (strcmp(raw->d_name, ".") != 0 && strcmp(raw->d_name, "..") != 0)
                scan_entry(scan, dir, dir_fd, raw->d_name);
            at += raw->d_reclen;
        }
    }
}

static void scan_dir(struct scan *scan, struct hf_node *dir)
{
    char probe[HF_BACKING_MAX];
    int fd = hf_dir_use(dir);
    if (once_more(fd))
        fd = hf_dir_use(dir);
    if (fd < 0) {
        if (fd != -EIO || scan->accept || !(was_half_made(dir) || was_half_made(dir)))
            missed(scan, fd);
        return;
    }
    if (scan->accept)
        (void)!hf_fresh_dir(dir); /* one that was loaded before */
    const struct hf_dir_record *record = &dir->dir.record;
    bool readable = hf_name_encode(record->class, record->class_generation, record->dir_id, "x", probe, NULL) == HF_OK;
    if (!readable)
        scan->waiting++;
    if (readable || dir->id == HF_TREE_ROOT) { /* the root goes on with what it has under always */
        int failed = scan_entries(scan, dir, fd);
        if (failed)
            missed(scan, failed);
        else if (readable)
            hf_fresh_walk_dir(dir);
    }
    hf_dir_done(dir);
}

static void take_names(struct scan *scan)
{
    while (scan->seen) {
        struct seen *seen = scan->seen;
        struct hf_node *file = seen->node;
        scan->seen = seen->next;
        pthread_rwlock_wrlock(&file->lock);
        if (file->content && scan->waiting == 0) {
            struct hf_file_meta *meta = &file->content->meta;
            struct stat st;
            const struct hf_file_static *header = &file->content->header;
            int failed = hf_disk->fstat(file->fd, &st);
            if (once_more(failed))
                failed = hf_disk->fstat(file->fd, &st);
            if (!failed)
                failed = hf_more_replace(file, (const uint8_t (*)[HF_SLOT_LEN])seen->slots, seen->count);
            if (!failed)
                failed = -hf_errno(hf_attr_mac(header->class, header->class_generation, header->file_id, st.st_mode & 07777, st.st_uid, st.st_gid, meta->attr_mac));
            if (failed) {
                missed(scan, failed);
            } else {
                file->stale = true;
                hf_dirty(file);
            }
        }
        pthread_rwlock_unlock(&file->lock);
        hf_node_unref(file);
        free(seen->slots);
        free(seen);
    }
}

void hf_scan(void)
{
    struct scan scan = {0};
    uint64_t gone = 0;
    if (!hf_unclean || hf_fresh_frozen())
        return;
    pthread_rwlock_wrlock(&hf_ns);
    hf_fresh_walk_begin();
    if (hf_raised_load(&scan.raised) != 0)
        scan.waiting++;
    scan_dir(&scan, hf_node_of(HF_TREE_ROOT));
    take_names(&scan);
    /* What lies below something that could not be looked at may be there still. */
    enum hf_fresh_walked walked = scan.waiting ? HF_FRESH_WALK_NOTHING : scan.unsound ? HF_FRESH_WALK_DIRS : HF_FRESH_WALK_ALL;
    int failed = hf_fresh_walk_end(walked, &gone);
    hf_unclean = scan.waiting > 0 || failed;
    pthread_rwlock_unlock(&hf_ns);
    if (gone > 0)
        (void)fprintf(stderr, "holdfast-fs: after a stop without a close: %llu names of the last settled state are gone: removed or renamed in its last seconds\n", (unsigned long long)gone);
    bool done = false;
    if (!hf_unclean) {
        hf_dirty(NULL);
        done = hf_tree_settle() == 0;
    }
    hf_raised_end(&scan.raised, done);
}

static int accepted(struct scan *scan, bool all, uint64_t before, struct hf_accepted *ret)
{
    uint64_t gone = 0;
    int failed = hf_fresh_walk_end(all && scan->waiting == 0 ? HF_FRESH_WALK_ALL : HF_FRESH_WALK_DIRS, &gone);
    ret->changed += hf_fresh_believed() - before;
    ret->gone += gone;
    ret->unsound += scan->unsound;
    return scan->waiting ? -ENOKEY : failed;
}

int hf_scan_accept(struct hf_node *dir, bool all, struct hf_accepted *ret)
{
    struct scan scan = {.accept = true};
    uint64_t before = hf_fresh_believed();
    hf_fresh_walk_begin();
    scan_dir(&scan, dir);
    return accepted(&scan, all, before, ret);
}

int hf_scan_accept_name(struct hf_node *dir, int dir_fd, const char *backing, struct hf_accepted *ret)
{
    struct scan scan = {.accept = true};
    uint64_t before = hf_fresh_believed();
    hf_fresh_walk_begin();
    scan_entry(&scan, dir, dir_fd, backing);
    return accepted(&scan, false, before, ret);
}
