#include "fs/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/class.h"
#include "fs/accept.h"
#include "fs/death.h"
#include "fs/detach.h"
#include "fs/gate.h"
#include "fs/keyring.h"
#include "fs/serve.h"
#include "fs/tree.h"
#include "fs/worker.h"
#include "os/clock.h"
#include "os/file.h"
#include "proto/message.h"
#include "proto/mount.h"

#pragma GCC poison memcmp strcpy sprintf

enum { PATH_CAP = 4096, MESSAGE_MAX = 8192, RETRY_MS = 1000, NUDGE_MS = 20 };
/* Together under the supervisor's 30 s (a suspend's 4 s are its own matter): a slow disk under load is no reason to end the vault. */
enum { DRAIN_MS = 20000, DROP_MS = 8000 };

enum state { NEW = 1, SERVING = 2, CLOSED = 4, FAILED = 8 /* START did not succeed: for good */ };

struct exchange {
    struct hf_reader in;
    struct hf_writer out; /* the reply's body */
    struct hf_error error;
};

struct control {
    enum state state;
    void *nodes;
    int detach_pipe;
    uint64_t settle_after_ms; /* a settle that failed is tried again then */
    int job_done;             /* eventfd */
    bool job_runs, job_silent; /* silent: nobody asked for it, so nobody is answered */
    pthread_t job_thread;
    enum hf_result (*job)(struct control *c, struct exchange *x);
    enum hf_result job_result;
    unsigned job_class;
    struct exchange job_exchange;
    uint8_t in[MESSAGE_MAX], body[64], job_body[64];
};

static enum hf_result failed(struct exchange *x, int status, const char *what)
{
    return hf_fail(&x->error, hf_result_from_errno(-status), "%s: %s", what, strerror(-status));
}

static enum hf_result on_start(struct control *c, struct exchange *x)
{
    char mountpoint[PATH_CAP];
    uint32_t flags = hf_read_u32(&x->in);
    hf_read_string(&x->in, mountpoint, sizeof mountpoint);
    if (hf_reader_end(&x->in) != HF_OK || (flags & ~(HF_FS_ALLOW_OTHER | HF_FS_READ_ONLY | HF_FS_WAIT | HF_FS_DATABASES | HF_FS_NO_FRESHNESS)) ||
        ((flags & HF_FS_WAIT) && (flags & HF_FS_DATABASES)))
        return HF_PROTOCOL;
    c->state = FAILED;
    const struct hf_serve_how how = {.may_wait = (flags & HF_FS_WAIT) != 0, .writeback = (flags & HF_FS_DATABASES) != 0, .lists = (flags & HF_FS_ALLOW_OTHER) != 0};
    HF_TRY(hf_serve_open(HF_FD_FS_FUSE, &how));
    HF_TRY(hf_detach_mountpoint(c->detach_pipe, mountpoint));
    enum hf_result result = hf_keyring_start(HF_FD_FS_ENCLAVE);
    if (result != HF_OK)
        return hf_fail(&x->error, result, "the enclave gives no class keys: %s", hf_result_text(result));
    HF_TRY(hf_tree_start(HF_FD_FS_ROOT, c->nodes, hf_serve_kernel(), (flags & HF_FS_NO_FRESHNESS) != 0, &x->error));
    HF_TRY(hf_serve_start());
    c->state = SERVING;
    return HF_OK;
}

static enum hf_result on_lock(struct control *c, struct exchange *x)
{
    uint32_t mask = hf_read_u32(&x->in);
    uint8_t phase = hf_read_u8(&x->in);
    uint8_t how = hf_read_u8(&x->in);
    uint32_t inactivity_s = hf_read_u32(&x->in);
    (void)c;
    if (hf_reader_end(&x->in) != HF_OK || phase < 1 || phase > 2 || how & ~(HF_LOCK_DEEP | HF_LOCK_SUSPEND | HF_LOCK_ALL))
        return HF_PROTOCOL;
    hf_gate_close(ENOKEY); /* what waits holds pages that are to be invalidated */
    /* Invalidation waits, unkillably, for a request that hangs; then only death ends it. */
    hf_death_in(DRAIN_MS);
    if (phase == 2)
        hf_tree_lock_refuse(mask);
    hf_death_in(phase == 1 || how & HF_LOCK_DEEP ? DRAIN_MS : DROP_MS); /* a deep lock settles once more */
    int status = phase == 1 ? hf_tree_lock_drain(mask) : hf_tree_lock_drop(mask);
    bool wiped = phase == 1 || hf_worker_forget_all();
    hf_death_in(0);
    if (status < 0)
        return failed(x, status, phase == 1 ? "changes could not be written before the lock" : "keys could not be dropped");
    if (wiped && phase == 2)
        hf_gate_locked((how & HF_LOCK_DEEP) != 0, (how & HF_LOCK_SUSPEND) != 0, inactivity_s);
    return wiped ? HF_OK : hf_fail(&x->error, HF_BUSY, "a request holds decrypted data and does not end");
}

static enum hf_result on_wake(struct control *c, struct exchange *x)
{
    (void)c;
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_gate_wake();
    return HF_OK;
}

static enum hf_result on_unlock(struct control *c, struct exchange *x)
{
    (void)c;
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    int status = hf_tree_unlock();
    return status < 0 ? failed(x, status, "the classes' keys could not be taken up") : HF_OK;
}

static enum hf_result on_settle(struct control *c, struct exchange *x)
{
    (void)c;
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_tree_write_back();
    int status = hf_tree_settle();
    return status < 0 ? failed(x, status, "changes could not be made durable") : HF_OK;
}

static enum hf_result on_status(struct control *c, struct exchange *x)
{
    struct hf_tree_counts counts;
    (void)c;
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_tree_counts(&counts);
    hf_write_u32(&x->out, counts.open);
    hf_write_u32(&x->out, counts.open_unless_open);
    hf_write_u32(&x->out, counts.oldest_s);
    hf_write_u64(&x->out, counts.nodes);
    hf_write_u64(&x->out, counts.dirty);
    hf_write_u8(&x->out, counts.freshness);
    return HF_OK;
}

static enum hf_result on_close(struct control *c, struct exchange *x)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_gate_close(EIO);
    hf_tree_write_back();
    int status = hf_tree_close();
    if (status < 0)
        return failed(x, status, "the last changes could not be made durable");
    c->state = CLOSED;
    return HF_OK;
}

/* The supervisor may be gone: death.c sees to that. */
static void send_note(const struct hf_writer *message)
{
    if (hf_message_send(HF_FD_FS_CONTROL, message) != HF_OK)
        hf_tree_stop();
}

static void send_finding_as(uint8_t severity, const char *path, const char *what)
{
    uint8_t buffer[MESSAGE_MAX];
    char cut[PATH_CAP];
    struct hf_writer message;
    (void)snprintf(cut, sizeof cut, "%s", path);
    hf_message_begin(&message, buffer, sizeof buffer, HF_FS_FINDING);
    hf_write_u8(&message, severity);
    hf_write_string(&message, cut);
    (void)snprintf(cut, sizeof cut, "%s", what);
    hf_write_string(&message, cut);
    send_note(&message);
}

static void send_finding(void *arg, const char *path, const char *what)
{
    (void)arg;
    send_finding_as(1, path, what);
}

static void send_progress(void *arg, uint64_t done, const char *what)
{
    uint8_t buffer[MESSAGE_MAX];
    char cut[PATH_CAP];
    struct hf_writer message;
    (void)arg;
    (void)snprintf(cut, sizeof cut, "%s", what ? what : "");
    hf_message_begin(&message, buffer, sizeof buffer, HF_MSG_PROGRESS);
    hf_write_u64(&message, done);
    hf_write_u64(&message, 0); /* how many there are is not known before */
    hf_write_string(&message, cut);
    send_note(&message);
}

static enum hf_result stopped_or_failed(struct exchange *x, int status, const char *what)
{
    if (status == -EINTR)
        return hf_fail(&x->error, HF_BUSY, "%s: stopped by another request; start it again", what);
    return failed(x, status, what);
}

static enum hf_result run_check(struct control *c, struct exchange *x)
{
    uint64_t objects = 0, findings = 0;
    (void)c;
    int status = hf_tree_check(send_finding, NULL, &objects, &findings);
    if (status < 0)
        return stopped_or_failed(x, status, "check");
    hf_write_u64(&x->out, objects);
    hf_write_u64(&x->out, findings);
    return HF_OK;
}

static enum hf_result run_rotate(struct control *c, struct exchange *x)
{
    uint64_t files = 0;
    int status = hf_tree_rotate(c->job_class, send_progress, NULL, &files);
    if (status < 0)
        return stopped_or_failed(x, status, "rotate");
    hf_write_u64(&x->out, files);
    return HF_OK;
}

static enum hf_result on_check(struct control *c, struct exchange *x)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    c->job = run_check;
    return HF_OK;
}

static void send_acceptance(void *arg, uint64_t time, const char *path, uint64_t changed)
{
    char what[80];
    (void)arg;
    (void)snprintf(what, sizeof what, "%llu %llu", (unsigned long long)time, (unsigned long long)changed);
    send_finding_as(0, path[0] ? path : "/", what);
}

/* The paths lie in the request's buffer, which no other request takes while the job runs. */
static enum hf_result run_accept(struct control *c, struct exchange *x)
{
    char path[PATH_CAP];
    uint64_t changed = 0, findings = 0, all_changed = 0;
    uint8_t what = hf_read_u8(&x->in);
    uint16_t count = hf_read_u16(&x->in);
    (void)c;
    if (what == HF_ACCEPT_LIST) {
        int status = hf_tree_accepted(send_acceptance, NULL);
        if (status == -EIO)
            return hf_fail(&x->error, HF_DAMAGED, "the record of what was accepted (.holdfast/accepted) is altered, cut or missing");
        if (status < 0)
            return failed(x, status, "the record of what was accepted (.holdfast/accepted) cannot be read");
    }
    for (unsigned i = 0; i < (what == HF_ACCEPT_ALL ? 1u : count); i++) {
        uint64_t unsound = 0;
        path[0] = '\0';
        if (what == HF_ACCEPT_PATHS)
            hf_read_string(&x->in, path, sizeof path);
        int status = x->in.failed ? -EINVAL : hf_tree_accept(path, &changed, &unsound);
        if (status == -EROFS)
            return hf_fail(&x->error, HF_DAMAGED, "the freshness index is not sound: only everything can be accepted (--all)");
        if (what == HF_ACCEPT_ALL && status < 0)
            return failed(x, status, "not accepted: a class is locked, or the index (.holdfast/index) cannot be written");
        if (status == -EIO)
            send_finding(NULL, path, "not accepted: what is above it is not as the vault last saw it; accept that first");
        else if (status < 0)
            send_finding(NULL, path, strerror(-status));
        if (unsound > 0)
            send_finding(NULL, path, "some of it is damaged and stays refused; check names it");
        findings += status < 0 || unsound > 0;
        all_changed += status < 0 ? 0 : changed;
    }
    hf_write_u64(&x->out, all_changed);
    hf_write_u64(&x->out, findings);
    return HF_OK;
}

static enum hf_result on_accept(struct control *c, struct exchange *x)
{
    struct hf_reader look = x->in;
    char path[PATH_CAP];
    uint8_t what = hf_read_u8(&look);
    uint16_t count = hf_read_u16(&look);
    for (uint16_t i = 0; i < count && !look.failed; i++)
        hf_read_string(&look, path, sizeof path);
    if (hf_reader_end(&look) != HF_OK || what > HF_ACCEPT_LIST || (what == HF_ACCEPT_PATHS) != (count > 0))
        return HF_PROTOCOL;
    c->job = run_accept;
    return HF_OK;
}

static enum hf_result on_rotate(struct control *c, struct exchange *x)
{
    uint8_t class = hf_read_u8(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || class > HF_CLASS_LAST)
        return HF_PROTOCOL;
    c->job_class = class;
    c->job = run_rotate;
    return HF_OK;
}

/* Which request is answered in which states; a hole refuses [CH-1]. */
static const struct rule {
    enum hf_mount_request request;
    unsigned states;
    enum hf_result (*handle)(struct control *c, struct exchange *x);
} rules[] = {
    {HF_FS_START, NEW, on_start},
    {HF_FS_LOCK, SERVING, on_lock},
    {HF_FS_UNLOCK, SERVING, on_unlock},
    {HF_FS_WAKE, SERVING, on_wake},
    {HF_FS_SETTLE, SERVING, on_settle},
    {HF_FS_STATUS, SERVING | CLOSED, on_status},
    {HF_FS_CHECK, SERVING, on_check},   /* begins a job, */
    {HF_FS_ROTATE, SERVING, on_rotate}, /* which replies when it ends */
    {HF_FS_ACCEPT, SERVING, on_accept},
    {HF_FS_CLOSE, SERVING, on_close},
};

static enum hf_result handle(struct control *c, struct exchange *x)
{
    uint16_t request = hf_read_u16(&x->in);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].request == request)
            return rules[i].states & c->state ? rules[i].handle(c, x) : HF_PROTOCOL;
    }
    return HF_PROTOCOL;
}

static void reply(enum hf_result result, const struct exchange *x)
{
    uint8_t buffer[512];
    struct hf_writer message;
    if (result == HF_OK && hf_writer_end(&x->out) != HF_OK)
        result = HF_FAILED;
    hf_reply_begin(&message, buffer, sizeof buffer, result, result == HF_OK ? "" : x->error.text);
    if (result == HF_OK)
        hf_write_bytes(&message, x->out.data, x->out.len);
    (void)!hf_message_send(HF_FD_FS_CONTROL, &message); /* its end is death.c's matter */
}

static void *run_job(void *arg)
{
    struct control *c = arg;
    c->job_result = c->job(c, &c->job_exchange);
    hf_worker_end();
    (void)eventfd_write(c->job_done, 1);
    return NULL;
}

static void begin_job(struct control *c, const struct exchange *x)
{
    memset(&c->job_exchange, 0, sizeof c->job_exchange);
    c->job_exchange.in = x->in;
    hf_writer_init(&c->job_exchange.out, c->job_body, sizeof c->job_body);
    pthread_attr_t attributes;
    c->job_runs = pthread_attr_init(&attributes) == 0;
    if (c->job_runs) {
        (void)pthread_attr_setstacksize(&attributes, HF_WORKER_STACK);
        c->job_runs = pthread_create(&c->job_thread, &attributes, run_job, c) == 0;
        (void)pthread_attr_destroy(&attributes);
    }
    if (!c->job_runs && !c->job_silent)
        reply(HF_NO_MEMORY, &c->job_exchange);
}

static void end_job(struct control *c)
{
    eventfd_t count;
    (void)eventfd_read(c->job_done, &count);
    (void)pthread_join(c->job_thread, NULL);
    c->job_runs = false;
    if (!c->job_silent)
        reply(c->job_result, &c->job_exchange);
    c->job_silent = false;
}

static enum hf_result run_take_in(struct control *c, struct exchange *x)
{
    (void)c;
    (void)x;
    return hf_tree_take_in() < 0 ? HF_FAILED : HF_OK;
}

/* [UO-8] After an unlock, and again after whatever stopped it. */
static void take_in_when_due(struct control *c)
{
    const struct exchange nothing = {.error = {.result = HF_OK}};
    if (c->state != SERVING || c->job_runs || !hf_tree_arrivals_due())
        return;
    c->job = run_take_in;
    c->job_silent = true;
    begin_job(c, &nothing);
    c->job_silent = c->job_runs;
}

/* The one request without a reply. */
static bool is_stop(const uint8_t *message, size_t len)
{
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN(message, len));
    return hf_read_u16(&reader) == HF_FS_STOP && hf_reader_end(&reader) == HF_OK;
}

static void serve_one(struct control *c)
{
    struct exchange x = {.error = {.result = HF_OK}};
    size_t len = 0;
    enum hf_result result = hf_ipc_recv(HF_FD_FS_CONTROL, c->in, sizeof c->in, &len, NULL, 0, NULL, -1);
    if (result != HF_OK && result != HF_PROTOCOL) {
        hf_worker_between(); /* the end of the channel: death.c is at it, and waits for this thread to forget as well */
        (void)pause();
        return;
    }
    if (result == HF_OK && is_stop(c->in, len)) {
        hf_worker_between();
        return; /* the job that it was for has ended: whatever comes stops it */
    }
    c->job = NULL;
    hf_reader_init(&x.in, HF_SPAN(c->in, len));
    hf_writer_init(&x.out, c->body, sizeof c->body);
    if (result == HF_OK)
        result = handle(c, &x);
    if (result == HF_OK && c->job)
        begin_job(c, &x);
    else
        reply(result, &x);
    hf_worker_between();
}

/* Milliseconds until the loop must turn even if nothing comes; settles when that is due. */
static int settle_or_wait(struct control *c)
{
    if (c->state != SERVING)
        return -1;
    uint64_t now = hf_clock_ms();
    int due = hf_tree_settle_due_ms();
    if (due < 0)
        return -1;
    if (c->settle_after_ms > now && c->settle_after_ms > now + (uint64_t)due)
        return (int)(c->settle_after_ms - now);
    if (due > 0)
        return due;
    int status = hf_tree_settle();
    if (status < 0)
        (void)fprintf(stderr, "holdfast-fs: changes could not be made durable, trying again: %s\n", strerror(-status));
    /* One that says it is due again at once must not keep the processor. */
    c->settle_after_ms = hf_clock_ms() + RETRY_MS;
    return 0;
}

static int finish(struct control *c)
{
    if (c->job_runs) {
        hf_tree_stop();
        end_job(c);
    }
    /* Unmounted from outside: nothing can come any more, so the vault closes. */
    int status = c->state == SERVING ? hf_tree_close() : 0;
    if (status < 0)
        (void)fprintf(stderr, "holdfast-fs: the last changes could not be made durable: %s\n", strerror(-status));
    hf_serve_finish();
    hf_worker_end();
    return status < 0 ? 1 : 0;
}

int hf_control_serve(void *nodes, int detach_pipe)
{
    static struct control control;
    struct control *c = &control;
    c->state = NEW;
    c->nodes = nodes;
    c->detach_pipe = detach_pipe;
    c->job_done = eventfd(0, EFD_CLOEXEC);
    if (c->job_done < 0 || hf_death_watch() != HF_OK)
        return 1;
    for (;;) {
        take_in_when_due(c);
        int wait_ms = settle_or_wait(c);
        struct pollfd watch[] = {{HF_FD_FS_CONTROL, POLLIN, 0}, {hf_serve_ended(), POLLIN, 0}, {c->job_done, POLLIN, 0}, {hf_serve_wakes(), POLLIN, 0}};
        if (poll(watch, 4, wait_ms) < 0) {
            hf_worker_between();
            continue;
        }
        if (watch[2].revents)
            end_job(c);
        if (watch[1].revents)
            return finish(c);
        if (watch[3].revents) {
            eventfd_t count;
            (void)eventfd_read(hf_serve_wakes(), &count);
            hf_tree_lock_again();
        }
        if (!watch[0].revents)
            continue;
        if (!c->job_runs) {
            serve_one(c);
        } else {
            hf_tree_stop(); /* again and again: it may not have begun yet */
            (void)usleep(NUDGE_MS * 1000);
        }
    }
}
