#include <poll.h>
#include <stdio.h>

#include "enclave/enclave.h"
#include "enclave/trial.h"
#include "os/clock.h"
#include "os/file.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

/* Keys of complete, unless-open and after-unlock; meta keys stay unless after-unlock goes too (back to before the first unlock). */
void hf_enclave_forget(struct hf_enclave *e, uint32_t classes)
{
    bool all = (classes & HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK)) != 0;
    classes &= ~HF_CLASS_BIT(HF_CLASS_ALWAYS);
    for (uint32_t i = 0; i < e->user_keys.count; i++) {
        if (all || classes & HF_CLASS_BIT(e->user_keys.entries[i].class))
            hf_class_key_wipe(&e->user_keys.entries[i].key);
    }
    hf_duress_auth_wipe(&e->user_keys.duress);
    hf_kek_wipe(&e->kek);
    e->kek_there = false;
    e->available &= ~classes;
    if (all) {
        hf_wipe(&e->user_keys, sizeof e->user_keys);
        e->available &= HF_CLASS_BIT(HF_CLASS_ALWAYS);
        e->meta &= HF_CLASS_BIT(HF_CLASS_ALWAYS);
    }
}

void hf_enclave_write_status(struct hf_enclave *e, struct hf_writer *writer)
{
    struct hf_enclave_status status = {.loaded = e->loaded, .generation = e->header.generation, .policy = e->header.policy,
                                       .has_recovery = e->header.has_recovery, .kdf_memory_kib = e->header.kdf_memory_kib,
                                       .kdf_passes = e->header.kdf_passes, .kdf_lanes = e->header.kdf_lanes, .available = e->available, .meta = e->meta,
                                       .unlocked_once = e->unlocked_once, .failed_since_unlock = e->failed_since_unlock, .element = e->element,
                                       .secret_memory = (uint8_t)hf_secret_kind(), .kdf_may_swap = e->loaded && hf_trial_may_swap(e->header.kdf_memory_kib)};
    memcpy(status.vault_id, e->header.vault_id, sizeof status.vault_id);
    (void)snprintf(status.note, sizeof status.note, "%s", e->note);
    hf_enclave_status_write(writer, &status);
}

static enum hf_result on_status(struct hf_enclave *e, struct hf_exchange *x)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    if (e->greeted)
        HF_TRY(hf_link_status(e, &x->error));
    hf_enclave_write_status(e, &x->out);
    return HF_OK;
}

static enum hf_result on_start(struct hf_enclave *e, struct hf_exchange *x)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    enum hf_result result = hf_keystore_load(e, &x->error);
    x->body_always = true;
    hf_enclave_write_status(e, &x->out);
    return result;
}

/* [LK-4] Locked for too long, on a clock that counts sleep: back to before the first unlock. Called before each request, and by the timer. */
static void expire(struct hf_enclave *e)
{
    if (e->expires_at_ms == 0 || hf_clock_ms() < e->expires_at_ms)
        return;
    hf_enclave_forget(e, UINT32_MAX);
    hf_enclave_expect(e, false);
}

void hf_enclave_expect(struct hf_enclave *e, bool locked)
{
    bool limited = e->header.policy.inactivity_s > 0 && e->meta & HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK);
    if (!locked || !limited)
        e->expires_at_ms = 0;
    else if (e->expires_at_ms == 0) /* a second lock does not begin it again */
        e->expires_at_ms = hf_clock_ms() + e->header.policy.inactivity_s * UINT64_C(1000);
    hf_clock_timer_set(e->timer, e->expires_at_ms);
}

static enum hf_result on_lock(struct hf_enclave *e, struct hf_exchange *x)
{
    uint32_t mask = hf_read_u32(&x->in);
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_enclave_forget(e, mask);
    hf_enclave_expect(e, (e->available & HF_CLASS_BIT(HF_CLASS_COMPLETE)) == 0);
    return HF_OK;
}

/* The element's part. A vault without a keybag has been erased before. */
static enum hf_result erase_element(struct hf_enclave *e, struct hf_error *error)
{
    struct hf_keybag_view view;
    uint32_t kind;
    if (!e->greeted) {
        HF_TRY(hf_keystore_read(&view, error));
        HF_TRY(hf_link_hello(e, &view.header, false, &kind, error));
    }
    return hf_link_erase(e, error);
}

/* [ER-1] The element first: from then on copies of the keybag are useless. Without it the rest goes only when the supervisor says so, after a first try. */
static enum hf_result on_erase(struct hf_enclave *e, struct hf_exchange *x)
{
    bool even_without_element = hf_read_bool(&x->in);
    struct hf_error element = {.result = HF_OK};
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    enum hf_result told = erase_element(e, &element);
    if (told == HF_GONE)
        told = HF_OK;
    if (told != HF_OK && !even_without_element)
        return hf_fail(&x->error, told, "%s", element.text[0] ? element.text : hf_result_text(told));
    enum hf_result result = hf_keystore_destroy();
    hf_enclave_forget(e, UINT32_MAX);
    hf_wipe(&e->device_keys, sizeof e->device_keys);
    hf_device_key_wipe(&e->device_key);
    hf_cache_clear(e);
    e->device = false;
    e->available = e->meta = 0;
    e->erased = true;
    if (result == HF_OK && told != HF_OK)
        return hf_fail(&x->error, HF_UNREACHABLE, "the keys on this disk are destroyed, but the element could not be told (%.120s): an older copy of the disk opens with the passcode", element.text);
    return result;
}

/* Which request is answered when; a hole refuses. */
static const struct rule {
    enum hf_control_request request;
    bool needs_device; /* a vault whose keybag was found good */
    bool secret;       /* brings a descriptor */
    enum hf_result (*handle)(struct hf_enclave *e, struct hf_exchange *x);
} rules[] = {
    {HF_CTL_START, false, false, on_start},
    {HF_CTL_CREATE, false, true, hf_verb_create},
    {HF_CTL_UNLOCK, true, true, hf_verb_unlock},
    {HF_CTL_LOCK, true, false, on_lock},
    {HF_CTL_PASSCODE, true, true, hf_verb_passcode},
    {HF_CTL_RECOVER, false, true, hf_verb_recover},
    {HF_CTL_NEW_RECOVERY, true, true, hf_verb_new_recovery},
    {HF_CTL_RESEAL, true, true, hf_verb_reseal},
    {HF_CTL_SENTENCE, true, true, hf_verb_sentence},
    {HF_CTL_ROTATE, true, false, hf_verb_rotate},
    {HF_CTL_ERASE, false, false, on_erase},
    {HF_CTL_STATUS, false, false, on_status},
    {HF_CTL_SETTINGS, true, true, hf_verb_settings},
    {HF_CTL_DURESS, true, true, hf_verb_duress},
};

static enum hf_result control_request(struct hf_enclave *e, uint16_t request, struct hf_exchange *x)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].request != request)
            continue;
        if (e->erased && request != HF_CTL_STATUS)
            return hf_fail(&x->error, HF_GONE, "this vault is erased");
        if (rules[i].needs_device && !e->device)
            return hf_fail(&x->error, HF_PROTOCOL, "no vault is loaded");
        if (e->packaged && rules[i].secret && x->secret < 0)
            HF_TRY(hf_enclave_take_connection(e, &x->secret));
        else if (e->packaged && x->secret >= 0)
            return HF_PROTOCOL;
        if (rules[i].secret != (x->secret >= 0))
            return HF_PROTOCOL;
        return rules[i].handle(e, x);
    }
    return HF_PROTOCOL;
}

/* False when the channel has ended. */
static bool serve_one(struct hf_enclave *e, int socket)
{
    struct hf_exchange x = {.secret = -1};
    struct hf_writer reply;
    size_t len = 0;
    int fd_count = 0;
    enum hf_result result = hf_ipc_recv(socket, e->in, sizeof e->in, &len, &x.secret, 1, &fd_count, -1);
    if (result != HF_OK && result != HF_PROTOCOL)
        return false;
    expire(e);
    hf_writer_init(&x.out, e->body, sizeof e->body - 512);
    if (result == HF_OK) {
        hf_reader_init(&x.in, HF_SPAN(e->in, len));
        uint16_t request = hf_read_u16(&x.in);
        result = socket == HF_FD_ENCLAVE_CONTROL ? control_request(e, request, &x)
                                                 : (x.secret >= 0 ? HF_PROTOCOL : hf_filekeys_request(e, request, &x));
    }
    if (result == HF_OK && hf_writer_end(&x.out) != HF_OK)
        result = HF_FAILED;
    if (e->burned) { /* the verdict is a wrong passcode's, and so is the reply but for its last byte, which the supervisor keeps to itself */
        hf_writer_init(&x.out, e->body, sizeof e->body);
        hf_write_u8(&x.out, 1);
        x.body_always = true;
        e->burned = false;
    }
    hf_reply_begin(&reply, e->out, sizeof e->out, result, result == HF_OK ? "" : x.error.text);
    if (result == HF_OK || x.body_always)
        hf_write_bytes(&reply, e->body, x.out.len);
    enum hf_result sent = hf_message_send(socket, &reply);
    hf_cleanup_fd(&x.secret);
    hf_wipe(e->in, sizeof e->in);
    hf_wipe(e->body, sizeof e->body);
    hf_wipe(e->out, sizeof e->out);
    hf_secret_wipe_stack();
    return sent == HF_OK;
}

int hf_enclave_serve(struct hf_enclave *e)
{
    struct pollfd watch[] = {{HF_FD_ENCLAVE_CONTROL, POLLIN, 0}, {HF_FD_ENCLAVE_KEYS, POLLIN, 0}, {HF_FD_ENCLAVE_ELEMENT, 0, 0}, {e->timer, POLLIN, 0}};
    for (;;) {
        if (poll(watch, 4, -1) < 0)
            continue;
        if (watch[2].revents) /* the element is gone: death is lock */
            break;
        expire(e);
        if (watch[0].revents && !serve_one(e, HF_FD_ENCLAVE_CONTROL))
            break;
        /* The filesystem's end alone is not ours: the supervisor decides. */
        if (watch[1].revents && !serve_one(e, HF_FD_ENCLAVE_KEYS))
            watch[1].fd = -1;
    }
    hf_wipe(e, sizeof *e);
    return 0;
}
