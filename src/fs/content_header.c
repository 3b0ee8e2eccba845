/* Page 0: label, unsealing, making and writing it. Source: spec/30-file.md [FH-1] [FC-2]. */
#include <stdlib.h>
#include <string.h>

#include "crypto/kdf.h"
#include "fs/content_page.h"
#include "fs/keyring.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/file.h"

/* The count on disk runs this far ahead, so that overwriting in place needs a header once in so many pages. */
enum { WRITES_AHEAD = 4096 };

enum hf_result hf_content_errno(ssize_t negative)
{
    return hf_result_from_errno((int)-negative);
}

bool hf_content_unsealed(const struct hf_content *content)
{
    return content->keys != NULL;
}

/* --- metadata --- */

/* [UO-3] The wrap of class unless-open can be made by anyone who has its public half: there the MAC covers the static part too. */
static enum hf_result meta_mac(const struct hf_content *content, const uint8_t bytes[HF_META_LEN], uint8_t out[16])
{
    const struct hf_file_static *header = &content->header;
    struct hf_meta_key key;
    bool whole = header->class == HF_CLASS_UNLESS_OPEN;
    struct hf_span info[] = {whole ? HF_SPAN_OF(content->s) : HF_SPAN_OF(header->file_id), HF_SPAN(bytes, HF_META_MACCED_LEN)};
    HF_TRY(hf_keyring_meta(header->class, header->class_generation, &key));
    hf_kdf(whole ? HF_KDF_OPEN_META_MAC : HF_KDF_META_MAC, key.bytes, info, 2, out, 16);
    hf_meta_key_wipe(&key);
    return HF_OK;
}

static enum hf_result meta_seal(struct hf_content *content, uint32_t epoch, uint8_t out[HF_META_LEN])
{
    content->meta.version++;
    content->meta.epoch = epoch;
    struct hf_file_meta said = content->meta;
    if (content->attr_ahead) {
        memcpy(said.attr_mac, content->attr_durable, sizeof said.attr_mac);
        memcpy(said.xattr_digest, content->xattr_durable, sizeof said.xattr_digest);
    }
    hf_file_meta_encode(&said, out);
    HF_TRY(meta_mac(content, out, said.mac));
    hf_file_meta_encode(&said, out);
    return HF_OK;
}

void hf_content_attr_moves(struct hf_content *content)
{
    if (!content->attr_ahead) {
        memcpy(content->attr_durable, content->meta.attr_mac, sizeof content->attr_durable);
        memcpy(content->xattr_durable, content->meta.xattr_digest, sizeof content->xattr_durable);
    }
    content->attr_ahead = true;
    content->attr_epoch = hf_epoch;
}

void hf_content_attr_is_durable(struct hf_content *content)
{
    content->attr_ahead = false;
}

static enum hf_result label(struct hf_content *content)
{
    uint8_t page[HF_HEADER_LEN], mac[16];
    ssize_t got = hf_disk->pread(content->fd, page, sizeof page, 0);
    if (got < 0)
        return hf_content_errno(got);
    static const uint8_t nothing[HF_HEAD_OFFSET];
    if (got < (ssize_t)sizeof page || hf_equal_ct(page, nothing, sizeof nothing))
        return HF_NOT_FOUND;
    memcpy(content->s, page, HF_STATIC_LEN);
    HF_TRY(hf_file_static_parse(content->s, &content->header));
    HF_TRY(hf_file_meta_parse(page + HF_META_OFFSET, &content->meta));
    HF_TRY(meta_mac(content, page + HF_META_OFFSET, mac));
    if (!hf_equal_ct(mac, content->meta.mac, sizeof mac))
        return HF_DAMAGED;
    content->in_window = content->meta.epoch > hf_settled;
    if (!content->in_window) { /* old names need no place any more */
        memset(content->meta.slots[content->meta.current], 0, (size_t)(HF_SLOTS - content->meta.current) * HF_SLOT_LEN);
        content->meta.old = 0;
    }
    return HF_OK;
}

enum hf_result hf_content_label(int fd, struct hf_content **ret)
{
    struct hf_content *content = calloc(1, sizeof *content);
    if (!content)
        return HF_NO_MEMORY;
    content->fd = fd;
    enum hf_result result = label(content);
    if (result != HF_OK) {
        hf_content_free(&content);
        return result;
    }
    *ret = content;
    return HF_OK;
}

void hf_content_forget(struct hf_content *content)
{
    hf_content_keys_free(&content->keys);
    hf_wipe(content->inline_data, sizeof content->inline_data);
    hf_wipe(&content->dynamic, sizeof content->dynamic);
    content->cut = content->cut_seen = HF_CUT_NONE;
    content->size_seen = content->length_seen = 0;
    content->gen_seen = UINT32_MAX;
    content->header_due = content->gen_due = content->loose = content->ahead = content->filled = content->filled_seen = false;
}

void hf_content_free(struct hf_content **content)
{
    if (!*content)
        return;
    hf_content_forget(*content);
    free((*content)->more);
    free(*content);
    *content = NULL;
}

/* --- keys --- */

static void page_key(const struct hf_content_keys *keys, uint32_t gen, struct hf_page_key *ret)
{
    uint8_t bytes[4] = {(uint8_t)gen, (uint8_t)(gen >> 8), (uint8_t)(gen >> 16), (uint8_t)(gen >> 24)};
    struct hf_span info[] = {HF_SPAN_OF(bytes)};
    hf_kdf(HF_KDF_PAGE_KEY, keys->file.bytes, info, 1, ret->bytes, sizeof ret->bytes);
}

/* Readers share the lock: the current generation's key alone is kept; an older one costs a derivation (0.15 us). */
enum hf_result hf_content_use_key(struct hf_content *content, struct hf_worker *worker, uint32_t gen)
{
    struct hf_page_key key;
    if (content->keys->gen == gen)
        return hf_page_cipher_key(worker->cipher, &content->keys->page);
    page_key(content->keys, gen, &key);
    enum hf_result result = hf_page_cipher_key(worker->cipher, &key);
    hf_page_key_wipe(&key);
    return result;
}

static void keep_gen(struct hf_content *content, uint32_t gen)
{
    page_key(content->keys, gen, &content->keys->page);
    content->keys->gen = gen;
}

/* --- the sealed part --- */

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
    keep_gen(content, head.gen);
    HF_TRY(hf_content_use_key(content, worker, head.gen));
    page0_aad(content, &head, aad);
    uint8_t *body = page + HF_DYNAMIC_OFFSET;
    HF_TRY(hf_page_cipher_open(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(body, HF_DYNAMIC_LEN + head.len), head.tag, body));
    HF_TRY(hf_file_dynamic_parse(body, &content->dynamic));
    if (content->dynamic.gen != head.gen || head.len != hf_page_len(0, content->dynamic.size))
        return HF_DAMAGED;
    memcpy(content->inline_data, body + HF_DYNAMIC_LEN, head.len);
    return HF_OK;
}

static enum hf_result load(struct hf_content *content)
{
    uint8_t *page = hf_worker()->page, commitment[32];
    ssize_t got = hf_disk->pread(content->fd, page, HF_PAGE_LEN, 0);
    if (got < 0)
        return hf_content_errno(got);
    if (got < (ssize_t)HF_HEADER_LEN || !hf_equal_ct(page, content->s, HF_STATIC_LEN))
        return HF_DAMAGED;
    HF_TRY(hf_keyring_open(content->s, &content->keys->file));
    struct hf_span info[] = {HF_SPAN_OF(content->header.file_id)};
    hf_kdf(HF_KDF_FILE_COMMIT, content->keys->file.bytes, info, 1, commitment, sizeof commitment);
    if (!hf_equal_ct(commitment, content->header.commitment, sizeof commitment))
        return HF_DAMAGED;
    enum hf_result result = open_page0(content, page, (size_t)got);
    hf_wipe(page, HF_PAGE_LEN);
    return result;
}

/* [CR-3] In a window the pages behind C may be missing, torn, short or stale: the file ends before the first of those. */
static enum hf_result find_end(struct hf_content *content, uint64_t *ret)
{
    struct hf_worker *worker = hf_worker();
    const struct hf_file_dynamic *dynamic = &content->dynamic;
    uint64_t size = dynamic->size;
    for (uint64_t page = hf_page_of(dynamic->durable); size > HF_INLINE_MAX && page <= hf_page_of(size - 1); page++) {
        uint32_t stored = 0;
        if (page == 0)
            continue; /* its bytes came with the header */
        enum hf_result result = hf_content_get_page(content, worker, page, worker->page, &stored);
        hf_wipe(worker->page, HF_PAGE_LEN);
        if (result != HF_OK && result != HF_DAMAGED)
            return result;
        bool hole = result == HF_OK && stored == 0;
        if (result == HF_OK && (hole || stored >= hf_page_len(page, size)))
            continue;
        uint64_t end = hf_page_start(page) + (result == HF_OK ? stored : 0);
        *ret = end > dynamic->durable ? end : dynamic->durable;
        return HF_OK;
    }
    *ret = size;
    return HF_OK;
}

/* True when nothing lies behind the end but the rest of its page. */
static bool ends_clean(struct hf_content *content)
{
    struct hf_worker *worker = hf_worker();
    uint64_t size = content->dynamic.size;
    uint32_t stored = 0;
    if (content->length > hf_content_whole_pages(hf_disk_len(size)) || content->dynamic.floors[0].gen != 0)
        return false;
    if (size <= HF_INLINE_MAX)
        return true; /* page 0 was opened with exactly its length */
    enum hf_result result = hf_content_get_page(content, worker, hf_page_of(size - 1), worker->page, &stored);
    hf_wipe(worker->page, HF_PAGE_LEN);
    return result == HF_OK && stored <= hf_page_len(hf_page_of(size - 1), size);
}

static enum hf_result fit_length(struct hf_content *content)
{
    struct stat st;
    uint64_t end;
    int failed = hf_disk->fstat(content->fd, &st);
    if (failed)
        return hf_content_errno(failed);
    content->length = content->reach = (uint64_t)st.st_size;
    content->ragged = content->ragged_seen = hf_content_ragged(content->length);
    content->ragged_next = UINT64_MAX;
    if (content->length < hf_disk_len(content->in_window ? content->dynamic.durable : content->dynamic.size))
        return HF_DAMAGED;
    if (content->in_window) {
        HF_TRY(find_end(content, &end));
        bool holes_missing = content->length < hf_disk_len(end); /* alone: a shorter end too may lie behind holes, and is not promised before the length is there */
        if (holes_missing) {
            content->ahead = true;
            HF_TRY(hf_content_set_length(content, hf_content_whole_pages(hf_disk_len(end))));
        }
        if (end < content->dynamic.size)
            return hf_content_truncate(content, end);
        if (holes_missing)
            return HF_OK;
    } else {
        content->dynamic.durable = content->dynamic.size;
    }
    if (content->length == hf_disk_len(content->dynamic.size))
        return HF_OK;
    if (ends_clean(content))
        content->ahead = true;
    else
        hf_content_growth_failed(content); /* [CR-2] an ordinary shrink that did not come to its end, or a growth without its header */
    return HF_OK;
}

enum hf_result hf_content_unseal(struct hf_content *content)
{
    if (content->keys)
        return HF_OK;
    content->keys = hf_content_keys_new();
    if (!content->keys)
        return HF_NO_MEMORY;
    enum hf_result result = load(content);
    if (result == HF_OK) {
        content->writes = content->dynamic.writes;
        content->version = content->dynamic.version;
        content->found = content->dynamic.size;
        content->in_window = content->in_window || content->dynamic.epoch > hf_settled;
        result = fit_length(content);
    }
    if (result != HF_OK)
        hf_content_forget(content);
    return result;
}

enum hf_result hf_content_make(int fd, unsigned class, unsigned kind, struct hf_content **ret)
{
    struct hf_content *content = calloc(1, sizeof *content);
    if (!content)
        return HF_NO_MEMORY;
    content->fd = fd;
    content->keys = hf_content_keys_new();
    enum hf_result result = content->keys ? hf_keyring_make(class, kind, content->s, &content->keys->file) : HF_NO_MEMORY;
    if (result == HF_OK)
        result = hf_file_static_parse(content->s, &content->header);
    if (result != HF_OK) {
        hf_content_free(&content);
        return result;
    }
    content->ragged = content->ragged_next = content->ragged_seen = UINT64_MAX;
    content->dynamic.gen = 1;
    keep_gen(content, 1);
    *ret = content;
    return HF_OK;
}

/* --- writing --- */

enum hf_result hf_content_put_meta(struct hf_content *content, uint32_t epoch)
{
    uint8_t bytes[HF_META_LEN];
    HF_TRY(meta_seal(content, epoch, bytes));
    ssize_t put = hf_disk->pwrite(content->fd, bytes, sizeof bytes, HF_META_OFFSET);
    return put < 0 ? hf_content_errno(put) : HF_OK;
}

enum hf_result hf_content_put_header(struct hf_content *content, uint32_t epoch)
{
    struct hf_worker *worker = hf_worker();
    struct hf_page_head head = {.gen = content->dynamic.gen, .len = hf_page_len(0, content->dynamic.size)};
    uint8_t aad[HF_PAGE0_AAD_LEN], page[HF_PAGE_LEN];
    if (!content->keys)
        return HF_LOCKED;
    if (content->keys->gen != content->dynamic.gen)
        keep_gen(content, content->dynamic.gen);
    content->dynamic.version++;
    content->dynamic.epoch = epoch;
    content->dynamic.writes = ++content->writes + WRITES_AHEAD;
    memcpy(page, content->s, HF_STATIC_LEN);
    HF_TRY(meta_seal(content, epoch, page + HF_META_OFFSET));
    hf_worker_nonce(worker, head.nonce);
    page0_aad(content, &head, aad);
    uint8_t *body = page + HF_DYNAMIC_OFFSET;
    enum hf_result result = hf_content_use_key(content, worker, head.gen);
    hf_file_dynamic_encode(&content->dynamic, body);
    memcpy(page + HF_HEADER_LEN, content->inline_data, head.len);
    if (result == HF_OK)
        result = hf_page_cipher_seal(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(body, HF_DYNAMIC_LEN + head.len), body, head.tag);
    if (result != HF_OK) {
        hf_wipe(page, sizeof page);
        return result;
    }
    hf_page_head_encode(&head, page + HF_HEAD_OFFSET);
    HF_TRY(hf_content_put_pages(content, 0, page, 1, HF_HEADER_LEN + head.len));
    content->version = content->dynamic.version;
    content->header_due = false;
    return HF_OK;
}

enum hf_result hf_content_rewrap(struct hf_content *content, unsigned class)
{
    uint8_t s[HF_STATIC_LEN];
    struct hf_file_static header;
    if (!content->keys)
        return HF_LOCKED;
    HF_TRY(hf_keyring_rewrap(content->s, class, s));
    HF_TRY(hf_file_static_parse(s, &header));
    memcpy(content->s, s, sizeof s);
    content->header = header;
    return HF_OK;
}
