/* format/fileheader.h: the three parts of page 0 and a page's head; the first byte says which. And format/cover.c on the ranges that a hostile header brings: a page that
 * was put into cover is in it, one that was taken out is not (as far as four ranges can say it), others stay. */
#include "format/content.h"
#include "format/fileheader.h"
#include "fuzz.h"

enum { STATIC, META, DYNAMIC, HEAD, PARTS };
static const size_t lens[PARTS] = {HF_STATIC_LEN, HF_META_LEN, HF_DYNAMIC_LEN, 32};

void fuzz_start(void)
{
}

static bool sorted(const struct hf_range cover[HF_COVERS])
{
    uint64_t end = 0;
    for (unsigned i = 0; i < HF_COVERS && cover[i].count; i++) {
        if (cover[i].start < end)
            return false;
        end = cover[i].start + cover[i].count;
    }
    return end <= UINT64_C(1) << 48;
}

static void ranges(struct hf_file_dynamic *dynamic, struct fuzz_bytes more)
{
    while (more.len > 0) {
        uint8_t what = fuzz_u8(&more);
        uint64_t start = fuzz_u32(&more), count = fuzz_u32(&more), probe = fuzz_u32(&more);
        start = what & 8 ? start << 24 : start;
        count = what & 16 ? UINT64_MAX - count : count;
        bool was = hf_cover_has(dynamic->cover, probe), within = probe >= start && probe - start < count;
        if ((what & 3) == 0)
            hf_cover_add(dynamic->cover, start, count);
        else if ((what & 3) == 1)
            hf_cover_remove(dynamic->cover, start, count);
        else if ((what & 3) == 2)
            hf_cover_cut(dynamic->cover, start);
        else
            (void)hf_floor_add(dynamic->floors, start, 1 + (uint32_t)(count % HF_GEN_MAX));
        FUZZ_PROMISE(sorted(dynamic->cover));
        if ((what & 3) == 0)
            FUZZ_PROMISE(hf_cover_has(dynamic->cover, probe) || !(was || within));
        if ((what & 3) == 2 && probe >= start)
            FUZZ_PROMISE(!hf_cover_has(dynamic->cover, probe));
    }
}

static void arithmetic(uint64_t size)
{
    FUZZ_PROMISE(hf_size_from_disk_len(hf_disk_len(size)) == size);
    if (size > 0)
        FUZZ_PROMISE(hf_page_len(hf_page_of(size - 1), size) == size - hf_page_start(hf_page_of(size - 1)));
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    uint8_t again[HF_STATIC_LEN];
    unsigned part = len ? data[0] % PARTS : 0;
    if (len < 1 + lens[part])
        return false;
    const uint8_t *bytes = data + 1;
    struct hf_file_static s;
    struct hf_file_meta m;
    struct hf_file_dynamic d;
    struct hf_page_head head;
    enum hf_result result = HF_OK;
    if (part == STATIC && (result = hf_file_static_parse(bytes, &s)) == HF_OK)
        hf_file_static_encode(&s, again);
    if (part == META && (result = hf_file_meta_parse(bytes, &m)) == HF_OK)
        hf_file_meta_encode(&m, again);
    if (part == DYNAMIC && (result = hf_file_dynamic_parse(bytes, &d)) == HF_OK)
        hf_file_dynamic_encode(&d, again);
    if (part == HEAD) {
        uint8_t aad[HF_PAGE_AAD_LEN];
        hf_page_head_parse(bytes, &head);
        (void)hf_page_is_zero(bytes);
        if (head.len > HF_PAGE_DATA_LEN)
            return false;
        hf_page_head_encode(&head, again);
        hf_page_aad(&head, bytes, UINT64_MAX, aad);
    }
    if (result != HF_OK)
        return false;
    FUZZ_PROMISE(memcmp(again, bytes, lens[part]) == 0);
    if (part == DYNAMIC) {
        arithmetic(d.size);
        ranges(&d, (struct fuzz_bytes){bytes + lens[part], len - 1 - lens[part]});
    }
    return true;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    out[0] = (uint8_t)(number % PARTS);
    if (number >= 2 * PARTS)
        return 0;
    bool second = number >= PARTS;
    struct hf_file_static s = {.kind = HF_KIND_REGULAR, .class = second ? 3 : 1, .class_generation = 1, .wrap_algorithm = HF_WRAP_CLASS, .wrap_len = 104};
    struct hf_file_meta m = {.version = 7, .epoch = 3, .current = second ? 8 : 1, .more_number = second ? 5 : 0, .more_current = second ? 70 : 0};
    struct hf_file_dynamic d = {.size = 1u << 20, .durable = 5000, .gen = 9, .cover = {{4, 2}, {9, 1}}, .floors = {{100, 2}, {5000, 5}}};
    struct hf_page_head head = {.gen = 5, .len = 4064};
    if (number % PARTS == STATIC)
        hf_file_static_encode(&s, out + 1);
    else if (number % PARTS == META)
        hf_file_meta_encode(&m, out + 1);
    else if (number % PARTS == DYNAMIC)
        hf_file_dynamic_encode(&d, out + 1);
    else
        hf_page_head_encode(&head, out + 1);
    size_t len = 1 + lens[out[0]], more = second && number % PARTS == DYNAMIC ? 13 * 12 : 0;
    for (size_t i = 0; i < more; i++)
        out[len + i] = (uint8_t)(i * 37 % 5);
    return len + more;
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 0)
        data[0] %= PARTS;
    return len;
}
