#include "format/keybag.h"

#include "base/reader.h"
#include "base/writer.h"
#include "format/policy.h"
#include "keys/wipe.h"

#pragma GCC poison memcmp strcpy sprintf

static const char magic[8] = {'H', 'F', 'K', 'E', 'Y', 'B', 'A', 'G'};
enum { FORMAT = 4, KEYS_FORMAT = 4, LENGTH_LEN = 4, MAC_LEN = 32, CHECKSUM_LEN = 4, SLOTS = 2 };

/* CRC-32C (Castagnoli, reflected), four bits a step. */
static uint32_t crc32c(const uint8_t *bytes, size_t len)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

/* --- public header --- */

static bool header_is_sound(const struct hf_public_header *header)
{
    if (header->kdf_memory_kib < HF_KEYBAG_KDF_MIN_KIB || header->kdf_memory_kib > HF_KEYBAG_KDF_MAX_KIB)
        return false;
    if (header->kdf_passes < 1 || header->kdf_passes > HF_KEYBAG_KDF_MAX_PASSES || header->kdf_lanes < 1 ||
        header->kdf_lanes > HF_KEYBAG_KDF_MAX_LANES)
        return false;
    if (header->element_slot >= SLOTS)
        return false;
    if (header->element_kind == HF_ELEMENT_SOFTWARE)
        return header->tcti[0] == '\0';
    return header->element_kind == HF_ELEMENT_TPM2;
}

static enum hf_result parse_header(struct hf_span bytes, struct hf_public_header *ret)
{
    struct hf_reader reader;
    hf_reader_init(&reader, bytes);
    *ret = (struct hf_public_header){0};
    (void)hf_read_view(&reader, sizeof magic); /* the caller has looked at magic and format */
    (void)hf_read_u16(&reader);
    hf_read_zeros(&reader, 2);
    hf_read_bytes(&reader, ret->vault_id, sizeof ret->vault_id);
    ret->generation = hf_read_u64(&reader);
    hf_read_bytes(&reader, ret->salt, sizeof ret->salt);
    ret->kdf_memory_kib = hf_read_u32(&reader);
    ret->kdf_passes = hf_read_u32(&reader);
    ret->kdf_lanes = hf_read_u32(&reader);
    hf_policy_read(&reader, &ret->policy);
    hf_read_bytes(&reader, ret->unless_open_public, sizeof ret->unless_open_public);
    uint8_t has_recovery = hf_read_u8(&reader);
    ret->has_recovery = has_recovery == 1;
    ret->element_kind = hf_read_u32(&reader);
    ret->element_slot = hf_read_u32(&reader);
    hf_read_string(&reader, ret->tcti, sizeof ret->tcti);
    struct hf_span blob = hf_read_view16(&reader, sizeof ret->element_blob);
    if (blob.len > 0)
        memcpy(ret->element_blob, blob.data, blob.len);
    ret->element_blob_len = blob.len;
    HF_TRY(hf_reader_end(&reader));
    return has_recovery <= 1 && header_is_sound(ret) ? HF_OK : HF_DAMAGED;
}

enum hf_result hf_keybag_header_encode(const struct hf_public_header *header, uint8_t *out, size_t cap, size_t *ret_len)
{
    HF_ASSERT(header_is_sound(header) && memchr(header->tcti, 0, sizeof header->tcti) && header->element_blob_len <= sizeof header->element_blob);
    struct hf_writer writer;
    hf_writer_init(&writer, out, cap);
    hf_write_bytes(&writer, magic, sizeof magic);
    hf_write_u16(&writer, FORMAT);
    hf_write_zeros(&writer, 2);
    hf_write_bytes(&writer, header->vault_id, sizeof header->vault_id);
    hf_write_u64(&writer, header->generation);
    hf_write_bytes(&writer, header->salt, sizeof header->salt);
    hf_write_u32(&writer, header->kdf_memory_kib);
    hf_write_u32(&writer, header->kdf_passes);
    hf_write_u32(&writer, header->kdf_lanes);
    hf_policy_write(&writer, &header->policy);
    hf_write_bytes(&writer, header->unless_open_public, sizeof header->unless_open_public);
    hf_write_u8(&writer, header->has_recovery ? 1 : 0);
    hf_write_u32(&writer, header->element_kind);
    hf_write_u32(&writer, header->element_slot);
    hf_write_string(&writer, header->tcti);
    hf_write_span16(&writer, HF_SPAN(header->element_blob, header->element_blob_len));
    HF_TRY(hf_writer_end(&writer));
    *ret_len = writer.len;
    return HF_OK;
}

/* --- the file --- */

static enum hf_result damaged(struct hf_error *error, const char *what)
{
    return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): %s; put a good copy in its place", what);
}

static uint32_t stored_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* What can be said before any field is believed: length, magic, format, checksum. */
static enum hf_result check_frame(struct hf_span file, struct hf_error *error)
{
    const size_t mark_end = LENGTH_LEN + sizeof magic + 2;
    if (file.len < mark_end + MAC_LEN + CHECKSUM_LEN)
        return damaged(error, "too short");
    if (file.len > HF_KEYBAG_MAX)
        return damaged(error, "too long");
    if (!hf_equal_ct(file.data + LENGTH_LEN, magic, sizeof magic))
        return damaged(error, "not a keybag (magic)");
    unsigned format = (unsigned)file.data[mark_end - 2] | (unsigned)file.data[mark_end - 1] << 8;
    if (format != FORMAT)
        return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): format %u, this version reads %d; the version that made it opens it", format, FORMAT); /* [KB-6] */
    size_t summed = file.len - CHECKSUM_LEN;
    if (crc32c(file.data, summed) != stored_u32(file.data + summed))
        return damaged(error, "the checksum is wrong");
    return HF_OK;
}

static struct hf_span read_part(struct hf_reader *reader)
{
    uint32_t len = hf_read_u32(reader);
    return hf_read_view(reader, len);
}

enum hf_result hf_keybag_parse(struct hf_span file, struct hf_keybag_view *ret, struct hf_error *error)
{
    HF_TRY(check_frame(file, error));
    struct hf_reader reader;
    struct hf_keybag_view view;
    hf_reader_init(&reader, HF_SPAN(file.data, file.len - CHECKSUM_LEN));
    view.header_bytes = read_part(&reader);
    view.device_section = read_part(&reader);
    view.user_section = read_part(&reader);
    view.recovery_box = read_part(&reader);
    view.macced = HF_SPAN(file.data, reader.at);
    hf_read_bytes(&reader, view.mac, sizeof view.mac);
    if (reader.failed)
        return damaged(error, "too short for its parts");
    if (hf_reader_end(&reader) != HF_OK)
        return damaged(error, "bytes are left over");
    if (parse_header(view.header_bytes, &view.header) != HF_OK)
        return damaged(error, "a field of the header is out of range");
    if (view.device_section.len == 0 || view.user_section.len == 0)
        return damaged(error, "a section is empty");
    if (view.header.has_recovery != (view.recovery_box.len > 0))
        return damaged(error, "header and recovery box disagree");
    *ret = view;
    return HF_OK;
}

static void write_part(struct hf_writer *writer, struct hf_span part)
{
    HF_ASSERT(part.len <= HF_KEYBAG_MAX);
    hf_write_u32(writer, (uint32_t)part.len);
    hf_write_bytes(writer, part.data, part.len);
}

enum hf_result hf_keybag_assemble(struct hf_span header_bytes, struct hf_span device_section, struct hf_span user_section, struct hf_span recovery_box,
                                  uint8_t *out, size_t cap, size_t *ret_len)
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, cap < HF_KEYBAG_MAX ? cap : HF_KEYBAG_MAX);
    write_part(&writer, header_bytes);
    write_part(&writer, device_section);
    write_part(&writer, user_section);
    write_part(&writer, recovery_box);
    HF_TRY(hf_writer_end(&writer));
    *ret_len = writer.len;
    return HF_OK;
}

enum hf_result hf_keybag_finish(uint8_t *file, size_t cap, size_t macced_len, const uint8_t mac[32], size_t *ret_len)
{
    struct hf_writer writer;
    HF_ASSERT(macced_len <= cap);
    hf_writer_init(&writer, file, cap < HF_KEYBAG_MAX ? cap : HF_KEYBAG_MAX);
    writer.len = macced_len;
    if (macced_len > writer.cap)
        return HF_TOO_LARGE;
    hf_write_bytes(&writer, mac, MAC_LEN);
    if (!writer.failed)
        hf_write_u32(&writer, crc32c(file, writer.len));
    HF_TRY(hf_writer_end(&writer));
    *ret_len = writer.len;
    return HF_OK;
}

/* --- the sections' plaintext --- */

static bool entry_is_sound(const struct hf_keybag_keys *keys, uint32_t at)
{
    const struct hf_keybag_entry *entry = &keys->entries[at];
    if (entry->class < HF_CLASS_FIRST || entry->class > HF_CLASS_LAST || entry->generation == 0)
        return false;
    for (uint32_t i = 0; i < at; i++) {
        if (keys->entries[i].class == entry->class && keys->entries[i].generation == entry->generation)
            return false;
    }
    return true;
}

enum hf_result hf_keybag_keys_encode(const struct hf_keybag_keys *keys, uint8_t *out, size_t cap, size_t *ret_len)
{
    struct hf_writer writer;
    HF_ASSERT(keys->count <= HF_KEYBAG_KEYS_MAX);
    hf_writer_init(&writer, out, cap);
    hf_write_u32(&writer, KEYS_FORMAT);
    hf_write_u32(&writer, keys->count);
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct hf_keybag_entry *entry = &keys->entries[i];
        HF_ASSERT(entry_is_sound(keys, i));
        hf_write_u8(&writer, entry->class);
        hf_write_u32(&writer, entry->generation);
        hf_write_bytes(&writer, entry->key.bytes, sizeof entry->key.bytes);
        hf_write_bytes(&writer, entry->meta.bytes, sizeof entry->meta.bytes);
    }
    hf_write_bytes(&writer, keys->recovery_public, sizeof keys->recovery_public);
    hf_policy_write(&writer, &keys->policy);
    hf_write_bytes(&writer, keys->names_reserved, sizeof keys->names_reserved);
    hf_write_string(&writer, keys->sentence);
    hf_write_bytes(&writer, keys->duress.bytes, sizeof keys->duress.bytes);
    enum hf_result result = hf_writer_end(&writer);
    if (result == HF_OK)
        *ret_len = writer.len;
    else
        hf_wipe(out, cap); /* no keys behind a failure */
    return result;
}

static enum hf_result decode_keys(struct hf_span bytes, struct hf_keybag_keys *keys)
{
    struct hf_reader reader;
    hf_reader_init(&reader, bytes);
    uint32_t format = hf_read_u32(&reader);
    keys->count = hf_read_u32(&reader);
    if (format != KEYS_FORMAT || keys->count > HF_KEYBAG_KEYS_MAX)
        return HF_DAMAGED;
    for (uint32_t i = 0; i < keys->count; i++) {
        struct hf_keybag_entry *entry = &keys->entries[i];
        entry->class = hf_read_u8(&reader);
        entry->generation = hf_read_u32(&reader);
        hf_read_bytes(&reader, entry->key.bytes, sizeof entry->key.bytes);
        hf_read_bytes(&reader, entry->meta.bytes, sizeof entry->meta.bytes);
        if (!entry_is_sound(keys, i))
            return HF_DAMAGED;
    }
    hf_read_bytes(&reader, keys->recovery_public, sizeof keys->recovery_public);
    hf_policy_read(&reader, &keys->policy);
    hf_read_bytes(&reader, keys->names_reserved, sizeof keys->names_reserved);
    hf_read_string(&reader, keys->sentence, sizeof keys->sentence);
    hf_read_bytes(&reader, keys->duress.bytes, sizeof keys->duress.bytes);
    if (keys->sentence[0] && !hf_sentence_is_sound(HF_SPAN(keys->sentence, strlen(keys->sentence))))
        return HF_DAMAGED;
    return hf_reader_end(&reader);
}

enum hf_result hf_keybag_keys_decode(struct hf_span bytes, struct hf_keybag_keys *ret)
{
    struct hf_keybag_keys keys = {0};
    enum hf_result result = decode_keys(bytes, &keys);
    if (result == HF_OK)
        *ret = keys;
    hf_wipe(&keys, sizeof keys);
    return result;
}
