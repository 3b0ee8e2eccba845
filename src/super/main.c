/* super/main.c: holdfast-super: one process for one vault, and its loop. Descriptor 3 is the first owner's connection. */
#include "super/super.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/file.h"

static struct hf_super super;
static int timer = -1;

/* What the loop waits for; the connections' places come first. */
enum { AT_LISTENER = HF_SUPER_CONNECTIONS, AT_SIGNALS, AT_MESSAGES, AT_RELAY, AT_BUS, AT_TIMER, AT_CHANNELS, AT_CHILDREN = AT_CHANNELS + HF_CHANNEL_COUNT, AT_COUNT = AT_CHILDREN + 3 };

/* Standard error of all programs is a pipe to us, so that none of them keeps the terminal that opened the vault. */
static struct {
    int from, to;
} messages = {-1, -1};

static void open_messages(void)
{
    int ends[2];
    messages.to = fcntl(2, F_DUPFD_CLOEXEC, 10);
    if (messages.to < 0 || pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return;
    messages.from = ends[0];
    (void)dup2(ends[1], 1);
    (void)dup2(ends[1], 2);
    (void)close(ends[1]);
}

/* To the terminal until the vault is open, then away. */
static void pass_messages(void)
{
    char text[4096];
    ssize_t got = messages.from >= 0 ? read(messages.from, text, sizeof text) : 0;
    if (got > 0 && messages.to >= 0 && write(messages.to, text, (size_t)got) < 0)
        hf_cleanup_fd(&messages.to);
    if (super.mounted && super.listener >= 0)
        hf_cleanup_fd(&messages.to);
}

static void hang_up(size_t slot)
{
    hf_cleanup_fd(&super.connections[slot]);
    if (super.jobs[slot].verb)
        hf_job_abandon(&super, &super.jobs[slot]);
}

/* A verb, or the connection's end. While its verb runs only the end is looked for: verbs of one connection are in lock step. */
static void serve(size_t slot, short revents)
{
    struct hf_job *job = &super.jobs[slot];
    uint8_t message[HF_SUPER_REQUEST_MAX];
    size_t len = 0;
    int fd_count = 0;
    int secret = -1;
    if (job->verb) {
        if (revents & (POLLHUP | POLLERR))
            hang_up(slot);
        return;
    }
    enum hf_result got = hf_ipc_recv(super.connections[slot], message, sizeof message, &len, &secret, 1, &fd_count, 0);
    if (got == HF_BUSY)
        return;
    if (got != HF_OK || len < 2) {
        hf_cleanup_fd(&secret);
        hang_up(slot);
        return;
    }
    memset(job, 0, sizeof *job);
    job->connection = (int)slot;
    job->secret = fd_count == 1 ? secret : -1;
    job->verb = (uint16_t)(message[0] | message[1] << 8);
    job->owner_len = len - 2;
    memcpy(job->owner_body, message + 2, len - 2);
    hf_job_begin(&super, job);
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
            if (super.connections[i] < 0 && !super.jobs[i].verb) { /* a verb may outlive its connection */
                super.connections[i] = fd;
                return;
            }
        }
    }
    hf_cleanup_fd(&fd);
}

/* The first signal closes in order, the second at once. */
static void take_signal(int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (super.own_close.verb || super.erasing || !super.mounted) { /* an erase goes on without the others */
        if (super.work && super.work->verb == HF_OWN_CREATE)
            hf_job_abandon(&super, super.work);
        hf_super_bury(&super, "the supervisor was told to end");
        return;
    }
    super.own_close.verb = HF_OWN_CLOSE;
    hf_close_begin(&super, &super.own_close, true);
}

static bool needed(void)
{
    if (super.mounted)
        return true;
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
        if (super.connections[i] >= 0 || super.jobs[i].verb)
            return true;
    }
    return false;
}

static int wait_ms(void)
{
    uint64_t a = hf_super_next_deadline(&super), b = hf_channel_next_deadline(&super);
    uint64_t c = hf_bus_next_deadline(&super);
    uint64_t at = !a || (b && b < a) ? b : a;
    at = !at || (c && c < at) ? c : at;
    hf_clock_timer_set(timer, a); /* [LK-4] poll's own clock stands still while the machine sleeps */
    uint64_t now = hf_clock_ms();
    if (at == 0)
        return -1;
    uint64_t left = at > now ? at - now : 0;
    return left > 60000 ? 60000 : (int)left;
}

static void watch(struct pollfd set[AT_COUNT], int signals)
{
    int relay = hf_relay_waits_for(&super);
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++)
        set[i] = (struct pollfd){.fd = super.connections[i], .events = super.jobs[i].verb ? 0 : POLLIN};
    set[AT_LISTENER] = (struct pollfd){.fd = super.listener, .events = POLLIN};
    set[AT_SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
    set[AT_MESSAGES] = (struct pollfd){.fd = messages.from, .events = POLLIN};
    set[AT_RELAY] = (struct pollfd){.fd = relay, .events = POLLOUT};
    set[AT_CHANNELS + HF_CHANNEL_ENCLAVE] = (struct pollfd){.fd = super.channels[HF_CHANNEL_ENCLAVE].socket, .events = POLLIN};
    set[AT_CHANNELS + HF_CHANNEL_FS] = (struct pollfd){.fd = relay >= 0 ? -1 : super.channels[HF_CHANNEL_FS].socket, .events = POLLIN};
    hf_bus_watch(&super, &set[AT_BUS]);
    set[AT_TIMER] = (struct pollfd){.fd = timer, .events = POLLIN};
    const int children[] = {super.element.pidfd, super.enclave.pidfd, super.fs.pidfd};
    for (size_t i = 0; i < 3; i++)
        set[AT_CHILDREN + i] = (struct pollfd){.fd = super.mounted ? children[i] : -1, .events = POLLIN};
}

/* [CH-9] One's death may already have ended another: all are named. */
static bool someone_died(const struct pollfd children[3])
{
    static const char *const programs[] = {"holdfast-element", "holdfast-enclave", "holdfast-fs"};
    char text[160] = "";
    size_t len = 0;
    for (size_t i = 0; i < 3; i++) {
        if (children[i].revents)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? ", " : "", programs[i]);
    }
    if (len == 0)
        return false;
    (void)snprintf(text + len, sizeof text - len, " ended: the vault was closed; open it again");
    hf_stop_note_write(&super, text);
    hf_super_bury(&super, text);
    return true;
}

/* Most urgent first: death, time, then replies before new verbs. */
static void turn(int signals)
{
    struct pollfd set[AT_COUNT];
    watch(set, signals);
    int ready = poll(set, AT_COUNT, wait_ms());
    if (ready < 0 && errno != EINTR)
        super.exiting = true;
    if (ready < 0)
        return;
    if (someone_died(set + AT_CHILDREN))
        return;
    if (set[AT_SIGNALS].revents)
        take_signal(signals);
    if (!super.exiting)
        hf_super_tick(&super);
    if (!super.exiting)
        hf_channel_check_deadlines(&super);
    if (!super.exiting)
        hf_bus_turn(&super);
    if (!super.exiting && set[AT_RELAY].revents)
        hf_relay_retry(&super);
    for (size_t i = 0; i < HF_CHANNEL_COUNT && !super.exiting; i++) {
        if (set[AT_CHANNELS + i].revents && super.channels[i].socket == set[AT_CHANNELS + i].fd)
            hf_channel_read(&super, (enum hf_channel_name)i);
    }
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS && !super.exiting; i++) {
        if (set[i].revents && super.connections[i] == set[i].fd)
            serve(i, set[i].revents);
    }
    if (!super.exiting && (set[AT_LISTENER].revents & POLLIN))
        take_connection();
    pass_messages();
}

static void clear(void)
{
    super.vault_fd = super.dir_fd = super.lock_fd = -1;
    super.packaged_socket = super.keys = super.fuse = super.nodes_fd = super.listener = -1;
    super.bus.inhibitor = -1;
    super.own_wake.connection = super.own_wake.secret = -1;
    super.element.pidfd = super.enclave.pidfd = super.fs.pidfd = -1;
    super.own_lock.connection = super.own_lock.secret = super.own_close.connection = super.own_close.secret = -1;
    for (size_t i = 0; i < HF_CHANNEL_COUNT; i++)
        super.channels[i].socket = -1;
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++)
        super.connections[i] = -1;
}

static int open_signals(void)
{
    sigset_t wanted;
    (void)sigemptyset(&wanted);
    (void)sigaddset(&wanted, SIGTERM);
    (void)sigaddset(&wanted, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL); // NOLINT(concurrency-mt-unsafe): before the first thread
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
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
    super.connections[0] = HF_FD_SUPER_OWNER;
    HF_CLEANUP(fd) int signals = open_signals();
    timer = hf_clock_timer();
    open_messages();
    while (!super.exiting && needed())
        turn(signals);
    hf_super_stop(&super);
    hf_erase_end(&super);
    pass_messages();
    if (super.socket_path[0])
        (void)unlink(super.socket_path);
    hf_job_end_all(&super);
    return 0;
}
