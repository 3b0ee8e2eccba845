/* Reading and writing pages. */
#include <string.h>

#include "fs/content_page.h"
#include "fs/sync.h"
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
static enum hf_result missing(const struct hf_content *content, uint64_t page, uint8_t *out)
{
    memset(out, 0, HF_PAGE_DATA_LEN);
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
    uint8_t head_bytes[HF_PAGE_HEAD_LEN] = {0};
    memcpy(head_bytes, sealed, avail < sizeof head_bytes ? avail : sizeof head_bytes);
    if (hf_page_is_zero(head_bytes))
        return missing(content, page, out);
    hf_page_head_parse(head_bytes, &head);
    if (avail < HF_PAGE_HEAD_LEN || head.len > HF_PAGE_DATA_LEN || head.len == 0 || head.gen > content->dynamic.gen)
        return HF_DAMAGED;
    uint32_t keep = allowed(content, page, &head);
    if (keep == 0)
        return missing(content, page, out); /* a stale one, whole or not */
    if (HF_PAGE_HEAD_LEN + head.len > avail)
        return HF_DAMAGED;
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

/* [FC-3] A page is written with all the bytes that the file has there; a shorter one is an older one. */
static bool is_short(const struct hf_content *content, uint64_t page, uint32_t stored)
{
    return stored > 0 && stored < hf_page_len(page, content->dynamic.size);
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
        uint64_t start = hf_page_start(first + i);
        uint64_t from = offset > start ? offset : start;
        uint64_t to = offset + len < start + HF_PAGE_DATA_LEN ? offset + len : start + HF_PAGE_DATA_LEN;
        bool whole = to - from == HF_PAGE_DATA_LEN; /* out has room for all of it; nothing of it is used when the read fails */
        uint8_t *plain = whole ? out + (from - offset) : worker->page;
        HF_TRY(hf_content_open_page(content, worker, first + i, worker->run + at, avail < HF_PAGE_LEN ? avail : HF_PAGE_LEN, plain, &stored));
        if (is_short(content, first + i, stored))
            return HF_DAMAGED;
        if (!whole)
            memcpy(out + (from - offset), worker->page + (from - start), (size_t)(to - from));
    }
    return HF_OK;
}

enum hf_result hf_content_read(struct hf_content *content, uint64_t offset, size_t len, uint8_t *out, size_t *ret_len)
{
    if (!content->keys)
        return HF_LOCKED;
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

/* --- writing --- */

enum hf_result hf_content_set_length(struct hf_content *content, uint64_t length)
{
    uint64_t ragged = hf_content_ragged(length);
    if (ragged != UINT64_MAX && content->ragged_next != UINT64_MAX && content->ragged_next != ragged)
        HF_TRY(hf_content_barrier(content)); /* two are known, a third is not */
    int failed = hf_disk->ftruncate(content->fd, (off_t)length);
    if (failed)
        return hf_content_errno(failed);
    content->length = length;
    if (ragged != UINT64_MAX)
        content->ragged_next = ragged;
    content->reach = content->reach < length ? content->reach : length;
    content->length_seen = content->length_seen < length ? content->length_seen : length;
    return HF_OK;
}

/* [CR-8] A page that the durable length ends in would be lost if its longer version came to the disk and the new length did not: when it holds
 * bytes that were promised, the length comes first. */
static enum hf_result make_room(struct hf_content *content, uint64_t first, size_t count, uint64_t page)
{
    uint64_t promised = content->dynamic.durable > content->found ? content->dynamic.durable : content->found;
    promised = content->size_seen > promised ? content->size_seen : promised; /* the settle under way promises it */
    if (page < first || page >= first + count || (page > 0 && hf_page_start(page) >= promised))
        return HF_OK;
    if (content->length < (page + 1) * HF_PAGE_LEN)
        HF_TRY(hf_content_set_length(content, (page + 1) * HF_PAGE_LEN));
    content->ahead = true;
    return hf_content_barrier(content);
}

enum hf_result hf_content_put_pages(struct hf_content *content, uint64_t first, uint8_t *buffer, size_t count, size_t last_len)
{
    size_t len = (count - 1) * HF_PAGE_LEN + last_len;
    if (first * HF_PAGE_LEN + len > content->reach) {
        HF_TRY(make_room(content, first, count, content->ragged_next)); /* the later one first: its barrier settles the other too */
        HF_TRY(make_room(content, first, count, content->ragged));
        /* Whole pages: the length never ends inside a page that may still grow. */
        memset(buffer + len, 0, HF_PAGE_LEN - last_len);
        len = count * HF_PAGE_LEN;
        content->ahead = true;
    }
    ssize_t put = hf_disk->pwrite(content->fd, buffer, len, (off_t)(first * HF_PAGE_LEN));
    if (put < 0) {
        struct stat st; /* some of it may be there */
        if (hf_disk->fstat(content->fd, &st) == 0)
            content->length = (uint64_t)st.st_size;
        return hf_content_errno(put);
    }
    if (first * HF_PAGE_LEN + len > content->length)
        content->length = first * HF_PAGE_LEN + len;
    return HF_OK;
}

/* What the disk has of pages that a write changes in part: two that lie side by side come with one read, since each may wait for the disk. */
struct old_pages {
    uint64_t first;
    size_t got;
    uint8_t sealed[2 * HF_PAGE_LEN];
};

/* Opens a page into worker->page; end: where the write ends. */
static enum hf_result get_old_page(struct hf_content *content, struct hf_worker *worker, struct old_pages *old, uint64_t page, uint64_t end,
                                   uint32_t *ret_stored)
{
    size_t at = page == old->first + 1 ? HF_PAGE_LEN : 0;
    if (old->got <= at || page < old->first || page > old->first + 1) {
        uint64_t next = hf_page_start(page + 1);
        bool both = end > next && end < next + HF_PAGE_DATA_LEN;
        ssize_t got = hf_disk->pread(content->fd, old->sealed, (size_t)(both ? 2 : 1) * HF_PAGE_LEN, (off_t)(page * HF_PAGE_LEN));
        if (got < 0)
            return hf_content_errno(got);
        old->first = page;
        old->got = (size_t)got;
        at = 0;
    }
    size_t avail = old->got > at ? old->got - at : 0;
    return hf_content_open_page(content, worker, page, old->sealed + at, avail < HF_PAGE_LEN ? avail : HF_PAGE_LEN, worker->page, ret_stored);
}

/* Writes the pages (n >= 1) of [offset, offset+len). */
static enum hf_result write_run(struct hf_content *content, uint64_t offset, const uint8_t *data, size_t len)
{
    struct hf_worker *worker = hf_worker();
    uint64_t first = hf_page_of(offset), last = hf_page_of(offset + len - 1);
    size_t last_len = 0;
    struct old_pages old_pages;
    old_pages.first = old_pages.got = 0;
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
                HF_TRY(get_old_page(content, worker, &old_pages, page, offset + len, &stored));
            else
                memset(worker->page, 0, HF_PAGE_DATA_LEN);
            if (is_short(content, page, stored))
                return HF_DAMAGED;
            memset(worker->page + old, 0, HF_PAGE_DATA_LEN - old);
            memcpy(worker->page + (from - start), plain, (size_t)(to - from));
            plain = worker->page;
            end = end > old ? end : old;
        }
        HF_TRY(hf_content_seal_page(content, worker, page, plain, end, out));
        last_len = HF_PAGE_HEAD_LEN + end;
        if (page < last)
            memset(out + last_len, 0, HF_PAGE_LEN - last_len);
    }
    return hf_content_put_pages(content, first, worker->run, (size_t)(last - first + 1), last_len);
}

void hf_content_cover(struct hf_content *content, uint64_t first, uint64_t count)
{
    hf_cover_add(content->dynamic.cover, first, count);
    content->cover_moved = true;
}

/* The page that holds the end is made ready for a growth that passes it by with a hole (gap), or goes on in it. */
static enum hf_result prepare_edge(struct hf_content *content, uint64_t new_size, bool gap)
{
    struct hf_worker *worker = hf_worker();
    uint64_t size = content->dynamic.size, edge = size > HF_INLINE_MAX ? hf_page_of(size - 1) : 0;
    uint32_t len = hf_page_len(edge, size), stored = 0;
    uint8_t out[HF_PAGE_LEN];
    bool covered = hf_cover_has(content->dynamic.cover, edge);
    if (edge == 0 || len == HF_PAGE_DATA_LEN || (!gap && !covered))
        return HF_OK;
    HF_TRY(hf_content_before_pages(content, 1));
    enum hf_result result = hf_content_get_page(content, worker, edge, worker->page, &stored);
    if (result == HF_OK && is_short(content, edge, stored))
        result = HF_DAMAGED;
    /* A gap goes on as a hole where the edge is one; elsewhere its zeros are written, so that a shorter page is always an older one. What is
     * appended inside cover must not read as zeros when it is lost: a real page is durable there first. */
    bool write = result == HF_OK && (gap ? stored > 0 : stored == 0);
    uint32_t full = gap ? hf_page_len(edge, new_size) : len;
    if (write) {
        memset(worker->page + len, 0, HF_PAGE_DATA_LEN - len);
        result = hf_content_seal_page(content, worker, edge, worker->page, full, out);
    }
    hf_wipe(worker->page, HF_PAGE_LEN);
    HF_TRY(result);
    if (write)
        HF_TRY(hf_content_put_pages(content, edge, out, 1, HF_PAGE_HEAD_LEN + full));
    if (gap)
        return HF_OK;
    HF_TRY(hf_content_barrier(content));
    hf_cover_remove(content->dynamic.cover, edge, 1);
    content->cover_moved = true;
    return HF_OK;
}

/* Size and cover for a growth whose data begin at offset (offset == new_size: none). */
static enum hf_result prepare_growth(struct hf_content *content, uint64_t offset, uint64_t new_size)
{
    uint64_t size = content->dynamic.size;
    uint64_t next = size > HF_INLINE_MAX ? hf_page_of(size - 1) + 1 : 1; /* the first page that holds nothing yet */
    uint64_t data = offset < new_size ? hf_page_of(offset) : hf_page_of(new_size - 1) + 1;
    bool gap = offset > size && data >= next;
    if (content->loose)
        HF_TRY(hf_content_finish_cut(content));
    HF_TRY(prepare_edge(content, new_size, gap));
    if (gap && data > next)
        hf_content_cover(content, next, data - next);
    return HF_OK;
}

void hf_content_growth_failed(struct hf_content *content)
{
    content->cut = HF_CUT_HEADER;
    content->cut_seen = HF_CUT_NONE;
    content->gen_seen = UINT32_MAX;
    content->loose = content->gen_due = content->header_due = true;
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

/* size and cover of before, and what came behind that end is to go. */
static void undo_growth(struct hf_content *content, const struct hf_file_dynamic *before)
{
    content->dynamic.size = before->size;
    memcpy(content->dynamic.cover, before->cover, sizeof before->cover);
    content->cover_moved = true;
    hf_content_growth_failed(content);
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
    bool grows = end > before.size;
    enum hf_result result = grows ? prepare_growth(content, offset, end) : HF_OK;
    if (result == HF_OK)
        result = write_parts(content, offset, data, len, &inlined);
    if (result == HF_OK && grows)
        content->dynamic.size = end;
    if (result == HF_OK && (inlined || grows || content->writes > content->dynamic.writes))
        result = hf_content_put_header(content, hf_epoch);
    if (result != HF_OK) {
        if (offset < HF_INLINE_MAX)
            memcpy(content->inline_data, inline_before, sizeof inline_before);
        content->header_due = content->header_due || inlined;
        if (grows)
            undo_growth(content, &before);
    }
    if (offset < HF_INLINE_MAX)
        hf_wipe(inline_before, sizeof inline_before);
    hf_wipe(hf_worker()->page, HF_PAGE_LEN);
    return result;
}

/* The length comes first: what it adds is ignored until the header says so. */
static enum hf_result grow(struct hf_content *content, uint64_t size)
{
    struct hf_file_dynamic before = content->dynamic;
    uint64_t want = hf_content_whole_pages(hf_disk_len(size));
    enum hf_result result = prepare_growth(content, size, size);
    if (result == HF_OK && content->length < want) {
        content->ahead = true;
        result = hf_content_set_length(content, want);
    }
    content->dynamic.size = size;
    if (result == HF_OK)
        result = hf_content_put_header(content, hf_epoch);
    if (result != HF_OK)
        undo_growth(content, &before);
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
        HF_TRY(hf_content_finish_cut(content));
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
        content->gen_due = content->cover_moved = true;
        content->loose = false; /* the floor stands before what lay behind the end */
        content->size_seen = content->size_seen < size ? content->size_seen : size;
    }
    hf_wipe(inline_before, sizeof inline_before);
    return result;
}

enum hf_result hf_content_fsync(struct hf_content *content, bool attributes)
{
    if (!content->keys)
        return HF_LOCKED;
    if (attributes && content->header_due)
        HF_TRY(hf_content_put_header(content, hf_epoch));
    if (attributes) {
        HF_TRY(hf_content_synced(content, hf_sync_whole(content->fd)));
        content->dynamic.durable = content->dynamic.size;
        return HF_OK;
    }
    HF_TRY(hf_content_sync_header(content));
    content->dynamic.durable = content->dynamic.size; /* on disk with the next header */
    return HF_OK;
}
