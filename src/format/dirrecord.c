#include "format/dirrecord.h"

#include "base/base64url.h"
#include "base/reader.h"
#include "base/writer.h"
#include "format/class.h"

enum { RECORD_VERSION = 1 };
_Static_assert(HF_BASE64URL_LEN(HF_DIR_RECORD_LEN) == HF_DIR_RECORD_TEXT_LEN, "the text's length is fixed");

enum hf_result hf_dir_record_parse(struct hf_span text, struct hf_dir_record *ret)
{
    uint8_t bytes[HF_DIR_RECORD_LEN];
    size_t len = 0;
    if (text.len != HF_DIR_RECORD_TEXT_LEN || hf_base64url_decode((const char *)text.data, text.len, bytes, sizeof bytes, &len) != HF_OK)
        return HF_DAMAGED;

    struct hf_reader reader;
    struct hf_dir_record record;
    hf_reader_init(&reader, HF_SPAN(bytes, len));
    uint8_t version = hf_read_u8(&reader);
    uint8_t class_and_flags = hf_read_u8(&reader);
    record.class = class_and_flags & 15u;
    record.flags = class_and_flags >> 4;
    record.class_generation = hf_read_u16(&reader);
    hf_read_bytes(&reader, record.dir_id, sizeof record.dir_id);
    record.epoch = hf_read_u32(&reader);
    record.version = hf_read_u32(&reader);
    hf_read_bytes(&reader, record.mac, sizeof record.mac);
    HF_TRY(hf_reader_end(&reader));
    if (version != RECORD_VERSION || record.class < HF_CLASS_FIRST || record.class > HF_CLASS_LAST ||
        (record.flags & ~HF_DIR_RECORD_FLAGS_KNOWN) != 0 || (record.flags & HF_DIR_SPOOL && record.class != HF_CLASS_ALWAYS) || record.class_generation == 0)
        return HF_DAMAGED;
    *ret = record;
    return HF_OK;
}

void hf_dir_record_macced(const struct hf_dir_record *record, uint8_t out[HF_DIR_RECORD_MACCED_LEN])
{
    HF_ASSERT(record->class <= 15 && record->flags <= 15);
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_DIR_RECORD_MACCED_LEN);
    hf_write_u8(&writer, RECORD_VERSION);
    hf_write_u8(&writer, (uint8_t)(record->class | record->flags << 4));
    hf_write_u16(&writer, record->class_generation);
    hf_write_bytes(&writer, record->dir_id, sizeof record->dir_id);
    hf_write_u32(&writer, record->epoch);
    hf_write_u32(&writer, record->version);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_DIR_RECORD_MACCED_LEN);
}

void hf_dir_record_encode(const struct hf_dir_record *record, char out[HF_DIR_RECORD_TEXT_LEN + 1])
{
    uint8_t bytes[HF_DIR_RECORD_LEN];
    struct hf_writer writer;
    hf_writer_init(&writer, bytes, sizeof bytes);
    uint8_t macced[HF_DIR_RECORD_MACCED_LEN];
    hf_dir_record_macced(record, macced);
    hf_write_bytes(&writer, macced, sizeof macced);
    hf_write_bytes(&writer, record->mac, sizeof record->mac);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == sizeof bytes);
    hf_base64url_encode(bytes, sizeof bytes, out);
}
