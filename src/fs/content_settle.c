/* What a content does around the settle's barrier: the steps of a shrink, and cover that follows what was written. Source: spec/35-crash.md [CR-2] [CR-7], spec/30-file.md [FC-5] [FC-6]. */
#include <errno.h>
#include <linux/falloc.h>
#include <string.h>
#include <unistd.h>

#include "fs/content_page.h"
#include "fs/sync.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum { CHUNK_HEADS = 256 };
#define WRITES_MAX (UINT64_C(1) << 31) /* random 96-bit nonces: far inside GCM's bound */

bool hf_content_pending(const struct hf_content *content)
{
    return content->keys && (content->cut != HF_CUT_NONE || content->header_due || content->gen_due || content->filled || content->ahead);
}

/* --- the steps of a shrink --- */

/* The page that holds the new end is written without what lies behind it. A damaged one is left as it is: there is nothing to keep or to hide. */
static enum hf_result clip(struct hf_content *content)
{
    struct hf_worker *worker = hf_worker();
    uint64_t size = content->dynamic.size;
    uint8_t out[HF_PAGE_LEN];
    uint32_t stored = 0;
    uint64_t edge = size > HF_INLINE_MAX ? hf_page_of(size - 1) : 0;
    uint32_t len = hf_page_len(edge, size);
    if (edge > 0 && len < HF_PAGE_DATA_LEN) {
        enum hf_result result = hf_content_get_page(content, worker, edge, worker->page, &stored);
        len = stored < len ? stored : len;
        if (result == HF_OK && stored > 0)
            result = hf_content_seal_page(content, worker, edge, worker->page, len, out);
        hf_wipe(worker->page, HF_PAGE_LEN);
        if (result == HF_OK && stored > 0)
            result = hf_content_put_pages(content, edge, out, 1, HF_PAGE_HEAD_LEN + len);
        if (result != HF_OK && result != HF_DAMAGED)
            return result;
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

static enum hf_result cut_length(struct hf_content *content)
{
    uint64_t want = hf_disk_len(content->dynamic.size);
    if (content->length != want)
        HF_TRY(hf_content_set_length(content, want));
    content->ahead = false;
    return HF_OK;
}

/* Cuts the tail, and takes stale pages out of what has become a hole since: outside cover a stale page would be damage. */
static enum hf_result cut_tail(struct hf_content *content)
{
    HF_TRY(cut_length(content));
    for (unsigned i = 0; i < HF_COVERS && content->dynamic.floors[0].gen != 0; i++)
        HF_TRY(each_page(content, &content->dynamic.cover[i], punch_if_stale, NULL));
    content->cut = HF_CUT_PUNCHED;
    return HF_OK;
}

/* The next step; the one before it is durable. */
static enum hf_result advance(struct hf_content *content)
{
    switch (content->cut) {
    case HF_CUT_NONE: break;
    case HF_CUT_HEADER:
        if (content->gen_due) /* a new generation since */
            HF_TRY(hf_content_sync_header(content));
        return clip(content);
    case HF_CUT_CLIPPED: return cut_tail(content);
    case HF_CUT_PUNCHED:
        memset(content->dynamic.floors, 0, sizeof content->dynamic.floors);
        content->cut = HF_CUT_NONE;
        content->loose = false;
        break;
    }
    return HF_OK;
}

enum hf_result hf_content_barrier(struct hf_content *content)
{
    return hf_content_synced(content, hf_sync_data(content->fd));
}

enum hf_result hf_content_synced(struct hf_content *content, int failed)
{
    if (failed)
        return hf_content_errno(failed);
    content->reach = content->length;
    content->ragged = content->ragged_seen = hf_content_ragged(content->length);
    content->ragged_next = UINT64_MAX;
    content->gen_due = content->gen_due && content->header_due;
    return HF_OK;
}

enum hf_result hf_content_sync_header(struct hf_content *content)
{
    if (content->header_due)
        HF_TRY(hf_content_put_header(content, hf_epoch));
    return hf_content_barrier(content);
}

enum hf_result hf_content_before_pages(struct hf_content *content, uint64_t pages)
{
    if (content->writes + pages >= WRITES_MAX) {
        if (content->dynamic.gen >= HF_GEN_MAX)
            return HF_TOO_LARGE;
        content->dynamic.gen++;
        content->writes = 0;
        content->gen_due = content->header_due = true;
    }
    if (content->gen_due) /* [FC-6] [CR-7] */
        HF_TRY(hf_content_sync_header(content));
    if (content->writes + pages > content->dynamic.writes)
        HF_TRY(hf_content_put_header(content, hf_epoch));
    return content->cut == HF_CUT_HEADER ? clip(content) : HF_OK;
}

enum hf_result hf_content_finish_cut(struct hf_content *content)
{
    if (content->cut == HF_CUT_NONE)
        content->cut = HF_CUT_HEADER;
    while (content->cut != HF_CUT_NONE) {
        HF_TRY(hf_content_sync_header(content));
        HF_TRY(advance(content));
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
    /* A file whose tail is still to be cut stays in the window, so that a stop before the cut does not leave a wrong length in a settled vault. */
    bool open = content->cut != HF_CUT_NONE;
    if (content->header_due || open)
        HF_TRY(hf_content_put_header(content, open ? epoch + 1 : epoch));
    if (content->ahead && !open)
        HF_TRY(cut_length(content));
    content->cut_seen = content->cut;
    content->size_seen = content->dynamic.size;
    content->gen_seen = content->dynamic.gen;
    content->length_seen = content->length;
    content->ragged_seen = hf_content_ragged(content->length);
    content->filled_seen = content->filled;
    content->filled = content->cover_moved = false;
    memcpy(content->cover_next, content->dynamic.cover, sizeof content->cover_next);
    for (unsigned i = 0; i < HF_COVERS && content->filled_seen; i++)
        HF_TRY(each_page(content, &content->dynamic.cover[i], uncover, content->cover_next));
    return HF_OK;
}

enum hf_result hf_content_after_settle(struct hf_content *content, bool *ret_more)
{
    *ret_more = false;
    content->in_window = false;
    if (!content->keys)
        return HF_OK;
    content->dynamic.durable = content->dynamic.durable > content->size_seen ? content->dynamic.durable : content->size_seen;
    content->reach = content->reach > content->length_seen ? content->reach : content->length_seen;
    content->gen_due = content->gen_due && content->gen_seen != content->dynamic.gen;
    content->ragged = content->ragged_seen;
    if (content->ragged_next == content->ragged)
        content->ragged_next = UINT64_MAX;
    if (content->filled_seen && content->cover_moved) {
        content->filled = true;
    } else if (content->filled_seen && memcmp(content->cover_next, content->dynamic.cover, sizeof content->cover_next) != 0) {
        /* [FC-5] The pages are durable: from the next header on they are no holes. */
        memcpy(content->dynamic.cover, content->cover_next, sizeof content->cover_next);
        content->header_due = true;
    }
    content->filled_seen = false;
    if (content->cut != HF_CUT_NONE && content->cut == content->cut_seen)
        HF_TRY(advance(content));
    *ret_more = hf_content_pending(content);
    return HF_OK;
}
