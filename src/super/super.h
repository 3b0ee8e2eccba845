/* super/super.h: the supervisor of one vault: it starts and stops the other programs, mounts, and holds no key. Source: spec/60-processes.md.
 *
 * States: nothing -> attached (directories open, lock held) -> started (element and enclave run, START was judged) -> open (mounted, filesystem runs).
 * The death of any of the three programs while open leads through the undertaker to the end of the process. */
#ifndef HF_SUPER_SUPER_H
#define HF_SUPER_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "os/process.h"
#include "proto/message.h"
#include "proto/mount.h"
#include "proto/owner.h"
#include "proto/socket_path.h"

#define HF_SUPER_CONNECTIONS 16
#define HF_SUPER_CONFIRM_MS 10000

struct hf_super {
    char vault[4096];
    char mountpoint[4096];
    uint8_t vault_id[16];
    int vault_fd, dir_fd, lock_fd;
    struct hf_process element, enclave, fs;
    int control;   /* to the enclave */
    int keys;      /* the filesystem's end of its channel to the enclave, until it has started */
    int fs_control;
    int fuse;      /* the duplicate that outlives the filesystem */
    int nodes_fd;
    const uint64_t *nodes;
    bool started, mounted;
    int said, terminal; /* the pipe that standard error is, and where what it brings goes: terminal.c */
    bool gone;     /* START said that the vault is erased */
    bool exiting;
    int listener;
    char socket_path[HF_SOCKET_PATH_MAX];
    int connections[HF_SUPER_CONNECTIONS];
    bool waiting[HF_SUPER_CONNECTIONS];
    uint8_t state; /* enum hf_vault_state */
    uint64_t lock_at_ms;  /* 0: no grace runs */
    uint64_t locked_at_ms;
    struct hf_policy policy;
    char enclave_sha256[65];
    uint8_t out[HF_IPC_MAX], in[HF_IPC_MAX];
};

/* A verb as it came: its body, the descriptor it carried (-1: none), the connection, and where the reply's body goes. */
struct hf_verb {
    struct hf_reader *body;
    int secret;
    int connection;
    struct hf_writer *reply;
};

/* vault.c */
enum hf_result hf_super_attach(struct hf_super *super, const char *path, struct hf_error *error);
enum hf_result hf_super_make(struct hf_super *super, const char *path, bool *ret_made_dir, struct hf_error *error);
void hf_super_unmake(struct hf_super *super, bool made_dir);
void hf_super_detach_vault(struct hf_super *super);

/* children.c */
enum hf_result hf_super_spawn(struct hf_super *super, struct hf_error *error);
/* Spawns, then START; *ret is what the enclave told, zeros when nothing. */
enum hf_result hf_super_start(struct hf_super *super, struct hf_enclave_status *ret, struct hf_error *error);
enum hf_result hf_super_spawn_fs(struct hf_super *super, int fuse, struct hf_error *error);
void hf_super_stop(struct hf_super *super);
/* A call to the enclave or filesystem; returns the verdict. A failed transport becomes a verdict too. */
enum hf_result hf_super_call(struct hf_super *super, int socket, const struct hf_writer *request, int secret, int timeout_ms, struct hf_error *error,
                             struct hf_reader *ret_body);
enum hf_result hf_super_status(struct hf_super *super, struct hf_enclave_status *ret, struct hf_error *error);
void hf_super_measure(struct hf_super *super);

/* mount.c */
enum hf_result hf_super_mount(struct hf_super *super, uint32_t flags, int *ret_fuse, struct hf_error *error);
enum hf_result hf_super_unmount(struct hf_super *super, bool lazy, struct hf_error *error);

/* HF_BUSY when files or directories of the mount are in use. */
enum hf_result hf_super_in_use(struct hf_super *super, struct hf_error *error);

/* terminal.c */
enum hf_result hf_super_terminal_take(struct hf_super *super);
void hf_super_terminal_pass(struct hf_super *super);
void hf_super_terminal_leave(struct hf_super *super);

/* lock.c */
enum hf_result hf_super_lock(struct hf_super *super, bool deep, struct hf_error *error);
enum hf_result hf_super_unlock(struct hf_super *super, int secret, struct hf_error *error);
void hf_super_tick(struct hf_super *super);
int hf_super_timeout(const struct hf_super *super);

/* undertaker.c: makes the mount unreadable, ends it and the programs; the supervisor is to exit after. */
void hf_super_bury(struct hf_super *super);

/* verbs.c */
enum hf_result hf_super_verb(struct hf_super *super, uint16_t type, struct hf_verb *verb, struct hf_error *error);
enum hf_result hf_super_close(struct hf_super *super, bool force, struct hf_error *error);
enum hf_result hf_super_listen(struct hf_super *super, struct hf_error *error);

#endif
