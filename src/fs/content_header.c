/* Page 0: loading, making and writing it. */
#include <stdlib.h>
#include <string.h>

#include "crypto/kdf.h"
#include "fs/content_page.h"
#include "fs/keyring.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/random.h"
#include "os/secret.h"

enum hf_result hf_content_errno(ssize_t negative)
{
    return hf_result_from_errno((int)-negative);
}

static void meta_mac(const struct hf_meta_key *key, const uint8_t file_id[16], const uint8_t bytes[HF_META_LEN], uint8_t out[16])
{
    struct hf_span info[] = {HF_SPAN(file_id, 16), HF_SPAN(bytes, HF_META_MACCED_LEN)};
    hf_kdf(HF_KDF_META_MAC, key->bytes, info, 2, out, 16);
}

enum hf_result hf_meta_seal(unsigned class, const uint8_t file_id[16], struct hf_file_meta *meta)
{
    uint8_t bytes[HF_META_LEN];
    struct hf_meta_key key;
    HF_TRY(hf_keyring_meta(class, &key));
    hf_file_meta_encode(meta, bytes);
    meta_mac(&key, file_id, bytes, meta->mac);
    hf_meta_key_wipe(&key);
    return HF_OK;
}

enum hf_result hf_meta_check(unsigned class, const uint8_t file_id[16], const uint8_t bytes[HF_META_LEN], struct hf_file_meta *ret)
{
    uint8_t mac[16];
    struct hf_meta_key key;
    HF_TRY(hf_file_meta_parse(bytes, ret));
    HF_TRY(hf_keyring_meta(class, &key));
    meta_mac(&key, file_id, bytes, mac);
    hf_meta_key_wipe(&key);
    return hf_equal_ct(mac, ret->mac, 16) ? HF_OK : HF_DAMAGED;
}

static struct hf_content *content_new(int fd)
{
    struct hf_content *content = calloc(1, sizeof *content);
    if (!content)
        return NULL;
    content->keys = hf_secret_alloc(sizeof *content->keys);
    if (!content->keys) {
        free(content);
        return NULL;
    }
    content->fd = fd;
    content->keys->gen[0] = content->keys->gen[1] = UINT32_MAX;
    return content;
}

void hf_content_free(struct hf_content **content)
{
    if (!*content)
        return;
    hf_secret_free(&(*content)->keys);
    hf_wipe(*content, sizeof **content);
    free(*content);
    *content = NULL;
}

enum hf_result hf_content_use_key(struct hf_content *content, struct hf_worker *worker, uint32_t gen)
{
    struct hf_content_keys *keys = content->keys;
    uint8_t bytes[4] = {(uint8_t)gen, (uint8_t)(gen >> 8), (uint8_t)(gen >> 16), (uint8_t)(gen >> 24)};
    struct hf_span info[] = {HF_SPAN_OF(bytes)};
    for (unsigned i = 0; i < 2; i++) {
        if (keys->gen[i] == gen)
            return hf_page_cipher_key(worker->cipher, &keys->page[i]);
    }
    /* Readers share the lock: the cache is written under the exclusive one alone (load, new generation). */
    struct hf_page_key key;
    hf_kdf(HF_KDF_PAGE_KEY, keys->file.bytes, info, 1, key.bytes, sizeof key.bytes);
    enum hf_result result = hf_page_cipher_key(worker->cipher, &key);
    hf_page_key_wipe(&key);
    return result;
}

static void cache_gen(struct hf_content *content, unsigned at, uint32_t gen)
{
    uint8_t bytes[4] = {(uint8_t)gen, (uint8_t)(gen >> 8), (uint8_t)(gen >> 16), (uint8_t)(gen >> 24)};
    struct hf_span info[] = {HF_SPAN_OF(bytes)};
    hf_kdf(HF_KDF_PAGE_KEY, content->keys->file.bytes, info, 1, content->keys->page[at].bytes, HF_PAGE_KEY_LEN);
    content->keys->gen[at] = gen;
}

static void page0_aad(const struct hf_content *content, const struct hf_page_head *head, uint8_t out[HF_PAGE0_AAD_LEN])
{
    hf_page_aad(head, content->header.file_id, 0, out);
    memcpy(out + HF_PAGE_AAD_LEN, content->s, HF_STATIC_LEN);
}

static enum hf_result open_page0(struct hf_content *content, uint8_t *page, size_t len)
{
    struct hf_worker *worker = hf_worker();
    struct hf_page_head head;
    uint8_t aad[HF_PAGE0_AAD_LEN];
    hf_page_head_parse(page + HF_HEAD_OFFSET, &head);
    if (head.len > HF_INLINE_MAX || HF_HEADER_LEN + head.len > len)
        return HF_DAMAGED;
    cache_gen(content, 0, head.gen);
    HF_TRY(hf_content_use_key(content, worker, head.gen));
    page0_aad(content, &head, aad);
    uint8_t *body = page + HF_DYNAMIC_OFFSET;
    HF_TRY(hf_page_cipher_open(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(body, HF_DYNAMIC_LEN + head.len), head.tag, body));
    HF_TRY(hf_file_dynamic_parse(body, &content->dynamic));
    if (content->dynamic.gen != head.gen)
        return HF_DAMAGED;
    memcpy(content->inline_data, body + HF_DYNAMIC_LEN, head.len);
    hf_wipe(page, HF_PAGE_LEN);
    return HF_OK;
}

/* In a window the file may have been cut short of P, never below C. */
static enum hf_result settle_length(struct hf_content *content)
{
    struct stat st;
    int failed = hf_disk->fstat(content->fd, &st);
    if (failed)
        return hf_content_errno(failed);
    uint64_t have = (uint64_t)st.st_size, want = hf_disk_len(content->dynamic.size);
    content->trim = have > want;
    content->trim_durable = content->trim;
    if (have >= want)
        return HF_OK;
    if (!content->in_window || have < hf_disk_len(content->dynamic.durable))
        return HF_DAMAGED;
    content->dynamic.size = hf_size_from_disk_len(have);
    if (content->dynamic.size < content->dynamic.durable)
        content->dynamic.size = content->dynamic.durable;
    return HF_OK;
}

static enum hf_result load(struct hf_content *content)
{
    uint8_t *page = hf_worker()->page;
    ssize_t got = hf_disk->pread(content->fd, page, HF_PAGE_LEN, 0);
    if (got < 0)
        return hf_content_errno(got);
    if (got < (ssize_t)HF_HEADER_LEN)
        return HF_DAMAGED;
    memcpy(content->s, page, HF_STATIC_LEN);
    HF_TRY(hf_file_static_parse(content->s, &content->header));
    HF_TRY(hf_meta_check(content->header.class, content->header.file_id, page + HF_META_OFFSET, &content->meta));
    HF_TRY(hf_keyring_open(content->s, &content->keys->file));
    uint8_t commitment[32];
    struct hf_span info[] = {HF_SPAN_OF(content->header.file_id)};
    hf_kdf(HF_KDF_FILE_COMMIT, content->keys->file.bytes, info, 1, commitment, sizeof commitment);
    if (!hf_equal_ct(commitment, content->header.commitment, sizeof commitment))
        return HF_DAMAGED;
    HF_TRY(open_page0(content, page, (size_t)got));
    content->in_window = content->dynamic.epoch > hf_settled;
    return settle_length(content);
}

enum hf_result hf_content_load(int fd, struct hf_content **ret)
{
    struct hf_content *content = content_new(fd);
    if (!content)
        return HF_NO_MEMORY;
    enum hf_result result = load(content);
    if (result != HF_OK) {
        hf_content_free(&content);
        return result;
    }
    *ret = content;
    return HF_OK;
}

enum hf_result hf_content_make(int fd, unsigned class, struct hf_content **ret)
{
    struct hf_content *content = content_new(fd);
    if (!content)
        return HF_NO_MEMORY;
    enum hf_result result = hf_keyring_make(class, content->s, &content->keys->file);
    if (result == HF_OK)
        result = hf_file_static_parse(content->s, &content->header);
    if (result != HF_OK) {
        hf_content_free(&content);
        return result;
    }
    content->never_synced = true;
    content->dynamic.gen = 1;
    cache_gen(content, 0, 1);
    *ret = content;
    return HF_OK;
}

enum hf_result hf_content_put_header(struct hf_content *content, uint32_t epoch)
{
    struct hf_worker *worker = hf_worker();
    struct hf_page_head head = {.gen = content->dynamic.gen, .len = hf_page_len(0, content->dynamic.size)};
    uint8_t aad[HF_PAGE0_AAD_LEN];
    uint8_t page[HF_PAGE_LEN];
    if (content->keys->gen[0] != content->dynamic.gen)
        cache_gen(content, 0, content->dynamic.gen);
    content->dynamic.version++;
    content->dynamic.writes++;
    content->dynamic.epoch = epoch;
    memcpy(page, content->s, HF_STATIC_LEN);
    hf_file_meta_encode(&content->meta, page + HF_META_OFFSET);
    hf_file_dynamic_encode(&content->dynamic, page + HF_DYNAMIC_OFFSET);
    memcpy(page + HF_HEADER_LEN, content->inline_data, head.len);
    hf_random(head.nonce, sizeof head.nonce);
    page0_aad(content, &head, aad);
    uint8_t *body = page + HF_DYNAMIC_OFFSET;
    enum hf_result result = hf_content_use_key(content, worker, head.gen);
    if (result == HF_OK)
        result = hf_page_cipher_seal(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(body, HF_DYNAMIC_LEN + head.len), body, head.tag);
    if (result != HF_OK) {
        hf_wipe(page, sizeof page);
        return result;
    }
    hf_page_head_encode(&head, page + HF_HEAD_OFFSET);
    ssize_t put = hf_disk->pwrite(content->fd, page, HF_HEADER_LEN + head.len, 0);
    return put < 0 ? hf_content_errno(put) : HF_OK;
}
