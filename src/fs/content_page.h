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
/* Opens page n from sealed (avail bytes of it are there) into out, a whole page's capacity, zero-filled behind. *ret_len: bytes that were stored (0: a hole). */
HF_MUST_USE enum hf_result hf_content_open_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *sealed, size_t avail,
                                                uint8_t *out, uint32_t *ret_len);
/* Reads and opens one page n >= 1 into out. */
HF_MUST_USE enum hf_result hf_content_get_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, uint8_t *out, uint32_t *ret_len);
/* Before pages are written: a pending shrink's header becomes durable and its edge page is clipped; a used-up generation makes room for the next. */
HF_MUST_USE enum hf_result hf_content_before_pages(struct hf_content *content, uint64_t pages);
/* Makes room in the floors at once: what they guard against is taken from the disk. */
HF_MUST_USE enum hf_result hf_content_flush_floors(struct hf_content *content);
/* Pages between the old end and end become a hole. */
void hf_content_cover_gap(struct hf_content *content, uint64_t end);
enum hf_result hf_content_errno(ssize_t negative);

#endif
