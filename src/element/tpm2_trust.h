/* element/tpm2_trust.h: is this TPM hardware? Proved once, when P is made: the EK certificate leads to a manufacturer's root that the owner has
 * installed (tpm-roots.pem in the state directory), a key in that TPM opens a credential made for that EK, and that key certifies the storage key and P.
 * Later sessions are salted to that storage key, so they are with the same TPM. Not shown: that the manufacturer's TPM is sound.
 * Source: spec/50-element.md [EL-13]. */
#ifndef HF_ELEMENT_TPM2_TRUST_H
#define HF_ELEMENT_TPM2_TRUST_H

#include "element/tpm2_nv.h"

enum hf_trust { HF_TRUST_NONE = 0, HF_TRUST_CERTIFICATE = 1, HF_TRUST_OWNER = 2 /* --trust-this-tpm */ };

/* HF_OK: proved. Else *error says what is missing; nothing of that keeps the TPM from being used. root: the state directory. */
HF_MUST_USE enum hf_result hf_trust_prove(struct hf_tpm *tpm, int root, const uint8_t pin_name[HF_TPM_NAME_LEN], ESYS_TR pin, struct hf_error *error);

#endif
