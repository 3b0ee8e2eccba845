#include "format/measure.h"

#include <stdio.h>
#include <string.h>

#pragma GCC poison memcmp strcpy sprintf

void hf_measure_write(struct hf_writer *writer, const struct hf_measure *measure)
{
    HF_ASSERT(measure->mask < HF_PCR_BIT(HF_PCR_COUNT));
    hf_write_u16(writer, (uint16_t)measure->mask);
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (measure->mask & HF_PCR_BIT(pcr))
            hf_write_bytes(writer, measure->value[pcr], HF_PCR_LEN);
    }
}

void hf_measure_read(struct hf_reader *reader, struct hf_measure *ret)
{
    *ret = (struct hf_measure){.mask = hf_read_u16(reader)};
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (ret->mask & HF_PCR_BIT(pcr))
            hf_read_bytes(reader, ret->value[pcr], HF_PCR_LEN);
    }
}

static bool same(const uint8_t *a, const uint8_t *b)
{
    unsigned difference = 0;
    for (size_t i = 0; i < HF_PCR_LEN; i++)
        difference |= (unsigned)(a[i] ^ b[i]);
    return difference == 0;
}

uint32_t hf_measure_difference(const struct hf_measure *a, const struct hf_measure *b)
{
    uint32_t difference = a->mask ^ b->mask;
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (a->mask & b->mask & HF_PCR_BIT(pcr) && !same(a->value[pcr], b->value[pcr]))
            difference |= HF_PCR_BIT(pcr);
    }
    return difference;
}

uint32_t hf_measure_untouched(const struct hf_measure *measure)
{
    static const struct hf_measure nothing = {.mask = HF_PCR_BIT(HF_PCR_COUNT) - 1};
    return measure->mask & ~hf_measure_difference(measure, &nothing);
}

/* A number of one or two digits, at most 15; *at goes on behind it. -1: none. */
static int read_pcr(const char *text, size_t len, size_t *at)
{
    unsigned value = 0;
    size_t from = *at;
    while (*at < len && *at - from < 2 && text[*at] >= '0' && text[*at] <= '9')
        value = value * 10 + (unsigned)(text[(*at)++] - '0');
    bool good = *at > from && value < HF_PCR_COUNT && (*at == len || text[*at] < '0' || text[*at] > '9') && (text[from] != '0' || *at == from + 1);
    return good ? (int)value : -1;
}

bool hf_pcr_list_parse(const char *text, uint32_t *ret_mask)
{
    uint32_t mask = 0;
    size_t len = strlen(text), at = 0;
    for (;;) {
        int pcr = read_pcr(text, len, &at);
        if (pcr < 0 || mask & HF_PCR_BIT(pcr))
            return false;
        mask |= HF_PCR_BIT(pcr);
        if (at == len)
            break;
        if (text[at++] != ',')
            return false;
    }
    *ret_mask = mask;
    return true;
}

void hf_pcr_list_print(uint32_t mask, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (!(mask & HF_PCR_BIT(pcr)) || at >= cap)
            continue;
        int len = snprintf(out + at, cap - at, "%s%u", at ? ", " : "", pcr);
        at += len > 0 ? (size_t)len : 0;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_value(const char *text, size_t len, uint8_t out[HF_PCR_LEN])
{
    if (len != (size_t)2 * HF_PCR_LEN)
        return false;
    for (size_t i = 0; i < HF_PCR_LEN; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* One PCR=HEX, without blanks around it. */
static enum hf_result read_entry(const char *text, size_t len, struct hf_measure *measure, struct hf_error *error)
{
    static const char bank[] = ":sha256";
    size_t at = 0;
    int pcr = read_pcr(text, len, &at);
    if (pcr < 0)
        return hf_fail(error, HF_USAGE, "prediction: PCR=HEX with a PCR from 0 to 15 is needed, by commas or lines");
    if (len - at >= sizeof bank - 1 && strncmp(text + at, bank, sizeof bank - 1) == 0)
        at += sizeof bank - 1;
    if (at < len && text[at] == ':')
        return hf_fail(error, HF_USAGE, "prediction: PCR %d: values of the SHA-256 bank alone", pcr);
    if (measure->mask & HF_PCR_BIT(pcr))
        return hf_fail(error, HF_USAGE, "prediction: PCR %d is named twice", pcr);
    if (at == len || text[at] != '=' || !read_value(text + at + 1, len - at - 1, measure->value[pcr]))
        return hf_fail(error, HF_USAGE, "prediction: PCR %d: = and 64 hexadecimal digits are needed behind it", pcr);
    measure->mask |= HF_PCR_BIT(pcr);
    return HF_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* A line, or a part of one between commas. */
static enum hf_result read_piece(const char *text, size_t len, struct hf_measure *measure, struct hf_error *error)
{
    while (len > 0 && is_blank(text[len - 1]))
        len--;
    while (len > 0 && is_blank(*text)) {
        text++;
        len--;
    }
    return read_entry(text, len, measure, error);
}

enum hf_result hf_prediction_parse(struct hf_span text, struct hf_measure *measure, struct hf_error *error)
{
    const char *at = (const char *)text.data, *end = at + text.len;
    bool any = false;
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        line_end = line_end ? line_end : end;
        const char *first = at;
        while (first < line_end && is_blank(*first))
            first++;
        bool empty = first == line_end || *first == '#';
        while (!empty && at <= line_end) {
            const char *comma = memchr(at, ',', (size_t)(line_end - at));
            const char *stop = comma ? comma : line_end;
            HF_TRY(read_piece(at, (size_t)(stop - at), measure, error));
            any = true;
            at = stop + 1;
        }
        at = line_end + (line_end < end);
    }
    return any ? HF_OK : hf_fail(error, HF_USAGE, "prediction: it names no PCR");
}

/* What follows a first byte of UTF-8; -1: it is none. Overlong forms, surrogates and what is above U+10FFFF are caught by their second byte. */
static int more_bytes(uint8_t first)
{
    return first < 0x80 ? 0 : first >= 0xc2 && first <= 0xdf ? 1 : first >= 0xe0 && first <= 0xef ? 2 : first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

bool hf_sentence_is_sound(struct hf_span text)
{
    if (text.len == 0 || text.len >= HF_SENTENCE_MAX)
        return false;
    for (size_t i = 0; i < text.len;) {
        uint8_t first = text.data[i++];
        int more = more_bytes(first);
        if (first < 0x20 || first == 0x7f || more < 0 || (size_t)more > text.len - i)
            return false;
        uint8_t second = more ? text.data[i] : 0;
        if ((first == 0xc2 && second < 0xa0) || (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) || (first == 0xf0 && second < 0x90) ||
            (first == 0xf4 && second > 0x8f))
            return false; /* C1 control characters among them */
        for (; more > 0; more--) {
            if ((text.data[i++] & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}
