/* element/software.h: the element without hardware: a record in the owner's state directory. Anyone who copies that directory guesses offline;
 * the passphrase and Argon2id are then the whole strength. Call order: open, then the rest. Source: spec/50-element.md. */
#ifndef HF_ELEMENT_SOFTWARE_H
#define HF_ELEMENT_SOFTWARE_H

#include "element/record.h"

struct hf_software {
    int dir; /* the vault's folder (element/state.h), the caller's; -1: not open */
    bool released; /* a RELEASE succeeded in this process */
    struct hf_element_record record;
};

/* A missing record is HF_OK with state EMPTY. */
HF_MUST_USE enum hf_result hf_software_open(struct hf_software *element, int dir, const uint8_t vault_id[16], struct hf_error *error);
/* Fresh S and D, replacing what is there. *ret_release, *ret_device: the caller wipes. */
HF_MUST_USE enum hf_result hf_software_provision(struct hf_software *element, const struct hf_element_auth *auth, const struct hf_policy *policy,
                                                 struct hf_release_secret *ret_release);
HF_MUST_USE enum hf_result hf_software_prepare(struct hf_software *element, const struct hf_element_auth *auth, uint32_t *ret_slot,
                                               struct hf_release_secret *ret_release);
HF_MUST_USE enum hf_result hf_software_commit(struct hf_software *element, uint32_t slot);
HF_MUST_USE enum hf_result hf_software_step(struct hf_software *element, uint64_t generation);
HF_MUST_USE enum hf_result hf_software_erase(struct hf_software *element);
HF_MUST_USE enum hf_result hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth,
                                              struct hf_release_secret *ret_release);

/* attempts.c: judges one try, counting it first. HF_WRONG_PASSCODE, HF_DELAYED, HF_GONE, or a failed write (then it was not judged). */
HF_MUST_USE enum hf_result hf_attempt(struct hf_software *element, const struct hf_element_auth *auth, struct hf_release_secret *ret_release,
                                      uint32_t *ret_failed_before);
/* Seconds of delay that the policy puts after so many failures in a row. */
uint32_t hf_attempt_delay_after(const struct hf_policy *policy, uint32_t failed);
/* Seconds until the next try is judged; 0: now. Starts the delay afresh, durably, after another boot. */
HF_MUST_USE enum hf_result hf_attempt_delay(struct hf_software *element, uint32_t *ret_s);

#endif
