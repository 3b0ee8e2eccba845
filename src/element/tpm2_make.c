/* What the tpm2 element makes in the TPM: counters, P and Q, the seals; and how all that goes again. Source: spec/50-element.md, spec/51-duress.md. */
#include "element/tpm2_part.h"

#include <stdio.h>
#include <string.h>

#include "element/tpm2_gate.h"
#include "element/tpm2_measure.h"
#include "element/tpm2_seal.h"
#include "element/tpm2_trust.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

enum { HANDLE_TRIES = 16 };

enum hf_result hf_tpm2_note_doing(struct hf_tpm2 *t, const struct hf_tpm2_pin *pin, const struct hf_tpm2_pin *second, uint32_t counter)
{
    struct hf_tpm2_note note = t->note;
    note.doing = *pin;
    note.doing_second = *second;
    note.doing_counter = counter;
    note.erased = false;
    HF_TRY(hf_tpm2_note_save(t->dir, &note));
    t->note = note;
    return HF_OK;
}

/* Makes *pin, which is blob's P or Q, at a free handle; what it will be is written down first [EL-5]. */
static enum hf_result make_pin(struct hf_tpm2 *t, struct hf_tpm *tpm, const uint8_t auth[32], uint32_t count, uint32_t wish, struct hf_tpm2_pin *pin,
                               struct hf_tpm2_blob *blob, struct hf_error *error)
{
    struct hf_gate_key *key = NULL;
    enum hf_result result = hf_gate_plan(tpm, blob->counter, t->vault_id, &key, pin, error);
    for (int i = 0; result == HF_OK && i < HANDLE_TRIES; i++) {
        pin->handle = i == 0 && wish != 0 ? wish : hf_nv_handle();
        if (hf_tpm2_note_doing(t, &blob->pin, &blob->second, blob->counter) != HF_OK) {
            result = hf_fail(error, HF_IO, "the element's note of what it is about to do can't be written; nothing was changed");
            break;
        }
        enum hf_result made = hf_gate_make_pin(tpm, pin, blob->counter, t->vault_id, key, auth, count, blob->policy.attempts, error);
        if (made == HF_OK)
            break;
        result = made == HF_EXISTS && i + 1 < HANDLE_TRIES ? HF_OK : made;
    }
    hf_gate_key_free(&key);
    return result == HF_EXISTS ? hf_fail(error, HF_NO_SPACE, "no free NV handle was found in the TPM") : result;
}

static enum hf_result seal_both(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_tpm2_blob *blob, struct hf_grant *ret, struct hf_error *error)
{
    uint8_t name[HF_TPM_NAME_LEN];
    hf_tpm2_pin_name(&blob->pin, blob->counter, t->vault_id, name);
    hf_random(ret->release.bytes, sizeof ret->release.bytes);
    hf_test_note_secret("release-secret", ret->release.bytes, sizeof ret->release.bytes);
    for (uint32_t i = 0; i < blob->seal_count; i++) {
        HF_TRY(hf_seal_release(tpm, name, &ret->release, &blob->seals[i], error));
        HF_TRY(hf_seal_device(tpm, name, blob->policy.attempts, &ret->device, &blob->seals[i], error));
    }
    return HF_OK;
}

enum hf_result hf_tpm2_make_grant(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_auths *auths, struct hf_tpm2_blob *blob, struct hf_grant *ret,
                                  struct hf_error *error)
{
    uint64_t began_ms = hf_clock_ms();
    uint32_t wish = auths->same_handles ? blob->pin.handle : 0, second_wish = auths->same_handles ? blob->second.handle : 0;
    blob->pin.used = blob->second.used = false;
    HF_TRY(make_pin(t, tpm, auths->first->bytes, auths->count, wish, &blob->pin, blob, error));
    HF_TRY(make_pin(t, tpm, auths->second->bytes, auths->count, second_wish, &blob->second, blob, error));
    HF_TRY(seal_both(t, tpm, blob, ret, error));
    uint64_t took_ms = hf_clock_ms() - began_ms;
    if (auths->count == 0)
        blob->pace_ms = took_ms < HF_TPM2_PACE_MAX_MS ? (uint32_t)took_ms : HF_TPM2_PACE_MAX_MS;
    return HF_OK;
}

/* Values that the TPM said it had: D comes out, so it has them [EL-14]. */
enum hf_result hf_tpm2_prove_present(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_blob *blob, struct hf_error *error)
{
    struct hf_device_secret device;
    enum hf_nv_found found;
    ESYS_TR pin;
    if (blob->seals[0].measure.mask == 0)
        return HF_OK;
    HF_TRY(hf_tpm2_find(t, tpm, &blob->pin, blob->counter, &pin, &found, error));
    enum hf_result result = hf_unseal_device(tpm, pin, blob->policy.attempts, &blob->seals[0], &device, error);
    hf_device_secret_wipe(&device);
    return result;
}

enum hf_result hf_tpm2_hand_over(const struct hf_tpm2_blob *blob, struct hf_grant *ret, struct hf_error *error)
{
    ret->slot = blob->slot;
    enum hf_result result = hf_tpm2_blob_encode(blob, ret->blob, sizeof ret->blob, &ret->blob_len);
    return result == HF_OK ? HF_OK : hf_fail(error, result, "the TPM element's part does not fit the keybag");
}

enum hf_result hf_tpm2_drop_pin(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, uint32_t counter, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    if (!pin->used)
        return HF_OK;
    hf_tpm2_pin_public(pin, counter, t->vault_id, &public);
    return hf_nv_undefine(tpm, &public, error);
}

static enum hf_result drop_counter(struct hf_tpm2 *t, struct hf_tpm *tpm, enum hf_tpm2_role role, uint32_t handle, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    if (handle == 0)
        return HF_OK;
    hf_tpm2_counter_public(role, t->vault_id, handle, &public);
    return hf_nv_undefine(tpm, &public, error);
}

enum hf_result hf_tpm2_drop_all(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_blob *blob, struct hf_error *error)
{
    struct hf_error later;
    enum hf_result result = hf_tpm2_drop_pin(t, tpm, &blob->pin, blob->counter, error);
    const struct hf_tpm2_pin *pins[] = {&blob->before, &blob->second, &blob->second_before};
    const uint32_t counters[] = {[HF_TPM2_GATE_COUNTER] = blob->counter, [HF_TPM2_GENERATION_COUNTER] = blob->generation_counter, [HF_TPM2_HEAD_COUNTER] = blob->head_counter};
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++) {
        enum hf_result next = hf_tpm2_drop_pin(t, tpm, pins[i], blob->counter, result == HF_OK ? error : &later);
        result = result == HF_OK ? next : result;
    }
    for (unsigned role = 0; role < sizeof counters / sizeof counters[0]; role++) {
        enum hf_result next = drop_counter(t, tpm, role, counters[role], result == HF_OK ? error : &later);
        result = result == HF_OK ? next : result;
    }
    return result;
}

/* The proof, or the owner's word, or neither and why [EL-13]. None of it keeps the TPM from being used. */
static void settle_trust(struct hf_tpm2 *t, struct hf_tpm *tpm, bool trusted, struct hf_tpm2_blob *blob)
{
    struct hf_error why = {0};
    uint8_t name[HF_TPM_NAME_LEN];
    ESYS_TR pin;
    enum hf_nv_found found;
    hf_tpm2_pin_name(&blob->pin, blob->counter, t->vault_id, name);
    enum hf_result result = hf_tpm2_find(t, tpm, &blob->pin, blob->counter, &pin, &found, &why);
    if (result == HF_OK)
        result = hf_trust_prove(tpm, t->roots, name, pin, &why);
    blob->trust = result == HF_OK ? HF_TRUST_CERTIFICATE : trusted ? HF_TRUST_OWNER : HF_TRUST_NONE;
    blob->trust_why[0] = '\0';
    if (result == HF_OK)
        return;
    (void)snprintf(blob->trust_why, sizeof blob->trust_why, "%.*s", (int)sizeof blob->trust_why - 1, why.text);
    for (char *at = blob->trust_why; *at; at++) {
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
            *at = '?';
    }
}

static enum hf_result provision(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_auths *auths, bool trusted, struct hf_tpm2_blob *blob,
                                struct hf_grant *ret, struct hf_error *error)
{
    uint64_t ignored;
    HF_TRY(hf_nv_counter_make(tpm, HF_TPM2_GENERATION_COUNTER, t->vault_id, &blob->generation_counter, &blob->birth_count, error));
    HF_TRY(hf_nv_counter_make(tpm, HF_TPM2_GATE_COUNTER, t->vault_id, &blob->counter, &ignored, error));
    HF_TRY(hf_nv_counter_make(tpm, HF_TPM2_HEAD_COUNTER, t->vault_id, &blob->head_counter, &ignored, error));
    hf_random(ret->device.bytes, sizeof ret->device.bytes);
    HF_TRY(hf_tpm2_make_grant(t, tpm, auths, blob, ret, error));
    HF_TRY(hf_tpm2_prove_present(t, tpm, blob, error));
    settle_trust(t, tpm, trusted, blob);
    return hf_tpm2_hand_over(blob, ret, error);
}

static enum hf_result provision_here(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_auths *auths, bool trusted, uint32_t measure,
                                     struct hf_tpm2_blob *blob, struct hf_grant *ret, struct hf_error *error)
{
    struct hf_error ignored;
    struct hf_tpm2_note old = t->note;
    memcpy(blob->srk_name, tpm->srk_name.name, sizeof blob->srk_name);
    HF_TRY(hf_pcr_read(tpm, measure, &blob->seals[0].measure, error));
    enum hf_result result = provision(t, tpm, auths, trusted, blob, ret, error);
    if (result != HF_OK) {
        if (hf_tpm2_drop_all(t, tpm, blob, &ignored) == HF_OK)
            t->note.doing.used = t->note.doing_second.used = false;
        return result;
    }
    /* The phrase that brought us here opens all the same when this is cut short: what stays then is an index that nothing opens with. */
    if (t->known)
        (void)hf_tpm2_drop_all(t, tpm, &t->blob, &ignored);
    (void)hf_tpm2_drop_pin(t, tpm, &old.doing, old.doing_counter, &ignored);
    (void)hf_tpm2_drop_pin(t, tpm, &old.doing_second, old.doing_counter, &ignored);
    return HF_OK;
}

enum hf_result hf_tpm2_provision(struct hf_tpm2 *t, const char *tcti, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                 const struct hf_policy *policy, uint64_t generation, bool trusted, uint32_t measure, struct hf_grant *ret, struct hf_error *error)
{
    struct hf_tpm tpm;
    const struct hf_tpm2_auths auths = {.first = auth, .second = duress};
    struct hf_tpm2_blob blob = {.policy = {.attempts = policy->attempts ? policy->attempts : HF_TPM2_DEFAULT_LIMIT, .delay_count = policy->delay_count},
                                .birth_generation = generation, .seal_count = 1};
    memcpy(blob.policy.delay_s, policy->delay_s, sizeof blob.policy.delay_s);
    if (measure == HF_MEASURE_KEEP)
        measure = t->known ? t->blob.seals[0].measure.mask : 0;
    if (tcti) {
        HF_TRY(hf_tpm2_take_tcti(t, tcti));
        t->vendor[0] = '\0';
    }
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    enum hf_result result = tpm.srk_name.size == sizeof blob.srk_name ? HF_OK : hf_fail(error, HF_FAILED, "the TPM names its storage key strangely");
    if (result == HF_OK)
        result = provision_here(t, &tpm, &auths, trusted, measure, &blob, ret, error);
    if (result == HF_OK) {
        t->blob = blob;
        t->known = true;
        t->changing = false;
        t->released = true; /* whoever provisions has the passcode */
        result = hf_tpm2_look(t, &tpm, error);
    }
    hf_tpm_close(&tpm);
    return result;
}
