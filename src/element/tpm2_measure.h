/* element/tpm2_measure.h: the TPM's PCRs, and S and D sealed to their values. What the TPM says of its PCRs is shown and sealed to, never believed:
 * a policy session holds the literal values, and a seal to present values is opened once. Source: spec/50-element.md, "Measured software". */
#ifndef HF_ELEMENT_TPM2_MEASURE_H
#define HF_ELEMENT_TPM2_MEASURE_H

#include "element/tpm2.h"
#include "element/tpm2_seal.h"

/* The present values of these PCRs. HF_UNSUPPORTED when the TPM keeps none of them in SHA-256. */
HF_MUST_USE enum hf_result hf_pcr_read(struct hf_tpm *tpm, uint32_t mask, struct hf_measure *ret, struct hf_error *error);
/* Sets fit: which of the blob's seals the software that runs fits. */
HF_MUST_USE enum hf_result hf_measure_look(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error);
/* HF_REFUSED, with what to do, when it fits none. */
HF_MUST_USE enum hf_result hf_measure_must_fit(const struct hf_tpm2 *t, struct hf_error *error);
/* The seal that fits; the one in force when none does. */
const struct hf_tpm2_seal *hf_measure_seal(const struct hf_tpm2 *t);

/* How many seals next is to have, and their values. HF_USAGE for a prediction that is none [EL-22]. */
HF_MUST_USE enum hf_result hf_measure_plan(const struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_seal_request *asked, struct hf_tpm2_blob *next,
                                           struct hf_error *error);

#endif
