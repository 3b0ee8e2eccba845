#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"

#ifndef HF_LIBEXECDIR
#define HF_LIBEXECDIR "/usr/local/libexec/holdfast"
#endif

enum { MAX_ENV = 64, ENV_BYTES = 4 * (PATH_MAX + 32), FIRST_FREE_FD = 3 };

/* What the child needs, made ready by the parent: between vfork and exec nothing may allocate. */
struct plan {
    const char *path;
    char *const *argv;
    char *const *envp;
    int first_fd;
    const int *fds;
    int fd_count;
    volatile int error; /* vfork shares memory: what stopped the child, seen by the parent */
};

struct environment {
    char *entries[MAX_ENV + 1];
    size_t count;
    char text[ENV_BYTES];
    size_t text_len;
};

static enum hf_result env_add(struct environment *env, const char *name, const char *value)
{
    size_t left = sizeof env->text - env->text_len;
    int len = snprintf(env->text + env->text_len, left, "%s=%s", name, value);
    if (len < 0 || (size_t)len >= left || env->count == MAX_ENV)
        return HF_TOO_LARGE;
    env->entries[env->count++] = env->text + env->text_len;
    env->entries[env->count] = NULL;
    env->text_len += (size_t)len + 1;
    return HF_OK;
}

/* The fixed small environment of every program that is started without one of its own. */
static enum hf_result env_default(struct environment *env)
{
    static const char *const passed_on[] = {"XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME", "DBUS_SYSTEM_BUS_ADDRESS"};
    env->entries[0] = NULL;
    env->count = 0;
    env->text_len = 0;
    HF_TRY(env_add(env, "PATH", "/usr/local/bin:/usr/bin:/bin"));
    HF_TRY(env_add(env, "LANG", "C.UTF-8"));
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        const char *value = getenv(passed_on[i]);
        if (value)
            HF_TRY(env_add(env, passed_on[i], value));
    }
#ifdef HF_TESTING
    /* Test builds alone: a test's switches reach every program. */
    for (char **entry = environ; *entry; entry++) {
        if (strncmp(*entry, "HF_TEST_", 8) == 0 && env->count < MAX_ENV) {
            env->entries[env->count++] = *entry;
            env->entries[env->count] = NULL;
        }
    }
#endif
    return HF_OK;
}

static _Noreturn void child_fail(struct plan *plan)
{
    plan->error = errno ? errno : EIO;
    _exit(127);
}

/* A close-on-exec duplicate above every number that the child is to have. */
static int move_high(struct plan *plan, int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, plan->first_fd + HF_PROCESS_MAX_FDS);
    if (high < 0)
        child_fail(plan);
    return high;
}

static void place_fds(struct plan *plan)
{
    int high[HF_PROCESS_MAX_FDS];
    /* Sources and targets may overlap: first all sources out of the way, then each into its place. */
    for (int i = 0; i < plan->fd_count; i++)
        high[i] = plan->fds[i] < 0 ? -1 : move_high(plan, plan->fds[i]);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        child_fail(plan);
    null_fd = move_high(plan, null_fd);
    int error_fd = fcntl(2, F_DUPFD_CLOEXEC, plan->first_fd + HF_PROCESS_MAX_FDS);
    if (error_fd < 0)
        error_fd = null_fd;
    if (dup2(null_fd, 0) < 0 || dup2(error_fd, 1) < 0 || dup2(error_fd, 2) < 0)
        child_fail(plan);
    if (syscall(SYS_close_range, FIRST_FREE_FD, (unsigned)(plan->first_fd + HF_PROCESS_MAX_FDS - 1), 0) < 0)
        child_fail(plan);
    for (int i = 0; i < plan->fd_count; i++) {
        if (high[i] >= 0 && dup2(high[i], plan->first_fd + i) < 0)
            child_fail(plan);
    }
    if (syscall(SYS_close_range, (unsigned)(plan->first_fd + plan->fd_count), ~0u, 0) < 0)
        child_fail(plan);
}

/* A handler is the parent's code, and an ignored signal would stay ignored across exec. */
static void reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++)
        (void)sigaction(number, &standard, NULL); /* fails for KILL, STOP and libc's own: nothing to reset there */
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); // NOLINT(concurrency-mt-unsafe): in the child, which has one thread
}

static __attribute__((noinline)) _Noreturn void run_child(struct plan *plan)
{
    place_fds(plan);
    reset_signals();
    (void)execve(plan->path, plan->argv, plan->envp);
    child_fail(plan);
}

/* vfork: it copies no memory, so no page of ours is ever shared with the child's, and it works from a stack that fork
 * would not hand on (os/secret.h). */
static __attribute__((noinline)) pid_t start_child(struct plan *plan)
{
    pid_t pid = vfork();
    if (pid == 0)
        run_child(plan);
    return pid;
}

static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static enum hf_result start(struct plan *plan, struct hf_process *ret)
{
    /* No handler of ours may run in the child, where it would see the parent's memory. */
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = start_child(plan);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        return hf_result_from_errno(error);
    if (plan->error) {
        reap(pid);
        return hf_result_from_errno(plan->error);
    }
    /* Not reaped yet, so the number can't have passed to another process. */
    long pidfd = syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        enum hf_result result = hf_result_from_errno(errno);
        (void)kill(pid, SIGKILL);
        reap(pid);
        return result;
    }
    *ret = (struct hf_process){.pid = pid, .pidfd = (int)pidfd};
    return HF_OK;
}

enum hf_result hf_process_start(const char *path, const char *const *argv, const char *const *envp, int first_fd, const int *fds,
                                size_t fd_count, struct hf_process *ret)
{
    HF_ASSERT(first_fd >= FIRST_FREE_FD && fd_count <= HF_PROCESS_MAX_FDS);
    struct environment env;
    struct plan plan = {
        .path = path,
        .argv = (char *const *)(uintptr_t)argv,
        .envp = (char *const *)(uintptr_t)envp,
        .first_fd = first_fd,
        .fds = fds,
        .fd_count = (int)fd_count,
    };
    if (!envp) {
        HF_TRY(env_default(&env));
        plan.envp = env.entries;
    }
    return start(&plan, ret);
}

void hf_process_kill(struct hf_process *process)
{
    if (process->pid > 0) {
        /* By descriptor where there is one: the number may be another process's by now if somebody reaped ours. */
        if (process->pidfd >= 0)
            (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
        else
            (void)kill(process->pid, SIGKILL);
        reap(process->pid);
        if (process->pidfd >= 0)
            (void)close(process->pidfd);
    }
    *process = (struct hf_process){.pid = 0, .pidfd = -1};
}

/* Joins dir and program; true when that is a program we may start. */
static bool try_dir(const char *dir, size_t dir_len, const char *program, char *out, size_t cap)
{
    int len = snprintf(out, cap, "%.*s/%s", (int)dir_len, dir, program);
    return len > 0 && (size_t)len < cap && access(out, X_OK) == 0;
}

enum hf_result hf_process_find(const char *program, char *out, size_t cap)
{
    HF_ASSERT(!strchr(program, '/'));
    char path[PATH_MAX];
    size_t path_cap = cap < sizeof path ? cap : sizeof path;
    const char *chosen = secure_getenv("HOLDFAST_LIBEXEC");
    if (chosen && chosen[0] == '/') {
        if (!try_dir(chosen, strlen(chosen), program, path, path_cap))
            return HF_NOT_FOUND;
        memcpy(out, path, strlen(path) + 1);
        return HF_OK;
    }
    char self[PATH_MAX];
    ssize_t self_len = readlink("/proc/self/exe", self, sizeof self);
    size_t dir_len = 0;
    for (ssize_t i = 0; i < self_len; i++) {
        if (self[i] == '/')
            dir_len = (size_t)i;
    }
    if (!(self_len > 0 && try_dir(self, dir_len, program, path, path_cap)) &&
        !try_dir(HF_LIBEXECDIR, strlen(HF_LIBEXECDIR), program, path, path_cap))
        return HF_NOT_FOUND;
    memcpy(out, path, strlen(path) + 1);
    return HF_OK;
}
