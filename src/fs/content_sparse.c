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
    hf_cover_add(content->dynamic.cover, first, last - first + 1);
    enum hf_result result = hf_content_put_header(content, hf_epoch);
    if (result != HF_OK) {
        memcpy(content->dynamic.cover, before, sizeof before);
        return result;
    }
    content->filled = true; /* what cover merged, and pages that a failed punch leaves, come out of it again */
    int failed = hf_disk->fdatasync(content->fd);
    if (!failed)
        failed = hf_disk->fallocate(content->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first * HF_PAGE_LEN),
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
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && end > content->dynamic.size)
        HF_TRY(hf_content_truncate(content, end));
    int failed = hf_disk->fallocate(content->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)hf_disk_len(end));
    return failed ? hf_content_errno(failed) : HF_OK;
}

/* A page is a hole when it is inside cover and its head reads as zeros. */
static enum hf_result is_hole(struct hf_content *content, uint64_t page, bool *ret)
{
    uint8_t head[HF_PAGE_HEAD_LEN] = {0};
    *ret = false;
    if (page == 0 || !hf_cover_has(content->dynamic.cover, page))
        return HF_OK;
    ssize_t got = hf_disk->pread(content->fd, head, sizeof head, (off_t)(page * HF_PAGE_LEN));
    if (got < 0)
        return hf_content_errno(got);
    *ret = hf_page_is_zero(head);
    return HF_OK;
}

/* The page where the answer for this one may change: a hole lasts while the disk has none either, at most as long as its cover; what is outside cover is
 * data up to the next cover. */
static enum hf_result next_of(struct hf_content *content, uint64_t page, bool hole, uint64_t *ret)
{
    uint64_t next = hole ? page + 1 : UINT64_MAX;
    for (unsigned i = 0; i < HF_COVERS; i++) {
        const struct hf_range *range = &content->dynamic.cover[i];
        bool inside = range->count && page >= range->start && page - range->start < range->count;
        if (inside)
            next = hole ? range->start + range->count : page + 1;
        else if (!hole && range->count && range->start > page && range->start < next)
            next = range->start;
    }
    if (hole) {
        off_t data = hf_disk->lseek(content->fd, (off_t)(page * HF_PAGE_LEN), SEEK_DATA);
        if (data < 0 && data != -ENXIO)
            return hf_content_errno(data);
        uint64_t there = data < 0 ? next : (uint64_t)data / HF_PAGE_LEN;
        next = there <= page ? page + 1 : there < next ? there : next;
    }
    *ret = next;
    return HF_OK;
}

enum hf_result hf_content_seek(struct hf_content *content, uint64_t offset, int whence, uint64_t *ret)
{
    if (!content->keys)
        return HF_LOCKED;
    uint64_t size = content->dynamic.size;
    if (offset >= size)
        return HF_NOT_FOUND;
    for (uint64_t page = hf_page_of(offset), last = hf_page_of(size - 1); page <= last;) {
        bool hole;
        HF_TRY(is_hole(content, page, &hole));
        if (hole == (whence == SEEK_HOLE)) {
            uint64_t start = hf_page_start(page);
            *ret = start > offset ? start : offset;
            return HF_OK;
        }
        HF_TRY(next_of(content, page, hole, &page));
    }
    if (whence != SEEK_HOLE)
        return HF_NOT_FOUND;
    *ret = size;
    return HF_OK;
}
