/* What stands in for the machine: keys that follow from numbers, randomness from a seed, an arena without locked memory (a fork keeps it), the head in the disk's log,
 * an allocator that can refuse. */
#include "standins.h"

#include <string.h>
#include <sys/mman.h>

#include "crypto/kdf.h"
#include "crypto/wrap.h"
#include "disk.h"
#include "format/head.h"
#include "fs/keyring.h"
#include "os/random.h"
#include "os/secret.h"

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

/* --- keys --- */

uint32_t stand_generation[HF_CLASS_LAST + 1] = {0, 1, 1, 1, 1};
static uint64_t made;

static void bytes_of(unsigned class, uint64_t number, unsigned what, uint8_t *out, size_t len)
{
    uint8_t key[32] = {(uint8_t)class, (uint8_t)what};
    memcpy(key + 2, &number, sizeof number);
    hf_kdf(HF_KDF_NAME_KEY, key, NULL, 0, out, len);
}

enum hf_result hf_keyring_refresh(void)
{
    return HF_OK;
}

bool hf_keyring_has_name(unsigned class)
{
    (void)class;
    return true;
}

bool hf_keyring_is_open(unsigned class)
{
    (void)class;
    return true;
}

uint32_t hf_keyring_generation(unsigned class)
{
    return stand_generation[class];
}

enum hf_result hf_keyring_meta(unsigned class, uint32_t generation, struct hf_meta_key *ret)
{
    if (class < HF_CLASS_FIRST || class > HF_CLASS_LAST || generation == 0 || generation > stand_generation[class])
        return HF_DAMAGED;
    bytes_of(class, generation, 1, ret->bytes, sizeof ret->bytes);
    return HF_OK;
}

enum hf_result hf_keyring_name(unsigned class, uint32_t generation, struct hf_name_key *ret)
{
    if (class < HF_CLASS_FIRST || class > HF_CLASS_LAST || generation == 0 || generation > stand_generation[class])
        return HF_DAMAGED;
    bytes_of(class, generation, 2, ret->bytes, sizeof ret->bytes);
    return HF_OK;
}

/* The wrap holds the file key itself. */
enum hf_result hf_keyring_make(unsigned class, unsigned kind, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct hf_file_static s = {.kind = (uint8_t)kind, .class = (uint8_t)class, .class_generation = stand_generation[class], .wrap_algorithm = HF_WRAP_CLASS, .wrap_len = 104};
    struct hf_span id = HF_SPAN_OF(s.file_id);
    hf_random(s.file_id, sizeof s.file_id);
    bytes_of(0, ++made ^ next(&seed), 3, ret_key->bytes, sizeof ret_key->bytes);
    memcpy(s.wrap, ret_key->bytes, sizeof ret_key->bytes);
    hf_kdf(HF_KDF_FILE_COMMIT, ret_key->bytes, &id, 1, s.commitment, sizeof s.commitment);
    hf_file_static_encode(&s, ret_static);
    return HF_OK;
}

enum hf_result hf_keyring_open(const uint8_t bytes[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct hf_file_static s;
    HF_TRY(hf_file_static_parse(bytes, &s));
    memcpy(ret_key->bytes, s.wrap, sizeof ret_key->bytes);
    return HF_OK;
}

enum hf_result hf_keyring_rewrap(const uint8_t bytes[HF_STATIC_LEN], unsigned class, uint8_t ret_s[HF_STATIC_LEN])
{
    struct hf_file_static s;
    HF_TRY(hf_file_static_parse(bytes, &s));
    s.class_generation = stand_generation[class];
    s.class = (uint8_t)class;
    hf_file_static_encode(&s, ret_s);
    return HF_OK;
}

void hf_keyring_drop(uint32_t mask)
{
    (void)mask;
}

void hf_keyring_drop_all(void)
{
}

/* --- the head, which the enclave keeps durably --- */

enum hf_result hf_keyring_head_accept(void)
{
    return HF_OK;
}

enum hf_result hf_keyring_head_open(uint32_t *ret_settled, uint8_t *ret_state, uint8_t ret_tips[2 * HF_INDEX_TIP_LEN], uint8_t *ret_age)
{
    *ret_age = 0;
    memset(ret_tips, 0, 2 * HF_INDEX_TIP_LEN);
    *ret_settled = disk_now->head_settled;
    *ret_state = (uint8_t)disk_now->head_state;
    disk_mark(DISK_HEAD, disk_now->head_settled, HF_HEAD_OPEN);
    return HF_OK;
}

enum hf_result hf_keyring_head_settle(uint32_t epoch, const uint8_t tips[2 * HF_INDEX_TIP_LEN])
{
    (void)tips;
    disk_mark(DISK_HEAD, epoch, HF_HEAD_OPEN);
    return HF_OK;
}

enum hf_result hf_keyring_head_close(uint32_t epoch)
{
    disk_mark(DISK_HEAD, epoch, HF_HEAD_CLOSED);
    return HF_OK;
}
