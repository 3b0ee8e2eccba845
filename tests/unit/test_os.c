/* Unit tests of src/os on the real kernel: disk, clock, messages, processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "check.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/process.h"
#include "os/random.h"
#include "tempdir.h"

/* ---- disk ---- */

TEST(disk_errors_are_negative)
{
    CHECK_INT(hf_disk->openat(AT_FDCWD, "/no/such", O_RDONLY, 0), -ENOENT);
    CHECK_INT(hf_disk->close(-1), -EBADF);
    CHECK_INT(hf_disk->fsync(-1), -EBADF);
    CHECK_INT(hf_disk->seekdir(-1, 0), -EBADF);
}

TEST(disk_reads_writes_and_lists)
{
    char path[64];
    int dir = make_dir(path);
    int fd = hf_disk->openat(dir, "a", O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    struct iovec parts[] = {{(void *)(uintptr_t)"one", 3}, {NULL, 0}, {(void *)(uintptr_t)"three", 5}};
    CHECK_INT(hf_disk->pwritev(fd, parts, 3, 2), 8);
    char text[16] = {0};
    CHECK_INT(hf_disk->pread(fd, text, sizeof text, 0), 10);
    CHECK_MEM(text, "\0\0onethree", 10);
    CHECK_INT(hf_disk->pwrite(fd, "xx", 2, 0), 2);
    int copy = hf_disk->dup(fd);
    CHECK(copy > 2 && fcntl(copy, F_GETFD) & FD_CLOEXEC);
    CHECK_INT(hf_disk->close(copy), 0);
    CHECK_INT(hf_disk->close(fd), 0);
    char entries[1024];
    CHECK(hf_disk->getdents(dir, entries, sizeof entries) > 0);
    CHECK_INT(hf_disk->getdents(dir, entries, sizeof entries), 0);
    CHECK_INT(hf_disk->seekdir(dir, 0), 0);
    CHECK(hf_disk->getdents(dir, entries, sizeof entries) > 0);
    remove_dir(path, dir);
}

TEST(disk_pwritev_goes_on_after_a_short_write)
{
    /* A file size limit cuts the first write short; the rest then fails: never a quiet half. */
    char path[64];
    int dir = make_dir(path);
    int fd = hf_disk->openat(dir, "a", O_RDWR | O_CREAT, 0600);
    struct rlimit old;
    CHECK_INT(getrlimit(RLIMIT_FSIZE, &old), 0);
    struct rlimit low = {.rlim_cur = 5, .rlim_max = old.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &low), 0);
    struct iovec parts[] = {{(void *)(uintptr_t)"abcd", 4}, {(void *)(uintptr_t)"efgh", 4}};
    ssize_t put = hf_disk->pwritev(fd, parts, 2, 0);
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    CHECK_INT(put, -EFBIG);
    CHECK_INT(hf_disk->close(fd), 0);
    remove_dir(path, dir);
}

TEST(disk_link_fd_names_an_unnamed_file)
{
    char path[64];
    int dir = make_dir(path);
    int fd = hf_disk->openat(dir, ".", O_TMPFILE | O_RDWR, 0600);
    if (fd == -EOPNOTSUPP) {
        printf("skipped: no O_TMPFILE here\n");
    } else if (CHECK(fd >= 0)) {
        CHECK_INT(hf_disk->pwrite(fd, "tmp", 3, 0), 3);
        CHECK_INT(hf_disk->link_fd(fd, dir, "a"), 0);
        CHECK_INT(hf_disk->link_fd(fd, dir, "a"), -EEXIST);
        CHECK(file_is(dir, "a", "tmp"));
        CHECK_INT(hf_disk->close(fd), 0);
    }
    remove_dir(path, dir);
}

TEST(disk_follows_no_symlink)
{
    char path[64];
    int dir = make_dir(path);
    CHECK_INT(hf_disk->close(hf_disk->openat(dir, "a", O_WRONLY | O_CREAT, 0600)), 0);
    CHECK_INT(hf_disk->symlinkat("a", dir, "link"), 0);
    struct stat st;
    CHECK_INT(hf_disk->fstatat(dir, "link", &st), 0);
    CHECK(S_ISLNK(st.st_mode));
    CHECK(hf_disk->fchmodat(dir, "link", 0644) < 0 || true);
    CHECK_INT(hf_disk->fstatat(dir, "a", &st), 0);
    CHECK_INT(st.st_mode & 07777, 0600);
    CHECK_INT(hf_disk->fchmodat(dir, "a", 0640), 0);
    CHECK_INT(hf_disk->fstatat(dir, "a", &st), 0);
    CHECK_INT(st.st_mode & 07777, 0640);
    remove_dir(path, dir);
}

/* ---- random, clock ---- */

TEST(random_fills)
{
    static uint8_t a[1000];
    static uint8_t b[1000];
    hf_random(a, sizeof a);
    hf_random(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof a; i++)
        zeros += a[i] == 0;
    CHECK(zeros < 50);
    hf_random(a, 0);
}

TEST(clock_goes_on)
{
    struct hf_boot_time first;
    struct hf_boot_time second;
    CHECK_INT(hf_clock_boot_time(&first), HF_OK);
    uint64_t ns = hf_clock_ns();
    (void)usleep(20000);
    CHECK_INT(hf_clock_boot_time(&second), HF_OK);
    CHECK_MEM(first.boot_id, second.boot_id, sizeof first.boot_id);
    CHECK(second.ms >= first.ms + 19 && hf_clock_ns() - ns >= 19000000);
    static const uint8_t none[16];
    CHECK(memcmp(first.boot_id, none, sizeof none) != 0);
}

/* ---- ipc ---- */

static int count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

TEST(ipc_messages_and_descriptors)
{
    int before = count_fds();
    int ends[2];
    CHECK_INT(hf_ipc_pair(ends), HF_OK);
    CHECK(fcntl(ends[0], F_GETFD) & FD_CLOEXEC);
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN("one", 3), NULL, 0), HF_OK);
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN("second", 6), (int[]){ends[0], ends[1]}, 2), HF_OK);
    char text[16];
    size_t len = 0;
    int fds[4];
    int fd_count = -1;
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, NULL, 0, NULL, 1000), HF_OK);
    CHECK_INT(len, 3);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, fds, 4, &fd_count, -1), HF_OK);
    CHECK(len == 6 && fd_count == 2 && memcmp(text, "second", 6) == 0);
    CHECK(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    (void)close(fds[0]);
    (void)close(fds[1]);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, NULL, 0, NULL, 20), HF_BUSY);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, NULL, 0, NULL, 0), HF_BUSY);
    (void)close(ends[0]);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, NULL, 0, NULL, -1), HF_CLOSED);
    CHECK_INT(hf_ipc_send(ends[1], HF_SPAN("x", 1), NULL, 0), HF_CLOSED);
    (void)close(ends[1]);
    CHECK_INT(count_fds(), before);
}

TEST(ipc_refuses_too_much)
{
    int before = count_fds();
    int ends[2];
    CHECK_INT(hf_ipc_pair(ends), HF_OK);
    char text[4];
    size_t len = 77;
    int fds[4];
    int fd_count = 77;
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN("longer", 6), (int[]){0}, 1), HF_OK);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, fds, 1, &fd_count, -1), HF_PROTOCOL);
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN("ab", 2), (int[]){0, 1}, 2), HF_OK);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, fds, 1, &fd_count, -1), HF_PROTOCOL);
    /* More than a message may carry, from a peer that doesn't use our sender. */
    int many[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof many)];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = text, .iov_len = 2};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr *part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof many);
    memcpy(CMSG_DATA(part), many, sizeof many);
    CHECK_INT(sendmsg(ends[0], &header, 0), 2);
    CHECK_INT(hf_ipc_recv(ends[1], text, sizeof text, &len, fds, 4, &fd_count, -1), HF_PROTOCOL);
    CHECK(len == 77 && fd_count == 77); /* untouched on failure */
    static uint8_t large[HF_IPC_MAX + 1];
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN(large, sizeof large), NULL, 0), HF_TOO_LARGE);
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN(large, 1), many, 5), HF_TOO_LARGE);
    CHECK_INT(hf_ipc_send(ends[0], HF_SPAN(large, HF_IPC_MAX), NULL, 0), HF_OK);
    CHECK_INT(hf_ipc_recv(ends[1], large, HF_IPC_MAX, &len, NULL, 0, NULL, -1), HF_OK);
    CHECK_INT(len, HF_IPC_MAX);
    (void)close(ends[0]);
    (void)close(ends[1]);
    CHECK_INT(count_fds(), before);
}

TEST(ipc_pair_holds_full_messages)
{
    int ends[2];
    CHECK_INT(hf_ipc_pair(ends), HF_OK);
    CHECK_INT(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    static const uint8_t large[HF_IPC_MAX];
    int sent = 0;
    while (sent < 4 && hf_ipc_send(ends[0], HF_SPAN_OF(large), NULL, 0) == HF_OK)
        sent++;
    printf("full messages that fit: %d\n", sent);
    CHECK(sent >= 2);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TEST(ipc_listen_connect_peer)
{
    char path[64];
    int dir = make_dir(path);
    char name[80];
    (void)snprintf(name, sizeof name, "%s/s", path);
    int listener = -1;
    int client = -1;
    int served = -1;
    CHECK_INT(hf_ipc_connect(name, &client), HF_NOT_FOUND);
    mode_t old_mask = umask(0);
    CHECK_INT(hf_ipc_listen(name, &listener), HF_OK);
    (void)umask(old_mask);
    struct stat st;
    CHECK(stat(name, &st) == 0 && (st.st_mode & 07777) == 0600);
    CHECK_INT(hf_ipc_connect(name, &client), HF_OK);
    CHECK_INT(hf_ipc_accept(listener, &served), HF_OK);
    CHECK(fcntl(served, F_GETFD) & FD_CLOEXEC);
    uid_t uid = 12345;
    pid_t pid = 0;
    CHECK_INT(hf_ipc_peer(served, &uid, &pid), HF_OK);
    CHECK(uid == getuid() && pid == getpid());
    int second = -1;
    CHECK_INT(hf_ipc_listen(name, &second), HF_BUSY);
    (void)close(listener);
    CHECK_INT(hf_ipc_connect(name, &second), HF_CLOSED);
    CHECK_INT(hf_ipc_listen(name, &second), HF_OK); /* a dead socket is replaced */
    (void)close(second);
    (void)close(client);
    (void)close(served);
    CHECK_INT(unlink(name), 0);
    CHECK_INT(hf_file_replace(dir, "s", HF_SPAN("file", 4)), HF_OK);
    CHECK_INT(hf_ipc_listen(name, &second), HF_EXISTS);
    CHECK(file_is(dir, "s", "file"));
    char long_name[200];
    memset(long_name, 'x', sizeof long_name);
    long_name[199] = '\0';
    CHECK_INT(hf_ipc_listen(long_name, &second), HF_TOO_LARGE);
    remove_dir(path, dir);
}

/* ---- process ---- */

/* What a shell started with these descriptors writes to its descriptor 3. */
static void run_shell(const char *script, const int *fds, size_t fd_count, int read_end, char *out, size_t cap)
{
    struct hf_process process = {.pidfd = -1};
    const char *const argv[] = {"sh", "-c", script, NULL};
    memset(out, 0, cap);
    if (!CHECK_INT(hf_process_start("/bin/sh", argv, NULL, 3, fds, fd_count, &process), HF_OK))
        return;
    struct pollfd end = {.fd = process.pidfd, .events = POLLIN};
    CHECK_INT(poll(&end, 1, 10000), 1);
    CHECK(read(read_end, out, cap - 1) >= 0);
    hf_process_kill(&process);
    CHECK(process.pid == 0 && process.pidfd == -1);
    hf_process_kill(&process);
}

TEST(process_gets_exactly_its_descriptors)
{
    int before = count_fds();
    int extra = open("/dev/null", O_RDONLY); /* not close-on-exec: still must not reach the child */
    int out[2];
    CHECK_INT(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    int other[2];
    CHECK_INT(pipe2(other, O_CLOEXEC), 0);
    /* Sources that are each other's targets. */
    int at_5 = dup3(out[1], 50, O_CLOEXEC);
    int fds[4] = {at_5, other[0], -1, out[1]};
    char text[256];
    const char *script = "exec >&3; for i in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 50; do [ -e /proc/$$/fd/$i ] && echo -n \"$i \"; done";
    run_shell(script, fds, 4, out[0], text, sizeof text);
    CHECK_STR(text, "0 1 2 3 4 6 ");
    run_shell("readlink /proc/$$/fd/0 >&3; kill -0 $$ && [ \"$HOLDFAST_X$LANG\" = C.UTF-8 ] && echo env >&3", fds, 1, out[0], text,
              sizeof text);
    CHECK_STR(text, "/dev/null\nenv\n");
    (void)close(extra);
    (void)close(at_5);
    for (int i = 0; i < 2; i++) {
        (void)close(out[i]);
        (void)close(other[i]);
    }
    CHECK_INT(count_fds(), before);
}

static void swap_low_descriptors(void)
{
    int out[2];
    CHECK_INT(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    int first = fcntl(out[0], F_DUPFD_CLOEXEC, 40);
    int second = fcntl(out[1], F_DUPFD_CLOEXEC, 40);
    CHECK_INT(syscall(SYS_close_range, 3, 39, 0), 0);
    CHECK(dup3(second, 4, O_CLOEXEC) == 4 && dup3(first, 3, O_CLOEXEC) == 3);
    char text[64];
    run_shell("echo swapped >&3; read x <&4; echo $x >&3", (int[]){4, 3}, 2, first, text, sizeof text);
    CHECK_STR(text, "swapped\n");
}

TEST(process_overlapping_descriptors)
{
    CHECK_INT(check_in_child(swap_low_descriptors), 0);
}

TEST(process_exec_failure_is_reported)
{
    struct hf_process process = {.pid = 77, .pidfd = 78};
    const char *const argv[] = {"x", NULL};
    int before = count_fds();
    CHECK_INT(hf_process_start("/no/such/program", argv, NULL, 3, NULL, 0, &process), HF_NOT_FOUND);
    CHECK_INT(hf_process_start("/etc/passwd", argv, NULL, 3, NULL, 0, &process), HF_DENIED);
    CHECK_INT(hf_process_start("/bin/true", argv, NULL, 3, (int[]){200}, 1, &process), HF_FAILED); /* not open */
    CHECK(process.pid == 77 && process.pidfd == 78);
    CHECK_INT(count_fds(), before);
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* none left over */
}

TEST(process_resets_signals)
{
    int out[2];
    CHECK_INT(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    sigset_t blocked;
    sigset_t old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_sigmask(SIG_BLOCK, &blocked, &old);
    char text[256];
    run_shell("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\n\\t' >&3", &out[1], 1, out[0], text, sizeof text);
    CHECK_STR(text, "SigBlk:0000000000000000SigIgn:0000000000000000");
    sigset_t now;
    (void)pthread_sigmask(SIG_SETMASK, &old, &now);
    CHECK(sigismember(&now, SIGUSR1) == 1);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)close(out[0]);
    (void)close(out[1]);
}

TEST(process_kill)
{
    struct hf_process process;
    const char *const argv[] = {"sleep", "1000", NULL};
    CHECK_INT(hf_process_start("/bin/sleep", argv, NULL, 3, NULL, 0, &process), HF_OK);
    pid_t pid = process.pid;
    hf_process_kill(&process);
    CHECK(kill(pid, 0) < 0 && errno == ESRCH);
}

TEST(process_find)
{
    char path[4096];
    (void)unsetenv("HOLDFAST_LIBEXEC");
    CHECK_INT(hf_process_find("no-such-program", path, sizeof path), HF_NOT_FOUND);
    char self[4096] = {0};
    CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    CHECK_INT(hf_process_find(strrchr(self, '/') + 1, path, sizeof path), HF_OK);
    CHECK_STR(path, self);
    CHECK_INT(hf_process_find(strrchr(self, '/') + 1, path, 5), HF_NOT_FOUND);
    (void)setenv("HOLDFAST_LIBEXEC", "/bin", 1);
    CHECK_INT(hf_process_find("sh", path, sizeof path), HF_OK);
    CHECK_STR(path, "/bin/sh");
    CHECK_INT(hf_process_find(strrchr(self, '/') + 1, path, sizeof path), HF_NOT_FOUND);
    (void)unsetenv("HOLDFAST_LIBEXEC");
}

CHECK_MAIN()
