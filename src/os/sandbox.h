/* os/sandbox.h: what a program gives up before it touches input. Source: spec/60-processes.md.
 *
 * Order in main(): hf_sandbox_harden first of all; open what is needed; hf_sandbox_paths; hf_sandbox_syscalls last. */
#ifndef HF_OS_SANDBOX_H
#define HF_OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

/* Not dumpable, no core files, no new privileges; refuses to go on when a tracer is attached (HF_REFUSED).
 * Aborts the exec's leftovers: clears every environment variable but those in keep (NULL-terminated list; NULL keeps all),
 * and closes every descriptor above 2 that is not in fds. */
HF_MUST_USE enum hf_result hf_sandbox_harden(const char *const *keep, const int *fds, size_t fd_count,
                                             struct hf_error *error);

struct hf_sandbox_path {
    int fd;        /* a directory or file; O_PATH will do */
    bool writable; /* else read and execute-free only */
    bool make;     /* may create, link, rename and remove entries below it */
};
/* Landlock: nothing but these trees can be reached by path; no TCP where the kernel has that right; no signals and abstract sockets out of the domain
 * where it has those. HF_UNSUPPORTED when the kernel lacks Landlock: the caller decides (the enclave's seccomp filter allows no path-taking call but
 * openat and friends relative to its directory, and says so in `status`). */
HF_MUST_USE enum hf_result hf_sandbox_paths(const struct hf_sandbox_path *paths, size_t count);

/* Seccomp: the allow-list of system call numbers; everything else kills the process (in all threads). Arguments may be constrained by
 * the caller's table. `deny` instead of `allow` makes a deny-list answering EPERM (for programs built on large libraries). */
struct hf_sandbox_rule {
    int syscall;       /* SYS_… */
    int arg;           /* -1: any arguments; else the argument's number, 0…5 */
    uint64_t mask;     /* … and (value & mask) must equal `equals` */
    uint64_t equals;
};
HF_MUST_USE enum hf_result hf_sandbox_allow_only(const struct hf_sandbox_rule *rules, size_t count);
HF_MUST_USE enum hf_result hf_sandbox_deny(const int *syscalls, size_t count);

#endif
