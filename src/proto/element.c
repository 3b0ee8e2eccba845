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
    hf_write_u8(writer, status->fit);
    hf_write_u8(writer, status->predicted ? 1 : 0);
    hf_write_u32(writer, status->pcrs);
    hf_write_u32(writer, status->untouched_pcrs);
    hf_write_u8(writer, status->head_counted ? 1 : 0);
    hf_write_u64(writer, status->head_count);
    hf_write_u8(writer, status->second_stale ? 1 : 0);
    hf_write_u32(writer, status->pace_ms);
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
    ret->fit = hf_read_u8(reader);
    ret->predicted = hf_read_bool(reader);
    ret->pcrs = hf_read_u32(reader);
    ret->untouched_pcrs = hf_read_u32(reader);
    ret->head_counted = hf_read_bool(reader);
    ret->head_count = hf_read_u64(reader);
    ret->second_stale = hf_read_bool(reader);
    ret->pace_ms = hf_read_u32(reader);
    if (ret->fit > HF_FIT_NONE || ret->pcrs >= HF_PCR_BIT(HF_PCR_COUNT) || ret->untouched_pcrs & ~ret->pcrs)
        hf_reader_reject(reader);
}

void hf_seal_request_write(struct hf_writer *writer, const struct hf_seal_request *seal)
{
    hf_write_u8(writer, seal->how);
    hf_write_u32(writer, seal->measure);
    hf_measure_write(writer, &seal->predicted);
}

void hf_seal_request_read(struct hf_reader *reader, struct hf_seal_request *ret)
{
    ret->how = hf_read_u8(reader);
    ret->measure = hf_read_u32(reader);
    hf_measure_read(reader, &ret->predicted);
    if (ret->how > HF_SEAL_PREDICTED || ret->measure > HF_MEASURE_KEEP || (ret->how != HF_SEAL_PRESENT && ret->measure != HF_MEASURE_KEEP) ||
        (ret->how == HF_SEAL_PREDICTED) != (ret->predicted.mask != 0))
        hf_reader_reject(reader);
}
