#include "fs/gate.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/worker.h"
#include "keys/wipe.h"
#include "os/clock.h"

/* The kernel counts what waits against max_background (serve_ops.c), so others must have room beside. */
enum { WAITING_MAX = 512, WAITING_BYTES_MAX = 64 << 20 };

struct waiting {
    struct waiting *next;
    uint64_t unique;
    size_t len;
    uint8_t bytes[];
};

static struct fuse_session *session;
static bool may_wait;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static bool open_to_wait, after_wake;
static struct waiting *first, **last = &first;
static size_t count, bytes;
static atomic_uint_fast64_t expires_at_ms; /* 0: never */
static _Thread_local const struct fuse_buf *current;

void hf_gate_start(struct fuse_session *the_session, bool may)
{
    session = the_session;
    may_wait = may;
}

bool hf_gate_may_wait(void)
{
    return may_wait;
}

static void answer(uint64_t unique, int error)
{
    struct fuse_out_header out = {.len = sizeof out, .error = -error, .unique = unique};
    (void)!write(fuse_session_fd(session), &out, sizeof out); /* ENOENT: nobody waits for it any more */
}

static void discard(struct waiting *one)
{
    hf_wipe(one->bytes, one->len);
    free(one);
}

/* lock held; at: the link that points to it. */
static struct waiting *unlink_one(struct waiting **at)
{
    struct waiting *one = *at;
    *at = one->next;
    if (last == &one->next)
        last = at;
    count--;
    bytes -= one->len;
    return one;
}

static struct waiting *take_first(void)
{
    pthread_mutex_lock(&lock);
    struct waiting *one = first ? unlink_one(&first) : NULL;
    pthread_mutex_unlock(&lock);
    return one;
}

/* True when it waited. */
static bool take_back(uint64_t unique)
{
    struct waiting *found = NULL;
    pthread_mutex_lock(&lock);
    for (struct waiting **at = &first; *at && !found; at = found ? at : &(*at)->next) {
        if ((*at)->unique == unique)
            found = unlink_one(at);
    }
    pthread_mutex_unlock(&lock);
    if (found)
        discard(found);
    return found != NULL;
}

const void *hf_gate_request(void)
{
    return current->mem;
}

bool hf_gate_wait(fuse_req_t req)
{
    if (!may_wait || !current)
        return false;
    const struct fuse_in_header *in = current->mem;
    pthread_mutex_lock(&lock);
    struct waiting *one = open_to_wait && count < WAITING_MAX && bytes + in->len <= WAITING_BYTES_MAX ? malloc(sizeof *one + in->len) : NULL;
    if (one) {
        *one = (struct waiting){.unique = in->unique, .len = in->len};
        memcpy(one->bytes, current->mem, in->len);
        *last = one;
        last = &one->next;
        count++;
        bytes += one->len;
    }
    pthread_mutex_unlock(&lock);
    if (!one)
        return false;
    /* An interrupt that came before it could be found here was left on the request. (One may still come: process looks here after libfuse.) */
    if (fuse_req_interrupted(req) && take_back(in->unique))
        return false;
    fuse_reply_none(req); /* frees it and answers nothing */
    return true;
}

/* Behind the inactivity limit only what brings changes home, so that the deep lock, which is due, can write them. */
static bool is_late(const struct fuse_in_header *in)
{
    uint64_t limit = atomic_load_explicit(&expires_at_ms, memory_order_relaxed);
    if (limit == 0 || hf_clock_ms() < limit)
        return false;
    switch (in->opcode) {
    case FUSE_WRITE:
    case FUSE_FSYNC:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_INTERRUPT:
    case FUSE_INIT:
    case FUSE_DESTROY: return false;
    default: return true;
    }
}

void hf_gate_process(const struct fuse_buf *buffer)
{
    const struct fuse_in_header *in = buffer->mem;
    if (is_late(in)) {
        answer(in->unique, ENOKEY);
        return;
    }
    if (in->opcode == FUSE_INTERRUPT && may_wait && in->len >= sizeof *in + sizeof(struct fuse_interrupt_in)) {
        struct fuse_interrupt_in interrupt;
        memcpy(&interrupt, (const uint8_t *)buffer->mem + sizeof *in, sizeof interrupt);
        if (!take_back(interrupt.unique)) {
            fuse_session_process_buf(session, buffer);
            if (!take_back(interrupt.unique)) /* put away meanwhile? */
                return;
        }
        answer(interrupt.unique, EINTR);
        return;
    }
    current = buffer;
    fuse_session_process_buf(session, buffer);
    current = NULL;
}

void hf_gate_close(int error)
{
    pthread_mutex_lock(&lock);
    open_to_wait = after_wake = false;
    pthread_mutex_unlock(&lock);
    for (struct waiting *one; (one = take_first()) != NULL; discard(one))
        answer(one->unique, error);
}

void hf_gate_locked(bool deep, bool suspend, uint32_t inactivity_s)
{
    pthread_mutex_lock(&lock);
    after_wake = !deep;
    open_to_wait = !deep && !suspend;
    pthread_mutex_unlock(&lock);
    if (deep || inactivity_s == 0)
        atomic_store(&expires_at_ms, 0);
    else if (atomic_load(&expires_at_ms) == 0)
        atomic_store(&expires_at_ms, hf_clock_ms() + inactivity_s * UINT64_C(1000));
}

void hf_gate_wake(void)
{
    pthread_mutex_lock(&lock);
    open_to_wait = after_wake;
    pthread_mutex_unlock(&lock);
}

static void *run_again(void *arg)
{
    (void)arg;
    for (struct waiting *one; (one = take_first()) != NULL; discard(one)) {
        struct fuse_buf buffer = {.size = one->len, .mem = one->bytes};
        hf_gate_process(&buffer);
        hf_worker_between();
    }
    hf_worker_end();
    return NULL;
}

void hf_gate_unlocked(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    atomic_store(&expires_at_ms, 0);
    pthread_mutex_lock(&lock);
    open_to_wait = after_wake = false;
    bool any = first != NULL;
    pthread_mutex_unlock(&lock);
    if (!any)
        return;
    bool runs = pthread_attr_init(&attributes) == 0;
    if (runs) {
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setstacksize(&attributes, HF_WORKER_STACK);
        runs = pthread_create(&thread, &attributes, run_again, NULL) == 0;
        (void)pthread_attr_destroy(&attributes);
    }
    if (!runs)
        hf_gate_close(EIO);
}
