/* Unit tests of os/secret: the arena, its heap, its stack, and what others can see of it. Build with HF_TESTING for all of them. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "check.h"
#include "os/process.h"
#include "os/random.h"
#include "os/secret.h"
#include "tempdir.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1 /* clang's way of saying what gcc says */
#endif
#endif

static void churn_heap(void)
{
    CHECK_INT(hf_secret_open(0, 65536, NULL), HF_OK);
    void *held[64] = {NULL};
    size_t lens[64] = {0};
    unsigned seed = 7;
    for (int round = 0; round < 20000; round++) {
        seed = seed * 1103515245u + 12345u;
        size_t slot = seed >> 16 & 63u;
        if (held[slot]) {
            const uint8_t *bytes = held[slot];
            CHECK(bytes[0] == slot + 1 && bytes[lens[slot] - 1] == slot + 1);
            hf_secret_free(&held[slot]);
            CHECK(held[slot] == NULL);
            continue;
        }
        lens[slot] = 1 + (seed >> 8 & 1023u);
        uint8_t *bytes = hf_secret_alloc(lens[slot]);
        if (!CHECK(bytes))
            return;
        CHECK_INT((uintptr_t)bytes % 16, 0);
        size_t dirty = 0;
        for (size_t i = 0; i < lens[slot]; i++)
            dirty += bytes[i] != 0;
        CHECK_INT(dirty, 0);
        memset(bytes, (int)slot + 1, lens[slot]);
        held[slot] = bytes;
    }
    for (size_t i = 0; i < 64; i++)
        hf_secret_free(&held[i]);
    void *nothing = NULL;
    hf_secret_free(&nothing);
    /* All came together again: the whole arena is one block. */
    void *whole = hf_secret_alloc(65536 - 16);
    CHECK(whole != NULL && hf_secret_alloc(1) == NULL);
    hf_secret_free(&whole);
    CHECK(hf_secret_alloc(65536) == NULL && hf_secret_alloc(SIZE_MAX) == NULL);
}

TEST(secret_heap)
{
    CHECK_INT(check_in_child(churn_heap), 0);
}

static void *churn_thread(void *arg)
{
    for (int i = 0; i < 5000; i++) {
        void *p = hf_secret_alloc(100);
        if (p)
            memset(p, (int)(intptr_t)arg, 100);
        hf_secret_free(&p);
    }
    return NULL;
}

static void churn_in_threads(void)
{
    CHECK_INT(hf_secret_open(0, 4096, NULL), HF_OK);
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, churn_thread, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    CHECK(hf_secret_alloc(4096 - 16) != NULL);
}

TEST(secret_heap_in_threads)
{
    CHECK_INT(check_in_child(churn_in_threads), 0);
}

static void free_twice(void)
{
    check_hide_stderr();
    CHECK_INT(hf_secret_open(0, 4096, NULL), HF_OK);
    void *p = hf_secret_alloc(16);
    void *again = p;
    hf_secret_free(&p);
    hf_secret_free(&again);
}

TEST(secret_double_free_aborts)
{
    int status = check_in_child(free_twice);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static uint8_t scrambled[32]; /* the pattern XOR 0x55: so that looking for it does not find itself */

/* True when the pattern stands at bytes. */
static __attribute__((no_sanitize("address"))) bool is_pattern(const uint8_t *bytes)
{
    for (size_t i = 0; i < 32; i++) {
        if (bytes[i] != (uint8_t)(scrambled[i] ^ 0x55))
            return false;
    }
    return true;
}

/* How often the pattern occurs in this process's memory, seen as another program sees it: through /proc. */
static int scan_memory(void)
{
    static uint8_t chunk[1 << 20];
    int hits = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    uintptr_t from;
    uintptr_t to;
    char line[512];
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx r", &from, &to) != 2 || to - from > (64ul << 20))
            continue;
        for (uintptr_t at = from; at < to; at += sizeof chunk - 31) {
            size_t want = to - at < sizeof chunk ? to - at : sizeof chunk;
            ssize_t got = pread(mem, chunk, want, (off_t)at);
            for (ssize_t i = 0; i + 32 <= got; i++) {
                uintptr_t place = at + (uintptr_t)i - (uintptr_t)chunk;
                hits += place >= sizeof chunk && is_pattern(chunk + i); /* not what the scan itself read */
            }
        }
    }
    if (maps)
        (void)fclose(maps);
    (void)close(mem);
    return hits;
}

static __attribute__((noinline)) void use_stack_deeply(int depth)
{
    volatile uint8_t local[512];
    for (size_t i = 0; i < sizeof local; i++)
        local[i] = (uint8_t)(scrambled[i % 32] ^ 0x55);
    if (depth > 0)
        use_stack_deeply(depth - 1);
    __asm__ volatile("" : : : "memory");
}

/* Hits on the current arena stack, read directly (secret memory is not readable in any other way). */
static __attribute__((noinline, no_sanitize("address"))) int count_below(const uint8_t *low, const uint8_t *high)
{
    int hits = 0;
    for (const uint8_t *at = low; at + 32 < high; at++)
        hits += is_pattern(at);
    return hits;
}

static int stack_hits_before;
static int stack_hits_after;

static __attribute__((no_sanitize("address"))) int on_secret_stack(void *arg)
{
    const uint8_t *here = __builtin_frame_address(0);
    use_stack_deeply(60);
    stack_hits_before = count_below(here - 40000, here);
    hf_secret_wipe_stack();
    stack_hits_after = count_below(here - 40000, here);
    return *(int *)arg + 1;
}

static void run_on_secret_stack(void)
{
    hf_random(scrambled, sizeof scrambled);
    CHECK_INT(hf_secret_open(256 << 10, 4096, NULL), HF_OK);
    int value = 41;
    CHECK_INT(hf_secret_run(on_secret_stack, &value), 42);
    CHECK(stack_hits_before > 10);
    CHECK_INT(stack_hits_after, 0);
    CHECK_INT(hf_secret_run(on_secret_stack, &value), 42); /* one after the other is fine */
}

static void run_on_mlock_stack(void)
{
    (void)setenv("HF_TEST_NO_MEMFD_SECRET", "1", 1);
    run_on_secret_stack();
#ifdef HF_TESTING
    CHECK_INT(hf_secret_kind(), HF_SECRET_MLOCK);
#endif
}

TEST(secret_stack)
{
    CHECK_INT(check_in_child(run_on_secret_stack), 0);
    CHECK_INT(check_in_child(run_on_mlock_stack), 0);
}

static int start_true(void *arg)
{
    struct hf_process process;
    const char *const argv[] = {"true", NULL};
    enum hf_result result = hf_process_start("/bin/true", argv, NULL, 3, NULL, 0, &process);
    if (result == HF_OK)
        hf_process_kill(&process);
    return result == HF_OK ? *(int *)arg : -1;
}

static void start_process_from_secret_stack(void)
{
    CHECK_INT(hf_secret_open(256 << 10, 4096, NULL), HF_OK);
    int value = 5;
    CHECK_INT(hf_secret_run(start_true, &value), 5);
}

TEST(secret_stack_can_start_processes)
{
    CHECK_INT(check_in_child(start_process_from_secret_stack), 0);
}

static int recurse(void *arg)
{
    volatile uint8_t local[4096];
    local[0] = 1;
    local[4095] = 2;
    int below = *(volatile int *)arg ? recurse(arg) : 0;
    return below + local[0];
}

static void overrun_stack(void)
{
    /* A sanitizer's own handler would turn the signal into an exit: take the kernel's way. */
    (void)signal(SIGSEGV, SIG_DFL);
    CHECK_INT(hf_secret_open(32 << 10, 4096, NULL), HF_OK);
    int for_ever = 1;
    (void)hf_secret_run(recurse, &for_ever);
}

static void overrun_heap(void)
{
    (void)signal(SIGSEGV, SIG_DFL);
    CHECK_INT(hf_secret_open(32 << 10, 4096, NULL), HF_OK);
    volatile uint8_t *p = hf_secret_alloc(4096 - 16);
    p[4096 - 16] = 1;
}

TEST(secret_guards_stop_overruns)
{
    int status = check_in_child(overrun_stack);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = check_in_child(overrun_heap);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void look_for_secret_in_proc(void)
{
    hf_random(scrambled, sizeof scrambled);
    CHECK_INT(hf_secret_open(0, 4096, NULL), HF_OK);
    void *secret = hf_secret_alloc(32);
    /* Byte by byte: a vector register would be spilled to the ordinary stack by the next lazily bound call. */
    for (size_t i = 0; i < 32; i++)
        ((volatile uint8_t *)secret)[i] = scrambled[i] ^ 0x55;
    printf("secret memory: %s\n", hf_secret_kind() == HF_SECRET_MEMFD ? "memfd_secret" : "mlock");
    CHECK_INT(scan_memory(), hf_secret_kind() == HF_SECRET_MLOCK ? 1 : 0);
    hf_secret_free(&secret);
    CHECK_INT(scan_memory(), 0);
}

static void look_for_mlock_secret_in_proc(void)
{
    (void)setenv("HF_TEST_NO_MEMFD_SECRET", "1", 1);
    look_for_secret_in_proc();
}

TEST(secret_in_proc_mem)
{
    CHECK_INT(check_in_child(look_for_mlock_secret_in_proc), 0);
    CHECK_INT(check_in_child(look_for_secret_in_proc), 0);
}

#ifndef __SANITIZE_ADDRESS__ /* AddressSanitizer makes mlock do nothing */
static void refuse_without_lock_limit(void)
{
    struct rlimit none = {4096, 4096};
    CHECK_INT(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) /* root is above the limit */
        abort();
    struct hf_error error;
    CHECK_INT(hf_secret_open(65536, 65536, &error), HF_REFUSED);
    CHECK(strstr(error.text, "ulimit") != NULL);
    CHECK_INT(hf_secret_kind(), HF_SECRET_NONE);
    bool locked = true;
    uint8_t *big = hf_secret_big_alloc(1 << 20, &locked);
    CHECK(big && !locked);
    hf_secret_big_free(big, 1 << 20);
    CHECK(!hf_secret_big_lockable(1 << 20) && hf_secret_big_lockable(4096)); /* [EL-23] */
}

/* [PR-3] */
TEST(secret_refuses_unlocked_memory)
{
    CHECK_INT(check_in_child(refuse_without_lock_limit), 0);
}
#endif

TEST(secret_big_alloc)
{
    bool locked = false;
    uint8_t *big = hf_secret_big_alloc((1 << 20) + 5, &locked);
    if (!CHECK(big))
        return;
    CHECK(locked); /* 1 MiB is within the usual limit */
    CHECK(big[0] == 0 && big[(1 << 20) + 4] == 0);
    memset(big, 1, (1 << 20) + 5);
    hf_secret_big_free(big, (1 << 20) + 5);
    hf_secret_big_free(NULL, 5);
    CHECK(hf_secret_big_alloc(0, NULL) == NULL && hf_secret_big_alloc(SIZE_MAX, NULL) == NULL);
    CHECK(hf_secret_big_lockable((1 << 20) + 5) && !hf_secret_big_lockable(0) && !hf_secret_big_lockable(SIZE_MAX));
    hf_secret_wipe_stack(); /* on an ordinary stack too */
}

static void ask_for_swap(void)
{
    CHECK(hf_secret_machine_swaps()); /* not opened yet: the careful answer */
    CHECK_INT(hf_secret_open(0, 4096, NULL), HF_OK);
    FILE *swaps = fopen("/proc/swaps", "re");
    char line[256];
    int lines = 0;
    while (swaps && fgets(line, sizeof line, swaps))
        lines++;
    if (swaps)
        (void)fclose(swaps);
    CHECK_INT(hf_secret_machine_swaps(), lines != 1);
    CHECK_INT(hf_secret_machine_swaps(), lines != 1);
}

TEST(secret_machine_swaps)
{
    CHECK_INT(check_in_child(ask_for_swap), 0);
}

#ifdef HF_TESTING
static void note_two_secrets(void)
{
    hf_test_note_secret("class key", "\x01\xab", 2);
    hf_test_note_secret("passcode", "pw", 2);
}

TEST(secret_test_log)
{
    char path[64];
    int dir = make_dir(path);
    char name[80];
    (void)snprintf(name, sizeof name, "%s/a", path);
    (void)setenv("HF_TEST_SECRET_LOG", name, 1);
    CHECK_INT(check_in_child(note_two_secrets), 0);
    (void)unsetenv("HF_TEST_SECRET_LOG");
    CHECK(file_is(dir, "a", "class key 01ab\npasscode 7077\n"));
    remove_dir(path, dir);
}
#endif

CHECK_MAIN()
