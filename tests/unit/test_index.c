/* The freshness index's table, format and file: src/fs/index_table.c, src/format/indexlog.c, src/fs/chainfile.c. Keys are made up; files are real. */
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"
#include "crypto/prf.h"
#include "crypto/wrap.h"
#include "fakering.h"
#include "format/class.h"
#include "fs/chainfile.h"
#include "fs/index_table.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/secret.h"
#include "tempdir.h"

uint32_t hf_keyring_generation(unsigned class)
{
    return ring_locked || class == HF_CLASS_UNLESS_OPEN ? 0 : 1;
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint64_t spread(uint64_t n)
{
    uint64_t out[2];
    static const uint8_t key[16] = {7};
    hf_prf(key, 1, &HF_SPAN(&n, sizeof n), 1, out);
    return out[0] | 1;
}

static struct hf_index_entry entry_of(unsigned dir, unsigned name, uint32_t version)
{
    return (struct hf_index_entry){.dir = spread(dir), .name = spread(1000 + name), .meta = version, .content = version, .tag = version ? spread(name) : 0};
}

/* --- the table --- */

TEST(a_table_is_what_a_list_would_be)
{
    enum { DIRS = 7, NAMES = 300, STEPS = 60000 };
    struct hf_index_table table = {0};
    static uint32_t model[DIRS][NAMES];
    uint32_t seed = 1;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned dir = next(&seed) % DIRS, name = next(&seed) % NAMES;
        uint32_t version = next(&seed) % 3 == 0 ? 0 : step + 1;
        struct hf_index_entry entry = entry_of(dir, name, version);
        CHECK_INT(hf_index_table_apply(&table, &entry), HF_OK);
        model[dir][name] = version;
        if (step % 1000 != 0)
            continue;
        size_t len = 0;
        for (unsigned d = 0; d < DIRS; d++) {
            uint32_t count = 0;
            for (unsigned n = 0; n < NAMES; n++) {
                const struct hf_index_entry *found = hf_index_table_find(&table, spread(d), spread(1000 + n));
                CHECK_INT(found ? found->meta : 0, model[d][n]);
                count += model[d][n] != 0;
            }
            CHECK_INT(hf_index_table_count(&table, spread(d)), count);
            len += count + (count > 0);
        }
        CHECK_INT(table.len, len);
    }
    struct hf_index_entry nothing = {.meta = 1};
    CHECK_INT(hf_index_table_put(&table, &nothing), HF_DAMAGED);
    hf_index_table_free(&table);
}

TEST(a_million_entries)
{
    enum { MANY = 1000000 };
    struct hf_index_table table = {0};
    for (unsigned i = 0; i < MANY; i++) {
        struct hf_index_entry entry = entry_of(i, i, 1);
        CHECK_INT(hf_index_table_put(&table, &entry), HF_OK);
    }
    CHECK_INT(table.len, MANY);
    double each = (double)(table.cap * sizeof *table.slots) / MANY;
    CHECK(each < 85);
    uint64_t before = hf_clock_ns(), found = 0;
    for (unsigned i = 0; i < MANY; i++)
        found += hf_index_table_find(&table, spread(i), spread(1000 + i)) != NULL;
    CHECK_INT(found, MANY);
    printf("%.1f bytes an entry; two PRFs and a lookup: %.0f ns\n", each, (double)(hf_clock_ns() - before) / MANY);
    hf_index_table_free(&table);
}

/* --- the file --- */

enum { RECORDS = 6 };

struct image {
    uint8_t bytes[8192];
    size_t len, ends[RECORDS + 1];
    uint8_t tips[RECORDS + 1][HF_INDEX_TIP_LEN]; /* 0: the base's */
};

static struct hf_index_entry base_entries[3];
static unsigned base_at;

static struct hf_span base_next(void *arg)
{
    static uint8_t bytes[HF_INDEX_ENTRY_LEN];
    (void)arg;
    hf_index_entry_write(&base_entries[base_at++], bytes);
    return HF_SPAN_OF(bytes);
}

static const uint8_t continued[HF_INDEX_TIP_LEN] = {0x11};

/* Three base records, then six of one entry each: name n at version n. */
static void build(int dir, struct image *ret)
{
    struct hf_chain chain;
    base_at = 0;
    for (unsigned i = 0; i < 3; i++)
        base_entries[i] = entry_of(1, 100 + i, 1);
    CHECK_INT(hf_chain_new(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK), HF_OK);
    CHECK_INT(hf_chain_rewrite(&chain, continued, 3, base_next, NULL), HF_OK);
    for (unsigned i = 0; i <= RECORDS; i++) {
        uint8_t bytes[HF_INDEX_ENTRY_LEN];
        memcpy(ret->tips[i], chain.committed.tip, HF_INDEX_TIP_LEN);
        ret->ends[i] = (size_t)chain.committed.at;
        struct hf_index_entry entry = entry_of(2, i + 1, i + 1);
        hf_index_entry_write(&entry, bytes);
        if (i < RECORDS)
            CHECK_INT(hf_chain_append(&chain, HF_SPAN_OF(bytes)), HF_OK);
        hf_chain_commit(&chain);
    }
    hf_chain_close(&chain);
    size_t len = 0;
    CHECK_INT(hf_file_read(dir, "a", ret->bytes, sizeof ret->bytes, &len), HF_OK);
    ret->len = len;
    CHECK_INT(len, ret->ends[RECORDS]);
}

struct seen {
    unsigned base, records;
    bool wrong;
};

static enum hf_result visit(void *arg, bool base, struct hf_span plain)
{
    struct seen *seen = arg;
    struct hf_index_entry entry, expected;
    if (plain.len != HF_INDEX_ENTRY_LEN)
        return HF_DAMAGED;
    hf_index_entry_read(plain.data, &entry);
    expected = base ? base_entries[seen->base] : entry_of(2, seen->records + 1, seen->records + 1);
    seen->wrong = seen->wrong || memcmp(&entry, &expected, sizeof entry) != 0;
    seen->base += base;
    seen->records += !base;
    return HF_OK;
}

static enum hf_result load(int dir, const uint8_t *bytes, size_t len, const uint8_t *tip, bool closed, struct seen *ret)
{
    struct hf_chain chain;
    int fd = openat(dir, "a", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len || close(fd) != 0)
        abort();
    memset(ret, 0, sizeof *ret);
    enum hf_result result = hf_chain_load(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK, tip, closed, visit, ret);
    if (result == HF_OK)
        hf_chain_close(&chain);
    return result;
}

/* [FR-4] Every cut of the log under every head that a power cut can leave: the head's state, whole, or none at all. */
TEST(cuts_give_the_heads_state_or_nothing)
{
    char path[64];
    int dir = make_dir(path);
    static struct image image;
    struct seen seen;
    build(dir, &image);
    for (size_t cut = 0; cut <= image.len; cut++) {
        for (unsigned head = 0; head <= RECORDS; head++) {
            enum hf_result result = load(dir, image.bytes, cut, image.tips[head], false, &seen);
            CHECK(!seen.wrong);
            if (cut >= image.ends[head])
                CHECK(result == HF_OK && seen.base == 3 && seen.records == head);
            else
                CHECK(result == HF_DAMAGED || result == HF_GONE);
        }
    }
    /* Between the exchange of the files and the head's: the new file under the old tip is its base alone. */
    CHECK(load(dir, image.bytes, image.len, continued, false, &seen) == HF_OK && seen.base == 3 && seen.records == 0);
    /* A vault that was closed has nothing behind its head. */
    CHECK_INT(load(dir, image.bytes, image.len, image.tips[RECORDS], true, &seen), HF_OK);
    CHECK_INT(load(dir, image.bytes, image.len, image.tips[RECORDS - 1], true, &seen), HF_EXISTS);
    CHECK_INT(load(dir, image.bytes, image.len, continued, true, &seen), HF_EXISTS);
    static const uint8_t other[HF_INDEX_TIP_LEN] = {9};
    CHECK_INT(load(dir, image.bytes, image.len, other, false, &seen), HF_GONE);
    CHECK(load(dir, image.bytes, image.len, NULL, false, &seen) == HF_OK && seen.records == RECORDS);
    remove_dir(path, dir);
}

/* What was synced since the last rename. */
static bool file_synced, dir_synced;

static int noting_fsync(int fd)
{
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    *(S_ISDIR(st.st_mode) ? &dir_synced : &file_synced) = true;
    return hf_disk_kernel.fsync(fd);
}

static int noting_renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags)
{
    CHECK(file_synced);
    file_synced = dir_synced = false;
    return hf_disk_kernel.renameat2(old_dir, old_name, new_dir, new_name, flags);
}

/* [FR-4] A new file's content is durable before it takes the old one's name, and the name before it is said to be there. */
TEST(a_new_file_is_durable_before_its_name)
{
    char path[64];
    int dir = make_dir(path);
    struct hf_disk_ops noting = hf_disk_kernel;
    struct hf_chain chain;
    noting.fsync = noting_fsync;
    noting.renameat2 = noting_renameat2;
    CHECK_INT(hf_chain_new(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK), HF_OK);
    hf_disk = &noting;
    for (unsigned round = 0; round < 2; round++) {
        base_at = 0;
        for (unsigned i = 0; i < 3; i++)
            base_entries[i] = entry_of(1, 100 + i, 1);
        CHECK_INT(hf_chain_rewrite(&chain, continued, 3, base_next, NULL), HF_OK);
        CHECK(dir_synced && !file_synced);
    }
    hf_disk = &hf_disk_kernel;
    hf_chain_close(&chain);
    remove_dir(path, dir);
}

/* [FR-4] What a failed settle or a stop left behind the end is written over. */
TEST(appends_go_on_from_the_committed_end)
{
    char path[64];
    int dir = make_dir(path);
    static struct image image;
    struct hf_chain chain;
    struct seen seen;
    uint8_t bytes[2][HF_INDEX_ENTRY_LEN], tip[HF_INDEX_TIP_LEN];
    build(dir, &image);
    (void)load(dir, image.bytes, image.len - 1, image.tips[4], false, &seen);
    memset(&seen, 0, sizeof seen);
    CHECK_INT(hf_chain_load(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK, image.tips[4], false, visit, &seen), HF_OK);
    for (unsigned i = 0; i < 2; i++) {
        struct hf_index_entry entry = entry_of(2, 5 + i, 5 + i);
        hf_index_entry_write(&entry, bytes[i]);
    }
    CHECK_INT(hf_chain_append(&chain, HF_SPAN_OF(bytes[1])), HF_OK); /* the wrong one, of a settle that fails */
    hf_chain_unstage(&chain);
    CHECK_INT(hf_chain_append(&chain, HF_SPAN_OF(bytes[0])), HF_OK);
    CHECK_INT(hf_chain_append(&chain, HF_SPAN_OF(bytes[1])), HF_OK);
    hf_chain_commit(&chain);
    memcpy(tip, chain.committed.tip, sizeof tip);
    hf_chain_close(&chain);
    memset(&seen, 0, sizeof seen);
    CHECK_INT(hf_chain_load(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK, tip, true, visit, &seen), HF_OK);
    CHECK(!seen.wrong && seen.records == RECORDS);
    hf_chain_close(&chain);
    remove_dir(path, dir);
}

/* [FR-5] */
TEST(every_flipped_bit_is_refused)
{
    char path[64];
    int dir = make_dir(path);
    static struct image image;
    struct seen seen;
    build(dir, &image);
    for (size_t at = 0; at < image.len; at++) {
        image.bytes[at] ^= (uint8_t)(1u << at % 8);
        enum hf_result result = load(dir, image.bytes, image.len, image.tips[RECORDS], true, &seen);
        CHECK((result == HF_DAMAGED || result == HF_GONE) && !seen.wrong);
        image.bytes[at] ^= (uint8_t)(1u << at % 8);
    }
    remove_dir(path, dir);
}

/* [FR-5] */
TEST(records_swapped_repeated_foreign_or_of_impossible_lengths_are_refused)
{
    char path[64];
    int dir = make_dir(path);
    static struct image image, other;
    static uint8_t bytes[2 * sizeof image.bytes];
    struct seen seen;
    build(dir, &other);
    build(dir, &image);
    size_t one = image.ends[2] - image.ends[1];
    for (unsigned i = 1; i < RECORDS; i++) {
        memcpy(bytes, image.bytes, image.len);
        memcpy(bytes + image.ends[i - 1], image.bytes + image.ends[i], one);
        memcpy(bytes + image.ends[i], image.bytes + image.ends[i - 1], one);
        CHECK(load(dir, bytes, image.len, image.tips[RECORDS], false, &seen) == HF_DAMAGED && !seen.wrong); /* swapped */
        memcpy(bytes, image.bytes, image.len);
        memcpy(bytes + image.ends[i], image.bytes + image.ends[i - 1], one);
        CHECK(load(dir, bytes, image.len, image.tips[RECORDS], false, &seen) == HF_DAMAGED && !seen.wrong); /* repeated */
        memcpy(bytes, image.bytes, image.len);
        memcpy(bytes + image.ends[i], other.bytes + other.ends[i], one);
        CHECK(load(dir, bytes, image.len, image.tips[RECORDS], false, &seen) == HF_DAMAGED && !seen.wrong); /* another file's */
        memcpy(bytes, image.bytes, image.ends[i - 1]);
        memcpy(bytes + image.ends[i - 1], image.bytes + image.ends[i], image.len - image.ends[i]);
        CHECK(load(dir, bytes, image.len - one, image.tips[RECORDS], false, &seen) == HF_DAMAGED && !seen.wrong); /* one left out */
    }
    static const uint32_t lengths[] = {0, 1, 31, 33, HF_INDEX_RECORD_MAX, HF_INDEX_RECORD_MAX + 1, 0x7fffffff, 0xffffffff};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(bytes, image.bytes, image.len);
        for (unsigned k = 0; k < 4; k++)
            bytes[HF_INDEX_HEADER_LEN + k] = (uint8_t)(lengths[i] >> (8 * k));
        CHECK_INT(load(dir, bytes, image.len, image.tips[RECORDS], false, &seen), HF_DAMAGED);
    }
    struct hf_span sealed;
    CHECK_INT(hf_index_record_parse(HF_SPAN(bytes, 0), &sealed), HF_NOT_FOUND);
    CHECK_INT(hf_index_record_parse(HF_SPAN(bytes, 3), &sealed), HF_DAMAGED);
    struct hf_index_header header;
    for (size_t len = 0; len < HF_INDEX_HEADER_LEN; len++)
        CHECK_INT(hf_index_header_parse(HF_SPAN(image.bytes, len), &header), HF_DAMAGED);
    CHECK_INT(hf_index_header_parse(HF_SPAN(image.bytes, HF_INDEX_HEADER_LEN), &header), HF_OK);
    struct hf_chain chain;
    CHECK_INT(hf_chain_load(&chain, dir, "b", HF_CLASS_AFTER_UNLOCK, image.tips[0], false, visit, &seen), HF_NOT_FOUND);
    CHECK_INT(hf_chain_load(&chain, dir, "a", HF_CLASS_ALWAYS, image.tips[0], false, visit, &seen), HF_DAMAGED);
    CHECK(symlinkat("a", dir, "link") == 0 && mkfifoat(dir, "fifo", 0600) == 0);
    CHECK_INT(hf_chain_load(&chain, dir, "link", HF_CLASS_AFTER_UNLOCK, image.tips[0], false, visit, &seen), HF_DAMAGED);
    CHECK_INT(hf_chain_load(&chain, dir, "fifo", HF_CLASS_AFTER_UNLOCK, image.tips[0], false, visit, &seen), HF_DAMAGED);
    remove_dir(path, dir);
}

/* How long a mount waits for its index; printed, and held to nothing. */
struct many {
    struct hf_index_table *table;
    uint64_t at;
    uint8_t *bytes;
};

static struct hf_span many_next(void *arg)
{
    struct many *many = arg;
    for (unsigned i = 0; i < HF_INDEX_ENTRIES_MAX; i++, many->at++) {
        struct hf_index_entry entry = entry_of((unsigned)many->at, (unsigned)many->at, 1);
        hf_index_entry_write(&entry, many->bytes + i * HF_INDEX_ENTRY_LEN);
    }
    return HF_SPAN(many->bytes, HF_INDEX_RECORD_MAX);
}

static enum hf_result many_visit(void *arg, bool base, struct hf_span plain)
{
    struct many *many = arg;
    struct hf_index_entry entry;
    (void)base;
    for (size_t at = 0; at < plain.len; at += HF_INDEX_ENTRY_LEN) {
        hf_index_entry_read(plain.data + at, &entry);
        HF_TRY(hf_index_table_put(many->table, &entry));
    }
    return HF_OK;
}

TEST(a_million_entries_load)
{
    enum { BASES = 62 };
    char path[64];
    int dir = make_dir(path);
    struct hf_chain chain;
    struct hf_index_table table = {0};
    struct many many = {.table = &table, .bytes = malloc(HF_INDEX_RECORD_MAX)};
    uint8_t tip[HF_INDEX_TIP_LEN];
    if (!many.bytes)
        abort();
    CHECK_INT(hf_chain_new(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK), HF_OK);
    CHECK_INT(hf_chain_rewrite(&chain, continued, BASES, many_next, &many), HF_OK);
    memcpy(tip, chain.committed.tip, sizeof tip);
    hf_chain_close(&chain);
    uint64_t before = hf_clock_ns();
    CHECK_INT(hf_index_table_reserve(&table, BASES * HF_INDEX_ENTRIES_MAX), HF_OK);
    CHECK_INT(hf_chain_load(&chain, dir, "a", HF_CLASS_AFTER_UNLOCK, tip, true, many_visit, &many), HF_OK);
    printf("%zu entries loaded in %.0f ms\n", table.len, (double)(hf_clock_ns() - before) / 1e6);
    CHECK_INT(table.len, BASES * HF_INDEX_ENTRIES_MAX);
    hf_chain_close(&chain);
    hf_index_table_free(&table);
    free(many.bytes);
    remove_dir(path, dir);
}

int main(void)
{
    struct hf_error error;
    if (hf_secret_open(0, 1 << 20, &error) != HF_OK || hf_crypto_start() != HF_OK)
        return 1;
    return check_run_all();
}
