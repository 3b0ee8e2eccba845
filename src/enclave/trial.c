/* What the verbs with a passcode share: its way in, its judgement, what it opens. */
#include "enclave/trial.h"

#include <string.h>

#include "os/clock.h"
#include "os/random.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

enum { SECRET_WAIT_MS = 2000 /* secrets are sent before their verb */, FLOOR_LEN = 12, COUNTED_FLOOR_LEN = 6 };

void hf_cleanup_trial(struct hf_trial *trial)
{
    hf_wipe(trial, sizeof *trial);
}

enum hf_result hf_trial_take(struct hf_exchange *x, uint8_t kind, struct hf_passcode *ret)
{
    uint8_t bytes[HF_PASSCODE_MAX + 1];
    size_t len = 0;
    enum hf_result result = x->secret < 0 ? HF_PROTOCOL : hf_ipc_recv(x->secret, bytes, sizeof bytes, &len, NULL, 0, NULL, SECRET_WAIT_MS);
    if (result == HF_OK && (len < 2 || bytes[0] != kind))
        result = HF_PROTOCOL;
    if (result == HF_OK && kind != HF_SECRET_RECOVERY) {
        result = hf_passcode_normalize(bytes + 1, len - 1, ret);
        if (result == HF_OK)
            hf_test_note_secret("passcode", ret->bytes, ret->len);
    } else if (result == HF_OK) {
        ret->len = len - 1;
        memcpy(ret->bytes, bytes + 1, len - 1);
    }
    hf_wipe(bytes, sizeof bytes);
    return result == HF_OK ? HF_OK : hf_fail(&x->error, result, "the secret did not arrive as it should (%s)", hf_result_text(result));
}

enum hf_result hf_trial_take_sentence(struct hf_exchange *x, char out[HF_SENTENCE_MAX])
{
    uint8_t bytes[1 + HF_SENTENCE_MAX];
    size_t len = 0;
    enum hf_result result = x->secret < 0 ? HF_PROTOCOL : hf_ipc_recv(x->secret, bytes, sizeof bytes, &len, NULL, 0, NULL, SECRET_WAIT_MS);
    if (result == HF_OK && (len < 2 || bytes[0] != HF_SECRET_SENTENCE || !hf_sentence_is_sound(HF_SPAN(bytes + 1, len - 1))))
        result = HF_USAGE;
    if (result == HF_OK) {
        memset(out, 0, HF_SENTENCE_MAX);
        memcpy(out, bytes + 1, len - 1);
    }
    hf_wipe(bytes, sizeof bytes);
    return result == HF_OK ? HF_OK : hf_fail(&x->error, result, "a sentence is 1 to %d bytes of UTF-8 without control characters", HF_SENTENCE_MAX - 1);
}

enum hf_result hf_trial_give(struct hf_exchange *x, const struct hf_recovery_secret *secret)
{
    uint8_t bytes[1 + HF_RECOVERY_SECRET_LEN];
    bytes[0] = HF_SECRET_RECOVERY;
    memcpy(bytes + 1, secret->bytes, sizeof secret->bytes);
    enum hf_result result = hf_ipc_send(x->secret, HF_SPAN_OF(bytes), NULL, 0);
    hf_wipe(bytes, sizeof bytes);
    return result;
}

void hf_trial_make_phrase(const uint8_t vault_id[16], struct hf_keybag_keys *user, struct hf_recovery_secret *ret)
{
    hf_random(ret->bytes, sizeof ret->bytes);
    hf_test_note_secret("recovery-secret", ret->bytes, sizeof ret->bytes);
    hf_recovery_public(ret, vault_id, user->recovery_public);
}

static bool is_strong(const struct hf_passcode *passcode)
{
    bool digits = true;
    for (size_t i = 0; i < passcode->len; i++)
        digits = digits && passcode->bytes[i] >= '0' && passcode->bytes[i] <= '9';
    return passcode->len >= FLOOR_LEN && !digits;
}

/* The software element counts for nobody who copies its file: there the passcode is the whole strength [EL-12]. */
enum hf_result hf_trial_floor(const struct hf_passcode *passcode, uint32_t kind, struct hf_error *error)
{
    if (kind == HF_ELEMENT_TPM2 && passcode->len < COUNTED_FLOOR_LEN)
        return hf_fail(error, HF_REFUSED, "too short even for a TPM that counts: at least %d characters", COUNTED_FLOOR_LEN);
    if (kind != HF_ELEMENT_TPM2 && !is_strong(passcode))
        return hf_fail(error, HF_REFUSED, "too weak for the software element: at least %d bytes and not digits alone", FLOOR_LEN);
    return HF_OK;
}

bool hf_trial_may_swap(uint32_t kdf_memory_kib)
{
    return hf_secret_machine_swaps() && !hf_secret_big_lockable((size_t)kdf_memory_kib * 1024);
}

/* The arena's first blocks are a fast hash of the passcode: in swap they would be tried without the TPM's count [EL-16]. */
enum hf_result hf_trial_swap(const struct hf_passcode *passcode, const struct hf_derived *d, struct hf_error *error)
{
    if (d->arena_locked || is_strong(passcode) || !hf_secret_machine_swaps())
        return HF_OK;
    return hf_fail(error, HF_REFUSED, "this machine swaps, and Argon2id's memory can't be locked: raise the limit on locked memory (ulimit -l), or take at least "
                   "%d bytes and not digits alone", FLOOR_LEN);
}

enum hf_result hf_trial_derive(const struct hf_passcode *passcode, const struct hf_public_header *header, struct hf_derived *d, struct hf_error *error)
{
    struct hf_argon_cost cost = {header->kdf_memory_kib, header->kdf_passes, header->kdf_lanes};
    enum hf_result result = hf_argon_derive(passcode, header->salt, &cost, &d->auth, &d->half, &d->arena_locked);
    if (result == HF_OK)
        hf_duress_derive(&d->auth, header->vault_id, &d->second);
    return result == HF_OK ? HF_OK : hf_fail(error, result, "Argon2id with %u KiB: %s", cost.memory_kib, hf_result_text(result));
}

void hf_trial_kek(struct hf_derived *d, const uint8_t vault_id[16])
{
    struct hf_span info[] = {HF_SPAN_OF(d->half.bytes), HF_SPAN(vault_id, 16)};
    hf_kdf(HF_KDF_KEK, d->release.bytes, info, 2, d->kek.bytes, sizeof d->kek.bytes);
    hf_test_note_secret("kek", d->kek.bytes, sizeof d->kek.bytes);
}

enum hf_result hf_trial_judge(struct hf_enclave *e, const struct hf_passcode *passcode, struct hf_derived *d, struct hf_keybag_keys *ret_user, struct hf_error *error)
{
    HF_TRY(hf_keystore_refresh(e, error));
    HF_TRY(hf_link_status(e, error));
    /* A change whose last step failed, without a restart since: the element would hold the passcode against the slot before, and count it. */
    if (e->element.state == HF_ELEMENT_ACTIVE && (e->element.slot != e->header.element_slot || e->element.generation < e->header.generation))
        HF_TRY(hf_keystore_catch_up(e, error));
    if (e->element.state == HF_ELEMENT_EMPTY)
        return hf_fail(error, HF_UNREACHABLE, "the element of this machine does not know this vault (or its TPM was cleared): `holdfast recover`");
    if (e->element.state != HF_ELEMENT_ACTIVE)
        return hf_fail(error, HF_GONE, "the element gives nothing any more (limit of guesses reached, or erased)");
    if (e->element.retry_after_s > 0)
        return hf_fail(error, HF_DELAYED, "not judged and not counted: try again in %u s", e->element.retry_after_s);
    if (hf_cache_has(e, passcode))
        return hf_fail(error, HF_WRONG_PASSCODE, "wrong, as before: the same try was not counted again (%u failed)", e->element.failed);
    HF_TRY(hf_trial_derive(passcode, &e->header, d, error));
    bool duress = false;
    uint64_t asked_ms = hf_clock_ms();
    enum hf_result result = hf_link_release(e, &d->auth, &d->second, &d->release, &duress, error);
    if (result == HF_WRONG_PASSCODE || result == HF_GONE) {
        hf_cache_put(e, passcode);
        if (duress)
            hf_duress_burn(e);
        hf_duress_even_out(e, asked_ms);
    }
    if (result == HF_WRONG_PASSCODE)
        return hf_fail(error, result, "wrong passcode: %u failed of %u (0: no limit), next try in %u s", e->element.failed, e->element.limit,
                       e->element.retry_after_s);
    if (result == HF_OK)
        result = hf_link_status(e, error);
    HF_TRY(result);
    hf_trial_kek(d, e->header.vault_id);
    return hf_keystore_open_user(&d->kek, ret_user, error);
}

void hf_trial_unlocked(struct hf_enclave *e, const struct hf_keybag_keys *user, const struct hf_derived *d)
{
    e->user_keys = *user;
    e->kek = d->kek;
    e->kek_there = true;
    e->unlocked_once = true;
    e->available = e->meta = HF_CLASS_BIT(HF_CLASS_COMPLETE) | HF_CLASS_BIT(HF_CLASS_UNLESS_OPEN) | HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK) |
                             HF_CLASS_BIT(HF_CLASS_ALWAYS);
    hf_enclave_expect(e, false);
    hf_cache_clear(e);
#ifdef HF_TESTING
    for (uint32_t i = 0; i < user->count; i++)
        hf_test_note_secret(hf_class_name(user->entries[i].class), user->entries[i].key.bytes, HF_CLASS_KEY_LEN);
#endif
}

enum hf_result hf_trial_save(struct hf_enclave *e, const struct hf_public_header *header, const struct hf_keybag_keys *user, const struct hf_kek *kek,
                                bool commit, struct hf_error *error)
{
    enum hf_result result = hf_keystore_save(header, user, &e->device_keys, kek, &e->device_key, error);
    if (result == HF_OK || hf_keystore_is_there(header))
        e->header = *header; /* the element follows before the next try, if not now */
    HF_TRY(result);
    if (commit)
        HF_TRY(hf_link_commit(e, header->element_slot, error));
    return hf_link_step(e, header->generation, error);
}

bool hf_trial_is_saved(const struct hf_enclave *e, const struct hf_public_header *header)
{
    return e->header.generation == header->generation;
}
