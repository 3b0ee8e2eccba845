/* Q, the second index: a passcode that erases. Every vault has one, with a random authorisation where no duress passcode is set. Source: spec/51-duress.md. */
#include "element/tpm2_part.h"

#include <string.h>

#include "element/tpm2_seal.h"
#include "os/clock.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum hf_result hf_tpm2_look_at_second(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    ESYS_TR index;
    enum hf_nv_found found;
    uint32_t count = 0, limit = 0;
    HF_TRY(hf_tpm2_find(t, tpm, &t->blob.second, t->blob.counter, &index, &found, error));
    if (found == HF_NV_OURS)
        HF_TRY(hf_nv_pin_read(tpm, index, &count, &limit, error));
    t->second_stale = found != HF_NV_OURS || count != 0 || limit != t->blob.policy.attempts;
    return HF_OK;
}

bool hf_tpm2_ask_second(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_duress_auth *auth)
{
    ESYS_TR index;
    enum hf_nv_found found;
    struct hf_error ignored;
    t->second_stale = true;
    /* Only what its Name proves to be the vault's own sees anything of a passcode [EL-3]. */
    return hf_tpm2_find(t, tpm, &t->blob.second, t->blob.counter, &index, &found, &ignored) == HF_OK && found == HF_NV_OURS &&
           hf_pin_try(tpm, index, auth->bytes, &ignored) == HF_OK;
}

/* A PIN_FAIL index that takes its authorisation counts from 0 again. */
enum hf_result hf_tpm2_refresh_second(struct hf_tpm2 *t, const struct hf_duress_auth *duress, struct hf_error *error)
{
    struct hf_tpm tpm;
    if (!t->released)
        return HF_REFUSED;
    HF_TRY(hf_tpm_open(t->tcti, &tpm, error));
    (void)hf_tpm2_ask_second(t, &tpm, duress);
    enum hf_result result = hf_tpm2_look_at_second(t, &tpm, error);
    hf_tpm_close(&tpm);
    return result;
}

/* [DU-6] What the passcode opened goes before anything is made. */
static enum hf_result destroy(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    const struct hf_tpm2_blob *blob = &t->blob;
    const struct hf_tpm2_pin *pins[] = {&blob->pin, &blob->before, &blob->second, &blob->second_before};
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++)
        HF_TRY(hf_tpm2_drop_pin(t, tpm, pins[i], blob->counter, error));
    HF_TRY(hf_tpm2_drop_pin(t, tpm, &t->note.doing, t->note.doing_counter, error));
    return hf_tpm2_drop_pin(t, tpm, &t->note.doing_second, t->note.doing_counter, error);
}

static enum hf_result decoy(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_auths *auths, struct hf_tpm2_blob *blob, struct hf_grant *ret,
                            struct hf_error *error)
{
    HF_TRY(destroy(t, tpm, error));
    hf_random(ret->device.bytes, sizeof ret->device.bytes);
    HF_TRY(hf_tpm2_make_grant(t, tpm, auths, blob, ret, error));
    return hf_tpm2_hand_over(blob, ret, error);
}

enum hf_result hf_tpm2_decoy(struct hf_tpm2 *t, struct hf_grant *ret, struct hf_error *error)
{
    struct hf_tpm tpm;
    struct hf_element_auth first;
    struct hf_duress_auth second;
    struct hf_tpm2_blob blob = t->blob;
    const struct hf_tpm2_auths auths = {.first = &first, .second = &second, .count = t->count, .same_handles = true};
    if (!t->duress)
        return HF_REFUSED;
    t->duress = t->changing = t->released = false;
    hf_random(first.bytes, sizeof first.bytes);
    hf_random(second.bytes, sizeof second.bytes);
    enum hf_result result = hf_tpm_open(t->tcti, &tpm, error);
    if (result == HF_OK) {
        result = decoy(t, &tpm, &auths, &blob, ret, error);
        if (result == HF_OK) {
            t->blob = blob;
            result = hf_tpm2_look(t, &tpm, error);
        }
        hf_tpm_close(&tpm);
    }
    t->looked_at_ms = result == HF_OK ? hf_clock_ms() : 0;
    hf_element_auth_wipe(&first);
    hf_duress_auth_wipe(&second);
    return result;
}
