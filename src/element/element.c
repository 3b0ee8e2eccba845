#include "element/element.h"

#include <stdio.h>

#include "element/state.h"
#include "os/file.h"

#pragma GCC poison memcmp strcpy sprintf

static bool by_tpm(const struct hf_element *e)
{
    return e->kind == HF_ELEMENT_TPM2;
}

static enum hf_result open_kind(struct hf_element *e, uint32_t kind, const char *tcti, struct hf_span blob, struct hf_error *error)
{
    if (kind == HF_ELEMENT_AUTO) {
        struct hf_error unreachable;
        if (hf_tpm2_open(&e->tpm2, e->roots, e->dir, e->vault_id, tcti, blob, &unreachable) == HF_OK) {
            e->kind = HF_ELEMENT_TPM2;
            return HF_OK;
        }
        kind = HF_ELEMENT_SOFTWARE;
    }
    if (kind == HF_ELEMENT_TPM2)
        HF_TRY(hf_tpm2_open(&e->tpm2, e->roots, e->dir, e->vault_id, tcti, blob, error));
    else
        HF_TRY(hf_software_open(&e->software, e->dir, e->vault_id, error));
    e->kind = kind;
    return HF_OK;
}

enum hf_result hf_element_hello(struct hf_element *e, const uint8_t vault_id[16], uint32_t kind, const char *tcti, struct hf_span blob,
                                struct hf_error *error)
{
    HF_TRY(hf_state_vault(e->root, vault_id, &e->dir, error));
    memcpy(e->vault_id, vault_id, sizeof e->vault_id);
    enum hf_result result = open_kind(e, kind, tcti, blob, error);
    if (result != HF_OK)
        hf_cleanup_fd(&e->dir);
    return result;
}

uint8_t hf_element_state(const struct hf_element *e)
{
    return by_tpm(e) ? e->tpm2.state : e->software.record.state;
}

uint64_t hf_element_generation(const struct hf_element *e)
{
    return by_tpm(e) ? e->tpm2.generation : e->software.record.generation;
}

static enum hf_result software_grant(struct hf_software *software, enum hf_result result, struct hf_grant *ret)
{
    if (result != HF_OK)
        return result;
    ret->device = software->record.device;
    ret->blob_len = 0;
    return HF_OK;
}

static enum hf_result only_a_tpm_measures(struct hf_error *error)
{
    return hf_fail(error, HF_UNSUPPORTED, "only a TPM can hold keys for measured software; nothing was changed");
}

enum hf_result hf_element_provision(struct hf_element *e, const struct hf_element_auth *auth, const struct hf_duress_auth *duress, const struct hf_policy *policy,
                                    uint64_t generation, bool trusted, uint32_t measure, struct hf_grant *ret, struct hf_error *error)
{
    if (by_tpm(e))
        return hf_tpm2_provision(&e->tpm2, NULL, auth, duress, policy, generation, trusted, measure, ret, error);
    if (measure != 0 && measure != HF_MEASURE_KEEP)
        return only_a_tpm_measures(error);
    enum hf_result result = hf_software_provision(&e->software, auth, policy, &ret->release);
    ret->slot = e->software.record.slot;
    return software_grant(&e->software, result, ret);
}

/* The software element's file is what it is: removed, not asked. */
static enum hf_result forget_software(struct hf_element *e)
{
    hf_wipe(&e->software, sizeof e->software);
    e->software.dir = -1;
    return hf_file_remove(e->dir, "element", true);
}

enum hf_result hf_element_fresh(struct hf_element *e, uint32_t kind, const char *tcti, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                const struct hf_policy *policy, uint64_t generation, bool trusted, uint32_t measure, struct hf_grant *ret, struct hf_error *error)
{
    struct hf_error ignored;
    if (kind == HF_ELEMENT_AUTO)
        kind = e->kind;
    if (kind != HF_ELEMENT_TPM2 && measure != 0 && measure != HF_MEASURE_KEEP) /* before anything goes */
        return only_a_tpm_measures(error);
    bool same = kind == e->kind;
    if (!same) {
        struct hf_element other = *e;
        HF_TRY(open_kind(&other, kind, tcti, HF_SPAN(NULL, 0), error));
        if (by_tpm(e) && hf_tpm2_erase(&e->tpm2, &ignored) != HF_OK)
            hf_wipe(&e->tpm2, sizeof e->tpm2); /* out of reach: what stays there is an index that no keybag names any more */
        *e = other;
        hf_wipe(&other, sizeof other);
    }
    if (!by_tpm(e))
        return hf_element_provision(e, auth, duress, policy, generation, trusted, measure, ret, error);
    HF_TRY(hf_tpm2_provision(&e->tpm2, tcti, auth, duress, policy, generation, trusted, measure, ret, error));
    enum hf_result removed = forget_software(e);
    return removed == HF_OK ? HF_OK : hf_fail(error, removed, "the software element's old record can't be removed");
}

enum hf_result hf_element_release(struct hf_element *e, const struct hf_element_auth *auth, const struct hf_duress_auth *duress, struct hf_release_secret *ret,
                                  struct hf_error *error)
{
    return by_tpm(e) ? hf_tpm2_release(&e->tpm2, auth, duress, ret, &e->failed_before, error) : hf_attempt(&e->software, auth, ret, &e->failed_before);
}

bool hf_element_duress(const struct hf_element *e)
{
    return by_tpm(e) && e->tpm2.duress;
}

enum hf_result hf_element_decoy(struct hf_element *e, struct hf_grant *ret, struct hf_error *error)
{
    return by_tpm(e) ? hf_tpm2_decoy(&e->tpm2, ret, error) : HF_REFUSED;
}

enum hf_result hf_element_device(struct hf_element *e, struct hf_device_secret *ret, struct hf_error *error)
{
    if (by_tpm(e))
        return hf_tpm2_device(&e->tpm2, ret, error);
    *ret = e->software.record.device;
    return HF_OK;
}

enum hf_result hf_element_prepare(struct hf_element *e, const struct hf_element_auth *auth, const struct hf_duress_auth *duress, const struct hf_seal_request *seal,
                                  struct hf_grant *ret, struct hf_error *error)
{
    if (by_tpm(e))
        return hf_tpm2_prepare(&e->tpm2, auth, duress, seal, ret, error);
    if (seal->how != HF_SEAL_KEEP)
        return only_a_tpm_measures(error);
    return software_grant(&e->software, hf_software_prepare(&e->software, auth, &ret->slot, &ret->release), ret);
}

enum hf_result hf_element_commit(struct hf_element *e, uint32_t slot, struct hf_error *error)
{
    return by_tpm(e) ? hf_tpm2_commit(&e->tpm2, slot, error) : hf_software_commit(&e->software, slot);
}

enum hf_result hf_element_step(struct hf_element *e, uint64_t generation, struct hf_error *error)
{
    return by_tpm(e) ? hf_tpm2_step(&e->tpm2, generation, error) : hf_software_step(&e->software, generation);
}

enum hf_result hf_element_refresh(struct hf_element *e, const struct hf_duress_auth *duress, bool *ret_stale, struct hf_error *error)
{
    if (!by_tpm(e))
        return HF_UNSUPPORTED;
    HF_TRY(hf_tpm2_refresh_second(&e->tpm2, duress, error));
    *ret_stale = e->tpm2.second_stale;
    return HF_OK;
}

enum hf_result hf_element_step_head(struct hf_element *e, uint64_t value, bool anew, uint64_t *ret_count, struct hf_error *error)
{
    if (!by_tpm(e))
        return HF_UNSUPPORTED;
    HF_TRY(hf_tpm2_step_head(&e->tpm2, value, anew, error));
    *ret_count = e->tpm2.head_count;
    return HF_OK;
}

enum hf_result hf_element_erase(struct hf_element *e, struct hf_error *error)
{
    return by_tpm(e) ? hf_tpm2_erase(&e->tpm2, error) : hf_software_erase(&e->software);
}

static enum hf_result software_status(struct hf_element *e, struct hf_element_status *ret)
{
    const struct hf_element_record *record = &e->software.record;
    struct hf_element_status status = {.kind = HF_ELEMENT_SOFTWARE, .public_json = "{}", .vendor = "software", .state = record->state,
                                       .failed = record->failed, .limit = record->policy.attempts, .erases = record->policy.attempts > 0,
                                       .generation = record->generation, .slot = record->slot,
                                       .failed_since_success = record->failed_since_success};
    HF_TRY(hf_attempt_delay(&e->software, &status.retry_after_s));
    *ret = status;
    return HF_OK;
}

enum hf_result hf_element_status(struct hf_element *e, bool look, struct hf_element_status *ret, struct hf_error *error)
{
    if (by_tpm(e)) {
        if (look)
            HF_TRY(hf_tpm2_refresh(&e->tpm2, error));
        HF_TRY(hf_tpm2_status(&e->tpm2, ret));
    } else {
        HF_TRY(software_status(e, ret));
    }
    if (ret->failed_since_success == 0)
        ret->failed_since_success = e->failed_before;
    return HF_OK;
}
