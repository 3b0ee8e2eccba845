/* element/tpm2_names.h: public areas, Names and policies, computed here and never taken from the TPM: they are what everything is pinned to.
 * Pure. Source: spec/50-element.md, TCG TPM 2.0 Library Part 1 (Names) and Part 3 (policies). */
#ifndef HF_ELEMENT_TPM2_NAMES_H
#define HF_ELEMENT_TPM2_NAMES_H

#include <tss2/tss2_tpm2_types.h>

#include "element/tpm2_blob.h"

enum hf_tpm2_role { HF_TPM2_GATE_COUNTER, HF_TPM2_GENERATION_COUNTER, HF_TPM2_HEAD_COUNTER };

/* As it stands before the first write; hf_tpm2_nv_name takes the written bit. */
void hf_tpm2_counter_public(enum hf_tpm2_role role, const uint8_t vault_id[16], uint32_t handle, TPM2B_NV_PUBLIC *ret);
void hf_tpm2_pin_public(const struct hf_tpm2_pin *pin, uint32_t counter, const uint8_t vault_id[16], TPM2B_NV_PUBLIC *ret);
void hf_tpm2_nv_name(const TPM2B_NV_PUBLIC *public, bool written, uint8_t out[HF_TPM_NAME_LEN]);
/* The Name that P has while it is whole. */
void hf_tpm2_pin_name(const struct hf_tpm2_pin *pin, uint32_t counter, const uint8_t vault_id[16], uint8_t out[HF_TPM_NAME_LEN]);
void hf_tpm2_gate_key_public(const uint8_t key[64], TPM2B_PUBLIC *ret);
/* S: [PolicyPCR,] PolicySecret(P). */
void hf_tpm2_release_policy(const uint8_t pin_name[HF_TPM_NAME_LEN], const struct hf_measure *measure, TPM2B_DIGEST *ret);
/* D: [PolicyPCR,] PolicyNV(P's limit == limit): bytes 4 to 7 of P. */
void hf_tpm2_device_policy(const uint8_t pin_name[HF_TPM_NAME_LEN], uint32_t limit, const struct hf_measure *measure, TPM2B_DIGEST *ret);
void hf_tpm2_pcr_selection(uint32_t mask, TPML_PCR_SELECTION *ret);
/* Of the values, as the TPM computes it for PolicyPCR. */
void hf_tpm2_pcr_digest(const struct hf_measure *measure, TPM2B_DIGEST *ret);
void hf_tpm2_limit_operand(uint32_t limit, TPM2B_OPERAND *ret);

#endif
