/* tests/unit/check.h: the whole of our test framework. One test program is one .c file:
 *
 *     #include "check.h"
 *     TEST(reader_refuses_trailing_bytes) { ...; CHECK_INT(hf_reader_end(&reader), HF_DAMAGED); }
 *     CHECK_MAIN()
 *
 * A failed CHECK is printed and the test goes on. The last line is "N passed, N failed"; the status is 1 when any failed. */
#ifndef HF_TESTS_UNIT_CHECK_H
#define HF_TESTS_UNIT_CHECK_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct check_test {
    const char *name;
    void (*run)(void);
};

enum { CHECK_MAX_TESTS = 512 };
static struct check_test check_tests[CHECK_MAX_TESTS];
static size_t check_test_count;
static bool check_failed;

static inline void check_add(const char *name, void (*run)(void))
{
    if (check_test_count == CHECK_MAX_TESTS)
        abort();
    check_tests[check_test_count++] = (struct check_test){name, run};
}

static inline bool check_fail(const char *file, int line, const char *what)
{
    check_failed = true;
    printf("%s:%d: failed: %s\n", file, line, what);
    return false;
}

static inline bool check_int(const char *file, int line, const char *what, long long got, long long wanted)
{
    if (got == wanted)
        return true;
    printf("got %lld, wanted %lld\n", got, wanted);
    return check_fail(file, line, what);
}

/* Each is true when it holds, so that `if (!CHECK(p)) return;` guards what follows. */
#define CHECK(cond) ((cond) ? true : check_fail(__FILE__, __LINE__, #cond))
#define CHECK_INT(a, b) check_int(__FILE__, __LINE__, #a " == " #b, (long long)(a), (long long)(b))
#define CHECK_MEM(a, b, len) CHECK(memcmp((a), (b), (len)) == 0)
#define CHECK_STR(a, b) CHECK(strcmp((a), (b)) == 0)

/* Defines a test and adds it to those that CHECK_MAIN runs, in the order of the file. */
#define TEST(name)                                                                                                     \
    static void test_##name(void);                                                                                     \
    __attribute__((constructor)) static void test_add_##name(void)                                                     \
    {                                                                                                                  \
        check_add(#name, test_##name);                                                                                 \
    }                                                                                                                  \
    static void test_##name(void)

/* Runs fn in a process of its own, for what can't be undone (sandboxes, the secret arena) or must die. Returns the wait
 * status: 0 when no check of fn's failed. */
static inline int check_in_child(void (*fn)(void))
{
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        check_failed = false;
        fn();
        (void)fflush(stdout);
        _exit(check_failed ? 1 : 0);
    }
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return status;
}

/* For a child that is meant to die with a message. */
static inline void check_hide_stderr(void)
{
    if (!freopen("/dev/null", "w", stderr))
        check_failed = true;
}

static inline int check_run_all(void)
{
    int passed = 0;
    int failed = 0;
    for (size_t i = 0; i < check_test_count; i++) {
        check_failed = false;
        check_tests[i].run();
        if (check_failed) {
            printf("FAILED %s\n", check_tests[i].name);
            failed++;
        } else {
            passed++;
        }
    }
    printf("%d passed, %d failed\n", passed, failed);
    (void)fflush(stdout);
    return failed > 0 ? 1 : 0;
}

#define CHECK_MAIN()                                                                                                   \
    int main(void)                                                                                                     \
    {                                                                                                                  \
        return check_run_all();                                                                                        \
    }

#endif
