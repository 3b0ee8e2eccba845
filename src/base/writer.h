/* base/writer.h: bounded little-endian writing into a caller's buffer, with a sticky overflow.
 *
 * Call order: hf_writer_init, writes, hf_writer_end (HF_TOO_LARGE when something did not fit). */
#ifndef HF_BASE_WRITER_H
#define HF_BASE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

struct hf_writer {
    uint8_t *data;
    size_t cap;
    size_t len;
    bool failed;
};

void hf_writer_init(struct hf_writer *writer, void *buffer, size_t cap);
void hf_write_u8(struct hf_writer *writer, uint8_t value);
void hf_write_u16(struct hf_writer *writer, uint16_t value);
void hf_write_u32(struct hf_writer *writer, uint32_t value);
void hf_write_u48(struct hf_writer *writer, uint64_t value);
void hf_write_u64(struct hf_writer *writer, uint64_t value);
void hf_write_bytes(struct hf_writer *writer, const void *bytes, size_t len);
void hf_write_span16(struct hf_writer *writer, struct hf_span bytes); /* u16 length, bytes */
void hf_write_string(struct hf_writer *writer, const char *text);     /* as hf_read_string reads */
void hf_write_zeros(struct hf_writer *writer, size_t len);
HF_MUST_USE enum hf_result hf_writer_end(const struct hf_writer *writer);
struct hf_span hf_writer_span(const struct hf_writer *writer);

#endif
