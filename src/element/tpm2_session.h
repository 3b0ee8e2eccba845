/* element/tpm2_session.h: one visit to the TPM: connection, storage key (SRK), and a salted session that encrypts.
 *
 * Call order: hf_tpm_open, what is to be done, hf_tpm_close on every path. Nothing of ours stays in the TPM after it.
 * Source: spec/50-element.md [EL-4] [EL-8] [EL-10]. */
#ifndef HF_ELEMENT_TPM2_SESSION_H
#define HF_ELEMENT_TPM2_SESSION_H

#include <tss2/tss2_esys.h>

#include "element/tpm2_tcti.h"

struct hf_tpm {
    struct hf_tcti tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR srk;
    ESYS_TR session; /* HMAC, salted to the SRK; encrypts the first parameter both ways */
    TPM2B_NAME srk_name;
};

/* HF_UNREACHABLE, HF_BUSY. The SRK's Name is the caller's to compare before any secret is used. */
HF_MUST_USE enum hf_result hf_tpm_open(const char *conf, struct hf_tpm *ret, struct hf_error *error);
void hf_tpm_close(struct hf_tpm *tpm);

/* A salted session of the given type; the caller flushes it (or the TPM does, when attributes lack CONTINUESESSION and it was used). */
HF_MUST_USE enum hf_result hf_tpm_session(struct hf_tpm *tpm, TPM2_SE type, TPMA_SESSION attributes, ESYS_TR *ret, struct hf_error *error);
/* Flushes and clears *handle; ESYS_TR_NONE is accepted. */
void hf_tpm_flush(struct hf_tpm *tpm, ESYS_TR *handle);

/* The TPM's answer without the numbers of handle, session and parameter: comparable with TPM2_RC_… */
TSS2_RC hf_tpm_base(TSS2_RC rc);
/* What a failed call means, in one line: HF_OK for success. `doing` completes "the TPM refuses to …". */
HF_MUST_USE enum hf_result hf_tpm_verdict(const struct hf_tpm *tpm, TSS2_RC rc, const char *doing, struct hf_error *error);

/* Manufacturer and model as the TPM says them, printable. */
HF_MUST_USE enum hf_result hf_tpm_vendor(struct hf_tpm *tpm, char *out, size_t cap, struct hf_error *error);

#endif
