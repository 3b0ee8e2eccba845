/* Reading a directory. There is no open directory (the kernel keeps what it read): a node has one stream, which goes on where it was read last. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dirs.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/treepart.h"
#include "os/disk.h"

enum { STREAM_LEN = 32 * 1024 };

struct hf_stream {
    int fd;
    uint64_t next; /* the offset behind which the buffer goes on */
    size_t len, at;
    bool whole;       /* read from the start in one go, and nothing changed since */
    uint32_t changes, known;
    char buffer[STREAM_LEN] __attribute__((aligned(8)));
};

/* One request at a time reads a directory's stream; requests on different ones seldom meet here. */
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER;

void hf_stream_free(struct hf_stream **stream)
{
    if (!*stream)
        return;
    if ((*stream)->fd >= 0)
        (void)hf_disk->close((*stream)->fd);
    free(*stream);
    *stream = NULL;
}

static int stream_at(struct hf_node *dir, int dir_fd, uint64_t offset, struct hf_stream **ret)
{
    struct hf_stream *stream = dir->dir.stream;
    if (!stream) {
        stream = calloc(1, sizeof *stream);
        if (!stream)
            return -ENOMEM;
        stream->fd = hf_open_lent(dir_fd, ".", O_RDONLY | O_DIRECTORY);
        if (stream->fd < 0) {
            int failed = stream->fd;
            free(stream);
            return failed;
        }
        dir->dir.stream = stream;
    }
    if (offset == 0 || stream->next != offset) {
        int failed = hf_disk->seekdir(stream->fd, (off_t)offset);
        if (failed)
            return failed;
        stream->len = stream->at = 0;
        stream->next = offset;
        stream->whole = offset == 0;
        stream->known = 0;
        stream->changes = dir->dir.changes;
    }
    *ret = stream;
    return 0;
}

/* Fills an entry's attributes; false when it went away meanwhile. What can't be looked up is listed all the same, with id 0. */
static bool entry_of(struct hf_node *dir, int dir_fd, const struct dirent64 *raw, const char *plain, bool plus, struct hf_entry *ret)
{
    struct hf_place place;
    memset(ret, 0, sizeof *ret);
    ret->attr.st_ino = raw->d_ino;
    ret->attr.st_mode = (mode_t)raw->d_type << 12;
    if (!plus)
        return true;
    size_t len = strlen(raw->d_name);
    if (len >= sizeof place.backing)
        return false;
    memcpy(place.backing, raw->d_name, len + 1);
    return hf_stat_lent(dir_fd, raw->d_name, &place.st) == 0 && hf_tree_entry(dir, plain, &place, ret) != -ENOMEM;
}

/* Fills one entry in; false: the caller has no room for it. What can't be shown is passed over. */
static bool show(struct hf_node *dir, int dir_fd, const struct dirent64 *raw, bool plus, hf_tree_fill fill, void *arg, enum hf_fresh_known known)
{
    struct hf_entry entry;
    char plain[256];
    bool dot = strcmp(raw->d_name, ".") == 0 || strcmp(raw->d_name, "..") == 0;
    if (dot)
        (void)snprintf(plain, sizeof plain, "%s", raw->d_name);
    else if (hf_dir_plain(dir, dir_fd, raw->d_name, plain) != 0)
        return true; /* what is no name of ours is for `check` to report: a directory never becomes unlistable */
    /* [FR-2] What the index does not know is listed; its lookup fails. */
    if (!entry_of(dir, dir_fd, raw, plain, plus && !dot && known != HF_FRESH_UNKNOWN, &entry))
        return true;
    if (!plus && !dot && raw->d_type == DT_REG) { /* a long symlink looks like a file here: the kernel asks when it matters */
        entry.attr.st_mode = S_IFREG;
    }
    if (fill(arg, plain, &entry, (uint64_t)raw->d_off))
        return true;
    if (entry.id)
        hf_node_lookup_drop(hf_node_of(entry.id), 1);
    return false;
}

static bool give(struct hf_node *dir, int dir_fd, struct hf_stream *stream, const struct dirent64 *raw, bool plus, hf_tree_fill fill, void *arg)
{
    bool dot = strcmp(raw->d_name, ".") == 0 || strcmp(raw->d_name, "..") == 0;
    if (!dot && hf_name_is_ours(raw->d_name))
        return true;
    enum hf_fresh_known known = dot ? HF_FRESH_NOT_JUDGED : hf_fresh_knows(dir, raw->d_name);
    if (!show(dir, dir_fd, raw, plus, fill, arg, known))
        return false;
    stream->known += known == HF_FRESH_KNOWN;
    return true;
}

static int read_stream(struct hf_node *dir, int dir_fd, struct hf_stream *stream, bool plus, hf_tree_fill fill, void *arg)
{
    for (;;) {
        if (stream->at >= stream->len) {
            ssize_t got = hf_disk->getdents(stream->fd, stream->buffer, sizeof stream->buffer);
            if (got <= 0) {
                int failed = (int)got;
                if (got == 0 && stream->whole && stream->changes == dir->dir.changes)
                    failed = hf_fresh_listed(dir, stream->known);
                hf_stream_free(&dir->dir.stream);
                return failed;
            }
            stream->len = (size_t)got;
            stream->at = 0;
        }
        const struct dirent64 *raw = (const void *)(stream->buffer + stream->at);
        if (!give(dir, dir_fd, stream, raw, plus, fill, arg))
            return 0;
        stream->at += raw->d_reclen;
        stream->next = (uint64_t)raw->d_off;
    }
}

int hf_tree_readdir(uint64_t id, uint64_t offset, bool plus, hf_tree_fill fill, void *arg)
{
    struct hf_node *dir;
    struct hf_stream *stream;
    char probe[HF_BACKING_MAX];
    int failed = hf_tree_enter(id, false, &dir);
    if (failed)
        return failed;
    int fd = hf_dir_use(dir);
    if (fd < 0) {
        hf_tree_leave();
        return fd;
    }
    if (dir->id != HF_TREE_ROOT && hf_name_encode(dir->dir.record.class, dir->dir.record.class_generation, dir->dir.record.dir_id, "x", probe, NULL) != HF_OK)
        failed = -ENOKEY; /* the names of a locked directory */
    pthread_mutex_lock(&reading);
    if (!failed)
        failed = stream_at(dir, fd, offset, &stream);
    if (!failed)
        failed = read_stream(dir, fd, stream, plus, fill, arg);
    pthread_mutex_unlock(&reading);
    hf_dir_done(dir);
    hf_tree_leave();
    return failed;
}
