/* os/disk.h: every storage call Holdfast makes, as one table of functions, so that tests can put a disk in memory, a power
 * cut at call k or an error at call k in its place. Nothing else in the tree calls these system calls directly.
 *
 * Each function behaves as the system call of its name, except that a failure is returned as a negative errno
 * and EINTR is retried inside. Descriptors are ints of the backend. All paths are relative to a directory descriptor. */
#ifndef HF_OS_DISK_H
#define HF_OS_DISK_H

#include <dirent.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

struct hf_disk_ops {
    int (*openat)(int dir, const char *name, int flags, mode_t mode);
    int (*close)(int fd);
    int (*dup)(int fd);
    ssize_t (*pread)(int fd, void *buffer, size_t len, off_t offset);                       /* may be short only at the end */
    ssize_t (*pwrite)(int fd, const void *buffer, size_t len, off_t offset);                /* whole or negative */
    ssize_t (*pwritev)(int fd, const struct iovec *iov, int count, off_t offset);           /* whole or negative */
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*syncfs)(int fd);
    int (*ftruncate)(int fd, off_t len);
    int (*fallocate)(int fd, int mode, off_t offset, off_t len);
    off_t (*lseek)(int fd, off_t offset, int whence); /* SEEK_DATA and SEEK_HOLE only */
    int (*fstat)(int fd, struct stat *ret);
    int (*fstatat)(int dir, const char *name, struct stat *ret); /* never follows a symlink */
    int (*fstatvfs)(int fd, struct statvfs *ret);
    int (*mkdirat)(int dir, const char *name, mode_t mode);
    int (*mknodat)(int dir, const char *name, mode_t mode, dev_t dev);
    int (*symlinkat)(const char *target, int dir, const char *name);
    ssize_t (*readlinkat)(int dir, const char *name, char *buffer, size_t cap); /* not NUL-terminated */
    int (*linkat)(int old_dir, const char *old_name, int new_dir, const char *new_name);
    int (*link_fd)(int fd, int new_dir, const char *new_name); /* a file that is open gets a further name */
    int (*unlinkat)(int dir, const char *name, int flags);
    int (*renameat2)(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags);
    int (*fchmod)(int fd, mode_t mode);
    int (*fchmodat)(int dir, const char *name, mode_t mode);
    int (*fchown)(int fd, uid_t uid, gid_t gid);
    int (*fchownat)(int dir, const char *name, uid_t uid, gid_t gid); /* never follows a symlink */
    int (*futimens)(int fd, const struct timespec times[2]);
    int (*utimensat)(int dir, const char *name, const struct timespec times[2]); /* never follows a symlink */
    ssize_t (*fgetxattr)(int fd, const char *name, void *value, size_t cap);
    int (*fsetxattr)(int fd, const char *name, const void *value, size_t len, int flags);
    int (*fremovexattr)(int fd, const char *name);
    ssize_t (*flistxattr)(int fd, char *list, size_t cap);
    /* The same of what can't be opened (a symlink, FIFO, socket or device); never follow a symlink. */
    ssize_t (*getxattrat)(int dir, const char *name, const char *attribute, void *value, size_t cap);
    int (*setxattrat)(int dir, const char *name, const char *attribute, const void *value, size_t len, int flags);
    int (*removexattrat)(int dir, const char *name, const char *attribute);
    ssize_t (*listxattrat)(int dir, const char *name, char *list, size_t cap);
    /* Reads raw directory entries (struct linux_dirent64 layout) from the descriptor's position; 0 at the end. */
    ssize_t (*getdents)(int fd, void *buffer, size_t cap);
    /* Sets a directory descriptor's position: 0, or a d_off that getdents gave. */
    int (*seekdir)(int fd, off_t position);
};

/* The backend in use: the kernel's, unless a test has replaced it. */
extern const struct hf_disk_ops *hf_disk;
extern const struct hf_disk_ops hf_disk_kernel;

#endif
