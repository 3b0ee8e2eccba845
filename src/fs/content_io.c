/* Reading and writing pages. */
#include <string.h>

#include "fs/content_page.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

enum hf_result hf_content_seal_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *plain, uint32_t len, uint8_t *out)
{
    struct hf_page_head head = {.gen = content->dynamic.gen, .len = len};
    uint8_t aad[HF_PAGE_AAD_LEN];
    HF_TRY(hf_content_use_key(content, worker, head.gen));
    hf_random(head.nonce, sizeof head.nonce);
    hf_page_aad(&head, content->header.file_id, page, aad);
    HF_TRY(hf_page_cipher_seal(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(plain, len), out + HF_PAGE_HEAD_LEN, head.tag));
    hf_page_head_encode(&head, out);
    return HF_OK;
}

/* A page that is not there: a hole inside cover; in a window behind C the file was cut (zeros: its bytes were never promised); else damage. */
static enum hf_result missing(const struct hf_content *content, uint64_t page)
{
    if (hf_cover_has(content->dynamic.cover, page))
        return HF_OK;
    return content->in_window && hf_page_start(page) >= content->dynamic.durable ? HF_OK : HF_DAMAGED;
}

enum hf_result hf_content_open_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *sealed, size_t avail,
                                    uint8_t *out, uint32_t *ret_len)
{
    struct hf_page_head head;
    uint8_t aad[HF_PAGE_AAD_LEN];
    *ret_len = 0;
    memset(out, 0, HF_PAGE_DATA_LEN);
    if (avail < HF_PAGE_HEAD_LEN || hf_page_is_zero(sealed))
        return missing(content, page);
    hf_page_head_parse(sealed, &head);
    if (head.len > HF_PAGE_DATA_LEN || head.gen > content->dynamic.gen)
        return HF_DAMAGED;
    if (HF_PAGE_HEAD_LEN + head.len > avail)
        return missing(content, page);
    uint64_t start = hf_page_start(page);
    uint32_t keep = head.len;
    for (unsigned i = 0; i < HF_FLOORS && content->dynamic.floors[i].gen != 0; i++) {
        const struct hf_floor *floor = &content->dynamic.floors[i];
        if (head.gen >= floor->gen)
            continue;
        if (start >= floor->offset)
            return missing(content, page);
        if (floor->offset - start < keep)
            keep = (uint32_t)(floor->offset - start);
    }
    HF_TRY(hf_content_use_key(content, worker, head.gen));
    hf_page_aad(&head, content->header.file_id, page, aad);
    HF_TRY(hf_page_cipher_open(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(sealed + HF_PAGE_HEAD_LEN, head.len), head.tag, out));
    memset(out + keep, 0, HF_PAGE_DATA_LEN - keep);
    *ret_len = keep;
    return HF_OK;
}

enum hf_result hf_content_get_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, uint8_t *out, uint32_t *ret_len)
{
    uint8_t sealed[HF_PAGE_LEN];
    ssize_t got = hf_disk->pread(content->fd, sealed, sizeof sealed, (off_t)(page * HF_PAGE_LEN));
    if (got < 0)
        return hf_content_errno(got);
    return hf_content_open_page(content, worker, page, sealed, (size_t)got, out, ret_len);
}

/* Pages first…: at most HF_RUN_PAGES; copies the part of the file [offset, offset+len) to out. */
static enum hf_result read_run(struct hf_content *content, uint64_t offset, size_t len, uint8_t *out)
{
    struct hf_worker *worker = hf_worker();
    uint64_t first = hf_page_of(offset), last = hf_page_of(offset + len - 1);
    size_t count = (size_t)(last - first + 1);
    ssize_t got = hf_disk->pread(content->fd, worker->run, count * HF_PAGE_LEN, (off_t)(first * HF_PAGE_LEN));
    if (got < 0)
        return hf_content_errno(got);
    for (size_t i = 0; i < count; i++) {
        size_t at = i * HF_PAGE_LEN;
        size_t avail = (size_t)got > at ? (size_t)got - at : 0;
        uint32_t stored;
        HF_TRY(hf_content_open_page(content, worker, first + i, worker->run + at, avail < HF_PAGE_LEN ? avail : HF_PAGE_LEN, worker->page, &stored));
        uint64_t start = hf_page_start(first + i);
        uint64_t from = offset > start ? offset : start;
        uint64_t to = offset + len < start + HF_PAGE_DATA_LEN ? offset + len : start + HF_PAGE_DATA_LEN;
        memcpy(out + (from - offset), worker->page + (from - start), (size_t)(to - from));
    }
    return HF_OK;
}

enum hf_result hf_content_read(struct hf_content *content, uint64_t offset, size_t len, uint8_t *out, size_t *ret_len)
{
    uint64_t size = content->dynamic.size;
    if (offset >= size) {
        *ret_len = 0;
        return HF_OK;
    }
    if (len > size - offset)
        len = (size_t)(size - offset);
    size_t done = 0;
    if (offset < HF_INLINE_MAX) {
        done = HF_INLINE_MAX - (size_t)offset < len ? HF_INLINE_MAX - (size_t)offset : len;
        memcpy(out, content->inline_data + offset, done);
    }
    while (done < len) {
        size_t part = len - done < HF_MAX_IO ? len - done : HF_MAX_IO;
        HF_TRY(read_run(content, offset + done, part, out + done));
        done += part;
    }
    *ret_len = len;
    return HF_OK;
}

/* Writes the pages (n >= 1) of [offset, offset+len); size is the file's before the write. */
static enum hf_result write_run(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len)
{
    struct hf_worker *worker = hf_worker();
    uint64_t first = hf_page_of(offset), last = hf_page_of(offset + len - 1);
    size_t bytes = 0;
    for (uint64_t page = first; page <= last; page++) {
        uint64_t start = hf_page_start(page);
        uint32_t old = hf_page_len(page, content->dynamic.size);
        uint64_t from = offset > start ? offset : start;
        uint64_t to = offset + len < start + HF_PAGE_DATA_LEN ? offset + len : start + HF_PAGE_DATA_LEN;
        uint32_t end = (uint32_t)(to - start);
        uint8_t *out = worker->run + (page - first) * HF_PAGE_LEN;
        const uint8_t *plain = data + (from - offset);
        if (from > start || end < old) {
            uint32_t stored = 0;
            if (old > 0)
                HF_TRY(hf_content_get_page(content, worker, page, worker->page, &stored));
            else
                memset(worker->page, 0, HF_PAGE_DATA_LEN);
            memcpy(worker->page + (from - start), plain, (size_t)(to - from));
            plain = worker->page;
            end = end > stored ? end : stored;
        }
        HF_TRY(hf_content_seal_page(content, worker, page, plain, end, out));
        if (page < last && end < HF_PAGE_DATA_LEN)
            memset(out + HF_PAGE_HEAD_LEN + end, 0, HF_PAGE_DATA_LEN - end);
        bytes = (size_t)(page - first) * HF_PAGE_LEN + HF_PAGE_HEAD_LEN + end;
    }
    ssize_t put = hf_disk->pwrite(content->fd, worker->run, bytes, (off_t)(first * HF_PAGE_LEN));
    return put < 0 ? hf_content_errno(put) : HF_OK;
}

enum hf_result hf_content_clip(struct hf_content *content)
{
    struct hf_worker *worker = hf_worker();
    uint8_t out[HF_PAGE_LEN];
    uint32_t stored = 0;
    HF_TRY(hf_content_get_page(content, worker, content->clip_page, worker->page, &stored));
    uint32_t len = hf_page_len(content->clip_page, content->dynamic.size);
    if (stored < len)
        len = stored;
    HF_TRY(hf_content_seal_page(content, worker, content->clip_page, worker->page, len, out));
    ssize_t put = hf_disk->pwrite(content->fd, out, HF_PAGE_HEAD_LEN + len, (off_t)(content->clip_page * HF_PAGE_LEN));
    if (put < 0)
        return hf_content_errno(put);
    content->clip = false;
    content->clipped = true;
    return HF_OK;
}

enum hf_result hf_content_before_pages(struct hf_content *content)
{
    if (!content->trim)
        return HF_OK;
    if (!content->trim_durable) {
        int failed = hf_disk->fdatasync(content->fd);
        if (failed)
            return hf_content_errno(failed);
        content->trim_durable = true;
    }
    return content->clip ? hf_content_clip(content) : HF_OK;
}

/* Pages between the old end and `end` become a hole. */
static void cover_gap(struct hf_content *content, uint64_t end)
{
    uint64_t size = content->dynamic.size;
    uint64_t first = size == 0 ? 1 : hf_page_of(size - 1) + 1;
    uint64_t last = end == 0 ? 0 : hf_page_of(end - 1);
    if (first <= last)
        hf_cover_add(content->dynamic.cover, first, last - first + 1);
}

enum hf_result hf_content_write(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len)
{
    if (len == 0)
        return HF_OK;
    if (offset > HF_FILE_SIZE_MAX || len > HF_FILE_SIZE_MAX - offset)
        return HF_TOO_LARGE;
    uint64_t old = content->dynamic.size, end = offset + len;
    bool header = end > old;
    HF_TRY(hf_content_before_pages(content));
    if (offset > old)
        cover_gap(content, offset);
    size_t done = 0;
    if (offset < HF_INLINE_MAX) {
        done = HF_INLINE_MAX - (size_t)offset < len ? HF_INLINE_MAX - (size_t)offset : len;
        header = true;
    }
    for (size_t at = done; at < len;) {
        size_t part = len - at < HF_MAX_IO ? len - at : HF_MAX_IO;
        HF_TRY(write_run(content, offset + at, data + at, part));
        at += part;
        if (at < len && offset + at > content->dynamic.size)
            content->dynamic.size = offset + at; /* its next part may need this page */
    }
    memcpy(content->inline_data + (done ? offset : 0), data, done);
    if (end > content->dynamic.size)
        content->dynamic.size = end;
    return header ? hf_content_put_header(content, hf_epoch) : HF_OK;
}

static enum hf_result set_length(struct hf_content *content)
{
    struct stat st;
    int failed = hf_disk->fstat(content->fd, &st);
    uint64_t want = hf_disk_len(content->dynamic.size);
    if (!failed && (uint64_t)st.st_size < want)
        failed = hf_disk->ftruncate(content->fd, (off_t)want);
    return failed ? hf_content_errno(failed) : HF_OK;
}

enum hf_result hf_content_truncate(struct hf_content *content, uint64_t size)
{
    struct hf_file_dynamic *dynamic = &content->dynamic;
    if (size > HF_FILE_SIZE_MAX)
        return HF_TOO_LARGE;
    if (size == dynamic->size)
        return HF_OK;
    if (size > dynamic->size) {
        cover_gap(content, size);
        dynamic->size = size;
        HF_TRY(hf_content_put_header(content, hf_epoch));
        return set_length(content);
    }
    /* A second shrink while the edge of the first is not clipped: the floors keep what they say. */
    if (dynamic->gen >= HF_GEN_MAX)
        return HF_TOO_LARGE;
    struct hf_file_dynamic before = *dynamic;
    dynamic->gen++;
    if (!hf_floor_add(dynamic->floors, size, dynamic->gen)) {
        /* Full: the highest step stands for all above the lowest that still matters; every page below is of an older generation and stays readable. */
        *dynamic = before;
        int failed = hf_disk->fdatasync(content->fd);
        if (failed)
            return hf_content_errno(failed);
        memset(dynamic->floors, 0, sizeof dynamic->floors);
        dynamic->gen++;
        HF_ASSERT(hf_floor_add(dynamic->floors, size, dynamic->gen));
    }
    if (size < HF_INLINE_MAX)
        hf_wipe(content->inline_data + size, HF_INLINE_MAX - (size_t)size);
    uint64_t edge = size > 0 ? hf_page_of(size - 1) : 0;
    hf_cover_cut(dynamic->cover, edge + 1);
    content->clip = edge > 0 && hf_page_len(edge, size) < hf_page_len(edge, before.size);
    content->clip_page = edge;
    content->clipped = false;
    content->trim = true;
    content->trim_durable = false;
    dynamic->size = size;
    if (dynamic->durable > size)
        dynamic->durable = size;
    return hf_content_put_header(content, hf_epoch);
}

enum hf_result hf_content_fsync(struct hf_content *content)
{
    uint64_t size = content->dynamic.size;
    int failed = hf_disk->fdatasync(content->fd);
    if (failed)
        return hf_content_errno(failed);
    content->dynamic.durable = size; /* on disk with the next header */
    content->never_synced = false;
    if (!content->trim)
        return HF_OK;
    content->trim_durable = true;
    return content->clip ? hf_content_clip(content) : HF_OK;
}

enum hf_result hf_content_after_settle(struct hf_content *content, bool *ret_more)
{
    *ret_more = false;
    content->in_window = false;
    content->never_synced = false;
    if (!content->trim)
        return HF_OK;
    bool was_durable = content->trim_durable;
    content->trim_durable = true;
    if (content->clip)
        HF_TRY(hf_content_clip(content));
    if (content->clipped || !was_durable) {
        content->clipped = false;
        *ret_more = true;
        return HF_OK;
    }
    content->trim = false;
    int failed = hf_disk->ftruncate(content->fd, (off_t)hf_disk_len(content->dynamic.size));
    return failed ? hf_content_errno(failed) : HF_OK;
}
