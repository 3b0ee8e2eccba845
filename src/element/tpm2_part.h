/* element/tpm2_part.h: between the tpm2 element's own files alone. */
#ifndef HF_ELEMENT_TPM2_PART_H
#define HF_ELEMENT_TPM2_PART_H

#include "element/tpm2.h"
#include "element/tpm2_nv.h"

/* What P and Q are made with. */
struct hf_tpm2_auths {
    const struct hf_element_auth *first;
    const struct hf_duress_auth *second;
    uint32_t count;     /* that both begin with: 0, but for a decoy [DU-6] */
    bool same_handles;  /* where the ones before were, if they are free */
};

/* tpm2.c */
HF_MUST_USE enum hf_result hf_tpm2_take_tcti(struct hf_tpm2 *t, const char *tcti);
HF_MUST_USE enum hf_result hf_tpm2_find(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, uint32_t counter, ESYS_TR *ret_index,
                                        enum hf_nv_found *ret_found, struct hf_error *error);
bool hf_tpm2_is_pin(const struct hf_tpm2_pin *a, const struct hf_tpm2_pin *b);
HF_MUST_USE enum hf_result hf_tpm2_look(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error);

/* tpm2_make.c: what is made in the TPM, and what goes from it */
/* What is to be made, written down before it is [EL-5]; pins that are not used clear it. */
HF_MUST_USE enum hf_result hf_tpm2_note_doing(struct hf_tpm2 *t, const struct hf_tpm2_pin *pin, const struct hf_tpm2_pin *second, uint32_t counter);
/* P and Q; S and D sealed to P and to the values in blob's seals. D is the one in ret already. */
HF_MUST_USE enum hf_result hf_tpm2_make_grant(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_auths *auths, struct hf_tpm2_blob *blob,
                                              struct hf_grant *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_prove_present(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_blob *blob, struct hf_error *error);
HF_MUST_USE enum hf_result hf_tpm2_hand_over(const struct hf_tpm2_blob *blob, struct hf_grant *ret, struct hf_error *error);
enum hf_result hf_tpm2_drop_pin(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, uint32_t counter, struct hf_error *error);
/* Everything that the blob names, P first [EL-7]. Goes on after a failure and returns the first. */
enum hf_result hf_tpm2_drop_all(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_tpm2_blob *blob, struct hf_error *error);

/* tpm2_second.c: Q */
/* Whether Q has counted anything, or is not what it was made to be [DU-4]. */
HF_MUST_USE enum hf_result hf_tpm2_look_at_second(struct hf_tpm2 *t, struct hf_tpm *tpm, struct hf_error *error);
/* Asked after P refused, never before: true when Q takes it. */
bool hf_tpm2_ask_second(struct hf_tpm2 *t, struct hf_tpm *tpm, const struct hf_duress_auth *auth);

#endif
