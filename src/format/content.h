/* format/content.h: where a file's bytes lie. Pure arithmetic. Source: spec/30-file.md [FC-1]…
 *
 * Page 0 holds the header and the first 3,392 bytes; page n >= 1 lies at n*4096 and holds 4,064 bytes behind a 32-byte head. */
#ifndef HF_FORMAT_CONTENT_H
#define HF_FORMAT_CONTENT_H

#include <stdint.h>

#define HF_PAGE_LEN 4096u
#define HF_PAGE_HEAD_LEN 32u
#define HF_PAGE_DATA_LEN 4064u
#define HF_INLINE_MAX 3392u
#define HF_HEADER_LEN 704u /* S 256, M 256, page head 32, D 160 */
#define HF_FILE_SIZE_MAX ((UINT64_C(1) << 50)) /* far beyond a disk; keeps all arithmetic in 63 bits */

static inline uint64_t hf_page_of(uint64_t offset)
{
    return offset < HF_INLINE_MAX ? 0 : 1 + (offset - HF_INLINE_MAX) / HF_PAGE_DATA_LEN;
}

/* First byte of the file that page n holds. */
static inline uint64_t hf_page_start(uint64_t page)
{
    return page == 0 ? 0 : HF_INLINE_MAX + (page - 1) * HF_PAGE_DATA_LEN;
}

static inline uint32_t hf_page_capacity(uint64_t page)
{
    return page == 0 ? HF_INLINE_MAX : HF_PAGE_DATA_LEN;
}

/* How many bytes of a file of that size page n holds (0 when it lies behind the end). */
static inline uint32_t hf_page_len(uint64_t page, uint64_t size)
{
    uint64_t start = hf_page_start(page);
    if (size <= start)
        return 0;
    uint64_t left = size - start;
    return left < hf_page_capacity(page) ? (uint32_t)left : hf_page_capacity(page);
}

/* L(P): the on-disk length of a settled file of P bytes. */
static inline uint64_t hf_disk_len(uint64_t size)
{
    if (size <= HF_INLINE_MAX)
        return HF_HEADER_LEN + size;
    uint64_t page = hf_page_of(size - 1);
    return page * HF_PAGE_LEN + HF_PAGE_HEAD_LEN + hf_page_len(page, size);
}

/* The inverse of L for a settled file. For a length that no size has (torn or damaged: its open tells) the bytes that would fit: none of the last
 * page where its head is not whole. */
static inline uint64_t hf_size_from_disk_len(uint64_t len)
{
    if (len <= HF_HEADER_LEN)
        return 0;
    if (len <= HF_PAGE_LEN)
        return len - HF_HEADER_LEN;
    uint64_t page = (len - 1) / HF_PAGE_LEN;
    uint64_t in_page = len - page * HF_PAGE_LEN;
    return hf_page_start(page) + (in_page > HF_PAGE_HEAD_LEN ? in_page - HF_PAGE_HEAD_LEN : 0);
}

#endif
