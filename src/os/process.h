/* os/process.h: starting the other programs by exec, never by fork alone, with exactly the descriptors they are meant to have. */
#ifndef HF_OS_PROCESS_H
#define HF_OS_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/result.h"

#define HF_PROCESS_MAX_FDS 8

struct hf_process {
    pid_t pid;
    int pidfd; /* readable when the process has ended; -1 when there is none */
};

/* Starts path with argv; child descriptor first_fd+i is a duplicate of fds[i] (fds[i] < 0: left closed). 0 is /dev/null, 1 and 2 are the caller's 2.
 * envp NULL: a fixed small environment (PATH, LANG=C.UTF-8, and XDG_STATE_HOME, XDG_RUNTIME_DIR, HOME, DBUS_SYSTEM_BUS_ADDRESS as the caller has them). */
HF_MUST_USE enum hf_result hf_process_start(const char *path, const char *const *argv, const char *const *envp, int first_fd, const int *fds,
                                            size_t fd_count, struct hf_process *ret);
/* SIGKILL, then reaps; accepts an empty one; clears it. */
void hf_process_kill(struct hf_process *process);
/* The directory of programs: $HOLDFAST_LIBEXEC where the CLI was started with it (builds and tests), else beside the running program, else the install's. */
HF_MUST_USE enum hf_result hf_process_find(const char *program, char *out, size_t cap);

#endif
