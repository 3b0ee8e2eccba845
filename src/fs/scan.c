/* The scan after an unclean stop.
 *
 * Each name is visited. A file of the window whose page 0 never came is a create that was lost: its name is removed and reported. Other files of the window are
 * loaded (which cuts them where the crash rules say), learn which of their names the disk still has, and are written anew by the settle that follows.
 * What belongs to a class that is locked waits: the window stays open until it was seen. */
#include "fs/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/morenames.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"

struct scan {
    uint64_t lost, waiting;
    struct seen *seen; /* files of the window, with the names found so far */
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

/* Reported without its name: the log is plaintext. */
static void lose(struct scan *scan, int dir_fd, const char *backing)
{
    (void)fprintf(stderr, "holdfast-fs: a file's creation was lost in the power cut: its name is taken away\n");
    if (hf_disk->unlinkat(dir_fd, backing, 0) == 0)
        hf_place_side_remove(dir_fd, backing);
    scan->lost++;
}

static void scan_file(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing, const struct stat *st)
{
    char plain[256];
    uint8_t slot[HF_SLOT_LEN];
    struct hf_node *file = hf_node_get(st, dir, backing, false);
    if (!file)
        return;
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_node_open_fd(file);
    struct hf_content *probe = NULL;
    if (!failed && !file->content && hf_content_label(file->fd, &probe) == HF_NOT_FOUND) {
        pthread_rwlock_unlock(&file->lock);
        hf_node_unref(file);
        lose(scan, dir_fd, backing);
        return;
    }
    hf_content_free(&probe);
    if (!failed)
        failed = hf_file_label(file);
    bool window = !failed && (file->content->in_window || file->evidence || hf_disk_len(hf_size_from_disk_len((uint64_t)st->st_size)) != (uint64_t)st->st_size);
    if (window) {
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
        struct seen *seen = failed ? NULL : seen_of(scan, file, st->st_nlink > 1);
        if (seen && !see(seen, slot))
            scan->waiting++; /* without memory for its names it can't be written anew */
        hf_wipe(plain, sizeof plain);
    }
    if (failed == -ENOKEY)
        scan->waiting++;
    pthread_rwlock_unlock(&file->lock);
    hf_node_idle(file);
    hf_node_unref(file);
}

static void scan_dir(struct scan *scan, struct hf_node *dir);

static void scan_entry(struct scan *scan, struct hf_node *dir, int dir_fd, const char *backing)
{
    struct stat st;
    if (strncmp(backing, ".hf~", 4) == 0) { /* a link on its way to its place */
        (void)hf_disk->unlinkat(dir_fd, backing, 0);
        return;
    }
    if (hf_name_is_ours(backing) || hf_disk->fstatat(dir_fd, backing, &st) < 0)
        return;
    if (S_ISREG(st.st_mode)) {
        scan_file(scan, dir, dir_fd, backing, &st);
    } else if (S_ISDIR(st.st_mode)) {
        struct hf_node *child = hf_node_get(&st, dir, backing, false);
        if (child)
            scan_dir(scan, child);
        hf_node_unref(child);
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
    bool gone = up >= 0 && hf_disk->unlinkat(up, dir->name, AT_REMOVEDIR) == 0;
    if (up >= 0)
        hf_dir_done(dir->parent);
    if (gone) {
        hf_node_unhash(dir);
        hf_node_unplace(dir);
    }
    return gone;
}

static void scan_dir(struct scan *scan, struct hf_node *dir)
{
    char probe[HF_BACKING_MAX];
    _Alignas(8) char buffer[8192];
    int fd = hf_dir_use(dir);
    if (fd < 0) {
        if (fd == -ENOKEY)
            scan->waiting++;
        else if (fd == -EIO)
            (void)was_half_made(dir);
        return;
    }
    const struct hf_dir_record *record = &dir->dir.record;
    bool readable = hf_name_encode(record->class, record->class_generation, record->dir_id, "x", probe, NULL) == HF_OK;
    if (!readable)
        scan->waiting++;
    if (readable || dir->id == HF_TREE_ROOT) { /* the root goes on with what it has under always */
        int stream = hf_disk->openat(fd, ".", O_RDONLY | O_DIRECTORY, 0);
        ssize_t got;
        while (stream >= 0 && (got = hf_disk->getdents(stream, buffer, sizeof buffer)) > 0) {
            for (ssize_t at = 0; at < got;) {
                const struct dirent64 *raw = (const void *)(buffer + at);
                if (strcmp(raw->d_name, ".") != 0 && strcmp(raw->d_name, "..") != 0)
                    scan_entry(scan, dir, fd, raw->d_name);
                at += raw->d_reclen;
            }
        }
        if (stream >= 0)
            (void)hf_disk->close(stream);
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
            int failed = hf_more_replace(file, (const uint8_t (*)[HF_SLOT_LEN])seen->slots, seen->count);
            if (!failed && hf_disk->fstat(file->fd, &st) == 0 && hf_attr_mac(header->class, header->class_generation, header->file_id, st.st_mode & 07777, st.st_uid,
                                                                  st.st_gid, meta->attr_mac) == HF_OK) {
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
    if (!hf_unclean)
        return;
    pthread_rwlock_wrlock(&hf_ns);
    scan_dir(&scan, hf_node_of(HF_TREE_ROOT));
    take_names(&scan);
    hf_unclean = scan.waiting > 0;
    pthread_rwlock_unlock(&hf_ns);
    if (!hf_unclean) {
        hf_dirty(NULL);
        (void)hf_tree_settle();
    }
}
