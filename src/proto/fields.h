/* proto/fields.h: inside proto/ and its users: fields that several conversations have. */
#ifndef HF_PROTO_FIELDS_H
#define HF_PROTO_FIELDS_H

#include <stdbool.h>

#include "base/reader.h"

/* A u8 that is 0 or 1; another value rejects the message. */
static inline bool hf_read_bool(struct hf_reader *reader)
{
    uint8_t value = hf_read_u8(reader);
    if (value > 1)
        hf_reader_reject(reader);
    return value == 1;
}

#endif
