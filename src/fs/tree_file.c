/* Requests on an open file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/closing.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "fs/worker.h"
#include "fs/sync.h"
#include "os/disk.h"

enum { STORE_MAX = 64 * 1024 };

static int use(uint64_t id, bool exclusive, struct hf_node **ret)
{
    *ret = hf_node_of(id);
    return *ret ? hf_file_use(*ret, exclusive) : -ESTALE;
}

/* Around a change of a file's data. */
static int change_begin(uint64_t id, struct hf_node **ret)
{
    hf_settle_pace();
    int failed = hf_fresh_frozen() ? -EROFS : use(id, true, ret);
    if (!failed) {
        hf_dirty(*ret);
        (*ret)->stored = false;
    }
    return failed;
}

static int change_end(struct hf_node *file, enum hf_result result)
{
    hf_file_keep_mode(file);
    hf_file_done(file);
    return -hf_errno(result);
}

/* A small file's content goes to the kernel with its first open: no read will come. Its lock is held exclusively. */
static void store(struct hf_node *file)
{
    uint8_t *plain = hf_worker()->plain;
    uint64_t size = file->content->dynamic.size;
    size_t got = 0;
    if (file->opens > 0 || file->stored || size == 0 || size > STORE_MAX || hf_kernel->writeback || !hf_kernel->store) /* it could overwrite what was not written back */
        return;
    if (hf_content_read(file->content, 0, (size_t)size, plain, &got) == HF_OK && got == size) /* what is damaged is for a read to say */
        hf_kernel->store(file->id, plain, got);
    file->stored = true;
}

int hf_tree_open(uint64_t id, int flags)
{
    struct hf_node *file;
    if (hf_fresh_frozen() && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
        return -EROFS;
    int failed = use(id, true, &file);
    if (failed)
        return failed;
    if (file->class == HF_CLASS_UNLESS_OPEN && !hf_keyring_is_open(HF_CLASS_UNLESS_OPEN))
        failed = -ENOKEY; /* its key may be there for another's descriptor */
    if (!failed && flags & O_TRUNC)
        failed = hf_file_truncate(file, 0);
    if (!failed) {
        store(file);
        file->written = file->written || (flags & O_ACCMODE) != O_RDONLY;
        hf_node_opened(file);
    }
    hf_file_done(file);
    if (!failed)
        hf_node_busy(file);
    return failed;
}

void hf_tree_release(uint64_t id)
{
    struct hf_node *file = hf_node_of(id);
    if (!file)
        return;
    pthread_rwlock_wrlock(&file->lock);
    if (file->opens > 0)
        file->opens--;
    bool idle = file->opens == 0, gone = file->unlinked;
    pthread_rwlock_unlock(&file->lock);
    if (idle && gone)
        hf_file_discard(file);
    else if (idle)
        hf_node_idle(file);
    if (idle && !gone)
        hf_closing_note(file);
}

ssize_t hf_tree_read(uint64_t id, uint64_t offset, size_t len, uint8_t *out)
{
    struct hf_node *file;
    size_t got = 0;
    int failed = use(id, false, &file);
    if (failed)
        return failed;
    failed = -hf_errno(hf_content_read(file->content, offset, len, out, &got));
    hf_file_done(file);
    return failed ? failed : (ssize_t)got;
}

ssize_t hf_tree_write(uint64_t id, uint64_t offset, const uint8_t *data, size_t len)
{
    struct hf_node *file;
    int failed = change_begin(id, &file);
    if (!failed)
        failed = change_end(file, hf_content_write(file->content, offset, data, len));
    return failed ? failed : (ssize_t)len;
}

static int put_header(struct hf_node *file)
{
    struct hf_touch touch;
    int failed = hf_file_touch_begin(file, false, &touch);
    if (!failed && hf_content_unsealed(file->content))
        failed = -hf_errno(hf_content_put_header(file->content, hf_epoch_now()));
    if (!failed)
        failed = hf_file_touch_end(file, &touch, NULL);
    hf_dirty_again(file); /* the index is to know the times */
    return failed;
}

int hf_tree_fsync(uint64_t id, bool data_only)
{
    struct hf_node *file;
    /* [CR-9] Size and proof lie in the data, names and attributes in the disk's journal. */
    int failed = use(id, true, &file);
    if (failed)
        return failed;
    /* The header is ours: the times that the owner's data has stay, and are durable with it. */
    if (file->content->header_due)
        failed = put_header(file);
    if (!failed)
        failed = -hf_errno(hf_content_fsync(file->content, !data_only));
    hf_file_keep_mode(file);
    if (!failed)
        file->unsynced = false;
    hf_file_done(file);
    return failed;
}

int hf_tree_fsyncdir(uint64_t id)
{
    struct hf_node *dir;
    int failed = hf_tree_enter(id, false, &dir);
    if (failed)
        return failed;
    int fd = hf_dir_use_fd(dir);
    hf_tree_leave();
    if (fd < 0)
        return fd;
    failed = hf_settle_children(dir);
    if (!failed)
        failed = hf_sync_whole(fd);
    hf_dir_done(dir);
    return failed;
}

int hf_tree_fallocate(uint64_t id, int mode, uint64_t offset, uint64_t len)
{
    struct hf_node *file;
    int failed = change_begin(id, &file);
    return failed ? failed : change_end(file, hf_content_fallocate(file->content, mode, offset, len));
}

int64_t hf_tree_seek(uint64_t id, uint64_t offset, int whence)
{
    struct hf_node *file;
    uint64_t at = 0;
    int failed = use(id, false, &file);
    if (failed)
        return failed;
    enum hf_result result = hf_content_seek(file->content, offset, whence, &at);
    hf_file_done(file);
    return result == HF_OK ? (int64_t)at : result == HF_NOT_FOUND ? -ENXIO : -hf_errno(result);
}

int hf_tree_statfs(struct statvfs *ret)
{
    int failed = hf_disk->fstatvfs(hf_node_of(HF_TREE_ROOT)->fd, ret);
    if (failed)
        return failed;
    ret->f_namemax = 255;
    return 0;
}
