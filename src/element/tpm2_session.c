#include "element/tpm2_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { LEFTOVERS_MAX = 16, NONCE_LEN = 32, ATTRIBUTES_ALL = 0xff };

static const TPMT_SYM_DEF aes_cfb = {.algorithm = TPM2_ALG_AES, .keyBits = {.aes = 128}, .mode = {.aes = TPM2_ALG_CFB}};

TSS2_RC hf_tpm_base(TSS2_RC rc)
{
    if (rc & TSS2_RC_LAYER_MASK)
        return rc;
    return rc & TPM2_RC_FMT1 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc;
}

static enum hf_result wire_verdict(const struct hf_tpm *tpm, TSS2_RC rc, struct hf_error *error)
{
    if (tpm->tcti.broken == HF_BUSY)
        return hf_fail(error, HF_UNREACHABLE, "the TPM is busy: it did not answer in time; another program holds it");
    if (tpm->tcti.broken != HF_OK)
        return hf_fail(error, HF_UNREACHABLE, "the TPM is gone (%s)", hf_result_text(tpm->tcti.broken));
    return hf_fail(error, HF_FAILED, "tpm2-tss refuses the TPM's answer (0x%x)", rc);
}

enum hf_result hf_tpm_verdict(const struct hf_tpm *tpm, TSS2_RC rc, const char *doing, struct hf_error *error)
{
    if (rc == TSS2_RC_SUCCESS)
        return HF_OK;
    if (rc & TSS2_RC_LAYER_MASK)
        return wire_verdict(tpm, rc, error);
    switch (hf_tpm_base(rc)) {
    case TPM2_RC_NV_SPACE:
        return hf_fail(error, HF_NO_SPACE, "the TPM's NV memory is full: free an index that nobody needs (tpm2_getcap handles-nv-index, tpm2_nvundefine)");
    case TPM2_RC_LOCKOUT:
        return hf_fail(error, HF_UNREACHABLE, "the TPM is in lockout (wrong tries of another of its users): wait, or tpm2_dictionarylockout --clear-lockout");
    case TPM2_RC_NV_RATE:
    case TPM2_RC_NV_UNAVAILABLE:
    case TPM2_RC_RETRY:
    case TPM2_RC_TESTING:
    case TPM2_RC_YIELDED:
        return hf_fail(error, HF_UNREACHABLE, "the TPM is busy (0x%x); try again", rc);
    case TPM2_RC_INITIALIZE:
        return hf_fail(error, HF_UNREACHABLE, "the TPM was not started (TPM2_Startup)");
    case TPM2_RC_POLICY_FAIL:
    case TPM2_RC_PCR_CHANGED:
        return hf_fail(error, HF_REFUSED, "the TPM refuses to %s: not the software or state it was sealed for; boot that, or `holdfast recover` with the recovery "
                       "phrase", doing);
    default:
        return hf_fail(error, HF_FAILED, "the TPM refuses to %s (0x%x)", doing, rc);
    }
}

void hf_tpm_flush(struct hf_tpm *tpm, ESYS_TR *handle)
{
    if (*handle != ESYS_TR_NONE)
        (void)Esys_FlushContext(tpm->esys, *handle); /* fails where the TPM has dropped it already */
    *handle = ESYS_TR_NONE;
}

/* Without a resource manager the wire has one user at a time: what lies loaded is left from a program that died. */
static enum hf_result drop_leftovers(struct hf_tpm *tpm, uint32_t first, struct hf_error *error)
{
    TPMI_YES_NO more;
    TPMS_CAPABILITY_DATA *found = NULL;
    TSS2_RC rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first, LEFTOVERS_MAX, &more, &found);
    HF_TRY(hf_tpm_verdict(tpm, rc, "list what is loaded", error));
    enum hf_result result = HF_OK;
    for (uint32_t i = 0; result == HF_OK && i < found->data.handles.count; i++)
        result = hf_tcti_flush(&tpm->tcti, found->data.handles.handle[i]);
    free(found);
    return result == HF_OK ? HF_OK : hf_fail(error, HF_UNREACHABLE, "the TPM is gone (%s)", hf_result_text(result));
}

/* The TCG's storage key template, so that a key made by others before is the same one. */
static enum hf_result make_srk(struct hf_tpm *tpm, struct hf_error *error)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    static const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                           TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
                       .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                                                .scheme.scheme = TPM2_ALG_NULL, .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL},
                       .unique.ecc = {.x = {.size = 32}, .y = {.size = 32}}}};
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &template, &no_data, &no_pcrs,
                                    &tpm->srk, &public, NULL, NULL, NULL);
    bool fixed = rc != TSS2_RC_SUCCESS || public->publicArea.objectAttributes == template.publicArea.objectAttributes;
    free(public);
    if (hf_tpm_base(rc) == TPM2_RC_BAD_AUTH || hf_tpm_base(rc) == TPM2_RC_AUTH_FAIL)
        return hf_fail(error, HF_FAILED, "the TPM's owner authorisation is set by another system; Holdfast needs it empty");
    HF_TRY(hf_tpm_verdict(tpm, rc, "make the storage key", error));
    if (!fixed)
        return hf_fail(error, HF_REFUSED, "the TPM's storage key is not one that stays in it");
    TPM2B_NAME *name = NULL;
    rc = Esys_TR_GetName(tpm->esys, tpm->srk, &name);
    if (rc == TSS2_RC_SUCCESS)
        tpm->srk_name = *name;
    free(name);
    return hf_tpm_verdict(tpm, rc, "name the storage key", error);
}

enum hf_result hf_tpm_session(struct hf_tpm *tpm, TPM2_SE type, TPMA_SESSION attributes, ESYS_TR *ret, struct hf_error *error)
{
    TPM2B_NONCE nonce = {.size = NONCE_LEN};
    hf_random(nonce.buffer, NONCE_LEN);
    TSS2_RC rc = Esys_StartAuthSession(tpm->esys, tpm->srk, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &nonce, type, &aes_cfb, TPM2_ALG_SHA256,
                                       ret);
    if (rc != TSS2_RC_SUCCESS)
        *ret = ESYS_TR_NONE;
    HF_TRY(hf_tpm_verdict(tpm, rc, "start a session", error));
    return hf_tpm_verdict(tpm, Esys_TRSess_SetAttributes(tpm->esys, *ret, attributes, ATTRIBUTES_ALL), "set a session up", error);
}

static enum hf_result start(struct hf_tpm *tpm, struct hf_error *error)
{
    HF_TRY(hf_tpm_verdict(tpm, Esys_Initialize(&tpm->esys, (TSS2_TCTI_CONTEXT *)&tpm->tcti, NULL), "start", error));
    if (!tpm->tcti.shared) {
        HF_TRY(drop_leftovers(tpm, (uint32_t)TPM2_HT_TRANSIENT << TPM2_HR_SHIFT, error));
        HF_TRY(drop_leftovers(tpm, (uint32_t)TPM2_HT_LOADED_SESSION << TPM2_HR_SHIFT, error));
    }
    HF_TRY(make_srk(tpm, error));
    return hf_tpm_session(tpm, TPM2_SE_HMAC, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, &tpm->session, error);
}

enum hf_result hf_tpm_open(const char *conf, struct hf_tpm *ret, struct hf_error *error)
{
    *ret = (struct hf_tpm){.tcti = {.fd = -1}, .srk = ESYS_TR_NONE, .session = ESYS_TR_NONE};
    HF_TRY(hf_tcti_open(conf, &ret->tcti, error));
    enum hf_result result = start(ret, error);
    if (result != HF_OK)
        hf_tpm_close(ret);
    return result;
}

void hf_tpm_close(struct hf_tpm *tpm)
{
    if (tpm->esys) {
        hf_tpm_flush(tpm, &tpm->session);
        hf_tpm_flush(tpm, &tpm->srk);
        Esys_Finalize(&tpm->esys);
    }
    hf_tcti_close(&tpm->tcti);
}

enum hf_result hf_tpm_vendor(struct hf_tpm *tpm, char *out, size_t cap, struct hf_error *error)
{
    enum { FIRST = TPM2_PT_MANUFACTURER, COUNT = 5 }; /* manufacturer, then four pieces of the model's name */
    TPMI_YES_NO more;
    TPMS_CAPABILITY_DATA *found = NULL;
    TSS2_RC rc = Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_TPM_PROPERTIES, FIRST, COUNT, &more, &found);
    HF_TRY(hf_tpm_verdict(tpm, rc, "name its maker", error));
    size_t at = 0;
    for (uint32_t i = 0; i < found->data.tpmProperties.count && i < COUNT; i++) {
        uint32_t value = found->data.tpmProperties.tpmProperty[i].value;
        for (int shift = 24; shift >= 0; shift -= 8) {
            char c = (char)(value >> shift & 0xff);
            if (c >= ' ' && c <= '~' && c != '"' && c != '\\' && at + 1 < cap)
                out[at++] = c;
        }
        if (i == 0 && at + 1 < cap)
            out[at++] = ' ';
    }
    while (at > 0 && out[at - 1] == ' ')
        at--;
    out[at] = '\0';
    free(found);
    return HF_OK;
}
