#include "fs/serve.h"

#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/gate.h"
#include "fs/serve_ops.h"
#include "fs/worker.h"
#include "os/order.h"
#include "proto/mount.h"

#pragma GCC poison strcpy sprintf

enum { THREADS = 8, PATIENCE_US = 30000, INC_EPOCH = 8 /* FUSE_NOTIFY_INC_EPOCH, Linux 6.16; libfuse does not know it */ };

static _Atomic(struct fuse_session *) session; /* the watch for death may come before it is there */
static int ended_fd = -1, wake_fd = -1;
static pthread_t threads[THREADS];
static atomic_uint_fast64_t in_hand[THREADS]; /* the request that each thread has, by the kernel's number; 0: none */
static atomic_uint thread_count;
static atomic_uint running;
static bool has_lists;

static void inval_node(uint64_t id)
{
    (void)fuse_lowlevel_notify_inval_inode(session, id, 0, 0);
}

static void inval_entry(uint64_t parent, const char *name)
{
    (void)fuse_lowlevel_notify_inval_entry(session, parent, name, strlen(name));
}

static bool raise_epoch(void)
{
    struct fuse_out_header message = {.len = sizeof message, .error = INC_EPOCH, .unique = 0};
    return write(fuse_session_fd(session), &message, sizeof message) == (ssize_t)sizeof message;
}

static void inval_all_entries(void)
{
    (void)raise_epoch();
}

static void store(uint64_t id, const void *data, size_t len)
{
    struct fuse_bufvec buffer = FUSE_BUFVEC_INIT(len);
    buffer.buf[0].mem = (void *)data;
    (void)fuse_lowlevel_notify_store(session, id, 0, &buffer, 0);
}

static struct hf_tree_kernel kernel = {.inval_node = inval_node, .inval_entry = inval_entry, .inval_all_entries = inval_all_entries, .keys_are_back = hf_gate_unlocked, .store = store, .settle_now = hf_serve_wake, .lock_again = hf_serve_wake};

const struct hf_tree_kernel *hf_serve_kernel(void)
{
    return &kernel;
}

void hf_serve_attr_moved(uint64_t id)
{
    (void)fuse_lowlevel_notify_inval_inode(session, id, -1, 0);
}

bool hf_serve_has_lists(void)
{
    return has_lists;
}

/* --- INIT ---
 * FUSE_HANDLE_KILLPRIV_V2 saves a request for security.capability before each write, FUSE_SETXATTR_EXT tells whether who sets a list may keep the set-group-id
 * bit. libfuse 3.14 does not know them, so the reply is given the bits on its way to the kernel. */
static atomic_uint_fast64_t init_unique; /* of the INIT that offers them; 0: none, or answered */
static atomic_uint init_bits;
static atomic_bool longer_setxattr;

static ssize_t read_request(int fd, void *buffer, size_t len, void *data)
{
    (void)data;
    ssize_t got = read(fd, buffer, len);
    const struct fuse_in_header *in = buffer;
    const struct fuse_init_in *init = (const void *)(in + 1);
    if (got >= (ssize_t)(sizeof *in + sizeof *init) && in->opcode == FUSE_INIT) {
        atomic_store_explicit(&init_bits, init->flags & (FUSE_HANDLE_KILLPRIV_V2 | (has_lists ? FUSE_SETXATTR_EXT : 0u)), memory_order_relaxed);
        atomic_store_explicit(&init_unique, in->unique, memory_order_relaxed);
    }
    if (got >= (ssize_t)sizeof *in && (in->opcode == FUSE_FORGET || in->opcode == FUSE_BATCH_FORGET))
        HF_ORDER_AFTER(&init_unique); /* the kernel forgets a node after every answer about it */
    return got;
}

static ssize_t write_reply(int fd, struct iovec *iov, int count, void *data)
{
    (void)data;
    const struct fuse_out_header *out = iov[0].iov_base;
    HF_ORDER_BEFORE(&init_unique);
    uint64_t wanted = atomic_load_explicit(&init_unique, memory_order_relaxed);
    if (wanted != 0 && out->unique == wanted && count > 1 && iov[1].iov_len >= offsetof(struct fuse_init_out, max_background)) {
        struct fuse_init_out *init = iov[1].iov_base;
        unsigned bits = atomic_load_explicit(&init_bits, memory_order_relaxed);
        init->flags |= bits;
        longer_setxattr = (bits & FUSE_SETXATTR_EXT) != 0; /* before any request that has it */
        init->max_readahead = HF_READ_AHEAD; /* libfuse gives back no more than the kernel had before the supervisor asked for this */
        atomic_store_explicit(&init_unique, 0, memory_order_relaxed);
    }
    return writev(fd, iov, count);
}

enum hf_result hf_serve_open(int fuse, const struct hf_serve_how *how)
{
    static const struct fuse_custom_io io = {.read = read_request, .writev = write_reply};
    char name[] = "holdfast-fs";
    char *argv[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, argv);
    kernel.writeback = how->writeback;
    has_lists = how->lists;
    ended_fd = eventfd(0, EFD_CLOEXEC);
    wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    session = fuse_session_new(&args, &hf_serve_ops, sizeof hf_serve_ops, NULL);
    if (ended_fd < 0 || wake_fd < 0 || !session || fuse_session_custom_io(session, &io, fuse) != 0)
        return HF_FAILED;
    hf_gate_start(session, how->may_wait);
    kernel.has_inval_all = raise_epoch(); /* an older kernel answers EINVAL; a newer one forgets entries that nobody has yet */
    return HF_OK;
}

/* The kernel's longer form of SETXATTR becomes the one that libfuse 3.14 knows; what it says besides goes into the flags. */
static void shorten_setxattr(struct fuse_buf *buffer)
{
    struct fuse_in_header *in = buffer->mem;
    struct fuse_setxattr_in *body = (void *)(in + 1);
    if (buffer->size < sizeof *in + sizeof *body)
        return;
    if (body->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID)
        body->flags |= HF_XATTR_KILL_SGID;
    uint8_t *shorter = (uint8_t *)body + FUSE_COMPAT_SETXATTR_IN_SIZE;
    memmove(shorter, body + 1, buffer->size - sizeof *in - sizeof *body);
    buffer->size -= sizeof *body - FUSE_COMPAT_SETXATTR_IN_SIZE;
    in->len = (uint32_t)buffer->size;
}

/* One thread: receive, answer, and between two requests wipe when asked to. libfuse gives the buffer its memory at the first request and keeps it. */
static void *serve(void *arg)
{
    atomic_uint_fast64_t *mine = arg;
    struct fuse_buf buffer = {.mem = NULL};
    struct hf_worker *worker = hf_worker();
    while (!fuse_session_exited(session)) {
        int got = fuse_session_receive_buf(session, &buffer);
        if (got > 0) {
            worker->request = buffer.mem;
            worker->request_len = buffer.size > worker->request_len ? buffer.size : worker->request_len;
            struct fuse_in_header *in = buffer.mem;
            atomic_store(mine, in->unique);
            if (in->opcode == FUSE_TMPFILE)
                in->opcode = FUSE_CREATE; /* libfuse 3.14 does not know it: the same request and answer, under the name HF_TMPFILE_NAME */
            if (in->opcode == FUSE_SETXATTR && longer_setxattr)
                shorten_setxattr(&buffer);
            hf_gate_process(&buffer);
            atomic_store(mine, 0);
        } else if (got < 0 && got != -EINTR) {
            (void)usleep(10000); /* the kernel is short of memory, or the supervisor made the descriptor non-blocking to take over */
        }
        hf_worker_between();
    }
    hf_worker_end();
    free(buffer.mem);
    if (atomic_fetch_sub(&running, 1) == 1)
        (void)eventfd_write(ended_fd, 1);
    return NULL;
}

enum hf_result hf_serve_start(void)
{
    pthread_attr_t attributes;
    atomic_store(&running, THREADS);
    if (pthread_attr_init(&attributes) != 0)
        return HF_NO_MEMORY;
    (void)pthread_attr_setstacksize(&attributes, HF_WORKER_STACK);
    while (thread_count < THREADS && pthread_create(&threads[thread_count], &attributes, serve, &in_hand[thread_count]) == 0)
        thread_count++;
    (void)pthread_attr_destroy(&attributes);
    /* Fewer threads serve as well; none does not. */
    unsigned missing = THREADS - thread_count;
    if (atomic_fetch_sub(&running, missing) == missing)
        (void)eventfd_write(ended_fd, 1);
    return thread_count > 0 ? HF_OK : HF_NO_MEMORY;
}

/* Twice in one hand: it hangs, or the disk is slow; either way nobody waits for it longer. Answering what has been answered is refused, harmlessly. */
static void *answer_what_hangs(void *arg)
{
    uint_fast64_t seen[THREADS] = {0};
    (void)arg;
    for (;;) {
        for (size_t i = 0; i < THREADS; i++) {
            uint_fast64_t unique = atomic_load(&in_hand[i]);
            struct fuse_out_header out = {.len = sizeof out, .error = -EIO, .unique = unique};
            if (unique != 0 && unique == seen[i])
                (void)!write(fuse_session_fd(session), &out, sizeof out);
            seen[i] = unique;
        }
        (void)usleep(PATIENCE_US);
    }
    return NULL;
}

/* In the place of threads that hang: takes new requests and has no other answer. */
static void *refuse_all(void *arg)
{
    struct fuse_buf buffer = {.mem = NULL};
    (void)arg;
    while (!fuse_session_exited(session)) {
        if (fuse_session_receive_buf(session, &buffer) <= 0)
            continue;
        const struct fuse_in_header *in = buffer.mem;
        struct fuse_out_header out = {.len = sizeof out, .error = -EIO, .unique = in->unique};
        if (in->opcode != FUSE_FORGET && in->opcode != FUSE_BATCH_FORGET && in->opcode != FUSE_INTERRUPT)
            (void)!write(fuse_session_fd(session), &out, sizeof out);
    }
    return NULL;
}

void hf_serve_give_up(void)
{
    pthread_t thread;
    if (!session || thread_count == 0)
        return;
    hf_gate_close(EIO);
    (void)pthread_create(&thread, NULL, answer_what_hangs, NULL);
    (void)pthread_create(&thread, NULL, refuse_all, NULL);
}

void hf_serve_wake(void)
{
    (void)eventfd_write(wake_fd, 1);
}

int hf_serve_wakes(void)
{
    return wake_fd;
}

int hf_serve_ended(void)
{
    return ended_fd;
}

void hf_serve_finish(void)
{
    while (thread_count > 0)
        (void)pthread_join(threads[--thread_count], NULL);
}
