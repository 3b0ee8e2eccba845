/* super/verbs.c: the owner's verbs. Secrets pass through as descriptors only. Source: spec/60-processes.md [CH-4]. */
#include "super/super.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/disk.h"
#include "os/file.h"

enum { LONG_MS = 600000 };

static enum hf_result read_path(struct hf_verb *verb, char out[4096], struct hf_error *error)
{
    hf_read_string(verb->body, out, 4096);
    if (verb->body->failed || out[0] != '/')
        return hf_fail(error, HF_PROTOCOL, "the verb needs an absolute path");
    return HF_OK;
}

/* The verb's body is read to its end. */
static enum hf_result ended(struct hf_verb *verb, struct hf_error *error)
{
    if (hf_reader_end(verb->body) != HF_OK)
        return hf_fail(error, HF_PROTOCOL, "a malformed verb");
    return HF_OK;
}

static enum hf_result need_open(const struct hf_super *super, struct hf_error *error)
{
    return super->mounted ? HF_OK : hf_fail(error, HF_FAILED, "the vault is not open; holdfast open it first");
}

/* Attaches and starts for verbs that work on a closed vault as well. */
static enum hf_result ready(struct hf_super *super, struct hf_verb *verb, bool more, struct hf_error *error)
{
    char path[4096];
    static struct hf_enclave_status status;
    HF_TRY(read_path(verb, path, error));
    if (!more)
        HF_TRY(ended(verb, error));
    if (super->mounted)
        return HF_OK;
    HF_TRY(hf_super_attach(super, path, error));
    return hf_super_start(super, &status, error);
}

static void write_status(struct hf_super *super, const struct hf_enclave_status *enclave, struct hf_writer *reply)
{
    static struct hf_owner_status status;
    memset(&status, 0, sizeof status);
    status.state = super->state;
    if (super->gone || enclave->element.state == HF_ELEMENT_ERASED)
        status.state = HF_STATE_ERASED;
    if (super->mounted)
        memcpy(status.mountpoint, super->mountpoint, sizeof status.mountpoint);
    status.enclave = *enclave;
    if (super->fs_control >= 0) {
        struct hf_writer request;
        struct hf_reader body;
        struct hf_error ignored;
        hf_message_begin(&request, super->out, sizeof super->out, HF_FS_STATUS);
        if (hf_super_call(super, super->fs_control, &request, -1, HF_SUPER_CONFIRM_MS, &ignored, &body) == HF_OK) {
            (void)hf_read_u32(&body);
            status.open_unless_open = hf_read_u32(&body);
        }
    }
    status.pid_super = (uint32_t)getpid();
    status.pid_enclave = (uint32_t)super->enclave.pid;
    status.pid_element = (uint32_t)super->element.pid;
    status.pid_fs = (uint32_t)super->fs.pid;
    uint64_t now = hf_clock_ms();
    if (super->lock_at_ms > now)
        status.grace_left_s = (uint32_t)((super->lock_at_ms - now + 999) / 1000);
    if (super->enclave_sha256[0] == '\0')
        hf_super_measure(super);
    memcpy(status.enclave_sha256, super->enclave_sha256, sizeof status.enclave_sha256);
    hf_owner_status_write(reply, &status);
}

static enum hf_result verb_status(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    static struct hf_enclave_status enclave;
    if (super->mounted) {
        HF_TRY(hf_super_status(super, &enclave, error));
    } else {
        char path[4096];
        HF_TRY(read_path(verb, path, error));
        HF_TRY(hf_super_attach(super, path, error));
        enum hf_result result = hf_super_start(super, &enclave, error);
        if (result == HF_GONE)
            *error = (struct hf_error){.result = HF_OK}; /* the status says so itself */
        else if (result != HF_OK)
            return result;
    }
    write_status(super, &enclave, verb->reply);
    return HF_OK;
}

static enum hf_result verb_create(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    char path[4096];
    bool made_dir = false;
    HF_TRY(read_path(verb, path, error));
    struct hf_span rest = hf_read_view(verb->body, hf_reader_left(verb->body));
    if (verb->secret < 0)
        return hf_fail(error, HF_PROTOCOL, "create needs a passcode's channel");
    HF_TRY(hf_super_make(super, path, &made_dir, error));
    enum hf_result result = hf_super_spawn(super, error);
    struct hf_writer request;
    struct hf_reader body;
    if (result == HF_OK) {
        hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_CREATE);
        hf_write_bytes(&request, rest.data, rest.len);
        result = hf_super_call(super, super->control, &request, verb->secret, LONG_MS, error, &body);
    }
    if (result == HF_OK) {
        uint8_t id[16];
        hf_read_bytes(&body, id, sizeof id);
        result = hf_reader_end(&body);
        hf_write_bytes(verb->reply, id, sizeof id);
    }
    hf_super_stop(super);
    if (result != HF_OK)
        hf_super_unmake(super, made_dir);
    else
        hf_super_detach_vault(super);
    return result;
}

enum hf_result hf_super_listen(struct hf_super *super, struct hf_error *error)
{
    HF_TRY(hf_socket_path(super->vault_id, true, super->socket_path, error));
    enum hf_result result = hf_ipc_listen(super->socket_path, &super->listener);
    if (result != HF_OK) {
        (void)hf_fail(error, result, "%s: %s", super->socket_path, hf_result_text(result));
        super->socket_path[0] = '\0';
    }
    return result;
}

static enum hf_result go_on_alone(struct hf_super *super, uint32_t flags, struct hf_error *error)
{
    int fuse = -1;
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(hf_super_mount(super, flags, &fuse, error));
    super->fuse = fuse; /* start duplicates it into the filesystem: ours outlives it */
    HF_TRY(hf_super_spawn_fs(super, fuse, error));
    hf_message_begin(&request, super->out, sizeof super->out, HF_FS_START);
    hf_write_u32(&request, flags >> 1);
    hf_write_string(&request, super->mountpoint);
    HF_TRY(hf_super_call(super, super->fs_control, &request, -1, 60000, error, &body));
    return hf_super_listen(super, error);
}

static enum hf_result verb_open(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    static struct hf_enclave_status enclave;
    char path[4096];
    HF_TRY(read_path(verb, path, error));
    if (super->mounted)
        return hf_fail(error, HF_BUSY, "%s: open already, at %s", super->vault, super->mountpoint);
    HF_TRY(read_path(verb, super->mountpoint, error));
    uint32_t flags = hf_read_u32(verb->body);
    HF_TRY(ended(verb, error));
    size_t len = strlen(path);
    if (strncmp(super->mountpoint, path, len) == 0 && (super->mountpoint[len] == '/' || super->mountpoint[len] == '\0'))
        return hf_fail(error, HF_USAGE, "%s: inside the vault; choose another mountpoint", super->mountpoint);
    HF_TRY(hf_super_attach(super, path, error));
    HF_TRY(hf_super_start(super, &enclave, error));
    super->state = HF_STATE_BEFORE_FIRST_UNLOCK;
    enum hf_result result = HF_OK;
    if (!(flags & HF_OPEN_LOCKED))
        result = hf_super_unlock(super, verb->secret, error);
    if (result != HF_OK) {
        super->state = HF_STATE_CLOSED;
        return result;
    }
    result = go_on_alone(super, flags, error);
    if (result == HF_OK)
        result = hf_super_status(super, &enclave, error);
    if (result != HF_OK) {
        hf_super_bury(super);
        return result;
    }
    write_status(super, &enclave, verb->reply);
    return HF_OK;
}

static enum hf_result verb_unlock(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    static struct hf_enclave_status enclave;
    HF_TRY(ended(verb, error));
    HF_TRY(need_open(super, error));
    HF_TRY(hf_super_unlock(super, verb->secret, error));
    HF_TRY(hf_super_status(super, &enclave, error));
    write_status(super, &enclave, verb->reply);
    return HF_OK;
}

static enum hf_result verb_lock(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    bool now = hf_read_u8(verb->body) != 0;
    HF_TRY(ended(verb, error));
    HF_TRY(need_open(super, error));
    if (super->state != HF_STATE_UNLOCKED && super->state != HF_STATE_LOCKING)
        return HF_OK;
    if (now || super->policy.grace_s == 0)
        return hf_super_lock(super, false, error);
    if (super->state == HF_STATE_UNLOCKED) { /* a second lock does not start the grace again */
        super->lock_at_ms = hf_clock_ms() + super->policy.grace_s * UINT64_C(1000);
        super->state = HF_STATE_LOCKING;
    }
    return HF_OK;
}

enum hf_result hf_super_close(struct hf_super *super, bool force, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    if (!super->mounted) {
        super->exiting = true;
        return HF_OK;
    }
    /* HF_FS_CLOSE ends the filesystem's service for good, so a mount in use is noticed before it. */
    if (!force)
        HF_TRY(hf_super_in_use(super, error));
    hf_message_begin(&request, super->out, sizeof super->out, HF_FS_CLOSE);
    enum hf_result result = hf_super_call(super, super->fs_control, &request, -1, LONG_MS, error, &body);
    struct hf_error ignored;
    if (result == HF_OK && !force && hf_super_unmount(super, false, &ignored) != HF_OK)
        super->state = HF_STATE_CLOSED; /* someone came in between: the lazy way, below, takes it away from them */
    hf_super_bury(super);
    return result;
}

static enum hf_result verb_close(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    bool force = hf_read_u8(verb->body) != 0;
    HF_TRY(ended(verb, error));
    return hf_super_close(super, force, error);
}

/* Messages of the filesystem that come before its reply go on to the owner; the reply's body is copied. */
static enum hf_result relay(struct hf_super *super, const struct hf_writer *request, struct hf_verb *verb, struct hf_error *error)
{
    bool listening = true;
    HF_TRY(hf_message_send(super->fs_control, request));
    for (;;) {
        size_t len = 0;
        enum hf_result got = hf_ipc_recv(super->fs_control, super->in, sizeof super->in, &len, NULL, 0, NULL, LONG_MS);
        if (got != HF_OK)
            return hf_fail(error, HF_FAILED, "holdfast-fs does not answer: %s", hf_result_text(got));
        unsigned type = len >= 2 ? super->in[0] | (unsigned)super->in[1] << 8 : 0;
        if (type == HF_MSG_PROGRESS || type == HF_FS_FINDING) {
            /* An owner who has gone does not stop the work. */
            if (listening && hf_ipc_send(verb->connection, HF_SPAN(super->in, len), NULL, 0) != HF_OK)
                listening = false;
            continue;
        }
        struct hf_reader body;
        struct hf_error verdict = {.result = HF_OK};
        HF_TRY(hf_reply_parse(HF_SPAN(super->in, len), &verdict, &body));
        struct hf_span rest = hf_read_view(&body, hf_reader_left(&body));
        if (verdict.result == HF_OK)
            hf_write_bytes(verb->reply, rest.data, rest.len);
        else
            *error = verdict;
        return verdict.result;
    }
}

static enum hf_result verb_check(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    struct hf_writer request;
    HF_TRY(ended(verb, error));
    HF_TRY(need_open(super, error));
    hf_message_begin(&request, super->out, sizeof super->out, HF_FS_CHECK);
    return relay(super, &request, verb, error);
}

static enum hf_result verb_rotate(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    uint8_t class = hf_read_u8(verb->body);
    HF_TRY(ended(verb, error));
    HF_TRY(need_open(super, error));
    if (class > HF_CLASS_LAST)
        return hf_fail(error, HF_PROTOCOL, "no such class");
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_ROTATE);
    hf_write_u8(&request, class);
    HF_TRY(hf_super_call(super, super->control, &request, -1, LONG_MS, error, &body));
    uint64_t files = 0;
    for (uint8_t each = class ? class : HF_CLASS_FIRST; each <= (class ? class : HF_CLASS_LAST); each++) {
        uint8_t space[16];
        struct hf_writer count;
        struct hf_verb part = *verb;
        hf_writer_init(&count, space, sizeof space);
        part.reply = &count;
        hf_message_begin(&request, super->out, sizeof super->out, HF_FS_ROTATE);
        hf_write_u8(&request, each);
        HF_TRY(relay(super, &request, &part, error));
        struct hf_reader number;
        hf_reader_init(&number, hf_writer_span(&count));
        files += hf_read_u64(&number);
    }
    hf_write_u64(verb->reply, files);
    return HF_OK;
}

static enum hf_result verb_erase(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    enum hf_result result = ready(super, verb, false, error);
    if (super->control < 0)
        return result;
    /* A vault whose START failed (a damaged keybag) can still be erased: the enclave decides. */
    *error = (struct hf_error){.result = HF_OK};
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_ERASE);
    result = hf_super_call(super, super->control, &request, -1, 60000, error, &body);
    hf_super_bury(super);
    return result;
}

/* PASSCODE and REPLACE: a secret's channel and no body. */
static enum hf_result verb_secret(struct hf_super *super, uint16_t control_type, struct hf_verb *verb, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(ready(super, verb, false, error));
    hf_message_begin(&request, super->out, sizeof super->out, control_type);
    return hf_super_call(super, super->control, &request, verb->secret, LONG_MS, error, &body);
}

static enum hf_result verb_recover(struct hf_super *super, struct hf_verb *verb, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    enum hf_result result = ready(super, verb, true, error);
    if (super->control < 0)
        return result;
    /* The element may be lost or finished: that is what the phrase is for, so START's failure does not end it here. */
    *error = (struct hf_error){.result = HF_OK};
    struct hf_span rest = hf_read_view(verb->body, hf_reader_left(verb->body));
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_RECOVER);
    hf_write_bytes(&request, rest.data, rest.len);
    HF_TRY(hf_super_call(super, super->control, &request, verb->secret, LONG_MS, error, &body));
    hf_write_u32(verb->reply, hf_read_u32(&body));
    return HF_OK;
}

enum hf_result hf_super_verb(struct hf_super *super, uint16_t type, struct hf_verb *verb, struct hf_error *error)
{
    switch (type) {
    case HF_OWN_CREATE:
        return verb_create(super, verb, error);
    case HF_OWN_OPEN:
        return verb_open(super, verb, error);
    case HF_OWN_UNLOCK:
        return verb_unlock(super, verb, error);
    case HF_OWN_LOCK:
        return verb_lock(super, verb, error);
    case HF_OWN_CLOSE:
        return verb_close(super, verb, error);
    case HF_OWN_STATUS:
        return verb_status(super, verb, error);
    case HF_OWN_PASSCODE:
        return verb_secret(super, HF_CTL_PASSCODE, verb, error);
    case HF_OWN_RECOVER:
        return verb_recover(super, verb, error);
    case HF_OWN_REPLACE:
        return verb_secret(super, HF_CTL_NEW_RECOVERY, verb, error);
    case HF_OWN_ROTATE:
        return verb_rotate(super, verb, error);
    case HF_OWN_ERASE:
        return verb_erase(super, verb, error);
    case HF_OWN_CHECK:
        return verb_check(super, verb, error);
    default:
        return hf_fail(error, HF_PROTOCOL, "an unknown verb");
    }
}
