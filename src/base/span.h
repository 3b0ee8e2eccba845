/* base/span.h: a borrowed run of bytes. Owns nothing; the bytes must outlive it. */
#ifndef HF_BASE_SPAN_H
#define HF_BASE_SPAN_H

#include <stddef.h>
#include <stdint.h>

struct hf_span {
    const uint8_t *data;
    size_t len;
};

#define HF_SPAN(ptr, length) ((struct hf_span){(const uint8_t *)(ptr), (length)})
#define HF_SPAN_OF(array) ((struct hf_span){(const uint8_t *)(array), sizeof(array)})

#endif
