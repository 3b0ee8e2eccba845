#include "proto/control.h"

#include "proto/fields.h"

void hf_enclave_status_write(struct hf_writer *writer, const struct hf_enclave_status *status)
{
    hf_write_u8(writer, status->loaded ? 1 : 0);
    hf_write_bytes(writer, status->vault_id, sizeof status->vault_id);
    hf_write_u64(writer, status->generation);
    hf_policy_write(writer, &status->policy);
    hf_write_u8(writer, status->has_recovery ? 1 : 0);
    hf_write_u32(writer, status->kdf_memory_kib);
    hf_write_u32(writer, status->kdf_passes);
    hf_write_u32(writer, status->kdf_lanes);
    hf_write_u32(writer, status->available);
    hf_write_u32(writer, status->meta);
    hf_write_u8(writer, status->unlocked_once ? 1 : 0);
    hf_write_u32(writer, status->failed_since_unlock);
    hf_element_status_write(writer, &status->element);
    hf_write_u8(writer, status->secret_memory);
    hf_write_u8(writer, status->kdf_may_swap ? 1 : 0);
    hf_write_string(writer, status->note);
}

void hf_enclave_status_read(struct hf_reader *reader, struct hf_enclave_status *ret)
{
    ret->loaded = hf_read_bool(reader);
    hf_read_bytes(reader, ret->vault_id, sizeof ret->vault_id);
    ret->generation = hf_read_u64(reader);
    hf_policy_read(reader, &ret->policy);
    ret->has_recovery = hf_read_bool(reader);
    ret->kdf_memory_kib = hf_read_u32(reader);
    ret->kdf_passes = hf_read_u32(reader);
    ret->kdf_lanes = hf_read_u32(reader);
    ret->available = hf_read_u32(reader);
    ret->meta = hf_read_u32(reader);
    ret->unlocked_once = hf_read_bool(reader);
    ret->failed_since_unlock = hf_read_u32(reader);
    hf_element_status_read(reader, &ret->element);
    ret->secret_memory = hf_read_u8(reader);
    ret->kdf_may_swap = hf_read_bool(reader);
    hf_read_string(reader, ret->note, sizeof ret->note);
}
