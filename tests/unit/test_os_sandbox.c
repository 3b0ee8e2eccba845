/* Unit tests of os/sandbox, each in a process of its own: what is given up stays given up. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "check.h"
#include "os/sandbox.h"
#include "tempdir.h"

static void harden(void)
{
    int kept = open("/dev/null", O_RDONLY);
    int also = fcntl(kept, F_DUPFD, 30);
    int lost = fcntl(kept, F_DUPFD, 40);
    (void)close(0);
    (void)setenv("HF_KEEP_ME", "1", 1);
    (void)setenv("HF_KEEP", "no", 1);
    (void)setenv("LD_PRELOAD", "/x", 1);
    (void)unsetenv("HF_TEST_DUMPABLE");
    const char *const keep[] = {"HF_KEEP_ME", NULL};
    struct hf_error error;
    CHECK_INT(hf_sandbox_harden(keep, (int[]){also, kept}, 2, &error), HF_OK);
    CHECK(getenv("HF_KEEP_ME") && !getenv("HF_KEEP") && !getenv("LD_PRELOAD") && !getenv("PATH"));
    CHECK(fcntl(kept, F_GETFD) >= 0 && fcntl(also, F_GETFD) >= 0 && fcntl(0, F_GETFD) >= 0);
    CHECK(fcntl(lost, F_GETFD) < 0);
    CHECK_INT(prctl(PR_GET_DUMPABLE), 0);
    CHECK_INT(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0);
}

#ifdef HF_TESTING
static void harden_dumpable(void)
{
    (void)setenv("HF_TEST_DUMPABLE", "1", 1);
    struct hf_error error;
    CHECK_INT(hf_sandbox_harden(NULL, NULL, 0, &error), HF_OK);
    CHECK(getenv("PATH") != NULL);
    CHECK_INT(prctl(PR_GET_DUMPABLE), 1);
}
#endif

TEST(sandbox_harden)
{
    CHECK_INT(check_in_child(harden), 0);
#ifdef HF_TESTING
    CHECK_INT(check_in_child(harden_dumpable), 0);
#endif
}

static void harden_as_traced(void)
{
    struct hf_error error;
    CHECK_INT(hf_sandbox_harden(NULL, NULL, 0, &error), HF_REFUSED);
    CHECK(strstr(error.text, "tracer") != NULL);
}

TEST(sandbox_refuses_tracer)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        check_failed = false;
        if (syscall(SYS_ptrace, 0 /* PTRACE_TRACEME */, 0, NULL, NULL) == 0)
            harden_as_traced();
        _exit(check_failed ? 1 : 0);
    }
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_INT(status, 0);
}

static bool landlock_missing;
static char landlock_path[64];

static bool can_open(int dir, const char *name, int flags)
{
    int fd = openat(dir, name, flags, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static void restrict_paths(void)
{
    int dir = open(landlock_path, O_PATH | O_CLOEXEC);
    int made = openat(dir, "b", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int file = openat(dir, "c", O_PATH | O_CLOEXEC);
    /* a: only read (through dir); b/: all; c: written as a single file */
    struct hf_sandbox_path paths[] = {{dir, false, false}, {made, true, true}, {file, true, true}};
    CHECK_INT(hf_sandbox_paths(paths, 3), HF_OK);
    CHECK(!can_open(AT_FDCWD, "/etc/passwd", O_RDONLY) && errno == EACCES);
    CHECK(can_open(dir, "a", O_RDONLY));
    CHECK(!can_open(dir, "a", O_WRONLY));
    CHECK(!can_open(dir, "d", O_WRONLY | O_CREAT));
    CHECK(can_open(dir, "c", O_WRONLY));
    CHECK(unlinkat(dir, "a", 0) < 0);
    CHECK(can_open(made, "x", O_RDWR | O_CREAT));
    CHECK(can_open(made, "x", O_RDWR | O_TRUNC));
    CHECK_INT(mkdirat(made, "y", 0700), 0);
    CHECK_INT(renameat(made, "x", made, "y/x"), 0);
    CHECK_INT(symlinkat("q", made, "z"), 0);
    CHECK(unlinkat(made, "z", 0) == 0 && unlinkat(made, "y/x", 0) == 0 && unlinkat(made, "y", AT_REMOVEDIR) == 0);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(9)};
    if (fd >= 0)
        CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && (errno == EACCES || errno == ECONNREFUSED));
    int parent_reached = kill(getppid(), 0);
    printf("landlock: signals out of the domain %s\n", parent_reached == 0 ? "possible" : "stopped");
}

static void probe_landlock(void)
{
    landlock_missing = hf_sandbox_paths(NULL, 0) == HF_UNSUPPORTED;
    _exit(landlock_missing ? 77 : 0);
}

TEST(sandbox_paths)
{
    int status = check_in_child(probe_landlock);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("skipped: this kernel has no Landlock\n");
        return;
    }
    CHECK_INT(status, 0);
    int dir = make_dir(landlock_path);
    CHECK_INT(mkdirat(dir, "b", 0700), 0);
    CHECK(hf_file_replace(dir, "a", HF_SPAN("a", 1)) == HF_OK && hf_file_replace(dir, "c", HF_SPAN("c", 1)) == HF_OK);
    CHECK_INT(check_in_child(restrict_paths), 0);
    remove_dir(landlock_path, dir);
}

/* Kept to the few calls that the rules below allow. */
static const struct hf_sandbox_rule test_rules[] = {
    {SYS_write, 0, UINT64_MAX, 7},
    {SYS_write, 0, UINT64_MAX, 0x100000007}, /* the upper half counts */
    {SYS_getpid, -1, 0, 0},
    {SYS_lseek, 2, 0xff, 1}, /* whence SEEK_CUR in the low byte */
    {SYS_exit_group, -1, 0, 0},
    {SYS_exit, -1, 0, 0},
    {SYS_rt_sigreturn, -1, 0, 0},
    {SYS_futex, -1, 0, 0},
};

enum { EXIT_FINE = 33 };
static long sandboxed_call[4];

static void call_in_sandbox(void)
{
    if (hf_sandbox_allow_only(test_rules, sizeof test_rules / sizeof test_rules[0]) != HF_OK)
        _exit(1);
    (void)syscall(sandboxed_call[0], sandboxed_call[1], sandboxed_call[2], sandboxed_call[3]);
    (void)syscall(SYS_exit_group, EXIT_FINE);
}

static bool call_lives(long number, long a, long b, long c)
{
    sandboxed_call[0] = number;
    sandboxed_call[1] = a;
    sandboxed_call[2] = b;
    sandboxed_call[3] = c;
    int status = check_in_child(call_in_sandbox);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
    CHECK(killed || (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FINE));
    return !killed;
}

TEST(sandbox_allow_only)
{
    CHECK(call_lives(SYS_getpid, 0, 0, 0));
    CHECK(!call_lives(SYS_getppid, 0, 0, 0));
    CHECK(!call_lives(SYS_openat, 0, 0, 0));
    CHECK(call_lives(SYS_write, 7, 0, 0));
    CHECK(!call_lives(SYS_write, 8, 0, 0));
    CHECK(call_lives(SYS_write, 0x100000007, 0, 0));
    CHECK(!call_lives(SYS_write, 0x200000007, 0, 0));
    CHECK(call_lives(SYS_lseek, 7, 0, 0x301));
    CHECK(!call_lives(SYS_lseek, 7, 0, 0x302));
    CHECK(!call_lives(-1, 0, 0, 0));
#ifdef __x86_64__
    CHECK(!call_lives(0x40000000L | SYS_getpid, 0, 0, 0));
#endif
}

static pthread_barrier_t barrier;

static void *call_in_other_thread(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    (void)syscall(SYS_getppid);
    return NULL;
}

static void restrict_with_thread(void)
{
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&thread, NULL, call_in_other_thread, NULL) != 0)
        _exit(1);
    pthread_barrier_wait(&barrier);
    if (hf_sandbox_allow_only(test_rules, sizeof test_rules / sizeof test_rules[0]) != HF_OK)
        _exit(2);
    pthread_barrier_wait(&barrier);
    (void)pthread_join(thread, NULL);
    (void)syscall(SYS_exit_group, EXIT_FINE);
}

TEST(sandbox_covers_all_threads)
{
    int status = check_in_child(restrict_with_thread);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static void too_many_rules(void)
{
    static struct hf_sandbox_rule rules[600];
    for (size_t i = 0; i < 600; i++)
        rules[i] = (struct hf_sandbox_rule){SYS_write, 0, UINT64_MAX, i};
    CHECK_INT(hf_sandbox_allow_only(rules, 600), HF_TOO_LARGE);
}

static void deny_some(void)
{
    CHECK_INT(hf_sandbox_deny((int[]){SYS_getppid, SYS_socket}, 2), HF_OK);
    CHECK(syscall(SYS_getppid) == -1 && errno == EPERM);
    CHECK(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
    CHECK(getpid() > 0);
}

TEST(sandbox_deny)
{
    CHECK_INT(check_in_child(too_many_rules), 0);
    CHECK_INT(check_in_child(deny_some), 0);
}

CHECK_MAIN()
