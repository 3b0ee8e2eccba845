/* holdfast-fs: serves the vault's files to the kernel. Descriptors: control, enclave, the vault's root, /dev/fuse, the node map (proto/message.h).
 *
 * Content keys lie in the secret arena; stacks and the buffers of requests do not (the kernel cannot read /dev/fuse into memfd_secret memory):
 * plaintext is in ordinary memory while it is read or written, and is wiped at lock (fs/worker.h). */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "crypto/wrap.h"
#include "fs/control.h"
#include "fs/detach.h"
#include "fs/sandbox.h"
#include "fs/worker.h"
#include "os/sandbox.h"
#include "os/secret.h"
#include "proto/message.h"
#include "proto/mount.h"

enum { HEAP_LEN = 4 * 1024 * 1024 }; /* half of the usual limit on locked memory; 128 bytes for each file in use */

static void wake(int signal)
{
    (void)signal; /* a thread that waits for a request looks up (fs/worker.h) */
}

static enum hf_result set_signals(void)
{
    struct sigaction on_wake = {.sa_handler = wake};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGUSR1, &on_wake, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
        return HF_FAILED;
    return HF_OK;
}

/* A descriptor is kept for each file that the kernel knows. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum hf_result map_nodes(void **ret_nodes, struct hf_error *error)
{
    struct stat st;
    void *nodes = MAP_FAILED;
    if (fstat(HF_FD_FS_NODES, &st) == 0 && st.st_size >= (off_t)HF_NODE_MAP_LEN)
        nodes = mmap(NULL, HF_NODE_MAP_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, HF_FD_FS_NODES, 0);
    if (nodes == MAP_FAILED)
        return hf_fail(error, HF_FAILED, "the node map cannot be used");
    *ret_nodes = nodes;
    return HF_OK;
}

int main(void)
{
    static const char *const keep[] = {NULL};
    struct hf_error error = {.result = HF_OK};
    void *nodes = NULL;
    int detach_pipe = -1;
    enum hf_result result = hf_detach_start(&detach_pipe);
    const int fds[] = {HF_FD_FS_CONTROL, HF_FD_FS_ENCLAVE, HF_FD_FS_ROOT, HF_FD_FS_FUSE, HF_FD_FS_NODES, detach_pipe};
    if (result == HF_OK)
        result = hf_sandbox_harden(keep, fds, sizeof fds / sizeof fds[0], &error);
    (void)umask(0); /* modes are what the kernel says */
    /* One arena that grows in large steps: else each new file costs a system call for memory. */
    (void)mallopt(M_ARENA_MAX, 1); // NOLINT(concurrency-mt-unsafe): before the first thread
    (void)mallopt(M_TOP_PAD, 4 << 20); // NOLINT(concurrency-mt-unsafe)
    raise_file_limit();
    if (result == HF_OK)
        result = set_signals();
    if (result == HF_OK)
        result = hf_secret_open(0, HEAP_LEN, &error);
    if (result == HF_OK)
        result = hf_crypto_start();
    if (result == HF_OK)
        result = hf_worker_start();
    if (result == HF_OK)
        result = map_nodes(&nodes, &error);
    if (result == HF_OK) {
        (void)hf_worker(); /* libcrypto reads its files while it can */
        result = hf_fs_confine();
    }
    if (result != HF_OK) {
        (void)fprintf(stderr, "holdfast-fs: %s\n", error.text[0] ? error.text : hf_result_text(result));
        return hf_result_exit_code(result);
    }
    return hf_control_serve(nodes, detach_pipe);
}
