#include "base/reader.h"

#include <string.h>

void hf_reader_init(struct hf_reader *reader, struct hf_span input)
{
    *reader = (struct hf_reader){.data = input.data, .len = input.data ? input.len : 0};
    /* A length without bytes is a caller's mix-up; never read from it. */
    reader->failed = !input.data && input.len > 0;
}

/* The next len bytes, or NULL with the failure noted. Never wraps: at <= len always holds. */
static const uint8_t *take(struct hf_reader *reader, size_t len)
{
    if (reader->failed || len > reader->len - reader->at) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *start = reader->data ? reader->data + reader->at : (const uint8_t *)"";
    reader->at += len;
    return start;
}

static uint64_t take_little_endian(struct hf_reader *reader, size_t len)
{
    const uint8_t *bytes = take(reader, len);
    if (!bytes)
        return 0;
    uint64_t value = 0;
    for (size_t i = len; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

uint8_t hf_read_u8(struct hf_reader *reader)
{
    return (uint8_t)take_little_endian(reader, 1);
}

uint16_t hf_read_u16(struct hf_reader *reader)
{
    return (uint16_t)take_little_endian(reader, 2);
}

uint32_t hf_read_u32(struct hf_reader *reader)
{
    return (uint32_t)take_little_endian(reader, 4);
}

uint64_t hf_read_u48(struct hf_reader *reader)
{
    return take_little_endian(reader, 6);
}

uint64_t hf_read_u64(struct hf_reader *reader)
{
    return take_little_endian(reader, 8);
}

void hf_read_bytes(struct hf_reader *reader, void *out, size_t len)
{
    if (len == 0)
        return;
    const uint8_t *bytes = take(reader, len);
    if (bytes)
        memcpy(out, bytes, len);
    else
        memset(out, 0, len);
}

struct hf_span hf_read_view(struct hf_reader *reader, size_t len)
{
    const uint8_t *bytes = take(reader, len);
    if (!bytes)
        return (struct hf_span){NULL, 0};
    return (struct hf_span){bytes, len};
}

struct hf_span hf_read_view16(struct hf_reader *reader, size_t max)
{
    size_t len = hf_read_u16(reader);
    if (len > max)
        reader->failed = true;
    return hf_read_view(reader, len);
}

void hf_read_string(struct hf_reader *reader, char *out, size_t cap)
{
    if (cap == 0) {
        reader->failed = true;
        return;
    }
    memset(out, 0, cap);
    struct hf_span text = hf_read_view16(reader, cap - 1);
    if (text.len == 0)
        return;
    if (memchr(text.data, 0, text.len)) {
        reader->failed = true;
        return;
    }
    memcpy(out, text.data, text.len);
}

void hf_read_zeros(struct hf_reader *reader, size_t len)
{
    const uint8_t *bytes = take(reader, len);
    uint8_t any = 0;
    for (size_t i = 0; bytes && i < len; i++)
        any |= bytes[i];
    if (any)
        reader->failed = true;
}

void hf_reader_reject(struct hf_reader *reader)
{
    reader->failed = true;
}

size_t hf_reader_left(const struct hf_reader *reader)
{
    return reader->failed ? 0 : reader->len - reader->at;
}

enum hf_result hf_reader_end(const struct hf_reader *reader)
{
    return reader->failed || reader->at != reader->len ? HF_DAMAGED : HF_OK;
}
