/* element/tpm2_gate.h: makes P, the index that counts, and closes the only way there ever was to write it. Source: spec/50-element.md [EL-2]. */
#ifndef HF_ELEMENT_TPM2_GATE_H
#define HF_ELEMENT_TPM2_GATE_H

#include "element/tpm2_nv.h"

/* A one-use signing key: between the definition of P and the closing of its gate. Worthless afterwards, forgotten all the same. */
struct hf_gate_key;
HF_MUST_USE enum hf_result hf_gate_key_new(struct hf_gate_key **ret, uint8_t ret_public[64]);
void hf_gate_key_free(struct hf_gate_key **key);

/* Steps C to a fresh value and puts it, and the key's public half, into *ret_pin (handle 0). */
HF_MUST_USE enum hf_result hf_gate_plan(struct hf_tpm *tpm, uint32_t counter, const uint8_t vault_id[16], struct hf_gate_key **ret_key,
                                        struct hf_tpm2_pin *ret_pin, struct hf_error *error);
/* Defines P (or Q) at pin->handle with that authorisation, writes {count, limit}, closes the gate and proves it closed. HF_EXISTS: the handle is taken, nothing was made. */
HF_MUST_USE enum hf_result hf_gate_make_pin(struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, uint32_t counter, const uint8_t vault_id[16],
                                            const struct hf_gate_key *key, const uint8_t auth[32], uint32_t count, uint32_t limit, struct hf_error *error);

#endif
