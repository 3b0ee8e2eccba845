#include "apart.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

enum { LIMIT_S = 60 };

/* Under clang -fsanitize=fuzzer the counters of every edge; there are none under the corpus driver. */
extern uint8_t __start___sancov_cntrs[] __attribute__((weak, visibility("hidden")));
extern uint8_t __stop___sancov_cntrs[] __attribute__((weak, visibility("hidden")));
static uint8_t *covered;

/* What is freed is kept from use for a while: a fork copies that too. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8";
}

static size_t counters(void)
{
    return __start___sancov_cntrs ? (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs) : 0;
}

void fuzz_apart_start(void)
{
    covered = mmap(NULL, counters() + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_PROMISE(covered != MAP_FAILED);
}

void fuzz_apart(void (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGALRM, SIG_DFL);
        (void)alarm(LIMIT_S);
        stderr = fopen("/dev/null", "w"); /* what the programs say of damage; sanitizers and broken promises speak by the descriptor */
        fn();
        if (counters())
            memcpy(covered, __start___sancov_cntrs, counters());
        _exit(0);
    }
    FUZZ_PROMISE(pid > 0 && TEMP_FAILURE_RETRY(waitpid(pid, &status, 0)) == pid); /* libFuzzer has a timer */
    FUZZ_PROMISE(WIFEXITED(status) && WEXITSTATUS(status) == 0); /* else its own words stand above */
    if (counters())
        memcpy(__start___sancov_cntrs, covered, counters());
}
