/* Unit tests of src/format/keybag.c: the file, its header and the sections' plaintext. */
#include <stdint.h>

#include "check.h"
#include "format/keybag.h"

static void fill(void *out, size_t len, unsigned seed)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + 7 * i + 1);
}

static const uint8_t some_mac[32] = {1, 2, 3};

static struct hf_policy some_policy(void)
{
    return (struct hf_policy){.attempts = 10, .delay_count = 6, .delay_s = {60, 300, 900, 3600, 10800, 28800}, .grace_s = 10,
                              .inactivity_s = 172800, .profile = 1, .screen_lock = 3};
}

static struct hf_public_header some_header(void)
{
    struct hf_public_header header = {.generation = 4, .kdf_memory_kib = 262144, .kdf_passes = 3, .kdf_lanes = 1, .policy = some_policy(),
                                      .has_recovery = true, .element_kind = HF_ELEMENT_TPM2, .element_slot = 1, .tcti = "device:/dev/tpmrm0",
                                      .element_blob_len = 40};
    fill(header.vault_id, sizeof header.vault_id, 1);
    fill(header.salt, sizeof header.salt, 2);
    fill(header.unless_open_public, sizeof header.unless_open_public, 3);
    fill(header.element_blob, header.element_blob_len, 4);
    return header;
}

/* A whole file around these header bytes; the length. */
static size_t build(struct hf_span header_bytes, bool recovery, uint8_t out[HF_KEYBAG_MAX])
{
    uint8_t section[80];
    size_t len = 0;
    fill(section, sizeof section, 9);
    if (!CHECK_INT(hf_keybag_assemble(header_bytes, HF_SPAN(section, 73), HF_SPAN(section, 80), HF_SPAN(section, recovery ? 70 : 0), out,
                                      HF_KEYBAG_MAX, &len), HF_OK) ||
        !CHECK_INT(hf_keybag_finish(out, HF_KEYBAG_MAX, len, some_mac, &len), HF_OK))
        return 0;
    return len;
}

static size_t build_from(const struct hf_public_header *header, uint8_t out[HF_KEYBAG_MAX])
{
    static uint8_t header_bytes[8192];
    size_t len = 0;
    if (!CHECK_INT(hf_keybag_header_encode(header, header_bytes, sizeof header_bytes, &len), HF_OK))
        return 0;
    return build(HF_SPAN(header_bytes, len), header->has_recovery, out);
}

static uint8_t file[HF_KEYBAG_MAX + 16];

TEST(keybag_round_trip)
{
    static struct hf_public_header header;
    static struct hf_keybag_view view;
    struct hf_error error;
    header = some_header();
    size_t len = build_from(&header, file);
    if (!CHECK_INT(hf_keybag_parse(HF_SPAN(file, len), &view, &error), HF_OK))
        return;
    CHECK(view.header.generation == 4 && view.header.kdf_memory_kib == 262144 && view.header.kdf_passes == 3 && view.header.kdf_lanes == 1);
    CHECK(view.header.has_recovery && view.header.element_kind == HF_ELEMENT_TPM2 && view.header.element_slot == 1);
    CHECK_MEM(&view.header.policy, &header.policy, sizeof header.policy);
    CHECK_MEM(view.header.salt, header.salt, sizeof header.salt);
    CHECK_MEM(view.header.vault_id, header.vault_id, sizeof header.vault_id);
    CHECK_MEM(view.header.unless_open_public, header.unless_open_public, 32);
    CHECK_STR(view.header.tcti, "device:/dev/tpmrm0");
    CHECK_INT(view.header.element_blob_len, 40);
    CHECK_MEM(view.header.element_blob, header.element_blob, 40);
    CHECK_INT(view.device_section.len, 73);
    CHECK_INT(view.user_section.len, 80);
    CHECK_INT(view.recovery_box.len, 70);
    CHECK_INT(view.macced.len, len - 36);
    CHECK(view.macced.data == file);
    CHECK_MEM(view.mac, some_mac, 32);
    CHECK_MEM(view.header_bytes.data, "HFKEYBAG\x04", 9);

    header.has_recovery = false;
    header.element_kind = HF_ELEMENT_SOFTWARE;
    header.tcti[0] = '\0';
    header.element_blob_len = 0;
    len = build_from(&header, file);
    CHECK_INT(hf_keybag_parse(HF_SPAN(file, len), &view, NULL), HF_OK);
    CHECK_INT(view.recovery_box.len, 0);
    CHECK_INT(view.header.element_blob_len, 0);
}

/* [KB-6] */
TEST(keybag_of_another_format_is_named)
{
    static struct hf_keybag_view view;
    static const uint8_t others[] = {0, 1, 2, 3};
    struct hf_public_header header = some_header();
    struct hf_error error;
    char words[64];
    size_t len = build_from(&header, file);
    for (size_t i = 0; i < sizeof others; i++) {
        file[12] = others[i];
        CHECK_INT(hf_keybag_parse(HF_SPAN(file, len), &view, &error), HF_DAMAGED);
        (void)snprintf(words, sizeof words, "format %u, this version reads 4", others[i]);
        CHECK(strstr(error.text, words) != NULL);
    }
}

/* [KB-5] */
TEST(keybag_every_flip_and_length_is_refused)
{
    static struct hf_keybag_view view;
    struct hf_public_header header = some_header();
    struct hf_error error;
    size_t len = build_from(&header, file);
    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            file[at] = (uint8_t)(file[at] ^ 1u << bit);
            CHECK_INT(hf_keybag_parse(HF_SPAN(file, len), &view, &error), HF_DAMAGED);
            file[at] = (uint8_t)(file[at] ^ 1u << bit);
        }
    }
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *bytes = malloc(cut > 0 ? cut : 1);
        memcpy(bytes, file, cut);
        error.text[0] = '\0';
        CHECK_INT(hf_keybag_parse(HF_SPAN(bytes, cut), &view, &error), HF_DAMAGED);
        CHECK(strstr(error.text, "keybag") != NULL);
        free(bytes);
    }
    CHECK_INT(hf_keybag_parse(HF_SPAN(file, len + 1), &view, &error), HF_DAMAGED);
    CHECK_INT(hf_keybag_parse(HF_SPAN(NULL, 0), &view, &error), HF_DAMAGED);
    CHECK_INT(hf_keybag_parse(HF_SPAN(file, HF_KEYBAG_MAX + 1), &view, &error), HF_DAMAGED);
}

/* With a checksum that fits (an attacker's file): parsed without a crash, and whatever is taken encodes to the same bytes. */
TEST(keybag_flips_under_a_right_checksum)
{
    static struct hf_keybag_view view;
    static uint8_t bad[HF_KEYBAG_MAX];
    static uint8_t again[8192];
    struct hf_public_header header = some_header();
    size_t len = build_from(&header, file);
    unsigned taken = 0;
    for (size_t at = 0; at < len - 36; at++) {
        for (unsigned change = 0; change < 10; change++) {
            memcpy(bad, file, len);
            bad[at] = (uint8_t)(change < 8 ? file[at] ^ 1u << change : change == 8 ? 0u : 255u);
            size_t bad_len = 0;
            CHECK_INT(hf_keybag_finish(bad, sizeof bad, len - 36, some_mac, &bad_len), HF_OK);
            if (hf_keybag_parse(HF_SPAN(bad, bad_len), &view, NULL) != HF_OK)
                continue;
            taken++;
            size_t again_len = 0;
            CHECK_INT(hf_keybag_header_encode(&view.header, again, sizeof again, &again_len), HF_OK);
            CHECK(again_len == view.header_bytes.len && memcmp(again, view.header_bytes.data, again_len) == 0);
        }
    }
    CHECK(taken > 0);
    for (size_t cut = 0; cut < len - 36; cut++) {
        size_t bad_len = 0;
        memcpy(bad, file, cut);
        CHECK_INT(hf_keybag_finish(bad, sizeof bad, cut, some_mac, &bad_len), HF_OK);
        CHECK_INT(hf_keybag_parse(HF_SPAN(bad, bad_len), &view, NULL), HF_DAMAGED);
    }
    memcpy(bad, file, len - 36); /* one byte more than the parts */
    bad[len - 36] = 0;
    size_t bad_len = 0;
    CHECK_INT(hf_keybag_finish(bad, sizeof bad, len - 35, some_mac, &bad_len), HF_OK);
    CHECK_INT(hf_keybag_parse(HF_SPAN(bad, bad_len), &view, NULL), HF_DAMAGED);
}

/* Overwrites a u32 of the header's encoding, and parses the file around it. */
static enum hf_result parse_with(size_t at, uint32_t value)
{
    static uint8_t header_bytes[8192];
    static struct hf_keybag_view view;
    struct hf_public_header header = some_header();
    size_t len = 0;
    if (hf_keybag_header_encode(&header, header_bytes, sizeof header_bytes, &len) != HF_OK)
        return HF_FAILED;
    for (unsigned i = 0; i < 4; i++)
        header_bytes[at + i] = (uint8_t)(value >> 8 * i);
    len = build(HF_SPAN(header_bytes, len), header.has_recovery, file);
    return hf_keybag_parse(HF_SPAN(file, len), &view, NULL);
}

TEST(keybag_header_ranges)
{
    enum { MEMORY = 68, PASSES = 72, LANES = 76, DELAYS = 84, PROFILE = 120, SCREEN = 124, KIND = 161, SLOT = 165 };
    CHECK_INT(parse_with(MEMORY, HF_KEYBAG_KDF_MIN_KIB), HF_OK);
    CHECK_INT(parse_with(MEMORY, HF_KEYBAG_KDF_MIN_KIB - 1), HF_DAMAGED);
    CHECK_INT(parse_with(MEMORY, HF_KEYBAG_KDF_MAX_KIB), HF_OK);
    CHECK_INT(parse_with(MEMORY, HF_KEYBAG_KDF_MAX_KIB + 1), HF_DAMAGED);
    CHECK_INT(parse_with(PASSES, 0), HF_DAMAGED);
    CHECK_INT(parse_with(PASSES, 64), HF_OK);
    CHECK_INT(parse_with(PASSES, 65), HF_DAMAGED);
    CHECK_INT(parse_with(LANES, 0), HF_DAMAGED);
    CHECK_INT(parse_with(LANES, 16), HF_OK);
    CHECK_INT(parse_with(LANES, 17), HF_DAMAGED);
    CHECK_INT(parse_with(DELAYS, 5), HF_DAMAGED); /* shifts what follows */
    CHECK_INT(parse_with(DELAYS, 17), HF_DAMAGED);
    CHECK_INT(parse_with(DELAYS, UINT32_MAX), HF_DAMAGED);
    CHECK_INT(parse_with(PROFILE, 0), HF_OK);
    CHECK_INT(parse_with(PROFILE, 2), HF_DAMAGED);
    CHECK_INT(parse_with(SCREEN, HF_SCREEN_LOCK_NONE), HF_OK);
    CHECK_INT(parse_with(SCREEN, HF_CLASS_UNLESS_OPEN), HF_DAMAGED);
    CHECK_INT(parse_with(SCREEN, HF_CLASS_ALWAYS), HF_DAMAGED);
    CHECK_INT(parse_with(KIND, HF_ELEMENT_AUTO), HF_DAMAGED);
    CHECK_INT(parse_with(KIND, HF_ELEMENT_SOFTWARE), HF_DAMAGED); /* with a TCTI */
    CHECK_INT(parse_with(KIND, 3), HF_DAMAGED);
    CHECK_INT(parse_with(SLOT, 0), HF_OK);
    CHECK_INT(parse_with(SLOT, 2), HF_DAMAGED);
}

TEST(keybag_limits_of_the_buffer)
{
    static uint8_t header_bytes[8192];
    static uint8_t parts[HF_KEYBAG_MAX];
    static struct hf_public_header header;
    size_t len = 0;
    header = some_header();
    header.element_blob_len = HF_KEYBAG_ELEMENT_BLOB_MAX;
    memset(header.tcti, 'x', sizeof header.tcti - 1);
    CHECK_INT(hf_keybag_header_encode(&header, header_bytes, sizeof header_bytes, &len), HF_OK);
    size_t whole = len;
    for (size_t cap = 0; cap < whole; cap++)
        CHECK_INT(hf_keybag_header_encode(&header, header_bytes, cap, &len), HF_TOO_LARGE);
    CHECK_INT(len, whole);
    CHECK_INT(hf_keybag_assemble(HF_SPAN(parts, 60000), HF_SPAN(parts, 5000), HF_SPAN(parts, 500), HF_SPAN(parts, 100), file, sizeof file, &len),
              HF_TOO_LARGE);
    CHECK_INT(hf_keybag_finish(file, 135, 100, some_mac, &len), HF_TOO_LARGE);
    CHECK_INT(hf_keybag_finish(file, 136, 100, some_mac, &len), HF_OK);
    CHECK_INT(len, 136);
    CHECK_INT(hf_keybag_finish(file, sizeof file, HF_KEYBAG_MAX + 1, some_mac, &len), HF_TOO_LARGE);
}

/* RFC 3720, B.4: the CRC-32C of 32 zero bytes is 8A9136AA, and an all-zero MAC with nothing before it is just that. */
TEST(keybag_checksum_is_crc32c)
{
    static const uint8_t zeros[32];
    uint8_t out[36];
    size_t len = 0;
    CHECK_INT(hf_keybag_finish(out, sizeof out, 0, zeros, &len), HF_OK);
    CHECK_MEM(out + 32, "\xaa\x36\x91\x8a", 4);
}

/* --- the sections' plaintext --- */

static struct hf_keybag_keys some_keys(uint32_t count)
{
    struct hf_keybag_keys keys = {.count = count, .policy = some_policy()};
    for (uint32_t i = 0; i < count; i++) {
        keys.entries[i].class = (uint8_t)(i % 4 + 1);
        keys.entries[i].generation = i / 4 + 1;
        fill(&keys.entries[i].key, sizeof keys.entries[i].key, i);
        fill(&keys.entries[i].meta, sizeof keys.entries[i].meta, i + 1);
    }
    fill(keys.recovery_public, 32, 6);
    fill(keys.names_reserved, 32, 7);
    if (count > 0)
        (void)snprintf(keys.sentence, sizeof keys.sentence, "d\u00e9j\u00e0 vu");
    return keys;
}

TEST(keys_round_trip)
{
    static struct hf_keybag_keys keys;
    static struct hf_keybag_keys got;
    static uint8_t bytes[HF_KEYBAG_KEYS_ENCODED_MAX];
    const uint32_t counts[] = {0, 1, 7, HF_KEYBAG_KEYS_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t len = 0;
        keys = some_keys(counts[i]);
        if (!CHECK_INT(hf_keybag_keys_encode(&keys, bytes, sizeof bytes, &len), HF_OK) ||
            !CHECK_INT(hf_keybag_keys_decode(HF_SPAN(bytes, len), &got), HF_OK))
            return;
        CHECK_INT(got.count, counts[i]);
        for (uint32_t k = 0; k < counts[i]; k++) {
            CHECK(got.entries[k].class == keys.entries[k].class && got.entries[k].generation == keys.entries[k].generation);
            CHECK_MEM(&got.entries[k].key, &keys.entries[k].key, 32);
            CHECK_MEM(&got.entries[k].meta, &keys.entries[k].meta, 32);
        }
        CHECK_MEM(got.recovery_public, keys.recovery_public, 32);
        CHECK_MEM(got.names_reserved, keys.names_reserved, 32);
        CHECK_STR(got.sentence, keys.sentence);
        CHECK_MEM(&got.policy, &keys.policy, sizeof keys.policy);
    }
}

TEST(keys_flips_and_lengths)
{
    static struct hf_keybag_keys keys;
    static struct hf_keybag_keys got;
    static uint8_t bytes[HF_KEYBAG_KEYS_ENCODED_MAX];
    static uint8_t again[HF_KEYBAG_KEYS_ENCODED_MAX];
    size_t len = 0;
    keys = some_keys(5);
    CHECK_INT(hf_keybag_keys_encode(&keys, bytes, sizeof bytes, &len), HF_OK);
    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            size_t again_len = 0;
            bytes[at] = (uint8_t)(bytes[at] ^ 1u << bit);
            if (hf_keybag_keys_decode(HF_SPAN(bytes, len), &got) == HF_OK) {
                CHECK_INT(hf_keybag_keys_encode(&got, again, sizeof again, &again_len), HF_OK);
                CHECK(again_len == len && memcmp(again, bytes, len) == 0);
            }
            bytes[at] = (uint8_t)(bytes[at] ^ 1u << bit);
        }
    }
    for (size_t cut = 0; cut <= len + 1; cut++) {
        uint8_t *copy = calloc(1, cut > 0 ? cut : 1);
        memcpy(copy, bytes, cut < len ? cut : len);
        CHECK_INT(hf_keybag_keys_decode(HF_SPAN(copy, cut), &got), cut == len ? HF_OK : HF_DAMAGED);
        free(copy);
    }
    bytes[8 + 69] = bytes[8]; /* the second entry is of the first's class and generation */
    CHECK_INT(hf_keybag_keys_decode(HF_SPAN(bytes, len), &got), HF_DAMAGED);
    for (size_t cap = 0; cap < len; cap++)
        CHECK_INT(hf_keybag_keys_encode(&keys, again, cap, &len), HF_TOO_LARGE);
}

CHECK_MAIN()
