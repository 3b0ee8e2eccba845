#include "os/ipc.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "os/file.h"

/* The control buffer for the descriptors of one message, aligned as cmsghdr wants it. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * HF_IPC_MAX_FDS)];
};

enum { BUFFER_BYTES = 4 * (HF_IPC_MAX + 4096) };

static enum hf_result last_error(void)
{
    return hf_result_from_errno(errno);
}

enum hf_result hf_ipc_send(int socket, struct hf_span message, const int *fds, int fd_count)
{
    /* An empty message would look like the end of the channel. */
    HF_ASSERT(message.len > 0);
    if (message.len > HF_IPC_MAX || fd_count < 0 || fd_count > HF_IPC_MAX_FDS)
        return HF_TOO_LARGE;
    union control control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message.data, .iov_len = message.len};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd_count > 0) {
        size_t fd_bytes = sizeof(int) * (size_t)fd_count;
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(fd_bytes);
        struct cmsghdr *part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(fd_bytes);
        memcpy(CMSG_DATA(part), fds, fd_bytes);
    }
    ssize_t sent = TEMP_FAILURE_RETRY(sendmsg(socket, &header, MSG_NOSIGNAL));
    if (sent < 0)
        return last_error();
    return (size_t)sent == message.len ? HF_OK : HF_IO;
}

static int64_t now_ms(void)
{
    struct timespec now;
    HF_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the socket has something, its end included. deadline_ms < 0: for ever. */
static enum hf_result wait_readable(int socket, int64_t deadline_ms)
{
    for (;;) {
        int wait_ms = -1;
        if (deadline_ms >= 0) {
            int64_t left_ms = deadline_ms - now_ms();
            wait_ms = left_ms > 0 ? (int)left_ms : 0;
        }
        struct pollfd watch = {.fd = socket, .events = POLLIN};
        int ready = poll(&watch, 1, wait_ms);
        if (ready > 0)
            return HF_OK;
        if (ready == 0)
            return HF_BUSY;
        if (errno != EINTR)
            return last_error();
    }
}

/* Takes out the descriptors that came along; more than cap can't be asked for, and none is lost sight of. */
static int collect_fds(struct msghdr *header, int *fds, int cap)
{
    int count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t in_part = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < in_part; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
            if (count < cap)
                fds[count++] = fd;
            else
                (void)close(fd);
        }
    }
    return count;
}

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++)
        (void)close(fds[i]);
}

enum hf_result hf_ipc_recv(int socket, void *buffer, size_t cap, size_t *ret_len, int *fds, int fd_cap,
                           int *ret_fd_count, int timeout_ms)
{
    HF_ASSERT(fd_cap >= 0 && fd_cap <= HF_IPC_MAX_FDS && (fd_cap == 0 || ret_fd_count));
    int64_t deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    union control control;
    struct iovec iov = {.iov_base = buffer, .iov_len = cap};
    struct msghdr header;
    ssize_t got;
    do {
        HF_TRY(wait_readable(socket, deadline_ms));
        header = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
                                 .msg_controllen = sizeof control.bytes};
        got = recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return last_error();
    int taken[HF_IPC_MAX_FDS];
    int count = collect_fds(&header, taken, HF_IPC_MAX_FDS);
    if (got == 0 || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || count > fd_cap) {
        close_all(taken, count);
        return got == 0 ? HF_CLOSED : HF_PROTOCOL;
    }
    if (count > 0)
        memcpy(fds, taken, sizeof(int) * (size_t)count);
    if (ret_fd_count)
        *ret_fd_count = count;
    *ret_len = (size_t)got;
    return HF_OK;
}

/* Best effort: the system's limits cap it. */
static void enlarge_buffers(int socket)
{
    int bytes = BUFFER_BYTES;
    (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    (void)setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

enum hf_result hf_ipc_pair(int ret_ends[2])
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return last_error();
    enlarge_buffers(ends[0]);
    enlarge_buffers(ends[1]);
    ret_ends[0] = ends[0];
    ret_ends[1] = ends[1];
    return HF_OK;
}

static enum hf_result make_address(const char *path, struct sockaddr_un *ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0)
        return HF_NOT_FOUND;
    if (len >= sizeof address.sun_path)
        return HF_TOO_LARGE;
    memcpy(address.sun_path, path, len + 1);
    *ret = address;
    return HF_OK;
}

/* Removes a socket at path that nobody serves. HF_BUSY when somebody does, HF_EXISTS when it is no socket. */
static enum hf_result remove_dead(const char *path, const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? HF_OK : last_error();
    if (!S_ISSOCK(st.st_mode))
        return HF_EXISTS;
    /* Not blocking: a server with a full queue is a living one too. */
    int probe = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return last_error();
    int connected = connect(probe, (const struct sockaddr *)address, sizeof *address);
    int error = connected < 0 ? errno : 0;
    (void)close(probe);
    if (error == ENOENT)
        return HF_OK;
    if (error != ECONNREFUSED)
        return HF_BUSY;
    if (unlink(path) < 0 && errno != ENOENT)
        return last_error();
    return HF_OK;
}

enum hf_result hf_ipc_listen(const char *path, int *ret_fd)
{
    struct sockaddr_un address;
    HF_TRY(make_address(path, &address));
    HF_TRY(remove_dead(path, &address));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return last_error();
    /* The mode that bind gives the name is the socket's: set before, so that it never stands open for others. */
    if (fchmod(fd, 0600) < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        enum hf_result result = errno == EADDRINUSE ? HF_BUSY : last_error();
        (void)close(fd);
        return result;
    }
    enlarge_buffers(fd);
    if (listen(fd, 16) < 0) {
        enum hf_result result = last_error();
        (void)close(fd);
        (void)unlink(path);
        return result;
    }
    *ret_fd = fd;
    return HF_OK;
}

static enum hf_result abstract_address(const char *name, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t len = strlen(name);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (len == 0 || len + 1 > sizeof ret->sun_path)
        return HF_TOO_LARGE;
    memcpy(ret->sun_path + 1, name, len);
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
    return HF_OK;
}

enum hf_result hf_ipc_listen_abstract(const char *name, int *ret_fd)
{
    struct sockaddr_un address;
    socklen_t len = 0;
    HF_TRY(abstract_address(name, &address, &len));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return last_error();
    if (bind(fd, (const struct sockaddr *)&address, len) < 0 || listen(fd, 16) < 0) {
        enum hf_result result = errno == EADDRINUSE ? HF_BUSY : last_error();
        (void)close(fd);
        return result;
    }
    *ret_fd = fd;
    return HF_OK;
}

enum hf_result hf_ipc_connect_abstract(const char *name, int *ret_fd)
{
    struct sockaddr_un address;
    socklen_t len = 0;
    HF_TRY(abstract_address(name, &address, &len));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return last_error();
    if (TEMP_FAILURE_RETRY(connect(fd, (const struct sockaddr *)&address, len)) < 0) {
        enum hf_result result = last_error();
        (void)close(fd);
        return result;
    }
    *ret_fd = fd;
    return HF_OK;
}

enum hf_result hf_ipc_connect(const char *path, int *ret_fd)
{
    struct sockaddr_un address;
    HF_TRY(make_address(path, &address));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return last_error();
    enlarge_buffers(fd);
    if (TEMP_FAILURE_RETRY(connect(fd, (const struct sockaddr *)&address, sizeof address)) < 0) {
        enum hf_result result = last_error();
        (void)close(fd);
        return result;
    }
    *ret_fd = fd;
    return HF_OK;
}

enum hf_result hf_ipc_accept(int listener, int *ret_fd)
{
    int fd;
    do
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (fd < 0)
        return last_error();
    enlarge_buffers(fd);
    *ret_fd = fd;
    return HF_OK;
}

enum hf_result hf_ipc_peer(int socket, uid_t *ret_uid, pid_t *ret_pid)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return last_error();
    if (len != sizeof peer)
        return HF_FAILED;
    *ret_uid = peer.uid;
    *ret_pid = peer.pid;
    return HF_OK;
}
