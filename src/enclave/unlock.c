/* The verbs that need the passcode, and those of an unlocked vault. */
#include <stdio.h>
#include <string.h>

#include "enclave/trial.h"
#include "os/random.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

/* Another P, S and keybag: after it the older ones open nothing. fresh NULL: with the passcode that d has. */
static enum hf_result renew(struct hf_enclave *e, const struct hf_passcode *fresh, const struct hf_seal_request *seal, struct hf_derived *d,
                            struct hf_keybag_keys *user, struct hf_error *error)
{
    struct hf_public_header h = e->header;
    h.generation++;
    if (fresh) {
        HF_TRY(hf_trial_floor(fresh, h.element_kind, error));
        if (h.element_kind != HF_ELEMENT_TPM2) /* there Q's authorisation was made with this salt, and stays [DU-5] */
            hf_random(h.salt, sizeof h.salt);
        HF_TRY(hf_trial_derive(fresh, &h, d, error));
        HF_TRY(hf_trial_swap(fresh, d, error));
    }
    HF_TRY(hf_link_prepare(e, &d->auth, &user->duress, seal, &h, &d->release, error));
    hf_trial_kek(d, h.vault_id);
    enum hf_result result = hf_trial_save(e, &h, user, &d->kek, true, error);
    if (hf_trial_is_saved(e, &h)) { /* a COMMIT that failed is caught up with before the next try */
        if (e->kek_there)
            e->kek = d->kek;
        hf_cache_clear(e);
    }
    return result;
}

static const struct hf_seal_request kept = {.how = HF_SEAL_KEEP, .measure = HF_MEASURE_KEEP}, settled = {.how = HF_SEAL_PRESENT, .measure = HF_MEASURE_KEEP};

/* [EL-19] The first unlock under predicted software: the seal to the software before goes, and with a new P whatever was copied of it. [DU-4] Q is to count
 * from 0 again; where it can't (it is gone, or its tries were spent), both are made anew. What keeps it from being done keeps nobody out: the keybag, or Q's count, still says that it is to be done. */
static void settle_element(struct hf_enclave *e, struct hf_trial *t)
{
    static const char seal[] = "the seal to the software before still stands; the next unlock tries again", indices[] = "the TPM's indices could not be made anew; the next unlock tries again";
    struct hf_error error = {.result = HF_OK};
    uint64_t generation = e->header.generation;
    bool predicted = e->element.fit == HF_FIT_PREDICTED;
    if (!predicted && e->element.second_stale)
        (void)!hf_link_refresh(e, &t->user.duress, &error);
    if (!predicted && !e->element.second_stale)
        return;
    HF_CLEANUP(trial) struct hf_trial before = {.d = t->d};
    (void)renew(e, NULL, predicted ? &settled : &kept, &t->d, &t->user, &error);
    if (e->header.generation == generation) {
        t->d = before.d;
        (void)snprintf(e->note, sizeof e->note, "%s (%.40s)", predicted ? seal : indices, error.text);
    } else if (strncmp(e->note, seal, sizeof seal - 1) == 0 || strncmp(e->note, indices, sizeof indices - 1) == 0) {
        e->note[0] = '\0';
    }
}

/* The passcode as it came, judged: t->user and t->d are there. */
static enum hf_result take_and_judge(struct hf_enclave *e, struct hf_exchange *x, struct hf_trial *t)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    HF_TRY(hf_trial_take(x, HF_SECRET_PASSCODE, &t->passcode));
    HF_TRY(hf_trial_judge(e, &t->passcode, &t->d, &t->user, &x->error));
    settle_element(e, t);
    return HF_OK;
}

enum hf_result hf_verb_unlock(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct hf_trial t = {0};
    HF_TRY(take_and_judge(e, x, &t));
    if (!hf_keystore_public_is_ours(&t.user, &e->header)) /* [UO-11] the file's was put right again behind us */
        return hf_fail(&x->error, HF_DAMAGED, "keybag (.holdfast/keybag): what arrived since the start went to a key for class unless-open that is not the sealed one's: close the vault and look who had the disk");
    e->failed_since_unlock = e->element.failed_since_success;
    hf_trial_unlocked(e, &t.user, &t.d);
    hf_head_unlocked(e);
    hf_enclave_write_status(e, &x->out);
    return HF_OK;
}

/* Sets it, or takes it away; either way looks the same from outside [DU-1]. */
enum hf_result hf_verb_duress(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct hf_trial t = {0}, other = {0};
    uint64_t generation = e->header.generation;
    bool away = hf_read_bool(&x->in);
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    if (e->header.element_kind != HF_ELEMENT_TPM2)
        return hf_fail(&x->error, HF_UNSUPPORTED, "only a TPM can hold a duress passcode; nothing was changed");
    HF_TRY(hf_trial_take(x, HF_SECRET_PASSCODE, &t.passcode));
    if (!away)
        HF_TRY(hf_trial_take(x, HF_SECRET_NEW_PASSCODE, &t.fresh));
    HF_TRY(hf_trial_judge(e, &t.passcode, &t.d, &t.user, &x->error));
    if (away) {
        hf_duress_none(&t.user);
    } else {
        HF_TRY(hf_trial_floor(&t.fresh, e->header.element_kind, &x->error));
        if (hf_duress_is_near(&t.passcode, &t.fresh)) /* [DU-9] */
            return hf_fail(&x->error, HF_REFUSED, "the duress passcode is the passcode, or one slip of a finger away from it; nothing was changed");
        HF_TRY(hf_trial_derive(&t.fresh, &e->header, &other.d, &x->error));
        HF_TRY(hf_trial_swap(&t.fresh, &other.d, &x->error));
        t.user.duress = other.d.second;
    }
    enum hf_result result = renew(e, NULL, e->element.fit == HF_FIT_PREDICTED ? &settled : &kept, &t.d, &t.user, &x->error);
    if (e->header.generation != generation && e->kek_there)
        e->user_keys.duress = t.user.duress;
    return result;
}

enum hf_result hf_verb_passcode(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct hf_trial t = {0};
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    HF_TRY(hf_trial_take(x, HF_SECRET_PASSCODE, &t.passcode));
    HF_TRY(hf_trial_take(x, HF_SECRET_NEW_PASSCODE, &t.fresh));
    HF_TRY(hf_trial_judge(e, &t.passcode, &t.d, &t.user, &x->error));
    return renew(e, &t.fresh, e->element.fit == HF_FIT_PREDICTED ? &settled : &kept, &t.d, &t.user, &x->error);
}

/* Seals anew [EL-18], or changes the sentence, which takes the same way. */
static enum hf_result reseal(struct hf_enclave *e, struct hf_exchange *x, const struct hf_seal_request *seal, uint8_t change, struct hf_trial *t)
{
    HF_TRY(hf_trial_judge(e, &t->passcode, &t->d, &t->user, &x->error));
    bool measured = seal->measure == HF_MEASURE_KEEP ? e->element.pcrs != 0 : seal->measure != 0;
    if (!measured && (seal->measure == HF_MEASURE_KEEP || change == HF_SENTENCE_NEW))
        return hf_fail(&x->error, HF_USAGE, "this vault is not sealed to measured software; `holdfast reseal --measure` begins that");
    if (measured && !e->header.has_recovery) /* [EL-20] */
        return hf_fail(&x->error, HF_REFUSED, "a vault that is sealed to its software needs a recovery phrase: `holdfast recovery replace` first");
    if (!measured || change == HF_SENTENCE_NONE)
        hf_wipe(e->device_keys.sentence, sizeof e->device_keys.sentence);
    if (change == HF_SENTENCE_NEW)
        HF_TRY(hf_trial_take_sentence(x, e->device_keys.sentence));
    if (seal->how == HF_SEAL_KEEP && e->element.fit == HF_FIT_PREDICTED)
        seal = &settled;
    return renew(e, NULL, seal, &t->d, &t->user, &x->error);
}

enum hf_result hf_verb_reseal(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct hf_trial t = {0};
    struct hf_seal_request seal;
    char before[HF_SENTENCE_MAX];
    uint64_t generation = e->header.generation;
    hf_seal_request_read(&x->in, &seal);
    uint8_t change = hf_read_u8(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || change > HF_SENTENCE_NONE || (seal.how == HF_SEAL_KEEP && change == HF_SENTENCE_KEPT))
        return HF_PROTOCOL;
    HF_TRY(hf_trial_take(x, HF_SECRET_PASSCODE, &t.passcode));
    memcpy(before, e->device_keys.sentence, sizeof before);
    enum hf_result result = reseal(e, x, &seal, change, &t);
    if (e->header.generation == generation) /* the keybag is the old one: so is the sentence */
        memcpy(e->device_keys.sentence, before, sizeof before);
    hf_wipe(before, sizeof before);
    return result;
}

/* To the command alone, on its own channel [EL-21]. */
enum hf_result hf_verb_sentence(struct hf_enclave *e, struct hf_exchange *x)
{
    uint8_t bytes[1 + HF_SENTENCE_MAX] = {HF_SECRET_SENTENCE};
    size_t len = strlen(e->device_keys.sentence);
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    memcpy(bytes + 1, e->device_keys.sentence, len);
    enum hf_result result = hf_ipc_send(x->secret, HF_SPAN(bytes, 1 + len), NULL, 0);
    hf_wipe(bytes, sizeof bytes);
    return result;
}

enum hf_result hf_verb_new_recovery(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct hf_trial t = {0};
    HF_TRY(take_and_judge(e, x, &t));
    struct hf_public_header h = e->header;
    h.generation++;
    h.has_recovery = true;
    hf_trial_make_phrase(h.vault_id, &t.user, &t.phrase);
    enum hf_result result = hf_trial_save(e, &h, &t.user, &t.d.kek, false, &x->error);
    if (hf_trial_is_saved(e, &h) && e->kek_there)
        memcpy(e->user_keys.recovery_public, t.user.recovery_public, sizeof t.user.recovery_public);
    HF_TRY(result);
    return hf_trial_give(x, &t.phrase);
}

/* [LK-7] The policy is under MAC and sealed: nothing but the passcode changes it. */
enum hf_result hf_verb_settings(struct hf_enclave *e, struct hf_exchange *x)
{
    uint32_t which = hf_read_u32(&x->in), grace_s = hf_read_u32(&x->in), inactivity_s = hf_read_u32(&x->in), screen_lock = hf_read_u32(&x->in);
    if (x->in.failed || which == 0 || which & ~(HF_SETTING_GRACE | HF_SETTING_INACTIVITY | HF_SETTING_SCREEN_LOCK) || !hf_policy_screen_lock_is_sound(screen_lock))
        return HF_PROTOCOL;
    HF_CLEANUP(trial) struct hf_trial t = {0};
    HF_TRY(take_and_judge(e, x, &t));
    struct hf_public_header h = e->header;
    struct hf_policy before = e->device_keys.policy;
    h.generation++;
    if (which & HF_SETTING_GRACE)
        h.policy.grace_s = grace_s;
    if (which & HF_SETTING_INACTIVITY)
        h.policy.inactivity_s = inactivity_s;
    if (which & HF_SETTING_SCREEN_LOCK)
        h.policy.screen_lock = screen_lock;
    t.user.policy = e->device_keys.policy = h.policy;
    enum hf_result result = hf_trial_save(e, &h, &t.user, &t.d.kek, false, &x->error);
    if (!hf_trial_is_saved(e, &h))
        e->device_keys.policy = before;
    else if (e->kek_there)
        e->user_keys.policy = h.policy;
    if (result == HF_OK)
        hf_enclave_write_status(e, &x->out);
    return result;
}

enum hf_result hf_verb_rotate(struct hf_enclave *e, struct hf_exchange *x)
{
    uint8_t only = hf_read_u8(&x->in);
    uint32_t generation = 0;
    if (hf_reader_end(&x->in) != HF_OK || only > HF_CLASS_LAST)
        return HF_PROTOCOL;
    if (!e->kek_there)
        return HF_LOCKED;
    struct hf_public_header h = e->header;
    struct hf_keybag_keys user = e->user_keys, device = e->device_keys;
    enum hf_result result = HF_OK;
    h.generation++;
    for (unsigned class = HF_CLASS_FIRST; result == HF_OK && class <= HF_CLASS_LAST; class++) {
        struct hf_keybag_keys *keys = class == HF_CLASS_ALWAYS ? &e->device_keys : &user;
        if (only != 0 && class != only)
            continue;
        result = hf_keystore_add(keys, class);
        generation = result == HF_OK ? keys->entries[keys->count - 1].generation : 0;
    }
    hf_keystore_public(&user, &h);
    if (result == HF_OK)
        result = hf_trial_save(e, &h, &user, &e->kek, false, &x->error);
    if (hf_trial_is_saved(e, &h))
        e->user_keys = user;
    else
        e->device_keys = device;
    hf_wipe(&user, sizeof user);
    hf_wipe(&device, sizeof device);
    hf_write_u32(&x->out, generation);
    return result;
}
