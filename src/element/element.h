/* element/element.h: one vault's element, of either kind, behind one face. Call order: hello, then the rest. Source: spec/50-element.md, proto/element.h. */
#ifndef HF_ELEMENT_ELEMENT_H
#define HF_ELEMENT_ELEMENT_H

#include "element/grant.h"
#include "element/software.h"
#include "element/tpm2.h"

struct hf_element {
    int root; /* the state directory (element/state.h); -1: it could not be opened */
    int roots; /* where tpm-roots.pem lies: the same, or in packaged mode the directory of all owners */
    int dir;  /* the vault's folder in it; -1: before hello */
    uint32_t kind;
    uint8_t vault_id[16];
    uint32_t failed_before; /* as the last success reported it */
    struct hf_software software;
    struct hf_tpm2 tpm2;
};

/* kind AUTO (at creation alone): the TPM when it can be reached, else software. */
HF_MUST_USE enum hf_result hf_element_hello(struct hf_element *e, const uint8_t vault_id[16], uint32_t kind, const char *tcti, struct hf_span blob,
                                            struct hf_error *error);
/* enum hf_element_state, as last found. */
uint8_t hf_element_state(const struct hf_element *e);
HF_MUST_USE enum hf_result hf_element_provision(struct hf_element *e, const struct hf_element_auth *auth, const struct hf_duress_auth *duress, const struct hf_policy *policy,
                                                uint64_t generation, bool trusted, uint32_t measure, struct hf_grant *ret, struct hf_error *error);
/* As provision, with another kind or TPM; what was there goes. */
HF_MUST_USE enum hf_result hf_element_fresh(struct hf_element *e, uint32_t kind, const char *tcti, const struct hf_element_auth *auth,
                                            const struct hf_duress_auth *duress, const struct hf_policy *policy, uint64_t generation, bool trusted, uint32_t measure, struct hf_grant *ret,
                                            struct hf_error *error);
HF_MUST_USE enum hf_result hf_element_release(struct hf_element *e, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                              struct hf_release_secret *ret, struct hf_error *error);
/* The second index took the last try. */
bool hf_element_duress(const struct hf_element *e);
HF_MUST_USE enum hf_result hf_element_decoy(struct hf_element *e, struct hf_grant *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_element_device(struct hf_element *e, struct hf_device_secret *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_element_prepare(struct hf_element *e, const struct hf_element_auth *auth, const struct hf_duress_auth *duress,
                                              const struct hf_seal_request *seal, struct hf_grant *ret, struct hf_error *error);
HF_MUST_USE enum hf_result hf_element_commit(struct hf_element *e, uint32_t slot, struct hf_error *error);
HF_MUST_USE enum hf_result hf_element_step(struct hf_element *e, uint64_t generation, struct hf_error *error);
/* Q's count becomes 0, where it can: *ret_stale tells. */
HF_MUST_USE enum hf_result hf_element_refresh(struct hf_element *e, const struct hf_duress_auth *duress, bool *ret_stale, struct hf_error *error);
/* H; *ret_count: its value then. */
HF_MUST_USE enum hf_result hf_element_step_head(struct hf_element *e, uint64_t value, bool anew, uint64_t *ret_count, struct hf_error *error);
uint64_t hf_element_generation(const struct hf_element *e);
HF_MUST_USE enum hf_result hf_element_erase(struct hf_element *e, struct hf_error *error);
/* look: ask the TPM again instead of telling what the last visit found. */
HF_MUST_USE enum hf_result hf_element_status(struct hf_element *e, bool look, struct hf_element_status *ret, struct hf_error *error);

#endif
