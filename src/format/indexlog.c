#include "format/indexlog.h"

#include <string.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/class.h"

static const char magic[8] = {'H', 'F', 'I', 'N', 'D', 'E', 'X', '2'};

enum hf_result hf_index_header_parse(struct hf_span bytes, struct hf_index_header *ret)
{
    struct hf_reader reader;
    struct hf_index_header header;
    hf_reader_init(&reader, bytes);
    struct hf_span mark = hf_read_view(&reader, sizeof magic);
    hf_read_bytes(&reader, header.file_id, sizeof header.file_id);
    header.class = hf_read_u8(&reader);
    hf_read_zeros(&reader, 3);
    header.class_generation = hf_read_u32(&reader);
    header.base_records = hf_read_u32(&reader);
    hf_read_zeros(&reader, 4);
    hf_read_bytes(&reader, header.continues, sizeof header.continues);
    hf_read_bytes(&reader, header.wrap, sizeof header.wrap);
    HF_TRY(hf_reader_end(&reader));
    if (memcmp(mark.data, magic, sizeof magic) != 0 || header.class < HF_CLASS_FIRST || header.class > HF_CLASS_LAST || header.class_generation == 0)
        return HF_DAMAGED;
    *ret = header;
    return HF_OK;
}

void hf_index_header_encode(const struct hf_index_header *header, uint8_t out[HF_INDEX_HEADER_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_INDEX_HEADER_LEN);
    hf_write_bytes(&writer, magic, sizeof magic);
    hf_write_bytes(&writer, header->file_id, sizeof header->file_id);
    hf_write_u8(&writer, header->class);
    hf_write_zeros(&writer, 3);
    hf_write_u32(&writer, header->class_generation);
    hf_write_u32(&writer, header->base_records);
    hf_write_zeros(&writer, 4);
    hf_write_bytes(&writer, header->continues, sizeof header->continues);
    HF_ASSERT(writer.len == HF_INDEX_FIXED_LEN);
    hf_write_bytes(&writer, header->wrap, sizeof header->wrap);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_INDEX_HEADER_LEN);
}

enum hf_result hf_index_record_parse(struct hf_span bytes, struct hf_span *ret_sealed)
{
    struct hf_reader reader;
    if (bytes.len == 0)
        return HF_NOT_FOUND;
    hf_reader_init(&reader, bytes);
    uint32_t len = hf_read_u32(&reader);
    if (reader.failed || len == 0 || len > HF_INDEX_RECORD_MAX)
        return HF_DAMAGED;
    struct hf_span sealed = hf_read_view(&reader, (size_t)len + HF_INDEX_SEALED_MORE);
    if (reader.failed)
        return HF_DAMAGED;
    *ret_sealed = sealed;
    return HF_OK;
}

void hf_index_record_aad(const uint8_t file_id[16], uint64_t number, uint32_t len, uint8_t out[HF_INDEX_AAD_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_INDEX_AAD_LEN);
    hf_write_bytes(&writer, file_id, 16);
    hf_write_u64(&writer, number);
    hf_write_u32(&writer, len);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK);
}

void hf_index_entry_read(const uint8_t bytes[HF_INDEX_ENTRY_LEN], struct hf_index_entry *ret)
{
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN(bytes, HF_INDEX_ENTRY_LEN));
    ret->dir = hf_read_u64(&reader);
    ret->name = hf_read_u64(&reader);
    ret->meta = hf_read_u32(&reader);
    ret->content = hf_read_u32(&reader);
    ret->tag = hf_read_u64(&reader);
    ret->shown = hf_read_u64(&reader);
    ret->touched = hf_read_u64(&reader);
    HF_ASSERT(hf_reader_end(&reader) == HF_OK);
}

void hf_index_entry_write(const struct hf_index_entry *entry, uint8_t out[HF_INDEX_ENTRY_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_INDEX_ENTRY_LEN);
    hf_write_u64(&writer, entry->dir);
    hf_write_u64(&writer, entry->name);
    hf_write_u32(&writer, entry->meta);
    hf_write_u32(&writer, entry->content);
    hf_write_u64(&writer, entry->tag);
    hf_write_u64(&writer, entry->shown);
    hf_write_u64(&writer, entry->touched);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK);
}
