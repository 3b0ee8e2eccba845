/* super/children.c: the three programs that the supervisor starts. */
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
    const char *const argv[] = {path, NULL};
    enum hf_result result = hf_process_start(path, argv, NULL, 3, fds, count, ret);
    if (result != HF_OK)
        return hf_fail(error, result, "%s: cannot be started: %s", path, hf_result_text(result));
    return HF_OK;
}

static void open_channel(struct hf_channel *channel, int socket, const char *program)
{
    *channel = (struct hf_channel){.socket = socket, .program = program};
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
    open_channel(&super->channels[HF_CHANNEL_ENCLAVE], pair[0], "holdfast-enclave");
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
    for (size_t i = 0; i < HF_CHANNEL_COUNT; i++) {
        hf_cleanup_fd(&super->channels[i].socket);
        super->channels[i] = (struct hf_channel){.socket = -1};
    }
    hf_cleanup_fd(&super->keys);
    hf_process_kill(&super->fs);
    hf_process_kill(&super->enclave);
    hf_process_kill(&super->element);
    super->started = false;
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
    open_channel(&super->channels[HF_CHANNEL_FS], pair[0], "holdfast-fs");
    HF_CLEANUP(fd) int fs_end = pair[1];
    const int fds[] = {fs_end, super->keys, super->vault_fd, fuse, super->nodes_fd};
    HF_TRY(start_one("holdfast-fs", fds, 5, &super->fs, error));
    hf_cleanup_fd(&super->keys);
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
