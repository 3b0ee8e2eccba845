#include "format/fileheader.h"

#include <string.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/class.h"
#include "format/content.h"

static const uint8_t file_magic[8] = {'H', 'O', 'L', 'D', 'F', 'I', 'L', 'E'};
static const uint8_t page_magic[8] = {'H', 'F', 'P', 'A', 'G', 'E', '0', '1'};
enum { FILE_FORMAT = 1, STATIC_RESERVED_LEN = 80, META_RESERVED_LEN = 4, DYNAMIC_RESERVED_LEN = 20 /* a page digest, and 4 */ };
static const uint64_t u48_end = UINT64_C(1) << 48;

static bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

/* --- S --- */

static bool static_is_sound(const struct hf_file_static *header)
{
    if (header->kind != HF_KIND_REGULAR && header->kind != HF_KIND_LONG_SYMLINK)
        return false;
    if (header->class < HF_CLASS_FIRST || header->class > HF_CLASS_LAST || header->class_generation == 0)
        return false;
    if ((header->flags & ~HF_STATIC_FLAGS_KNOWN) != 0)
        return false;
    bool spool = (header->class_generation & HF_GENERATION_SPOOL) != 0;
    if (spool && (header->class != HF_CLASS_UNLESS_OPEN || header->class_generation == HF_GENERATION_SPOOL || !(header->flags & HF_STATIC_UNVERIFIED)))
        return false;
    if (header->wrap_algorithm == HF_WRAP_CLASS ? header->wrap_len != sizeof header->wrap
                                                : header->wrap_algorithm != HF_WRAP_UNLESS_OPEN || header->class != HF_CLASS_UNLESS_OPEN)
        return false;
    return header->wrap_len > 0 && header->wrap_len <= sizeof header->wrap &&
           all_zero(header->wrap + header->wrap_len, sizeof header->wrap - header->wrap_len);
}

enum hf_result hf_file_static_parse(const uint8_t bytes[HF_STATIC_LEN], struct hf_file_static *ret)
{
    struct hf_reader reader;
    struct hf_file_static header;
    hf_reader_init(&reader, HF_SPAN(bytes, HF_STATIC_LEN));
    struct hf_span mark = hf_read_view(&reader, sizeof file_magic);
    uint16_t format = hf_read_u16(&reader);
    header.kind = hf_read_u8(&reader);
    header.class = hf_read_u8(&reader);
    header.flags = hf_read_u32(&reader);
    hf_read_bytes(&reader, header.file_id, sizeof header.file_id);
    header.class_generation = hf_read_u32(&reader);
    header.wrap_algorithm = hf_read_u16(&reader);
    header.wrap_len = hf_read_u16(&reader);
    hf_read_bytes(&reader, header.wrap, sizeof header.wrap);
    hf_read_zeros(&reader, STATIC_RESERVED_LEN);
    hf_read_bytes(&reader, header.commitment, sizeof header.commitment);
    HF_TRY(hf_reader_end(&reader));
    if (memcmp(mark.data, file_magic, sizeof file_magic) != 0 || format != FILE_FORMAT || !static_is_sound(&header))
        return HF_DAMAGED;
    *ret = header;
    return HF_OK;
}

void hf_file_static_encode(const struct hf_file_static *header, uint8_t out[HF_STATIC_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_STATIC_LEN);
    hf_write_bytes(&writer, file_magic, sizeof file_magic);
    hf_write_u16(&writer, FILE_FORMAT);
    hf_write_u8(&writer, header->kind);
    hf_write_u8(&writer, header->class);
    hf_write_u32(&writer, header->flags);
    hf_write_bytes(&writer, header->file_id, sizeof header->file_id);
    hf_write_u32(&writer, header->class_generation);
    hf_write_u16(&writer, header->wrap_algorithm);
    hf_write_u16(&writer, header->wrap_len);
    HF_ASSERT(writer.len == HF_STATIC_AAD_LEN);
    hf_write_bytes(&writer, header->wrap, sizeof header->wrap);
    hf_write_zeros(&writer, STATIC_RESERVED_LEN);
    hf_write_bytes(&writer, header->commitment, sizeof header->commitment);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_STATIC_LEN);
}

/* --- M --- */

static bool meta_is_sound(const struct hf_file_meta *meta)
{
    unsigned used = (unsigned)meta->current + meta->old;
    if (used > HF_SLOTS || (meta->flags & ~HF_META_FLAGS_KNOWN) != 0)
        return false;
    if (meta->more_number == 0 && (meta->more_current != 0 || meta->more_old != 0 || !all_zero(meta->more_digest, sizeof meta->more_digest)))
        return false;
    return all_zero((const uint8_t *)meta->slots + (size_t)used * HF_SLOT_LEN, (size_t)(HF_SLOTS - used) * HF_SLOT_LEN);
}

enum hf_result hf_file_meta_parse(const uint8_t bytes[HF_META_LEN], struct hf_file_meta *ret)
{
    struct hf_reader reader;
    struct hf_file_meta meta;
    hf_reader_init(&reader, HF_SPAN(bytes, HF_META_LEN));
    meta.version = hf_read_u64(&reader);
    meta.epoch = hf_read_u32(&reader);
    meta.current = hf_read_u8(&reader);
    meta.old = hf_read_u8(&reader);
    meta.flags = hf_read_u16(&reader);
    hf_read_bytes(&reader, meta.slots, sizeof meta.slots);
    hf_read_bytes(&reader, meta.attr_mac, sizeof meta.attr_mac);
    hf_read_bytes(&reader, meta.xattr_digest, sizeof meta.xattr_digest);
    meta.more_number = hf_read_u32(&reader);
    meta.more_current = hf_read_u32(&reader);
    meta.more_old = hf_read_u32(&reader);
    hf_read_bytes(&reader, meta.more_digest, sizeof meta.more_digest);
    hf_read_zeros(&reader, META_RESERVED_LEN);
    hf_read_bytes(&reader, meta.mac, sizeof meta.mac);
    HF_TRY(hf_reader_end(&reader));
    if (!meta_is_sound(&meta))
        return HF_DAMAGED;
    *ret = meta;
    return HF_OK;
}

void hf_file_meta_encode(const struct hf_file_meta *meta, uint8_t out[HF_META_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_META_LEN);
    hf_write_u64(&writer, meta->version);
    hf_write_u32(&writer, meta->epoch);
    hf_write_u8(&writer, meta->current);
    hf_write_u8(&writer, meta->old);
    hf_write_u16(&writer, meta->flags);
    hf_write_bytes(&writer, meta->slots, sizeof meta->slots);
    hf_write_bytes(&writer, meta->attr_mac, sizeof meta->attr_mac);
    hf_write_bytes(&writer, meta->xattr_digest, sizeof meta->xattr_digest);
    hf_write_u32(&writer, meta->more_number);
    hf_write_u32(&writer, meta->more_current);
    hf_write_u32(&writer, meta->more_old);
    hf_write_bytes(&writer, meta->more_digest, sizeof meta->more_digest);
    hf_write_zeros(&writer, META_RESERVED_LEN);
    HF_ASSERT(writer.len == HF_META_MACCED_LEN);
    hf_write_bytes(&writer, meta->mac, sizeof meta->mac);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_META_LEN);
}

/* --- D --- */

static bool covers_are_sound(const struct hf_range cover[HF_COVERS])
{
    uint64_t end = 0;
    bool unused = false;
    for (unsigned i = 0; i < HF_COVERS; i++) {
        if (cover[i].count == 0) {
            unused = true;
            if (cover[i].start != 0)
                return false;
        } else {
            if (unused || cover[i].start < end || cover[i].count > u48_end - cover[i].start)
                return false;
            end = cover[i].start + cover[i].count;
        }
    }
    return true;
}

/* A staircase: both rise, and no step is above the file's own generation. */
static bool floors_are_sound(const struct hf_floor floors[HF_FLOORS], uint32_t gen)
{
    for (unsigned i = 0; i < HF_FLOORS; i++) {
        if (floors[i].gen == 0 ? floors[i].offset != 0 : floors[i].gen > gen || floors[i].offset > HF_FILE_SIZE_MAX)
            return false;
        if (i > 0 && floors[i].gen != 0 && (floors[i].gen <= floors[i - 1].gen || floors[i].offset <= floors[i - 1].offset || floors[i - 1].gen == 0))
            return false;
    }
    return true;
}

static bool dynamic_is_sound(const struct hf_file_dynamic *dynamic)
{
    return dynamic->size <= HF_FILE_SIZE_MAX && dynamic->durable <= dynamic->size && dynamic->gen <= HF_GEN_MAX &&
           (dynamic->flags & ~HF_DYNAMIC_FLAGS_KNOWN) == 0 && covers_are_sound(dynamic->cover) &&
           floors_are_sound(dynamic->floors, dynamic->gen);
}

enum hf_result hf_file_dynamic_parse(const uint8_t bytes[HF_DYNAMIC_LEN], struct hf_file_dynamic *ret)
{
    struct hf_reader reader;
    struct hf_file_dynamic dynamic;
    hf_reader_init(&reader, HF_SPAN(bytes, HF_DYNAMIC_LEN));
    dynamic.size = hf_read_u64(&reader);
    dynamic.durable = hf_read_u64(&reader);
    dynamic.version = hf_read_u64(&reader);
    dynamic.epoch = hf_read_u32(&reader);
    dynamic.gen = hf_read_u32(&reader);
    dynamic.flags = hf_read_u32(&reader);
    dynamic.writes = hf_read_u64(&reader);
    for (unsigned i = 0; i < HF_COVERS; i++) {
        dynamic.cover[i].start = hf_read_u48(&reader);
        dynamic.cover[i].count = hf_read_u48(&reader);
    }
    for (unsigned i = 0; i < HF_FLOORS; i++) {
        dynamic.floors[i].offset = hf_read_u64(&reader);
        dynamic.floors[i].gen = hf_read_u32(&reader);
    }
    hf_read_zeros(&reader, DYNAMIC_RESERVED_LEN);
    HF_TRY(hf_reader_end(&reader));
    if (!dynamic_is_sound(&dynamic))
        return HF_DAMAGED;
    *ret = dynamic;
    return HF_OK;
}

void hf_file_dynamic_encode(const struct hf_file_dynamic *dynamic, uint8_t out[HF_DYNAMIC_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_DYNAMIC_LEN);
    hf_write_u64(&writer, dynamic->size);
    hf_write_u64(&writer, dynamic->durable);
    hf_write_u64(&writer, dynamic->version);
    hf_write_u32(&writer, dynamic->epoch);
    hf_write_u32(&writer, dynamic->gen);
    hf_write_u32(&writer, dynamic->flags);
    hf_write_u64(&writer, dynamic->writes);
    for (unsigned i = 0; i < HF_COVERS; i++) {
        hf_write_u48(&writer, dynamic->cover[i].start);
        hf_write_u48(&writer, dynamic->cover[i].count);
    }
    for (unsigned i = 0; i < HF_FLOORS; i++) {
        hf_write_u64(&writer, dynamic->floors[i].offset);
        hf_write_u32(&writer, dynamic->floors[i].gen);
    }
    hf_write_zeros(&writer, DYNAMIC_RESERVED_LEN);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_DYNAMIC_LEN);
}

/* --- page heads --- */

static uint32_t gen_and_len(const struct hf_page_head *head)
{
    HF_ASSERT(head->gen <= HF_GEN_MAX && head->len <= HF_PAGE_DATA_LEN);
    return head->gen | head->len << 20;
}

void hf_page_head_parse(const uint8_t bytes[32], struct hf_page_head *ret)
{
    struct hf_reader reader;
    hf_reader_init(&reader, HF_SPAN(bytes, 32));
    hf_read_bytes(&reader, ret->nonce, sizeof ret->nonce);
    uint32_t packed = hf_read_u32(&reader);
    ret->gen = packed & HF_GEN_MAX;
    ret->len = packed >> 20;
    hf_read_bytes(&reader, ret->tag, sizeof ret->tag);
    HF_ASSERT(hf_reader_end(&reader) == HF_OK);
}

void hf_page_head_encode(const struct hf_page_head *head, uint8_t out[32])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, 32);
    hf_write_bytes(&writer, head->nonce, sizeof head->nonce);
    hf_write_u32(&writer, gen_and_len(head));
    hf_write_bytes(&writer, head->tag, sizeof head->tag);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_PAGE_HEAD_LEN);
}

bool hf_page_is_zero(const uint8_t head[32])
{
    return all_zero(head, HF_PAGE_HEAD_LEN);
}

void hf_page_aad(const struct hf_page_head *head, const uint8_t file_id[HF_FILE_ID_LEN], uint64_t page, uint8_t out[HF_PAGE_AAD_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, HF_PAGE_AAD_LEN);
    hf_write_bytes(&writer, page_magic, sizeof page_magic);
    hf_write_u32(&writer, gen_and_len(head));
    hf_write_bytes(&writer, file_id, HF_FILE_ID_LEN);
    hf_write_u64(&writer, page);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == HF_PAGE_AAD_LEN);
}
