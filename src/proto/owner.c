#include "proto/owner.h"

void hf_owner_status_write(struct hf_writer *writer, const struct hf_owner_status *status)
{
    hf_write_u8(writer, status->state);
    hf_write_string(writer, status->mountpoint);
    hf_enclave_status_write(writer, &status->enclave);
    hf_write_u32(writer, status->open_unless_open);
    hf_write_u32(writer, status->unless_open_s);
    hf_write_u32(writer, status->pid_super);
    hf_write_u32(writer, status->pid_enclave);
    hf_write_u32(writer, status->pid_element);
    hf_write_u32(writer, status->pid_fs);
    hf_write_u32(writer, status->grace_left_s);
    hf_write_string(writer, status->enclave_sha256);
    hf_write_u16(writer, status->under_way);
    hf_write_string(writer, status->vault);
    hf_write_u32(writer, status->since_s);
    hf_write_u8(writer, status->watches);
    hf_write_string(writer, status->bus_note);
    hf_write_string(writer, status->last_stop);
    hf_write_u8(writer, status->freshness);
}

void hf_owner_status_read(struct hf_reader *reader, struct hf_owner_status *ret)
{
    ret->state = hf_read_u8(reader);
    if (ret->state > HF_STATE_ERASED)
        hf_reader_reject(reader);
    hf_read_string(reader, ret->mountpoint, sizeof ret->mountpoint);
    hf_enclave_status_read(reader, &ret->enclave);
    ret->open_unless_open = hf_read_u32(reader);
    ret->unless_open_s = hf_read_u32(reader);
    ret->pid_super = hf_read_u32(reader);
    ret->pid_enclave = hf_read_u32(reader);
    ret->pid_element = hf_read_u32(reader);
    ret->pid_fs = hf_read_u32(reader);
    ret->grace_left_s = hf_read_u32(reader);
    hf_read_string(reader, ret->enclave_sha256, sizeof ret->enclave_sha256);
    ret->under_way = hf_read_u16(reader);
    hf_read_string(reader, ret->vault, sizeof ret->vault);
    ret->since_s = hf_read_u32(reader);
    ret->watches = hf_read_u8(reader);
    hf_read_string(reader, ret->bus_note, sizeof ret->bus_note);
    hf_read_string(reader, ret->last_stop, sizeof ret->last_stop);
    ret->freshness = hf_read_u8(reader);
}
