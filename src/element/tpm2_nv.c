#include "element/tpm2_nv.h"

#include <stdlib.h>
#include <string.h>

#include "keys/wipe.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { HANDLE_TRIES = 16 };
#define OWNER_FIRST 0x01800000u /* the TCG's registry: NV indices of the TPM's owner */
#define OWNER_MASK 0x003fffffu

uint32_t hf_nv_handle(void)
{
    uint32_t value;
    hf_random(&value, sizeof value);
    return OWNER_FIRST | (value & OWNER_MASK);
}

static bool name_is(const TPM2B_NAME *name, const TPM2B_NV_PUBLIC *public, bool written)
{
    uint8_t expected[HF_TPM_NAME_LEN];
    hf_tpm2_nv_name(public, written, expected);
    return name->size == sizeof expected && hf_equal_ct(name->name, expected, sizeof expected);
}

enum hf_result hf_nv_find(struct hf_tpm *tpm, const TPM2B_NV_PUBLIC *expected, ESYS_TR *ret_index, enum hf_nv_found *ret_found, struct hf_error *error)
{
    ESYS_TR index;
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = Esys_TR_FromTPMPublic(tpm->esys, expected->nvPublic.nvIndex, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index);
    if (hf_tpm_base(rc) == TPM2_RC_HANDLE) {
        *ret_found = HF_NV_ABSENT;
        return HF_OK;
    }
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_GetName(tpm->esys, index, &name);
    HF_TRY(hf_tpm_verdict(tpm, rc, "show an NV index", error));
    HF_ASSERT(name);
    *ret_found = name_is(name, expected, true) ? HF_NV_OURS : name_is(name, expected, false) ? HF_NV_UNWRITTEN : HF_NV_FOREIGN;
    *ret_index = index;
    free(name);
    return HF_OK;
}

enum hf_result hf_nv_define(struct hf_tpm *tpm, const TPM2B_NV_PUBLIC *public, const TPM2B_AUTH *auth, ESYS_TR *ret_index, struct hf_error *error)
{
    static const TPM2B_AUTH empty;
    TSS2_RC rc = Esys_NV_DefineSpace(tpm->esys, ESYS_TR_RH_OWNER, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, auth ? auth : &empty, public, ret_index);
    bool pin = (public->nvPublic.attributes & TPMA_NV_TPM2_NT_MASK) >> TPMA_NV_TPM2_NT_SHIFT == TPM2_NT_PIN_FAIL;
    if (hf_tpm_base(rc) == TPM2_RC_NV_DEFINED)
        return HF_EXISTS;
    if (pin && (hf_tpm_base(rc) == TPM2_RC_ATTRIBUTES || hf_tpm_base(rc) == TPM2_RC_VALUE))
        return hf_fail(error, HF_UNSUPPORTED, "this TPM refuses PIN_FAIL indices, so it can't count guesses; --element software is another protection, not this one");
    return hf_tpm_verdict(tpm, rc, "define an NV index", error);
}

enum hf_result hf_nv_undefine(struct hf_tpm *tpm, const TPM2B_NV_PUBLIC *expected, struct hf_error *error)
{
    ESYS_TR index;
    enum hf_nv_found found;
    HF_TRY(hf_nv_find(tpm, expected, &index, &found, error));
    if (found == HF_NV_ABSENT || found == HF_NV_FOREIGN)
        return HF_OK;
    TSS2_RC rc = Esys_NV_UndefineSpace(tpm->esys, ESYS_TR_RH_OWNER, index, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE);
    return hf_tpm_verdict(tpm, rc, "undefine an NV index", error);
}

static uint64_t big_endian(const uint8_t *bytes, size_t len)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++)
        value = value << 8 | bytes[i];
    return value;
}

static enum hf_result read_eight(struct hf_tpm *tpm, ESYS_TR auth, ESYS_TR index, uint8_t ret[8], struct hf_error *error)
{
    TPM2B_MAX_NV_BUFFER *data = NULL;
    TSS2_RC rc = Esys_NV_Read(tpm->esys, auth, index, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, 8, 0, &data);
    HF_TRY(hf_tpm_verdict(tpm, rc, "read an NV index", error));
    HF_ASSERT(data);
    bool whole = data->size == 8;
    if (whole)
        memcpy(ret, data->buffer, 8);
    free(data);
    return whole ? HF_OK : hf_fail(error, HF_DAMAGED, "an NV index of the TPM has another length than its own");
}

enum hf_result hf_nv_counter_read(struct hf_tpm *tpm, ESYS_TR index, uint64_t *ret_value, struct hf_error *error)
{
    uint8_t bytes[8] = {0};
    HF_TRY(read_eight(tpm, index, index, bytes, error));
    *ret_value = big_endian(bytes, 8);
    return HF_OK;
}

enum hf_result hf_nv_pin_read(struct hf_tpm *tpm, ESYS_TR pin, uint32_t *ret_count, uint32_t *ret_limit, struct hf_error *error)
{
    uint8_t bytes[8] = {0};
    HF_TRY(read_eight(tpm, ESYS_TR_RH_OWNER, pin, bytes, error));
    *ret_count = (uint32_t)big_endian(bytes, 4);
    *ret_limit = (uint32_t)big_endian(bytes + 4, 4);
    return HF_OK;
}

enum hf_result hf_nv_counter_step(struct hf_tpm *tpm, ESYS_TR index, struct hf_error *error)
{
    return hf_tpm_verdict(tpm, Esys_NV_Increment(tpm->esys, index, index, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE), "step a counter", error);
}

enum hf_result hf_nv_counter_make(struct hf_tpm *tpm, enum hf_tpm2_role role, const uint8_t vault_id[16], uint32_t *ret_handle, uint64_t *ret_value,
                                  struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    ESYS_TR index = ESYS_TR_NONE;
    enum hf_result result = HF_EXISTS;
    for (int i = 0; result == HF_EXISTS && i < HANDLE_TRIES; i++) {
        hf_tpm2_counter_public(role, vault_id, hf_nv_handle(), &public);
        result = hf_nv_define(tpm, &public, NULL, &index, error);
    }
    if (result == HF_EXISTS)
        return hf_fail(error, HF_NO_SPACE, "no free NV handle was found in the TPM");
    HF_TRY(result);
    *ret_handle = public.nvPublic.nvIndex;
    HF_TRY(hf_nv_counter_step(tpm, index, error));
    return hf_nv_counter_read(tpm, index, ret_value, error);
}
