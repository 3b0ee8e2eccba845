/* The filesystem's end of the supervisor's conversation (fs/control.c), the tree behind it replaced by one that does as the input says.
 *
 * Input: steps, each u8 kind, then ASK, SEND (without waiting for the reply): u16 length | message; FATE: u8 what the tree's next calls give | u8 how long a job lasts.
 * Whatever comes: each message but STOP has one well-formed reply, in order, with nothing between but PROGRESS and FINDING; nothing reaches the tree before START has
 * succeeded or after CLOSE has [CH-1]; a lock's phases and masks come as they were sent; a failure of the tree's is no success. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fs/accept.h"
#include "fs/control.h"
#include "fs/death.h"
#include "fs/detach.h"
#include "fs/gate.h"
#include "fs/keyring.h"
#include "fs/serve.h"
#include "fs/tree.h"
#include "fs/worker.h"
#include "fuzz.h"
#include "os/ipc.h"
#include "proto/message.h"
#include "proto/mount.h"

enum { STEPS = 24, ANSWER_MS = 20000, JOB_MS = 3 };
enum step { ASK, SEND, FATE, STEP_KINDS };
static int supervisor = -1, ended = -1, wakes = -1, nodes;
static atomic_int fate, job_ms;
static atomic_bool stopped, serving;
static atomic_uint calls, last_mask, last_phase;
static unsigned good, asked, outstanding;

unsigned fuzz_cost(void)
{
    return 4;
}

/* The program keeps it to its end. */
static int event = -1;

int eventfd(unsigned count, int flags)
{
    event = (int)syscall(SYS_eventfd2, count, flags);
    return event;
}

/* --- in the tree's place --- */

static int act(void)
{
    FUZZ_PROMISE(serving);
    calls++;
    return -fate;
}

/* A job: it goes on for a while, unless it is stopped. */
static int work(void (*tell)(void))
{
    stopped = false;
    for (int ms = 0; ms < job_ms && !stopped; ms++) {
        if (tell)
            tell();
        (void)usleep(1000);
    }
    int failed = act();
    return stopped ? -EINTR : failed;
}

enum hf_result hf_serve_open(int fd, const struct hf_serve_how *how)
{
    FUZZ_PROMISE(fd == HF_FD_FS_FUSE && !(how->may_wait && how->writeback));
    return fate ? HF_IO : HF_OK;
}

enum hf_result hf_serve_start(void)
{
    return HF_OK;
}

const struct hf_tree_kernel *hf_serve_kernel(void)
{
    return NULL;
}

int hf_serve_ended(void)
{
    return ended;
}

int hf_serve_wakes(void)
{
    return wakes;
}

void hf_serve_finish(void)
{
}

enum hf_result hf_detach_mountpoint(int pipe, const char *path)
{
    (void)pipe;
    FUZZ_PROMISE(strlen(path) < 4096);
    return HF_OK;
}

enum hf_result hf_death_watch(void)
{
    return HF_OK;
}

void hf_death_in(unsigned ms)
{
    (void)ms;
}

void hf_gate_close(int error)
{
    FUZZ_PROMISE(error == ENOKEY || error == EIO);
}

void hf_gate_locked(bool deep, bool suspend, uint32_t inactivity_s)
{
    (void)deep, (void)suspend, (void)inactivity_s;
    FUZZ_PROMISE(last_phase == 2);
}

void hf_gate_wake(void)
{
}

enum hf_result hf_keyring_start(int socket)
{
    FUZZ_PROMISE(socket == HF_FD_FS_ENCLAVE);
    return HF_OK;
}

enum hf_result hf_tree_start(int root_fd, void *map, const struct hf_tree_kernel *kernel, bool no_freshness, struct hf_error *error)
{
    (void)kernel, (void)no_freshness;
    FUZZ_PROMISE(root_fd == HF_FD_FS_ROOT && map == &nodes && !serving);
    if (fate)
        return hf_fail(error, HF_DAMAGED, "the vault's root record is missing");
    serving = true;
    return HF_OK;
}

void hf_worker_between(void)
{
}

bool hf_worker_forget_all(void)
{
    return job_ms != 2;
}

void hf_worker_end(void)
{
}

static int phase(unsigned number, uint32_t mask)
{
    last_mask = mask;
    last_phase = number;
    return act();
}

int hf_tree_lock_drain(uint32_t mask)
{
    return phase(1, mask);
}

void hf_tree_lock_refuse(uint32_t mask)
{
    last_mask = mask;
}

int hf_tree_lock_drop(uint32_t mask)
{
    return phase(2, mask);
}

void hf_tree_lock_again(void)
{
}

int hf_tree_unlock(void)
{
    return act();
}

void hf_tree_write_back(void)
{
    FUZZ_PROMISE(serving);
}

int hf_tree_settle(void)
{
    return act();
}

int hf_tree_settle_due_ms(void)
{
    return -1;
}

int hf_tree_close(void)
{
    int failed = act();
    serving = failed != 0;
    return failed;
}

void hf_tree_counts(struct hf_tree_counts *ret)
{
    *ret = (struct hf_tree_counts){.open = 3, .nodes = 77, .dirty = 5};
}

void hf_tree_stop(void)
{
    stopped = true;
}

static void (*finding_to)(void *arg, const char *path, const char *what);
static void (*progress_to)(void *arg, uint64_t done, const char *what);

static void tell_finding(void)
{
    static char path[5000]; /* longer than a message takes */
    memset(path, 'p', sizeof path - 1);
    finding_to(NULL, job_ms & 1 ? path : "/a", "its content is not authentic");
}

static void tell_progress(void)
{
    progress_to(NULL, 5, job_ms & 1 ? NULL : "/a");
}

int hf_tree_check(void (*finding)(void *arg, const char *path, const char *what), void *arg, uint64_t *ret_objects, uint64_t *ret_findings)
{
    (void)arg;
    finding_to = finding;
    *ret_objects = 9;
    *ret_findings = 1;
    return work(tell_finding);
}

int hf_tree_rotate(unsigned class, void (*progress)(void *arg, uint64_t done, const char *what), void *arg, uint64_t *ret_files)
{
    (void)arg;
    FUZZ_PROMISE(class <= HF_CLASS_LAST);
    progress_to = progress;
    *ret_files = 2;
    return work(tell_progress);
}

bool hf_tree_arrivals_due(void)
{
    return false;
}

int hf_tree_take_in(void)
{
    return act();
}

int hf_tree_accept(const char *path, uint64_t *ret_changed, uint64_t *ret_unsound)
{
    FUZZ_PROMISE(strlen(path) < 4096);
    *ret_changed = 1;
    *ret_unsound = job_ms & 1;
    return work(NULL);
}

int hf_tree_accepted(void (*entry)(void *arg, uint64_t time, const char *path, uint64_t changed), void *arg)
{
    entry(arg, 1, "", 5);
    return act();
}

/* --- the supervisor --- */

void fuzz_start(void)
{
    for (int fd = HF_FD_FS_CONTROL; fd <= HF_FD_FS_NODES; fd++) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        FUZZ_PROMISE(null >= 0 && (null == fd || dup2(null, fd) == fd));
        if (null != fd)
            (void)close(null);
    }
    ended = eventfd(0, EFD_CLOEXEC);
    wakes = eventfd(0, EFD_CLOEXEC);
    stderr = fopen("/dev/null", "w");
    FUZZ_PROMISE(ended >= 0 && wakes >= 0 && stderr);
}

static void *serve(void *unused)
{
    FUZZ_PROMISE(hf_control_serve(&nodes, -1) <= 1);
    return unused;
}

static void await(void)
{
    static uint8_t bytes[HF_IPC_MAX];
    while (outstanding > 0) {
        struct hf_error verdict = {.result = HF_OK};
        struct hf_reader body;
        size_t len = 0;
        FUZZ_PROMISE(hf_ipc_recv(supervisor, bytes, sizeof bytes, &len, NULL, 0, NULL, ANSWER_MS) == HF_OK && len >= 2);
        unsigned type = bytes[0] | (unsigned)bytes[1] << 8;
        if (type == HF_MSG_PROGRESS || type == HF_FS_FINDING)
            continue;
        FUZZ_PROMISE(hf_reply_parse(HF_SPAN(bytes, len), &verdict, &body) == HF_OK && !strchr(verdict.text, '\n'));
        good += verdict.result == HF_OK;
        outstanding--;
    }
}

static void tell(struct fuzz_bytes *in, bool wait)
{
    struct fuzz_bytes message = fuzz_take(in, fuzz_u8(in) | (size_t)fuzz_u8(in) << 8);
    struct hf_reader reader;
    if (message.len == 0)
        return;
    if (wait)
        await();
    bool was_serving = serving;
    unsigned before = calls, good_before = good;
    FUZZ_PROMISE(hf_ipc_send(supervisor, HF_SPAN(message.data, message.len), NULL, 0) == HF_OK);
    hf_reader_init(&reader, HF_SPAN(message.data, message.len));
    unsigned type = hf_read_u16(&reader);
    if (type == HF_FS_STOP && hf_reader_end(&reader) == HF_OK)
        return; /* no reply of its own */
    asked++;
    outstanding++;
    if (!wait)
        return;
    await();
    bool succeeded = good > good_before;
    FUZZ_PROMISE(was_serving || calls == before);
    if (type == HF_FS_LOCK && succeeded)
        FUZZ_PROMISE(last_mask == hf_read_u32(&reader) && last_phase == hf_read_u8(&reader));
    if (type != HF_FS_STATUS && type != HF_FS_WAKE && type != HF_FS_ACCEPT && fate) /* of what is accepted each path has its own verdict */
        FUZZ_PROMISE(!succeeded);
    if (type == HF_FS_CLOSE)
        FUZZ_PROMISE(succeeded == (was_serving && !serving));
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    static const int fates[] = {0, EIO, ENOKEY, EROFS, EMLINK, ENOSPC, EBUSY, EINTR};
    struct fuzz_bytes in = {data, len};
    pthread_t thread;
    int ends[2];
    fate = 0;
    job_ms = 0;
    stopped = serving = false;
    calls = last_phase = 0;
    good = asked = outstanding = 0;
    FUZZ_PROMISE(hf_ipc_pair(ends) == HF_OK && dup2(ends[0], HF_FD_FS_CONTROL) >= 0 && close(ends[0]) == 0);
    supervisor = ends[1];
    FUZZ_PROMISE(pthread_create(&thread, NULL, serve, NULL) == 0);
    for (unsigned step = 0; in.len > 0 && step < STEPS; step++) {
        switch ((enum step)(fuzz_u8(&in) % STEP_KINDS)) {
        case ASK: tell(&in, true); break;
        case SEND: tell(&in, false); break;
        case FATE:
            await();
            fate = fates[fuzz_u8(&in) % 8];
            job_ms = fuzz_u8(&in) % (JOB_MS + 1);
            break;
        case STEP_KINDS:
        default: break;
        }
    }
    await();
    eventfd_t count;
    FUZZ_PROMISE(eventfd_write(ended, 1) == 0 && pthread_join(thread, NULL) == 0 && eventfd_read(ended, &count) == 0);
    uint8_t more;
    FUZZ_PROMISE(close(event) == 0);
    FUZZ_PROMISE(recv(supervisor, &more, 1, MSG_DONTWAIT) < 0 && close(supervisor) == 0);
    return asked > 0 && good == asked;
}

static uint8_t *at;

static struct hf_writer *begin(uint16_t type)
{
    static uint8_t bytes[1024];
    static struct hf_writer w;
    hf_message_begin(&w, bytes, sizeof bytes, type);
    return &w;
}

static void put(enum step step, const struct hf_writer *w)
{
    FUZZ_PROMISE(hf_writer_end(w) == HF_OK);
    *at++ = (uint8_t)step;
    *at++ = (uint8_t)w->len;
    *at++ = (uint8_t)(w->len >> 8);
    memcpy(at, w->data, w->len);
    at += w->len;
}

static void put_simple(uint16_t type)
{
    put(ASK, begin(type));
}

static void put_lock(uint8_t number, uint8_t how)
{
    struct hf_writer *w = begin(HF_FS_LOCK);
    hf_write_u32(w, HF_CLASS_BIT(HF_CLASS_COMPLETE));
    hf_write_u8(w, number);
    hf_write_u8(w, how);
    hf_write_u32(w, 3600);
    put(ASK, w);
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    if (number > 2)
        return 0;
    at = out;
    struct hf_writer *w = begin(HF_FS_START);
    hf_write_u32(w, number == 1 ? HF_FS_WAIT : number == 2 ? HF_FS_DATABASES : 0);
    hf_write_string(w, "/home/someone/private");
    put(ASK, w);
    if (number == 0) {
        put_lock(1, 0);
        put_lock(2, HF_LOCK_DEEP);
        put_simple(HF_FS_UNLOCK);
        put_simple(HF_FS_WAKE);
        put_simple(HF_FS_SETTLE);
    } else if (number == 1) {
        memcpy(at, (uint8_t[]){FATE, 0, 1}, 3);
        at += 3;
        put_simple(HF_FS_CHECK);
        w = begin(HF_FS_ROTATE);
        hf_write_u8(w, HF_CLASS_COMPLETE);
        put(ASK, w);
    } else {
        w = begin(HF_FS_ACCEPT);
        hf_write_u8(w, HF_ACCEPT_PATHS);
        hf_write_u16(w, 2);
        hf_write_string(w, "a/b");
        hf_write_string(w, "c");
        put(ASK, w);
        w = begin(HF_FS_ACCEPT);
        hf_write_u8(w, HF_ACCEPT_LIST);
        hf_write_u16(w, 0);
        put(ASK, w);
    }
    put_simple(HF_FS_STATUS);
    put_simple(HF_FS_CLOSE);
    put_simple(HF_FS_STATUS);
    return (size_t)(at - out);
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    (void)data;
    return len;
}
