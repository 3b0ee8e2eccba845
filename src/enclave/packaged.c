/* Packaged mode: how the enclave gets its descriptors, and where it takes secrets from. Source: spec/60-processes.md, "Packaged mode". */
#include "proto/packaged.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "base/cleanup.h"
#include "enclave/enclave.h"
#include "os/file.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { WAIT_MS = 30000, ABOVE_ALL = 20 };

/* Away from the numbers that others are to have. */
static enum hf_result lift(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, ABOVE_ALL);
    hf_cleanup_fd(fd);
    *fd = high;
    return high < 0 ? HF_FAILED : HF_OK;
}

static enum hf_result place(int fd, int number)
{
    return dup2(fd, number) < 0 ? HF_FAILED : HF_OK;
}

static enum hf_result greet(int *ret_listener)
{
    uint8_t random[HF_PACKAGED_NAME_LEN / 2], bytes[128];
    char name[HF_PACKAGED_NAME_LEN + 1];
    struct hf_writer hello;
    hf_random(random, sizeof random);
    hf_hex_encode(random, sizeof random, name);
    HF_TRY(hf_ipc_listen_abstract(name, ret_listener));
    hf_message_begin(&hello, bytes, sizeof bytes, HF_PKG_HELLO);
    hf_write_string(&hello, name);
    hf_write_u32(&hello, (uint32_t)getpid());
    hf_write_u32(&hello, geteuid());
    return hf_message_send(HF_FD_ENCLAVE_CONTROL, &hello);
}

/* [PK-3] The directory must be the caller's own: nobody lends us another's, or one of ours. */
static enum hf_result receive(uid_t owner, int *ret_keys, int *ret_dir)
{
    uint8_t bytes[16];
    size_t len = 0;
    int fds[2] = {-1, -1}, count = 0;
    struct stat st;
    HF_TRY(hf_ipc_recv(HF_FD_ENCLAVE_CONTROL, bytes, sizeof bytes, &len, fds, 2, &count, -1));
    *ret_keys = fds[0];
    *ret_dir = fds[1];
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN(bytes, len));
    if (hf_read_u16(&reader) != HF_PKG_ATTACH || hf_reader_end(&reader) != HF_OK || count != 2)
        return HF_PROTOCOL;
    if (fstat(fds[1], &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != owner)
        return HF_REFUSED;
    return HF_OK;
}

static enum hf_result reach_element(uid_t owner, int *ret_element, uint32_t *ret_pid)
{
    char path[128];
    uint8_t request[16], answer[512];
    struct hf_writer writer;
    struct hf_reader body;
    struct hf_error verdict = {.result = HF_OK};
    if (!hf_packaged_socket("element", path, sizeof path) || hf_ipc_connect(path, ret_element) != HF_OK)
        return HF_UNREACHABLE;
    hf_message_begin(&writer, request, sizeof request, HF_PKG_OWNER);
    hf_write_u32(&writer, owner);
    HF_TRY(hf_call(*ret_element, &writer, NULL, 0, answer, sizeof answer, WAIT_MS, &verdict, &body));
    HF_TRY(verdict.result);
    *ret_pid = hf_read_u32(&body);
    return hf_reader_end(&body);
}

enum hf_result hf_enclave_attach(uid_t *ret_owner, struct hf_error *error)
{
    HF_CLEANUP(fd) int listener = -1;
    HF_CLEANUP(fd) int keys = -1;
    HF_CLEANUP(fd) int dir = -1;
    HF_CLEANUP(fd) int element = -1;
    pid_t pid = 0;
    uint32_t element_pid = 0;
    uint8_t bytes[512];
    struct hf_writer reply;
    HF_TRY(hf_ipc_peer(HF_FD_ENCLAVE_CONTROL, ret_owner, &pid));
    HF_TRY(greet(&listener));
    HF_TRY(lift(&listener));
    enum hf_result result = receive(*ret_owner, &keys, &dir);
    if (result == HF_REFUSED)
        (void)hf_fail(error, result, "the vault's directory is not its caller's own");
    if (result == HF_OK)
        result = reach_element(*ret_owner, &element, &element_pid);
    if (result == HF_UNREACHABLE)
        (void)hf_fail(error, result, "the element's socket can't be reached: is holdfast-element.socket started?");
    int *const all[] = {&keys, &dir, &element};
    for (size_t i = 0; result == HF_OK && i < 3; i++)
        result = lift(all[i]);
    const int from[] = {element, keys, dir, listener};
    for (int i = 0; result == HF_OK && i < 4; i++)
        result = place(from[i], HF_FD_ENCLAVE_ELEMENT + i);
    hf_reply_begin(&reply, bytes, sizeof bytes, result, error->text);
    hf_write_u32(&reply, element_pid);
    enum hf_result sent = hf_message_send(HF_FD_ENCLAVE_CONTROL, &reply);
    return result != HF_OK ? result : sent;
}

/* The oldest connection of the owner that is still there: who has gone again was refused by the supervisor. */
enum hf_result hf_enclave_take_connection(const struct hf_enclave *e, int *ret_fd)
{
    for (;;) {
        HF_CLEANUP(fd) int fd = -1;
        uid_t uid = 0;
        pid_t pid = 0;
        enum hf_result result = hf_ipc_accept(HF_FD_ENCLAVE_SECRETS, &fd);
        if (result != HF_OK)
            return HF_PROTOCOL;
        struct pollfd gone = {.fd = fd, .events = 0};
        if (hf_ipc_peer(fd, &uid, &pid) != HF_OK || uid != e->owner || poll(&gone, 1, 0) < 0 || gone.revents)
            continue;
        *ret_fd = hf_steal_fd(&fd);
        return HF_OK;
    }
}
