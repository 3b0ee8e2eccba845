/* The owner's bits lent for one step, where the mode that a program chose would keep us out. */
#include "fs/lend.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os/disk.h"

int hf_lend(int fd, uint32_t bits, uint32_t *ret_mode)
{
    struct stat st;
    *ret_mode = HF_NOT_LENT;
    if (geteuid() == 0)
        return 0;
    int failed = hf_disk->fstat(fd, &st);
    if (failed || (st.st_mode & bits) == bits)
        return failed;
    failed = hf_disk->fchmod(fd, (st.st_mode & 07777) | bits);
    if (!failed)
        *ret_mode = st.st_mode & 07777;
    return failed;
}

void hf_lend_back(int fd, uint32_t mode)
{
    if (mode != HF_NOT_LENT)
        (void)hf_disk->fchmod(fd, mode);
}

static int open_lent(int dir_fd, const char *backing, int flags)
{
    struct stat st;
    int fd = hf_disk->openat(dir_fd, backing, flags | O_NOFOLLOW | O_NOATIME, 0);
    if (fd == -EPERM)
        fd = hf_disk->openat(dir_fd, backing, flags | O_NOFOLLOW, 0);
    if (fd != -EACCES || geteuid() == 0 || hf_disk->fstatat(dir_fd, backing, &st) < 0 || st.st_uid != geteuid())
        return fd;
    mode_t lent = S_ISDIR(st.st_mode) ? 0700 : 0600;
    if (hf_disk->fchmodat(dir_fd, backing, (st.st_mode & 07777) | lent) < 0)
        return -EACCES;
    fd = hf_disk->openat(dir_fd, backing, flags | O_NOFOLLOW | O_NOATIME, 0);
    int failed = hf_disk->fchmodat(dir_fd, backing, st.st_mode & 07777);
    if (failed && fd >= 0) {
        (void)hf_disk->close(fd);
        return failed;
    }
    return fd;
}

/* The directory itself may be one that its owner may not search: the kernel asked nobody else's leave, but the disk refuses us as well. */
int hf_open_lent(int dir_fd, const char *backing, int flags)
{
    uint32_t lent;
    int fd = open_lent(dir_fd, backing, flags);
    if (fd != -EACCES || hf_lend(dir_fd, 0100, &lent) != 0 || lent == HF_NOT_LENT)
        return fd;
    fd = open_lent(dir_fd, backing, flags);
    hf_lend_back(dir_fd, lent);
    return fd;
}

int hf_stat_lent(int dir_fd, const char *backing, struct stat *st)
{
    uint32_t lent;
    int failed = hf_disk->fstatat(dir_fd, backing, st);
    if (failed != -EACCES || hf_lend(dir_fd, 0100, &lent) != 0 || lent == HF_NOT_LENT)
        return failed;
    failed = hf_disk->fstatat(dir_fd, backing, st);
    hf_lend_back(dir_fd, lent);
    return failed;
}

ssize_t hf_readlink_lent(int dir_fd, const char *backing, char *text, size_t cap)
{
    uint32_t lent;
    ssize_t len = hf_disk->readlinkat(dir_fd, backing, text, cap);
    if (len != -EACCES || hf_lend(dir_fd, 0100, &lent) != 0 || lent == HF_NOT_LENT)
        return len;
    len = hf_disk->readlinkat(dir_fd, backing, text, cap);
    hf_lend_back(dir_fd, lent);
    return len;
}

ssize_t hf_getxattr_lent(int fd, const char *name, void *value, size_t cap)
{
    uint32_t lent;
    ssize_t len = hf_disk->fgetxattr(fd, name, value, cap);
    if (len != -EACCES || hf_lend(fd, 0400, &lent) != 0 || lent == HF_NOT_LENT)
        return len;
    len = hf_disk->fgetxattr(fd, name, value, cap);
    hf_lend_back(fd, lent);
    return len;
}
