/* Property tests of src/format/cover.c against a bitmap and a list of floors that forget nothing. */
#include <stdint.h>

#include "check.h"
#include "format/fileheader.h"

enum { PAGES = 96, ROUNDS = 200000 };

static uint64_t random_state = 88172645463325252u;

/* xorshift64: the same runs each time. */
static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

static unsigned runs_of(const bool model[PAGES])
{
    unsigned runs = 0;
    for (unsigned i = 0; i < PAGES; i++)
        runs += model[i] && (i == 0 || !model[i - 1]);
    return runs;
}

static bool same(const struct hf_range cover[HF_COVERS], const bool model[PAGES])
{
    for (unsigned i = 0; i < PAGES; i++) {
        if (hf_cover_has(cover, i) != model[i])
            return false;
    }
    return true;
}

/* Sorted, apart from each other, used ones first, nothing in unused ones. */
static bool tidy(const struct hf_range cover[HF_COVERS])
{
    for (unsigned i = 0; i < HF_COVERS; i++) {
        if (cover[i].count == 0 && cover[i].start != 0)
            return false;
        if (i > 0 && cover[i].count > 0 && (cover[i - 1].count == 0 || cover[i].start <= cover[i - 1].start + cover[i - 1].count))
            return false;
    }
    return true;
}

/* Fills the smallest gap of the model, the first of equals. */
static void fill_smallest_gap(bool model[PAGES])
{
    unsigned best_start = 0;
    unsigned best_len = UINT32_MAX;
    unsigned last_end = 0;
    bool seen = false;
    for (unsigned i = 0; i < PAGES; i++) {
        if (!model[i])
            continue;
        if (seen && i > last_end && i - last_end < best_len) {
            best_start = last_end;
            best_len = i - last_end;
        }
        last_end = i + 1;
        seen = true;
    }
    for (unsigned i = 0; i < best_len; i++)
        model[best_start + i] = true;
}

static void set(bool model[PAGES], uint64_t start, uint64_t count, bool value)
{
    for (uint64_t i = start; i < PAGES && i - start < count; i++)
        model[i] = value;
}

TEST(cover_is_the_bitmap)
{
    struct hf_range cover[HF_COVERS] = {{0, 0}};
    bool model[PAGES] = {false};
    bool before[PAGES];
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint32_t start = random_below(PAGES);
        uint32_t count = random_below(random_below(4) == 0 ? PAGES : 8);
        memcpy(before, model, sizeof before);
        switch (random_below(8)) {
        case 0:
        case 1:
        case 2:
        case 3:
            set(model, start, count < PAGES - start ? count : PAGES - start, true);
            hf_cover_add(cover, start, count < PAGES - start ? count : PAGES - start);
            if (runs_of(model) > HF_COVERS)
                fill_smallest_gap(model);
            break;
        case 4:
        case 5:
        case 6:
            set(model, start, count, false);
            hf_cover_remove(cover, start, count);
            if (runs_of(model) > HF_COVERS)
                memcpy(model, before, sizeof before);
            break;
        default:
            set(model, start, PAGES, false);
            hf_cover_cut(cover, start);
            break;
        }
        if (!CHECK(same(cover, model)) || !CHECK(tidy(cover)))
            return;
    }
}

TEST(cover_at_the_ends)
{
    const uint64_t end = UINT64_C(1) << 48;
    struct hf_range cover[HF_COVERS] = {{0, 0}};
    hf_cover_add(cover, 5, 0);
    CHECK(!hf_cover_has(cover, 5) && tidy(cover));
    hf_cover_add(cover, 7, UINT64_MAX);
    CHECK(!hf_cover_has(cover, 6) && hf_cover_has(cover, 7) && hf_cover_has(cover, end - 1) && !hf_cover_has(cover, end));
    hf_cover_add(cover, end, 1);
    hf_cover_add(cover, UINT64_MAX, UINT64_MAX);
    CHECK(cover[0].start == 7 && cover[0].count == end - 7 && cover[1].count == 0);
    hf_cover_cut(cover, UINT64_MAX);
    CHECK(hf_cover_has(cover, end - 1));
    hf_cover_remove(cover, end, 5);
    CHECK(hf_cover_has(cover, end - 1));
    hf_cover_remove(cover, 0, UINT64_MAX);
    CHECK(!hf_cover_has(cover, 7) && cover[0].start == 0 && tidy(cover));
    hf_cover_add(cover, 3, 2);
    hf_cover_cut(cover, 0);
    CHECK(!hf_cover_has(cover, 3) && tidy(cover));
}

TEST(floors_are_the_staircase)
{
    for (unsigned run = 0; run < 2000; run++) {
        struct hf_floor floors[HF_FLOORS] = {{0, 0}};
        uint32_t wanted[PAGES] = {0};
        uint32_t gen = 0;
        for (unsigned step = 0; step < 12; step++) {
            uint32_t offset = random_below(PAGES);
            struct hf_floor before[HF_FLOORS];
            memcpy(before, floors, sizeof before);
            gen += random_below(3) > 0 || gen == 0; /* two shrinks may share a generation */
            if (!hf_floor_add(floors, offset, gen)) {
                CHECK_MEM(before, floors, sizeof before);
                CHECK(floors[HF_FLOORS - 1].gen != 0 && floors[HF_FLOORS - 1].offset < offset);
                break;
            }
            for (unsigned at = offset; at < PAGES; at++)
                wanted[at] = gen;
            for (unsigned at = 0; at < PAGES; at++) {
                uint32_t got = 0;
                for (unsigned i = 0; i < HF_FLOORS; i++) {
                    if (floors[i].gen > got && floors[i].offset <= at)
                        got = floors[i].gen;
                }
                CHECK_INT(got, wanted[at]);
            }
        }
        struct hf_file_dynamic dynamic = {.gen = gen};
        uint8_t bytes[HF_DYNAMIC_LEN];
        memcpy(dynamic.floors, floors, sizeof floors);
        hf_file_dynamic_encode(&dynamic, bytes);
        CHECK_INT(hf_file_dynamic_parse(bytes, &dynamic), HF_OK); /* what we make is taken */
    }
}

TEST(floors_when_full)
{
    struct hf_floor floors[HF_FLOORS] = {{0, 0}};
    for (uint32_t i = 1; i <= HF_FLOORS; i++)
        CHECK(hf_floor_add(floors, i * 10, i));
    CHECK(!hf_floor_add(floors, 41, 5));
    CHECK(hf_floor_add(floors, 40, 5)); /* takes the place of the last */
    CHECK(floors[3].offset == 40 && floors[3].gen == 5);
    CHECK(hf_floor_add(floors, 0, 6));
    CHECK(floors[0].offset == 0 && floors[0].gen == 6 && floors[1].gen == 0);
}

CHECK_MAIN()
