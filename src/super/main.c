/* super/main.c: holdfast-super: one process for one vault. Descriptor 3 is the first owner's connection. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"

static volatile sig_atomic_t stop_wanted;
static struct hf_super super;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static void drop(size_t slot)
{
    hf_cleanup_fd(&super.connections[slot]);
    super.connections[slot] = -1;
    super.waiting[slot] = false;
}

static void serve(size_t slot)
{
    static uint8_t message[HF_IPC_MAX], reply_body[16384], reply_buffer[HF_IPC_MAX];
    HF_CLEANUP(fd) int secret = -1;
    size_t len = 0;
    int fd_count = 0;
    int fds[1] = {-1};
    enum hf_result got = hf_ipc_recv(super.connections[slot], message, sizeof message, &len, fds, 1, &fd_count, 0);
    if (got == HF_BUSY)
        return;
    if (got != HF_OK) {
        drop(slot);
        return;
    }
    if (fd_count == 1)
        secret = fds[0];
    struct hf_reader body;
    struct hf_writer inner, reply;
    hf_reader_init(&body, HF_SPAN(message, len));
    uint16_t type = hf_read_u16(&body);
    if (type == HF_OWN_WAIT) {
        super.waiting[slot] = true;
        return;
    }
    hf_writer_init(&inner, reply_body, sizeof reply_body);
    struct hf_verb verb = {.body = &body, .secret = secret, .connection = super.connections[slot], .reply = &inner};
    struct hf_error error = {.result = HF_OK};
    enum hf_result result = hf_super_verb(&super, type, &verb, &error);
    if (result == HF_OK)
        result = hf_writer_end(&inner);
    hf_reply_begin(&reply, reply_buffer, sizeof reply_buffer, result, error.result != HF_OK ? error.text : hf_result_text(result));
    if (result == HF_OK)
        hf_write_bytes(&reply, reply_body, inner.len);
    if (hf_message_send(super.connections[slot], &reply) != HF_OK)
        drop(slot);
    if (super.mounted)
        hf_super_terminal_leave(&super);
}

static void take_connection(void)
{
    int fd = -1;
    uid_t uid = 0;
    pid_t pid = 0;
    if (hf_ipc_accept(super.listener, &fd) != HF_OK)
        return;
    if (hf_ipc_peer(fd, &uid, &pid) == HF_OK && (uid == geteuid() || uid == 0)) {
        for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
            if (super.connections[i] < 0) {
                super.connections[i] = fd;
                return;
            }
        }
    }
    hf_cleanup_fd(&fd);
}

static bool someone_there(void)
{
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
        if (super.connections[i] >= 0)
            return true;
    }
    return false;
}

static void add(struct pollfd *set, size_t *count, int fd)
{
    set[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void turn(void)
{
    struct pollfd set[HF_SUPER_CONNECTIONS + 5];
    size_t count = 0;
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++)
        add(set, &count, super.connections[i]);
    add(set, &count, super.listener);
    size_t first_child = count;
    add(set, &count, super.mounted ? super.fs.pidfd : -1);
    add(set, &count, super.mounted ? super.enclave.pidfd : -1);
    add(set, &count, super.mounted ? super.element.pidfd : -1);
    size_t end_of_children = count;
    add(set, &count, super.said);
    int ready = poll(set, count, hf_super_timeout(&super));
    if (stop_wanted) {
        struct hf_error error;
        (void)hf_super_close(&super, true, &error);
        super.exiting = true;
        return;
    }
    if (ready < 0 && errno != EINTR)
        super.exiting = true;
    for (size_t i = first_child; ready > 0 && i < end_of_children; i++) {
        if (set[i].fd >= 0 && set[i].revents) {
            hf_super_bury(&super);
            return;
        }
    }
    hf_super_terminal_pass(&super);
    hf_super_tick(&super);
    for (size_t i = 0; ready > 0 && i < HF_SUPER_CONNECTIONS && !super.exiting; i++) {
        if (super.connections[i] >= 0 && set[i].revents)
            serve(i);
    }
    if (ready > 0 && !super.exiting && super.listener >= 0 && (set[HF_SUPER_CONNECTIONS].revents & POLLIN))
        take_connection();
}

static void clear(void)
{
    super.vault_fd = super.dir_fd = super.lock_fd = -1;
    super.control = super.keys = super.fs_control = super.fuse = super.nodes_fd = super.listener = super.said = super.terminal = -1;
    super.element.pidfd = super.enclave.pidfd = super.fs.pidfd = -1;
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++)
        super.connections[i] = -1;
}

int main(void)
{
    if (fcntl(HF_FD_SUPER_OWNER, F_GETFD) < 0) {
        (void)fprintf(stderr, "holdfast-super: started by holdfast(1), not by hand\n");
        return 2;
    }
    /* Not hf_sandbox_harden: its no_new_privs would keep fusermount3 (setuid) from mounting. There is no key here to protect. */
    clear();
    (void)setsid();
    (void)fcntl(HF_FD_SUPER_OWNER, F_SETFD, FD_CLOEXEC);
    if (chdir("/") < 0)
        return 1;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    if (hf_super_terminal_take(&super) != HF_OK)
        return 1;
    super.connections[0] = HF_FD_SUPER_OWNER;
    while (!super.exiting && (super.mounted || someone_there()))
        turn();
    hf_super_stop(&super);
    hf_super_terminal_pass(&super);
    if (super.socket_path[0])
        (void)unlink(super.socket_path);
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
        if (super.waiting[i] && hf_reply_send(super.connections[i], HF_OK, "closed") != HF_OK)
            continue;
    }
    return 0;
}
