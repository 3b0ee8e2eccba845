/* Holes: fallocate, punch, zero range, SEEK_DATA and SEEK_HOLE. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/content_page.h"
#include "os/disk.h"

static const uint8_t zeros[HF_PAGE_DATA_LEN];

static enum hf_result zero_part(struct hf_content *content, uint64_t offset, uint64_t end)
{
    return offset < end ? hf_content_write(content, offset, zeros, (size_t)(end - offset)) : HF_OK;
}

/* Whole pages become holes, the edges zeros. end <= size. */
static enum hf_result punch(struct hf_content *content, uint64_t offset, uint64_t end)
{
    uint64_t first = hf_page_of(offset), last = hf_page_of(end - 1);
    if (first == 0 || hf_page_start(first) < offset) {
        uint64_t stop = hf_page_start(first + 1);
        HF_TRY(zero_part(content, offset, stop < end ? stop : end));
        first++;
    }
    if (first > last)
        return HF_OK;
    uint64_t last_end = hf_page_start(last + 1);
    if (end < last_end && end < content->dynamic.size) {
        HF_TRY(zero_part(content, hf_page_start(last), end));
        last--;
    }
    if (first > last)
        return HF_OK;
    HF_TRY(hf_content_before_pages(content, 0));
    struct hf_range before[HF_COVERS];
    memcpy(before, content->dynamic.cover, sizeof before);
    hf_content_cover(content, first, last - first + 1);
    content->filled = true; /* what cover merged, and pages that a failed punch leaves, come out of it again */
    enum hf_result result = hf_content_put_header(content, hf_epoch);
    if (result != HF_OK) {
        memcpy(content->dynamic.cover, before, sizeof before);
        content->header_due = true;
        return result;
    }
    HF_TRY(hf_content_barrier(content));
    int failed = hf_disk->fallocate(content->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * HF_PAGE_LEN),
                                    (off_t)((last - first + 1) * HF_PAGE_LEN));
    return failed ? hf_content_errno(failed) : HF_OK;
}

enum hf_result hf_content_fallocate(struct hf_content *content, int mode, uint64_t offset, uint64_t len)
{
    if (!content->keys)
        return HF_LOCKED;
    if (len == 0)
        return HF_USAGE;
    if (offset > HF_FILE_SIZE_MAX || len > HF_FILE_SIZE_MAX - offset)
        return HF_TOO_LARGE;
    uint64_t end = offset + len;
    if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) {
        if ((mode & ~(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE)) != 0)
            return HF_UNSUPPORTED;
        if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > content->dynamic.size)
            HF_TRY(hf_content_truncate(content, end));
        if (end > content->dynamic.size)
            end = content->dynamic.size;
        return offset < end ? punch(content, offset, end) : HF_OK;
    }
    if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0)
        return HF_UNSUPPORTED;
    /* Room first: without it the size stays. */
    int failed = hf_disk->fallocate(content->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)hf_disk_len(end));
    if (failed)
        return hf_content_errno(failed);
    return (mode & FALLOC_FL_KEEP_SIZE) == 0 && end > content->dynamic.size ? hf_content_truncate(content, end) : HF_OK;
}

/* The first page from `page` on that holds data, or HF_NOT_FOUND: a hole is a page inside cover that is not on the disk, or reads as zeros there. */
static enum hf_result next_data(struct hf_content *content, uint64_t page, uint64_t *ret)
{
    while (page > 0 && hf_cover_has(content->dynamic.cover, page)) {
        uint8_t head[HF_PAGE_HEAD_LEN] = {0};
        ssize_t got = hf_disk->pread(content->fd, head, sizeof head, (off_t)(page * HF_PAGE_LEN));
        if (got < 0)
            return hf_content_errno(got);
        if (!hf_page_is_zero(head))
            break;
        off_t at = hf_disk->lseek(content->fd, (off_t)(page * HF_PAGE_LEN), SEEK_DATA); /* over holes of the disk in one step */
        if (at == -ENXIO)
            return HF_NOT_FOUND;
        if (at < 0)
            return hf_content_errno(at);
        page = (uint64_t)at / HF_PAGE_LEN > page ? (uint64_t)at / HF_PAGE_LEN : page + 1;
    }
    *ret = page;
    return HF_OK;
}

static enum hf_result next_hole(struct hf_content *content, uint64_t page, uint64_t *ret)
{
    for (;; page++) {
        uint64_t data = 0;
        unsigned i = 0;
        while (i < HF_COVERS && content->dynamic.cover[i].start + content->dynamic.cover[i].count <= page)
            i++;
        if (i == HF_COVERS)
            return HF_NOT_FOUND;
        if (content->dynamic.cover[i].start > page)
            page = content->dynamic.cover[i].start;
        enum hf_result result = next_data(content, page, &data);
        if (result == HF_NOT_FOUND || (result == HF_OK && data > page)) {
            *ret = page;
            return HF_OK;
        }
        HF_TRY(result);
    }
}

static bool is_zero(const uint8_t *bytes, uint64_t len)
{
    for (uint64_t i = 0; i < len; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

enum hf_result hf_content_seek(struct hf_content *content, uint64_t offset, int whence, uint64_t *ret)
{
    if (!content->keys)
        return HF_LOCKED;
    uint64_t size = content->dynamic.size, page = hf_page_of(offset);
    if (offset >= size)
        return HF_NOT_FOUND;
    uint64_t data = 0;
    /* Page 1 begins in the disk's first block, as others count it. */
    bool first_block = size > HF_INLINE_MAX && page == 0 && next_data(content, 1, &data) == HF_OK && data == 1;
    if (page == 0 && !first_block && is_zero(content->inline_data, size < HF_INLINE_MAX ? size : HF_INLINE_MAX)) {
        *ret = offset;
        if (whence == SEEK_HOLE)
            return HF_OK;
        page = 1; /* what page 0 holds is on the disk always: zeros there count as a hole */
    }
    enum hf_result result = whence == SEEK_HOLE ? next_hole(content, page, &page) : next_data(content, page, &page);
    if (result == HF_NOT_FOUND || (result == HF_OK && hf_page_start(page) >= size)) {
        if (whence != SEEK_HOLE)
            return HF_NOT_FOUND;
        *ret = size;
        return HF_OK;
    }
    HF_TRY(result);
    uint64_t start = hf_page_start(page);
    *ret = start > offset ? start : offset;
    return HF_OK;
}
