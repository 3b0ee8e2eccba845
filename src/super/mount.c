/* super/mount.c: the FUSE mount, by mount(2) as root and by fusermount3 otherwise. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <mntent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/disk.h"
#include "os/file.h"

static const char *const fusermount_paths[] = {"/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"};

static const char *fusermount(void)
{
    for (size_t i = 0; i < sizeof fusermount_paths / sizeof fusermount_paths[0]; i++) {
        if (access(fusermount_paths[i], X_OK) == 0)
            return fusermount_paths[i];
    }
    return NULL;
}

/* Runs it to its end; its exit status, or -1. */
static int run_fusermount(const char *const *argv, int channel)
{
    static const char *const env[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", "_FUSE_COMMFD=3", NULL};
    struct hf_process process = {.pidfd = -1};
    const char *path = fusermount();
    if (!path || hf_process_start(path, argv, env, 3, &channel, channel >= 0 ? 1 : 0, &process) != HF_OK)
        return -1;
    int status = -1;
    struct pollfd wait_for = {.fd = process.pidfd, .events = POLLIN};
    while (process.pidfd >= 0 && poll(&wait_for, 1, 15000) < 0 && errno == EINTR)
        continue;
    if (process.pidfd < 0 || (wait_for.revents & POLLIN)) {
        if (waitpid(process.pid, &status, 0) != process.pid)
            status = -1;
        process.pid = 0;
        hf_cleanup_fd(&process.pidfd);
        return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    hf_process_kill(&process);
    return -1;
}

static int receive_fd(int channel)
{
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t got = 0;
    do {
        got = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    int fd = -1;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

static enum hf_result mount_by_helper(struct hf_super *super, bool allow_other, int *ret_fuse, struct hf_error *error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return hf_fail(error, HF_IO, "no socketpair for fusermount3");
    HF_CLEANUP(fd) int mine = pair[0];
    HF_CLEANUP(fd) int theirs = pair[1];
    char options[128];
    (void)snprintf(options, sizeof options, "rw,nosuid,nodev,noatime,default_permissions,fsname=holdfast,subtype=holdfast%s", allow_other ? ",allow_other" : "");
    const char *const argv[] = {"fusermount3", "-o", options, "--", super->mountpoint, NULL};
    int status = run_fusermount(argv, theirs);
    hf_cleanup_fd(&theirs);
    theirs = -1;
    if (status != 0)
        return hf_fail(error, HF_FAILED, "%s: fusermount3 did not mount it; is the directory yours and empty, and fuse3 installed?", super->mountpoint);
    *ret_fuse = receive_fd(mine);
    if (*ret_fuse < 0)
        return hf_fail(error, HF_FAILED, "%s: fusermount3 gave no descriptor", super->mountpoint);
    return HF_OK;
}

/* The kernel reads 128 KiB ahead where nobody says otherwise, which is one request at a time. INIT, which is answered later, takes the lesser of this and its own.
 * Without the right (or without sysfs) it stays as it is. */
static void read_more_ahead(const char *mountpoint)
{
    struct statx st; /* not synced: nobody answers yet */
    char path[64], text[16];
    if (statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0, &st) < 0)
        return;
    (void)snprintf(path, sizeof path, "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major, st.stx_dev_minor);
    int len = snprintf(text, sizeof text, "%u", HF_READ_AHEAD / 1024);
    int fd = hf_disk->openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)!write(fd, text, (size_t)len);
    (void)hf_disk->close(fd);
}

enum hf_result hf_super_mount(struct hf_super *super, uint32_t flags, int *ret_fuse, struct hf_error *error)
{
    bool allow_other = (flags & HF_OPEN_ALLOW_OTHER) != 0;
    if (geteuid() != 0) {
        HF_TRY(mount_by_helper(super, allow_other, ret_fuse, error));
    } else {
        int fuse = hf_disk->openat(AT_FDCWD, "/dev/fuse", O_RDWR | O_CLOEXEC, 0);
        if (fuse < 0)
            return hf_fail(error, HF_UNSUPPORTED, "/dev/fuse: %s; load the fuse module", strerror(-fuse));
        /* Root's own mount: nobody else can enter, and modes do not hold root back, so the kernel need not check them (which costs a request
         * after each change of a directory). */
        char options[160];
        (void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u%s", fuse, (unsigned)getuid(), (unsigned)getgid(),
                       allow_other ? ",default_permissions,allow_other" : "");
        unsigned long how = MS_NOSUID | MS_NODEV | MS_NOATIME | ((flags & HF_OPEN_READ_ONLY) ? MS_RDONLY : 0);
        if (mount("holdfast", super->mountpoint, "fuse.holdfast", how, options) < 0) {
            int failed = errno;
            (void)hf_disk->close(fuse);
            return hf_fail(error, hf_result_from_errno(failed), "%s: cannot be mounted: %s", super->mountpoint, strerror(failed));
        }
        *ret_fuse = fuse;
        read_more_ahead(super->mountpoint);
    }
    super->mounted = true;
    return HF_OK;
}

enum hf_result hf_super_keep_fuse(struct hf_super *super, int fuse, struct hf_error *error)
{
    int clone = hf_disk->openat(AT_FDCWD, "/dev/fuse", O_RDWR | O_CLOEXEC, 0);
    uint32_t original = (uint32_t)fuse;
    if (clone < 0 || ioctl(clone, FUSE_DEV_IOC_CLONE, &original) < 0) {
        int failed = clone < 0 ? -clone : errno;
        struct hf_error ignored;
        hf_cleanup_fd(&clone);
        (void)!hf_super_unmount(super, true, &ignored);
        return hf_fail(error, HF_FAILED, "/dev/fuse: no second connection: %s", strerror(failed));
    }
    super->fuse = clone;
    return HF_OK;
}

/* By the kernel's table: what is there need not answer. */
static bool is_mounted(const char *mountpoint)
{
    bool found = false;
    char line[2 * PATH_MAX]; /* of a longer one the options are cut */
    struct mntent entry;
    FILE *table = setmntent("/proc/self/mounts", "re");
    while (table && !found && getmntent_r(table, &entry, line, sizeof line))
        found = strcmp(entry.mnt_dir, mountpoint) == 0;
    if (table)
        (void)endmntent(table);
    return found || !table;
}

enum hf_result hf_super_unmount(struct hf_super *super, bool lazy, struct hf_error *error)
{
    if (!super->mounted)
        return HF_OK;
    if (geteuid() == 0) {
        if (umount2(super->mountpoint, (lazy ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT) {
            int failed = errno;
            return hf_fail(error, failed == EBUSY ? HF_BUSY : hf_result_from_errno(failed), "%s: %s", super->mountpoint,
                           failed == EBUSY ? "in use; close the files there, or use close --force" : strerror(failed));
        }
    } else {
        const char *const argv[] = {"fusermount3", lazy ? "-uzq" : "-uq", "--", super->mountpoint, NULL};
        if (run_fusermount(argv, -1) != 0 && is_mounted(super->mountpoint)) /* who waits beside a dead filesystem may have been faster */
            return hf_fail(error, HF_BUSY, "%s: in use; close the files there, or use close --force", super->mountpoint);
    }
    super->mounted = false;
    return HF_OK;
}

/* Marks a mount that is not in use as expired, which is harmless: the next use takes the mark away. */
bool hf_super_mount_in_use(const struct hf_super *super)
{
    return umount2(super->mountpoint, MNT_EXPIRE | UMOUNT_NOFOLLOW) < 0 && errno == EBUSY;
}
