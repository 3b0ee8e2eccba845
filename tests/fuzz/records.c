/* The small formats: directory record, evidence, head, index header and records, policy, measure, base64url, access control list; the first byte says which. Each encodes to the bytes it came from. */
#include "base/base64url.h"
#include "format/acl.h"
#include "format/dirrecord.h"
#include "format/evidence.h"
#include "format/head.h"
#include "format/indexlog.h"
#include "format/measure.h"
#include "format/policy.h"
#include "fuzz.h"

enum { DIR, EVIDENCE, HEAD, INDEX_HEADER, INDEX_RECORD, POLICY, MEASURE, BASE64, SETTINGS, LIST };

void fuzz_start(void)
{
}

static bool same(struct hf_span in, const void *again, size_t len)
{
    FUZZ_PROMISE(len == in.len && memcmp(again, in.data, len) == 0);
    return true;
}

static bool index_record(struct hf_span in)
{
    struct hf_span sealed;
    uint8_t aad[HF_INDEX_AAD_LEN], again[HF_INDEX_ENTRY_LEN];
    if (hf_index_record_parse(in, &sealed) != HF_OK)
        return false;
    FUZZ_PROMISE(sealed.data == in.data + 4 && sealed.len > HF_INDEX_SEALED_MORE && sealed.len <= in.len - 4);
    hf_index_record_aad(sealed.data, 3, (uint32_t)sealed.len, aad);
    for (size_t at = 0; at + HF_INDEX_ENTRY_LEN <= sealed.len; at += HF_INDEX_ENTRY_LEN) {
        struct hf_index_entry entry;
        hf_index_entry_read(sealed.data + at, &entry);
        (void)hf_index_entry_removes(&entry);
        hf_index_entry_write(&entry, again);
        FUZZ_PROMISE(memcmp(again, sealed.data + at, sizeof again) == 0);
    }
    return true;
}

static bool policy(struct hf_span in)
{
    struct hf_reader reader;
    struct hf_writer writer;
    struct hf_policy value;
    uint8_t again[256];
    hf_reader_init(&reader, in);
    hf_policy_read(&reader, &value);
    if (hf_reader_end(&reader) != HF_OK)
        return false;
    hf_writer_init(&writer, again, sizeof again);
    hf_policy_write(&writer, &value);
    return same(in, again, writer.len);
}

static bool measure(struct hf_span in)
{
    struct hf_reader reader;
    struct hf_writer writer;
    struct hf_measure value;
    uint8_t again[1024];
    char list[64];
    hf_reader_init(&reader, in);
    hf_measure_read(&reader, &value);
    if (hf_reader_end(&reader) != HF_OK)
        return false;
    hf_writer_init(&writer, again, sizeof again);
    hf_measure_write(&writer, &value);
    hf_pcr_list_print(value.mask, list, sizeof list);
    FUZZ_PROMISE(hf_measure_difference(&value, &value) == 0 && (hf_measure_untouched(&value) & ~value.mask) == 0);
    return same(in, again, writer.len);
}

static bool base64(struct hf_span in)
{
    static uint8_t bytes[FUZZ_MAX];
    static char again[FUZZ_MAX * 2];
    size_t len = 0;
    if (hf_base64url_decode((const char *)in.data, in.len, bytes, sizeof bytes, &len) != HF_OK)
        return false;
    hf_base64url_encode(bytes, len, again);
    return same(in, again, strlen(again));
}

static bool evidence(struct hf_span in)
{
    struct hf_evidence value;
    uint8_t again[HF_EVIDENCE_MAX * HF_EVIDENCE_ENTRY_LEN];
    const uint8_t tag[16] = {1};
    if (hf_evidence_parse(in, &value) != HF_OK)
        return false;
    (void)same(in, again, hf_evidence_encode(&value, again));
    for (unsigned i = 0; i < HF_EVIDENCE_MAX + 3; i++)
        hf_evidence_add(&value, (enum hf_evidence_kind)(1 + i % 3), tag, i);
    FUZZ_PROMISE(value.count == HF_EVIDENCE_MAX);
    return true;
}

/* What people write: lists of PCRs, predictions, sentences. */
static bool settings(struct hf_span in)
{
    static char text[FUZZ_MAX + 1];
    uint32_t mask = 0, back = 0;
    struct hf_measure value = {0};
    struct hf_error error = {.result = HF_OK};
    memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    bool list = hf_pcr_list_parse(text, &mask);
    if (list) {
        char print[64];
        hf_pcr_list_print(mask, print, sizeof print);
        size_t to = 0;
        for (size_t i = 0; print[i]; i++)
            if (print[i] != ' ')
                print[to++] = print[i];
        print[to] = '\0';
        FUZZ_PROMISE(hf_pcr_list_parse(print, &back) && back == mask && mask != 0 && mask < HF_PCR_BIT(HF_PCR_COUNT));
    }
    enum hf_result result = hf_prediction_parse(in, &value, &error);
    FUZZ_PROMISE(result == HF_OK ? value.mask != 0 : result == HF_USAGE && error.text[0] && !strchr(error.text, '\n'));
    bool sentence = hf_sentence_is_sound(in);
    FUZZ_PROMISE(!sentence || (in.len < HF_SENTENCE_MAX && !memchr(in.data, 0, in.len) && !memchr(in.data, '\n', in.len) && !memchr(in.data, 27, in.len)));
    return list || result == HF_OK || sentence;
}

/* A sound list stays one, and says what the mode says. */
static bool list(struct hf_span in)
{
    static uint8_t copy[FUZZ_MAX];
    uint32_t mode = 0, narrowed = 0754;
    if (hf_acl_check(in) != HF_OK)
        return false;
    memcpy(copy, in.data, in.len);
    bool all = hf_acl_is_mode(in, &mode);
    FUZZ_PROMISE(mode <= 0777);
    hf_acl_put_mode(copy, in.len, mode);
    FUZZ_PROMISE(memcmp(copy, in.data, in.len) == 0);
    FUZZ_PROMISE(hf_acl_inherit(copy, in.len, &narrowed) == all && narrowed == (mode & 0754) && hf_acl_check(HF_SPAN(copy, in.len)) == HF_OK);
    FUZZ_PROMISE((hf_acl_mode_without(in, 0777) & ~070u) == 0707);
    return true;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    uint8_t again[HF_INDEX_HEADER_LEN + HF_DIR_RECORD_TEXT_LEN + 1];
    if (len == 0)
        return false;
    struct hf_span in = HF_SPAN(data + 1, len - 1);
    struct hf_dir_record dir;
    struct hf_head head;
    struct hf_index_header index;
    switch (data[0]) {
    case DIR:
        if (hf_dir_record_parse(in, &dir) != HF_OK)
            return false;
        hf_dir_record_encode(&dir, (char *)again);
        return same(in, again, HF_DIR_RECORD_TEXT_LEN);
    case EVIDENCE: return evidence(in);
    case HEAD:
        if (hf_head_parse(in, &head) != HF_OK)
            return false;
        hf_head_encode(&head, again);
        return same(in, again, HF_HEAD_LEN);
    case INDEX_HEADER:
        if (hf_index_header_parse(in, &index) != HF_OK)
            return false;
        hf_index_header_encode(&index, again);
        return same(in, again, HF_INDEX_HEADER_LEN);
    case INDEX_RECORD: return index_record(in);
    case POLICY: return policy(in);
    case MEASURE: return measure(in);
    case BASE64: return base64(in);
    case SETTINGS: return settings(in);
    case LIST: return list(in);
    default: return false;
    }
}

static size_t put(uint8_t *out, uint8_t which, const void *bytes, size_t len)
{
    out[0] = which;
    memcpy(out + 1, bytes, len);
    return 1 + len;
}

static size_t text(uint8_t *out, uint8_t which, const char *words)
{
    return put(out, which, words, strlen(words));
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static const char value[] = "=000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    static uint8_t bytes[2048];
    char words[512];
    struct hf_writer writer;
    hf_writer_init(&writer, bytes, sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    switch (number) {
    case 0: {
        struct hf_dir_record record = {.class = 2, .class_generation = 1, .epoch = 9, .version = 3, .mac = {200}};
        hf_dir_record_encode(&record, (char *)bytes);
        return text(out, DIR, (const char *)bytes);
    }
    case 1: case 2: {
        struct hf_evidence value_of = {.count = 0};
        const uint8_t tag[16] = {7};
        for (unsigned i = 0; i < (number == 1 ? 3 : HF_EVIDENCE_MAX); i++)
            hf_evidence_add(&value_of, (enum hf_evidence_kind)(1 + i % 3), tag, i);
        size_t len = hf_evidence_encode(&value_of, bytes);
        return put(out, EVIDENCE, bytes, len);
    }
    case 3: {
        struct hf_head head = {.settled = 4, .state = HF_HEAD_OPEN};
        hf_head_encode(&head, bytes);
        return put(out, HEAD, bytes, HF_HEAD_LEN);
    }
    case 4: {
        struct hf_index_header index = {.class = 3, .class_generation = 1, .base_records = 2};
        hf_index_header_encode(&index, bytes);
        return put(out, INDEX_HEADER, bytes, HF_INDEX_HEADER_LEN);
    }
    case 5:
        bytes[0] = 64;
        return put(out, INDEX_RECORD, bytes, 4 + 64 + HF_INDEX_SEALED_MORE);
    case 6: {
        struct hf_policy some = {.attempts = 10, .delay_count = 6, .delay_s = {60, 300, 900, 3600, 10800, 28800}, .grace_s = 10, .profile = 1, .screen_lock = HF_CLASS_COMPLETE};
        hf_policy_write(&writer, &some);
        return put(out, POLICY, bytes, writer.len);
    }
    case 7: {
        struct hf_measure some = {.mask = HF_MEASURE_DEFAULT, .value = {[7] = {1}}};
        hf_measure_write(&writer, &some);
        return put(out, MEASURE, bytes, writer.len);
    }
    case 8: return text(out, BASE64, "AAECAwQFBgcICQoLDA0ODw");
    case 9: return text(out, BASE64, "_-_-AA");
    case 10: return text(out, SETTINGS, "0,7,11,15");
    case 11:
        (void)snprintf(words, sizeof words, "# a comment\n7:sha256%s, 11%s\r\n\n15%s", value, value, value);
        return text(out, SETTINGS, words);
    case 12: return text(out, SETTINGS, "the owl flies \xe2\x82\xac at \xf0\x9f\xa6\x89 night");
    case 13: {
        static const uint8_t entries[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 1, 0, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255,
                                          16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 1, 0, 255, 255, 255, 255};
        return put(out, LIST, entries, sizeof entries);
    }
    default: return 0;
    }
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 0)
        data[0] %= LIST + 1;
    return len;
}
