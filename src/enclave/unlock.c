/* The verbs that need a passcode or the phrase. */
#include <sodium.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "enclave/enclave.h"
#include "os/clock.h"
#include "os/random.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

enum { SECRET_WAIT_MS = 2000 /* secrets are sent before their verb */, FLOOR_LEN = 12, COUNTED_FLOOR_LEN = 6, TPM_ATTEMPTS = 10, TARGET_MS = 1000, MAX_AUTO_KIB = 1024 * 1024 };

struct derived {
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
struct trial {
    struct hf_passcode passcode, fresh;
    struct hf_recovery_secret phrase;
    struct derived d;
    struct hf_keybag_keys user, all;
};

static void hf_cleanup_trial(struct trial *trial)
{
    hf_wipe(trial, sizeof *trial);
}

static enum hf_result take(struct hf_exchange *x, uint8_t kind, struct hf_passcode *ret)
{
    uint8_t bytes[HF_PASSCODE_MAX + 1];
    size_t len = 0;
    enum hf_result result = x->secret < 0 ? HF_PROTOCOL : hf_ipc_recv(x->secret, bytes, sizeof bytes, &len, NULL, 0, NULL, SECRET_WAIT_MS);
    if (result == HF_OK && (len < 2 || bytes[0] != kind))
        result = HF_PROTOCOL;
    if (result == HF_OK && kind != HF_SECRET_RECOVERY) {
        result = hf_passcode_normalize(bytes + 1, len - 1, ret);
        if (result == HF_OK)
            hf_test_note_secret("passcode", ret->bytes, ret->len);
    } else if (result == HF_OK) {
        ret->len = len - 1;
        memcpy(ret->bytes, bytes + 1, len - 1);
    }
    hf_wipe(bytes, sizeof bytes);
    return result == HF_OK ? HF_OK : hf_fail(&x->error, result, "the secret did not arrive as it should (%s)", hf_result_text(result));
}

/* [EL-21] */
static enum hf_result take_sentence(struct hf_exchange *x, char out[HF_SENTENCE_MAX])
{
    uint8_t bytes[1 + HF_SENTENCE_MAX];
    size_t len = 0;
    enum hf_result result = x->secret < 0 ? HF_PROTOCOL : hf_ipc_recv(x->secret, bytes, sizeof bytes, &len, NULL, 0, NULL, SECRET_WAIT_MS);
    if (result == HF_OK && (len < 2 || bytes[0] != HF_SECRET_SENTENCE || !hf_sentence_is_sound(HF_SPAN(bytes + 1, len - 1))))
        result = HF_USAGE;
    if (result == HF_OK) {
        memset(out, 0, HF_SENTENCE_MAX);
        memcpy(out, bytes + 1, len - 1);
    }
    hf_wipe(bytes, sizeof bytes);
    return result == HF_OK ? HF_OK : hf_fail(&x->error, result, "a sentence is 1 to %d bytes of UTF-8 without control characters", HF_SENTENCE_MAX - 1);
}

static enum hf_result give(struct hf_exchange *x, const struct hf_recovery_secret *secret)
{
    uint8_t bytes[1 + HF_RECOVERY_SECRET_LEN];
    bytes[0] = HF_SECRET_RECOVERY;
    memcpy(bytes + 1, secret->bytes, sizeof secret->bytes);
    enum hf_result result = hf_ipc_send(x->secret, HF_SPAN_OF(bytes), NULL, 0);
    hf_wipe(bytes, sizeof bytes);
    return result;
}

static void make_recovery(const uint8_t vault_id[16], struct hf_keybag_keys *user, struct hf_recovery_secret *ret)
{
    hf_random(ret->bytes, sizeof ret->bytes);
    hf_test_note_secret("recovery-secret", ret->bytes, sizeof ret->bytes);
    hf_recovery_public(ret, vault_id, user->recovery_public);
}

static bool is_strong(const struct hf_passcode *passcode)
{
    bool digits = true;
    for (size_t i = 0; i < passcode->len; i++)
        digits = digits && passcode->bytes[i] >= '0' && passcode->bytes[i] <= '9';
    return passcode->len >= FLOOR_LEN && !digits;
}

/* The software element counts for nobody who copies its file: there the passcode is the whole strength [EL-12]. */
static enum hf_result floor_check(const struct hf_passcode *passcode, uint32_t kind, struct hf_error *error)
{
    if (kind == HF_ELEMENT_TPM2 && passcode->len < COUNTED_FLOOR_LEN)
        return hf_fail(error, HF_REFUSED, "too short even for a TPM that counts: at least %d characters", COUNTED_FLOOR_LEN);
    if (kind != HF_ELEMENT_TPM2 && !is_strong(passcode))
        return hf_fail(error, HF_REFUSED, "too weak for the software element: at least %d bytes and not digits alone", FLOOR_LEN);
    return HF_OK;
}

/* The arena's first blocks are a fast hash of the passcode: in swap they would be tried without the TPM's count [EL-16]. */
static enum hf_result swap_check(const struct hf_passcode *passcode, const struct derived *d, struct hf_error *error)
{
    if (d->arena_locked || is_strong(passcode) || !hf_secret_machine_swaps())
        return HF_OK;
    return hf_fail(error, HF_REFUSED, "this machine swaps, and Argon2id's memory can't be locked: raise the limit on locked memory (ulimit -l), or take at least "
                   "%d bytes and not digits alone", FLOOR_LEN);
}

static enum hf_result derive(const struct hf_passcode *passcode, const struct hf_public_header *header, struct derived *d, struct hf_error *error)
{
    struct hf_argon_cost cost = {header->kdf_memory_kib, header->kdf_passes, header->kdf_lanes};
    enum hf_result result = hf_argon_derive(passcode, header->salt, &cost, &d->auth, &d->half, &d->arena_locked);
    if (result == HF_OK)
        hf_duress_derive(&d->auth, header->vault_id, &d->second);
    return result == HF_OK ? HF_OK : hf_fail(error, result, "Argon2id with %u KiB: %s", cost.memory_kib, hf_result_text(result));
}

static void make_kek(struct derived *d, const uint8_t vault_id[16])
{
    struct hf_span info[] = {HF_SPAN_OF(d->half.bytes), HF_SPAN(vault_id, 16)};
    hf_kdf(HF_KDF_KEK, d->release.bytes, info, 2, d->kek.bytes, sizeof d->kek.bytes);
    hf_test_note_secret("kek", d->kek.bytes, sizeof d->kek.bytes);
}

/* Judges the passcode; on success d has the KEK and *ret_user the user section. */
static enum hf_result judge(struct hf_enclave *e, const struct hf_passcode *passcode, struct derived *d, struct hf_keybag_keys *ret_user, struct hf_error *error)
{
    HF_TRY(hf_keystore_refresh(e, error));
    HF_TRY(hf_link_status(e, error));
    /* A change whose last step failed, without a restart since: the element would hold the passcode against the slot before, and count it. */
    if (e->element.state == HF_ELEMENT_ACTIVE && (e->element.slot != e->header.element_slot || e->element.generation < e->header.generation))
        HF_TRY(hf_keystore_catch_up(e, error));
    if (e->element.state == HF_ELEMENT_EMPTY)
        return hf_fail(error, HF_UNREACHABLE, "the element of this machine does not know this vault (or its TPM was cleared): `holdfast recover`");
    if (e->element.state != HF_ELEMENT_ACTIVE)
        return hf_fail(error, HF_GONE, "the element gives nothing any more (limit of guesses reached, or erased)");
    if (e->element.retry_after_s > 0)
        return hf_fail(error, HF_DELAYED, "not judged and not counted: try again in %u s", e->element.retry_after_s);
    if (hf_cache_has(e, passcode))
        return hf_fail(error, HF_WRONG_PASSCODE, "wrong, as before: the same try was not counted again (%u failed)", e->element.failed);
    HF_TRY(derive(passcode, &e->header, d, error));
    bool duress = false;
    uint64_t asked_ms = hf_clock_ms();
    enum hf_result result = hf_link_release(e, &d->auth, &d->second, &d->release, &duress, error);
    if (result == HF_WRONG_PASSCODE || result == HF_GONE) {
        hf_cache_put(e, passcode);
        if (duress)
            hf_duress_burn(e);
        hf_duress_even_out(e, asked_ms);
    }
    if (result == HF_WRONG_PASSCODE)
        return hf_fail(error, result, "wrong passcode: %u failed of %u (0: no limit), next try in %u s", e->element.failed, e->element.limit,
                       e->element.retry_after_s);
    if (result == HF_OK)
        result = hf_link_status(e, error);
    HF_TRY(result);
    make_kek(d, e->header.vault_id);
    return hf_keystore_open_user(&d->kek, ret_user, error);
}

static void become_unlocked(struct hf_enclave *e, const struct hf_keybag_keys *user, const struct derived *d)
{
    e->user_keys = *user;
    e->kek = d->kek;
    e->kek_there = true;
    e->unlocked_once = true;
    e->available = e->meta = HF_CLASS_BIT(HF_CLASS_COMPLETE) | HF_CLASS_BIT(HF_CLASS_UNLESS_OPEN) | HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK) |
                             HF_CLASS_BIT(HF_CLASS_ALWAYS);
    hf_enclave_expect(e, false);
    hf_cache_clear(e);
#ifdef HF_TESTING
    for (uint32_t i = 0; i < user->count; i++)
        hf_test_note_secret(hf_class_name(user->entries[i].class), user->entries[i].key.bytes, HF_CLASS_KEY_LEN);
#endif
}

/* Saves header (its generation is the next), then lets the element follow. */
static enum hf_result save_next(struct hf_enclave *e, const struct hf_public_header *header, const struct hf_keybag_keys *user, const struct hf_kek *kek,
                                bool commit, struct hf_error *error)
{
    enum hf_result result = hf_keystore_save(header, user, &e->device_keys, kek, &e->device_key, error);
    if (result == HF_OK || hf_keystore_is_there(header))
        e->header = *header; /* the element follows before the next try, if not now */
    HF_TRY(result);
    if (commit)
        HF_TRY(hf_link_commit(e, header->element_slot, error));
    return hf_link_step(e, header->generation, error);
}

/* The keybag of this header is the one on disk, whatever failed with or after that. */
static bool is_saved(const struct hf_enclave *e, const struct hf_public_header *header)
{
    return e->header.generation == header->generation;
}

static enum hf_result create(struct hf_enclave *e, struct hf_exchange *x, struct hf_public_header *h, bool recovery, bool trusted, uint32_t measure,
                             const struct hf_passcode *passcode, struct hf_recovery_secret *phrase, struct derived *d, struct hf_keybag_keys *user)
{
    uint32_t kind;
    if (h->element_kind != HF_ELEMENT_AUTO) /* refused before anything is touched; AUTO's kind shows below */
        HF_TRY(floor_check(passcode, h->element_kind, &x->error));
    hf_random(h->vault_id, sizeof h->vault_id);
    hf_random(h->salt, sizeof h->salt);
    h->generation = 1;
    h->has_recovery = recovery;
    HF_TRY(hf_link_hello(e, h, true, &kind, &x->error));
    h->element_kind = kind;
    HF_TRY(floor_check(passcode, kind, &x->error));
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        HF_TRY(hf_keystore_add(class == HF_CLASS_ALWAYS ? &e->device_keys : user, class));
    e->device_keys.policy = user->policy = h->policy;
    hf_keystore_public(user, h);
    hf_duress_none(user);
    HF_TRY(derive(passcode, h, d, &x->error));
    HF_TRY(swap_check(passcode, d, &x->error));
    HF_TRY(hf_link_provision(e, false, trusted, measure, &d->auth, &user->duress, h, &d->release, &d->device_secret, &x->error));
    HF_TRY(hf_link_status(e, &x->error));
    hf_keystore_device_key(&d->device_secret, h->vault_id, &e->device_key);
    make_kek(d, h->vault_id);
    if (recovery)
        make_recovery(h->vault_id, user, phrase);
    HF_TRY(hf_head_create(&e->device_key, h->vault_id, e->element.head_count));
    HF_TRY(save_next(e, h, user, &d->kek, false, &x->error));
    if (recovery) /* once the vault stands: a phrase that was shown is always one that opens it */
        HF_TRY(give(x, phrase));
    e->loaded = e->device = true;
    become_unlocked(e, user, d);
    hf_write_bytes(&x->out, h->vault_id, sizeof h->vault_id);
    hf_write_u32(&x->out, measure != 0 ? e->element.untouched_pcrs : 0);
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
    HF_CLEANUP(trial) struct trial t = {0};
    HF_TRY(take(x, HF_SECRET_PASSCODE, &t.passcode));
    if (sentence)
        HF_TRY(take_sentence(x, e->device_keys.sentence));
    enum hf_result result = create(e, x, &h, recovery, trusted, measure, &t.passcode, &t.phrase, &t.d, &t.user);
    if (result != HF_OK)
        unmake(e);
    return result;
}

/* Another P, S and keybag: after it the older ones open nothing. fresh NULL: with the passcode that d has. */
static enum hf_result renew(struct hf_enclave *e, const struct hf_passcode *fresh, const struct hf_seal_request *seal, struct derived *d,
                            struct hf_keybag_keys *user, struct hf_error *error)
{
    struct hf_public_header h = e->header;
    h.generation++;
    if (fresh) {
        HF_TRY(floor_check(fresh, h.element_kind, error));
        if (h.element_kind != HF_ELEMENT_TPM2) /* there Q's authorisation was made with this salt, and stays [DU-5] */
            hf_random(h.salt, sizeof h.salt);
        HF_TRY(derive(fresh, &h, d, error));
        HF_TRY(swap_check(fresh, d, error));
    }
    HF_TRY(hf_link_prepare(e, &d->auth, &user->duress, seal, &h, &d->release, error));
    make_kek(d, h.vault_id);
    enum hf_result result = save_next(e, &h, user, &d->kek, true, error);
    if (is_saved(e, &h)) { /* a COMMIT that failed is caught up with before the next try */
        if (e->kek_there)
            e->kek = d->kek;
        hf_cache_clear(e);
    }
    return result;
}

static const struct hf_seal_request kept = {.how = HF_SEAL_KEEP, .measure = HF_MEASURE_KEEP}, settled = {.how = HF_SEAL_PRESENT, .measure = HF_MEASURE_KEEP};

/* [EL-19] The first unlock under predicted software: the seal to the software before goes, and with a new P whatever was copied of it. [DU-4] Q is to count
 * from 0 again; where it can't (it is gone, or its tries were spent), both are made anew. What keeps it from being done keeps nobody out: the keybag, or Q's count, still says that it is to be done. */
static void settle_element(struct hf_enclave *e, struct trial *t)
{
    static const char seal[] = "the seal to the software before still stands; the next unlock tries again", indices[] = "the TPM's indices could not be made anew; the next unlock tries again";
    struct hf_error error = {.result = HF_OK};
    uint64_t generation = e->header.generation;
    bool predicted = e->element.fit == HF_FIT_PREDICTED;
    if (!predicted && e->element.second_stale)
        (void)!hf_link_refresh(e, &t->user.duress, &error);
    if (!predicted && !e->element.second_stale)
        return;
    HF_CLEANUP(trial) struct trial before = {.d = t->d};
    (void)renew(e, NULL, predicted ? &settled : &kept, &t->d, &t->user, &error);
    if (e->header.generation == generation) {
        t->d = before.d;
        (void)snprintf(e->note, sizeof e->note, "%s (%.40s)", predicted ? seal : indices, error.text);
    } else if (strncmp(e->note, seal, sizeof seal - 1) == 0 || strncmp(e->note, indices, sizeof indices - 1) == 0) {
        e->note[0] = '\0';
    }
}

/* The passcode as it came, judged: t->user and t->d are there. */
static enum hf_result take_and_judge(struct hf_enclave *e, struct hf_exchange *x, struct trial *t)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    HF_TRY(take(x, HF_SECRET_PASSCODE, &t->passcode));
    HF_TRY(judge(e, &t->passcode, &t->d, &t->user, &x->error));
    settle_element(e, t);
    return HF_OK;
}

enum hf_result hf_verb_unlock(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct trial t = {0};
    HF_TRY(take_and_judge(e, x, &t));
    if (!hf_keystore_public_is_ours(&t.user, &e->header)) /* [UO-11] the file's was put right again behind us */
        return hf_fail(&x->error, HF_DAMAGED, "keybag (.holdfast/keybag): what arrived since the start went to a key for class unless-open that is not the sealed one's: close the vault and look who had the disk");
    e->failed_since_unlock = e->element.failed_since_success;
    become_unlocked(e, &t.user, &t.d);
    hf_head_unlocked(e);
    hf_enclave_write_status(e, &x->out);
    return HF_OK;
}

/* Sets it, or takes it away; either way looks the same from outside [DU-1]. */
enum hf_result hf_verb_duress(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct trial t = {0}, other = {0};
    uint64_t generation = e->header.generation;
    bool away = hf_read_bool(&x->in);
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    if (e->header.element_kind != HF_ELEMENT_TPM2)
        return hf_fail(&x->error, HF_UNSUPPORTED, "only a TPM can hold a duress passcode; nothing was changed");
    HF_TRY(take(x, HF_SECRET_PASSCODE, &t.passcode));
    if (!away)
        HF_TRY(take(x, HF_SECRET_NEW_PASSCODE, &t.fresh));
    HF_TRY(judge(e, &t.passcode, &t.d, &t.user, &x->error));
    if (away) {
        hf_duress_none(&t.user);
    } else {
        HF_TRY(floor_check(&t.fresh, e->header.element_kind, &x->error));
        if (hf_duress_is_near(&t.passcode, &t.fresh)) /* [DU-9] */
            return hf_fail(&x->error, HF_REFUSED, "the duress passcode is the passcode, or one slip of a finger away from it; nothing was changed");
        HF_TRY(derive(&t.fresh, &e->header, &other.d, &x->error));
        HF_TRY(swap_check(&t.fresh, &other.d, &x->error));
        t.user.duress = other.d.second;
    }
    enum hf_result result = renew(e, NULL, e->element.fit == HF_FIT_PREDICTED ? &settled : &kept, &t.d, &t.user, &x->error);
    if (e->header.generation != generation && e->kek_there)
        e->user_keys.duress = t.user.duress;
    return result;
}

enum hf_result hf_verb_passcode(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct trial t = {0};
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    HF_TRY(take(x, HF_SECRET_PASSCODE, &t.passcode));
    HF_TRY(take(x, HF_SECRET_NEW_PASSCODE, &t.fresh));
    HF_TRY(judge(e, &t.passcode, &t.d, &t.user, &x->error));
    return renew(e, &t.fresh, e->element.fit == HF_FIT_PREDICTED ? &settled : &kept, &t.d, &t.user, &x->error);
}

/* Seals anew [EL-18], or changes the sentence, which takes the same way. */
static enum hf_result reseal(struct hf_enclave *e, struct hf_exchange *x, const struct hf_seal_request *seal, uint8_t change, struct trial *t)
{
    HF_TRY(judge(e, &t->passcode, &t->d, &t->user, &x->error));
    bool measured = seal->measure == HF_MEASURE_KEEP ? e->element.pcrs != 0 : seal->measure != 0;
    if (!measured && (seal->measure == HF_MEASURE_KEEP || change == HF_SENTENCE_NEW))
        return hf_fail(&x->error, HF_USAGE, "this vault is not sealed to measured software; `holdfast reseal --measure` begins that");
    if (measured && !e->header.has_recovery) /* [EL-20] */
        return hf_fail(&x->error, HF_REFUSED, "a vault that is sealed to its software needs a recovery phrase: `holdfast recovery replace` first");
    if (!measured || change == HF_SENTENCE_NONE)
        hf_wipe(e->device_keys.sentence, sizeof e->device_keys.sentence);
    if (change == HF_SENTENCE_NEW)
        HF_TRY(take_sentence(x, e->device_keys.sentence));
    if (seal->how == HF_SEAL_KEEP && e->element.fit == HF_FIT_PREDICTED)
        seal = &settled;
    return renew(e, NULL, seal, &t->d, &t->user, &x->error);
}

enum hf_result hf_verb_reseal(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct trial t = {0};
    struct hf_seal_request seal;
    char before[HF_SENTENCE_MAX];
    uint64_t generation = e->header.generation;
    hf_seal_request_read(&x->in, &seal);
    uint8_t change = hf_read_u8(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || change > HF_SENTENCE_NONE || (seal.how == HF_SEAL_KEEP && change == HF_SENTENCE_KEPT))
        return HF_PROTOCOL;
    HF_TRY(take(x, HF_SECRET_PASSCODE, &t.passcode));
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

static enum hf_result recover(struct hf_enclave *e, struct hf_exchange *x, struct hf_public_header *h, bool trusted, uint32_t measure,
                              struct hf_keybag_keys *all, const struct hf_passcode *fresh, struct derived *d, struct hf_keybag_keys *user)
{
    uint32_t kind;
    HF_TRY(floor_check(fresh, h->element_kind, &x->error));
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
    HF_TRY(derive(fresh, h, d, &x->error));
    HF_TRY(swap_check(fresh, d, &x->error));
    HF_TRY(hf_link_provision(e, true, trusted, measure, &d->auth, &user->duress, h, &d->release, &d->device_secret, &x->error));
    hf_keystore_device_key(&d->device_secret, h->vault_id, &e->device_key);
    make_kek(d, h->vault_id);
    HF_TRY(hf_link_status(e, &x->error));
    hf_wipe(user->sentence, sizeof user->sentence);
    if (e->element.pcrs != 0)
        memcpy(e->device_keys.sentence, all->sentence, sizeof all->sentence);
    /* The head first: with the new keybag and a head under the old device key the vault would unlock and not mount. A cut between asks for the phrase once more. */
    HF_TRY(hf_head_adopt(&e->device_key, h->vault_id, e->element.head_count));
    HF_TRY(save_next(e, h, user, &d->kek, false, &x->error));
    e->loaded = e->device = true;
    become_unlocked(e, user, d);
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
    HF_CLEANUP(trial) struct trial t = {0};
    struct hf_public_header h;
    HF_TRY(take(x, HF_SECRET_RECOVERY, &t.passcode));
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
    HF_TRY(take(x, HF_SECRET_NEW_PASSCODE, &t.fresh));
    if (sentence)
        HF_TRY(take_sentence(x, t.all.sentence));
    struct hf_keybag_keys device_keys = e->device_keys;
    struct hf_device_key device_key = e->device_key;
    enum hf_result result = recover(e, x, &h, trusted, measure, &t.all, &t.fresh, &t.d, &t.user);
    if (result != HF_OK && !is_saved(e, &h)) { /* the keybag on disk is the old one: so are the keys here */
        e->device_keys = device_keys;
        e->device_key = device_key;
        if (e->device && hf_head_keep(&e->device_key, e->header.vault_id) != HF_OK)
            (void)fprintf(stderr, "holdfast-enclave: the head belongs to the recovery that failed: recover again before the next mount\n");
    }
    hf_wipe(&device_keys, sizeof device_keys);
    hf_device_key_wipe(&device_key);
    return result;
}

enum hf_result hf_verb_new_recovery(struct hf_enclave *e, struct hf_exchange *x)
{
    HF_CLEANUP(trial) struct trial t = {0};
    HF_TRY(take_and_judge(e, x, &t));
    struct hf_public_header h = e->header;
    h.generation++;
    h.has_recovery = true;
    make_recovery(h.vault_id, &t.user, &t.phrase);
    enum hf_result result = save_next(e, &h, &t.user, &t.d.kek, false, &x->error);
    if (is_saved(e, &h) && e->kek_there)
        memcpy(e->user_keys.recovery_public, t.user.recovery_public, sizeof t.user.recovery_public);
    HF_TRY(result);
    return give(x, &t.phrase);
}

/* [LK-7] The policy is under MAC and sealed: nothing but the passcode changes it. */
enum hf_result hf_verb_settings(struct hf_enclave *e, struct hf_exchange *x)
{
    uint32_t which = hf_read_u32(&x->in), grace_s = hf_read_u32(&x->in), inactivity_s = hf_read_u32(&x->in), screen_lock = hf_read_u32(&x->in);
    if (x->in.failed || which == 0 || which & ~(HF_SETTING_GRACE | HF_SETTING_INACTIVITY | HF_SETTING_SCREEN_LOCK) || !hf_policy_screen_lock_is_sound(screen_lock))
        return HF_PROTOCOL;
    HF_CLEANUP(trial) struct trial t = {0};
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
    enum hf_result result = save_next(e, &h, &t.user, &t.d.kek, false, &x->error);
    if (!is_saved(e, &h))
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
        result = save_next(e, &h, &user, &e->kek, false, &x->error);
    if (is_saved(e, &h))
        e->user_keys = user;
    else
        e->device_keys = device;
    hf_wipe(&user, sizeof user);
    hf_wipe(&device, sizeof device);
    hf_write_u32(&x->out, generation);
    return result;
}
