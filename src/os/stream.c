#include "os/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "os/file.h"

enum hf_result hf_stream_connect(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return HF_TOO_LARGE;
    memcpy(address.sun_path, path, strlen(path));
    HF_CLEANUP(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hf_result_from_errno(errno);
    if (TEMP_FAILURE_RETRY(connect(fd, (const struct sockaddr *)&address, sizeof address)) < 0)
        return errno == ECONNREFUSED ? HF_CLOSED : hf_result_from_errno(errno);
    *ret_fd = hf_steal_fd(&fd);
    return HF_OK;
}

enum hf_result hf_stream_device(const char *path, int *ret_fd)
{
    struct stat st;
    HF_CLEANUP(fd) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return hf_result_from_errno(errno);
    if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
        return HF_DAMAGED;
    *ret_fd = hf_steal_fd(&fd);
    return HF_OK;
}

static enum hf_result wait_for(int fd, short events, int timeout_ms)
{
    struct pollfd watch = {.fd = fd, .events = events};
    int ready = (int)TEMP_FAILURE_RETRY(poll(&watch, 1, timeout_ms));
    if (ready < 0)
        return hf_result_from_errno(errno);
    return ready == 0 ? HF_BUSY : HF_OK;
}

/* A device takes no send(); a socket must not raise SIGPIPE. */
static ssize_t put(int fd, const uint8_t *bytes, size_t len)
{
    ssize_t sent = TEMP_FAILURE_RETRY(send(fd, bytes, len, MSG_NOSIGNAL));
    if (sent < 0 && errno == ENOTSOCK)
        sent = TEMP_FAILURE_RETRY(write(fd, bytes, len));
    return sent;
}

enum hf_result hf_stream_write(int fd, struct hf_span bytes, int timeout_ms)
{
    while (bytes.len > 0) {
        HF_TRY(wait_for(fd, POLLOUT, timeout_ms));
        ssize_t sent = put(fd, bytes.data, bytes.len);
        if (sent < 0)
            return errno == EPIPE || errno == ECONNRESET ? HF_CLOSED : hf_result_from_errno(errno);
        bytes = HF_SPAN(bytes.data + sent, bytes.len - (size_t)sent);
    }
    return HF_OK;
}

enum hf_result hf_stream_read(int fd, void *buffer, size_t cap, int timeout_ms, size_t *ret_len)
{
    HF_TRY(wait_for(fd, POLLIN, timeout_ms));
    ssize_t got = TEMP_FAILURE_RETRY(read(fd, buffer, cap));
    if (got < 0)
        return errno == ECONNRESET ? HF_CLOSED : hf_result_from_errno(errno);
    if (got == 0)
        return HF_CLOSED;
    *ret_len = (size_t)got;
    return HF_OK;
}
