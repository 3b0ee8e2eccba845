/* malloc for the whole program, tpm2-tss and OpenSSL included: from the secret arena, wiped when it is given back [EL-15]. tpm2-tss copies A into its
 * objects and commands and S out of answers, into memory that it frees without wiping.
 *
 * One thread, no lock. Before the arena is open (the dynamic linker, main's first lines) a small static area serves; no secret exists then.
 * Sanitized builds keep theirs. */
#if !defined(__SANITIZE_ADDRESS__)
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/secret.h"

enum { EARLY_LEN = 64 * 1024, ALIGN = 16, CLASSES = 24, SMALLEST = 32 };

/* Directly below what the caller gets. */
struct head {
    size_t len;
    void *base; /* the chunk; NULL: of the early area, never given back */
};
_Static_assert(sizeof(struct head) == ALIGN, "what follows the head is aligned as the head is");

/* A chunk's own head: which class it is of, and the next free one. Chunks go back to their class, not to the arena: OpenSSL frees and takes the same
 * sizes thousands of times an unlock, and a search through the arena's one list was most of an unlock's time. */
struct chunk {
    size_t class; /* CLASSES: too large for any, the arena's own */
    struct chunk *next;
};
_Static_assert(sizeof(struct chunk) == ALIGN, "as above");

static _Alignas(ALIGN) uint8_t early[EARLY_LEN];
static size_t early_used;
static struct chunk *free_chunks[CLASSES];

/* 32, 48, 64, 96, 128, … : two sizes a doubling. */
static size_t class_len(size_t class)
{
    size_t len = (size_t)SMALLEST << class / 2;
    return class % 2 ? len + len / 2 : len;
}

static void *take_chunk(size_t len)
{
    size_t class = 0;
    while (class < CLASSES && class_len(class) < len)
        class++;
    struct chunk *chunk = class < CLASSES ? free_chunks[class] : NULL;
    if (chunk) {
        free_chunks[class] = chunk->next;
        chunk->next = NULL;
        return chunk + 1;
    }
    chunk = hf_secret_alloc(sizeof *chunk + (class < CLASSES ? class_len(class) : len));
    if (!chunk)
        return NULL;
    chunk->class = class;
    return chunk + 1;
}

/* Wiped at once, so that every chunk that is handed out is zeroed. */
static void give_chunk(void *p)
{
    struct chunk *chunk = (struct chunk *)p - 1;
    if (chunk->class == CLASSES) {
        hf_secret_free(&chunk);
        return;
    }
    explicit_bzero(p, class_len(chunk->class));
    chunk->next = free_chunks[chunk->class];
    free_chunks[chunk->class] = chunk;
}

static uint8_t *take(size_t len, void **ret_base)
{
    if (hf_secret_kind() != HF_SECRET_NONE)
        return *ret_base = take_chunk(len);
    *ret_base = NULL;
    size_t need = (len + ALIGN - 1) / ALIGN * ALIGN;
    if (need > EARLY_LEN - early_used)
        return NULL;
    uint8_t *found = early + early_used;
    early_used += need;
    return found;
}

static void *get(size_t align, size_t len)
{
    void *base;
    size_t room = sizeof(struct head) + (align > ALIGN ? align : 0);
    if (len > SIZE_MAX / 4 || align > SIZE_MAX / 4 || len + room < len) {
        errno = ENOMEM;
        return NULL;
    }
    uint8_t *found = take(len + room, &base);
    if (!found) {
        errno = ENOMEM;
        return NULL;
    }
    uintptr_t at = (uintptr_t)found + sizeof(struct head);
    if (align > ALIGN)
        at = (at + align - 1) / align * align;
    struct head *head = (struct head *)at - 1;
    *head = (struct head){.len = len, .base = base};
    return head + 1;
}

void *malloc(size_t len)
{
    return get(ALIGN, len);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-use-after-free" /* this is free itself */
void free(void *p)
{
    if (!p)
        return;
    void *base = ((struct head *)p - 1)->base;
    if (base)
        give_chunk(base);
}
#pragma GCC diagnostic pop

/* Both areas hand out zeroed memory. */
void *calloc(size_t count, size_t len)
{
    if (len != 0 && count > SIZE_MAX / len) {
        errno = ENOMEM;
        return NULL;
    }
    return get(ALIGN, count * len);
}

void *realloc(void *p, size_t len)
{
    void *fresh = get(ALIGN, len);
    if (!p || !fresh)
        return fresh;
    size_t old = ((struct head *)p - 1)->len;
    memcpy(fresh, p, old < len ? old : len);
    free(p);
    return fresh;
}

void *memalign(size_t align, size_t len);
void *memalign(size_t align, size_t len)
{
    return get(align, len);
}

void *aligned_alloc(size_t align, size_t len)
{
    return get(align, len);
}

int posix_memalign(void **ret, size_t align, size_t len)
{
    void *found = get(align, len);
    if (!found)
        return ENOMEM;
    *ret = found;
    return 0;
}

size_t malloc_usable_size(void *p);
size_t malloc_usable_size(void *p)
{
    return p ? ((struct head *)p - 1)->len : 0;
}
#else
typedef int hf_the_sanitizer_has_its_own_heap;
#endif
