#include "fs/keyring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "crypto/kdf.h"
#include "keys/wipe.h"
#include "os/secret.h"
#include "proto/keys.h"
#include "proto/message.h"

enum { OLD_MAX = 16 };

struct made {
    uint8_t s[HF_STATIC_LEN];
    struct hf_file_key key;
};

/* What one generation of a class gives for names and metadata. */
struct class_keys {
    uint32_t generation; /* 0: empty */
    unsigned class;
    bool open; /* files of the class can be opened */
    bool has_name;
    struct hf_meta_key meta;
    struct hf_name_key name;
};

struct pool {
    unsigned len;
    struct made made[HF_KEYS_BATCH];
};

/* In the secret arena. */
struct ring {
    struct class_keys current[HF_CLASS_LAST + 1];
    struct class_keys old[OLD_MAX]; /* earlier generations, as they were asked for */
    unsigned next_old;
    struct pool pools[HF_CLASS_LAST + 1];
};

static pthread_mutex_t channel = PTHREAD_MUTEX_INITIALIZER; /* socket, buffer and pools; taken before state */
static pthread_rwlock_t state = PTHREAD_RWLOCK_INITIALIZER; /* current and old; both are written with channel held too */
static atomic_uint closing; /* a mask of classes */
static int enclave = -1;
static struct ring *ring;
static uint8_t *buffer;

/* channel held. request is built in a buffer of its own; the reply lies in the secret buffer. */
static enum hf_result ask(struct hf_writer *request, struct hf_reader *ret_body)
{
    struct hf_error verdict = {.result = HF_FAILED};
    HF_TRY(hf_call(enclave, request, NULL, 0, buffer, HF_IPC_MAX, -1, &verdict, ret_body));
    return verdict.result;
}

enum hf_result hf_keyring_start(int socket)
{
    enclave = socket;
    ring = hf_secret_alloc(sizeof *ring);
    buffer = hf_secret_alloc(HF_IPC_MAX);
    if (!ring || !buffer)
        return HF_NO_MEMORY;
    return hf_keyring_refresh();
}

/* channel held. generation 0: the current one. */
static enum hf_result fetch(unsigned class, uint32_t generation, struct class_keys *ret)
{
    uint8_t out[64];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_CLASS_KEYS);
    hf_write_u8(&request, (uint8_t)class);
    hf_write_u32(&request, generation);
    HF_TRY(ask(&request, &body));
    ret->class = class;
    ret->generation = hf_read_u32(&body);
    hf_read_bytes(&body, ret->meta.bytes, sizeof ret->meta.bytes);
    ret->open = hf_read_u8(&body) != 0;
    ret->has_name = hf_read_u8(&body) != 0;
    if (ret->has_name)
        hf_read_bytes(&body, ret->name.bytes, sizeof ret->name.bytes);
    enum hf_result result = hf_reader_end(&body);
    hf_wipe(buffer, HF_IPC_MAX);
    return result;
}

/* channel held. */
static enum hf_result fetch_current(unsigned class)
{
    struct class_keys keys = {0};
    enum hf_result result = fetch(class, 0, &keys);
    if (result == HF_OK || result == HF_LOCKED) {
        if (keys.generation != ring->current[class].generation) /* written with channel held alone: safe to read */
            hf_wipe(&ring->pools[class], sizeof ring->pools[class]); /* wrapped under a generation that has passed */
        pthread_rwlock_wrlock(&state);
        ring->current[class] = keys;
        pthread_rwlock_unlock(&state);
    }
    hf_wipe(&keys, sizeof keys);
    return result == HF_LOCKED ? HF_OK : result;
}

enum hf_result hf_keyring_refresh(void)
{
    enum hf_result result = HF_OK;
    pthread_mutex_lock(&channel);
    pthread_rwlock_wrlock(&state);
    hf_wipe(ring->old, sizeof ring->old);
    pthread_rwlock_unlock(&state);
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST && result == HF_OK; class++)
        result = fetch_current(class);
    pthread_mutex_unlock(&channel);
    return result;
}

/* state held. NULL when it is not there. */
static struct class_keys *find(unsigned class, uint32_t generation)
{
    if (class < HF_CLASS_FIRST || class > HF_CLASS_LAST || generation == 0)
        return NULL;
    if (ring->current[class].generation == generation)
        return &ring->current[class];
    for (unsigned i = 0; i < OLD_MAX; i++) {
        if (ring->old[i].class == class && ring->old[i].generation == generation)
            return &ring->old[i];
    }
    return NULL;
}

/* An earlier generation is asked for once and kept. */
static enum hf_result fetch_old(unsigned class, uint32_t generation)
{
    struct class_keys keys = {0};
    pthread_mutex_lock(&channel);
    enum hf_result result = fetch(class, generation, &keys);
    if (result == HF_OK) {
        pthread_rwlock_wrlock(&state);
        if (!find(class, generation))
            ring->old[ring->next_old++ % OLD_MAX] = keys;
        pthread_rwlock_unlock(&state);
    }
    pthread_mutex_unlock(&channel);
    hf_wipe(&keys, sizeof keys);
    return result == HF_NOT_FOUND ? HF_DAMAGED : result;
}

bool hf_keyring_has_name(unsigned class)
{
    pthread_rwlock_rdlock(&state);
    bool has = ring->current[class].has_name;
    pthread_rwlock_unlock(&state);
    return has;
}

bool hf_keyring_is_open(unsigned class)
{
    return !hf_keyring_is_closing(class) && hf_keyring_holds(class);
}

bool hf_keyring_is_closing(unsigned class)
{
    return (atomic_load(&closing) & HF_CLASS_BIT(class)) != 0;
}

void hf_keyring_closing(uint32_t mask)
{
    (void)atomic_fetch_or(&closing, mask);
}

bool hf_keyring_holds(unsigned class)
{
    pthread_rwlock_rdlock(&state);
    bool holds = ring->current[class].open;
    pthread_rwlock_unlock(&state);
    return holds;
}

uint32_t hf_keyring_generation(unsigned class)
{
    pthread_rwlock_rdlock(&state);
    uint32_t generation = ring->current[class].generation;
    pthread_rwlock_unlock(&state);
    return generation;
}

/* Copies one of the two keys; HF_NOT_FOUND: that generation was not asked for yet. */
static enum hf_result copy(unsigned class, uint32_t generation, struct hf_meta_key *meta, struct hf_name_key *name)
{
    enum hf_result result = HF_NOT_FOUND;
    pthread_rwlock_rdlock(&state);
    const struct class_keys *keys = find(class, generation);
    if (keys && meta)
        *meta = keys->meta;
    if (keys && name && keys->has_name)
        *name = keys->name;
    if (keys)
        result = meta || keys->has_name ? HF_OK : HF_LOCKED;
    else if (class >= HF_CLASS_FIRST && class <= HF_CLASS_LAST && ring->current[class].generation == 0)
        result = HF_LOCKED;
    pthread_rwlock_unlock(&state);
    return result;
}

static enum hf_result get(unsigned class, uint32_t generation, struct hf_meta_key *meta, struct hf_name_key *name);

/* [UO-8] What came before the first unlock: its names are under class always. */
static enum hf_result get_spool(uint32_t generation, struct hf_meta_key *meta)
{
    struct hf_meta_key always;
    if (!meta)
        return HF_DAMAGED;
    HF_TRY(get(HF_CLASS_ALWAYS, generation & ~HF_GENERATION_SPOOL, &always, NULL));
    hf_kdf(HF_KDF_SPOOL_META, always.bytes, NULL, 0, meta->bytes, sizeof meta->bytes);
    hf_meta_key_wipe(&always);
    return HF_OK;
}

static enum hf_result get(unsigned class, uint32_t generation, struct hf_meta_key *meta, struct hf_name_key *name)
{
    if (class == HF_CLASS_UNLESS_OPEN && generation & HF_GENERATION_SPOOL)
        return get_spool(generation, meta);
    if (class < HF_CLASS_FIRST || class > HF_CLASS_LAST || generation == 0)
        return HF_DAMAGED;
    enum hf_result result = copy(class, generation, meta, name);
    if (result != HF_NOT_FOUND)
        return result;
    HF_TRY(fetch_old(class, generation));
    return copy(class, generation, meta, name);
}

enum hf_result hf_keyring_meta(unsigned class, uint32_t generation, struct hf_meta_key *ret)
{
    return get(class, generation, ret, NULL);
}

enum hf_result hf_keyring_name(unsigned class, uint32_t generation, struct hf_name_key *ret)
{
    return get(class, generation, NULL, ret);
}

/* channel held. */
static enum hf_result fill_pool(unsigned class)
{
    uint8_t out[64];
    struct hf_writer request;
    struct hf_reader body;
    struct pool *pool = &ring->pools[class];
    hf_message_begin(&request, out, sizeof out, HF_KEYS_MAKE);
    hf_write_u8(&request, (uint8_t)class);
    hf_write_u8(&request, HF_KIND_REGULAR);
    hf_write_u8(&request, HF_KEYS_BATCH);
    HF_TRY(ask(&request, &body));
    for (unsigned i = 0; i < HF_KEYS_BATCH; i++) {
        hf_read_bytes(&body, pool->made[i].s, HF_STATIC_LEN);
        hf_read_bytes(&body, pool->made[i].key.bytes, HF_FILE_KEY_LEN);
    }
    enum hf_result result = hf_reader_end(&body);
    hf_wipe(buffer, HF_IPC_MAX);
    HF_TRY(result);
    pool->len = HF_KEYS_BATCH;
    return HF_OK;
}

/* A long symlink is rare, and a key of unless-open that nobody uses yet must not be there when a lock comes: made one by one. channel held. */
static enum hf_result make_one(unsigned class, unsigned kind, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    uint8_t out[64];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_MAKE);
    hf_write_u8(&request, (uint8_t)class);
    hf_write_u8(&request, (uint8_t)kind);
    hf_write_u8(&request, 1);
    HF_TRY(ask(&request, &body));
    hf_read_bytes(&body, ret_static, HF_STATIC_LEN);
    hf_read_bytes(&body, ret_key->bytes, HF_FILE_KEY_LEN);
    hf_wipe(buffer, 512);
    return hf_reader_end(&body);
}

enum hf_result hf_keyring_make(unsigned class, unsigned kind, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct pool *pool = &ring->pools[class];
    pthread_mutex_lock(&channel);
    enum hf_result result = HF_OK;
    if (kind != HF_KIND_REGULAR || class == HF_CLASS_UNLESS_OPEN) {
        result = make_one(class, kind, ret_static, ret_key);
    } else {
        result = pool->len > 0 ? HF_OK : fill_pool(class);
        if (result == HF_OK) {
            struct made *made = &pool->made[--pool->len];
            memcpy(ret_static, made->s, HF_STATIC_LEN);
            *ret_key = made->key;
            hf_file_key_wipe(&made->key);
        }
    }
    pthread_mutex_unlock(&channel);
    return result;
}

enum hf_result hf_keyring_rewrap(const uint8_t s[HF_STATIC_LEN], unsigned class, uint8_t ret_s[HF_STATIC_LEN])
{
    uint8_t out[HF_STATIC_LEN + 16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_REWRAP);
    hf_write_bytes(&request, s, HF_STATIC_LEN);
    hf_write_u8(&request, (uint8_t)class);
    pthread_mutex_lock(&channel);
    enum hf_result result = ask(&request, &body);
    if (result == HF_OK) {
        struct hf_span fresh = hf_read_view(&body, HF_STATIC_LEN);
        result = hf_reader_end(&body);
        if (result == HF_OK)
            memcpy(ret_s, fresh.data, HF_STATIC_LEN);
    }
    pthread_mutex_unlock(&channel);
    return result;
}

enum hf_result hf_keyring_open(const uint8_t s[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    uint8_t out[HF_STATIC_LEN + 16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_OPEN);
    hf_write_u8(&request, 1);
    hf_write_bytes(&request, s, HF_STATIC_LEN);
    pthread_mutex_lock(&channel);
    enum hf_result result = ask(&request, &body);
    if (result == HF_OK) {
        uint8_t verdict = hf_read_u8(&body);
        hf_read_bytes(&body, ret_key->bytes, HF_FILE_KEY_LEN);
        result = hf_reader_end(&body);
        if (result == HF_OK)
            result = verdict < HF_RESULT_COUNT ? (enum hf_result)verdict : HF_PROTOCOL;
        hf_wipe(buffer, 512);
    }
    pthread_mutex_unlock(&channel);
    return result;
}

void hf_keyring_drop(uint32_t mask)
{
    pthread_mutex_lock(&channel);
    pthread_rwlock_wrlock(&state);
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++) {
        if ((mask & HF_CLASS_BIT(class)) == 0)
            continue;
        ring->current[class].open = false;
        if (class != HF_CLASS_UNLESS_OPEN || mask & HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK)) {
            ring->current[class].has_name = false;
            hf_name_key_wipe(&ring->current[class].name);
        }
        hf_wipe(&ring->pools[class], sizeof ring->pools[class]);
    }
    hf_wipe(ring->old, sizeof ring->old);
    (void)atomic_fetch_and(&closing, ~mask);
    pthread_rwlock_unlock(&state);
    hf_wipe(buffer, HF_IPC_MAX);
    pthread_mutex_unlock(&channel);
}

static void wipe_current(bool always_too)
{
    pthread_mutex_lock(&channel);
    pthread_rwlock_wrlock(&state);
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++) {
        if (always_too || class != HF_CLASS_ALWAYS)
            hf_wipe(&ring->current[class], sizeof ring->current[class]);
    }
    hf_wipe(ring->old, sizeof ring->old);
    pthread_rwlock_unlock(&state);
    pthread_mutex_unlock(&channel);
}

void hf_keyring_drop_meta(void)
{
    wipe_current(false);
}

void hf_keyring_drop_all(void)
{
    if (!ring) /* death came before the start */
        return;
    hf_keyring_drop(~0u);
    wipe_current(true);
}

enum hf_result hf_keyring_head_open(uint32_t *ret_settled, uint8_t *ret_state, uint8_t ret_tips[2 * HF_INDEX_TIP_LEN], uint8_t *ret_age)
{
    uint8_t out[16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_HEAD_OPEN);
    pthread_mutex_lock(&channel);
    enum hf_result result = ask(&request, &body);
    if (result == HF_OK) {
        *ret_settled = hf_read_u32(&body);
        *ret_state = hf_read_u8(&body);
        hf_read_bytes(&body, ret_tips, (size_t)2 * HF_INDEX_TIP_LEN);
        *ret_age = hf_read_u8(&body);
        result = hf_reader_end(&body);
    }
    pthread_mutex_unlock(&channel);
    return result;
}

static enum hf_result head(uint16_t type, uint32_t epoch, const uint8_t *tips)
{
    uint8_t out[16 + 2 * HF_INDEX_TIP_LEN];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, type);
    hf_write_u32(&request, epoch);
    if (tips)
        hf_write_bytes(&request, tips, (size_t)2 * HF_INDEX_TIP_LEN);
    pthread_mutex_lock(&channel);
    enum hf_result result = ask(&request, &body);
    pthread_mutex_unlock(&channel);
    return result;
}

enum hf_result hf_keyring_head_settle(uint32_t epoch, const uint8_t tips[2 * HF_INDEX_TIP_LEN])
{
    return head(HF_KEYS_HEAD_SETTLE, epoch, tips);
}

enum hf_result hf_keyring_head_close(uint32_t epoch)
{
    return head(HF_KEYS_HEAD_CLOSE, epoch, NULL);
}

enum hf_result hf_keyring_head_accept(void)
{
    uint8_t out[16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_HEAD_ACCEPT);
    pthread_mutex_lock(&channel);
    enum hf_result result = ask(&request, &body);
    pthread_mutex_unlock(&channel);
    return result;
}
