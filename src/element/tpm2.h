/* element/tpm2.h: the element whose count no software can lift: a TPM 2.0. Construction and names (C, P, S, D, G, H): spec/50-element.md; Q: spec/51-duress.md.
 *
 * Call order: open, then the rest. Each call is one visit to the TPM, which keeps nothing of ours afterwards.
 * Not protected: whoever may use the TPM can destroy P, C and G (never read S, never gain tries); an emulated TPM's or a virtual machine's state
 * can be put back by its host; chip attacks. */
#ifndef HF_ELEMENT_TPM2_H
#define HF_ELEMENT_TPM2_H

#include "element/grant.h"
#include "element/tpm2_blob.h"
#include "keys/duress_auth.h"
#include "keys/element_auth.h"
#include "proto/element.h"

#define HF_TPM2_DEFAULT_LIMIT 10

struct hf_tpm2 {
    int roots, dir; /* where tpm-roots.pem lies, and the vault's folder (element/state.h), the caller's; -1: not open */
    uint8_t vault_id[16];
    char tcti[HF_KEYBAG_TCTI_MAX];
    char vendor[64];
    struct hf_tpm2_note note;
    bool known;    /* blob is this vault's */
    struct hf_tpm2_blob blob;
    bool changing; /* next is prepared, not committed */
    struct hf_tpm2_blob next;
    bool released; /* a RELEASE succeeded in this process */
    bool duress;   /* Q took the last try: a decoy may be made */
    /* As found at the last visit: */
    uint8_t state; /* enum hf_element_state */
    bool replaced; /* another index lies where P was */
    bool lost;     /* P is gone though the vault was not erased: an older keybag, or another user of the TPM destroyed it */
    bool uncounted; /* G is gone or replaced */
    bool unfinished; /* a P of an earlier or later passcode is still there */
    uint32_t count;
    enum hf_software_fit fit; /* which seal the software that runs fits */
    struct hf_measure present; /* the PCRs that are measured */
    uint64_t generation;
    uint64_t head_count; /* H's value */
    bool head_counted;   /* H is there */
    bool second_stale;   /* Q has counted, or is gone or replaced: to be made anew at the next unlock */
    uint64_t looked_at_ms; /* boot time; 0: not */
};

/* blob as the keybag has it, empty at creation. HF_UNREACHABLE, HF_USAGE (tcti), HF_DAMAGED (blob). */
HF_MUST_USE enum hf_result hf_tpm2_open(struct hf_tpm2 *t, int roots, int dir, const uint8_t vault_id[16], const char *tcti, struct hf_span blob,
                                        struct hf_error *error);
/* Looks again, unless that was done just now (an unlock asks three times). */
HF_MUST_USE enum hf_result hf_tpm2_refresh(struct hf_tpm2 *t, struct hf_error *error);
/* New C, G, H, P, Q, S, D; then whatever was there before for this vault goes. tcti: NULL for the one that open was given. generation: the keybag's, before the one that is about to be written.
 * trusted: the owner says that this TPM is hardware. measure: PCRs to seal to, HF_MEASURE_KEEP: those of before. */
HF_MUST_USE enum hf_result hf_tpm2_provision(struct hf_tpm2 *t, const char *tcti, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                             const struct hf_policy *policy, uint64_t generation, bool trusted, uint32_t measure, struct hf_grant *ret, struct hf_error *error);
/* HF_WRONG_PASSCODE, HF_DELAYED, HF_GONE, HF_DAMAGED (P or the TPM was replaced: A was not used), HF_REFUSED (other software: A was not used). *ret_failed_before: wrong tries since the last right one. t->duress: Q took it. */
HF_MUST_USE enum hf_result hf_tpm2_release(struct hf_tpm2 *t, const struct hf_element_auth *auth, const struct hf_duress_auth *duress, struct hf_release_secret *ret,
                                           uint32_t *ret_failed_before, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_device(struct hf_tpm2 *t, struct hf_device_secret *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_prepare(struct hf_tpm2 *t, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                           const struct hf_seal_request *seal, struct hf_grant *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_commit(struct hf_tpm2 *t, uint32_t slot, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_step(struct hf_tpm2 *t, uint64_t generation, struct hf_error *error);
/* H upward to value. anew: one that is gone is made again. HF_DAMAGED: it is gone. */
HF_MUST_USE enum hf_result hf_tpm2_step_head(struct hf_tpm2 *t, uint64_t value, bool anew, struct hf_error *error);
/* tpm2_second.c: Q takes its own authorisation, so that its count is 0; second_stale tells whether it is as new. HF_REFUSED before a release. */
HF_MUST_USE enum hf_result hf_tpm2_refresh_second(struct hf_tpm2 *t, const struct hf_duress_auth *duress, struct hf_error *error);
/* After Q took a try: P and Q go, first of all; then as at provisioning, for a passcode that nobody knows, with P's count as it was [DU-6]. */
HF_MUST_USE enum hf_result hf_tpm2_decoy(struct hf_tpm2 *t, struct hf_grant *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_erase(struct hf_tpm2 *t, struct hf_error *error);
/* From the last visit, without another. */
HF_MUST_USE enum hf_result hf_tpm2_status(struct hf_tpm2 *t, struct hf_element_status *ret);

/* tpm2_delay.c: seconds until the next try is judged, after count failures; starts the delay afresh when it is not known. */
HF_MUST_USE enum hf_result hf_tpm2_delay(struct hf_tpm2 *t, uint32_t count, uint32_t *ret_s);
/* tpm2_status.c: the public parts, as a JSON object. */
void hf_tpm2_public_json(const struct hf_tpm2 *t, char *out, size_t cap);

#endif
