/* Single cases of src/fs/content_*.c on a disk in memory: what an attacker can do to pages, holes, generations, labels. Random work: test_content.c. */
#include <linux/falloc.h>

#include "contentkit.h"

static uint8_t pattern[SIZE_MAX_BYTES];

/* A settled file of that many bytes on a descriptor. */
static void make_settled(int fd, struct hf_content **ret, uint64_t size)
{
    sim_new(fd);
    hf_epoch = 7;
    hf_settled = 6;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (uint8_t)(1 + (i * 7 + i / 251) % 255);
    CHECK_INT(hf_content_make(fd, HF_CLASS_COMPLETE, HF_KIND_REGULAR, ret), HF_OK);
    CHECK_INT(hf_content_put_header(*ret, hf_epoch), HF_OK);
    CHECK_INT(hf_content_write(*ret, 0, pattern, size), HF_OK);
    settle_fully(fd, *ret);
}

/* What the whole file reads as on descriptor 1: HF_OK only when it is pattern. */
static enum hf_result read_state(const struct sim_state *state)
{
    struct hf_content *file = NULL;
    size_t len = 0;
    sim_put(1, state);
    enum hf_result result = hf_content_label(1, &file);
    if (result == HF_OK)
        result = hf_content_unseal(file);
    if (result == HF_OK)
        result = hf_content_read(file, 0, sizeof got, got, &len);
    if (result == HF_OK)
        CHECK(len == file->dynamic.size && memcmp(got, pattern, len) == 0);
    hf_content_free(&file);
    return result;
}

/* [FC-2] [FH-1] */
TEST(every_changed_byte_is_noticed)
{
    struct hf_content *file = NULL;
    static struct sim_state good, bad;
    make_settled(0, &file, 9000);
    hf_content_free(&file);
    good = sim_files[0]->now;
    CHECK_INT(read_state(&good), HF_OK);
    for (uint64_t at = 0; at < good.length; at++) {
        bad = good;
        ((uint8_t *)bad.pages)[at] ^= (uint8_t)(1u << at % 8);
        enum hf_result result = read_state(&bad);
        if (!CHECK(result == HF_DAMAGED || (at < HF_STATIC_LEN && result != HF_OK))) {
            printf("byte %llu\n", (unsigned long long)at);
            return;
        }
    }
}

/* [FC-2] [FC-3] */
TEST(moved_zeroed_and_cut_pages_are_noticed)
{
    struct hf_content *one = NULL, *two = NULL;
    static struct sim_state good, bad;
    make_settled(0, &one, 15000);
    make_settled(2, &two, 15000);
    good = sim_files[0]->now;
    for (unsigned page = 0; page < 4; page++) {
        for (unsigned other = 0; other < 4; other++) {
            bad = good;
            memcpy(bad.pages[page], good.pages[other], SIM_PAGE);
            CHECK_INT(read_state(&bad), page == other ? HF_OK : HF_DAMAGED);
            bad = good;
            memcpy(bad.pages[page], sim_files[2]->now.pages[other], SIM_PAGE); /* the same text in another file */
            CHECK_INT(read_state(&bad), HF_DAMAGED);
        }
        bad = good;
        memset(bad.pages[page], 0, SIM_PAGE);
        CHECK_INT(read_state(&bad), page == 0 ? HF_NOT_FOUND : HF_DAMAGED);
    }
    for (uint64_t length = 0; length < good.length; length += 97) {
        bad = good;
        bad.length = length;
        sim_zero_behind(&bad);
        CHECK_INT(read_state(&bad), length < HF_HEADER_LEN ? HF_NOT_FOUND : HF_DAMAGED);
    }
    hf_content_free(&one);
    hf_content_free(&two);
}

/* [FC-4] */
TEST(pages_of_other_generations)
{
    struct hf_content *file = NULL;
    static struct sim_state old, bad;
    make_settled(0, &file, 15000);
    old = sim_files[0]->now;
    CHECK_INT(hf_content_truncate(file, 5000), HF_OK);
    CHECK_INT(hf_content_write(file, 5000, pattern + 5000, 10000), HF_OK);
    CHECK_INT(hf_content_fsync(file, false), HF_OK);
    CHECK_INT(file->dynamic.gen, 2);
    hf_settled = hf_epoch; /* no window */
    CHECK_INT(read_state(&sim_files[0]->now), HF_OK);
    for (unsigned page = 1; page < 4; page++) {
        bad = sim_files[0]->now;
        memcpy(bad.pages[page], old.pages[page], SIM_PAGE);
        CHECK_INT(read_state(&bad), HF_DAMAGED); /* below its floor */
    }
    bad = sim_files[0]->now;
    memcpy(bad.pages[0], old.pages[0], SIM_PAGE);
    CHECK_INT(read_state(&bad), HF_DAMAGED); /* pages of a later generation than the header's */
    hf_content_free(&file);
}

/* [FC-4] More shrinks than there are floors, growth between them, a crash's worth of old pages left: no byte from behind a cut comes back. */
TEST(more_shrinks_than_floors)
{
    struct hf_content *file = NULL;
    size_t len = 0;
    make_settled(0, &file, 60000);
    for (uint64_t size = 4000, i = 0; i < 12; i++, size += 3000) {
        CHECK_INT(hf_content_truncate(file, size), HF_OK);
        CHECK_INT(hf_content_truncate(file, 60000), HF_OK);
        CHECK_INT(hf_content_read(file, 0, sizeof got, got, &len), HF_OK);
        CHECK_INT(len, 60000);
        CHECK(memcmp(got, pattern, 4000) == 0);
        for (uint64_t at = 4000; at < len; at++) {
            if (got[at] != 0) {
                (void)CHECK(!"a byte from behind a cut");
                break;
            }
        }
    }
    settle_fully(0, file);
    CHECK_INT(file->dynamic.floors[0].gen, 0);
    hf_content_free(&file);
}

/* [FC-5] */
TEST(a_filled_hole_is_no_hole_any_more)
{
    struct hf_content *file = NULL;
    static struct sim_state bad;
    sim_new(0);
    memset(pattern, 5, sizeof pattern);
    hf_epoch = 7;
    hf_settled = 6;
    CHECK_INT(hf_content_make(0, HF_CLASS_COMPLETE, HF_KIND_REGULAR, &file), HF_OK);
    CHECK_INT(hf_content_put_header(file, hf_epoch), HF_OK);
    CHECK_INT(hf_content_truncate(file, 15000), HF_OK);
    CHECK(hf_cover_has(file->dynamic.cover, 1) && hf_cover_has(file->dynamic.cover, 3));
    CHECK_INT(hf_content_write(file, 0, pattern, 15000), HF_OK);
    CHECK(hf_cover_has(file->dynamic.cover, 2)); /* not before the page is durable */
    settle_fully(0, file);
    for (unsigned page = 1; page < 4; page++) {
        CHECK(!hf_cover_has(file->dynamic.cover, page));
        bad = sim_files[0]->now;
        memset(bad.pages[page], 0, SIM_PAGE);
        CHECK_INT(read_state(&bad), HF_DAMAGED);
    }
    hf_content_free(&file);
}

/* [FC-6] */
TEST(a_used_up_generation)
{
    struct hf_content *file = NULL;
    struct hf_page_head head;
    make_settled(0, &file, 15000);
    file->writes = WRITES_LIMIT - 1;
    unsigned long barriers = sim_barriers;
    CHECK_INT(hf_content_write(file, 4000, pattern + 4000, 10), HF_OK);
    CHECK_INT(sim_barriers, barriers + 1);
    CHECK_INT(file->dynamic.gen, 2);
    hf_page_head_parse(sim_files[0]->now.pages[1], &head);
    CHECK_INT(head.gen, 2);
    CHECK(file->dynamic.writes >= file->writes && file->writes < 10);
    CHECK_INT(read_state(&sim_files[0]->now), HF_OK); /* old pages stay */
    hf_content_free(&file);
}

/* [FC-6] A nonce that came twice under one key would give both pages away. */
TEST(no_nonce_comes_twice)
{
    enum { WRITES = 400, SEEN = 2 * WRITES };
    static uint8_t seen[SEEN][HF_GCM_NONCE_LEN];
    struct hf_content *file = NULL;
    struct hf_page_head head;
    unsigned count = 0;
    make_settled(0, &file, 9000);
    for (unsigned i = 0; i < WRITES; i++) {
        CHECK_INT(hf_content_write(file, 4000, pattern + 4000, 10), HF_OK); /* the same bytes, so that nothing else differs */
        CHECK_INT(hf_content_put_header(file, hf_epoch), HF_OK);
        for (unsigned page = 0; page < 2; page++) {
            hf_page_head_parse(sim_files[0]->now.pages[page] + (page == 0 ? HF_HEAD_OFFSET : 0), &head);
            for (unsigned k = 0; k < count; k++) {
                if (!CHECK(memcmp(seen[k], head.nonce, sizeof head.nonce) != 0))
                    return;
            }
            memcpy(seen[count++], head.nonce, sizeof head.nonce);
        }
    }
    CHECK_INT(count, SEEN);
    hf_content_free(&file);
}

/* [KW-1] A header whose key opens everything, but is not the one that the header commits to. */
TEST(another_key_than_the_committed_one)
{
    struct hf_content *file = NULL;
    make_settled(0, &file, 9000);
    CHECK_INT(read_state(&sim_files[0]->now), HF_OK);
    file->s[HF_STATIC_LEN - 1] ^= 1; /* the commitment's last byte; all that is authenticated is made with it */
    CHECK_INT(hf_file_static_parse(file->s, &file->header), HF_OK);
    CHECK_INT(hf_content_put_header(file, hf_epoch), HF_OK);
    CHECK_INT(read_state(&sim_files[0]->now), HF_DAMAGED);
    file->s[HF_STATIC_LEN - 1] ^= 1;
    CHECK_INT(hf_file_static_parse(file->s, &file->header), HF_OK);
    CHECK_INT(hf_content_put_header(file, hf_epoch), HF_OK);
    CHECK_INT(read_state(&sim_files[0]->now), HF_OK);
    hf_content_free(&file);
}

/* [CR-3] In a window too a page that was promised is an error when it does not open, and never the file's end. */
TEST(a_promised_page_is_never_cut)
{
    struct hf_content *file = NULL;
    static struct sim_state bad;
    make_settled(0, &file, 10000);
    CHECK_INT(hf_content_put_header(file, hf_epoch), HF_OK);
    CHECK(file->dynamic.epoch > hf_settled && file->dynamic.durable == 10000);
    CHECK_INT(read_state(&sim_files[0]->now), HF_OK);
    for (unsigned page = 1; page <= 2; page++) {
        bad = sim_files[0]->now;
        bad.pages[page][100] ^= 1;
        CHECK_INT(read_state(&bad), HF_DAMAGED);
        memset(bad.pages[page], 0, SIM_PAGE);
        CHECK_INT(read_state(&bad), HF_DAMAGED);
    }
    hf_content_free(&file);
}

TEST(label_and_locked)
{
    struct hf_content *file = NULL, *label = NULL;
    size_t len = 0;
    uint64_t at = 0;
    make_settled(0, &file, 9000);
    hf_content_free(&file);
    ring_locked = true;
    CHECK_INT(hf_content_label(0, &label), HF_OK);
    CHECK_INT(hf_content_unseal(label), HF_LOCKED);
    CHECK(!hf_content_unsealed(label));
    CHECK_INT(hf_content_read(label, 0, 10, got, &len), HF_LOCKED);
    CHECK_INT(hf_content_write(label, 0, pattern, 10), HF_LOCKED);
    CHECK_INT(hf_content_truncate(label, 0), HF_LOCKED);
    CHECK_INT(hf_content_fallocate(label, 0, 0, 10), HF_LOCKED);
    CHECK_INT(hf_content_fsync(label, false), HF_LOCKED);
    CHECK_INT(hf_content_seek(label, 0, SEEK_DATA, &at), HF_LOCKED);
    CHECK_INT(hf_content_put_header(label, hf_epoch), HF_LOCKED);
    label->meta.current = 1;
    CHECK_INT(hf_content_put_meta(label, hf_epoch), HF_OK); /* a rename of a locked file */
    ring_locked = false;
    CHECK_INT(hf_content_unseal(label), HF_OK);
    CHECK_INT(hf_content_unseal(label), HF_OK);
    CHECK(read_all(label) && memcmp(got, pattern, 9000) == 0);
    hf_content_forget(label);
    CHECK(!hf_content_unsealed(label) && label->dynamic.size == 0 && label->inline_data[0] == 0);
    CHECK_INT(hf_content_unseal(label), HF_OK);
    CHECK_INT(hf_content_rewrap(label, HF_CLASS_AFTER_UNLOCK), HF_OK);
    CHECK_INT(hf_content_put_header(label, hf_epoch), HF_OK);
    hf_content_free(&label);
    CHECK_INT(hf_content_label(0, &label), HF_OK);
    CHECK_INT(label->header.class, HF_CLASS_AFTER_UNLOCK);
    CHECK_INT(label->meta.current, 1);
    CHECK_INT(hf_content_unseal(label), HF_OK);
    CHECK(read_all(label) && memcmp(got, pattern, 9000) == 0);
    hf_content_free(&label);
    memset(sim_files[0]->now.pages[0], 0, HF_HEAD_OFFSET);
    CHECK_INT(hf_content_label(0, &label), HF_NOT_FOUND);
}

TEST(seek_finds_holes_and_data)
{
    struct hf_content *file = NULL;
    uint64_t at = 0;
    make_settled(0, &file, 3392 + 4064);
    CHECK_INT(hf_content_truncate(file, 100000), HF_OK);
    CHECK_INT(hf_content_write(file, hf_page_start(10) + 5, pattern, 10), HF_OK);
    CHECK_INT(hf_content_seek(file, 0, SEEK_DATA, &at), HF_OK);
    CHECK_INT(at, 0);
    CHECK_INT(hf_content_seek(file, 0, SEEK_HOLE, &at), HF_OK);
    CHECK_INT(at, hf_page_start(2));
    CHECK_INT(hf_content_seek(file, hf_page_start(2) + 7, SEEK_HOLE, &at), HF_OK);
    CHECK_INT(at, hf_page_start(2) + 7);
    CHECK_INT(hf_content_seek(file, hf_page_start(2) + 7, SEEK_DATA, &at), HF_OK);
    CHECK_INT(at, hf_page_start(10));
    CHECK_INT(hf_content_seek(file, hf_page_start(10) + 9, SEEK_HOLE, &at), HF_OK);
    CHECK_INT(at, hf_page_start(11));
    CHECK_INT(hf_content_seek(file, hf_page_start(11), SEEK_DATA, &at), HF_NOT_FOUND);
    CHECK_INT(hf_content_seek(file, 100000, SEEK_HOLE, &at), HF_NOT_FOUND);
    hf_content_free(&file);
}

/* [CR-8] Each append to a synced file: what was synced before is there, whichever of data and length comes to the disk. */
TEST(append_keeps_what_was_synced)
{
    struct hf_content *file = NULL;
    static struct sim_state state;
    make_settled(0, &file, 100);
    hf_content_free(&file);
    CHECK_INT(hf_content_label(0, &file), HF_OK);
    CHECK_INT(hf_content_unseal(file), HF_OK);
    unsigned long barriers = sim_barriers;
    for (uint64_t size = 100; size < 12000; size += 300) {
        CHECK_INT(hf_content_write(file, size, pattern + size, 300), HF_OK);
        for (int i = 0; i < 20; i++) {
            sim_cut(sim_files[0], &state);
            CHECK_INT(read_state(&state), HF_OK);
            CHECK(memcmp(got, pattern, size) == 0);
        }
        CHECK_INT(hf_content_fsync(file, false), HF_OK);
    }
    CHECK_INT(sim_barriers, barriers + 40 + 1); /* one a sync, and one to make room at the first */
    settle_fully(0, file);
    hf_content_free(&file);
}

/* A huge range makes no huge buffer, and ZERO_RANGE may extend. */
TEST(ranges_of_fallocate)
{
    struct hf_content *file = NULL;
    make_settled(0, &file, 15000);
    CHECK_INT(hf_content_fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 100, HF_FILE_SIZE_MAX - 100), HF_OK);
    CHECK_INT(file->dynamic.size, 15000);
    CHECK(read_all(file) && memcmp(got, pattern, 100) == 0 && got[100] == 0 && got[14999] == 0);
    CHECK_INT(hf_content_fallocate(file, FALLOC_FL_ZERO_RANGE, 14000, 6000), HF_OK);
    CHECK_INT(file->dynamic.size, 20000);
    CHECK_INT(hf_content_fallocate(file, 0, 0, (uint64_t)SIM_PAGES * SIM_PAGE * 2), HF_NO_SPACE);
    CHECK_INT(file->dynamic.size, 20000);
    CHECK_INT(hf_content_fallocate(file, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), HF_UNSUPPORTED);
    CHECK_INT(hf_content_fallocate(file, 0, HF_FILE_SIZE_MAX, 1), HF_TOO_LARGE);
    hf_content_free(&file);
}

/* [CR-6] Until a barrier the header says the attributes that were; old names take a place in a window alone. */
TEST(what_a_header_says_of_its_file)
{
    struct hf_content *file = NULL, *label = NULL;
    make_settled(0, &file, 100);
    uint32_t settled = hf_settled;
    hf_content_attr_moves(file);
    file->meta.attr_mac[0] ^= 1;
    hf_content_attr_moves(file);
    file->meta.xattr_digest[0] ^= 1;
    file->meta.current = 1;
    file->meta.old = 2;
    memset(file->meta.slots, 7, 3 * HF_SLOT_LEN);
    for (int durable = 0; durable < 2; durable++) {
        if (durable)
            hf_content_attr_is_durable(file);
        CHECK_INT(durable ? hf_content_put_header(file, settled + 1) : hf_content_put_meta(file, settled + 1), HF_OK);
        CHECK_INT(hf_content_label(0, &label), HF_OK);
        CHECK((memcmp(label->meta.attr_mac, file->meta.attr_mac, 16) == 0) == durable);
        CHECK((memcmp(label->meta.xattr_digest, file->meta.xattr_digest, 32) == 0) == durable);
        CHECK(label->in_window && label->meta.old == 2);
        hf_content_free(&label);
    }
    hf_settled = settled + 1;
    CHECK_INT(hf_content_label(0, &label), HF_OK);
    CHECK(!label->in_window && label->meta.current == 1 && label->meta.old == 0 && label->meta.slots[0][0] == 7 && label->meta.slots[1][0] == 0);
    hf_content_free(&label);
    hf_content_free(&file);
}
