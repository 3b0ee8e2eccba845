#include "fs/keyring.h"

#include <pthread.h>

#include "keys/wipe.h"
#include "os/secret.h"
#include "proto/keys.h"
#include "proto/message.h"

struct made {
    uint8_t s[HF_STATIC_LEN];
    struct hf_file_key key;
};

struct class_entry {
    uint32_t generation;
    bool has_meta, has_name;
    struct hf_meta_key meta;
    struct hf_name_key name;
    unsigned pool_len;
    struct made pool[HF_KEYS_BATCH];
};

static pthread_mutex_t channel = PTHREAD_MUTEX_INITIALIZER; /* socket and buffer; taken before state */
static pthread_rwlock_t state = PTHREAD_RWLOCK_INITIALIZER;
static int enclave = -1;
static struct class_entry *classes; /* in the secret arena, by class number */
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
    classes = hf_secret_alloc(sizeof *classes * (HF_CLASS_LAST + 1));
    buffer = hf_secret_alloc(HF_IPC_MAX);
    if (!classes || !buffer)
        return HF_NO_MEMORY;
    return hf_keyring_refresh();
}

static enum hf_result fetch_class(unsigned class)
{
    uint8_t out[64];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_CLASS_KEYS);
    hf_write_u8(&request, (uint8_t)class);
    hf_write_u32(&request, 0);
    enum hf_result result = ask(&request, &body);
    struct class_entry *entry = &classes[class];
    if (result == HF_LOCKED) {
        pthread_rwlock_wrlock(&state);
        entry->has_meta = entry->has_name = false;
        pthread_rwlock_unlock(&state);
        return HF_OK;
    }
    HF_TRY(result);
    pthread_rwlock_wrlock(&state);
    entry->generation = hf_read_u32(&body);
    hf_read_bytes(&body, entry->meta.bytes, sizeof entry->meta.bytes);
    entry->has_name = hf_read_u8(&body) != 0;
    if (entry->has_name)
        hf_read_bytes(&body, entry->name.bytes, sizeof entry->name.bytes);
    result = hf_reader_end(&body);
    entry->has_meta = result == HF_OK;
    entry->has_name = entry->has_name && result == HF_OK;
    pthread_rwlock_unlock(&state);
    hf_wipe(buffer, HF_IPC_MAX);
    return result;
}

enum hf_result hf_keyring_refresh(void)
{
    enum hf_result result = HF_OK;
    pthread_mutex_lock(&channel);
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST && result == HF_OK; class++)
        result = fetch_class(class);
    pthread_mutex_unlock(&channel);
    return result;
}

bool hf_keyring_has_meta(unsigned class)
{
    return classes[class].has_meta;
}

bool hf_keyring_has_name(unsigned class)
{
    return classes[class].has_name;
}

uint32_t hf_keyring_generation(unsigned class)
{
    return classes[class].generation;
}

enum hf_result hf_keyring_meta(unsigned class, struct hf_meta_key *ret)
{
    pthread_rwlock_rdlock(&state);
    bool there = classes[class].has_meta;
    if (there)
        *ret = classes[class].meta;
    pthread_rwlock_unlock(&state);
    return there ? HF_OK : HF_LOCKED;
}

enum hf_result hf_keyring_name(unsigned class, struct hf_name_key *ret)
{
    pthread_rwlock_rdlock(&state);
    bool there = classes[class].has_name;
    if (there)
        *ret = classes[class].name;
    pthread_rwlock_unlock(&state);
    return there ? HF_OK : HF_LOCKED;
}

/* channel held. */
static enum hf_result fill_pool(unsigned class)
{
    uint8_t out[64];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, HF_KEYS_MAKE);
    hf_write_u8(&request, (uint8_t)class);
    hf_write_u8(&request, HF_KIND_REGULAR);
    hf_write_u8(&request, HF_KEYS_BATCH);
    HF_TRY(ask(&request, &body));
    struct class_entry *entry = &classes[class];
    for (unsigned i = 0; i < HF_KEYS_BATCH; i++) {
        hf_read_bytes(&body, entry->pool[i].s, HF_STATIC_LEN);
        hf_read_bytes(&body, entry->pool[i].key.bytes, HF_FILE_KEY_LEN);
    }
    enum hf_result result = hf_reader_end(&body);
    hf_wipe(buffer, HF_IPC_MAX);
    HF_TRY(result);
    entry->pool_len = HF_KEYS_BATCH;
    return HF_OK;
}

enum hf_result hf_keyring_make(unsigned class, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct class_entry *entry = &classes[class];
    pthread_mutex_lock(&channel);
    enum hf_result result = entry->pool_len > 0 ? HF_OK : fill_pool(class);
    if (result == HF_OK) {
        struct made *made = &entry->pool[--entry->pool_len];
        memcpy(ret_static, made->s, HF_STATIC_LEN);
        *ret_key = made->key;
        hf_file_key_wipe(&made->key);
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
        classes[class].has_name = false;
        hf_name_key_wipe(&classes[class].name);
        classes[class].pool_len = 0;
        hf_wipe(classes[class].pool, sizeof classes[class].pool);
    }
    pthread_rwlock_unlock(&state);
    pthread_mutex_unlock(&channel);
}

void hf_keyring_drop_all(void)
{
    hf_keyring_drop(~0u);
    pthread_rwlock_wrlock(&state);
    hf_wipe(classes, sizeof *classes * (HF_CLASS_LAST + 1));
    pthread_rwlock_unlock(&state);
}

enum hf_result hf_keyring_head_open(uint32_t *ret_settled, uint8_t *ret_state)
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
        result = hf_reader_end(&body);
    }
    pthread_mutex_unlock(&channel);
    return result;
}

static enum hf_result head(uint16_t type, uint32_t epoch)
{
    uint8_t out[16];
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, out, sizeof out, type);
    hf_write_u32(&request, epoch);
    pthread_mutex_lock(&channel);
    enum hf_result result = ask(&request, &body);
    pthread_mutex_unlock(&channel);
    return result;
}

enum hf_result hf_keyring_head_settle(uint32_t epoch)
{
    return head(HF_KEYS_HEAD_SETTLE, epoch);
}

enum hf_result hf_keyring_head_close(uint32_t epoch)
{
    return head(HF_KEYS_HEAD_CLOSE, epoch);
}
