#include "fs/morenames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "crypto/kdf.h"
#include "fs/errno.h"
#include "fs/keyring.h"
#include "os/disk.h"
#include "os/file.h"

enum { NAME_LEN = 48, GROW = 64 };

int hf_more_records(bool make)
{
    int vault = -1, records = -1;
    enum hf_result result = hf_dir_open(hf_node_of(HF_TREE_ROOT)->fd, ".holdfast", false, &vault);
    if (result == HF_OK)
        result = hf_dir_open(vault, "links", make, &records);
    hf_cleanup_fd(&vault);
    return result == HF_OK ? records : -hf_errno(result);
}

static void record_name(const struct hf_content *content, uint32_t number, char out[NAME_LEN])
{
    hf_base64url_encode(content->header.file_id, HF_FILE_ID_LEN, out);
    size_t len = strlen(out);
    (void)snprintf(out + len, NAME_LEN - len, ".%x", number);
}

static int digest(const struct hf_content *content, uint32_t number, const uint8_t (*slots)[HF_SLOT_LEN], uint32_t count, uint8_t out[32])
{
    struct hf_meta_key key;
    const uint8_t bytes[4] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), (uint8_t)(number >> 24)};
    struct hf_span info[] = {HF_SPAN_OF(content->header.file_id), HF_SPAN_OF(bytes), HF_SPAN((const uint8_t *)slots, (size_t)count * HF_SLOT_LEN)};
    enum hf_result result = hf_keyring_meta(content->header.class, content->header.class_generation, &key);
    if (result == HF_OK)
        hf_kdf(HF_KDF_MORE_NAMES, key.bytes, info, 3, out, 32);
    hf_meta_key_wipe(&key);
    return -hf_errno(result);
}

static int grow(struct hf_content *content, uint32_t want)
{
    uint32_t cap = want + want / 4 + GROW;
    if (content->more && content->more->cap >= want)
        return 0;
    struct hf_more *more = realloc(content->more, sizeof *more + (size_t)cap * HF_SLOT_LEN);
    if (!more)
        return -ENOMEM;
    if (!content->more)
        memset(more, 0, sizeof *more);
    more->cap = cap;
    content->more = more;
    return 0;
}

static int load(struct hf_content *content)
{
    const struct hf_file_meta *meta = &content->meta;
    uint8_t now[32] = {0};
    char name[NAME_LEN];
    if (content->more || meta->more_number == 0)
        return 0;
    uint32_t count = meta->more_current + meta->more_old;
    size_t len = 0;
    if (count > 2 * HF_NAMES_MAX)
        return -EIO;
    int records = hf_more_records(false);
    int failed = records < 0 ? -EIO : grow(content, count);
    record_name(content, meta->more_number, name);
    if (!failed && hf_file_read(records, name, content->more->slots, (size_t)content->more->cap * HF_SLOT_LEN, &len) != HF_OK)
        failed = -EIO;
    if (!failed && len != (size_t)count * HF_SLOT_LEN)
        failed = -EIO;
    if (!failed)
        failed = digest(content, meta->more_number, content->more->slots, count, now);
    if (!failed && !hf_equal_ct(now, meta->more_digest, sizeof now))
        failed = -EIO;
    hf_cleanup_fd(&records);
    if (failed) {
        free(content->more);
        content->more = NULL;
        return failed;
    }
    content->more->current = meta->more_current;
    content->more->old = content->in_window ? meta->more_old : 0;
    return 0;
}

static bool find(const struct hf_more *more, const uint8_t slot[HF_SLOT_LEN], uint32_t count, uint32_t *ret)
{
    for (uint32_t i = 0; more && i < count; i++) {
        if (hf_equal_ct(more->slots[i], slot, HF_SLOT_LEN)) {
            *ret = i;
            return true;
        }
    }
    return false;
}

int hf_more_room(struct hf_node *file)
{
    struct hf_content *content = file->content;
    int failed = load(content);
    uint32_t used = content->more ? content->more->current + content->more->old : 0;
    if (!failed && content->more && content->more->current + content->meta.current >= HF_NAMES_MAX)
        return -EMLINK;
    return failed ? failed : grow(content, used + 1);
}

bool hf_more_has(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    uint32_t at;
    if (load(file->content) != 0 || !file->content->more)
        return false;
    return find(file->content->more, slot, file->content->more->current + file->content->more->old, &at);
}

static void swap(struct hf_more *more, uint32_t a, uint32_t b)
{
    uint8_t held[HF_SLOT_LEN];
    memcpy(held, more->slots[a], sizeof held);
    memmove(more->slots[a], more->slots[b], sizeof held);
    memcpy(more->slots[b], held, sizeof held);
}

void hf_more_add(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    struct hf_more *more = file->content->more;
    uint32_t end = more->current + more->old;
    HF_ASSERT(end < more->cap);
    memcpy(more->slots[end], slot, HF_SLOT_LEN);
    swap(more, more->current++, end);
    more->dirty = true;
}

bool hf_more_drop(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    uint32_t at;
    if (load(file->content) != 0 || !file->content->more || !find(file->content->more, slot, file->content->more->current, &at))
        return false;
    struct hf_more *more = file->content->more;
    swap(more, at, --more->current);
    more->old++;
    more->dirty = true;
    return true;
}

/* Durable at once: the header that names it may be on the disk before anything else is. */
static int put(const char *name, struct hf_span slots)
{
    int records = hf_more_records(true), failed = records < 0 ? records : 0;
    if (!failed)
        failed = -hf_errno(hf_file_replace(records, name, slots));
    hf_cleanup_fd(&records);
    return failed;
}

int hf_more_store(struct hf_node *file)
{
    struct hf_content *content = file->content;
    struct hf_file_meta *meta = &content->meta;
    struct hf_more *more = content->more;
    char name[NAME_LEN];
    uint8_t now[32] = {0};
    if (!more || !more->dirty)
        return 0;
    while (more->current > 0 && meta->current + meta->old < (int)HF_SLOTS) {
        memmove(meta->slots[meta->current + 1], meta->slots[meta->current], (size_t)meta->old * HF_SLOT_LEN);
        memcpy(meta->slots[meta->current++], more->slots[--more->current], HF_SLOT_LEN);
        swap(more, more->current, more->current + more->old);
    }
    uint32_t count = more->current + more->old, number = count ? meta->more_number + 1 : 0;
    number = count && number == 0 ? 1 : number;
    if (count) {
        record_name(content, number, name);
        int failed = digest(content, number, more->slots, count, now);
        if (!failed)
            failed = put(name, HF_SPAN((const uint8_t *)more->slots, (size_t)count * HF_SLOT_LEN));
        if (failed)
            return failed;
    }
    more->obsolete = meta->more_number;
    meta->more_number = number;
    meta->more_current = more->current;
    meta->more_old = more->old;
    memcpy(meta->more_digest, now, sizeof now);
    more->dirty = false;
    return 0;
}

static void forget_record(const struct hf_content *content, uint32_t number)
{
    char name[NAME_LEN];
    int records = number ? hf_more_records(false) : -1;
    record_name(content, number, name);
    if (records >= 0)
        (void)hf_disk->unlinkat(records, name, 0);
    hf_cleanup_fd(&records);
}

void hf_more_settled(struct hf_node *file)
{
    struct hf_more *more = file->content->more;
    if (!more || more->dirty)
        return;
    forget_record(file->content, more->obsolete);
    more->obsolete = 0;
    more->dirty = more->old > 0; /* the next header that is written anyway says so */
    more->old = 0;
}

int hf_more_replace(struct hf_node *file, const uint8_t (*slots)[HF_SLOT_LEN], uint32_t count)
{
    struct hf_content *content = file->content;
    struct hf_file_meta *meta = &content->meta;
    uint32_t inside = count < HF_SLOTS ? count : HF_SLOTS;
    if (count > inside && grow(content, count - inside) != 0)
        return -ENOMEM;
    memset(meta->slots, 0, sizeof meta->slots);
    memcpy(meta->slots, slots, (size_t)inside * HF_SLOT_LEN);
    meta->current = (uint8_t)inside;
    meta->old = 0;
    if (content->more || meta->more_number) {
        if (grow(content, 1) != 0)
            return -ENOMEM;
        if (count > inside)
            memcpy(content->more->slots, slots + inside, (size_t)(count - inside) * HF_SLOT_LEN);
        content->more->current = count - inside;
        content->more->old = 0;
        content->more->dirty = true;
    }
    return 0;
}

void hf_more_remove(struct hf_node *file)
{
    if (file->content)
        forget_record(file->content, file->content->meta.more_number);
}
