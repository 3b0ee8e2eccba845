#include "element/software.h"

#include "base/writer.h"
#include "os/file.h"
#include "os/random.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

enum { AAD_LEN = 20 };

static void wrap_aad(const uint8_t vault_id[16], uint32_t slot, uint8_t out[AAD_LEN])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, AAD_LEN);
    hf_write_bytes(&writer, vault_id, 16);
    hf_write_u32(&writer, slot);
    HF_ASSERT(hf_writer_end(&writer) == HF_OK && writer.len == AAD_LEN);
}

enum hf_result hf_software_open(struct hf_software *element, int dir, const uint8_t vault_id[16], struct hf_error *error)
{
    enum hf_result result = hf_element_record_load(dir, &element->record);
    if (result == HF_NOT_FOUND)
        element->record = (struct hf_element_record){.state = HF_ELEMENT_EMPTY};
    else if (result != HF_OK || !hf_equal_ct(element->record.vault_id, vault_id, 16))
        return hf_fail(error, result == HF_OK ? HF_DAMAGED : result, "the element's record of this vault can't be used: damaged or of another vault");
    memcpy(element->record.vault_id, vault_id, 16);
    element->dir = dir;
    return HF_OK;
}

static void fill_slot(struct hf_element_record *record, uint32_t slot, const struct hf_element_auth *auth, struct hf_release_secret *ret_release)
{
    uint8_t aad[AAD_LEN];
    hf_random(ret_release->bytes, sizeof ret_release->bytes);
    hf_test_note_secret("release-secret", ret_release->bytes, sizeof ret_release->bytes);
    wrap_aad(record->vault_id, slot, aad);
    hf_wrap(HF_KDF_SOFT_ELEMENT, auth->bytes, HF_SPAN_OF(aad), HF_SPAN_OF(ret_release->bytes), record->slots[slot].wrap);
    record->slots[slot].used = true;
}

enum hf_result hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret_release)
{
    uint8_t aad[AAD_LEN];
    const struct hf_element_slot *slot = &record->slots[record->slot];
    if (!slot->used)
        return HF_DAMAGED;
    wrap_aad(record->vault_id, record->slot, aad);
    return hf_unwrap(HF_KDF_SOFT_ELEMENT, auth->bytes, HF_SPAN_OF(aad), HF_SPAN_OF(slot->wrap), ret_release->bytes);
}

/* The new record counts once it is on the disk. */
static enum hf_result adopt(struct hf_software *element, struct hf_element_record *next)
{
    enum hf_result result = hf_element_record_save(element->dir, next);
    if (result == HF_OK)
        element->record = *next;
    hf_wipe(next, sizeof *next);
    return result;
}

enum hf_result hf_software_provision(struct hf_software *element, const struct hf_element_auth *auth, const struct hf_policy *policy,
                                     struct hf_release_secret *ret_release)
{
    struct hf_element_record next = {.policy = *policy, .state = HF_ELEMENT_ACTIVE};
    memcpy(next.vault_id, element->record.vault_id, sizeof next.vault_id);
    hf_random(next.device.bytes, sizeof next.device.bytes);
    fill_slot(&next, 0, auth, ret_release);
    HF_TRY(adopt(element, &next));
    element->released = true; /* whoever provisions has the passcode */
    return HF_OK;
}

enum hf_result hf_software_prepare(struct hf_software *element, const struct hf_element_auth *auth, uint32_t *ret_slot, struct hf_release_secret *ret_release)
{
    if (!element->released)
        return HF_REFUSED;
    struct hf_element_record next = element->record;
    uint32_t slot = 1 - next.slot;
    fill_slot(&next, slot, auth, ret_release);
    HF_TRY(adopt(element, &next));
    *ret_slot = slot;
    return HF_OK;
}

enum hf_result hf_software_commit(struct hf_software *element, uint32_t slot)
{
    if (slot >= HF_ELEMENT_SLOTS || !element->record.slots[slot].used)
        return HF_DAMAGED;
    struct hf_element_record next = element->record;
    if (slot != next.slot) {
        next.failed = 0;
        next.delay_s = 0;
    }
    next.slot = slot;
    hf_wipe(&next.slots[1 - slot], sizeof next.slots[0]);
    return adopt(element, &next);
}

enum hf_result hf_software_step(struct hf_software *element, uint64_t generation)
{
    if (generation <= element->record.generation)
        return generation == element->record.generation ? HF_OK : HF_REFUSED;
    struct hf_element_record next = element->record;
    next.generation = generation;
    return adopt(element, &next);
}

enum hf_result hf_software_erase(struct hf_software *element)
{
    struct hf_element_record next = {.policy = element->record.policy, .generation = element->record.generation, .state = HF_ELEMENT_ERASED};
    memcpy(next.vault_id, element->record.vault_id, sizeof next.vault_id);
    hf_wipe(&element->record.device, sizeof element->record.device);
    hf_wipe(element->record.slots, sizeof element->record.slots);
    element->record.state = HF_ELEMENT_ERASED;
    element->released = false;
    /* The old bytes are overwritten where they lie, before the file that says so takes their place. */
    enum hf_result removed = hf_file_remove(element->dir, "element", true);
    enum hf_result saved = adopt(element, &next);
    return removed != HF_OK ? removed : saved;
}
