#include "os/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452 /* Linux 6.6; the same number on every architecture */
#endif

const struct hf_disk_ops *hf_disk = &hf_disk_kernel;

/* The kernel's convention: a failure becomes a negative errno. */
static long settle(long result)
{
    return result < 0 ? -(long)errno : result;
}

#define RETRIED(call) settle(TEMP_FAILURE_RETRY(call))

static int kernel_openat(int dir, const char *name, int flags, mode_t mode)
{
    return (int)RETRIED(openat(dir, name, flags | O_CLOEXEC, mode));
}

static int kernel_close(int fd)
{
    /* Linux has given the number away even when it says EINTR: closing again could hit another thread's file. */
    int result = (int)settle(close(fd));
    return result == -EINTR ? 0 : result;
}

static int kernel_dup(int fd)
{
    return (int)RETRIED(fcntl(fd, F_DUPFD_CLOEXEC, 3));
}

static ssize_t kernel_pread(int fd, void *buffer, size_t len, off_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = RETRIED(pread(fd, (char *)buffer + done, len - done, offset + (off_t)done));
        if (got < 0)
            return got;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static ssize_t kernel_pwrite(int fd, const void *buffer, size_t len, off_t offset)
{
    size_t done = 0;
    while (done < len) {
        ssize_t put = RETRIED(pwrite(fd, (const char *)buffer + done, len - done, offset + (off_t)done));
        if (put < 0)
            return put;
        if (put == 0)
            return -EIO;
        done += (size_t)put;
    }
    return (ssize_t)done;
}

static ssize_t kernel_pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    ssize_t put = RETRIED(pwritev(fd, iov, count, offset));
    if (put < 0)
        return put;
    /* Usually that was all of it. What is missing goes piece by piece: a short write is rare. */
    size_t skip = (size_t)put;
    off_t at = offset;
    for (int i = 0; i < count; i++) {
        size_t len = iov[i].iov_len;
        size_t written = skip < len ? skip : len;
        skip -= written;
        if (written < len) {
            ssize_t rest = kernel_pwrite(fd, (const char *)iov[i].iov_base + written, len - written, at + (off_t)written);
            if (rest < 0)
                return rest;
        }
        at += (off_t)len;
    }
    return (ssize_t)(at - offset);
}

static int kernel_fdatasync(int fd)
{
    return (int)RETRIED(fdatasync(fd));
}

static int kernel_fsync(int fd)
{
    return (int)RETRIED(fsync(fd));
}

static int kernel_syncfs(int fd)
{
    return (int)RETRIED(syncfs(fd));
}

static int kernel_ftruncate(int fd, off_t len)
{
    return (int)RETRIED(ftruncate(fd, len));
}

static int kernel_fallocate(int fd, int mode, off_t offset, off_t len)
{
    return (int)RETRIED(fallocate(fd, mode, offset, len));
}

static off_t kernel_lseek(int fd, off_t offset, int whence)
{
    return (off_t)RETRIED(lseek(fd, offset, whence));
}

static int kernel_fstat(int fd, struct stat *ret)
{
    return (int)RETRIED(fstat(fd, ret));
}

static int kernel_fstatat(int dir, const char *name, struct stat *ret)
{
    return (int)RETRIED(fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW));
}

static int kernel_fstatvfs(int fd, struct statvfs *ret)
{
    return (int)RETRIED(fstatvfs(fd, ret));
}

static int kernel_mkdirat(int dir, const char *name, mode_t mode)
{
    return (int)RETRIED(mkdirat(dir, name, mode));
}

static int kernel_mknodat(int dir, const char *name, mode_t mode, dev_t dev)
{
    return (int)RETRIED(mknodat(dir, name, mode, dev));
}

static int kernel_symlinkat(const char *target, int dir, const char *name)
{
    return (int)RETRIED(symlinkat(target, dir, name));
}

static ssize_t kernel_readlinkat(int dir, const char *name, char *buffer, size_t cap)
{
    return RETRIED(readlinkat(dir, name, buffer, cap));
}

static int kernel_linkat(int old_dir, const char *old_name, int new_dir, const char *new_name)
{
    return (int)RETRIED(linkat(old_dir, old_name, new_dir, new_name, 0));
}

static int kernel_link_fd(int fd, int new_dir, const char *new_name)
{
    /* The direct way needs CAP_DAC_READ_SEARCH (before Linux 6.10) and says ENOENT without it. */
    int result = (int)RETRIED(linkat(fd, "", new_dir, new_name, AT_EMPTY_PATH));
    if (result != -ENOENT && result != -EPERM)
        return result;
    char path[32];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return (int)RETRIED(linkat(AT_FDCWD, path, new_dir, new_name, AT_SYMLINK_FOLLOW));
}

static int kernel_unlinkat(int dir, const char *name, int flags)
{
    return (int)RETRIED(unlinkat(dir, name, flags));
}

static int kernel_renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags)
{
    return (int)RETRIED(renameat2(old_dir, old_name, new_dir, new_name, flags));
}

static int kernel_fchmod(int fd, mode_t mode)
{
    return (int)RETRIED(fchmod(fd, mode));
}

static int kernel_fchmodat(int dir, const char *name, mode_t mode)
{
    int result = (int)RETRIED(syscall(SYS_fchmodat2, dir, name, mode, AT_SYMLINK_NOFOLLOW));
    if (result != -ENOSYS && result != -EPERM)
        return result;
    /* libc's way round an older kernel goes through /proc. EPERM too: old seccomp filters say that for a new call. */
    return (int)RETRIED(fchmodat(dir, name, mode, AT_SYMLINK_NOFOLLOW));
}

static int kernel_fchown(int fd, uid_t uid, gid_t gid)
{
    return (int)RETRIED(fchown(fd, uid, gid));
}

static int kernel_fchownat(int dir, const char *name, uid_t uid, gid_t gid)
{
    return (int)RETRIED(fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int kernel_futimens(int fd, const struct timespec times[2])
{
    return (int)RETRIED(futimens(fd, times));
}

static int kernel_utimensat(int dir, const char *name, const struct timespec times[2])
{
    return (int)RETRIED(utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW));
}

static ssize_t kernel_fgetxattr(int fd, const char *name, void *value, size_t cap)
{
    return RETRIED(fgetxattr(fd, name, value, cap));
}

static int kernel_fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
    return (int)RETRIED(fsetxattr(fd, name, value, len, flags));
}

static int kernel_fremovexattr(int fd, const char *name)
{
    return (int)RETRIED(fremovexattr(fd, name));
}

static ssize_t kernel_flistxattr(int fd, char *list, size_t cap)
{
    return RETRIED(flistxattr(fd, list, cap));
}

/* Linux has calls of their own for this since 6.13 alone; through /proc it works everywhere. */
struct at_path {
    char text[32 + NAME_MAX];
};

static const char *at_path(struct at_path *path, int dir, const char *name)
{
    int len = snprintf(path->text, sizeof path->text, "/proc/self/fd/%d/%s", dir, name);
    return len > 0 && (size_t)len < sizeof path->text ? path->text : "";
}

static ssize_t kernel_getxattrat(int dir, const char *name, const char *attribute, void *value, size_t cap)
{
    struct at_path path = {.text = ""};
    return RETRIED(lgetxattr(at_path(&path, dir, name), attribute, value, cap));
}

static int kernel_setxattrat(int dir, const char *name, const char *attribute, const void *value, size_t len, int flags)
{
    struct at_path path = {.text = ""};
    return (int)RETRIED(lsetxattr(at_path(&path, dir, name), attribute, value, len, flags));
}

static int kernel_removexattrat(int dir, const char *name, const char *attribute)
{
    struct at_path path = {.text = ""};
    return (int)RETRIED(lremovexattr(at_path(&path, dir, name), attribute));
}

static ssize_t kernel_listxattrat(int dir, const char *name, char *list, size_t cap)
{
    struct at_path path = {.text = ""};
    return RETRIED(llistxattr(at_path(&path, dir, name), list, cap));
}

static ssize_t kernel_getdents(int fd, void *buffer, size_t cap)
{
    return RETRIED(syscall(SYS_getdents64, fd, buffer, cap < INT_MAX ? cap : INT_MAX));
}

static int kernel_seekdir(int fd, off_t position)
{
    long result = RETRIED(lseek(fd, position, SEEK_SET));
    return result < 0 ? (int)result : 0;
}

const struct hf_disk_ops hf_disk_kernel = {
    .openat = kernel_openat,
    .close = kernel_close,
    .dup = kernel_dup,
    .pread = kernel_pread,
    .pwrite = kernel_pwrite,
    .pwritev = kernel_pwritev,
    .fdatasync = kernel_fdatasync,
    .fsync = kernel_fsync,
    .syncfs = kernel_syncfs,
    .ftruncate = kernel_ftruncate,
    .fallocate = kernel_fallocate,
    .lseek = kernel_lseek,
    .fstat = kernel_fstat,
    .fstatat = kernel_fstatat,
    .fstatvfs = kernel_fstatvfs,
    .mkdirat = kernel_mkdirat,
    .mknodat = kernel_mknodat,
    .symlinkat = kernel_symlinkat,
    .readlinkat = kernel_readlinkat,
    .linkat = kernel_linkat,
    .link_fd = kernel_link_fd,
    .unlinkat = kernel_unlinkat,
    .renameat2 = kernel_renameat2,
    .fchmod = kernel_fchmod,
    .fchmodat = kernel_fchmodat,
    .fchown = kernel_fchown,
    .fchownat = kernel_fchownat,
    .futimens = kernel_futimens,
    .utimensat = kernel_utimensat,
    .fgetxattr = kernel_fgetxattr,
    .fsetxattr = kernel_fsetxattr,
    .fremovexattr = kernel_fremovexattr,
    .flistxattr = kernel_flistxattr,
    .getxattrat = kernel_getxattrat,
    .setxattrat = kernel_setxattrat,
    .removexattrat = kernel_removexattrat,
    .listxattrat = kernel_listxattrat,
    .getdents = kernel_getdents,
    .seekdir = kernel_seekdir,
};
