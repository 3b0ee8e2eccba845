/* fs/gate.h: which requests are let through to the tree, and which wait outside for the unlock. Source: spec/60-processes.md [LK-4] [LK-5] [LK-6].
 *
 * Waiting (open --on-lock wait): a request that finds its key locked is put away as it came, its thread serves others, and it runs again at the unlock.
 * Who waits can give up (FUSE_INTERRUPT, a kill). A request for a page holds that page's lock in the kernel, so whoever is about to invalidate pages first
 * closes the gate: what waits is answered, and nothing new may wait. Not protected: what a program wanted to write lies in our memory meanwhile, as in its own. */
#ifndef HF_FS_GATE_H
#define HF_FS_GATE_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

/* Once, before anything is served. The session's descriptor answers those that wait. */
void hf_gate_start(struct fuse_session *session, bool may_wait);
bool hf_gate_may_wait(void);
/* One request: refused, or handed to the tree. Every thread that serves calls it in place of fuse_session_process_buf. */
void hf_gate_process(const struct fuse_buf *buffer);
/* The request that this thread has in hand, as the kernel sent it. */
const void *hf_gate_request(void);
/* Instead of answering ENOKEY: true when the request waits now (req is gone then). */
bool hf_gate_wait(fuse_req_t req);

/* Answers all that wait with error (positive) and lets none wait from then on. */
void hf_gate_close(int error);
/* A lock is confirmed: requests may wait (unless the machine is about to sleep, or nothing may wait any more: deep); inactivity_s: after that long
 * nothing is served until a deep lock was confirmed; 0: never. */
void hf_gate_locked(bool deep, bool suspend, uint32_t inactivity_s);
/* The machine is awake again. */
void hf_gate_wake(void);
/* Keys are there: what waits runs again, in a thread of its own. */
void hf_gate_unlocked(void);

#endif
