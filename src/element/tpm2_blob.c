#include "element/tpm2_blob.h"

#include <sodium.h>

#include "base/reader.h"
#include "base/writer.h"
#include "keys/wipe.h"
#include "os/file.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

enum { FORMAT = 3, SEALS = 2, NOTE_MAX = 512, CHECKSUM_LEN = 32 };
static const uint8_t magic[8] = {'H', 'F', 'T', 'P', 'M', '2', '0', '2'};

static void write_pin(struct hf_writer *writer, const struct hf_tpm2_pin *pin)
{
    hf_write_u8(writer, pin->used ? 1 : 0);
    hf_write_u32(writer, pin->handle);
    hf_write_bytes(writer, pin->gate_value, sizeof pin->gate_value);
    hf_write_bytes(writer, pin->gate_key, sizeof pin->gate_key);
}

static void read_pin(struct hf_reader *reader, struct hf_tpm2_pin *ret)
{
    ret->used = hf_read_bool(reader);
    ret->handle = hf_read_u32(reader);
    hf_read_bytes(reader, ret->gate_value, sizeof ret->gate_value);
    hf_read_bytes(reader, ret->gate_key, sizeof ret->gate_key);
}

static void write_sealed(struct hf_writer *writer, const struct hf_tpm2_sealed *sealed)
{
    hf_write_span16(writer, HF_SPAN(sealed->public, sealed->public_len));
    hf_write_span16(writer, HF_SPAN(sealed->private, sealed->private_len));
}

static void read_sealed(struct hf_reader *reader, struct hf_tpm2_sealed *ret)
{
    struct hf_span public = hf_read_view16(reader, sizeof ret->public);
    struct hf_span private = hf_read_view16(reader, sizeof ret->private);
    if (reader->failed)
        return;
    ret->public_len = public.len;
    ret->private_len = private.len;
    if (public.len > 0)
        memcpy(ret->public, public.data, public.len);
    if (private.len > 0)
        memcpy(ret->private, private.data, private.len);
}

static void write_seal(struct hf_writer *writer, const struct hf_tpm2_seal *seal)
{
    hf_measure_write(writer, &seal->measure);
    write_sealed(writer, &seal->release);
    write_sealed(writer, &seal->device);
}

/* [EL-22] */
static void read_seals(struct hf_reader *reader, struct hf_tpm2_blob *ret)
{
    ret->seal_count = hf_read_u8(reader);
    if (ret->seal_count < 1 || ret->seal_count > SEALS) {
        ret->seal_count = 1;
        hf_reader_reject(reader);
    }
    for (uint32_t i = 0; i < ret->seal_count; i++) {
        hf_measure_read(reader, &ret->seals[i].measure);
        read_sealed(reader, &ret->seals[i].release);
        read_sealed(reader, &ret->seals[i].device);
    }
    const struct hf_measure *a = &ret->seals[0].measure, *b = &ret->seals[1].measure;
    if (ret->seal_count == SEALS && (a->mask == 0 || a->mask != b->mask || hf_measure_difference(a, b) == 0))
        hf_reader_reject(reader);
}

enum hf_result hf_tpm2_blob_encode(const struct hf_tpm2_blob *blob, uint8_t *out, size_t cap, size_t *ret_len)
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, cap);
    hf_write_u32(&writer, FORMAT);
    hf_write_u32(&writer, blob->slot);
    hf_write_u32(&writer, blob->policy.attempts);
    hf_write_u32(&writer, blob->policy.delay_count);
    for (uint32_t i = 0; i < blob->policy.delay_count && i < HF_KEYBAG_DELAYS_MAX; i++)
        hf_write_u32(&writer, blob->policy.delay_s[i]);
    hf_write_bytes(&writer, blob->srk_name, sizeof blob->srk_name);
    hf_write_u32(&writer, blob->counter);
    hf_write_u32(&writer, blob->generation_counter);
    hf_write_u32(&writer, blob->head_counter);
    hf_write_u64(&writer, blob->birth_count);
    hf_write_u64(&writer, blob->birth_generation);
    hf_write_u32(&writer, blob->pace_ms);
    write_pin(&writer, &blob->pin);
    write_pin(&writer, &blob->before);
    write_pin(&writer, &blob->second);
    write_pin(&writer, &blob->second_before);
    HF_ASSERT(blob->seal_count >= 1 && blob->seal_count <= SEALS);
    hf_write_u8(&writer, (uint8_t)blob->seal_count);
    for (uint32_t i = 0; i < blob->seal_count; i++)
        write_seal(&writer, &blob->seals[i]);
    hf_write_u8(&writer, blob->trust);
    hf_write_string(&writer, blob->trust_why);
    HF_TRY(hf_writer_end(&writer));
    *ret_len = writer.len;
    return HF_OK;
}

/* NV indices have handles 0x01000000 to 0x01ffffff. */
static bool is_nv(uint32_t handle)
{
    return handle >> 24 == 1;
}

static bool is_sound(const struct hf_tpm2_pin *pin, bool needed)
{
    return pin->used ? is_nv(pin->handle) : !needed;
}

/* It stands in JSON and on terminals. */
static bool is_quiet(const char *text)
{
    for (; *text; text++) {
        if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
            return false;
    }
    return true;
}

enum hf_result hf_tpm2_blob_decode(struct hf_span bytes, struct hf_tpm2_blob *ret)
{
    struct hf_tpm2_blob blob = {0};
    struct hf_reader reader;
    hf_reader_init(&reader, bytes);
    if (hf_read_u32(&reader) != FORMAT)
        hf_reader_reject(&reader);
    blob.slot = hf_read_u32(&reader);
    blob.policy.attempts = hf_read_u32(&reader);
    blob.policy.delay_count = hf_read_u32(&reader);
    if (blob.slot > 1 || blob.policy.attempts == 0 || blob.policy.delay_count > HF_KEYBAG_DELAYS_MAX) {
        hf_reader_reject(&reader);
        blob.policy.delay_count = 0;
    }
    for (uint32_t i = 0; i < blob.policy.delay_count; i++)
        blob.policy.delay_s[i] = hf_read_u32(&reader);
    hf_read_bytes(&reader, blob.srk_name, sizeof blob.srk_name);
    blob.counter = hf_read_u32(&reader);
    blob.generation_counter = hf_read_u32(&reader);
    blob.head_counter = hf_read_u32(&reader);
    blob.birth_count = hf_read_u64(&reader);
    blob.birth_generation = hf_read_u64(&reader);
    blob.pace_ms = hf_read_u32(&reader);
    read_pin(&reader, &blob.pin);
    read_pin(&reader, &blob.before);
    read_pin(&reader, &blob.second);
    read_pin(&reader, &blob.second_before);
    read_seals(&reader, &blob);
    blob.trust = hf_read_u8(&reader);
    hf_read_string(&reader, blob.trust_why, sizeof blob.trust_why);
    if (blob.trust > 2 || !is_quiet(blob.trust_why))
        hf_reader_reject(&reader);
    if (!is_sound(&blob.pin, true) || !is_sound(&blob.before, false) || !is_sound(&blob.second, true) || !is_sound(&blob.second_before, false) || !is_nv(blob.counter) ||
        !is_nv(blob.generation_counter) || !is_nv(blob.head_counter) || blob.pace_ms > HF_TPM2_PACE_MAX_MS)
        hf_reader_reject(&reader);
    HF_TRY(hf_reader_end(&reader));
    *ret = blob;
    return HF_OK;
}

/* Tells an accident, nothing more. */
static void checksum(struct hf_span bytes, uint8_t out[CHECKSUM_LEN])
{
    (void)crypto_generichash(out, CHECKSUM_LEN, bytes.data, bytes.len, NULL, 0);
}

enum hf_result hf_tpm2_note_save(int dir, const struct hf_tpm2_note *note)
{
    uint8_t bytes[NOTE_MAX], sum[CHECKSUM_LEN];
    struct hf_writer writer;
    hf_writer_init(&writer, bytes, sizeof bytes);
    hf_write_bytes(&writer, magic, sizeof magic);
    hf_write_bytes(&writer, note->vault_id, sizeof note->vault_id);
    hf_write_u8(&writer, note->erased ? 1 : 0);
    hf_write_bytes(&writer, note->boot_id, sizeof note->boot_id);
    hf_write_u64(&writer, note->delay_until_ms);
    hf_write_u32(&writer, note->delay_count);
    write_pin(&writer, &note->doing);
    write_pin(&writer, &note->doing_second);
    hf_write_u32(&writer, note->doing_counter);
    checksum(hf_writer_span(&writer), sum);
    hf_write_bytes(&writer, sum, sizeof sum);
    HF_TRY(hf_writer_end(&writer));
    return hf_file_replace(dir, "tpm2", hf_writer_span(&writer));
}

enum hf_result hf_tpm2_note_load(int dir, struct hf_tpm2_note *ret)
{
    uint8_t bytes[NOTE_MAX], sum[CHECKSUM_LEN];
    size_t len = 0;
    struct hf_tpm2_note note = {0};
    struct hf_reader reader;
    enum hf_result read = hf_file_read(dir, "tpm2", bytes, sizeof bytes, &len);
    HF_TRY(read == HF_TOO_LARGE ? HF_DAMAGED : read);
    if (len < sizeof magic + CHECKSUM_LEN || !hf_equal_ct(bytes, magic, sizeof magic))
        return HF_DAMAGED;
    checksum(HF_SPAN(bytes, len - CHECKSUM_LEN), sum);
    if (!hf_equal_ct(sum, bytes + len - CHECKSUM_LEN, sizeof sum))
        return HF_DAMAGED;
    hf_reader_init(&reader, HF_SPAN(bytes, len - CHECKSUM_LEN));
    (void)hf_read_view(&reader, sizeof magic);
    hf_read_bytes(&reader, note.vault_id, sizeof note.vault_id);
    note.erased = hf_read_bool(&reader);
    hf_read_bytes(&reader, note.boot_id, sizeof note.boot_id);
    note.delay_until_ms = hf_read_u64(&reader);
    note.delay_count = hf_read_u32(&reader);
    read_pin(&reader, &note.doing);
    read_pin(&reader, &note.doing_second);
    note.doing_counter = hf_read_u32(&reader);
    HF_TRY(hf_reader_end(&reader));
    *ret = note;
    return HF_OK;
}
