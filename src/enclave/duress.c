/* The duress passcode: one that the element's second index knows. Entered in place of the passcode it erases, and is answered as any wrong one.
 * Source: spec/51-duress.md. */
#include "enclave/enclave.h"

#include <poll.h>

#include "base/cleanup.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { SPARE_MS = 300 /* for the disk: the keybag, the head and the mark are written and synced */ };

static const char mark[] = "erase"; /* the supervisor's own (super/erase.c): whatever starts next finishes what it finds begun */
static const uint8_t mark_text[] = "this vault is being erased: the next start of any verb ends it\n";

void hf_duress_derive(const struct hf_element_auth *auth, const uint8_t vault_id[16], struct hf_duress_auth *ret)
{
    struct hf_span info = HF_SPAN(vault_id, 16);
    hf_kdf(HF_KDF_DURESS, auth->bytes, &info, 1, ret->bytes, sizeof ret->bytes);
    hf_test_note_secret("duress-auth", ret->bytes, sizeof ret->bytes);
}

void hf_duress_none(struct hf_keybag_keys *user)
{
    hf_random(user->duress.bytes, sizeof user->duress.bytes);
}

/* --- near --- */

static size_t same_start(const struct hf_passcode *a, const struct hf_passcode *b)
{
    size_t at = 0;
    while (at < a->len && at < b->len && a->bytes[at] == b->bytes[at])
        at++;
    return at;
}

static size_t same_end(const struct hf_passcode *a, const struct hf_passcode *b)
{
    size_t at = 0;
    while (at < a->len && at < b->len && a->bytes[a->len - 1 - at] == b->bytes[b->len - 1 - at])
        at++;
    return at;
}

/* In bytes: of a character of several bytes one that differs counts, so that more is refused than a slip would make, not less. Both belong to the owner
 * who typed them a moment ago: nothing is learnt from the time this takes. */
bool hf_duress_is_near(const struct hf_passcode *a, const struct hf_passcode *b)
{
    enum { CHARACTER = 4 /* bytes of one in UTF-8 */ };
    const struct hf_passcode *longer = a->len >= b->len ? a : b, *shorter = a->len >= b->len ? b : a;
    size_t start = same_start(a, b), end = same_end(a, b);
    if (longer->len - shorter->len > CHARACTER)
        return false;
    if (start + end >= shorter->len) /* equal; or something was put in */
        return true;
    size_t middle = shorter->len - start - end;
    bool ascii = true;
    for (size_t i = start; i < longer->len - end; i++)
        ascii = ascii && longer->bytes[i] < 0x80;
    if (!ascii)
        return middle <= (size_t)2 * CHARACTER;
    if (longer->len != shorter->len)
        return false;
    return middle == 1 || (middle == 2 && a->bytes[start] == b->bytes[start + 1] && a->bytes[start + 1] == b->bytes[start]);
}

/* --- burning --- */

/* As many keys as the sealed section has, so that the new one is as long. */
static enum hf_result fill(struct hf_keybag_keys *user, size_t section_len)
{
    static const unsigned classes[] = {HF_CLASS_COMPLETE, HF_CLASS_UNLESS_OPEN, HF_CLASS_AFTER_UNLOCK};
    static uint8_t plain[HF_KEYBAG_KEYS_ENCODED_MAX];
    size_t len = 0;
    enum hf_result result = HF_OK;
    for (unsigned at = 0; result == HF_OK; at++) {
        if (at >= 3) {
            result = hf_keybag_keys_encode(user, plain, sizeof plain, &len);
            if (result != HF_OK || len + HF_WRAP_OVERHEAD >= section_len)
                break;
        }
        result = hf_keystore_add(user, classes[at % 3]);
    }
    hf_wipe(plain, sizeof plain);
    return result;
}

struct decoy {
    struct hf_public_header header;
    struct hf_keybag_keys user, device;
    struct hf_recovery_secret phrase;
    struct hf_release_secret release;
    struct hf_device_secret device_secret;
    struct hf_device_key device_key;
    struct hf_kek kek;
};

static void hf_cleanup_decoy(struct decoy *decoy)
{
    hf_wipe(decoy, sizeof *decoy);
}

/* Everything in it is random. What is not secret (vault id, salt, policy, generation, an owner's sentence) stays. */
static enum hf_result invent(const struct hf_enclave *e, struct decoy *d, struct hf_error *error)
{
    struct hf_keybag_view view;
    HF_TRY(hf_keystore_read(&view, error));
    d->header = e->header;
    d->device = e->device_keys;
    for (uint32_t i = 0; i < d->device.count; i++) {
        hf_random(d->device.entries[i].key.bytes, sizeof d->device.entries[i].key.bytes);
        hf_random(d->device.entries[i].meta.bytes, sizeof d->device.entries[i].meta.bytes);
    }
    d->user.policy = d->header.policy;
    hf_duress_none(&d->user);
    hf_random(d->phrase.bytes, sizeof d->phrase.bytes);
    if (d->header.has_recovery)
        hf_recovery_public(&d->phrase, d->header.vault_id, d->user.recovery_public);
    hf_random(d->kek.bytes, sizeof d->kek.bytes);
    HF_TRY(fill(&d->user, view.user_section.len));
    hf_keystore_public(&d->user, &d->header);
    return HF_OK;
}

/* The element's secrets first, then the keybag: replaced as a whole by one that nobody can open [DU-6]. */
static enum hf_result replace(struct hf_enclave *e, struct decoy *d, struct hf_error *error)
{
    HF_TRY(invent(e, d, error));
    HF_TRY(hf_link_decoy(e, &d->header, &d->release, &d->device_secret, error));
    hf_keystore_device_key(&d->device_secret, d->header.vault_id, &d->device_key);
    (void)!hf_file_remove(HF_FD_ENCLAVE_DIR, "keybag", true); /* its bytes too, as far as the disk lets us */
    HF_TRY(hf_keystore_save(&d->header, &d->user, &d->device, &d->kek, &d->device_key, error));
    HF_TRY(hf_head_keep(&d->device_key, d->header.vault_id));
    return hf_link_status(e, error);
}

void hf_duress_burn(struct hf_enclave *e)
{
    HF_CLEANUP(decoy) struct decoy d = {0};
    struct hf_error error;
    /* [DU-7] From here on nothing stops it. On a full disk it goes on without the mark. */
    (void)!hf_file_replace(HF_FD_ENCLAVE_DIR, mark, HF_SPAN(mark_text, sizeof mark_text - 1));
    bool stands = replace(e, &d, &error) == HF_OK;
    hf_enclave_forget(e, UINT32_MAX);
    hf_wipe(&e->device_keys, sizeof e->device_keys);
    hf_device_key_wipe(&e->device_key);
    e->expires_at_ms = 0;
    e->burned = true;
    if (!stands) { /* as an erase that met a failure: the mark is there, and the next start tries again */
        if (hf_link_erase(e, &error) == HF_OK && hf_keystore_destroy() == HF_OK)
            (void)!hf_file_remove(HF_FD_ENCLAVE_DIR, mark, false);
        (void)!hf_keystore_destroy();
        e->device = false;
        e->erased = true;
        e->available = e->meta = 0;
        return;
    }
    e->header = d.header;
    e->device_keys = d.device;
    e->device_key = d.device_key;
    (void)!hf_file_remove(HF_FD_ENCLAVE_DIR, mark, false);
}

void hf_duress_even_out(const struct hf_enclave *e, uint64_t asked_ms)
{
    if (e->header.element_kind != HF_ELEMENT_TPM2)
        return;
    uint64_t until_ms = asked_ms + 2 * (uint64_t)e->element.pace_ms + SPARE_MS;
    for (uint64_t now_ms = hf_clock_ms(); now_ms < until_ms; now_ms = hf_clock_ms())
        (void)poll(NULL, 0, (int)(until_ms - now_ms));
}
