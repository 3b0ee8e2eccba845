#include <stdio.h>

#include "enclave/enclave.h"
#include "format/fileheader.h"
#include "keys/file_key.h"
#include "os/random.h"
#include "proto/keys.h"

#pragma GCC poison memcmp strcpy sprintf

/* NULL when the class's key is not there now. */
static const struct hf_keybag_entry *there(const struct hf_enclave *e, unsigned class, uint32_t generation)
{
    return class >= HF_CLASS_FIRST && class <= HF_CLASS_LAST && e->available & HF_CLASS_BIT(class) ? hf_keystore_find(e, class, generation) : NULL;
}

static void commitment(const struct hf_file_key *key, const uint8_t id[16], uint8_t out[32])
{
    struct hf_span info = HF_SPAN(id, 16);
    hf_kdf(HF_KDF_FILE_COMMIT, key->bytes, &info, 1, out, 32);
}

/* As there; class unless-open needs its public half alone, which is there from the first unlock on. */
static const struct hf_keybag_entry *there_to_wrap(const struct hf_enclave *e, unsigned class)
{
    return class == HF_CLASS_UNLESS_OPEN && e->meta & HF_CLASS_BIT(class) ? hf_keystore_find(e, class, 0) : there(e, class, 0);
}

/* [UO-8] Before the first unlock the public half in the header, which is under the device key's MAC, is all there is of class unless-open: such a file's MACs are under
 * class always, whose entry stands in for the class's. */
static const struct hf_keybag_entry *there_for_spool(const struct hf_enclave *e, unsigned class)
{
    return class == HF_CLASS_UNLESS_OPEN && !(e->meta & HF_CLASS_BIT(class)) ? there(e, HF_CLASS_ALWAYS, 0) : NULL;
}

/* Wraps key under entry into s and encodes it. */
static enum hf_result seal(const struct hf_enclave *e, struct hf_file_static *s, unsigned class, const struct hf_keybag_entry *entry, const struct hf_file_key *key,
                           uint8_t out[HF_STATIC_LEN])
{
    enum hf_result result = HF_OK;
    s->class = (uint8_t)class;
    s->class_generation = entry->generation;
    if (entry->class != class) {
        s->class_generation |= HF_GENERATION_SPOOL;
        s->flags |= HF_STATIC_UNVERIFIED;
    }
    s->wrap_algorithm = class == HF_CLASS_UNLESS_OPEN ? HF_WRAP_UNLESS_OPEN : HF_WRAP_CLASS;
    s->wrap_len = sizeof s->wrap;
    hf_file_static_encode(s, out);
    if (class == HF_CLASS_UNLESS_OPEN)
        result = hf_onepass_seal(e->header.unless_open_public, HF_SPAN(out, HF_STATIC_AAD_LEN), key, s->wrap);
    else
        hf_wrap(HF_KDF_FILE_WRAP, entry->key.bytes, HF_SPAN(out, HF_STATIC_AAD_LEN), HF_SPAN_OF(key->bytes), s->wrap);
    commitment(key, s->file_id, s->commitment);
    hf_file_static_encode(s, out);
    return result;
}

/* Which pair it was for the header could not say: the wrap's commitment does. */
static enum hf_result open_spool(const struct hf_enclave *e, const uint8_t bytes[HF_STATIC_LEN], const struct hf_file_static *s, struct hf_file_key *ret_key)
{
    for (uint32_t i = 0; i < e->user_keys.count; i++) {
        const struct hf_keybag_entry *entry = &e->user_keys.entries[i];
        if (entry->class == HF_CLASS_UNLESS_OPEN && hf_onepass_open(&entry->key, HF_SPAN(bytes, HF_STATIC_AAD_LEN), s->wrap, ret_key) == HF_OK)
            return HF_OK;
    }
    return HF_DAMAGED;
}

static enum hf_result open_wrap(const struct hf_enclave *e, const uint8_t bytes[HF_STATIC_LEN], const struct hf_file_static *s, struct hf_file_key *ret_key)
{
    if (s->wrap_algorithm != (s->class == HF_CLASS_UNLESS_OPEN ? HF_WRAP_UNLESS_OPEN : HF_WRAP_CLASS))
        return HF_DAMAGED;
    if (s->class_generation & HF_GENERATION_SPOOL)
        return open_spool(e, bytes, s, ret_key);
    const struct hf_keybag_entry *entry = hf_keystore_find(e, s->class, s->class_generation);
    if (!entry)
        return HF_DAMAGED;
    if (s->class == HF_CLASS_UNLESS_OPEN)
        return hf_onepass_open(&entry->key, HF_SPAN(bytes, HF_STATIC_AAD_LEN), s->wrap, ret_key);
    return hf_unwrap(HF_KDF_FILE_WRAP, entry->key.bytes, HF_SPAN(bytes, HF_STATIC_AAD_LEN), HF_SPAN_OF(s->wrap), ret_key->bytes);
}

static enum hf_result open_one(const struct hf_enclave *e, const uint8_t bytes[HF_STATIC_LEN], struct hf_file_static *ret, struct hf_file_key *ret_key)
{
    uint8_t check[32];
    HF_TRY(hf_file_static_parse(bytes, ret));
    if (!(e->available & HF_CLASS_BIT(ret->class)))
        return HF_LOCKED;
    HF_TRY(open_wrap(e, bytes, ret, ret_key));
    commitment(ret_key, ret->file_id, check);
    if (hf_equal_ct(check, ret->commitment, sizeof check))
        return HF_OK;
    hf_file_key_wipe(ret_key);
    return HF_DAMAGED;
}

/* Test builds alone: what a memory scan looks for. */
static void note(const char *what, unsigned class, const void *bytes, size_t len)
{
#ifdef HF_TESTING
    char label[48];
    (void)snprintf(label, sizeof label, "%s-%s", what, hf_class_name(class));
    hf_test_note_secret(label, bytes, len);
#else
    (void)what;
    (void)class;
    (void)bytes;
    (void)len;
#endif
}

static enum hf_result on_info(struct hf_enclave *e, struct hf_exchange *x)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_write_bytes(&x->out, e->header.vault_id, 16);
    hf_write_u32(&x->out, e->available);
    hf_write_u32(&x->out, e->meta);
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++) {
        const struct hf_keybag_entry *entry = hf_keystore_find(e, class, 0);
        hf_write_u32(&x->out, entry ? entry->generation : 0);
    }
    return HF_OK;
}

static enum hf_result on_class_keys(struct hf_enclave *e, struct hf_exchange *x)
{
    uint8_t class = hf_read_u8(&x->in);
    uint32_t generation = hf_read_u32(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || class < HF_CLASS_FIRST || class > HF_CLASS_LAST)
        return HF_PROTOCOL;
    if (!(e->meta & HF_CLASS_BIT(class)))
        return HF_LOCKED;
    const struct hf_keybag_entry *entry = hf_keystore_find(e, class, generation);
    if (!entry)
        return HF_NOT_FOUND;
    bool open = (e->available & HF_CLASS_BIT(class)) != 0;
    bool name = open || class == HF_CLASS_UNLESS_OPEN; /* [UO-5] */
    hf_write_u32(&x->out, entry->generation);
    note("meta-key", class, entry->meta.bytes, sizeof entry->meta.bytes);
    hf_write_bytes(&x->out, entry->meta.bytes, sizeof entry->meta.bytes);
    hf_write_u8(&x->out, open);
    hf_write_u8(&x->out, name);
    if (name) {
        uint8_t key[64];
        if (class == HF_CLASS_UNLESS_OPEN)
            hf_kdf(HF_KDF_OPEN_NAME_KEY, entry->meta.bytes, NULL, 0, key, sizeof key);
        else
            hf_kdf(HF_KDF_NAME_KEY, entry->key.bytes, NULL, 0, key, sizeof key);
        note("name-key", class, key, sizeof key);
        hf_write_bytes(&x->out, key, sizeof key);
        hf_wipe(key, sizeof key);
    }
    return HF_OK;
}

static enum hf_result on_make(struct hf_enclave *e, struct hf_exchange *x)
{
    uint8_t class = hf_read_u8(&x->in);
    uint8_t kind = hf_read_u8(&x->in);
    uint8_t n = hf_read_u8(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || n == 0 || n > HF_KEYS_BATCH || kind < HF_KIND_REGULAR || kind > HF_KIND_LONG_SYMLINK)
        return HF_PROTOCOL;
    const struct hf_keybag_entry *entry = there_to_wrap(e, class);
    if (!entry)
        entry = there_for_spool(e, class);
    enum hf_result result = entry ? HF_OK : HF_LOCKED;
    for (unsigned i = 0; i < n && result == HF_OK; i++) {
        uint8_t bytes[HF_STATIC_LEN];
        struct hf_file_static s = {.kind = kind};
        struct hf_file_key key;
        hf_random(s.file_id, sizeof s.file_id);
        hf_random(key.bytes, sizeof key.bytes);
        result = seal(e, &s, class, entry, &key, bytes);
        note("file-key", class, key.bytes, sizeof key.bytes);
        hf_write_bytes(&x->out, bytes, sizeof bytes);
        hf_write_bytes(&x->out, key.bytes, sizeof key.bytes);
        hf_file_key_wipe(&key);
    }
    return result;
}

static enum hf_result on_open(struct hf_enclave *e, struct hf_exchange *x)
{
    uint8_t n = hf_read_u8(&x->in);
    struct hf_span all = hf_read_view(&x->in, (size_t)n * HF_STATIC_LEN);
    if (hf_reader_end(&x->in) != HF_OK || n == 0 || n > HF_KEYS_BATCH)
        return HF_PROTOCOL;
    for (unsigned i = 0; i < n; i++) {
        struct hf_file_static s;
        struct hf_file_key key = {0};
        enum hf_result result = open_one(e, all.data + (size_t)i * HF_STATIC_LEN, &s, &key);
        if (result == HF_OK)
            note("file-key", s.class, key.bytes, sizeof key.bytes);
        hf_write_u8(&x->out, (uint8_t)result);
        hf_write_bytes(&x->out, key.bytes, sizeof key.bytes);
        hf_file_key_wipe(&key);
    }
    return HF_OK;
}

static enum hf_result on_rewrap(struct hf_enclave *e, struct hf_exchange *x)
{
    struct hf_span given = hf_read_view(&x->in, HF_STATIC_LEN);
    uint8_t class = hf_read_u8(&x->in);
    uint8_t bytes[HF_STATIC_LEN];
    struct hf_file_static s;
    struct hf_file_key key = {0};
    if (hf_reader_end(&x->in) != HF_OK || class < HF_CLASS_FIRST || class > HF_CLASS_LAST)
        return HF_PROTOCOL;
    const struct hf_keybag_entry *entry = there_to_wrap(e, class);
    if (!entry)
        return HF_LOCKED;
    enum hf_result result = open_one(e, given.data, &s, &key);
    if (result == HF_OK)
        result = seal(e, &s, class, entry, &key, bytes);
    if (result == HF_OK) {
        hf_write_bytes(&x->out, bytes, sizeof bytes);
    }
    hf_file_key_wipe(&key);
    return result;
}

enum hf_result hf_filekeys_request(struct hf_enclave *e, uint16_t request, struct hf_exchange *x)
{
    if (!e->device)
        return request >= HF_KEYS_INFO && request <= HF_KEYS_HEAD_ACCEPT ? HF_LOCKED : HF_PROTOCOL;
    switch (request) {
    case HF_KEYS_INFO: return on_info(e, x);
    case HF_KEYS_CLASS_KEYS: return on_class_keys(e, x);
    case HF_KEYS_MAKE: return on_make(e, x);
    case HF_KEYS_OPEN: return on_open(e, x);
    case HF_KEYS_REWRAP: return on_rewrap(e, x);
    case HF_KEYS_HEAD_OPEN:
    case HF_KEYS_HEAD_SETTLE:
    case HF_KEYS_HEAD_CLOSE:
    case HF_KEYS_HEAD_ACCEPT: return hf_head_request(e, request, x);
    default: return HF_PROTOCOL;
    }
}
