/* tests/fault/requests.h: bodies of proto/control.h's requests, as more than one test sends them. */
#ifndef HF_TEST_FAULT_REQUESTS_H
#define HF_TEST_FAULT_REQUESTS_H

#include "base/writer.h"
#include "proto/element.h"

/* RECOVER onto the software element; test: the phrase alone is tried. */
static inline void write_recover(struct hf_writer *w, bool test)
{
    hf_write_u8(w, test);
    hf_write_u32(w, HF_ELEMENT_SOFTWARE);
    hf_write_string(w, "");
    hf_write_u8(w, 0);
    hf_write_u32(w, 0);
    hf_write_u8(w, 0);
}

#endif
