/* What stands in for the machine: randomness from a seed, an arena without locked memory (a fork keeps it), an allocator that can refuse. */
#include <string.h>
#include <sys/mman.h>

#include "disk.h"
#include "os/random.h"
#include "os/secret.h"
#include "standins.h"

/* --- randomness --- */

static uint64_t seed = 1;

void stand_seed(uint64_t value)
{
    seed = value * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void hf_random(void *out, size_t len)
{
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)out)[i] = (uint8_t)(next(&seed) >> 24);
}

/* --- memory --- */

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *p, size_t len);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *p, size_t len);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t len)
{
    return disk_alloc_fails() ? NULL : __real_malloc(len);
}

void *__wrap_calloc(size_t count, size_t len)
{
    return disk_alloc_fails() ? NULL : __real_calloc(count, len);
}

void *__wrap_realloc(void *p, size_t len)
{
    return disk_alloc_fails() ? NULL : __real_realloc(p, len);
}

char *__wrap_strdup(const char *text)
{
    return disk_alloc_fails() ? NULL : __real_strdup(text);
}

enum { ARENA_LEN = 16 << 20, STEP = 64, CLASSES = 2048 };
static uint8_t *arena;
static size_t arena_used;
static void *free_of[CLASSES]; /* by length / STEP */

struct head {
    size_t class;
    size_t magic;
};

enum hf_result hf_secret_open(size_t stack_len, size_t heap_len, struct hf_error *error)
{
    (void)stack_len, (void)heap_len, (void)error;
    arena = mmap(NULL, ARENA_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return arena == MAP_FAILED ? HF_NO_MEMORY : HF_OK;
}

void *hf_secret_alloc(size_t len)
{
    size_t class = (len + sizeof(struct head) + STEP - 1) / STEP;
    if (disk_alloc_fails() || class >= CLASSES)
        return NULL;
    void *block = free_of[class];
    if (block) {
        memcpy(&free_of[class], (uint8_t *)block + sizeof(struct head), sizeof(void *));
    } else if (arena_used + class * STEP > ARENA_LEN) {
        return NULL;
    } else {
        block = arena + arena_used;
        arena_used += class * STEP;
    }
    *(struct head *)block = (struct head){class, 0x5ec4e7};
    return memset((uint8_t *)block + sizeof(struct head), 0, class * STEP - sizeof(struct head));
}

bool hf_secret_owns(const void *p, size_t *ret_len)
{
    const uint8_t *at = p;
    if (!at || at < arena || at >= arena + ARENA_LEN)
        return false;
    if (ret_len)
        *ret_len = ((const struct head *)(const void *)(at - sizeof(struct head)))->class * STEP - sizeof(struct head);
    return true;
}

void hf_secret_free(void *p_to_pointer)
{
    void *p;
    memcpy(&p, p_to_pointer, sizeof p);
    memset(p_to_pointer, 0, sizeof p);
    if (!p)
        return;
    struct head *head = (void *)((uint8_t *)p - sizeof *head);
    if (head->magic != 0x5ec4e7)
        __builtin_trap();
    head->magic = 0;
    memcpy(p, &free_of[head->class], sizeof(void *));
    free_of[head->class] = head;
}

#ifdef HF_TESTING
void hf_test_note_secret(const char *label, const void *bytes, size_t len)
{
    (void)label, (void)bytes, (void)len;
}
#endif
