/* Unit tests of measured software: src/format/measure.c, the seal request of src/proto/element.c and src/element/tpm2_blob.c. */
#include <stdint.h>

#include "check.h"
#include "element/tpm2_blob.h"
#include "format/measure.h"
#include "proto/element.h"

#define HEX "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100"

static bool list_is(const char *text, uint32_t mask)
{
    uint32_t got = 0xdead;
    return mask ? hf_pcr_list_parse(text, &got) && got == mask : !hf_pcr_list_parse(text, &got) && got == 0xdead;
}

/* [EL-17] [EL-22] */
TEST(lists_of_pcrs)
{
    CHECK(list_is("7,11", HF_MEASURE_DEFAULT));
    CHECK(list_is("0", 1) && list_is("15", 0x8000) && list_is("11,7", HF_MEASURE_DEFAULT));
    CHECK(list_is("0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", 0xffff));
    static const char *const bad[] = {"", "16", "23", "17", "7,16", "7,23", "7,7", ",", "7,", ",7", "7,,11", "-1", "+7", "7 ,11", " 7", "7 ", "07", "007", "7;11", "all", "7,11x",
                                      "4294967303", "7.0", "0x7", "7\n", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (!CHECK(list_is(bad[i], 0)))
            printf("  \"%s\"\n", bad[i]);
    }
    char text[64];
    hf_pcr_list_print(0xffff, text, sizeof text);
    CHECK_STR(text, "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15");
    hf_pcr_list_print(0, text, sizeof text);
    CHECK_STR(text, "");
    for (size_t cap = 1; cap < sizeof text; cap++) {
        memset(text, 'x', sizeof text);
        hf_pcr_list_print(0xffff, text, cap);
        CHECK(memchr(text, 0, cap) != NULL && (cap == sizeof text || text[cap] == 'x'));
    }
}

static enum hf_result predict(const char *text, struct hf_measure *ret)
{
    struct hf_error error = {.result = HF_OK};
    size_t len = strlen(text);
    char *copy = malloc(len > 0 ? len : 1); /* of its own size: a read behind it shows */
    memcpy(copy, text, len);
    *ret = (struct hf_measure){.mask = 0};
    enum hf_result result = hf_prediction_parse(HF_SPAN(copy, len), ret, &error);
    CHECK((result == HF_OK) == (error.result == HF_OK) && (result == HF_OK || strstr(error.text, "prediction") != NULL));
    free(copy);
    return result;
}

/* [EL-22] */
TEST(predictions)
{
    static struct hf_measure got;
    static const uint8_t value[] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
                                    0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00};
    CHECK_INT(predict("11=" HEX, &got), HF_OK);
    CHECK(got.mask == HF_PCR_BIT(11) && memcmp(got.value[11], value, 32) == 0);
    CHECK_INT(predict("7=" HEX ",11:sha256=" HEX, &got), HF_OK);
    CHECK(got.mask == HF_MEASURE_DEFAULT && memcmp(got.value[7], value, 32) == 0 && memcmp(got.value[11], value, 32) == 0);
    CHECK_INT(predict("# what systemd-measure says\n\n  # more\r\n\t11:sha256=" HEX "\r\n7=" HEX " , 0=" HEX "\n\n", &got), HF_OK);
    CHECK_INT(got.mask, HF_MEASURE_DEFAULT | 1);
    CHECK_INT(predict("0=" HEX "\n15=" HEX, &got), HF_OK);
    static const char *const bad[] = {"", "\n", "# nothing\n", ",", "11", "11=", "=" HEX, "11=" HEX "0", "11=0" HEX, "11=" HEX ",", ",11=" HEX, "11=" HEX ",,7=" HEX, "16=" HEX, "23=" HEX,
                                      "11=" HEX ",11=" HEX, "11=" HEX "\n11:sha256=" HEX, "11:sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709", "11:sha384=" HEX, "11:sha256" HEX,
                                      "11:sha2567=" HEX, "11:=" HEX, "11==" HEX, "11 =" HEX, "11= " HEX, "x=" HEX, "-1=" HEX, "011=" HEX, "111=" HEX, "11=" HEX " 7=" HEX, "11=" HEX ";7=" HEX,
                                      "11=0x112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100", "11=g0112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100", "11=" HEX "#"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (!CHECK_INT(predict(bad[i], &got), HF_USAGE))
            printf("  \"%s\"\n", bad[i]);
    }
    char text[] = "7=" HEX ",11:sha256=" HEX;
    for (size_t cut = 0; cut < sizeof text - 1; cut++) {
        char kept = text[cut];
        text[cut] = 0;
        CHECK_INT(predict(text, &got), cut == 66 ? HF_OK : HF_USAGE);
        text[cut] = kept;
    }
    for (size_t at = 0; at < sizeof text - 1; at++) { /* a zero byte, and one that is no text */
        for (unsigned byte = 0; byte < 256; byte += 255) {
            char kept = text[at];
            struct hf_error error;
            text[at] = (char)byte;
            got = (struct hf_measure){.mask = 0};
            CHECK_INT(hf_prediction_parse(HF_SPAN(text, sizeof text - 1), &got, &error), HF_USAGE);
            text[at] = kept;
        }
    }
}

static bool sentence(const char *bytes, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, bytes, len);
    bool sound = hf_sentence_is_sound(HF_SPAN(copy, len));
    free(copy);
    return sound;
}

/* [EL-21] */
TEST(sentences)
{
    char text[HF_SENTENCE_MAX + 1];
    memset(text, 'a', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++)
        CHECK(sentence(text, len) == (len >= 1 && len < HF_SENTENCE_MAX));
    for (unsigned c = 0; c < 256; c++) {
        text[3] = (char)c;
        CHECK(sentence(text, 8) == (c >= 0x20 && c < 0x7f));
    }
    static const char *const good[] = {"d\u00e9j\u00e0 vu", "\u00a0", "\u20ac", "\U0001f511", "\U0010ffff", "%s%n", "\ud7ff", "\ue000"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t len = strlen(good[i]);
        CHECK(sentence(good[i], len));
        CHECK(len < 2 || (!sentence(good[i], len - 1) || good[i][len - 1] == 'u' || good[i][len - 1] == 'n'));
    }
    static const char *const bad[] = {"\x1b[2J", "a\nb", "\xc2\x9b", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\x80", "\xc3(", "a\xe2\x82"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!sentence(bad[i], strlen(bad[i])));
}

static struct hf_measure some_measure(uint32_t mask, unsigned seed)
{
    struct hf_measure measure = {.mask = mask};
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (mask & HF_PCR_BIT(pcr))
            memset(measure.value[pcr], (int)(seed + pcr), HF_PCR_LEN);
    }
    return measure;
}

TEST(differences)
{
    struct hf_measure a = some_measure(0x8881, 1), b = a, zero = some_measure(0x8881, 0);
    CHECK_INT(hf_measure_difference(&a, &b), 0);
    b.value[7][31] ^= 1;
    CHECK_INT(hf_measure_difference(&a, &b), HF_PCR_BIT(7));
    b.mask ^= HF_PCR_BIT(2);
    CHECK_INT(hf_measure_difference(&a, &b), HF_PCR_BIT(7) | HF_PCR_BIT(2));
    memset(zero.value, 0, sizeof zero.value);
    CHECK_INT(hf_measure_untouched(&a), 0);
    CHECK_INT(hf_measure_untouched(&zero), 0x8881);
}

static bool request_reads(const struct hf_seal_request *request)
{
    uint8_t bytes[1024];
    struct hf_writer writer;
    struct hf_reader reader;
    static struct hf_seal_request got;
    hf_writer_init(&writer, bytes, sizeof bytes);
    hf_seal_request_write(&writer, request);
    CHECK_INT(hf_writer_end(&writer), HF_OK);
    hf_reader_init(&reader, hf_writer_span(&writer));
    hf_seal_request_read(&reader, &got);
    bool whole = hf_reader_end(&reader) == HF_OK;
    for (size_t cut = 0; cut < writer.len; cut++) {
        hf_reader_init(&reader, HF_SPAN(bytes, cut));
        hf_seal_request_read(&reader, &got);
        CHECK_INT(hf_reader_end(&reader), HF_DAMAGED);
    }
    return whole;
}

TEST(seal_requests)
{
    struct hf_seal_request keep = {.how = HF_SEAL_KEEP, .measure = HF_MEASURE_KEEP}, r = keep;
    CHECK(request_reads(&r));
    r.how = HF_SEAL_PRESENT;
    CHECK(request_reads(&r));
    r.measure = 0;
    CHECK(request_reads(&r));
    r.measure = 0xffff;
    CHECK(request_reads(&r));
    r.measure = HF_MEASURE_KEEP + 1;
    CHECK(!request_reads(&r));
    r = keep;
    r.measure = 0x80;
    CHECK(!request_reads(&r)); /* KEEP has no PCRs */
    r = keep;
    r.how = HF_SEAL_PREDICTED;
    CHECK(!request_reads(&r)); /* a prediction of nothing */
    r.predicted = some_measure(0xffff, 3);
    CHECK(request_reads(&r));
    r.measure = 0x80;
    CHECK(!request_reads(&r));
    r = keep;
    r.predicted = some_measure(0x80, 3);
    CHECK(!request_reads(&r)); /* values that nobody asked for */
    r = keep;
    r.how = HF_SEAL_PREDICTED + 1;
    CHECK(!request_reads(&r));
}

static void some_sealed(struct hf_tpm2_sealed *sealed, size_t public_len, size_t private_len)
{
    sealed->public_len = public_len;
    sealed->private_len = private_len;
    memset(sealed->public, 0x42, public_len);
    memset(sealed->private, 0x43, private_len);
}

static struct hf_tpm2_blob some_blob(uint32_t mask, uint32_t count)
{
    struct hf_tpm2_blob blob = {.slot = 1, .policy = {.attempts = 10, .delay_count = 2, .delay_s = {60, 300}}, .counter = 0x01800001, .generation_counter = 0x01800002, .head_counter = 0x01800005, .birth_count = 3, .pace_ms = 40,
                                .second = {.used = true, .handle = 0x01800006}, .second_before = {.used = true, .handle = 0x01800007},
                                .pin = {.used = true, .handle = 0x01800003}, .before = {.used = true, .handle = 0x01800004}, .seal_count = count, .trust = 1,
                                .trust_why = "no certificate"};
    for (uint32_t i = 0; i < count; i++) {
        blob.seals[i].measure = some_measure(mask, i + 1);
        some_sealed(&blob.seals[i].release, 80, 190);
        some_sealed(&blob.seals[i].device, HF_TPM_SEALED_PUBLIC_MAX, HF_TPM_SEALED_PRIVATE_MAX);
    }
    return blob;
}

/* [EL-22]: refused, or read as what it says; never half. */
static void flip_and_cut(const struct hf_tpm2_blob *blob)
{
    static uint8_t bytes[HF_KEYBAG_ELEMENT_BLOB_MAX], again[HF_KEYBAG_ELEMENT_BLOB_MAX];
    static struct hf_tpm2_blob got;
    size_t len = 0, again_len = 0;
    if (!CHECK_INT(hf_tpm2_blob_encode(blob, bytes, sizeof bytes, &len), HF_OK) || !CHECK_INT(hf_tpm2_blob_decode(HF_SPAN(bytes, len), &got), HF_OK))
        return;
    CHECK(got.seal_count == blob->seal_count && hf_measure_difference(&got.seals[0].measure, &blob->seals[0].measure) == 0 &&
          hf_measure_difference(&got.seals[1].measure, &blob->seals[1].measure) == 0);
    for (size_t at = 0; at < len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            bytes[at] = (uint8_t)(bytes[at] ^ 1u << bit);
            if (hf_tpm2_blob_decode(HF_SPAN(bytes, len), &got) == HF_OK) {
                CHECK_INT(hf_tpm2_blob_encode(&got, again, sizeof again, &again_len), HF_OK);
                CHECK(again_len == len && memcmp(again, bytes, len) == 0);
            }
            bytes[at] = (uint8_t)(bytes[at] ^ 1u << bit);
        }
    }
    for (size_t cut = 0; cut <= len + 1; cut++) {
        uint8_t *copy = calloc(1, cut > 0 ? cut : 1);
        memcpy(copy, bytes, cut < len ? cut : len);
        CHECK_INT(hf_tpm2_blob_decode(HF_SPAN(copy, cut), &got), cut == len ? HF_OK : HF_DAMAGED);
        free(copy);
    }
    for (size_t cap = 0; cap < len; cap++)
        CHECK_INT(hf_tpm2_blob_encode(blob, again, cap, &again_len), HF_TOO_LARGE);
}

TEST(blobs)
{
    struct hf_tpm2_blob blob = some_blob(0, 1);
    flip_and_cut(&blob);
    blob = some_blob(HF_MEASURE_DEFAULT, 1);
    flip_and_cut(&blob);
    blob = some_blob(HF_MEASURE_DEFAULT, 2);
    flip_and_cut(&blob);
    blob = some_blob(0xffff, 2); /* the largest fits the keybag */
    blob.policy.delay_count = HF_KEYBAG_DELAYS_MAX;
    memset(blob.trust_why, 'w', sizeof blob.trust_why - 1);
    for (int i = 0; i < 2; i++)
        some_sealed(&blob.seals[i].release, HF_TPM_SEALED_PUBLIC_MAX, HF_TPM_SEALED_PRIVATE_MAX);
    flip_and_cut(&blob);
}

TEST(seals_that_contradict_each_other)
{
    static uint8_t bytes[HF_KEYBAG_ELEMENT_BLOB_MAX];
    static struct hf_tpm2_blob got;
    struct hf_tpm2_blob blob;
    size_t len = 0;
    for (int kind = 0; kind < 3; kind++) {
        blob = some_blob(HF_MEASURE_DEFAULT, 2);
        if (kind == 0)
            blob.seals[1].measure = blob.seals[0].measure; /* twice the same */
        else if (kind == 1)
            blob.seals[1].measure = some_measure(0x880 | 1, 2); /* other PCRs */
        else
            blob.seals[0].measure.mask = blob.seals[1].measure.mask = 0; /* two, and nothing to tell them apart */
        CHECK_INT(hf_tpm2_blob_encode(&blob, bytes, sizeof bytes, &len), HF_OK);
        CHECK_INT(hf_tpm2_blob_decode(HF_SPAN(bytes, len), &got), HF_DAMAGED);
    }
}

CHECK_MAIN()
