/* super/children.c: the three programs that the supervisor starts, and calls to them. */
#include "super/super.h"

#include <fcntl.h>
#include <linux/if_alg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base64url.h"
#include "os/disk.h"
#include "os/file.h"

static enum hf_result start_one(const char *program, const int *fds, size_t count, struct hf_process *ret, struct hf_error *error)
{
    char path[4096];
    if (hf_process_find(program, path, sizeof path) != HF_OK)
        return hf_fail(error, HF_NOT_FOUND, "%s: the program is not installed beside this one", program);
    const char *const argv[] = {program, NULL};
    enum hf_result result = hf_process_start(path, argv, NULL, 3, fds, count, ret);
    if (result != HF_OK)
        return hf_fail(error, result, "%s: cannot be started: %s", path, hf_result_text(result));
    return HF_OK;
}

enum hf_result hf_super_spawn(struct hf_super *super, struct hf_error *error)
{
    HF_CLEANUP(fd) int element_end = -1;
    HF_CLEANUP(fd) int enclave_element = -1;
    HF_CLEANUP(fd) int enclave_control = -1;
    HF_CLEANUP(fd) int enclave_keys = -1;
    int pair[2];
    HF_TRY(hf_ipc_pair(pair));
    element_end = pair[0];
    enclave_element = pair[1];
    HF_TRY(hf_ipc_pair(pair));
    super->control = pair[0];
    enclave_control = pair[1];
    HF_TRY(hf_ipc_pair(pair));
    super->keys = pair[0];
    enclave_keys = pair[1];
    HF_TRY(start_one("holdfast-element", &element_end, 1, &super->element, error));
    const int fds[] = {enclave_control, enclave_element, enclave_keys, super->dir_fd};
    return start_one("holdfast-enclave", fds, 4, &super->enclave, error);
}

void hf_super_stop(struct hf_super *super)
{
    hf_cleanup_fd(&super->fs_control);
    hf_cleanup_fd(&super->control);
    hf_cleanup_fd(&super->keys);
    super->fs_control = super->control = super->keys = -1;
    hf_process_kill(&super->fs);
    hf_process_kill(&super->enclave);
    hf_process_kill(&super->element);
    super->started = false;
}

enum hf_result hf_super_call(struct hf_super *super, int socket, const struct hf_writer *request, int secret, int timeout_ms, struct hf_error *error,
                             struct hf_reader *ret_body)
{
    struct hf_error verdict = {.result = HF_OK};
    enum hf_result sent = hf_call(socket, request, &secret, secret >= 0 ? 1 : 0, super->in, sizeof super->in, timeout_ms, &verdict, ret_body);
    if (sent != HF_OK) {
        hf_reader_init(ret_body, HF_SPAN(super->in, 0));
        const char *who = socket == super->control ? "holdfast-enclave" : "holdfast-fs";
        return hf_fail(error, HF_FAILED, "%s does not answer: %s", who, hf_result_text(sent));
    }
    if (verdict.result != HF_OK)
        *error = verdict;
    return verdict.result;
}

static void take_status(struct hf_super *super, struct hf_reader *body, struct hf_enclave_status *ret)
{
    static struct hf_enclave_status status;
    memset(ret, 0, sizeof *ret);
    if (hf_reader_left(body) == 0)
        return;
    memset(&status, 0, sizeof status);
    hf_enclave_status_read(body, &status);
    if (hf_reader_end(body) != HF_OK)
        return;
    *ret = status;
    memcpy(super->vault_id, status.vault_id, sizeof super->vault_id);
    super->policy = status.policy;
}

enum hf_result hf_super_start(struct hf_super *super, struct hf_enclave_status *ret, struct hf_error *error)
{
    memset(ret, 0, sizeof *ret);
    if (super->started)
        return hf_super_status(super, ret, error);
    enum hf_result result = hf_super_spawn(super, error);
    if (result != HF_OK) {
        if (error->result == HF_OK)
            (void)hf_fail(error, result, "the programs cannot be started: %s", hf_result_text(result));
        hf_super_stop(super);
        return result;
    }
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_START);
    result = hf_super_call(super, super->control, &request, -1, 120000, error, &body);
    take_status(super, &body, ret);
    super->started = result == HF_OK;
    super->gone = result == HF_GONE && ret->element.state != HF_ELEMENT_FINISHED;
    return result;
}

enum hf_result hf_super_status(struct hf_super *super, struct hf_enclave_status *ret, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_STATUS);
    enum hf_result result = hf_super_call(super, super->control, &request, -1, 60000, error, &body);
    take_status(super, &body, ret);
    return result;
}

enum hf_result hf_super_spawn_fs(struct hf_super *super, int fuse, struct hf_error *error)
{
    super->nodes_fd = memfd_create("holdfast-nodes", MFD_CLOEXEC);
    if (super->nodes_fd < 0 || hf_disk->ftruncate(super->nodes_fd, HF_NODE_MAP_LEN) < 0)
        return hf_fail(error, HF_NO_MEMORY, "no memory for the node map");
    void *map = mmap(NULL, HF_NODE_MAP_LEN, PROT_READ, MAP_SHARED, super->nodes_fd, 0);
    if (map == MAP_FAILED)
        return hf_fail(error, HF_NO_MEMORY, "no memory for the node map");
    super->nodes = map;
    int pair[2];
    HF_TRY(hf_ipc_pair(pair));
    super->fs_control = pair[0];
    HF_CLEANUP(fd) int fs_end = pair[1];
    const int fds[] = {fs_end, super->keys, super->vault_fd, fuse, super->nodes_fd};
    HF_TRY(start_one("holdfast-fs", fds, 5, &super->fs, error));
    hf_cleanup_fd(&super->keys);
    super->keys = -1;
    return HF_OK;
}

/* The kernel's own SHA-256 (AF_ALG), so that no crypto library is linked here; empty where the kernel or the file's mode does not let us. */
void hf_super_measure(struct hf_super *super)
{
    char path[4096];
    uint8_t buffer[16384], digest[32];
    struct sockaddr_alg address = {.salg_family = AF_ALG, .salg_type = "hash", .salg_name = "sha256"};
    super->enclave_sha256[0] = '\0';
    if (hf_process_find("holdfast-enclave", path, sizeof path) != HF_OK)
        return;
    HF_CLEANUP(fd) int file = hf_disk->openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    HF_CLEANUP(fd) int alg = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (file < 0 || alg < 0 || bind(alg, (const struct sockaddr *)&address, sizeof address) < 0)
        return;
    HF_CLEANUP(fd) int hash = accept4(alg, NULL, NULL, SOCK_CLOEXEC);
    if (hash < 0)
        return;
    for (off_t at = 0;;) {
        ssize_t got = hf_disk->pread(file, buffer, sizeof buffer, at);
        if (got < 0)
            return;
        if (got == 0)
            break;
        if (send(hash, buffer, (size_t)got, MSG_MORE) != got)
            return;
        at += got;
    }
    if (send(hash, NULL, 0, 0) == 0 && recv(hash, digest, sizeof digest, 0) == (ssize_t)sizeof digest)
        hf_hex_encode(digest, sizeof digest, super->enclave_sha256);
}
