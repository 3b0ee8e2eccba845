/* Unit tests of src/format: round trips, and for every format the two properties of a strict parser: no truncation or extension is taken, and
 * whatever is taken encodes to exactly the bytes that were read (so no flipped bit goes unseen or unrepresented). Cover and floors: test_cover.c. */
#include <stdint.h>

#include "base/writer.h"
#include "check.h"
#include "crypto/argon.h"
#include "format/acl.h"
#include "format/class.h"
#include "format/content.h"
#include "format/dirrecord.h"
#include "format/evidence.h"
#include "format/fileheader.h"
#include "format/head.h"
#include "format/keybag.h"

_Static_assert(HF_KEYBAG_KDF_MIN_KIB == HF_ARGON_MIN_KIB, "one limit");
_Static_assert(HF_KEYBAG_KDF_MAX_KIB == HF_ARGON_MAX_KIB, "one limit");
_Static_assert(HF_KEYBAG_KDF_MAX_PASSES == HF_ARGON_MAX_PASSES, "one limit");
_Static_assert(HF_KEYBAG_KDF_MAX_LANES == HF_ARGON_MAX_LANES, "one limit");

static void fill(void *out, size_t len, unsigned seed)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + 7 * i + 1);
}

/* --- what every format is put through --- */

/* Parses len bytes; when they are taken, encodes what came out into out. */
typedef bool (*reencode)(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len);

/* Every single-bit flip and every byte set to 0 or 255. Returns how many were taken. */
static unsigned try_flips(const uint8_t *good, size_t len, reencode parse)
{
    unsigned taken = 0;
    uint8_t *bad = malloc(len);
    uint8_t *out = malloc(HF_KEYBAG_MAX);
    for (size_t at = 0; at < len; at++) {
        for (unsigned change = 0; change < 10; change++) {
            memcpy(bad, good, len);
            bad[at] = (uint8_t)(change < 8 ? good[at] ^ 1u << change : change == 8 ? 0u : 255u);
            size_t out_len = 0;
            if (memcmp(bad, good, len) == 0 || !parse(bad, len, out, &out_len))
                continue;
            taken++;
            CHECK(out_len == len && memcmp(out, bad, len) == 0);
        }
    }
    free(out);
    free(bad);
    return taken;
}

/* Every truncation, in a block of exactly that size (so that a sanitizer sees a read behind it), and one byte too many. */
static void try_lengths(const uint8_t *good, size_t len, reencode parse)
{
    uint8_t *out = malloc(HF_KEYBAG_MAX);
    for (size_t cut = 0; cut <= len + 1; cut++) {
        uint8_t *bytes = calloc(1, cut > 0 ? cut : 1);
        memcpy(bytes, good, cut < len ? cut : len);
        size_t out_len = 0;
        CHECK_INT(parse(bytes, cut, out, &out_len), cut == len);
        free(bytes);
    }
    free(out);
}

/* --- class --- */

TEST(class_names)
{
    CHECK_STR(hf_class_name(HF_CLASS_COMPLETE), "complete");
    CHECK_STR(hf_class_name(HF_CLASS_ALWAYS), "always");
    CHECK(!hf_class_name(0) && !hf_class_name(5) && !hf_class_name(UINT32_MAX));
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        CHECK_INT(hf_class_from_name(hf_class_name(class)), class);
    CHECK_INT(hf_class_from_name(""), 0);
    CHECK_INT(hf_class_from_name("Complete"), 0);
    CHECK_INT(hf_class_from_name("complete "), 0);
}

/* --- content --- */

TEST(content_sizes_and_lengths_agree)
{
    uint64_t last_len = 0;
    for (uint64_t size = 0; size < 5 * HF_PAGE_LEN; size++) {
        uint64_t len = hf_disk_len(size);
        CHECK(size == 0 ? len == HF_HEADER_LEN : len > last_len);
        CHECK_INT(hf_size_from_disk_len(len), size);
        uint64_t held = 0;
        for (uint64_t page = 0; page < 8; page++)
            held += hf_page_len(page, size);
        CHECK_INT(held, size);
        last_len = len;
    }
}

/* [FC-1] */
TEST(content_pages_partition_the_file)
{
    uint64_t next = 0;
    for (uint64_t page = 0; page < 4; page++) {
        CHECK_INT(hf_page_start(page), next);
        CHECK_INT(hf_page_of(next), page);
        next += hf_page_capacity(page);
        CHECK_INT(hf_page_of(next - 1), page);
        CHECK_INT(hf_page_len(page, next), hf_page_capacity(page));
        CHECK_INT(hf_page_len(page, next - 1), hf_page_capacity(page) - 1);
    }
    for (uint64_t offset = 0; offset < 5 * HF_PAGE_LEN; offset++) {
        uint64_t page = hf_page_of(offset);
        CHECK(hf_page_start(page) <= offset && offset < hf_page_start(page + 1));
    }
}

TEST(content_every_length_has_a_bounded_size)
{
    /* Monotonic, and never more than L says. */
    uint64_t last = 0;
    for (uint64_t len = 0; len < 5 * HF_PAGE_LEN; len++) {
        uint64_t size = hf_size_from_disk_len(len);
        CHECK(size >= last);
        CHECK(size == 0 || hf_disk_len(size) <= len);
        last = size;
    }
}

TEST(content_largest_file)
{
    for (uint64_t size = HF_FILE_SIZE_MAX - 2 * HF_PAGE_LEN; size <= HF_FILE_SIZE_MAX; size++) {
        uint64_t len = hf_disk_len(size);
        CHECK(len > size && len < (uint64_t)INT64_MAX);
        CHECK(hf_size_from_disk_len(len) == size);
        CHECK(hf_page_of(size) < UINT64_C(1) << 48);
    }
}

/* --- page 0 --- */

static struct hf_file_static some_static(void)
{
    struct hf_file_static header = {.kind = HF_KIND_REGULAR, .class = HF_CLASS_COMPLETE, .class_generation = 1};
    fill(header.file_id, sizeof header.file_id, 1);
    header.wrap_algorithm = HF_WRAP_CLASS;
    header.wrap_len = sizeof header.wrap;
    fill(header.wrap, sizeof header.wrap, 2);
    fill(header.commitment, sizeof header.commitment, 3);
    return header;
}

static bool reencode_static(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len)
{
    struct hf_file_static header;
    if (len != HF_STATIC_LEN || hf_file_static_parse(bytes, &header) != HF_OK)
        return false;
    hf_file_static_encode(&header, out);
    *ret_len = HF_STATIC_LEN;
    return true;
}

static enum hf_result parse_static(const struct hf_file_static *header)
{
    uint8_t bytes[HF_STATIC_LEN];
    struct hf_file_static ret;
    hf_file_static_encode(header, bytes);
    return hf_file_static_parse(bytes, &ret);
}

TEST(static_flips)
{
    uint8_t bytes[HF_STATIC_LEN];
    struct hf_file_static header = some_static();
    hf_file_static_encode(&header, bytes);
    try_lengths(bytes, sizeof bytes, reencode_static);
    CHECK(try_flips(bytes, sizeof bytes, reencode_static) > 0);
    CHECK_INT(bytes[32], 1); /* generation where the layout says */
    CHECK_INT(bytes[40], 3); /* the wrap */
    CHECK_INT(bytes[224], 4); /* the commitment */
    struct hf_file_static got;
    for (size_t at = 144; at < 224; at++) { /* reserved */
        bytes[at] = 1;
        CHECK_INT(hf_file_static_parse(bytes, &got), HF_DAMAGED);
        bytes[at] = 0;
    }
}

TEST(static_ranges)
{
    struct hf_file_static header = some_static();
    CHECK_INT(parse_static(&header), HF_OK);
    header.kind = 3, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.kind = 0, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.class = 0, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.class = 5, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.class_generation = 0, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.flags = 2, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.flags = HF_STATIC_UNVERIFIED, CHECK_INT(parse_static(&header), HF_OK);
    header.class_generation |= HF_GENERATION_SPOOL, CHECK_INT(parse_static(&header), HF_DAMAGED); /* of another class [UO-8] */
    header.class = HF_CLASS_UNLESS_OPEN, header.wrap_algorithm = HF_WRAP_UNLESS_OPEN, CHECK_INT(parse_static(&header), HF_OK);
    header.class_generation = HF_GENERATION_SPOOL, CHECK_INT(parse_static(&header), HF_DAMAGED);
    header.class_generation |= 1, header.flags = 0, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static(); /* [UO-9] always marked */
    header.wrap_len = 103, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.wrap_len = 105, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.wrap_algorithm = 3, CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
    header.wrap_algorithm = HF_WRAP_UNLESS_OPEN, CHECK_INT(parse_static(&header), HF_DAMAGED); /* of another class */
    header.class = HF_CLASS_UNLESS_OPEN, CHECK_INT(parse_static(&header), HF_OK);
    header.wrap_len = 80, CHECK_INT(parse_static(&header), HF_DAMAGED); /* bytes behind it */
    memset(header.wrap + 80, 0, 24), CHECK_INT(parse_static(&header), HF_OK);
    header.wrap_len = 0, memset(header.wrap, 0, 104), CHECK_INT(parse_static(&header), HF_DAMAGED), header = some_static();
}

static struct hf_file_meta some_meta(void)
{
    struct hf_file_meta meta = {.version = 9, .epoch = 4, .current = 2, .old = 1};
    fill(meta.slots, 3 * HF_SLOT_LEN, 5);
    fill(meta.attr_mac, sizeof meta.attr_mac, 6);
    fill(meta.xattr_digest, sizeof meta.xattr_digest, 7);
    fill(meta.mac, sizeof meta.mac, 8);
    return meta;
}

static bool reencode_meta(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len)
{
    struct hf_file_meta meta;
    if (len != HF_META_LEN || hf_file_meta_parse(bytes, &meta) != HF_OK)
        return false;
    hf_file_meta_encode(&meta, out);
    *ret_len = HF_META_LEN;
    return true;
}

TEST(meta_flips_and_ranges)
{
    uint8_t bytes[HF_META_LEN];
    struct hf_file_meta meta = some_meta();
    struct hf_file_meta got;
    hf_file_meta_encode(&meta, bytes);
    CHECK_INT(bytes[12], 2);
    CHECK_INT(bytes[240], 9); /* the MAC is last */
    try_lengths(bytes, sizeof bytes, reencode_meta);
    CHECK(try_flips(bytes, sizeof bytes, reencode_meta) > 0);
    for (size_t at = 196; at < 240; at++) { /* of a record of further names, which has no number; reserved */
        bytes[at] = 1;
        CHECK_INT(hf_file_meta_parse(bytes, &got), HF_DAMAGED);
        bytes[at] = 0;
    }
    CHECK_INT(hf_file_meta_parse(bytes, &got), HF_OK);
    CHECK_INT(got.current, 2);
    CHECK_INT(got.version, 9);
    meta.old = 7, hf_file_meta_encode(&meta, bytes), CHECK_INT(hf_file_meta_parse(bytes, &got), HF_DAMAGED);
    meta.old = 255, hf_file_meta_encode(&meta, bytes), CHECK_INT(hf_file_meta_parse(bytes, &got), HF_DAMAGED);
    meta.old = 0, hf_file_meta_encode(&meta, bytes), CHECK_INT(hf_file_meta_parse(bytes, &got), HF_DAMAGED); /* an unused slot is filled */
    meta.old = 1, meta.more_number = 3, meta.more_current = 5, meta.more_old = 1, meta.more_digest[31] = 9;
    hf_file_meta_encode(&meta, bytes), CHECK_INT(hf_file_meta_parse(bytes, &got), HF_OK), CHECK_INT(got.more_current, 5), CHECK_INT(got.more_digest[31], 9);
    meta.more_number = 0, meta.flags = 0, hf_file_meta_encode(&meta, bytes), CHECK_INT(hf_file_meta_parse(bytes, &got), HF_DAMAGED);
    meta.more_current = meta.more_old = 0, meta.more_digest[31] = 0;
    meta.flags = 1, hf_file_meta_encode(&meta, bytes), CHECK_INT(hf_file_meta_parse(bytes, &got), HF_DAMAGED);
}

static struct hf_file_dynamic some_dynamic(void)
{
    return (struct hf_file_dynamic){.size = 100000, .durable = 90000, .version = 3, .epoch = 2, .gen = 5, .writes = 77,
                                    .cover = {{2, 3}, {9, 1}}, .floors = {{10, 2}, {5000, 4}}};
}

static bool reencode_dynamic(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len)
{
    struct hf_file_dynamic dynamic;
    if (len != HF_DYNAMIC_LEN || hf_file_dynamic_parse(bytes, &dynamic) != HF_OK)
        return false;
    hf_file_dynamic_encode(&dynamic, out);
    *ret_len = HF_DYNAMIC_LEN;
    return true;
}

static enum hf_result parse_dynamic(struct hf_file_dynamic dynamic)
{
    uint8_t bytes[HF_DYNAMIC_LEN];
    struct hf_file_dynamic ret;
    hf_file_dynamic_encode(&dynamic, bytes);
    return hf_file_dynamic_parse(bytes, &ret);
}

#define DYNAMIC_WITH(change, wanted)                                                                                                         \
    do {                                                                                                                                     \
        struct hf_file_dynamic d = some_dynamic();                                                                                           \
        change;                                                                                                                              \
        CHECK_INT(parse_dynamic(d), wanted);                                                                                                 \
    } while (0)

TEST(dynamic_flips_and_ranges)
{
    uint8_t bytes[HF_DYNAMIC_LEN];
    struct hf_file_dynamic dynamic = some_dynamic();
    hf_file_dynamic_encode(&dynamic, bytes);
    CHECK_INT(bytes[44], 2);  /* cover */
    CHECK_INT(bytes[92], 10); /* floors */
    try_lengths(bytes, sizeof bytes, reencode_dynamic);
    CHECK(try_flips(bytes, sizeof bytes, reencode_dynamic) > 0);
    for (size_t at = 140; at < 160; at++) { /* reserved */
        bytes[at] = 1;
        CHECK_INT(hf_file_dynamic_parse(bytes, &dynamic), HF_DAMAGED);
        bytes[at] = 0;
    }

    DYNAMIC_WITH(d.size = HF_FILE_SIZE_MAX, HF_OK);
    DYNAMIC_WITH(d.size = HF_FILE_SIZE_MAX + 1, HF_DAMAGED);
    DYNAMIC_WITH(d.durable = d.size + 1, HF_DAMAGED);
    DYNAMIC_WITH(d.gen = HF_GEN_MAX, HF_OK);
    DYNAMIC_WITH(d.gen = HF_GEN_MAX + 1, HF_DAMAGED);
    DYNAMIC_WITH(d.flags = 1, HF_DAMAGED);
    DYNAMIC_WITH(d.cover[1].start = 5, HF_OK); /* touches */
    DYNAMIC_WITH(d.cover[1].start = 4, HF_DAMAGED);
    DYNAMIC_WITH(d.cover[0].count = 0, HF_DAMAGED);
    DYNAMIC_WITH(d.cover[2].start = 20, HF_DAMAGED); /* count 0 */
    DYNAMIC_WITH((d.cover[1].start = (UINT64_C(1) << 48) - 1, d.cover[1].count = 1), HF_OK);
    DYNAMIC_WITH((d.cover[1].start = (UINT64_C(1) << 48) - 1, d.cover[1].count = 2), HF_DAMAGED);
    DYNAMIC_WITH(d.floors[1].gen = 2, HF_DAMAGED);
    DYNAMIC_WITH(d.floors[1].gen = 6, HF_DAMAGED); /* above the file's own */
    DYNAMIC_WITH(d.floors[1].offset = 10, HF_DAMAGED);
    DYNAMIC_WITH(d.floors[2].offset = 1, HF_DAMAGED); /* gen 0 */
    DYNAMIC_WITH((d.floors[3].offset = 6000, d.floors[3].gen = 5), HF_DAMAGED); /* behind a free one */
    DYNAMIC_WITH(d.floors[1].offset = HF_FILE_SIZE_MAX + 1, HF_DAMAGED);
}

TEST(page_head_and_aad)
{
    struct hf_page_head head = {.gen = HF_GEN_MAX, .len = HF_PAGE_DATA_LEN};
    struct hf_page_head got;
    uint8_t bytes[HF_PAGE_HEAD_LEN];
    fill(head.nonce, sizeof head.nonce, 1);
    fill(head.tag, sizeof head.tag, 2);
    hf_page_head_encode(&head, bytes);
    hf_page_head_parse(bytes, &got);
    CHECK(got.gen == head.gen && got.len == head.len);
    CHECK_MEM(got.nonce, head.nonce, sizeof head.nonce);
    CHECK_MEM(got.tag, head.tag, sizeof head.tag);
    CHECK_MEM(bytes + 12, "\xff\xff\x0f\xfe", 4); /* gen low, length high */

    uint8_t file_id[HF_FILE_ID_LEN];
    uint8_t aad[HF_PAGE_AAD_LEN];
    fill(file_id, sizeof file_id, 3);
    hf_page_aad(&head, file_id, 0x0102030405060708, aad);
    CHECK_MEM(aad, "HFPAGE01\xff\xff\x0f\xfe", 12);
    CHECK_MEM(aad + 12, file_id, sizeof file_id);
    CHECK_MEM(aad + 28, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);

    uint8_t zero[HF_PAGE_HEAD_LEN] = {0};
    CHECK(hf_page_is_zero(zero));
    for (size_t i = 0; i < sizeof zero; i++) {
        zero[i] = 1;
        CHECK(!hf_page_is_zero(zero));
        zero[i] = 0;
    }
}

/* --- small records --- */

static bool reencode_head(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len)
{
    struct hf_head head;
    if (hf_head_parse(HF_SPAN(bytes, len), &head) != HF_OK)
        return false;
    hf_head_encode(&head, out);
    *ret_len = HF_HEAD_LEN;
    return true;
}

TEST(head_flips)
{
    uint8_t bytes[HF_HEAD_LEN];
    struct hf_head head = {.settled = 0x01020304, .state = HF_HEAD_OPEN};
    fill(head.vault_id, sizeof head.vault_id, 1);
    fill(head.mac, sizeof head.mac, 2);
    hf_head_encode(&head, bytes);
    try_lengths(bytes, sizeof bytes, reencode_head);
    CHECK(try_flips(bytes, sizeof bytes, reencode_head) > 0);
    for (unsigned state = 0; state < 6; state++) {
        bytes[28] = (uint8_t)state;
        CHECK_INT(hf_head_parse(HF_SPAN_OF(bytes), &head), state >= 1 && state <= 3 ? HF_OK : HF_DAMAGED);
    }
}

static bool reencode_record(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len)
{
    struct hf_dir_record record;
    char text[HF_DIR_RECORD_TEXT_LEN + 1];
    if (hf_dir_record_parse(HF_SPAN(bytes, len), &record) != HF_OK)
        return false;
    hf_dir_record_encode(&record, text);
    memcpy(out, text, HF_DIR_RECORD_TEXT_LEN);
    *ret_len = HF_DIR_RECORD_TEXT_LEN;
    return true;
}

TEST(dir_record_flips)
{
    char text[HF_DIR_RECORD_TEXT_LEN + 1];
    struct hf_dir_record record = {.class = HF_CLASS_AFTER_UNLOCK, .class_generation = 0x0201, .epoch = 7, .version = 8};
    struct hf_dir_record got;
    fill(record.dir_id, sizeof record.dir_id, 1);
    fill(record.mac, sizeof record.mac, 2);
    hf_dir_record_encode(&record, text);
    CHECK_INT(strlen(text), HF_DIR_RECORD_TEXT_LEN);
    CHECK_INT(hf_dir_record_parse(HF_SPAN(text, HF_DIR_RECORD_TEXT_LEN), &got), HF_OK);
    CHECK(got.class == record.class && got.class_generation == 0x0201 && got.epoch == 7 && got.version == 8);
    CHECK_MEM(got.dir_id, record.dir_id, sizeof got.dir_id);
    CHECK_MEM(got.mac, record.mac, sizeof got.mac);
    try_lengths((const uint8_t *)text, HF_DIR_RECORD_TEXT_LEN, reencode_record);
    CHECK(try_flips((const uint8_t *)text, HF_DIR_RECORD_TEXT_LEN, reencode_record) > 0);

    uint8_t macced[HF_DIR_RECORD_MACCED_LEN];
    hf_dir_record_macced(&record, macced);
    CHECK_MEM(macced, "\x01\x03\x01\x02", 4);
    record.flags = 1;
    hf_dir_record_encode(&record, text);
    CHECK_INT(hf_dir_record_parse(HF_SPAN(text, HF_DIR_RECORD_TEXT_LEN), &got), HF_DAMAGED);
}

static bool reencode_evidence(const uint8_t *bytes, size_t len, uint8_t *out, size_t *ret_len)
{
    struct hf_evidence evidence;
    if (hf_evidence_parse(HF_SPAN(bytes, len), &evidence) != HF_OK)
        return false;
    *ret_len = hf_evidence_encode(&evidence, out);
    return true;
}

TEST(evidence_flips_and_lengths)
{
    struct hf_evidence evidence = {0};
    uint8_t tag[16];
    uint8_t bytes[HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN + HF_EVIDENCE_ENTRY_LEN] = {0};
    for (uint32_t i = 0; i < 34; i++) {
        fill(tag, sizeof tag, i);
        hf_evidence_add(&evidence, (enum hf_evidence_kind)(i % 3 + 1), tag, i);
    }
    CHECK_INT(evidence.count, HF_EVIDENCE_MAX);
    CHECK_INT(evidence.entries[0].epoch, 2); /* the two oldest are gone */
    CHECK_INT(evidence.entries[31].epoch, 33);
    size_t len = hf_evidence_encode(&evidence, bytes);
    CHECK_INT(len, HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN);
    CHECK(try_flips(bytes, len, reencode_evidence) > 0);
    for (size_t cut = 0; cut <= len; cut++)
        CHECK_INT(hf_evidence_parse(HF_SPAN(bytes, cut), &evidence), cut % HF_EVIDENCE_ENTRY_LEN == 0 ? HF_OK : HF_DAMAGED);
    bytes[len] = 1;
    CHECK_INT(hf_evidence_parse(HF_SPAN(bytes, len + HF_EVIDENCE_ENTRY_LEN), &evidence), HF_DAMAGED); /* a 33rd */
    CHECK_INT(hf_evidence_parse(HF_SPAN(NULL, 0), &evidence), HF_OK);
    CHECK_INT(evidence.count, 0);
    hf_evidence_add(&evidence, HF_EVIDENCE_NAME, (const uint8_t[16]){9}, 100);
    for (uint32_t i = 0; i < 100; i++)
        hf_evidence_add(&evidence, HF_EVIDENCE_ATTR, (const uint8_t[16]){(uint8_t)i}, 100);
    CHECK(evidence.count == HF_EVIDENCE_MAX && evidence.entries[0].kind == HF_EVIDENCE_NAME); /* many attributes push out no name */
    CHECK_INT(evidence.entries[31].tag[0], 99);
}

/* --- access control lists --- */

static size_t put_entry(uint8_t *acl, size_t len, unsigned tag, unsigned permissions, uint32_t id)
{
    uint8_t entry[HF_ACL_ENTRY_LEN] = {(uint8_t)tag, (uint8_t)(tag >> 8), (uint8_t)permissions, 0, (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24)};
    memcpy(acl + len, entry, sizeof entry);
    return len + sizeof entry;
}

/* owner 7, user 61002 5, group 6, group 9 4, mask m, others 1 */
static size_t full_list(uint8_t *acl, unsigned mask)
{
    memcpy(acl, (const uint8_t[4]){2}, 4);
    size_t len = put_entry(acl, 4, HF_ACL_OWNER, 7, UINT32_MAX);
    len = put_entry(acl, len, HF_ACL_USER, 5, 61002);
    len = put_entry(acl, len, HF_ACL_GROUP, 6, UINT32_MAX);
    len = put_entry(acl, len, HF_ACL_NAMED_GROUP, 4, 9);
    len = put_entry(acl, len, HF_ACL_MASK, mask, UINT32_MAX);
    return put_entry(acl, len, HF_ACL_OTHER, 1, UINT32_MAX);
}

/* [PA-1] Each entry left out, doubled, out of order or out of range, but for what may be so. */
TEST(lists_are_checked)
{
    uint8_t good[64], bad[80];
    size_t len = full_list(good, 7);
    CHECK_INT(hf_acl_check(HF_SPAN(good, len)), HF_OK);
    for (size_t cut = 0; cut < len; cut++)
        CHECK_INT(hf_acl_check(HF_SPAN(good, cut)), HF_DAMAGED);
    for (size_t i = 0; i < 6; i++) {
        bool named = i == 1 || i == 3;
        size_t at = 4 + i * HF_ACL_ENTRY_LEN;
        memcpy(bad, good, at);
        memcpy(bad + at, good + at + HF_ACL_ENTRY_LEN, len - at - HF_ACL_ENTRY_LEN);
        CHECK_INT(hf_acl_check(HF_SPAN(bad, len - HF_ACL_ENTRY_LEN)), named ? HF_OK : HF_DAMAGED);
        memcpy(bad, good, at + HF_ACL_ENTRY_LEN);
        memcpy(bad + at + HF_ACL_ENTRY_LEN, good + at, len - at);
        CHECK_INT(hf_acl_check(HF_SPAN(bad, len + HF_ACL_ENTRY_LEN)), named ? HF_OK : HF_DAMAGED);
        memcpy(bad, good, len);
        bad[at] = 64;
        CHECK_INT(hf_acl_check(HF_SPAN(bad, len)), HF_DAMAGED);
        memcpy(bad, good, len);
        bad[at + 2] = 8;
        CHECK_INT(hf_acl_check(HF_SPAN(bad, len)), HF_DAMAGED);
    }
    bad[0] = 1;
    CHECK_INT(hf_acl_check(HF_SPAN(bad, len)), HF_DAMAGED);
}

/* [PA-2] [PA-4] [PA-5] What a list and a mode make of each other. */
TEST(lists_and_modes)
{
    uint8_t acl[64];
    size_t len = full_list(acl, 3);
    uint32_t mode = 0;
    CHECK(!hf_acl_is_mode(HF_SPAN(acl, len), &mode));
    CHECK_INT(mode, 0731);
    hf_acl_put_mode(acl, len, 0100640);
    CHECK_INT(hf_acl_check(HF_SPAN(acl, len)), HF_OK);
    CHECK(!hf_acl_is_mode(HF_SPAN(acl, len), &mode));
    CHECK_INT(mode, 0640);
    CHECK(acl[4 + 2 * HF_ACL_ENTRY_LEN + 2] == 6 && acl[4 + HF_ACL_ENTRY_LEN + 2] == 5); /* group and names keep theirs */

    len = full_list(acl, 7);
    mode = 0104666;
    CHECK(!hf_acl_inherit(acl, len, &mode));
    CHECK_INT(mode, 0104660); /* others had 1, not 4 or 2 */
    CHECK_INT(hf_acl_mode_without(HF_SPAN(acl, len), 0675), 0665); /* the group has 6 */

    memcpy(acl, (const uint8_t[4]){2}, 4);
    len = put_entry(acl, 4, HF_ACL_OWNER, 6, UINT32_MAX);
    len = put_entry(acl, len, HF_ACL_GROUP, 4, UINT32_MAX);
    len = put_entry(acl, len, HF_ACL_OTHER, 0, UINT32_MAX);
    CHECK_INT(hf_acl_check(HF_SPAN(acl, len)), HF_OK);
    mode = 040777;
    CHECK(hf_acl_inherit(acl, len, &mode)); /* the mode says all of it */
    CHECK_INT(mode, 040640);
}

CHECK_MAIN()
