/* element/tpm2_seal.h: S and D, sealed under the storage key to policies that name P and, where the vault is measured, PCR values. A seal's `measure` is
 * set by the caller before anything is sealed into it. Source: spec/50-element.md [EL-1] [EL-4] [EL-14]. */
#ifndef HF_ELEMENT_TPM2_SEAL_H
#define HF_ELEMENT_TPM2_SEAL_H

#include "element/tpm2_nv.h"
#include "keys/device_secret.h"
#include "keys/element_auth.h"
#include "keys/release_secret.h"

HF_MUST_USE enum hf_result hf_seal_release(struct hf_tpm *tpm, const uint8_t pin_name[HF_TPM_NAME_LEN], const struct hf_release_secret *secret,
                                           struct hf_tpm2_seal *seal, struct hf_error *error);
HF_MUST_USE enum hf_result hf_seal_device(struct hf_tpm *tpm, const uint8_t pin_name[HF_TPM_NAME_LEN], uint32_t limit,
                                          const struct hf_device_secret *secret, struct hf_tpm2_seal *seal, struct hf_error *error);
/* One try: the TPM counts it, then judges A. pin: the index whose Name was found right. HF_WRONG_PASSCODE (counted), HF_GONE (the limit was
 * reached before), HF_REFUSED (other software than the seal's; A was not used), HF_DAMAGED when A is right and S does not come out. */
HF_MUST_USE enum hf_result hf_unseal_release(struct hf_tpm *tpm, ESYS_TR pin, const struct hf_element_auth *auth, const struct hf_tpm2_seal *seal,
                                             struct hf_release_secret *ret, struct hf_error *error);
/* Judges an authorisation alone. As above. */
HF_MUST_USE enum hf_result hf_pin_try(struct hf_tpm *tpm, ESYS_TR pin, const uint8_t auth[32], struct hf_error *error);
HF_MUST_USE enum hf_result hf_unseal_device(struct hf_tpm *tpm, ESYS_TR pin, uint32_t limit, const struct hf_tpm2_seal *seal,
                                            struct hf_device_secret *ret, struct hf_error *error);

#endif
