/* fs/content_page.h: inside fs/content_*.c only. */
#ifndef HF_FS_CONTENT_PAGE_H
#define HF_FS_CONTENT_PAGE_H

#include "fs/content.h"
#include "fs/worker.h"

/* Zeroed, in the secret arena; NULL when that is full. */
struct hf_content_keys *hf_content_keys_new(void);
void hf_content_keys_free(struct hf_content_keys **keys);
/* This thread's cipher is set to the generation's page key. */
HF_MUST_USE enum hf_result hf_content_use_key(struct hf_content *content, struct hf_worker *worker, uint32_t gen);
/* Seals len bytes as page n into out (32 + len bytes). */
HF_MUST_USE enum hf_result hf_content_seal_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *plain, uint32_t len,
                                                uint8_t *out);
/* Opens page n from sealed (avail bytes of it are there) into out, a whole page's capacity, zero-filled behind. *ret_len: bytes that are there (0: a hole). */
HF_MUST_USE enum hf_result hf_content_open_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *sealed, size_t avail,
                                                uint8_t *out, uint32_t *ret_len);
/* Reads and opens one page n >= 1 into out. */
HF_MUST_USE enum hf_result hf_content_get_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, uint8_t *out, uint32_t *ret_len);
/* Writes count sealed pages from `first` on; the last is last_len bytes long, and buffer has a whole page's room for it [CR-8]. */
HF_MUST_USE enum hf_result hf_content_put_pages(struct hf_content *content, uint64_t first, uint8_t *buffer, size_t count, size_t last_len);
/* fdatasync: what was written so far is durable. */
HF_MUST_USE enum hf_result hf_content_barrier(struct hf_content *content);
/* What follows from an fsync or fdatasync that ended so. */
HF_MUST_USE enum hf_result hf_content_synced(struct hf_content *content, int failed);
/* As the barrier, page 0 first when it is due. */
HF_MUST_USE enum hf_result hf_content_sync_header(struct hf_content *content);
HF_MUST_USE enum hf_result hf_content_set_length(struct hf_content *content, uint64_t length);
/* Before pages are written: the generation's header is durable, a shrunk file's edge page is clipped, a used-up generation makes room for the next. */
HF_MUST_USE enum hf_result hf_content_before_pages(struct hf_content *content, uint64_t pages);
/* Takes at once what lies behind the end, and what the floors guard against, from the disk. */
HF_MUST_USE enum hf_result hf_content_finish_cut(struct hf_content *content);
/* A growth that failed: what it left behind the end is to be cut. */
void hf_content_growth_failed(struct hf_content *content);
void hf_content_cover(struct hf_content *content, uint64_t first, uint64_t count);
enum hf_result hf_content_errno(ssize_t negative);

static inline uint64_t hf_content_ragged(uint64_t length)
{
    return length % HF_PAGE_LEN != 0 ? length / HF_PAGE_LEN : UINT64_MAX;
}

static inline uint64_t hf_content_whole_pages(uint64_t length)
{
    return (length + HF_PAGE_LEN - 1) / HF_PAGE_LEN * HF_PAGE_LEN;
}

#endif
