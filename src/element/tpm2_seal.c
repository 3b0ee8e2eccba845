#include "element/tpm2_seal.h"

#include <stdlib.h>
#include <string.h>

#include <tss2/tss2_mu.h>

#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

enum { SECRET_LEN = 32 };
_Static_assert(HF_RELEASE_SECRET_LEN == SECRET_LEN && HF_DEVICE_SECRET_LEN == SECRET_LEN, "both are sealed alike");

static enum hf_result keep(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, struct hf_tpm2_sealed *ret)
{
    struct hf_tpm2_sealed sealed = {0};
    if (Tss2_MU_TPM2B_PUBLIC_Marshal(public, sealed.public, sizeof sealed.public, &sealed.public_len) != TSS2_RC_SUCCESS ||
        Tss2_MU_TPM2B_PRIVATE_Marshal(private, sealed.private, sizeof sealed.private, &sealed.private_len) != TSS2_RC_SUCCESS)
        return HF_TOO_LARGE;
    *ret = sealed;
    return HF_OK;
}

static enum hf_result seal(struct hf_tpm *tpm, const TPM2B_DIGEST *policy, const uint8_t secret[SECRET_LEN], struct hf_tpm2_sealed *ret,
                           struct hf_error *error)
{
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive = {.data = {.size = SECRET_LEN}}};
    TPM2B_PUBLIC template = {.publicArea = {.type = TPM2_ALG_KEYEDHASH, .nameAlg = TPM2_ALG_SHA256,
                                            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA |
                                                                TPMA_OBJECT_ADMINWITHPOLICY,
                                            .authPolicy = *policy, .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    TPM2B_PUBLIC *public = NULL;
    TPM2B_PRIVATE *private = NULL;
    memcpy(sensitive.sensitive.data.buffer, secret, SECRET_LEN);
    TSS2_RC rc = Esys_Create(tpm->esys, tpm->srk, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, &no_data, &no_pcrs, &private, &public,
                             NULL, NULL, NULL);
    hf_wipe(&sensitive, sizeof sensitive);
    HF_TRY(hf_tpm_verdict(tpm, rc, "seal a secret", error));
    enum hf_result result = keep(public, private, ret);
    free(public);
    free(private);
    return result == HF_OK ? HF_OK : hf_fail(error, result, "the TPM's sealed object is larger than any known");
}

enum hf_result hf_seal_release(struct hf_tpm *tpm, const uint8_t pin_name[HF_TPM_NAME_LEN], const struct hf_release_secret *secret,
                               struct hf_tpm2_seal *into, struct hf_error *error)
{
    TPM2B_DIGEST policy;
    hf_tpm2_release_policy(pin_name, &into->measure, &policy);
    return seal(tpm, &policy, secret->bytes, &into->release, error);
}

enum hf_result hf_seal_device(struct hf_tpm *tpm, const uint8_t pin_name[HF_TPM_NAME_LEN], uint32_t limit, const struct hf_device_secret *secret,
                              struct hf_tpm2_seal *into, struct hf_error *error)
{
    TPM2B_DIGEST policy;
    hf_tpm2_device_policy(pin_name, limit, &into->measure, &policy);
    return seal(tpm, &policy, secret->bytes, &into->device, error);
}

static enum hf_result load(struct hf_tpm *tpm, const struct hf_tpm2_sealed *sealed, ESYS_TR *ret, struct hf_error *error)
{
    TPM2B_PUBLIC public = {0};
    TPM2B_PRIVATE private = {0};
    size_t at = 0, private_at = 0;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(sealed->public, sealed->public_len, &at, &public) != TSS2_RC_SUCCESS || at != sealed->public_len ||
        Tss2_MU_TPM2B_PRIVATE_Unmarshal(sealed->private, sealed->private_len, &private_at, &private) != TSS2_RC_SUCCESS ||
        private_at != sealed->private_len)
        return hf_fail(error, HF_DAMAGED, "a sealed object in the keybag is malformed");
    TSS2_RC rc = Esys_Load(tpm->esys, tpm->srk, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public, ret);
    if (rc != TSS2_RC_SUCCESS)
        *ret = ESYS_TR_NONE;
    if (rc != TSS2_RC_SUCCESS && !(rc & TSS2_RC_LAYER_MASK))
        return hf_fail(error, HF_DAMAGED, "a sealed object in the keybag is not this TPM's (0x%x)", rc);
    return hf_tpm_verdict(tpm, rc, "load a sealed object", error);
}

/* session: a policy session that has what the object asks for; the response comes encrypted by it. */
static enum hf_result unseal(struct hf_tpm *tpm, ESYS_TR session, const struct hf_tpm2_sealed *sealed, uint8_t ret[SECRET_LEN], struct hf_error *error)
{
    ESYS_TR object = ESYS_TR_NONE;
    TPM2B_SENSITIVE_DATA *data = NULL;
    HF_TRY(load(tpm, sealed, &object, error));
    TSS2_RC rc = Esys_Unseal(tpm->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
    enum hf_result result = hf_tpm_verdict(tpm, rc, "unseal", error);
    if (result == HF_OK && data && data->size == SECRET_LEN)
        memcpy(ret, data->buffer, SECRET_LEN);
    else if (result == HF_OK)
        result = hf_fail(error, HF_DAMAGED, "a sealed object holds something else");
    if (data)
        hf_wipe(data, sizeof *data);
    free(data);
    hf_tpm_flush(tpm, &object);
    return result;
}

static enum hf_result judge(struct hf_tpm *tpm, ESYS_TR pin, ESYS_TR session, const uint8_t auth[32], struct hf_error *error)
{
    TPM2B_AUTH value = {.size = 32};
    memcpy(value.buffer, auth, 32);
    hf_test_note_secret("element-auth", auth, 32);
    TSS2_RC rc = Esys_TR_SetAuth(tpm->esys, pin, &value);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_PolicySecret(tpm->esys, pin, session, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
    hf_wipe(&value, sizeof value);
    (void)Esys_TR_SetAuth(tpm->esys, pin, NULL);
    if (hf_tpm_base(rc) == TPM2_RC_BAD_AUTH || hf_tpm_base(rc) == TPM2_RC_AUTH_FAIL)
        return hf_fail(error, HF_WRONG_PASSCODE, "wrong, and counted by the TPM");
    if (hf_tpm_base(rc) == TPM2_RC_AUTH_UNAVAILABLE)
        return hf_fail(error, HF_GONE, "the limit of guesses is reached: the TPM gives nothing any more; the recovery phrase opens it");
    return hf_tpm_verdict(tpm, rc, "judge a passcode", error);
}

/* First of all in a policy [EL-14]: what the TPM compares here are our literal values, whatever it said of its PCRs before. */
static enum hf_result require_pcrs(struct hf_tpm *tpm, ESYS_TR session, const struct hf_measure *measure, struct hf_error *error)
{
    TPML_PCR_SELECTION selection;
    TPM2B_DIGEST values;
    if (measure->mask == 0)
        return HF_OK;
    hf_tpm2_pcr_selection(measure->mask, &selection);
    hf_tpm2_pcr_digest(measure, &values);
    TSS2_RC rc = Esys_PolicyPCR(tpm->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &values, &selection);
    if (hf_tpm_base(rc) == TPM2_RC_VALUE)
        return hf_fail(error, HF_REFUSED, "other software runs than the vault is sealed to: no try was spent; boot what it was sealed to, or "
                       "`holdfast recover` with the recovery phrase");
    return hf_tpm_verdict(tpm, rc, "compare its PCRs", error);
}

enum hf_result hf_unseal_release(struct hf_tpm *tpm, ESYS_TR pin, const struct hf_element_auth *auth, const struct hf_tpm2_seal *from,
                                 struct hf_release_secret *ret, struct hf_error *error)
{
    ESYS_TR session;
    HF_TRY(hf_tpm_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, &session, error));
    enum hf_result result = require_pcrs(tpm, session, &from->measure, error);
    if (result == HF_OK)
        result = judge(tpm, pin, session, auth->bytes, error);
    if (result == HF_OK)
        result = unseal(tpm, session, &from->release, ret->bytes, error);
    hf_tpm_flush(tpm, &session);
    return result;
}

enum hf_result hf_pin_try(struct hf_tpm *tpm, ESYS_TR pin, const uint8_t auth[32], struct hf_error *error)
{
    ESYS_TR session;
    HF_TRY(hf_tpm_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, &session, error));
    enum hf_result result = judge(tpm, pin, session, auth, error);
    hf_tpm_flush(tpm, &session);
    return result;
}

enum hf_result hf_unseal_device(struct hf_tpm *tpm, ESYS_TR pin, uint32_t limit, const struct hf_tpm2_seal *from, struct hf_device_secret *ret,
                                struct hf_error *error)
{
    ESYS_TR session;
    TPM2B_OPERAND operand;
    hf_tpm2_limit_operand(limit, &operand);
    HF_TRY(hf_tpm_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, &session, error));
    enum hf_result result = require_pcrs(tpm, session, &from->measure, error);
    if (result == HF_OK) {
        TSS2_RC rc = Esys_PolicyNV(tpm->esys, ESYS_TR_RH_OWNER, pin, session, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &operand, 4, TPM2_EO_EQ);
        result = hf_tpm_verdict(tpm, rc, "read P's limit", error);
    }
    if (result == HF_OK)
        result = unseal(tpm, session, &from->device, ret->bytes, error);
    hf_tpm_flush(tpm, &session);
    return result;
}
