/* os/secret.h: memory for secrets that never reaches swap, core files or other processes.
 *
 * Call order: hf_secret_open once, before any secret exists; then hf_secret_run to go on with a stack that lies inside the arena.
 * The arena is memfd_secret(2) where the kernel has it (not even root reads it through /proc or a debugger), else anonymous memory
 * under mlock(2) with MADV_DONTDUMP and MADV_WIPEONFORK; when neither can be had the program refuses to run. Source: spec/60-processes.md [PR-3].
 * Not protected: a kernel that is hostile, DMA, cold boot. */
#ifndef HF_OS_SECRET_H
#define HF_OS_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/result.h"

enum hf_secret_kind { HF_SECRET_NONE, HF_SECRET_MEMFD, HF_SECRET_MLOCK };

/* Reserves the arena: a stack of stack_len bytes (0: none) and a heap of heap_len bytes. Both are rounded up to pages. */
HF_MUST_USE enum hf_result hf_secret_open(size_t stack_len, size_t heap_len, struct hf_error *error);
enum hf_secret_kind hf_secret_kind(void);

/* Zeroed memory from the arena, 16-byte aligned; NULL when it is full. */
void *hf_secret_alloc(size_t len);
/* True for memory that hf_secret_alloc gave; *ret_len (when not NULL): how much it can hold. */
bool hf_secret_owns(const void *p, size_t *ret_len);
/* Wipes and gives back *p (accepts NULL), sets *p to NULL. */
void hf_secret_free(void *p_to_pointer);

/* Runs fn(arg) on the arena's stack and returns its value; the stack is wiped after. Not nested. The same thread goes on (a
 * thread's descriptor would lie on the stack, and the kernel can't wake the one who joins it in memfd_secret memory: tried).
 * Calls that hand the kernel pages instead of copying fail with EFAULT on this stack and heap when the kind is
 * HF_SECRET_MEMFD: /dev/fuse reads and writes, O_DIRECT, vmsplice, io_uring. fork() is not possible from it (the child has no stack);
 * hf_process_start is. */
int hf_secret_run(int (*fn)(void *arg), void *arg);
/* Overwrites the unused part of the current stack below the caller; call it after every request that touched a key. */
void hf_secret_wipe_stack(void);

/* A large scratch area (Argon2's): anonymous, MADV_DONTDUMP, locked when the limit allows. NULL when memory is short.
 * hf_secret_big_free wipes len bytes before unmapping. *ret_locked tells whether it can reach swap. */
void *hf_secret_big_alloc(size_t len, bool *ret_locked);
void hf_secret_big_free(void *p, size_t len);
/* True when hf_secret_big_alloc(len) would give locked memory now. Cheap: asks for the lock of memory that nobody touches. */
bool hf_secret_big_lockable(size_t len);
/* True when the machine has a swap device or file at the time of the call (reads the descriptor that hf_secret_open took of /proc/swaps;
 * true as well when that could not be read: the careful answer). */
bool hf_secret_machine_swaps(void);

#ifdef HF_TESTING
/* Test builds alone: appends "label hex" to the file HF_TEST_SECRET_LOG names, so that a test can look for the value everywhere. */
void hf_test_note_secret(const char *label, const void *bytes, size_t len);
#else
#define hf_test_note_secret(label, bytes, len) ((void)0)
#endif

#endif
