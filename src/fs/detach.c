#include "fs/detach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/file.h"
#include "os/sandbox.h"

#ifdef __SANITIZE_THREAD__
enum { PATH_CAP = 4096, WATCHED = true }; /* ThreadSanitizer makes calls of its own */
#else
enum { PATH_CAP = 4096, WATCHED = false };
#endif

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000u /* Linux 6.8: numbers that are not used again */
#endif

/* Which mount is there. Before 6.8 its number may come again; then the device tells a mount of another kind or filesystem apart. */
struct mount_mark {
    uint64_t id;
    uint32_t major, minor;
};

/* Without a request to whoever serves it; id 0: not to be had. */
static struct mount_mark mount_at(const char *path)
{
    struct statx info;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &info) < 0 ||
        !(info.stx_mask & (STATX_MNT_ID | STATX_MNT_ID_UNIQUE)))
        return (struct mount_mark){0};
    return (struct mount_mark){.id = info.stx_mnt_id, .major = info.stx_dev_major, .minor = info.stx_dev_minor};
}

/* Up to and with the NUL; false at the end of the pipe. */
static bool read_path(int pipe, char path[PATH_CAP])
{
    for (size_t len = 0; len < PATH_CAP; len++) {
        if (TEMP_FAILURE_RETRY(read(pipe, &path[len], 1)) != 1)
            return false;
        if (path[len] == '\0')
            return true;
    }
    return false;
}

/* The connection is aborted as well: requests that the dead filesystem had read hold pages locked, for which the supervisor's invalidation would wait for ever;
 * once the mount is detached nobody can name it to abort it. */
static void take_away(const char *path, unsigned minor)
{
    if (geteuid() == 0) {
        (void)umount2(path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
        return;
    }
    char control[64];
    (void)snprintf(control, sizeof control, "/sys/fs/fuse/connections/%u/abort", minor);
    int fd = open(control, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) == 1)
        (void)close(fd);
    char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    char *const argv[] = {"fusermount3", "-u", "-z", "-q", "--", (char *)(uintptr_t)path, NULL};
    (void)execve("/usr/bin/fusermount3", argv, env);
    (void)execve("/bin/fusermount3", argv, env);
}

static _Noreturn void wait_and_detach(int pipe)
{
    static const struct hf_sandbox_rule allowed[] = {{SYS_read, -1, 0, 0}, {SYS_statx, -1, 0, 0}, {SYS_umount2, -1, 0, 0}, {SYS_geteuid, -1, 0, 0},
                                                     {SYS_exit_group, -1, 0, 0}};
    char path[PATH_CAP];
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)setsid(); /* a terminal's Ctrl-C is not for us */
    /* The others would keep channels and the connection to the kernel open. fusermount3 needs its privilege: no filter without root. */
    bool ready = dup2(pipe, 0) == 0 && syscall(SYS_close_range, 1u, ~0u, 0) == 0;
    if (ready && geteuid() == 0 && !WATCHED)
        ready = hf_sandbox_allow_only(allowed, sizeof allowed / sizeof allowed[0]) == HF_OK;
    if (!ready || !read_path(0, path))
        _exit(0);
    struct mount_mark ours = mount_at(path);
    char byte;
    while (TEMP_FAILURE_RETRY(read(0, &byte, 1)) > 0)
        continue;
    /* The supervisor may have been faster, and something else may be there by now. */
    struct mount_mark there = mount_at(path);
    if (ours.id != 0 && there.id == ours.id && there.major == ours.major && there.minor == ours.minor)
        take_away(path, ours.minor);
    _exit(0);
}

enum hf_result hf_detach_start(int *ret_pipe)
{
    int pair[2];
    if (pipe2(pair, O_CLOEXEC) < 0)
        return hf_result_from_errno(errno);
    pid_t pid = fork();
    if (pid == 0)
        wait_and_detach(pair[0]);
    int failed = errno;
    (void)close(pair[0]);
    if (pid < 0) {
        (void)close(pair[1]);
        return hf_result_from_errno(failed);
    }
    *ret_pipe = pair[1];
    return HF_OK;
}

enum hf_result hf_detach_mountpoint(int pipe, const char *path)
{
    size_t len = strlen(path) + 1;
    HF_ASSERT(len <= PATH_CAP); /* a pipe takes this much as a whole */
    return TEMP_FAILURE_RETRY(write(pipe, path, len)) == (ssize_t)len ? HF_OK : HF_CLOSED;
}
