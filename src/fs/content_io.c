/* Reading and writing pages. */
#include <string.h>

#include "fs/content_page.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum hf_result hf_content_seal_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *plain, uint32_t len, uint8_t *out)
{
    struct hf_page_head head = {.gen = content->dynamic.gen, .len = len};
    uint8_t aad[HF_PAGE_AAD_LEN];
    HF_TRY(hf_content_use_key(content, worker, head.gen));
    hf_worker_nonce(worker, head.nonce);
    content->writes++;
    hf_page_aad(&head, content->header.file_id, page, aad);
    HF_TRY(hf_page_cipher_seal(worker->cipher, head.nonce, HF_SPAN_OF(aad), HF_SPAN(plain, len), out + HF_PAGE_HEAD_LEN, head.tag));
    hf_page_head_encode(&head, out);
    return HF_OK;
}

/* [FC-3] What is not there is a hole, and that only inside cover. */
static enum hf_result missing(const struct hf_content *content, uint64_t page)
{
    return hf_cover_has(content->dynamic.cover, page) ? HF_OK : HF_DAMAGED;
}

/* [FC-4] How many of the page's bytes no floor forbids. */
static uint32_t allowed(const struct hf_content *content, uint64_t page, const struct hf_page_head *head)
{
    uint64_t start = hf_page_start(page);
    uint32_t keep = head->len;
    for (unsigned i = 0; i < HF_FLOORS && content->dynamic.floors[i].gen != 0; i++) {
        const struct hf_floor *floor = &content->dynamic.floors[i];
        if (head->gen >= floor->gen)
            continue;
        if (start >= floor->offset)
            return 0;
        if (floor->offset - start < keep)
            keep = (uint32_t)(floor->offset - start);
    }
    return keep;
}

enum hf_result hf_content_open_page(struct hf_content *content, struct hf_worker *worker, uint64_t page, const uint8_t *sealed, size_t avail,
                                    uint8_t *out, uint32_t *ret_len)
{
    struct hf_page_head head;
    uint8_t aad[HF_PAGE_AAD_LEN];
    *ret_len = 0;
    memset(out, 0, HF_PAGE_DATA_LEN);
    if (avail == 0)
        return missing(content, page);
    if (avail < HF_PAGE_HEAD_LEN)
        return HF_DAMAGED;
    if (hf_page_is_zero(sealed))
        return missing(content, page);
    hf_page_head_parse(sealed, &head);
    if (head.len > HF_PAGE_DATA_LEN || head.len == 0 || head.gen > content->dynamic.gen || HF_PAGE_HEAD_LEN + head.len > avail)
        return HF_DAMAGED;
    uint32_t keep = allowed(content, page, &head);
    if (keep == 0)
        return missing(content, page);
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

/* Pages between the old end and `end` become a hole. */
void hf_content_cover_gap(struct hf_content *content, uint64_t end)
{
    uint64_t size = content->dynamic.size;
    uint64_t first = size <= HF_INLINE_MAX ? 1 : hf_page_of(size - 1) + 1;
    uint64_t last = end == 0 ? 0 : hf_page_of(end - 1);
    if (first <= last)
        hf_cover_add(content->dynamic.cover, first, last - first + 1);
}

static bool touches_cover(const struct hf_content *content, uint64_t first, uint64_t last)
{
    for (unsigned i = 0; i < HF_COVERS; i++) {
        const struct hf_range *range = &content->dynamic.cover[i];
        if (range->count && range->start <= last && first < range->start + range->count)
            return true;
    }
    return false;
}

/* Everything behind the inline part, then the inline part; sizes grow in content, the caller restores them when this fails. */
static enum hf_result write_parts(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len, bool *ret_inline)
{
    size_t done = 0;
    if (offset < HF_INLINE_MAX)
        done = HF_INLINE_MAX - (size_t)offset < len ? HF_INLINE_MAX - (size_t)offset : len;
    *ret_inline = done > 0;
    if (done < len) {
        uint64_t first = hf_page_of(offset + done), last = hf_page_of(offset + len - 1);
        HF_TRY(hf_content_before_pages(content, last - first + 1));
        content->filled = content->filled || touches_cover(content, first, last);
    }
    for (size_t at = done; at < len;) {
        size_t part = len - at < HF_MAX_IO ? len - at : HF_MAX_IO;
        HF_TRY(write_run(content, offset + at, data + at, part));
        at += part;
        if (offset + at > content->dynamic.size)
            content->dynamic.size = offset + at; /* its next part may need this page */
    }
    if (done > 0)
        memcpy(content->inline_data + offset, data, done);
    return HF_OK;
}

enum hf_result hf_content_write(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len)
{
    uint8_t inline_before[HF_INLINE_MAX];
    bool inlined = false;
    if (!content->keys)
        return HF_LOCKED;
    if (len == 0)
        return HF_OK;
    if (offset > HF_FILE_SIZE_MAX || len > HF_FILE_SIZE_MAX - offset)
        return HF_TOO_LARGE;
    struct hf_file_dynamic before = content->dynamic;
    uint64_t end = offset + len;
    if (offset < HF_INLINE_MAX)
        memcpy(inline_before, content->inline_data, sizeof inline_before);
    if (offset > before.size)
        hf_content_cover_gap(content, offset);
    enum hf_result result = write_parts(content, offset, data, len, &inlined);
    if (end > content->dynamic.size)
        content->dynamic.size = end;
    bool header = inlined || end > before.size;
    if (result == HF_OK && (header || content->writes > content->dynamic.writes))
        result = hf_content_put_header(content, hf_epoch);
    if (result != HF_OK) {
        /* What was written behind the old end is cut again; the header on disk is the old one or a whole new one. */
        content->dynamic.size = before.size;
        memcpy(content->dynamic.cover, before.cover, sizeof before.cover);
        if (offset < HF_INLINE_MAX)
            memcpy(content->inline_data, inline_before, sizeof inline_before);
        if (header && content->cut == HF_CUT_NONE)
            content->cut = HF_CUT_HEADER;
        content->header_due = content->header_due || header;
    }
    if (offset < HF_INLINE_MAX)
        hf_wipe(inline_before, sizeof inline_before);
    return result;
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

static enum hf_result grow(struct hf_content *content, uint64_t size)
{
    struct hf_file_dynamic before = content->dynamic;
    hf_content_cover_gap(content, size);
    content->dynamic.size = size;
    enum hf_result result = hf_content_put_header(content, hf_epoch);
    if (result == HF_OK)
        result = set_length(content);
    if (result != HF_OK) {
        content->dynamic.size = before.size;
        memcpy(content->dynamic.cover, before.cover, sizeof before.cover);
        content->header_due = true;
    }
    return result;
}

enum hf_result hf_content_truncate(struct hf_content *content, uint64_t size)
{
    struct hf_file_dynamic *dynamic = &content->dynamic;
    if (!content->keys)
        return HF_LOCKED;
    if (size > HF_FILE_SIZE_MAX)
        return HF_TOO_LARGE;
    if (size == dynamic->size)
        return HF_OK;
    if (size > dynamic->size)
        return grow(content, size);
    if (dynamic->gen >= HF_GEN_MAX)
        return HF_TOO_LARGE;
    struct hf_file_dynamic before = *dynamic;
    uint8_t inline_before[HF_INLINE_MAX];
    memcpy(inline_before, content->inline_data, sizeof inline_before);
    if (!hf_floor_add(dynamic->floors, size, dynamic->gen + 1)) {
        HF_TRY(hf_content_flush_floors(content));
        HF_ASSERT(hf_floor_add(dynamic->floors, size, dynamic->gen + 1));
    }
    uint64_t writes_before = content->writes;
    dynamic->gen++;
    content->writes = 0;
    hf_cover_cut(dynamic->cover, size > HF_INLINE_MAX ? hf_page_of(size - 1) + 1 : 1);
    if (size < HF_INLINE_MAX)
        hf_wipe(content->inline_data + size, HF_INLINE_MAX - (size_t)size);
    dynamic->size = size;
    if (dynamic->durable > size)
        dynamic->durable = size;
    enum hf_result result = hf_content_put_header(content, hf_epoch);
    if (result != HF_OK) {
        /* Pages of the new generation may not come before its header: the old state stays. */
        uint64_t version = dynamic->version;
        *dynamic = before;
        dynamic->version = version;
        content->writes = writes_before;
        memcpy(content->inline_data, inline_before, sizeof inline_before);
        content->header_due = true;
    } else {
        content->cut = HF_CUT_HEADER;
        content->cut_seen = HF_CUT_NONE;
    }
    hf_wipe(inline_before, sizeof inline_before);
    return result;
}

enum hf_result hf_content_fsync(struct hf_content *content)
{
    if (!content->keys)
        return HF_LOCKED;
    uint64_t size = content->dynamic.size;
    if (content->header_due) {
        HF_TRY(hf_content_put_header(content, hf_epoch));
        content->header_due = false;
    }
    int failed = hf_disk->fdatasync(content->fd);
    if (failed)
        return hf_content_errno(failed);
    content->dynamic.durable = size; /* on disk with the next header */
    return HF_OK;
}
