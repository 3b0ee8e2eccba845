#include "element/tpm2_measure.h"

#include <stdlib.h>
#include <string.h>

#pragma GCC poison memcmp strcpy sprintf

enum { LIST_MAX = 64 };

/* A TPM gives as many at a time as it likes. */
static enum hf_result read_some(struct hf_tpm *tpm, uint32_t *left, struct hf_measure *ret, struct hf_error *error)
{
    TPML_PCR_SELECTION asked, *given = NULL;
    TPML_DIGEST *values = NULL;
    uint32_t mask = 0, at = 0;
    hf_tpm2_pcr_selection(*left, &asked);
    TSS2_RC rc = Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &asked, NULL, &given, &values);
    HF_TRY(hf_tpm_verdict(tpm, rc, "read its PCRs", error));
    if (given->count == 1 && given->pcrSelections[0].hash == TPM2_ALG_SHA256 && given->pcrSelections[0].sizeofSelect >= 2)
        mask = (uint32_t)given->pcrSelections[0].pcrSelect[0] | (uint32_t)given->pcrSelections[0].pcrSelect[1] << 8;
    mask &= *left;
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (!(mask & HF_PCR_BIT(pcr)))
            continue;
        if (at >= values->count || values->digests[at].size != HF_PCR_LEN)
            break;
        memcpy(ret->value[pcr], values->digests[at++].buffer, HF_PCR_LEN);
        *left &= ~HF_PCR_BIT(pcr);
    }
    free(given);
    free(values);
    return at > 0 ? HF_OK : hf_fail(error, HF_UNSUPPORTED, "this TPM keeps no SHA-256 values of a PCR that is to be measured (tpm2_getcap pcrs)");
}

enum hf_result hf_pcr_read(struct hf_tpm *tpm, uint32_t mask, struct hf_measure *ret, struct hf_error *error)
{
    struct hf_measure measure = {.mask = mask};
    for (uint32_t left = mask; left != 0;)
        HF_TRY(read_some(tpm, &left, &measure, error));
    *ret = measure;
    return HF_OK;
}

enum hf_result hf_measure_look(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error)
{
    uint32_t mask = t->blob.seals[0].measure.mask;
    t->fit = HF_FIT_UNMEASURED;
    if (mask == 0)
        return HF_OK;
    HF_TRY(hf_pcr_read(tpm, mask, &t->present, error));
    t->fit = HF_FIT_NONE;
    for (uint32_t i = 0; i < t->blob.seal_count; i++) {
        if (hf_measure_difference(&t->present, &t->blob.seals[i].measure) == 0)
            t->fit = i == 0 ? HF_FIT_IN_FORCE : HF_FIT_PREDICTED;
    }
    return HF_OK;
}

enum hf_result hf_measure_must_fit(const struct hf_tpm2 *t, struct hf_error *error)
{
    char list[LIST_MAX];
    if (t->fit != HF_FIT_NONE)
        return HF_OK;
    hf_pcr_list_print(hf_measure_difference(&t->present, &t->blob.seals[0].measure), list, sizeof list);
    return hf_fail(error, HF_REFUSED, "other software runs than the vault is sealed to (PCR %s differs): no try was spent; boot what it was sealed to, or "
                   "`holdfast recover` with the recovery phrase", list);
}

const struct hf_tpm2_seal *hf_measure_seal(const struct hf_tpm2 *t)
{
    return &t->blob.seals[t->fit == HF_FIT_PREDICTED ? 1 : 0];
}

static enum hf_result plan_prediction(const struct hf_measure *in_force, const struct hf_measure *asked, struct hf_tpm2_blob *next, struct hf_error *error)
{
    char list[LIST_MAX];
    struct hf_measure whole = *in_force;
    hf_pcr_list_print(asked->mask & ~in_force->mask, list, sizeof list);
    if (list[0])
        return hf_fail(error, HF_USAGE, "prediction: the vault is not sealed to PCR %s; nothing was changed", list);
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (asked->mask & HF_PCR_BIT(pcr))
            memcpy(whole.value[pcr], asked->value[pcr], HF_PCR_LEN);
    }
    if (hf_measure_difference(&whole, in_force) == 0)
        return hf_fail(error, HF_USAGE, "prediction: these values are in force already; nothing was changed");
    next->seal_count = 2;
    next->seals[0].measure = *in_force;
    next->seals[1].measure = whole;
    return HF_OK;
}

enum hf_result hf_measure_plan(const struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_seal_request *asked, struct hf_tpm2_blob *next,
                               struct hf_error *error)
{
    const struct hf_measure *in_force = &hf_measure_seal(t)->measure;
    if (asked->how == HF_SEAL_PREDICTED)
        return plan_prediction(in_force, &asked->predicted, next, error);
    if (asked->how == HF_SEAL_KEEP)
        return HF_OK;
    struct hf_measure measure = *in_force;
    if (asked->measure != HF_MEASURE_KEEP)
        HF_TRY(hf_pcr_read(tpm, asked->measure, &measure, error));
    next->seal_count = 1;
    next->seals[0].measure = measure;
    memset(&next->seals[1], 0, sizeof next->seals[1]);
    return HF_OK;
}
