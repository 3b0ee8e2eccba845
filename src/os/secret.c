/* The arena: [guard][stack][guard][heap][guard]. Its parts are in secret_stack.c and secret_heap.c. */
#include "os/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/secret_parts.h"

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447 /* Linux 5.14; the same number on every architecture */
#endif

static enum hf_secret_kind arena_kind;
static int swaps_fd = -1;

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_to_pages(size_t len)
{
    size_t page = page_bytes();
    return (len + page - 1) / page * page;
}

/* Both kinds count against RLIMIT_MEMLOCK: take what the hard limit gives. */
static void raise_memlock_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_MEMLOCK, &limit);
    }
}

static bool memfd_wanted(void)
{
#ifdef HF_TESTING
    /* Test builds alone: a test that scans memory needs memory that can be scanned. */
    const char *no = getenv("HF_TEST_NO_MEMFD_SECRET");
    return !no || strcmp(no, "1") != 0;
#else
    return true;
#endif
}

/* Puts secret memory in place of the reserved pages at start. */
static bool map_memfd(uint8_t *start, size_t len)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0)
        return false;
    bool mapped = ftruncate(fd, (off_t)len) == 0 &&
                  mmap(start, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == start;
    (void)close(fd);
    /* It is shared memory: without this a forked child would have it too. */
    return mapped && madvise(start, len, MADV_DONTFORK) == 0;
}

static bool map_locked(uint8_t *start, size_t len)
{
    if (mmap(start, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != start)
        return false;
    return mlock(start, len) == 0 && madvise(start, len, MADV_DONTDUMP) == 0 &&
           madvise(start, len, MADV_WIPEONFORK) == 0;
}

static bool map_parts(uint8_t *base, size_t stack_len, size_t heap_len, bool (*map)(uint8_t *, size_t))
{
    size_t page = page_bytes();
    uint8_t *stack = base + page;
    uint8_t *heap = stack + stack_len + page;
    if ((stack_len > 0 && !map(stack, stack_len)) || (heap_len > 0 && !map(heap, heap_len)))
        return false;
    /* Touched now: when memory is short we want to know before a secret exists. */
    memset(stack, 0, stack_len);
    memset(heap, 0, heap_len);
    return true;
}

/* The whole arena in one kind of memory, between guards; NULL when this kind can't be had. */
static uint8_t *map_arena(size_t stack_len, size_t heap_len, bool (*map)(uint8_t *, size_t))
{
    size_t total = stack_len + heap_len + 3 * page_bytes();
    uint8_t *base = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (map_parts(base, stack_len, heap_len, map))
        return base;
    (void)munmap(base, total);
    return NULL;
}

enum hf_result hf_secret_open(size_t stack_len, size_t heap_len, struct hf_error *error)
{
    HF_ASSERT(arena_kind == HF_SECRET_NONE);
    stack_len = round_to_pages(stack_len);
    heap_len = round_to_pages(heap_len);
    raise_memlock_limit();
    uint8_t *base = memfd_wanted() ? map_arena(stack_len, heap_len, map_memfd) : NULL;
    enum hf_secret_kind kind = HF_SECRET_MEMFD;
    if (!base) {
        base = map_arena(stack_len, heap_len, map_locked);
        kind = HF_SECRET_MLOCK;
    }
    if (!base)
        return hf_fail(error, HF_REFUSED,
                       "can't lock %zu KiB of memory for keys: raise the limit on locked memory (ulimit -l)",
                       (stack_len + heap_len) / 1024);
    arena_kind = kind;
    hf_secret_stack_init(base + page_bytes(), stack_len);
    hf_secret_heap_init(base + stack_len + 2 * page_bytes(), heap_len);
    swaps_fd = open("/proc/swaps", O_RDONLY | O_CLOEXEC);
    hf_secret_test_log_open();
    return HF_OK;
}

enum hf_secret_kind hf_secret_kind(void)
{
    return arena_kind;
}

void *hf_secret_big_alloc(size_t len, bool *ret_locked)
{
    size_t whole = round_to_pages(len);
    if (len == 0 || whole < len)
        return NULL;
    void *area = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED)
        return NULL;
    /* Huge pages are put together by copying, and what was copied from is not wiped. A kernel without them says EINVAL. */
    (void)madvise(area, whole, MADV_NOHUGEPAGE);
    if (madvise(area, whole, MADV_DONTDUMP) < 0 || madvise(area, whole, MADV_DONTFORK) < 0) {
        (void)munmap(area, whole);
        return NULL;
    }
    bool locked = mlock(area, whole) == 0;
    if (!locked)
        (void)munlock(area, whole);
    if (ret_locked)
        *ret_locked = locked;
    return area;
}

bool hf_secret_big_lockable(size_t len)
{
    size_t whole = round_to_pages(len);
    if (len == 0 || whole < len)
        return false;
    void *area = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED)
        return false;
    bool lockable = syscall(SYS_mlock2, area, whole, MLOCK_ONFAULT) == 0; /* not mlock: it would make every page */
    (void)munmap(area, whole);
    return lockable;
}

void hf_secret_big_free(void *p, size_t len)
{
    if (!p)
        return;
    explicit_bzero(p, len);
    (void)munmap(p, round_to_pages(len));
}

bool hf_secret_machine_swaps(void)
{
#ifdef HF_TESTING
    if (getenv("HF_TEST_SWAPS"))
        return true;
#endif
    char text[512];
    ssize_t len = swaps_fd < 0 ? -1 : TEMP_FAILURE_RETRY(pread(swaps_fd, text, sizeof text, 0));
    if (len <= 0)
        return true;
    /* The first line is a heading; anything after it is a swap area, zram included. */
    const char *heading_end = memchr(text, '\n', (size_t)len);
    return !heading_end || heading_end + 1 < text + len;
}
