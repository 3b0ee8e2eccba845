/* enclave/enclave.h: what the enclave holds between requests, and what its files offer each other. All of it lies in the secret arena.
 * Source: spec/60-processes.md, spec/10-keybag.md, spec/40-attempts.md. */
#ifndef HF_ENCLAVE_ENCLAVE_H
#define HF_ENCLAVE_ENCLAVE_H

#include "crypto/argon.h"
#include "crypto/onepass.h"
#include "crypto/recovery.h"
#include "crypto/wrap.h"
#include "format/head.h"
#include "format/keybag.h"
#include "keys/device_key.h"
#include "keys/device_secret.h"
#include "keys/kek.h"
#include "keys/release_secret.h"
#include "os/secret.h"
#include "proto/control.h"
#include "proto/message.h"

#define HF_ENCLAVE_MESSAGE_MAX 24576
#define HF_TRY_CACHE_LEN 16

struct hf_enclave {
    bool loaded;     /* a keybag was read and parsed */
    bool device;     /* device_key is there: MAC checked, device section open */
    bool greeted;    /* the element knows which vault */
    bool unlocked_once;
    bool erased;
    bool burned;     /* a duress passcode was taken in this request */
    bool packaged;   /* secrets come by connections of the owner, not with the verb */
    uid_t owner;
    int timer;             /* [LK-4] readable when the inactivity limit has passed; -1: none */
    bool head_open, head_older; /* the filesystem serves; the head was older than the element counts and is not accepted yet */
    uint64_t head_stepped_ms;
    uint64_t expires_at_ms; /* 0: no class is locked, or there is no limit */
    uint32_t failed_since_unlock;
    struct hf_public_header header;
    struct hf_device_key device_key;
    struct hf_keybag_keys device_keys; /* class always */
    struct hf_keybag_keys user_keys;   /* the others; keys of locked classes are zeros */
    uint32_t available, meta;          /* HF_CLASS_BIT masks */
    bool kek_there;                    /* with class complete: rotation needs it */
    struct hf_kek kek;
    uint8_t cache_key[32];
    uint8_t cache[HF_TRY_CACHE_LEN][32];
    uint32_t cache_count;              /* ever put in: the oldest is overwritten */
    struct hf_element_status element;  /* as last told */
    char note[128];
    uint8_t in[HF_ENCLAVE_MESSAGE_MAX], body[HF_ENCLAVE_MESSAGE_MAX], out[HF_ENCLAVE_MESSAGE_MAX];
    uint8_t element_buffer[8192];
};

/* One request: what came, where its reply's body goes, its text when it fails. secret: the descriptor that came along, or -1. */
struct hf_exchange {
    struct hf_reader in;
    struct hf_writer out;
    struct hf_error error;
    int secret;
    bool body_always;
};

/* elementlink.c */
HF_MUST_USE enum hf_result hf_link_hello(struct hf_enclave *e, const struct hf_public_header *header, bool creating, uint32_t *ret_kind,
                                         struct hf_error *error);
HF_MUST_USE enum hf_result hf_link_status(struct hf_enclave *e, struct hf_error *error);
HF_MUST_USE enum hf_result hf_link_device(struct hf_enclave *e, struct hf_device_secret *ret, struct hf_error *error);
/* *ret_duress: refused, and the second index took it. */
HF_MUST_USE enum hf_result hf_link_release(struct hf_enclave *e, const struct hf_element_auth *auth, const struct hf_duress_auth *second,
                                           struct hf_release_secret *ret, bool *ret_duress, struct hf_error *error);
/* Fills slot and blob of header. */
HF_MUST_USE enum hf_result hf_link_decoy(struct hf_enclave *e, struct hf_public_header *header, struct hf_release_secret *ret_release,
                                         struct hf_device_secret *ret_device, struct hf_error *error);
/* Q is as new, or e->element.second_stale. */
HF_MUST_USE enum hf_result hf_link_refresh(struct hf_enclave *e, const struct hf_duress_auth *second, struct hf_error *error);
/* The head's counter upward to value; e->element has its count then. */
HF_MUST_USE enum hf_result hf_link_head(struct hf_enclave *e, uint64_t value, bool anew, struct hf_error *error);
/* PROVISION, or FRESH with kind and tcti. Fills slot and blob of header. measure: proto/element.h. */
HF_MUST_USE enum hf_result hf_link_provision(struct hf_enclave *e, bool fresh, bool trusted, uint32_t measure, const struct hf_element_auth *auth,
                                             const struct hf_duress_auth *second, struct hf_public_header *header, struct hf_release_secret *ret_release, struct hf_device_secret *ret_device, struct hf_error *error);
HF_MUST_USE enum hf_result hf_link_prepare(struct hf_enclave *e, const struct hf_element_auth *auth, const struct hf_duress_auth *second,
                                           const struct hf_seal_request *seal, struct hf_public_header *header, struct hf_release_secret *ret_release, struct hf_error *error);
HF_MUST_USE enum hf_result hf_link_commit(struct hf_enclave *e, uint32_t slot, struct hf_error *error);
HF_MUST_USE enum hf_result hf_link_step(struct hf_enclave *e, uint64_t generation, struct hf_error *error);
HF_MUST_USE enum hf_result hf_link_erase(struct hf_enclave *e, struct hf_error *error);

/* keystore.c */
/* Reads and parses the file; *ret views a buffer that the next load or save overwrites. */
HF_MUST_USE enum hf_result hf_keystore_read(struct hf_keybag_view *ret, struct hf_error *error);
/* Opens the device section and checks MAC [KB-2] and generation [KB-3]; finishes what a power cut left to do. */
HF_MUST_USE enum hf_result hf_keystore_load(struct hf_enclave *e, struct hf_error *error);
/* A change that a power cut or a failed call cut short is finished: the keybag says which slot and generation count. The element's status is there, and is afterwards. */
HF_MUST_USE enum hf_result hf_keystore_catch_up(struct hf_enclave *e, struct hf_error *error);
/* Before a try: a save that failed, and of which not even that could be seen, may have left a newer keybag than the one in memory. */
HF_MUST_USE enum hf_result hf_keystore_refresh(struct hf_enclave *e, struct hf_error *error);
/* After a save that failed: its file has the name all the same; whether for good, nobody knows. */
bool hf_keystore_is_there(const struct hf_public_header *header);
HF_MUST_USE enum hf_result hf_keystore_open_user(const struct hf_kek *kek, struct hf_keybag_keys *ret, struct hf_error *error);
/* Opens the recovery box. It holds the always keys too. */
HF_MUST_USE enum hf_result hf_keystore_open_box(const struct hf_recovery_secret *secret, struct hf_public_header *ret_header, struct hf_keybag_keys *ret,
                                                struct hf_error *error);
HF_MUST_USE enum hf_result hf_keystore_save(const struct hf_public_header *header, const struct hf_keybag_keys *user, const struct hf_keybag_keys *device,
                                            const struct hf_kek *kek, const struct hf_device_key *device_key, struct hf_error *error);
void hf_keystore_device_key(const struct hf_device_secret *secret, const uint8_t vault_id[16], struct hf_device_key *ret);
/* The keybag and the head go from the disk. */
HF_MUST_USE enum hf_result hf_keystore_destroy(void);
/* A fresh entry of the class's next generation. HF_TOO_LARGE when the table is full. */
HF_MUST_USE enum hf_result hf_keystore_add(struct hf_keybag_keys *keys, unsigned class);
/* The header's public key becomes that of the newest private half [UO-4]. */
void hf_keystore_public(const struct hf_keybag_keys *user, struct hf_public_header *header);
/* [UO-11] The pair that files went to since the start is the owner's. */
HF_MUST_USE bool hf_keystore_public_is_ours(const struct hf_keybag_keys *user, const struct hf_public_header *header);
/* generation 0: the current one. NULL when there is none. */
const struct hf_keybag_entry *hf_keystore_find(const struct hf_enclave *e, unsigned class, uint32_t generation);

/* create.c: the verbs that make the keybag anew */
enum hf_result hf_verb_create(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_recover(struct hf_enclave *e, struct hf_exchange *x);

/* unlock.c: the verbs that need the passcode, and those of an unlocked vault */
enum hf_result hf_verb_unlock(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_passcode(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_new_recovery(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_settings(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_rotate(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_reseal(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_sentence(struct hf_enclave *e, struct hf_exchange *x);
enum hf_result hf_verb_duress(struct hf_enclave *e, struct hf_exchange *x);

/* trycache.c: the same wrong passcode does not count twice [AT-3]. */
bool hf_cache_has(const struct hf_enclave *e, const struct hf_passcode *passcode);
void hf_cache_put(struct hf_enclave *e, const struct hf_passcode *passcode);
void hf_cache_clear(struct hf_enclave *e);

/* duress.c: the passcode that erases. Source: spec/51-duress.md */
/* From A of any passcode: what the second index would be asked with. */
void hf_duress_derive(const struct hf_element_auth *auth, const uint8_t vault_id[16], struct hf_duress_auth *ret);
/* A random one, which no passcode gives. */
void hf_duress_none(struct hf_keybag_keys *user);
/* Equal, or one character typed wrong, left out, put in, or two exchanged [DU-9]. */
bool hf_duress_is_near(const struct hf_passcode *a, const struct hf_passcode *b);
/* The second index took a try: everything that the vault's passcode and phrase open is destroyed, and a vault that nobody can open stands in its place.
 * The verdict of the try stays what it was. e->burned: the supervisor is to evict all classes. */
void hf_duress_burn(struct hf_enclave *e);
/* Waits until a refused try has taken as long as one that burns [DU-8]. asked_ms: when the element was asked. */
void hf_duress_even_out(const struct hf_enclave *e, uint64_t asked_ms);

/* serve.c: the table of requests a channel and state permits [CH-1] */
void hf_enclave_forget(struct hf_enclave *e, uint32_t classes);
/* The time from which a locked vault goes back to before its first unlock begins, or ends. */
void hf_enclave_expect(struct hf_enclave *e, bool locked);
void hf_enclave_write_status(struct hf_enclave *e, struct hf_writer *writer);
int hf_enclave_serve(struct hf_enclave *e);

/* filekeys.c, head.c: the keys channel */
enum hf_result hf_filekeys_request(struct hf_enclave *e, uint16_t request, struct hf_exchange *x);
enum hf_result hf_head_create(const struct hf_device_key *key, const uint8_t vault_id[16], uint64_t count);
/* After the device key changed: authenticates what is there anew, as open. count: of the element's new counter. */
enum hf_result hf_head_adopt(const struct hf_device_key *key, const uint8_t vault_id[16], uint64_t count);
/* The same, with state and count as they are. */
HF_MUST_USE enum hf_result hf_head_keep(const struct hf_device_key *key, const uint8_t vault_id[16]);
/* An unlock of an open vault steps the count, once an hour at most [FR-14]. */
void hf_head_unlocked(struct hf_enclave *e);
enum hf_result hf_head_request(struct hf_enclave *e, uint16_t request, struct hf_exchange *x);

/* packaged.c */
/* Descriptors 4 to 7 into their places; answers the supervisor. */
HF_MUST_USE enum hf_result hf_enclave_attach(uid_t *ret_owner, struct hf_error *error);
HF_MUST_USE enum hf_result hf_enclave_take_connection(const struct hf_enclave *e, int *ret_fd);

/* sandbox.c */
HF_MUST_USE enum hf_result hf_enclave_confine(struct hf_enclave *e);

#endif
