/* The tpm2 element's verbs. Each opens the TPM, compares what is pinned [EL-3], does its work and leaves nothing behind [EL-10]. */
#include "element/tpm2_part.h"

#include <stdio.h>
#include <string.h>

#include "element/tpm2_measure.h"
#include "element/tpm2_seal.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

enum { STEPS_MAX = 10000, FRESH_MS = 250 };

static bool same_srk(const struct hf_tpm *tpm, const struct hf_tpm2_blob *blob)
{
    return tpm->srk_name.size == sizeof blob->srk_name && hf_equal_ct(tpm->srk_name.name, blob->srk_name, sizeof blob->srk_name);
}

enum hf_result hf_tpm2_find(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, uint32_t counter, ESYS_TR *ret_index,
                               enum hf_nv_found *ret_found, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    hf_tpm2_pin_public(pin, counter, t->vault_id, &public);
    return hf_nv_find(tpm, &public, ret_index, ret_found, error);
}

bool hf_tpm2_is_pin(const struct hf_tpm2_pin *a, const struct hf_tpm2_pin *b)
{
    return a->used && b->used && a->handle == b->handle && hf_equal_ct(a->gate_key, b->gate_key, sizeof a->gate_key);
}

/* --- what is there --- */

static enum hf_result look_for_rest(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    const struct hf_tpm2_pin *rests[] = {&t->blob.before, &t->note.doing, &t->blob.second_before, &t->note.doing_second};
    const struct hf_tpm2_pin *kept[] = {&t->blob.pin, &t->blob.pin, &t->blob.second, &t->blob.second};
    const uint32_t counters[] = {t->blob.counter, t->note.doing_counter, t->blob.counter, t->note.doing_counter};
    ESYS_TR index;
    enum hf_nv_found found;
    t->unfinished = false;
    for (int i = 0; i < 4; i++) {
        if (!rests[i]->used || hf_tpm2_is_pin(rests[i], kept[i]))
            continue;
        HF_TRY(hf_tpm2_find(t, tpm, rests[i], counters[i], &index, &found, error));
        t->unfinished = t->unfinished || found == HF_NV_OURS || found == HF_NV_UNWRITTEN;
    }
    return HF_OK;
}

/* H, which counts the head [FR-13]. */
static enum hf_result look_at_head(struct hf_tpm2 *t, struct hf_tpm *tpm, ESYS_TR *ret_index, enum hf_nv_found *ret_found, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    hf_tpm2_counter_public(HF_TPM2_HEAD_COUNTER, t->vault_id, t->blob.head_counter, &public);
    HF_TRY(hf_nv_find(tpm, &public, ret_index, ret_found, error));
    t->head_counted = *ret_found == HF_NV_OURS;
    t->head_count = 0;
    return t->head_counted ? hf_nv_counter_read(tpm, *ret_index, &t->head_count, error) : HF_OK;
}

/* The keybag's generation as G counts it [EL-6]. */
static enum hf_result look_at_generation(struct hf_tpm2 *t, struct hf_tpm *tpm, ESYS_TR *ret_index, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    enum hf_nv_found found;
    uint64_t value;
    hf_tpm2_counter_public(HF_TPM2_GENERATION_COUNTER, t->vault_id, t->blob.generation_counter, &public);
    HF_TRY(hf_nv_find(tpm, &public, ret_index, &found, error));
    t->uncounted = found != HF_NV_OURS;
    if (t->uncounted)
        return HF_OK;
    HF_TRY(hf_nv_counter_read(tpm, *ret_index, &value, error));
    t->uncounted = value < t->blob.birth_count;
    t->generation = value - t->blob.birth_count + t->blob.birth_generation;
    return HF_OK;
}

/* Without P: the generation's counter tells an erased vault, which has neither, from one whose P alone is gone. */
static enum hf_result look_without_pin(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    ESYS_TR index;
    HF_TRY(look_at_generation(t, tpm, &index, error));
    t->lost = !t->uncounted && !t->note.erased;
    t->state = t->lost ? HF_ELEMENT_ACTIVE : HF_ELEMENT_ERASED;
    return HF_OK;
}

/* Sets state and count. *ret_index is P when state is ACTIVE or FINISHED and it is neither lost nor replaced. */
static enum hf_result look_at_pin(struct hf_tpm2 *t, struct hf_tpm *tpm, ESYS_TR *ret_index, struct hf_error *error)
{
    enum hf_nv_found found;
    uint32_t limit;
    t->replaced = t->lost = false;
    t->count = 0;
    if (!t->known || !same_srk(tpm, &t->blob)) {
        t->state = t->note.erased ? HF_ELEMENT_ERASED : HF_ELEMENT_EMPTY;
        return HF_OK;
    }
    HF_TRY(hf_tpm2_find(t, tpm, &t->blob.pin, t->blob.counter, ret_index, &found, error));
    if (found == HF_NV_ABSENT || found == HF_NV_UNWRITTEN)
        return look_without_pin(t, tpm, error);
    t->replaced = found == HF_NV_FOREIGN;
    t->state = HF_ELEMENT_ACTIVE;
    if (t->replaced)
        return HF_OK;
    HF_TRY(hf_nv_pin_read(tpm, *ret_index, &t->count, &limit, error));
    if (limit != t->blob.policy.attempts)
        return hf_fail(error, HF_DAMAGED, "the TPM's limit is %u, the keybag's %u", limit, t->blob.policy.attempts);
    t->state = t->count >= limit ? HF_ELEMENT_FINISHED : HF_ELEMENT_ACTIVE;
    return HF_OK;
}

enum hf_result hf_tpm2_look(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    ESYS_TR index;
    if (t->vendor[0] == '\0')
        HF_TRY(hf_tpm_vendor(tpm, t->vendor, sizeof t->vendor, error));
    HF_TRY(look_at_pin(t, tpm, &index, error));
    if (t->state == HF_ELEMENT_EMPTY || t->state == HF_ELEMENT_ERASED)
        return HF_OK;
    enum hf_nv_found found;
    HF_TRY(look_at_generation(t, tpm, &index, error));
    HF_TRY(look_at_head(t, tpm, &index, &found, error));
    HF_TRY(hf_tpm2_look_at_second(t, tpm, error));
    HF_TRY(hf_measure_look(t, tpm, error));
    return look_for_rest(t, tpm, error);
}

enum hf_result hf_tpm2_refresh(struct hf_tpm2 *t, struct hf_error *error)
{
    struct hf_tpm tpm;
    if (t->looked_at_ms != 0 && hf_clock_ms() - t->looked_at_ms < FRESH_MS)
        return HF_OK;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = hf_tpm2_look(t, &tpm, error);
    hf_tpm_close(&tpm);
    t->looked_at_ms = result == HF_OK ? hf_clock_ms() : 0;
    return result;
}

enum hf_result hf_tpm2_take_tcti(struct hf_tpm2 *t, const char *tcti)
{
    int len = snprintf(t->tcti, sizeof t->tcti, "%s", tcti);
    return len >= 0 && (size_t)len < sizeof t->tcti ? HF_OK : HF_TOO_LARGE;
}

enum hf_result hf_tpm2_open(struct hf_tpm2 *t, int roots, int dir, const uint8_t vault_id[16], const char *tcti, struct hf_span blob,
                            struct hf_error *error)
{
    struct hf_tpm2 fresh = {.roots = roots, .dir = dir};
    memcpy(fresh.vault_id, vault_id, sizeof fresh.vault_id);
    HF_TRY(hf_tpm2_take_tcti(&fresh, tcti));
    if (blob.len > 0) {
        if (hf_tpm2_blob_decode(blob, &fresh.blob) != HF_OK)
            return hf_fail(error, HF_DAMAGED, "keybag (.holdfast/keybag): the TPM element's part is malformed");
        fresh.known = true;
    }
    /* A note that can't be read is as one that is missing. */
    if (hf_tpm2_note_load(dir, &fresh.note) != HF_OK || !hf_equal_ct(fresh.note.vault_id, vault_id, 16)) {
        fresh.note = (struct hf_tpm2_note){.erased = false};
        memcpy(fresh.note.vault_id, vault_id, 16);
    }
    HF_TRY(hf_tpm2_refresh(&fresh, error));
    *t = fresh;
    return HF_OK;
}

/* --- using --- */

/* P is whole, or the reason why nothing is to be sent there. */
static enum hf_result trusted(struct hf_tpm2 *t, struct hf_tpm *tpm, ESYS_TR *ret_pin, struct hf_error *error)
{
    ESYS_TR index;
    HF_TRY(look_at_pin(t, tpm, ret_pin, error));
    if (t->state == HF_ELEMENT_EMPTY)
        return hf_fail(error, HF_UNREACHABLE, "this TPM is not the vault's, or it was cleared: `holdfast recover` opens it with the recovery phrase");
    if (t->state == HF_ELEMENT_ERASED)
        return hf_fail(error, HF_GONE, "the TPM's index of this vault is gone: erased; the recovery phrase opens it if the keybag is there");
    if (t->replaced)
        return hf_fail(error, HF_DAMAGED, "the TPM's index 0x%08x was replaced: no passcode is sent there; `holdfast recover` needs the recovery phrase",
                       t->blob.pin.handle);
    if (t->lost)
        return hf_fail(error, HF_DAMAGED, "the TPM has no index 0x%08x, which this keybag names: an older keybag was put back, or another user of the TPM "
                       "destroyed it; else `holdfast recover`", t->blob.pin.handle);
    HF_TRY(look_at_generation(t, tpm, &index, error));
    if (t->uncounted)
        return hf_fail(error, HF_DAMAGED, "the TPM's index 0x%08x, which counts the keybag's generation, was destroyed or replaced; `holdfast recover`",
                       t->blob.generation_counter);
    return HF_OK;
}

static enum hf_result try_release(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                  struct hf_release_secret *ret, uint32_t *ret_failed_before, struct hf_error *error)
{
    ESYS_TR pin;
    uint32_t wait_s, limit, before;
    struct hf_error ignored;
    HF_TRY(trusted(t, tpm, &pin, error));
    HF_TRY(hf_measure_look(t, tpm, error));
    HF_TRY(hf_measure_must_fit(t, error));
    if (t->state == HF_ELEMENT_FINISHED)
        return hf_fail(error, HF_GONE, "the limit of guesses is reached: the TPM gives nothing any more; the recovery phrase opens it");
    HF_TRY(hf_tpm2_delay(t, t->count, &wait_s));
    if (wait_s > 0)
        return HF_DELAYED;
    HF_TRY(hf_tpm2_look_at_second(t, tpm, error));
    before = t->count;
    enum hf_result result = hf_unseal_release(tpm, pin, auth, hf_measure_seal(t), ret, error);
    if (result == HF_OK) {
        *ret_failed_before = before;
        t->count = 0;
        t->released = true;
        return HF_OK;
    }
    if (result != HF_WRONG_PASSCODE)
        return result;
    if (hf_nv_pin_read(tpm, pin, &t->count, &limit, &ignored) != HF_OK)
        t->count = before + 1;
    t->duress = hf_tpm2_ask_second(t, tpm, duress); /* [DU-3] whatever P's count is now */
    if (t->count >= t->blob.policy.attempts) {
        t->state = HF_ELEMENT_FINISHED;
        return hf_fail(error, HF_GONE, "wrong, and the last: the TPM gives nothing any more; the recovery phrase opens it");
    }
    /* Starts the delay; when it can't be written the next try starts it afresh. */
    return hf_tpm2_delay(t, t->count, &wait_s) == HF_OK ? HF_WRONG_PASSCODE : hf_fail(error, HF_WRONG_PASSCODE, "wrong, and counted; its delay can't be noted");
}

enum hf_result hf_tpm2_release(struct hf_tpm2 *t, const struct hf_element_auth *auth, const struct hf_duress_auth *duress, struct hf_release_secret *ret,
                               uint32_t *ret_failed_before, struct hf_error *error)
{
    struct hf_tpm tpm;
    t->duress = false;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = try_release(t, &tpm, auth, duress, ret, ret_failed_before, error);
    hf_tpm_close(&tpm);
    t->looked_at_ms = result == HF_OK || result == HF_WRONG_PASSCODE || result == HF_GONE ? hf_clock_ms() : 0;
    return result;
}

static enum hf_result unseal_device(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_device_secret *ret, struct hf_error *error)
{
    ESYS_TR pin;
    HF_TRY(trusted(t, tpm, &pin, error));
    HF_TRY(hf_measure_look(t, tpm, error));
    HF_TRY(hf_measure_must_fit(t, error));
    return hf_unseal_device(tpm, pin, t->blob.policy.attempts, hf_measure_seal(t), ret, error);
}

enum hf_result hf_tpm2_device(struct hf_tpm2 *t, struct hf_device_secret *ret, struct hf_error *error)
{
    struct hf_tpm tpm;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = unseal_device(t, &tpm, ret, error);
    hf_tpm_close(&tpm);
    return result;
}

/* --- change of passcode, sealing anew --- */

/* What an earlier change left: at the note's P and at the one before. */
static enum hf_result drop_rest(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    if (!hf_tpm2_is_pin(&t->note.doing, &t->blob.pin))
        HF_TRY(hf_tpm2_drop_pin(t, tpm, &t->note.doing, t->note.doing_counter, error));
    if (!hf_tpm2_is_pin(&t->blob.before, &t->blob.pin))
        HF_TRY(hf_tpm2_drop_pin(t, tpm, &t->blob.before, t->blob.counter, error));
    if (!hf_tpm2_is_pin(&t->note.doing_second, &t->blob.second))
        HF_TRY(hf_tpm2_drop_pin(t, tpm, &t->note.doing_second, t->note.doing_counter, error));
    if (!hf_tpm2_is_pin(&t->blob.second_before, &t->blob.second))
        HF_TRY(hf_tpm2_drop_pin(t, tpm, &t->blob.second_before, t->blob.counter, error));
    t->unfinished = false;
    return HF_OK;
}

static enum hf_result prepare(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_auths *auths, const struct hf_seal_request *seal,
                              struct hf_tpm2_blob *next, struct hf_grant *ret, struct hf_error *error)
{
    struct hf_error ignored;
    HF_TRY(unseal_device(t, tpm, &ret->device, error));
    HF_TRY(hf_measure_plan(t, tpm, seal, next, error));
    HF_TRY(drop_rest(t, tpm, error));
    next->slot = 1 - t->blob.slot;
    next->before = t->blob.pin;
    next->second_before = t->blob.second;
    enum hf_result result = hf_tpm2_make_grant(t, tpm, auths, next, ret, error);
    if (result == HF_OK && seal->measure != HF_MEASURE_KEEP)
        result = hf_tpm2_prove_present(t, tpm, next, error);
    if (result == HF_OK)
        result = hf_tpm2_hand_over(next, ret, error);
    if (result != HF_OK) { /* a new one alone is `used` here */
        (void)hf_tpm2_drop_pin(t, tpm, &next->pin, next->counter, &ignored);
        (void)hf_tpm2_drop_pin(t, tpm, &next->second, next->counter, &ignored);
    }
    return result;
}

enum hf_result hf_tpm2_prepare(struct hf_tpm2 *t, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                               const struct hf_seal_request *seal, struct hf_grant *ret, struct hf_error *error)
{
    struct hf_tpm tpm;
    const struct hf_tpm2_auths auths = {.first = auth, .second = duress};
    struct hf_tpm2_blob next = t->blob;
    if (!t->released)
        return HF_REFUSED;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = prepare(t, &tpm, &auths, seal, &next, ret, error);
    hf_tpm_close(&tpm);
    HF_TRY(result);
    t->next = next;
    t->changing = true;
    return HF_OK;
}

static enum hf_result commit(struct hf_tpm2 *t, struct hf_tpm *tpm, uint32_t slot, struct hf_error *error)
{
    static const struct hf_tpm2_pin none;
    if (!same_srk(tpm, &t->blob))
        return hf_fail(error, HF_UNREACHABLE, "this TPM is not the vault's");
    if (t->changing && slot == t->next.slot) {
        t->blob = t->next;
        t->changing = false;
    } else if (slot != t->blob.slot) {
        return HF_DAMAGED;
    }
    HF_TRY(drop_rest(t, tpm, error));
    t->changing = false;
    if (hf_tpm2_note_doing(t, &none, &none, 0) != HF_OK)
        return hf_fail(error, HF_IO, "the element's note can't be written");
    return hf_tpm2_look(t, tpm, error);
}

enum hf_result hf_tpm2_commit(struct hf_tpm2 *t, uint32_t slot, struct hf_error *error)
{
    struct hf_tpm tpm;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = commit(t, &tpm, slot, error);
    hf_tpm_close(&tpm);
    return result;
}

static enum hf_result step(struct hf_tpm2 *t, struct hf_tpm *tpm, uint64_t generation, struct hf_error *error)
{
    ESYS_TR pin, counter;
    HF_TRY(trusted(t, tpm, &pin, error));
    if (generation < t->generation)
        return HF_REFUSED;
    if (generation - t->generation > STEPS_MAX)
        return hf_fail(error, HF_REFUSED, "the keybag's generation is %llu steps ahead of the TPM's: more than a vault's life makes",
                       (unsigned long long)(generation - t->generation));
    HF_TRY(look_at_generation(t, tpm, &counter, error));
    for (uint64_t left = generation - t->generation; left > 0; left--)
        HF_TRY(hf_nv_counter_step(tpm, counter, error));
    return look_at_generation(t, tpm, &counter, error);
}

enum hf_result hf_tpm2_step(struct hf_tpm2 *t, uint64_t generation, struct hf_error *error)
{
    struct hf_tpm tpm;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = step(t, &tpm, generation, error);
    hf_tpm_close(&tpm);
    return result;
}

/* --- H, the head's counter --- */

/* One that another user of the TPM destroyed is made again, at its handle: a new counter never starts below an old value. */
static enum hf_result step_head(struct hf_tpm2 *t, struct hf_tpm *tpm, uint64_t value, bool anew, struct hf_error *error)
{
    ESYS_TR index;
    enum hf_nv_found found;
    TPM2B_NV_PUBLIC public;
    HF_TRY(trusted(t, tpm, &index, error));
    HF_TRY(look_at_head(t, tpm, &index, &found, error));
    if (!t->head_counted && !anew)
        return hf_fail(error, HF_DAMAGED, "the TPM's index 0x%08x, which counts the head, was destroyed or replaced", t->blob.head_counter);
    if (found == HF_NV_FOREIGN)
        return hf_fail(error, HF_FAILED, "the TPM's index 0x%08x is another's now: nothing counts this vault's head until it is free (tpm2_nvundefine)", t->blob.head_counter);
    hf_tpm2_counter_public(HF_TPM2_HEAD_COUNTER, t->vault_id, t->blob.head_counter, &public);
    if (found == HF_NV_ABSENT && hf_nv_define(tpm, &public, NULL, &index, error) != HF_OK)
        return hf_fail(error, HF_FAILED, "the TPM's index 0x%08x, which counts the head, can't be made again", t->blob.head_counter);
    if (!t->head_counted)
        HF_TRY(hf_nv_counter_step(tpm, index, error));
    HF_TRY(hf_nv_counter_read(tpm, index, &t->head_count, error));
    t->head_counted = true;
    if (value > t->head_count && value - t->head_count > STEPS_MAX)
        return hf_fail(error, HF_REFUSED, "the head is %llu steps ahead of the TPM's count: more than a vault's life makes", (unsigned long long)(value - t->head_count));
    for (; t->head_count < value; t->head_count++)
        HF_TRY(hf_nv_counter_step(tpm, index, error));
    return hf_nv_counter_read(tpm, index, &t->head_count, error);
}

enum hf_result hf_tpm2_step_head(struct hf_tpm2 *t, uint64_t value, bool anew, struct hf_error *error)
{
    struct hf_tpm tpm;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = step_head(t, &tpm, value, anew, error);
    hf_tpm_close(&tpm);
    return result;
}

/* --- erase --- */

static enum hf_result erase(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    struct hf_tpm2_note note = {.erased = true};
    memcpy(note.vault_id, t->vault_id, sizeof note.vault_id);
    enum hf_result result = HF_OK;
    if (t->known)
        result = hf_tpm2_drop_all(t, tpm, &t->blob, error);
    if (result == HF_OK && t->changing)
        result = hf_tpm2_drop_all(t, tpm, &t->next, error);
    if (result == HF_OK)
        result = hf_tpm2_drop_pin(t, tpm, &t->note.doing, t->note.doing_counter, error);
    if (result == HF_OK)
        result = hf_tpm2_drop_pin(t, tpm, &t->note.doing_second, t->note.doing_counter, error);
    HF_TRY(result);
    hf_wipe(&t->next, sizeof t->next);
    t->changing = t->released = t->unfinished = t->replaced = false;
    t->state = HF_ELEMENT_ERASED;
    t->note = note;
    return hf_tpm2_note_save(t->dir, &note) == HF_OK ? HF_OK : hf_fail(error, HF_IO, "erased in the TPM; the element's note of it can't be written");
}

enum hf_result hf_tpm2_erase(struct hf_tpm2 *t, struct hf_error *error)
{
    struct hf_tpm tpm;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = erase(t, &tpm, error);
    hf_tpm_close(&tpm);
    return result;
}
