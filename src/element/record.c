#include "element/record.h"

#include <sodium.h>

#include "base/reader.h"
#include "base/writer.h"
#include "os/file.h"
#include "proto/control.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

static const uint8_t magic[8] = {'H', 'F', 'E', 'L', 'E', 'M', '0', '1'};
enum { CHECKSUM_LEN = 32, RECORD_MAX = 1024 };

/* Tells an accident, nothing more: who can write here can compute it. */
static void checksum(struct hf_span bytes, uint8_t out[CHECKSUM_LEN])
{
    (void)crypto_generichash(out, CHECKSUM_LEN, bytes.data, bytes.len, NULL, 0);
}

enum hf_result hf_element_record_save(int dir, const struct hf_element_record *record)
{
    uint8_t bytes[RECORD_MAX];
    uint8_t sum[CHECKSUM_LEN];
    struct hf_writer writer;
    hf_writer_init(&writer, bytes, sizeof bytes);
    hf_write_bytes(&writer, magic, sizeof magic);
    hf_write_bytes(&writer, record->vault_id, sizeof record->vault_id);
    hf_policy_write(&writer, &record->policy);
    hf_write_u32(&writer, record->failed);
    hf_write_u32(&writer, record->failed_since_success);
    hf_write_bytes(&writer, record->boot_id, sizeof record->boot_id);
    hf_write_u64(&writer, record->delay_until_ms);
    hf_write_u32(&writer, record->delay_s);
    hf_write_u8(&writer, record->state);
    hf_write_u64(&writer, record->generation);
    hf_write_bytes(&writer, record->device.bytes, sizeof record->device.bytes);
    hf_write_u32(&writer, record->slot);
    for (int i = 0; i < HF_ELEMENT_SLOTS; i++) {
        hf_write_u8(&writer, record->slots[i].used ? 1 : 0);
        hf_write_bytes(&writer, record->slots[i].wrap, sizeof record->slots[i].wrap);
    }
    checksum(hf_writer_span(&writer), sum);
    hf_write_bytes(&writer, sum, sizeof sum);
    enum hf_result result = hf_writer_end(&writer);
    if (result == HF_OK)
        result = hf_file_replace(dir, "element", hf_writer_span(&writer));
    hf_wipe(bytes, sizeof bytes);
    return result;
}

static enum hf_result parse(struct hf_span file, struct hf_element_record *ret)
{
    struct hf_reader reader;
    uint8_t sum[CHECKSUM_LEN];
    if (file.len < sizeof magic + CHECKSUM_LEN || !hf_equal_ct(file.data, magic, sizeof magic))
        return HF_DAMAGED;
    checksum(HF_SPAN(file.data, file.len - CHECKSUM_LEN), sum);
    if (!hf_equal_ct(sum, file.data + file.len - CHECKSUM_LEN, sizeof sum))
        return HF_DAMAGED;
    hf_reader_init(&reader, HF_SPAN(file.data, file.len - CHECKSUM_LEN));
    (void)hf_read_view(&reader, sizeof magic);
    hf_read_bytes(&reader, ret->vault_id, sizeof ret->vault_id);
    hf_policy_read(&reader, &ret->policy);
    ret->failed = hf_read_u32(&reader);
    ret->failed_since_success = hf_read_u32(&reader);
    hf_read_bytes(&reader, ret->boot_id, sizeof ret->boot_id);
    ret->delay_until_ms = hf_read_u64(&reader);
    ret->delay_s = hf_read_u32(&reader);
    ret->state = hf_read_u8(&reader);
    ret->generation = hf_read_u64(&reader);
    hf_read_bytes(&reader, ret->device.bytes, sizeof ret->device.bytes);
    ret->slot = hf_read_u32(&reader);
    for (int i = 0; i < HF_ELEMENT_SLOTS; i++) {
        ret->slots[i].used = hf_read_bool(&reader);
        hf_read_bytes(&reader, ret->slots[i].wrap, sizeof ret->slots[i].wrap);
    }
    if (ret->state > HF_ELEMENT_ERASED || ret->slot >= HF_ELEMENT_SLOTS)
        hf_reader_reject(&reader);
    return hf_reader_end(&reader);
}

enum hf_result hf_element_record_load(int dir, struct hf_element_record *ret)
{
    uint8_t bytes[RECORD_MAX];
    size_t len = 0;
    struct hf_element_record record = {0};
    enum hf_result result = hf_file_read(dir, "element", bytes, sizeof bytes, &len);
    result = result == HF_TOO_LARGE ? HF_DAMAGED : result;
    if (result == HF_OK)
        result = parse(HF_SPAN(bytes, len), &record);
    if (result == HF_OK)
        *ret = record;
    hf_wipe(bytes, sizeof bytes);
    hf_wipe(&record, sizeof record);
    return result;
}
