/* super/super.h: the supervisor of one vault: it starts and stops the other programs, mounts, and holds no key. Source: spec/60-processes.md.
 *
 * One thread, one poll. Each verb is a job that goes from step to step: it asks the enclave or the filesystem and goes on in `then` when the reply is
 * there, so that nothing waits behind a slow answer but what needs that program. Each channel is in lock step: one request, one reply, the rest queues.
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

enum {
    HF_SUPER_CONNECTIONS = 16,
    HF_SUPER_CONFIRM_MS = 30000, /* from a lock's begin to its confirmation; then everything is stopped */
    HF_SUPER_SUSPEND_MS = 4000,  /* the same before a suspend, for which logind gives 5 s */
    HF_SUPER_START_MS = 120000,
    HF_SUPER_LONG_MS = 600000,
    HF_SUPER_REQUEST_MAX = 8192
};

enum hf_channel_name { HF_CHANNEL_ENCLAVE, HF_CHANNEL_FS, HF_CHANNEL_COUNT };

struct hf_super;
struct hf_job;
struct pollfd;
struct sd_bus;

/* A reply, or in its place a failure of the channel. body reads super->in: it is gone when the step returns. */
struct hf_answer {
    struct hf_error verdict;
    struct hf_reader body;
};
typedef void (*hf_step)(struct hf_super *super, struct hf_job *job, struct hf_answer *answer);

/* One verb under way, or the supervisor's own lock or close. */
struct hf_job {
    uint16_t verb;   /* enum hf_owner_request; 0: none */
    int connection;  /* where its answer goes; -1: nobody wants it */
    int secret;      /* the descriptor that came with the verb; -1: none. Goes on to the enclave unread [CH-3] */
    bool gives_secret; /* with the next request */
    bool waits;      /* its turn has not come: something runs that it must not run beside */
    uint8_t owner_body[HF_SUPER_REQUEST_MAX]; /* the verb's body as it came */
    size_t owner_len;
    struct hf_reader body;
    hf_step then;    /* where it goes on with the next reply */
    hf_step after_start;
    int timeout_ms;  /* for that reply, from when the request is sent; 0: none */
    bool relay;      /* PROGRESS and FINDING before that reply go to the owner */
    bool stopped;    /* STOP was sent for it */
    struct hf_writer request;
    uint8_t request_bytes[HF_SUPER_REQUEST_MAX];
    /* what single verbs remember between steps */
    uint32_t flags;
    uint8_t class, last_class;
    uint64_t files;
    uint32_t element_kind;
    bool made_dir, force;
};

struct hf_channel {
    int socket;
    const char *program;
    uint64_t deadline_ms; /* of the reply that is awaited; 0: none */
    struct hf_job *queue[HF_SUPER_CONNECTIONS + 3]; /* queue[0] is asked now */
    size_t count;
};

/* bus.c */
struct hf_bus {
    struct sd_bus *bus;
    char logind[64];       /* its unique name; empty: not there */
    int inhibitor;         /* -1: none */
    bool asking;           /* for one */
    unsigned retries;
    uint64_t retry_at_ms;  /* 0: not waiting */
    char note[128];        /* what is missing; empty: nothing */
};

struct hf_super {
    char vault[4096];
    char mountpoint[4096];
    uint8_t vault_id[16];
    int vault_fd, dir_fd, lock_fd;
    struct hf_process element, enclave, fs;
    struct hf_channel channels[HF_CHANNEL_COUNT];
    int keys;      /* the filesystem's end of its channel to the enclave, until it has started */
    int fuse;      /* our own connection to the kernel, which outlives the filesystem's */
    int nodes_fd;
    const uint64_t *nodes;
    bool started, mounted;
    bool erasing, erased;
    bool gone;     /* START said that the vault is erased */
    bool exiting;
    struct hf_error end; /* what jobs that the end cuts short are told */
    bool packaged;           /* the system's enclave serves this vault, not one of ours */
    int packaged_socket;     /* to it, before it becomes the control channel */
    uint32_t packaged_uid, packaged_pids[2]; /* enclave, element */
    char secrets_name[64];   /* where its secrets go */
    int listener;
    char socket_path[HF_SOCKET_PATH_MAX];
    int connections[HF_SUPER_CONNECTIONS];
    struct hf_job jobs[HF_SUPER_CONNECTIONS]; /* one a connection */
    struct hf_job own_lock, own_close, own_wake; /* the grace timer's and every lock's; a signal's; after a suspend */
    struct hf_job *work;  /* the one verb under way that needs the enclave or the filesystem for long */
    bool locking;         /* own_lock runs */
    uint32_t lock_how;    /* HF_LOCK_* of own_lock */
    uint32_t lock_again;  /* what was asked for meanwhile; 0: nothing */
    uint64_t suspend_by_ms;
    bool suspending;      /* from PrepareForSleep to the wake */
    bool grace_deep;      /* the lock at the grace's end is a deep one */
    uint64_t confirm_by_ms;
    bool closing;
    uint8_t state;        /* enum hf_vault_state */
    uint64_t lock_at_ms;  /* 0: no grace runs */
    uint64_t locked_at_ms;
    uint64_t state_since_ms;
    struct hf_bus bus;
    char last_stop[256];  /* how the vault was last closed, when it was not in order */
    struct hf_enclave_status known; /* as the enclave last told */
    uint32_t known_open_unless_open, known_unless_open_s;
    uint8_t known_freshness;
    char enclave_sha256[65];
    uint8_t in[HF_IPC_MAX];
    size_t held_len;      /* a message in `in` that its owner has no room for yet */
};

/* vault.c */
enum hf_result hf_super_attach(struct hf_super *super, const char *path, struct hf_error *error);
enum hf_result hf_super_make(struct hf_super *super, const char *path, bool *ret_made_dir, struct hf_error *error);
void hf_super_unmake(struct hf_super *super, bool made_dir);
void hf_super_detach_vault(struct hf_super *super);

/* children.c */
enum hf_result hf_super_spawn(struct hf_super *super, struct hf_error *error);
enum hf_result hf_super_spawn_fs(struct hf_super *super, int fuse, struct hf_error *error);
void hf_super_stop(struct hf_super *super);
void hf_super_measure(struct hf_super *super);

/* packaged.c */
/* Finds out which mode the vault has; reaches the enclave in packaged mode. */
enum hf_result hf_packaged_choose(struct hf_super *super, bool creating, struct hf_error *error);
enum hf_result hf_packaged_let_in(struct hf_super *super, struct hf_error *error);
enum hf_result hf_packaged_note_id(struct hf_super *super, const uint8_t id[16], uint32_t element_kind);
enum hf_result hf_packaged_attach(struct hf_super *super, int keys_end, struct hf_error *error);
void hf_packaged_hang_up(struct hf_super *super);

/* channel.c */
/* Starts the job's next request in job->request. */
void hf_job_request(struct hf_job *job, uint16_t type);
/* Queues it; the job goes on in `then`. */
void hf_job_ask(struct hf_super *super, struct hf_job *job, enum hf_channel_name name, int timeout_ms, hf_step then);
bool hf_channel_idle(const struct hf_super *super, enum hf_channel_name name);
/* One message is there, or the channel's end. */
void hf_channel_read(struct hf_super *super, enum hf_channel_name name);
void hf_channel_check_deadlines(struct hf_super *super);
uint64_t hf_channel_next_deadline(const struct hf_super *super); /* 0: none */
/* A message of the filesystem that waits for room on its owner's socket: that socket, else -1. */
int hf_relay_waits_for(const struct hf_super *super);
void hf_relay_retry(struct hf_super *super);
/* CHECK and ROTATE end at their next file. */
void hf_super_stop_work(struct hf_super *super);

/* mount.c */
enum hf_result hf_super_mount(struct hf_super *super, uint32_t flags, int *ret_fuse, struct hf_error *error);
/* A second connection (no duplicate of the descriptor): the kernel ends what a dead filesystem had taken from its own one, and pages locked by that come free. */
enum hf_result hf_super_keep_fuse(struct hf_super *super, int fuse, struct hf_error *error);
enum hf_result hf_super_unmount(struct hf_super *super, bool lazy, struct hf_error *error);
/* As root: whether files or directories of the mount are in use. Others ask the filesystem. */
bool hf_super_mount_in_use(const struct hf_super *super);

/* lock.c */
void hf_super_lock(struct hf_super *super, uint32_t how); /* HF_LOCK_* */
/* After a passcode was refused: evicts everything where it was the duress passcode. */
void hf_super_refused(struct hf_super *super, const struct hf_answer *answer);
/* As the verb, with the grace where there is one; false: the grace runs, or there is nothing to lock. */
bool hf_super_lock_begin(struct hf_super *super, bool now, bool deep);
/* The state and since when. */
void hf_super_state(struct hf_super *super, uint8_t state);
/* What may lock beside the verb [LK-1]…[LK-3]. */
void hf_trigger_screen_lock(struct hf_super *super);
void hf_trigger_suspend(struct hf_super *super);
void hf_trigger_resume(struct hf_super *super);
bool hf_super_unlock_runs(const struct hf_super *super);
void hf_super_tick(struct hf_super *super);
uint64_t hf_super_next_deadline(const struct hf_super *super); /* 0: none */

/* bus.c: logind. hf_bus_turn after each poll; it starts anew what was lost. */
void hf_bus_start(struct hf_super *super);
void hf_bus_stop(struct hf_super *super);
void hf_bus_watch(const struct hf_super *super, struct pollfd *ret);
uint64_t hf_bus_next_deadline(const struct hf_super *super); /* 0: none */
void hf_bus_turn(struct hf_super *super);
/* The lock before a suspend is confirmed: gives the inhibitor back. */
void hf_bus_let_sleep(struct hf_super *super);

/* stopnote.c: .holdfast/last-stop, a line for the owner that says how a vault that was not closed in order ended. Not authenticated: for people. */
void hf_stop_note_write(const struct hf_super *super, const char *text);
void hf_stop_note_take(struct hf_super *super);

/* undertaker.c: makes the mount unreadable, ends it and the programs; the supervisor exits after. reason: for the jobs that it cuts short. */
void hf_super_bury(struct hf_super *super, const char *reason);

/* jobs.c: the table of which verb is permitted when, and the jobs' beginning and end */
void hf_job_begin(struct hf_super *super, struct hf_job *job);
void hf_job_run_waiting(struct hf_super *super);
/* Answers and frees it. body: what follows an HF_OK, or NULL. */
void hf_job_end(struct hf_super *super, struct hf_job *job, const struct hf_error *verdict, const struct hf_writer *body);
void hf_job_fail(struct hf_super *super, struct hf_job *job, enum hf_result result, const char *text);
void hf_job_ok(struct hf_super *super, struct hf_job *job);
/* Its owner has hung up. */
void hf_job_abandon(struct hf_super *super, struct hf_job *job);
void hf_job_end_all(struct hf_super *super);

/* erase.c */
/* An erase was begun and not ended: to be finished before anything else is done with the vault. */
bool hf_erase_is_due(const struct hf_super *super);
/* With fresh programs, waiting for them; what runs is stopped. */
enum hf_result hf_erase_finish(struct hf_super *super, struct hf_error *error);
/* At the process's end: finishes what was begun and tells who asked. */
void hf_erase_end(struct hf_super *super);

/* verbs.c: how each begins */
void hf_verb_unlock(struct hf_super *super, struct hf_job *job);
void hf_verb_lock(struct hf_super *super, struct hf_job *job);
void hf_verb_close(struct hf_super *super, struct hf_job *job);
void hf_verb_status(struct hf_super *super, struct hf_job *job);
void hf_verb_passcode(struct hf_super *super, struct hf_job *job);
void hf_verb_recover(struct hf_super *super, struct hf_job *job);
void hf_verb_replace(struct hf_super *super, struct hf_job *job);
void hf_verb_settings(struct hf_super *super, struct hf_job *job);
void hf_verb_reseal(struct hf_super *super, struct hf_job *job);
void hf_verb_sentence(struct hf_super *super, struct hf_job *job);
void hf_verb_duress(struct hf_super *super, struct hf_job *job);
void hf_verb_rotate(struct hf_super *super, struct hf_job *job);
void hf_verb_erase(struct hf_super *super, struct hf_job *job);
void hf_verb_secrets(struct hf_super *super, struct hf_job *job);
void hf_verb_check(struct hf_super *super, struct hf_job *job);
void hf_verb_accept(struct hf_super *super, struct hf_job *job);
void hf_close_begin(struct hf_super *super, struct hf_job *job, bool force);

/* opening.c: the verbs that start programs */
void hf_verb_create(struct hf_super *super, struct hf_job *job);
void hf_verb_open(struct hf_super *super, struct hf_job *job);
/* Attaches, starts the programs and asks START where that was not done; goes on in `then` with START's answer. */
void hf_super_ready(struct hf_super *super, struct hf_job *job, const char *path, hf_step then);

/* status.c */
void hf_known_take(struct hf_super *super, struct hf_reader *body);
/* Asks who is idle, then answers the job with the vault's status; what is busy is told as last known. */
void hf_status_answer(struct hf_super *super, struct hf_job *job);

#endif
