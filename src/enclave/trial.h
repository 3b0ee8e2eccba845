/* enclave/trial.h: inside the enclave alone: a passcode or phrase on its way from the owner to the keys: taken, judged by the element, what it opens, and the keybag saved under what it gives.
 * Used by the verbs of unlock.c and create.c. Source: spec/10-keybag.md, spec/40-attempts.md. */
#ifndef HF_ENCLAVE_TRIAL_H
#define HF_ENCLAVE_TRIAL_H

#include "base/cleanup.h"
#include "enclave/enclave.h"

/* What a passcode gives: by Argon2id alone, then by the element's release. */
struct hf_derived {
    struct hf_element_auth auth;
    struct hf_duress_auth second; /* what Q would be asked with, were this the duress passcode */
    struct hf_kek_half half;
    struct hf_release_secret release;
    struct hf_device_secret device_secret;
    struct hf_device_key device_key;
    struct hf_kek kek;
    bool arena_locked; /* Argon2id's memory could not reach swap */
};

/* What a verb holds while it runs; wiped on every way out. */
struct hf_trial {
    struct hf_passcode passcode, fresh;
    struct hf_recovery_secret phrase;
    struct hf_derived d;
    struct hf_keybag_keys user, all;
};

void hf_cleanup_trial(struct hf_trial *trial);

/* The next secret of the verb's own channel: it must be of that kind. A passcode is normalised [PC-1]. */
HF_MUST_USE enum hf_result hf_trial_take(struct hf_exchange *x, uint8_t kind, struct hf_passcode *ret);
/* [EL-21] */
HF_MUST_USE enum hf_result hf_trial_take_sentence(struct hf_exchange *x, char out[HF_SENTENCE_MAX]);
/* A phrase to the owner, on that channel. */
HF_MUST_USE enum hf_result hf_trial_give(struct hf_exchange *x, const struct hf_recovery_secret *secret);
/* A new phrase; user gets its public key. */
void hf_trial_make_phrase(const uint8_t vault_id[16], struct hf_keybag_keys *user, struct hf_recovery_secret *ret);

/* May this passcode be set before an element of that kind [EL-12], and on this machine [EL-16]? HF_REFUSED. */
HF_MUST_USE enum hf_result hf_trial_floor(const struct hf_passcode *passcode, uint32_t kind, struct hf_error *error);
/* [EL-23] Argon2id's memory could reach this machine's swap: its owner is told. */
bool hf_trial_may_swap(uint32_t kdf_memory_kib);
HF_MUST_USE enum hf_result hf_trial_swap(const struct hf_passcode *passcode, const struct hf_derived *d, struct hf_error *error);

/* Argon2id: auth, second, half. Takes as long as the header's cost says. */
HF_MUST_USE enum hf_result hf_trial_derive(const struct hf_passcode *passcode, const struct hf_public_header *header, struct hf_derived *d, struct hf_error *error);
/* From half and release. */
void hf_trial_kek(struct hf_derived *d, const uint8_t vault_id[16]);
/* Counts and judges the passcode; on success d has the KEK and *ret_user the user section. A duress passcode has erased by the time this returns. */
HF_MUST_USE enum hf_result hf_trial_judge(struct hf_enclave *e, const struct hf_passcode *passcode, struct hf_derived *d, struct hf_keybag_keys *ret_user, struct hf_error *error);
/* The enclave has the keys from now on. */
void hf_trial_unlocked(struct hf_enclave *e, const struct hf_keybag_keys *user, const struct hf_derived *d);

/* Saves header (its generation is the next), then lets the element follow. */
HF_MUST_USE enum hf_result hf_trial_save(struct hf_enclave *e, const struct hf_public_header *header, const struct hf_keybag_keys *user, const struct hf_kek *kek, bool commit,
                                         struct hf_error *error);
/* The keybag of this header is the one on disk, whatever failed with or after that. */
bool hf_trial_is_saved(const struct hf_enclave *e, const struct hf_public_header *header);

#endif
