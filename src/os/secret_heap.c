/* hf_secret_alloc and hf_secret_free: first fit over a free list in address order, headers inside the arena.
 *
 * Invariant: every byte of a free block behind its header is zero, so what is handed out need not be cleared. */
#include "os/secret_parts.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/result.h"
#include "os/secret.h"

enum { ALIGN_BYTES = 16 };

struct block {
    _Alignas(ALIGN_BYTES) size_t len; /* bytes, this header included */
    struct block *next;               /* the next free one; USED in a block that is handed out */
};
_Static_assert(sizeof(struct block) == ALIGN_BYTES, "a block's bytes are aligned as its header is");

/* No block can be there: a value that only a block in use carries. */
#define USED ((struct block *)(uintptr_t)0x05ec4e7u)

static pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *first_free;
static uintptr_t heap_start;
static uintptr_t heap_end;

void hf_secret_heap_init(void *start, size_t len)
{
    heap_start = (uintptr_t)start;
    heap_end = heap_start + len;
    if (len < 2 * sizeof(struct block))
        return;
    first_free = start;
    *first_free = (struct block){.len = len, .next = NULL};
}

/* Cuts what is needed off the front of the free block that *link points at. */
static void *take(struct block **link, size_t need)
{
    struct block *block = *link;
    if (block->len - need >= 2 * sizeof *block) {
        struct block *rest = (struct block *)(void *)((uint8_t *)block + need);
        *rest = (struct block){.len = block->len - need, .next = block->next};
        block->len = need;
        *link = rest;
    } else {
        *link = block->next;
    }
    block->next = USED;
    return block + 1;
}

void *hf_secret_alloc(size_t len)
{
    if (len > SIZE_MAX / 2)
        return NULL;
    size_t payload = len > 0 ? (len + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES : ALIGN_BYTES;
    size_t need = payload + sizeof(struct block);
    void *found = NULL;
    pthread_mutex_lock(&heap_lock);
    for (struct block **link = &first_free; *link && !found; link = &(*link)->next) {
        if ((*link)->len >= need) {
            found = take(link, need);
            break;
        }
    }
    pthread_mutex_unlock(&heap_lock);
    return found;
}

bool hf_secret_owns(const void *p, size_t *ret_len)
{
    uintptr_t at = (uintptr_t)p;
    if (at < heap_start + sizeof(struct block) || at >= heap_end)
        return false;
    if (ret_len)
        *ret_len = ((const struct block *)p - 1)->len - sizeof(struct block);
    return true;
}

/* Joins block with the one after it when they touch; the header that falls away is wiped. */
static void merge_with_next(struct block *block)
{
    struct block *next = block->next;
    if (!next || (uint8_t *)block + block->len != (uint8_t *)next)
        return;
    block->len += next->len;
    block->next = next->next;
    explicit_bzero(next, sizeof *next);
}

static void give_back(struct block *block)
{
    struct block *before = NULL;
    for (struct block *at = first_free; at && at < block; at = at->next)
        before = at;
    block->next = before ? before->next : first_free;
    if (before)
        before->next = block;
    else
        first_free = block;
    merge_with_next(block);
    if (before)
        merge_with_next(before);
}

void hf_secret_free(void *p_to_pointer)
{
    void **pointer = p_to_pointer;
    if (!*pointer)
        return;
    struct block *block = (struct block *)*pointer - 1;
    /* Bugs of ours, caught before they spread: a pointer from elsewhere, a second free, an overrun into the header. */
    HF_ASSERT((uintptr_t)block >= heap_start && (uintptr_t)block < heap_end);
    HF_ASSERT(block->next == USED && block->len <= heap_end - (uintptr_t)block);
    explicit_bzero(*pointer, block->len - sizeof *block);
    pthread_mutex_lock(&heap_lock);
    give_back(block);
    pthread_mutex_unlock(&heap_lock);
    *pointer = NULL;
}
