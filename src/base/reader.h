/* base/reader.h: bounded little-endian parsing with a sticky failure.
 *
 * Call order: hf_reader_init, reads in the order of the format (one read per statement), hf_reader_end once.
 * After the first read that does not fit every later read yields zeros, and hf_reader_end returns HF_DAMAGED;
 * so it does when bytes are left over. Views point into the input; nothing is copied unless `_bytes` is asked for. */
#ifndef HF_BASE_READER_H
#define HF_BASE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

struct hf_reader {
    const uint8_t *data;
    size_t len;
    size_t at;
    bool failed;
};

void hf_reader_init(struct hf_reader *reader, struct hf_span input);
uint8_t hf_read_u8(struct hf_reader *reader);
uint16_t hf_read_u16(struct hf_reader *reader);
uint32_t hf_read_u32(struct hf_reader *reader);
uint64_t hf_read_u48(struct hf_reader *reader);
uint64_t hf_read_u64(struct hf_reader *reader);
/* Copies len bytes; on failure out is zeroed. */
void hf_read_bytes(struct hf_reader *reader, void *out, size_t len);
/* A view of len bytes; on failure {NULL, 0}. */
struct hf_span hf_read_view(struct hf_reader *reader, size_t len);
/* u16 length, then that many bytes, at most max; a view. */
struct hf_span hf_read_view16(struct hf_reader *reader, size_t max);
/* u16 length, then a string without NUL bytes, shorter than cap; copied and NUL-terminated. */
void hf_read_string(struct hf_reader *reader, char *out, size_t cap);
/* len bytes that must all be zero (reserved fields). */
void hf_read_zeros(struct hf_reader *reader, size_t len);
/* Marks the input as bad (a value outside its documented range). */
void hf_reader_reject(struct hf_reader *reader);
size_t hf_reader_left(const struct hf_reader *reader);
/* HF_OK when everything fitted and nothing is left over; else HF_DAMAGED. */
HF_MUST_USE enum hf_result hf_reader_end(const struct hf_reader *reader);

#endif
