#include "base/writer.h"

#include <string.h>

void hf_writer_init(struct hf_writer *writer, void *buffer, size_t cap)
{
    *writer = (struct hf_writer){.data = buffer, .cap = buffer ? cap : 0};
}

/* Room for len bytes, or NULL with the overflow noted. Never wraps: len <= cap always holds. */
static uint8_t *claim(struct hf_writer *writer, size_t len)
{
    if (writer->failed || len > writer->cap - writer->len) {
        writer->failed = true;
        return NULL;
    }
    if (len == 0)
        return NULL;
    uint8_t *start = writer->data + writer->len;
    writer->len += len;
    return start;
}

static void put_little_endian(struct hf_writer *writer, uint64_t value, size_t len)
{
    uint8_t *out = claim(writer, len);
    for (size_t i = 0; out && i < len; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

void hf_write_u8(struct hf_writer *writer, uint8_t value)
{
    put_little_endian(writer, value, 1);
}

void hf_write_u16(struct hf_writer *writer, uint16_t value)
{
    put_little_endian(writer, value, 2);
}

void hf_write_u32(struct hf_writer *writer, uint32_t value)
{
    put_little_endian(writer, value, 4);
}

void hf_write_u48(struct hf_writer *writer, uint64_t value)
{
    if (value >> 48)
        writer->failed = true;
    put_little_endian(writer, value, 6);
}

void hf_write_u64(struct hf_writer *writer, uint64_t value)
{
    put_little_endian(writer, value, 8);
}

void hf_write_bytes(struct hf_writer *writer, const void *bytes, size_t len)
{
    uint8_t *out = claim(writer, len);
    if (out)
        memcpy(out, bytes, len);
}

void hf_write_span16(struct hf_writer *writer, struct hf_span bytes)
{
    if (bytes.len > UINT16_MAX)
        writer->failed = true;
    hf_write_u16(writer, (uint16_t)bytes.len);
    hf_write_bytes(writer, bytes.data, bytes.len);
}

void hf_write_string(struct hf_writer *writer, const char *text)
{
    hf_write_span16(writer, HF_SPAN(text, strlen(text)));
}

void hf_write_zeros(struct hf_writer *writer, size_t len)
{
    uint8_t *out = claim(writer, len);
    if (out)
        memset(out, 0, len);
}

enum hf_result hf_writer_end(const struct hf_writer *writer)
{
    return writer->failed ? HF_TOO_LARGE : HF_OK;
}

struct hf_span hf_writer_span(const struct hf_writer *writer)
{
    return (struct hf_span){writer->data, writer->len};
}
