/* The hole ranges (cover) and generation floors of a file. A cover may come out larger than what was added, never smaller. */
#include <string.h>

#include "format/fileheader.h"

/* Page numbers on disk are u48; whatever lies behind is cut off. */
static const uint64_t page_end = UINT64_C(1) << 48;

static uint64_t end_of(uint64_t start, uint64_t count)
{
    if (start >= page_end)
        return page_end;
    return count > page_end - start ? page_end : start + count;
}

static unsigned used(const struct hf_range cover[HF_COVERS])
{
    unsigned n = 0;
    while (n < HF_COVERS && cover[n].count > 0)
        n++;
    return n;
}

static void store(struct hf_range cover[HF_COVERS], const struct hf_range *ranges, unsigned count)
{
    memset(cover, 0, HF_COVERS * sizeof cover[0]);
    memcpy(cover, ranges, count * sizeof cover[0]);
}

/* Merges the neighbours with the smallest gap between them (the first of equals). */
static void merge_nearest(struct hf_range *ranges, unsigned count)
{
    unsigned best = 0;
    uint64_t best_gap = UINT64_MAX;
    for (unsigned i = 0; i + 1 < count; i++) {
        uint64_t gap = ranges[i + 1].start - (ranges[i].start + ranges[i].count);
        if (gap < best_gap) {
            best_gap = gap;
            best = i;
        }
    }
    ranges[best].count = ranges[best + 1].start + ranges[best + 1].count - ranges[best].start;
    memmove(&ranges[best + 1], &ranges[best + 2], (count - best - 2) * sizeof ranges[0]);
}

void hf_cover_add(struct hf_range cover[HF_COVERS], uint64_t start, uint64_t count)
{
    uint64_t end = end_of(start, count);
    if (count == 0 || start >= end)
        return;
    struct hf_range ranges[HF_COVERS + 1];
    unsigned old = used(cover);
    unsigned n = 0;
    unsigned i = 0;
    while (i < old && cover[i].start + cover[i].count < start)
        ranges[n++] = cover[i++];
    /* Those that overlap or touch become one with the new. */
    while (i < old && cover[i].start <= end) {
        uint64_t its_end = cover[i].start + cover[i].count;
        start = cover[i].start < start ? cover[i].start : start;
        end = its_end > end ? its_end : end;
        i++;
    }
    ranges[n++] = (struct hf_range){start, end - start};
    while (i < old)
        ranges[n++] = cover[i++];
    if (n > HF_COVERS)
        merge_nearest(ranges, n--);
    store(cover, ranges, n);
}

void hf_cover_remove(struct hf_range cover[HF_COVERS], uint64_t start, uint64_t count)
{
    uint64_t end = end_of(start, count);
    if (count == 0)
        return;
    struct hf_range ranges[HF_COVERS + 1];
    unsigned old = used(cover);
    unsigned n = 0;
    for (unsigned i = 0; i < old; i++) {
        uint64_t its_start = cover[i].start;
        uint64_t its_end = its_start + cover[i].count;
        if (its_end <= start || its_start >= end) {
            ranges[n++] = cover[i];
            continue;
        }
        if (its_start < start)
            ranges[n++] = (struct hf_range){its_start, start - its_start};
        if (its_end > end)
            ranges[n++] = (struct hf_range){end, its_end - end};
    }
    if (n <= HF_COVERS)
        store(cover, ranges, n);
}

void hf_cover_cut(struct hf_range cover[HF_COVERS], uint64_t end_page)
{
    hf_cover_remove(cover, end_page, UINT64_MAX);
}

bool hf_cover_has(const struct hf_range cover[HF_COVERS], uint64_t page)
{
    for (unsigned i = 0; i < HF_COVERS; i++) {
        if (page >= cover[i].start && page - cover[i].start < cover[i].count)
            return true;
    }
    return false;
}

bool hf_floor_add(struct hf_floor floors[HF_FLOORS], uint64_t offset, uint32_t gen)
{
    unsigned kept = 0;
    while (kept < HF_FLOORS && floors[kept].gen != 0 && floors[kept].offset < offset)
        kept++;
    HF_ASSERT(gen > 0);
    bool implied = kept > 0 && floors[kept - 1].gen >= gen; /* a step below asks for as much already */
    if (!implied && kept == HF_FLOORS)
        return false;
    memset(&floors[kept], 0, (HF_FLOORS - kept) * sizeof floors[0]);
    if (!implied)
        floors[kept] = (struct hf_floor){.offset = offset, .gen = gen};
    return true;
}
