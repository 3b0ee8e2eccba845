#include "proto/element.h"

#include "format/keybag.h"
#include "proto/fields.h"

void hf_element_status_write(struct hf_writer *writer, const struct hf_element_status *status)
{
    hf_write_u32(writer, status->kind);
    hf_write_u8(writer, status->state);
    hf_write_u8(writer, status->hardware ? 1 : 0);
    hf_write_string(writer, status->vendor);
    hf_write_u32(writer, status->failed);
    hf_write_u32(writer, status->limit);
    hf_write_u32(writer, status->retry_after_s);
    hf_write_u8(writer, status->erases ? 1 : 0);
    hf_write_u64(writer, status->generation);
    hf_write_u32(writer, status->slot);
    hf_write_u32(writer, status->failed_since_success);
    hf_write_string(writer, status->public_json);
}

void hf_element_status_read(struct hf_reader *reader, struct hf_element_status *ret)
{
    ret->kind = hf_read_u32(reader);
    ret->state = hf_read_u8(reader);
    if (ret->kind > HF_ELEMENT_TPM2 || ret->state > HF_ELEMENT_ERASED)
        hf_reader_reject(reader);
    ret->hardware = hf_read_bool(reader);
    hf_read_string(reader, ret->vendor, sizeof ret->vendor);
    ret->failed = hf_read_u32(reader);
    ret->limit = hf_read_u32(reader);
    ret->retry_after_s = hf_read_u32(reader);
    ret->erases = hf_read_bool(reader);
    ret->generation = hf_read_u64(reader);
    ret->slot = hf_read_u32(reader);
    ret->failed_since_success = hf_read_u32(reader);
    hf_read_string(reader, ret->public_json, sizeof ret->public_json);
}
