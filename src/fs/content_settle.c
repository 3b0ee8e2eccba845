/* What a content does around the settle's barrier: the steps of a shrink, and cover that follows what was written. Source: spec/35-crash.md [CR-2] [CR-7], spec/30-file.md [FC-5] [FC-6]. */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/content_page.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum { CHUNK_HEADS = 256 };
#define WRITES_MAX (UINT64_C(1) << 31) /* random 96-bit nonces: far inside GCM's bound */

bool hf_content_pending(const struct hf_content *content)
{
    return content->keys && (content->cut != HF_CUT_NONE || content->header_due);
}

/* --- the steps of a shrink --- */

/* The page that holds the new end is written without what lies behind it. */
static enum hf_result clip(struct hf_content *content)
{
    struct hf_worker *worker = hf_worker();
    uint64_t size = content->dynamic.size;
    uint8_t out[HF_PAGE_LEN];
    uint32_t stored = 0;
    uint64_t edge = size > HF_INLINE_MAX ? hf_page_of(size - 1) : 0;
    if (edge > 0) {
        enum hf_result result = hf_content_get_page(content, worker, edge, worker->page, &stored);
        uint32_t len = hf_page_len(edge, size);
        if (result == HF_OK && stored > 0)
            result = hf_content_seal_page(content, worker, edge, worker->page, stored < len ? stored : len, out);
        hf_wipe(worker->page, HF_PAGE_LEN);
        HF_TRY(result);
        ssize_t put = 0;
        if (stored > 0)
            put = hf_disk->pwrite(content->fd, out, HF_PAGE_HEAD_LEN + (stored < len ? stored : len), (off_t)(edge * HF_PAGE_LEN));
        if (put < 0)
            return hf_content_errno(put);
    }
    content->cut = HF_CUT_CLIPPED;
    return HF_OK;
}

static bool is_stale(const struct hf_content *content, uint64_t page, const uint8_t head_bytes[HF_PAGE_HEAD_LEN])
{
    struct hf_page_head head;
    if (hf_page_is_zero(head_bytes))
        return false;
    hf_page_head_parse(head_bytes, &head);
    for (unsigned i = 0; i < HF_FLOORS && content->dynamic.floors[i].gen != 0; i++) {
        const struct hf_floor *floor = &content->dynamic.floors[i];
        if (head.gen < floor->gen && hf_page_start(page) >= floor->offset)
            return true;
    }
    return false;
}

/* Calls visit for the pages of a range that are on disk, with their heads; holes are jumped over. */
static enum hf_result each_page(struct hf_content *content, const struct hf_range *range,
                                enum hf_result (*visit)(struct hf_content *content, uint64_t page, const uint8_t head[HF_PAGE_HEAD_LEN], void *arg), void *arg)
{
    uint64_t page = range->start, end = range->start + range->count;
    while (page < end) {
        off_t at = hf_disk->lseek(content->fd, (off_t)(page * HF_PAGE_LEN), SEEK_DATA);
        if (at == -ENXIO)
            return HF_OK;
        if (at < 0)
            return hf_content_errno(at);
        off_t hole = hf_disk->lseek(content->fd, at, SEEK_HOLE);
        if (hole < 0)
            return hf_content_errno(hole);
        page = (uint64_t)at / HF_PAGE_LEN > page ? (uint64_t)at / HF_PAGE_LEN : page;
        uint64_t stop = ((uint64_t)hole + HF_PAGE_LEN - 1) / HF_PAGE_LEN;
        for (; page < end && page < stop; page++) {
            uint8_t head[HF_PAGE_HEAD_LEN] = {0};
            ssize_t got = hf_disk->pread(content->fd, head, sizeof head, (off_t)(page * HF_PAGE_LEN));
            if (got < 0)
                return hf_content_errno(got);
            HF_TRY(visit(content, page, head, arg));
        }
    }
    return HF_OK;
}

static enum hf_result punch_if_stale(struct hf_content *content, uint64_t page, const uint8_t head[HF_PAGE_HEAD_LEN], void *arg)
{
    (void)arg;
    if (!is_stale(content, page, head))
        return HF_OK;
    int failed = hf_disk->fallocate(content->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(page * HF_PAGE_LEN), HF_PAGE_LEN);
    return failed ? hf_content_errno(failed) : HF_OK;
}

/* Cuts the tail, and takes stale pages out of what has become a hole since: outside cover a stale page would be damage. */
static enum hf_result cut_tail(struct hf_content *content)
{
    struct stat st;
    uint64_t want = hf_disk_len(content->dynamic.size);
    int failed = hf_disk->fstat(content->fd, &st);
    if (!failed && (uint64_t)st.st_size != want)
        failed = hf_disk->ftruncate(content->fd, (off_t)want);
    if (failed)
        return hf_content_errno(failed);
    for (unsigned i = 0; i < HF_COVERS && content->dynamic.floors[0].gen != 0; i++)
        HF_TRY(each_page(content, &content->dynamic.cover[i], punch_if_stale, NULL));
    content->cut = HF_CUT_PUNCHED;
    return HF_OK;
}

/* The step after `seen`, which is durable. */
static enum hf_result advance(struct hf_content *content, enum hf_cut seen)
{
    switch (seen) {
    case HF_CUT_NONE: break;
    case HF_CUT_HEADER: return clip(content);
    case HF_CUT_CLIPPED: return cut_tail(content);
    case HF_CUT_PUNCHED:
        memset(content->dynamic.floors, 0, sizeof content->dynamic.floors);
        content->cut = HF_CUT_NONE;
        break;
    }
    return HF_OK;
}

static enum hf_result sync_header(struct hf_content *content)
{
    if (content->header_due) {
        HF_TRY(hf_content_put_header(content, hf_epoch));
        content->header_due = false;
    }
    int failed = hf_disk->fdatasync(content->fd);
    return failed ? hf_content_errno(failed) : HF_OK;
}

enum hf_result hf_content_before_pages(struct hf_content *content, uint64_t pages)
{
    if (content->writes + pages >= WRITES_MAX) {
        /* [FC-6] The next generation's header is durable before its first page. */
        if (content->dynamic.gen >= HF_GEN_MAX)
            return HF_TOO_LARGE;
        content->dynamic.gen++;
        content->writes = 0;
        HF_TRY(hf_content_put_header(content, hf_epoch));
        HF_TRY(sync_header(content));
    }
    if (content->writes + pages > content->dynamic.writes)
        HF_TRY(hf_content_put_header(content, hf_epoch));
    if (content->cut != HF_CUT_HEADER)
        return HF_OK;
    HF_TRY(sync_header(content));
    return clip(content);
}

enum hf_result hf_content_flush_floors(struct hf_content *content)
{
    if (content->cut == HF_CUT_NONE)
        content->cut = HF_CUT_HEADER;
    while (content->cut != HF_CUT_NONE) {
        HF_TRY(sync_header(content));
        HF_TRY(advance(content, content->cut));
    }
    return HF_OK;
}

/* --- cover follows the data --- */

static enum hf_result uncover(struct hf_content *content, uint64_t page, const uint8_t head[HF_PAGE_HEAD_LEN], void *arg)
{
    if (!hf_page_is_zero(head) && !is_stale(content, page, head))
        hf_cover_remove(arg, page, 1);
    return HF_OK;
}

/* --- the settle --- */

enum hf_result hf_content_before_settle(struct hf_content *content, uint32_t epoch)
{
    if (!content->keys)
        return HF_OK;
    if (content->header_due) {
        HF_TRY(hf_content_put_header(content, epoch));
        content->header_due = false;
    }
    content->cut_seen = content->cut;
    content->size_seen = content->dynamic.size;
    memcpy(content->cover_seen, content->dynamic.cover, sizeof content->cover_seen);
    memcpy(content->cover_next, content->dynamic.cover, sizeof content->cover_next);
    for (unsigned i = 0; i < HF_COVERS && content->filled; i++)
        HF_TRY(each_page(content, &content->cover_seen[i], uncover, content->cover_next));
    return HF_OK;
}

enum hf_result hf_content_after_settle(struct hf_content *content, bool *ret_more)
{
    *ret_more = false;
    content->in_window = false;
    if (!content->keys)
        return HF_OK;
    content->dynamic.durable = content->size_seen < content->dynamic.size ? content->size_seen : content->dynamic.size;
    if (content->filled && memcmp(content->cover_seen, content->dynamic.cover, sizeof content->cover_seen) == 0) {
        /* [FC-5] The pages are durable: from the next header on they are no holes. */
        content->filled = false;
        if (memcmp(content->cover_next, content->cover_seen, sizeof content->cover_seen) != 0) {
            memcpy(content->dynamic.cover, content->cover_next, sizeof content->cover_next);
            content->header_due = true;
        }
    }
    if (content->cut != HF_CUT_NONE && content->cut == content->cut_seen)
        HF_TRY(advance(content, content->cut_seen));
    *ret_more = hf_content_pending(content) || content->filled;
    return HF_OK;
}
