/* element/tpm2_nv.h: NV indices: looked up by Name, made at a free handle, destroyed only when they are the vault's own. */
#ifndef HF_ELEMENT_TPM2_NV_H
#define HF_ELEMENT_TPM2_NV_H

#include "element/tpm2_names.h"
#include "element/tpm2_session.h"

enum hf_nv_found { HF_NV_ABSENT, HF_NV_OURS, HF_NV_UNWRITTEN /* ours, never written */, HF_NV_FOREIGN /* something else has the handle */ };

/* *ret_index is valid for OURS and UNWRITTEN, and for FOREIGN, until hf_tpm_close. */
HF_MUST_USE enum hf_result hf_nv_find(struct hf_tpm *tpm, const TPM2B_NV_PUBLIC *expected, ESYS_TR *ret_index, enum hf_nv_found *ret_found,
                                      struct hf_error *error);
/* A random handle of the owner's range. */
uint32_t hf_nv_handle(void);
/* HF_EXISTS when the handle is taken: try another. auth may be NULL (empty); it crosses encrypted. HF_UNSUPPORTED when the TPM has no PIN_FAIL. */
HF_MUST_USE enum hf_result hf_nv_define(struct hf_tpm *tpm, const TPM2B_NV_PUBLIC *public, const TPM2B_AUTH *auth, ESYS_TR *ret_index,
                                        struct hf_error *error);
/* Undefines it when it is what is expected; absent or foreign is HF_OK. */
HF_MUST_USE enum hf_result hf_nv_undefine(struct hf_tpm *tpm, const TPM2B_NV_PUBLIC *expected, struct hf_error *error);

/* A new counter at a free handle, stepped once. */
HF_MUST_USE enum hf_result hf_nv_counter_make(struct hf_tpm *tpm, enum hf_tpm2_role role, const uint8_t vault_id[16], uint32_t *ret_handle,
                                              uint64_t *ret_value, struct hf_error *error);
HF_MUST_USE enum hf_result hf_nv_counter_step(struct hf_tpm *tpm, ESYS_TR index, struct hf_error *error);
HF_MUST_USE enum hf_result hf_nv_counter_read(struct hf_tpm *tpm, ESYS_TR index, uint64_t *ret_value, struct hf_error *error);
/* pinCount and pinLimit, read with the owner's (empty) authorisation. */
HF_MUST_USE enum hf_result hf_nv_pin_read(struct hf_tpm *tpm, ESYS_TR pin, uint32_t *ret_count, uint32_t *ret_limit, struct hf_error *error);

#endif
