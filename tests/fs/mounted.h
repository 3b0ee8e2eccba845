/* tests/fs/mounted.h: fs_on_fake_tree as a process, mounted at a directory of its own, with the test in the supervisor's and the enclave's place.
 * Whatever happens to the test, the mount goes: mounted_end, atexit and the thread that waits for the clock do it, and the program's own helper after a SIGKILL. */
#ifndef HF_TESTS_FS_MOUNTED_H
#define HF_TESTS_FS_MOUNTED_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "check.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/process.h"
#include "proto/message.h"
#include "proto/mount.h"

#define FUSE_MAGIC 0x65735546

static struct {
    char dir[64];
    int control, enclave, fuse, nodes;
    pthread_t answering;
    struct hf_process process;
    bool mounted;
} m = {.control = -1, .enclave = -1, .fuse = -1, .nodes = -1, .process = {.pidfd = -1}};

/* Held while a mount is made or taken away; by the clock's thread for good. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static uint8_t message_buffer[HF_IPC_MAX];

/* An enclave that has no key. */
static inline void *answer_locked(void *arg)
{
    static uint8_t buffer[HF_IPC_MAX];
    size_t len;
    int socket = *(int *)arg;
    while (hf_ipc_recv(socket, buffer, sizeof buffer, &len, NULL, 0, NULL, -1) == HF_OK) {
        if (hf_reply_send(socket, HF_LOCKED, "no key") != HF_OK)
            break;
    }
    return NULL;
}

static inline void clean(void)
{
    if (m.mounted && umount2(m.dir, MNT_FORCE) < 0) /* aborts the connection, in use or not: nobody hangs on it after */
        (void)umount2(m.dir, MNT_DETACH);
    m.mounted = false;
    if (m.process.pid > 0)
        hf_process_kill(&m.process);
    m.process.pid = 0;
    if (m.dir[0])
        (void)rmdir(m.dir);
    m.dir[0] = '\0';
}

static inline void mounted_clean(void)
{
    pthread_mutex_lock(&making);
    clean();
    pthread_mutex_unlock(&making);
}

/* A thread, since the main one may hang in a call on the mount where no signal reaches it. */
static inline void *wait_for_clock(void *arg)
{
    int got = 0;
    (void)sigwait(arg, &got);
    (void)fprintf(stderr, "the test was ended by signal %d\n", got);
    pthread_mutex_lock(&making);
    clean();
    _exit(got);
}

/* False: this machine does not let us mount. */
static inline bool mounted_possible(void)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    bool possible = fd >= 0 && geteuid() == 0;
    if (fd >= 0)
        (void)close(fd);
    return possible;
}

static inline enum hf_result ask(const struct hf_writer *request, struct hf_reader *ret_body)
{
    struct hf_error verdict = {.result = HF_OK};
    enum hf_result sent = hf_call(m.control, request, NULL, 0, message_buffer, sizeof message_buffer, 10000, &verdict, ret_body);
    return sent == HF_OK ? verdict.result : sent;
}

static inline enum hf_result ask_plain(uint16_t type)
{
    uint8_t buffer[16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, buffer, sizeof buffer, type);
    return ask(&request, &body);
}

static inline enum hf_result ask_start(void)
{
    uint8_t buffer[256];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, buffer, sizeof buffer, HF_FS_START);
    hf_write_u32(&request, 0);
    hf_write_string(&request, m.dir);
    return ask(&request, &body);
}

static inline enum hf_result ask_lock(uint8_t phase)
{
    uint8_t buffer[16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, buffer, sizeof buffer, HF_FS_LOCK);
    hf_write_u32(&request, 2);
    hf_write_u8(&request, phase);
    hf_write_u8(&request, 0);
    hf_write_u32(&request, 0);
    return ask(&request, &body);
}

struct counts {
    uint32_t open, settles;
    uint64_t nodes, lookups;
};

static inline struct counts ask_counts(void)
{
    uint8_t buffer[16];
    struct hf_writer request;
    struct hf_reader body;
    struct counts counts = {0};
    hf_message_begin(&request, buffer, sizeof buffer, HF_FS_STATUS);
    if (CHECK_INT(ask(&request, &body), HF_OK)) {
        counts.open = hf_read_u32(&body);
        counts.settles = hf_read_u32(&body);
        CHECK_INT(hf_read_u32(&body), 0);
        counts.nodes = hf_read_u64(&body);
        counts.lookups = hf_read_u64(&body);
        CHECK_INT(hf_read_u8(&body), 0);
        CHECK_INT(hf_reader_end(&body), HF_OK);
    }
    return counts;
}

/* Mounts and starts the program; START is the caller's. */
static inline void mounted_spawn(void)
{
    char program[4096], options[128];
    static const char *const argv[] = {"fs_on_fake_tree", NULL};
    static const char *const env[] = {"PATH=/usr/bin:/bin", "ASAN_OPTIONS=detect_leaks=0", NULL};
    static int enclave_end;
    int control[2], enclave[2];
    pthread_mutex_lock(&making);
    ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
    program[len < 0 ? 0 : len] = '\0';
    char *slash = strrchr(program, '/');
    HF_ASSERT(slash && slash - program < 4000);
    (void)snprintf(slash, 64, "/fs_on_fake_tree");
    (void)snprintf(m.dir, sizeof m.dir, "/tmp/hf-test-fs-XXXXXX");
    HF_ASSERT(mkdtemp(m.dir) != NULL);
    m.fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other", m.fuse);
    HF_ASSERT(m.fuse >= 0 && mount("holdfast", m.dir, "fuse.holdfast", MS_NOSUID | MS_NODEV, options) == 0);
    m.mounted = true;
    m.nodes = memfd_create("nodes", MFD_CLOEXEC);
    HF_ASSERT(m.nodes >= 0 && ftruncate(m.nodes, HF_NODE_MAP_LEN) == 0);
    HF_ASSERT(hf_ipc_pair(control) == HF_OK && hf_ipc_pair(enclave) == HF_OK);
    int root = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int fds[] = {control[1], enclave[1], root, m.fuse, m.nodes};
    HF_ASSERT(hf_process_start(program, argv, env, 3, fds, 5, &m.process) == HF_OK);
    (void)close(root);
    (void)close(control[1]);
    (void)close(enclave[1]);
    m.control = control[0];
    enclave_end = m.enclave = enclave[0];
    HF_ASSERT(pthread_create(&m.answering, NULL, answer_locked, &enclave_end) == 0);
    pthread_mutex_unlock(&making);
}

static inline bool mounted_start(void)
{
    mounted_spawn();
    bool started = CHECK_INT(ask_start(), HF_OK);
    (void)close(m.fuse); /* the program's is the last */
    m.fuse = -1;
    return started;
}

/* Closes the enclave's end. */
static inline void enclave_gone(void)
{
    if (m.enclave < 0)
        return;
    (void)shutdown(m.enclave, SHUT_RDWR);
    (void)pthread_join(m.answering, NULL);
    (void)close(m.enclave);
    m.enclave = -1;
}

/* Waits for the program's end; its wait status, or -1. */
static inline int mounted_wait(int timeout_ms)
{
    struct pollfd ended = {.fd = m.process.pidfd, .events = POLLIN};
    int status = -1;
    if (poll(&ended, 1, timeout_ms) != 1 || waitpid(m.process.pid, &status, 0) != m.process.pid)
        return -1;
    (void)close(m.process.pidfd);
    m.process = (struct hf_process){.pidfd = -1};
    return status;
}

/* Closes what is left, kills what runs, and takes the mount away. */
static inline void mounted_end(void)
{
    enclave_gone();
    if (m.control >= 0)
        (void)close(m.control);
    if (m.fuse >= 0)
        (void)close(m.fuse);
    if (m.nodes >= 0)
        (void)close(m.nodes);
    m.control = m.fuse = m.nodes = -1;
    mounted_clean();
}

/* m.dir/name; valid until the fourth call after. */
static inline const char *at(const char *name)
{
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", m.dir, name);
    return path;
}

static inline bool is_free(void)
{
    struct statfs info;
    return statfs(m.dir, &info) == 0 && (uint64_t)info.f_type != FUSE_MAGIC;
}

/* 0, or the negative errno. */
#define STATUS(call) ((call) < 0 ? -errno : 0)

static sigjmp_buf bus_jump;
static inline void on_bus(int signal)
{
    siglongjmp(bus_jump, signal);
}

/* True when reading the byte raises SIGBUS. */
static inline bool faults(const volatile uint8_t *byte)
{
    struct sigaction action = {.sa_handler = on_bus}, before;
    bool raised = true;
    (void)sigaction(SIGBUS, &action, &before);
    if (sigsetjmp(bus_jump, 1) == 0) {
        (void)*byte;
        raised = false;
    }
    (void)sigaction(SIGBUS, &before, NULL);
    return raised;
}

#define MOUNTED_MAIN()                                                                                                                                    \
    int main(void)                                                                                                                                        \
    {                                                                                                                                                     \
        if (!mounted_possible()) {                                                                                                                        \
            (void)puts("0 passed, 0 failed, 1 skipped");                                                                                                  \
            return 0;                                                                                                                                     \
        }                                                                                                                                                 \
        (void)atexit(mounted_clean);                                                                                                                      \
        static sigset_t ends;                                                                                                                             \
        pthread_t clock_thread;                                                                                                                           \
        (void)sigemptyset(&ends);                                                                                                                         \
        (void)sigaddset(&ends, SIGALRM);                                                                                                                  \
        (void)sigaddset(&ends, SIGTERM);                                                                                                                  \
        (void)sigaddset(&ends, SIGINT);                                                                                                                   \
        (void)pthread_sigmask(SIG_BLOCK, &ends, NULL);                                                                                                    \
        HF_ASSERT(pthread_create(&clock_thread, NULL, wait_for_clock, &ends) == 0);                                                                       \
        (void)signal(SIGPIPE, SIG_IGN);                                                                                                                   \
        (void)alarm(120);                                                                                                                                 \
        return check_run_all();                                                                                                                           \
    }

#endif
