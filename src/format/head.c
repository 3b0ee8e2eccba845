#include "format/head.h"

#include <string.h>

#include "base/reader.h"
#include "base/writer.h"

static const char magic[8] = {'H', 'F', 'H', 'E', 'A', 'D', '0', '3'};

enum hf_result hf_head_parse(struct hf_span bytes, struct hf_head *ret)
{
    struct hf_reader reader;
    struct hf_head head;
    hf_reader_init(&reader, bytes);
    struct hf_span mark = hf_read_view(&reader, sizeof magic);
    hf_read_bytes(&reader, head.vault_id, sizeof head.vault_id);
    head.settled = hf_read_u32(&reader);
    head.state = hf_read_u32(&reader);
    hf_read_bytes(&reader, head.tips, sizeof head.tips);
    head.count = hf_read_u64(&reader);
    hf_read_bytes(&reader, head.mac, sizeof head.mac);
    HF_TRY(hf_reader_end(&reader));
    if (memcmp(mark.data, magic, sizeof magic) != 0 || head.state < HF_HEAD_FRESH || head.state > HF_HEAD_CLOSED)
        return HF_DAMAGED;
    *ret = head;
    return HF_OK;
}

void hf_head_encode(const struct hf_head *head, uint8_t out[HF_HEAD_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_HEAD_LEN);
    hf_write_bytes(&writer, magic, sizeof magic);
    hf_write_bytes(&writer, head->vault_id, sizeof head->vault_id);
    hf_write_u32(&writer, head->settled);
    hf_write_u32(&writer, head->state);
    hf_write_bytes(&writer, head->tips, sizeof head->tips);
    hf_write_u64(&writer, head->count);
    HF_ASSERT(writer.len == HF_HEAD_MACCED_LEN);
    hf_write_bytes(&writer, head->mac, sizeof head->mac);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_HEAD_LEN);
}
