#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/disk.h"

void hf_cleanup_fd(int *fd)
{
    if (*fd >= 0)
        (void)hf_disk->close(*fd);
    *fd = -1;
}

int hf_steal_fd(int *fd)
{
    int value = *fd;
    *fd = -1;
    return value;
}

enum hf_result hf_result_from_errno(int error)
{
    switch (error) {
    case 0:
        return HF_OK;
    case ENOENT:
        return HF_NOT_FOUND;
    case EEXIST:
    case ENOTEMPTY:
        return HF_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return HF_DENIED;
    case ENOSPC:
    case EDQUOT:
        return HF_NO_SPACE;
    case ENOMEM:
        return HF_NO_MEMORY;
    case EAGAIN:
    case EBUSY:
    case ETXTBSY:
    case ETIMEDOUT:
        return HF_BUSY;
    case EPIPE:
    case ECONNRESET:
    case ECONNREFUSED:
    case ENOTCONN:
        return HF_CLOSED;
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOTTY:
        return HF_UNSUPPORTED;
    case E2BIG:
    case EFBIG:
    case EMSGSIZE:
    case ENAMETOOLONG:
    case EOVERFLOW:
        return HF_TOO_LARGE;
    case ENOKEY:
        return HF_LOCKED;
    case EINVAL:
    case EBADF:
    case EFAULT:
        return HF_FAILED;
    default:
        return HF_IO;
    }
}

/* A disk call's value (negative errno) to a result. */
static enum hf_result settle(long value)
{
    return value < 0 ? hf_result_from_errno((int)-value) : HF_OK;
}

enum hf_result hf_file_read(int dir, const char *name, void *buffer, size_t cap, size_t *ret_len)
{
    /* O_NONBLOCK: a FIFO in the file's place must not stop us. */
    HF_CLEANUP(fd) int fd = hf_disk->openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd == -ELOOP || fd == -ENXIO)
        return HF_DAMAGED;
    HF_TRY(settle(fd));
    struct stat st;
    HF_TRY(settle(hf_disk->fstat(fd, &st)));
    if (!S_ISREG(st.st_mode))
        return HF_DAMAGED;
    if (st.st_size < 0 || (uint64_t)st.st_size > cap)
        return HF_TOO_LARGE;
    ssize_t got = hf_disk->pread(fd, buffer, cap, 0);
    HF_TRY(settle(got));
    if ((size_t)got == cap) {
        /* It may have grown since the stat: never pass off a beginning as the whole. */
        char more;
        ssize_t past = hf_disk->pread(fd, &more, 1, got);
        HF_TRY(settle(past));
        if (past > 0)
            return HF_TOO_LARGE;
    }
    *ret_len = (size_t)got;
    return HF_OK;
}

/* A new file with this content, on the disk for good; its name is not yet. */
static enum hf_result write_new(int dir, const char *name, struct hf_span content)
{
    /* What a power cut left behind; O_EXCL below refuses anything that appears in its place. */
    int gone = hf_disk->unlinkat(dir, name, 0);
    if (gone != -ENOENT)
        HF_TRY(settle(gone));
    HF_CLEANUP(fd) int fd = hf_disk->openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    HF_TRY(settle(fd));
    if (content.len > 0)
        HF_TRY(settle(hf_disk->pwrite(fd, content.data, content.len, 0)));
    HF_TRY(settle(hf_disk->fsync(fd)));
    return settle(hf_disk->close(hf_steal_fd(&fd)));
}

enum hf_result hf_file_replace(int dir, const char *name, struct hf_span content)
{
    char new_name[NAME_MAX + 1];
    int len = snprintf(new_name, sizeof new_name, "%s.new", name);
    if (len < 0 || (size_t)len >= sizeof new_name)
        return HF_TOO_LARGE;
    enum hf_result result = write_new(dir, new_name, content);
    if (result == HF_OK)
        result = settle(hf_disk->renameat2(dir, new_name, dir, name, 0));
    if (result != HF_OK) {
        (void)hf_disk->unlinkat(dir, new_name, 0);
        return result;
    }
    return settle(hf_disk->fsync(dir));
}

/* Best effort: the caller unlinks whatever comes of it. */
static void overwrite(int dir, const char *name)
{
    static const uint8_t zeros[4096];
    HF_CLEANUP(fd) int fd = hf_disk->openat(dir, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    struct stat st;
    if (fd < 0 || hf_disk->fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof zeros) {
        off_t left = st.st_size - at;
        size_t len = left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros;
        if (hf_disk->pwrite(fd, zeros, len, at) < 0)
            return;
    }
    (void)hf_disk->fdatasync(fd);
}

enum hf_result hf_file_remove(int dir, const char *name, bool wipe)
{
    if (wipe)
        overwrite(dir, name);
    int gone = hf_disk->unlinkat(dir, name, 0);
    if (gone != -ENOENT)
        HF_TRY(settle(gone));
    /* When absent too: an unlink whose fsync was cut short must not come back after the next power cut. */
    return settle(hf_disk->fsync(dir));
}

enum hf_result hf_dir_open(int dir, const char *name, bool make, int *ret_fd)
{
    if (make) {
        int made = hf_disk->mkdirat(dir, name, 0700);
        if (made != -EEXIST)
            HF_TRY(settle(made));
        HF_TRY(settle(hf_disk->fsync(dir)));
    }
    int fd = hf_disk->openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd == -ENOTDIR || fd == -ELOOP)
        return HF_DAMAGED;
    HF_TRY(settle(fd));
    *ret_fd = fd;
    return HF_OK;
}
