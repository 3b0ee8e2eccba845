/* EINTR and short transfers under src/os: every system call of os/disk.h and os/random.h is interrupted several times before it is let through, and transfers come in pieces.
 * What the callers see must be as if nothing had happened; a close that was interrupted is not done twice. The linker puts the stand-ins in the calls' places (--wrap). */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "check.h"
#include "os/disk.h"
#include "os/random.h"
#include "tempdir.h"

enum { TIMES = 3 };

static bool on;
static unsigned streak, interrupted, closes;

static bool interrupt(void)
{
    if (!on || streak == TIMES) {
        streak = 0;
        return false;
    }
    streak++;
    interrupted++;
    errno = EINTR;
    return true;
}

static size_t part(size_t len)
{
    return on && len > 3 ? len / 3 : len;
}

#define STAND_IN(type, name, parameters, arguments) \
    type __real_##name parameters;                  \
    type __wrap_##name parameters;                  \
    type __wrap_##name parameters                   \
    {                                               \
        return interrupt() ? -1 : __real_##name arguments; \
    }

STAND_IN(ssize_t, pread64, (int fd, void *out, size_t len, off_t at), (fd, out, part(len), at))
STAND_IN(ssize_t, pwrite64, (int fd, const void *data, size_t len, off_t at), (fd, data, part(len), at))
STAND_IN(ssize_t, pwritev64, (int fd, const struct iovec *iov, int count, off_t at), (fd, iov, on && count > 1 ? 1 : count, at))
STAND_IN(int, fdatasync, (int fd), (fd))
STAND_IN(int, fsync, (int fd), (fd))
STAND_IN(int, syncfs, (int fd), (fd))
STAND_IN(int, ftruncate64, (int fd, off_t len), (fd, len))
STAND_IN(int, fallocate64, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
STAND_IN(off_t, lseek64, (int fd, off_t at, int whence), (fd, at, whence))
STAND_IN(int, fstat64, (int fd, struct stat *ret), (fd, ret))
STAND_IN(int, fstatat64, (int dir, const char *name, struct stat *ret, int flags), (dir, name, ret, flags))
STAND_IN(int, fstatvfs64, (int fd, struct statvfs *ret), (fd, ret))
STAND_IN(int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
STAND_IN(int, mknodat, (int dir, const char *name, mode_t mode, dev_t dev), (dir, name, mode, dev))
STAND_IN(int, symlinkat, (const char *target, int dir, const char *name), (target, dir, name))
STAND_IN(ssize_t, readlinkat, (int dir, const char *name, char *out, size_t cap), (dir, name, out, cap))
STAND_IN(int, linkat, (int from, const char *name, int to, const char *fresh, int flags), (from, name, to, fresh, flags))
STAND_IN(int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
STAND_IN(int, renameat2, (int from, const char *name, int to, const char *fresh, unsigned flags), (from, name, to, fresh, flags))
STAND_IN(int, fchmod, (int fd, mode_t mode), (fd, mode))
STAND_IN(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
STAND_IN(int, fchownat, (int dir, const char *name, uid_t uid, gid_t gid, int flags), (dir, name, uid, gid, flags))
STAND_IN(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
STAND_IN(int, utimensat, (int dir, const char *name, const struct timespec times[2], int flags), (dir, name, times, flags))
STAND_IN(ssize_t, fgetxattr, (int fd, const char *name, void *value, size_t cap), (fd, name, value, cap))
STAND_IN(int, fsetxattr, (int fd, const char *name, const void *value, size_t len, int flags), (fd, name, value, len, flags))
STAND_IN(int, fremovexattr, (int fd, const char *name), (fd, name))
STAND_IN(ssize_t, flistxattr, (int fd, char *list, size_t cap), (fd, list, cap))
STAND_IN(ssize_t, getrandom, (void *out, size_t len, unsigned flags), (out, part(len), flags))

/* These take what they take by a variable list. */
int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    return interrupt() ? -1 : __real_openat64(dir, name, flags, mode);
}

int __real_fcntl64(int fd, int what, ...);
int __wrap_fcntl64(int fd, int what, ...);
int __wrap_fcntl64(int fd, int what, ...)
{
    va_list args;
    va_start(args, what);
    int value = va_arg(args, int);
    va_end(args);
    return interrupt() ? -1 : __real_fcntl64(fd, what, value);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    va_list args;
    long a[4];
    va_start(args, number);
    for (unsigned i = 0; i < 4; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    return interrupt() ? -1 : __real_syscall(number, a[0], a[1], a[2], a[3]);
}

/* Linux closes, and then says EINTR. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
    int result = __real_close(fd);
    if (!on)
        return result;
    closes++;
    errno = EINTR;
    return -1;
}

static void all_calls(int dir)
{
    char text[64], again[64] = {0};
    struct stat st;
    struct statvfs space;
    _Alignas(8) char entries[2048];
    const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    memset(text, 'a', sizeof text);
    int fd = hf_disk->openat(dir, "f", O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK_INT(hf_disk->pwrite(fd, text, sizeof text, 5), sizeof text);
    CHECK_INT(hf_disk->pread(fd, again, sizeof again, 5), sizeof again);
    CHECK_MEM(again, text, sizeof again);
    struct iovec parts[] = {{text, 20}, {text, 30}, {text, 14}};
    CHECK_INT(hf_disk->pwritev(fd, parts, 3, 100), 64);
    CHECK_INT(hf_disk->fstat(fd, &st), 0);
    CHECK_INT(st.st_size, 164);
    CHECK_INT(hf_disk->fdatasync(fd), 0);
    CHECK_INT(hf_disk->fsync(fd), 0);
    CHECK_INT(hf_disk->syncfs(fd), 0);
    CHECK_INT(hf_disk->ftruncate(fd, 8192), 0);
    int failed = hf_disk->fallocate(fd, 0, 0, 12288);
    CHECK(failed == 0 || failed == -EOPNOTSUPP);
    CHECK(hf_disk->lseek(fd, 0, SEEK_DATA) == 0);
    CHECK_INT(hf_disk->fstatvfs(fd, &space), 0);
    CHECK_INT(hf_disk->mkdirat(dir, "d", 0700), 0);
    CHECK_INT(hf_disk->mknodat(dir, "p", S_IFIFO | 0600, 0), 0);
    CHECK_INT(hf_disk->symlinkat("target", dir, "s"), 0);
    CHECK_INT(hf_disk->readlinkat(dir, "s", again, sizeof again), 6);
    CHECK_INT(hf_disk->fstatat(dir, "s", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK_INT(hf_disk->linkat(dir, "f", dir, "g"), 0);
    CHECK_INT(hf_disk->link_fd(fd, dir, "h"), 0);
    CHECK_INT(hf_disk->renameat2(dir, "h", dir, "i", 0), 0);
    CHECK_INT(hf_disk->unlinkat(dir, "i", 0), 0);
    CHECK_INT(hf_disk->fchmod(fd, 0640), 0);
    CHECK_INT(hf_disk->fchmodat(dir, "f", 0600), 0);
    CHECK_INT(hf_disk->fchown(fd, (uid_t)-1, (gid_t)-1), 0);
    CHECK_INT(hf_disk->fchownat(dir, "f", (uid_t)-1, (gid_t)-1), 0);
    CHECK_INT(hf_disk->futimens(fd, times), 0);
    CHECK_INT(hf_disk->utimensat(dir, "f", times), 0);
    CHECK_INT(hf_disk->fstat(fd, &st), 0);
    CHECK_INT(st.st_mtim.tv_sec, 2000);
    CHECK_INT(st.st_mode & 07777, 0600);
    failed = hf_disk->fsetxattr(fd, "user.x", "value", 5, 0);
    CHECK(failed == 0 || failed == -EOPNOTSUPP); /* tmpfs has none before 6.6 */
    if (failed == 0) {
        CHECK_INT(hf_disk->fgetxattr(fd, "user.x", again, sizeof again), 5);
        CHECK(hf_disk->flistxattr(fd, entries, sizeof entries) >= 7);
        CHECK_INT(hf_disk->fremovexattr(fd, "user.x"), 0);
    }
    CHECK(hf_disk->getdents(dir, entries, sizeof entries) > 0);
    CHECK_INT(hf_disk->seekdir(dir, 0), 0);
    int copy = hf_disk->dup(fd);
    CHECK(copy > 2);
    CHECK_INT(hf_disk->close(copy), 0);
    CHECK_INT(hf_disk->close(fd), 0);
    CHECK_INT(hf_disk->unlinkat(dir, "d", AT_REMOVEDIR), 0);
    const char *const left[] = {"f", "g", "p", "s"};
    for (unsigned i = 0; i < sizeof left / sizeof left[0]; i++)
        CHECK_INT(hf_disk->unlinkat(dir, left[i], 0), 0);
}

TEST(interrupted_calls_go_on)
{
    char path[64];
    uint8_t random[64] = {0}, zero[16] = {0};
    int dir = make_dir(path);
    all_calls(dir); /* the same without: what the machine can do */
    on = true;
    all_calls(dir);
    hf_random(random, sizeof random);
    on = false;
    for (unsigned i = 0; i < sizeof random; i += sizeof zero)
        CHECK(memcmp(random + i, zero, sizeof zero) != 0);
    CHECK(interrupted >= 35 * TIMES);
    CHECK_INT(closes, 2); /* each once */
    remove_dir(path, dir);
}

CHECK_MAIN()
