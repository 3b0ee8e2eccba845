/* The verbs that make a vault's keybag anew: for a new vault, and by the phrase for one whose passcode or element is gone. */
#include <stdio.h>
#include <string.h>

#include "enclave/trial.h"
#include "os/random.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

enum { TPM_ATTEMPTS = 10, TARGET_MS = 1000, MAX_AUTO_KIB = 1024 * 1024 };

static enum hf_result create(struct hf_enclave *e, struct hf_exchange *x, struct hf_public_header *h, bool recovery, bool trusted, uint32_t measure,
                             const struct hf_passcode *passcode, struct hf_recovery_secret *phrase, struct hf_derived *d, struct hf_keybag_keys *user)
{
    uint32_t kind;
    if (h->element_kind != HF_ELEMENT_AUTO) /* refused before anything is touched; AUTO's kind shows below */
        HF_TRY(hf_trial_floor(passcode, h->element_kind, &x->error));
    hf_random(h->vault_id, sizeof h->vault_id);
    hf_random(h->salt, sizeof h->salt);
    h->generation = 1;
    h->has_recovery = recovery;
    HF_TRY(hf_link_hello(e, h, true, &kind, &x->error));
    h->element_kind = kind;
    HF_TRY(hf_trial_floor(passcode, kind, &x->error));
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        HF_TRY(hf_keystore_add(class == HF_CLASS_ALWAYS ? &e->device_keys : user, class));
    e->device_keys.policy = user->policy = h->policy;
    hf_keystore_public(user, h);
    hf_duress_none(user);
    HF_TRY(hf_trial_derive(passcode, h, d, &x->error));
    HF_TRY(hf_trial_swap(passcode, d, &x->error));
    HF_TRY(hf_link_provision(e, false, trusted, measure, &d->auth, &user->duress, h, &d->release, &d->device_secret, &x->error));
    HF_TRY(hf_link_status(e, &x->error));
    hf_keystore_device_key(&d->device_secret, h->vault_id, &e->device_key);
    hf_trial_kek(d, h->vault_id);
    if (recovery)
        hf_trial_make_phrase(h->vault_id, user, phrase);
    HF_TRY(hf_head_create(&e->device_key, h->vault_id, e->element.head_count));
    HF_TRY(hf_trial_save(e, h, user, &d->kek, false, &x->error));
    if (recovery) /* once the vault stands: a phrase that was shown is always one that opens it */
        HF_TRY(hf_trial_give(x, phrase));
    e->loaded = e->device = true;
    hf_trial_unlocked(e, user, d);
    hf_write_bytes(&x->out, h->vault_id, sizeof h->vault_id);
    hf_write_u32(&x->out, measure != 0 ? e->element.untouched_pcrs : 0);
    hf_write_u8(&x->out, !d->arena_locked && hf_secret_machine_swaps());
    return HF_OK;
}

/* Nothing of a vault that could not be made stays: not in the element either. The supervisor removes its directory. */
static void unmake(struct hf_enclave *e)
{
    struct hf_error ignored;
    if (e->greeted && hf_link_erase(e, &ignored) != HF_OK)
        return; /* then its record stays behind, for a vault that nobody has */
    hf_wipe(&e->header, sizeof e->header);
    hf_wipe(&e->device_keys, sizeof e->device_keys);
    hf_device_key_wipe(&e->device_key);
}

enum hf_result hf_verb_create(struct hf_enclave *e, struct hf_exchange *x)
{
    struct hf_public_header h = {0};
    hf_policy_read(&x->in, &h.policy);
    h.kdf_memory_kib = hf_read_u32(&x->in);
    h.kdf_passes = hf_read_u32(&x->in);
    h.kdf_lanes = 1;
    h.element_kind = hf_read_u32(&x->in);
    hf_read_string(&x->in, h.tcti, sizeof h.tcti);
    bool recovery = hf_read_bool(&x->in);
    bool trusted = hf_read_bool(&x->in);
    uint32_t measure = hf_read_u32(&x->in);
    bool sentence = hf_read_bool(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || h.element_kind > HF_ELEMENT_TPM2 || e->loaded || measure >= HF_MEASURE_KEEP || (sentence && measure == 0))
        return HF_PROTOCOL;
    if (measure != 0 && !recovery) /* [EL-20] */
        return hf_fail(&x->error, HF_REFUSED, "a vault that is sealed to its software needs a recovery phrase: the next firmware may be another");
    if (h.kdf_memory_kib == 0) {
        struct hf_argon_cost cost = hf_argon_calibrate(MAX_AUTO_KIB, TARGET_MS);
        h.kdf_memory_kib = cost.memory_kib;
        h.kdf_passes = cost.passes;
    }
    if (h.kdf_memory_kib < HF_ARGON_MIN_KIB || h.kdf_memory_kib > HF_ARGON_MAX_KIB || h.kdf_passes < 1 || h.kdf_passes > HF_ARGON_MAX_PASSES)
        return hf_fail(&x->error, HF_REFUSED, "Argon2id's cost must be 64 MiB to 4 GiB and 1 to 64 passes");
    HF_CLEANUP(trial) struct hf_trial t = {0};
    HF_TRY(hf_trial_take(x, HF_SECRET_PASSCODE, &t.passcode));
    if (sentence)
        HF_TRY(hf_trial_take_sentence(x, e->device_keys.sentence));
    enum hf_result result = create(e, x, &h, recovery, trusted, measure, &t.passcode, &t.phrase, &t.d, &t.user);
    if (result != HF_OK)
        unmake(e);
    return result;
}

static enum hf_result recover(struct hf_enclave *e, struct hf_exchange *x, struct hf_public_header *h, bool trusted, uint32_t measure,
                              struct hf_keybag_keys *all, const struct hf_passcode *fresh, struct hf_derived *d, struct hf_keybag_keys *user)
{
    uint32_t kind;
    HF_TRY(hf_trial_floor(fresh, h->element_kind, &x->error));
    if (!e->greeted)
        HF_TRY(hf_link_hello(e, h, false, &kind, &x->error));
    hf_wipe(&e->device_keys, sizeof e->device_keys);
    *user = *all;
    user->count = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        struct hf_keybag_keys *to = all->entries[i].class == HF_CLASS_ALWAYS ? &e->device_keys : user;
        to->entries[to->count++] = all->entries[i];
    }
    e->device_keys.policy = h->policy;
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        HF_TRY(hf_keystore_add(class == HF_CLASS_ALWAYS ? &e->device_keys : user, class));
    hf_keystore_public(user, h);
    hf_random(h->salt, sizeof h->salt);
    hf_duress_none(user);
    HF_TRY(hf_trial_derive(fresh, h, d, &x->error));
    HF_TRY(hf_trial_swap(fresh, d, &x->error));
    HF_TRY(hf_link_provision(e, true, trusted, measure, &d->auth, &user->duress, h, &d->release, &d->device_secret, &x->error));
    hf_keystore_device_key(&d->device_secret, h->vault_id, &e->device_key);
    hf_trial_kek(d, h->vault_id);
    HF_TRY(hf_link_status(e, &x->error));
    hf_wipe(user->sentence, sizeof user->sentence);
    if (e->element.pcrs != 0)
        memcpy(e->device_keys.sentence, all->sentence, sizeof all->sentence);
    /* The head first: with the new keybag and a head under the old device key the vault would unlock and not mount. A cut between asks for the phrase once more. */
    HF_TRY(hf_head_adopt(&e->device_key, h->vault_id, e->element.head_count));
    HF_TRY(hf_trial_save(e, h, user, &d->kek, false, &x->error));
    e->loaded = e->device = true;
    hf_trial_unlocked(e, user, d);
    hf_write_u32(&x->out, HF_CLASS_LAST);
    return HF_OK;
}

enum hf_result hf_verb_recover(struct hf_enclave *e, struct hf_exchange *x)
{
    char tcti[HF_KEYBAG_TCTI_MAX];
    bool test = hf_read_bool(&x->in);
    uint32_t kind = hf_read_u32(&x->in);
    hf_read_string(&x->in, tcti, sizeof tcti);
    bool trusted = hf_read_bool(&x->in);
    uint32_t measure = hf_read_u32(&x->in);
    bool sentence = hf_read_bool(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || kind > HF_ELEMENT_TPM2 || measure > HF_MEASURE_KEEP ||
        (sentence && (test || measure == 0 || measure == HF_MEASURE_KEEP)))
        return HF_PROTOCOL;
    HF_CLEANUP(trial) struct hf_trial t = {0};
    struct hf_public_header h;
    HF_TRY(hf_trial_take(x, HF_SECRET_RECOVERY, &t.passcode));
    if (t.passcode.len != sizeof t.phrase.bytes)
        return HF_PROTOCOL;
    memcpy(t.phrase.bytes, t.passcode.bytes, sizeof t.phrase.bytes);
    HF_TRY(hf_keystore_open_box(&t.phrase, &h, &t.all, &x->error));
    if (test) {
        hf_write_u32(&x->out, 0);
        return HF_OK;
    }
    h.element_kind = kind == HF_ELEMENT_AUTO ? HF_ELEMENT_SOFTWARE : kind;
    memcpy(h.tcti, tcti, sizeof h.tcti);
    if (h.element_kind == HF_ELEMENT_TPM2 && h.policy.attempts == 0) /* a vault that had no limit gets the TPM's */
        h.policy.attempts = t.all.policy.attempts = TPM_ATTEMPTS;
    h.generation++;
    HF_TRY(hf_trial_take(x, HF_SECRET_NEW_PASSCODE, &t.fresh));
    if (sentence)
        HF_TRY(hf_trial_take_sentence(x, t.all.sentence));
    struct hf_keybag_keys device_keys = e->device_keys;
    struct hf_device_key device_key = e->device_key;
    enum hf_result result = recover(e, x, &h, trusted, measure, &t.all, &t.fresh, &t.d, &t.user);
    if (result != HF_OK && !hf_trial_is_saved(e, &h)) { /* the keybag on disk is the old one: so are the keys here */
        e->device_keys = device_keys;
        e->device_key = device_key;
        if (e->device && hf_head_keep(&e->device_key, e->header.vault_id) != HF_OK)
            (void)fprintf(stderr, "holdfast-enclave: the head belongs to the recovery that failed: recover again before the next mount\n");
    }
    hf_wipe(&device_keys, sizeof device_keys);
    hf_device_key_wipe(&device_key);
    return result;
}
