/* super/undertaker.c: what is done for a mount whose filesystem is dead: a thread answers every request EIO while the main thread
 * invalidates every node that may have pages, so that the kernel's cached plaintext cannot be read on; then the mount is taken away. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/disk.h"
#include "os/file.h"

enum { BUFFER_LEN = 1024 * 1024 + 65536, STUCK_MS = 3000, OWN_END_MS = 300, INC_EPOCH = 8 };

struct burial {
    int fuse;
    const char *mountpoint;
    atomic_bool done;
    atomic_uint_fast64_t progress_ms;
    bool aborted;
    void *buffer;
};

/* The kernel's text has blanks and backslashes as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; to++) {
        bool escaped = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' && at[3] <= '7';
        int code = escaped ? (at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0') : *at;
        *to = (char)code;
        at += escaped ? 4 : 1;
    }
    *to = '\0';
}

/* Ends requests that the dead filesystem had read and nobody can answer now: they hold page locks that invalidation waits for. */
static void abort_connection(struct burial *burial)
{
    if (burial->aborted)
        return;
    burial->aborted = true;
    if (geteuid() == 0) {
        (void)umount2(burial->mountpoint, MNT_FORCE | UMOUNT_NOFOLLOW);
        return;
    }
    char line[8192];
    unsigned minor_number = 0;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof line, mounts)) {
        unsigned minor_here = 0;
        char target[4096];
        if (sscanf(line, "%*u %*u %*u:%u %*s %4095s", &minor_here, target) != 2) // NOLINT(cert-err34-c): the kernel wrote these numbers
            continue;
        unescape(target);
        if (strcmp(target, burial->mountpoint) == 0)
            minor_number = minor_here;
    }
    if (mounts)
        (void)fclose(mounts);
    char path[64];
    (void)snprintf(path, sizeof path, "/sys/fs/fuse/connections/%u/abort", minor_number);
    HF_CLEANUP(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "1", 1) < 0)
        return;
}

static void *answer(void *arg)
{
    struct burial *burial = arg;
    while (!atomic_load(&burial->done)) {
        struct pollfd readable = {.fd = burial->fuse, .events = POLLIN};
        if (poll(&readable, 1, 100) <= 0 || !(readable.revents & POLLIN)) {
            if (hf_clock_ms() > atomic_load(&burial->progress_ms) + STUCK_MS)
                abort_connection(burial);
            if (readable.revents & (POLLERR | POLLHUP | POLLNVAL))
                (void)usleep(50000);
            continue;
        }
        ssize_t got = read(burial->fuse, burial->buffer, BUFFER_LEN);
        if (got < (ssize_t)sizeof(struct fuse_in_header)) {
            if (got < 0 && errno == ENODEV)
                (void)usleep(50000);
            continue;
        }
        struct fuse_in_header in;
        memcpy(&in, burial->buffer, sizeof in);
        if (in.opcode == FUSE_FORGET || in.opcode == FUSE_BATCH_FORGET || in.opcode == FUSE_INTERRUPT)
            continue;
        struct fuse_out_header out = {.len = sizeof out, .error = -EIO, .unique = in.unique};
        if (write(burial->fuse, &out, sizeof out) < 0)
            continue;
    }
    return NULL;
}

static void invalidate(int fuse, uint64_t node)
{
    struct {
        struct fuse_out_header header;
        struct fuse_notify_inval_inode_out body;
    } message = {
        .header = {.len = sizeof message, .error = FUSE_NOTIFY_INVAL_INODE, .unique = 0},
        .body = {.ino = node, .off = 0, .len = 0},
    };
    if (write(fuse, &message, sizeof message) < 0)
        return; /* ENOENT: the kernel does not know it any more */
}

static void invalidate_all(struct hf_super *super, struct burial *burial)
{
    invalidate(burial->fuse, FUSE_ROOT_ID);
    if (super->nodes) {
        const uint64_t *bits = super->nodes + 1;
        for (uint64_t word = 0; word < HF_NODE_MAP_BITS / 64; word++) {
            uint64_t set = __atomic_load_n(&bits[word], __ATOMIC_RELAXED);
            for (unsigned bit = 0; set; bit++, set >>= 1) {
                if (set & 1) {
                    atomic_store(&burial->progress_ms, hf_clock_ms());
                    invalidate(burial->fuse, word * 64 + bit);
                }
            }
        }
    }
    struct fuse_out_header epoch = {.len = sizeof epoch, .error = INC_EPOCH, .unique = 0};
    if (write(burial->fuse, &epoch, sizeof epoch) < 0)
        return; /* kernels before 6.16 */
}

static bool ends_within(const struct hf_process *process, int ms)
{
    struct pollfd ended = {.fd = process->pidfd, .events = POLLIN};
    return process->pidfd < 0 || poll(&ended, 1, ms) > 0;
}

/* A filesystem that dies invalidates pages. Killed in the middle of that it can wait in the kernel for a page that a request of its own has locked:
 * then no signal ends it, and nothing but the connection's end does. So it has time to end by itself. */
static void end_filesystem(struct hf_super *super, struct burial *burial)
{
    hf_process_kill(&super->enclave);
    hf_process_kill(&super->element);
    hf_cleanup_fd(&super->channels[HF_CHANNEL_FS].socket);
    if (super->fs.pid <= 0 || ends_within(&super->fs, OWN_END_MS))
        return;
    (void)kill(super->fs.pid, SIGKILL);
    if (!ends_within(&super->fs, OWN_END_MS))
        abort_connection(burial);
}

void hf_super_bury(struct hf_super *super, const char *reason)
{
    struct burial burial = {.fuse = super->fuse, .mountpoint = super->mountpoint};
    super->exiting = true;
    if (super->end.result == HF_OK)
        (void)hf_fail(&super->end, HF_FAILED, "%s", reason);
    super->locking = false;
    /* Who comes now is not for us any more: its own supervisor waits until we have let go of the vault. */
    if (super->socket_path[0])
        (void)unlink(super->socket_path);
    super->socket_path[0] = '\0';
    hf_cleanup_fd(&super->listener);
    hf_super_state(super, HF_STATE_CLOSED);
    super->lock_at_ms = 0;
    if (super->mounted)
        end_filesystem(super, &burial);
    hf_super_stop(super);
    if (super->mounted && super->fuse >= 0) {
        burial.buffer = malloc(BUFFER_LEN);
        atomic_store(&burial.progress_ms, hf_clock_ms());
        int flags = fcntl(super->fuse, F_GETFL);
        if (flags >= 0)
            (void)fcntl(super->fuse, F_SETFL, flags | O_NONBLOCK);
        pthread_t thread;
        bool running = burial.buffer && pthread_create(&thread, NULL, answer, &burial) == 0;
        if (!running)
            abort_connection(&burial); /* nobody can answer: dirty pages must not block the invalidation */
        invalidate_all(super, &burial);
        struct hf_error error;
        atomic_store(&burial.progress_ms, hf_clock_ms());
        if (hf_super_unmount(super, true, &error) != HF_OK)
            (void)fprintf(stderr, "holdfast-super: %s\n", error.text);
        atomic_store(&burial.progress_ms, hf_clock_ms());
        invalidate_all(super, &burial); /* what a full-page write may have left meanwhile */
        atomic_store(&burial.done, true);
        if (running)
            (void)pthread_join(thread, NULL);
        free(burial.buffer);
    }
    hf_cleanup_fd(&super->fuse);
    hf_bus_stop(super); /* last: a suspend that waits for us finds no key any more */
}
