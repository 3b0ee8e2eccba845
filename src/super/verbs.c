/* super/verbs.c: the owner's verbs on a vault that is there. Secrets pass through as descriptors only [CH-3]; nothing but verbs comes in [CH-4]. */
#include "super/super.h"

#include <stdio.h>
#include <unistd.h>


static bool ended(struct hf_super *super, struct hf_job *job)
{
    if (hf_reader_end(&job->body) == HF_OK)
        return true;
    hf_job_fail(super, job, HF_PROTOCOL, "a malformed verb");
    return false;
}

/* The vault's path, first in the bodies of the verbs that a closed vault permits too. */
static bool read_path(struct hf_super *super, struct hf_job *job, char out[4096])
{
    hf_read_string(&job->body, out, 4096);
    if (!job->body.failed && out[0] == '/')
        return true;
    hf_job_fail(super, job, HF_PROTOCOL, "the verb needs an absolute path");
    return false;
}

/* A last step that only passes the verdict and the reply's body on. */
static void pass_on(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    static uint8_t bytes[HF_SUPER_REQUEST_MAX];
    struct hf_writer body;
    hf_super_refused(super, answer);
    struct hf_span rest = hf_read_view(&answer->body, hf_reader_left(&answer->body));
    hf_writer_init(&body, bytes, sizeof bytes);
    hf_write_bytes(&body, rest.data, rest.len);
    /* An enclave that failed at a closed vault's change is not gone on with: the next verb starts it afresh. */
    if (answer->verdict.result != HF_OK && !super->mounted)
        hf_super_stop(super);
    hf_job_end(super, job, &answer->verdict, &body);
}

/* --- unlock, lock --- */

static void unlock_told(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (super->locking || super->state != HF_STATE_UNLOCKED)
        hf_job_fail(super, job, HF_LOCKED, "locked again meanwhile");
    else if (answer->verdict.result != HF_OK)
        hf_job_end(super, job, &answer->verdict, NULL);
    else
        hf_status_answer(super, job);
}

static void unlock_judged(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK) {
        hf_super_refused(super, answer);
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    hf_known_take(super, &answer->body);
    if (super->locking) { /* asked for while the passcode was judged: it comes after, and wins */
        hf_job_fail(super, job, HF_LOCKED, "a lock was asked for while the passcode was judged: locked");
        return;
    }
    super->lock_at_ms = super->locked_at_ms = 0;
    super->grace_deep = false;
    hf_super_state(super, HF_STATE_UNLOCKED);
    hf_job_request(job, HF_FS_UNLOCK);
    hf_job_ask(super, job, HF_CHANNEL_FS, 0, unlock_told);
}

void hf_verb_unlock(struct hf_super *super, struct hf_job *job)
{
    if (!ended(super, job))
        return;
    hf_job_request(job, HF_CTL_UNLOCK);
    job->gives_secret = true;
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, unlock_judged);
}

void hf_verb_lock(struct hf_super *super, struct hf_job *job)
{
    bool now = hf_read_u8(&job->body) != 0;
    if (!ended(super, job))
        return;
    if (!hf_super_lock_begin(super, now, false))
        hf_job_ok(super, job); /* else with the lock that runs */
}

/* --- close --- */

static void settled(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    struct hf_error ignored, verdict = answer->verdict;
    if (verdict.result == HF_OK && !job->force && hf_super_unmount(super, false, &ignored) != HF_OK)
        hf_super_state(super, HF_STATE_CLOSED); /* someone came in between: the lazy way takes it away from them */
    hf_super_bury(super, "the vault was closed");
    hf_job_end(super, job, &verdict, NULL);
}

/* HF_FS_CLOSE ends the filesystem's service for good, so a mount in use is noticed before it. */
static void settle(struct hf_super *super, struct hf_job *job)
{
    super->closing = true;
    hf_super_stop_work(super);
    hf_job_request(job, HF_FS_CLOSE);
    hf_job_ask(super, job, HF_CHANNEL_FS, HF_SUPER_LONG_MS, settled);
}

static void settle_unless(struct hf_super *super, struct hf_job *job, bool in_use)
{
    struct hf_error error;
    if (!in_use) {
        settle(super, job);
        return;
    }
    (void)hf_fail(&error, HF_BUSY, "%s: in use; close the files there, or use close --force", super->mountpoint);
    hf_job_end(super, job, &error, NULL);
}

static void use_told(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK)
        hf_job_end(super, job, &answer->verdict, NULL);
    else
        settle_unless(super, job, hf_read_u32(&answer->body) > 0);
}

void hf_close_begin(struct hf_super *super, struct hf_job *job, bool force)
{
    job->force = force;
    if (!super->mounted) {
        super->exiting = true;
        hf_job_ok(super, job);
    } else if (force) {
        settle(super, job);
    } else if (geteuid() == 0) {
        settle_unless(super, job, hf_super_mount_in_use(super));
    } else {
        hf_super_stop_work(super);
        hf_job_request(job, HF_FS_STATUS);
        hf_job_ask(super, job, HF_CHANNEL_FS, 0, use_told);
    }
}

void hf_verb_close(struct hf_super *super, struct hf_job *job)
{
    bool force = hf_read_u8(&job->body) != 0;
    if (ended(super, job))
        hf_close_begin(super, job, force);
}

/* --- status --- */

static void status_started(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    /* Gone, or other software than the vault is sealed to: the status says so itself. */
    if (answer->verdict.result != HF_OK && answer->verdict.result != HF_GONE && answer->verdict.result != HF_REFUSED)
        hf_job_end(super, job, &answer->verdict, NULL);
    else
        hf_status_answer(super, job);
}

void hf_verb_status(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (super->mounted)
        hf_status_answer(super, job);
    else if (read_path(super, job, path) && ended(super, job))
        hf_super_ready(super, job, path, status_started);
}

/* --- where secrets go --- */

void hf_verb_secrets(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    uint8_t bytes[128];
    struct hf_writer body;
    struct hf_error error = {.result = HF_OK};
    if (!read_path(super, job, path))
        return;
    bool creating = hf_read_u8(&job->body) != 0;
    if (!ended(super, job))
        return;
    enum hf_result result = super->mounted || creating ? HF_OK : hf_super_attach(super, path, &error);
    if (result == HF_OK && !super->mounted)
        result = hf_packaged_choose(super, creating, &error);
    error.result = result;
    hf_writer_init(&body, bytes, sizeof bytes);
    hf_write_string(&body, super->secrets_name);
    hf_job_end(super, job, &error, &body);
}

/* --- passcode, recovery, settings: on an open or a closed vault --- */

static void ask_passcode(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK) {
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    hf_job_request(job, job->verb == HF_OWN_REPLACE ? HF_CTL_NEW_RECOVERY : HF_CTL_PASSCODE);
    job->gives_secret = true;
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, pass_on);
}

void hf_verb_passcode(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (read_path(super, job, path) && ended(super, job))
        hf_super_ready(super, job, path, ask_passcode);
}

void hf_verb_replace(struct hf_super *super, struct hf_job *job)
{
    hf_verb_passcode(super, job);
}

static void settings_made(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result == HF_OK)
        hf_known_take(super, &answer->body);
    pass_on(super, job, answer);
}

/* What the verb's body has behind the path goes on to the enclave as it is, with the owner's secret. */
static void forward(struct hf_super *super, struct hf_job *job, const struct hf_answer *answer, uint16_t request, hf_step then)
{
    if (answer->verdict.result != HF_OK) {
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    struct hf_span rest = hf_read_view(&job->body, hf_reader_left(&job->body));
    hf_job_request(job, request);
    job->gives_secret = true;
    hf_write_bytes(&job->request, rest.data, rest.len);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, then);
}

static void ask_settings(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    forward(super, job, answer, HF_CTL_SETTINGS, settings_made);
}

void hf_verb_settings(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (read_path(super, job, path))
        hf_super_ready(super, job, path, ask_settings);
}

static void ask_reseal(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    forward(super, job, answer, HF_CTL_RESEAL, pass_on);
}

void hf_verb_reseal(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (read_path(super, job, path))
        hf_super_ready(super, job, path, ask_reseal);
}

static void ask_duress(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    forward(super, job, answer, HF_CTL_DURESS, pass_on);
}

void hf_verb_duress(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (read_path(super, job, path))
        hf_super_ready(super, job, path, ask_duress);
}

static void ask_sentence(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    forward(super, job, answer, HF_CTL_SENTENCE, pass_on); /* the path is all that came */
}

void hf_verb_sentence(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (read_path(super, job, path) && ended(super, job))
        hf_super_ready(super, job, path, ask_sentence);
}

/* The element may be of another kind now. */
static void recovered(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result == HF_OK && super->packaged && !job->flags && hf_packaged_note_id(super, super->vault_id, job->element_kind) != HF_OK)
        (void)hf_fail(&answer->verdict, HF_IO, "recovered, but %s/.holdfast/id cannot be written", super->vault);
    pass_on(super, job, answer);
}

/* The element may be lost or finished: that is what the phrase is for, so START's failure does not end it. */
static void ask_recover(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (super->channels[HF_CHANNEL_ENCLAVE].socket < 0) {
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    struct hf_span rest = hf_read_view(&job->body, hf_reader_left(&job->body));
    struct hf_reader asked;
    hf_reader_init(&asked, rest);
    job->flags = hf_read_u8(&asked); /* only a test */
    job->element_kind = hf_read_u32(&asked);
    hf_job_request(job, HF_CTL_RECOVER);
    job->gives_secret = true;
    hf_write_bytes(&job->request, rest.data, rest.len);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, recovered);
}

void hf_verb_recover(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    if (read_path(super, job, path))
        hf_super_ready(super, job, path, ask_recover);
}

/* --- check, rotate: long work of the filesystem --- */

static void worked(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (job->stopped && answer->verdict.result == HF_BUSY)
        (void)hf_fail(&answer->verdict, HF_FAILED, "stopped by a lock or close before its end; run it again");
    pass_on(super, job, answer);
}

void hf_verb_check(struct hf_super *super, struct hf_job *job)
{
    if (!ended(super, job))
        return;
    hf_job_request(job, HF_FS_CHECK);
    job->relay = true;
    hf_job_ask(super, job, HF_CHANNEL_FS, 0, worked);
}

static void rotated_one(struct hf_super *super, struct hf_job *job, struct hf_answer *answer);

static void rotate_next(struct hf_super *super, struct hf_job *job)
{
    hf_job_request(job, HF_FS_ROTATE);
    hf_write_u8(&job->request, job->class);
    job->relay = true;
    hf_job_ask(super, job, HF_CHANNEL_FS, 0, rotated_one);
}

static void rotated_one(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    const struct hf_error fine = {.result = HF_OK};
    uint8_t bytes[8];
    struct hf_writer body;
    if (answer->verdict.result == HF_OK)
        job->files += hf_read_u64(&answer->body);
    if (answer->verdict.result != HF_OK) {
        worked(super, job, answer);
    } else if (super->locking || super->closing) {
        hf_job_fail(super, job, HF_LOCKED, "stopped by a lock or close before its end; unlock and run it again");
    } else if (job->class < job->last_class) {
        job->class++;
        rotate_next(super, job);
    } else {
        hf_writer_init(&body, bytes, sizeof bytes);
        hf_write_u64(&body, job->files);
        hf_job_end(super, job, &fine, &body);
    }
}

static void rotate_keys_made(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK)
        hf_job_end(super, job, &answer->verdict, NULL);
    else if (super->locking || super->closing)
        hf_job_fail(super, job, HF_LOCKED, "new class keys are made, but a lock or close came before the files; unlock and run it again");
    else
        rotate_next(super, job);
}

void hf_verb_rotate(struct hf_super *super, struct hf_job *job)
{
    uint8_t class = hf_read_u8(&job->body);
    if (!ended(super, job))
        return;
    if (class > HF_CLASS_LAST) {
        hf_job_fail(super, job, HF_PROTOCOL, "no such class");
        return;
    }
    job->class = class ? class : HF_CLASS_FIRST;
    job->last_class = class ? class : HF_CLASS_LAST;
    hf_job_request(job, HF_CTL_ROTATE);
    hf_write_u8(&job->request, class);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, rotate_keys_made);
}

/* --- accept: the passcode is judged first, whatever is unlocked [FR-9] --- */

static void accept_judged(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK) {
        hf_super_refused(super, answer);
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    if (super->locking || super->closing || super->state != HF_STATE_UNLOCKED) {
        hf_job_fail(super, job, HF_LOCKED, "locked meanwhile; unlock and accept again");
        return;
    }
    hf_known_take(super, &answer->body);
    struct hf_span rest = hf_read_view(&job->body, hf_reader_left(&job->body));
    hf_job_request(job, HF_FS_ACCEPT);
    hf_write_bytes(&job->request, rest.data, rest.len);
    job->relay = true;
    hf_job_ask(super, job, HF_CHANNEL_FS, 0, worked);
}

void hf_verb_accept(struct hf_super *super, struct hf_job *job)
{
    struct hf_reader look = job->body;
    bool lists = hf_read_u8(&look) == HF_ACCEPT_LIST;
    if (look.failed || (super->packaged ? job->secret >= 0 : lists != (job->secret < 0))) {
        hf_job_fail(super, job, HF_PROTOCOL, "a malformed verb");
        return;
    }
    if (super->state != HF_STATE_UNLOCKED) {
        hf_job_fail(super, job, HF_LOCKED, "the vault is locked; holdfast unlock it first");
        return;
    }
    if (lists) {
        struct hf_answer judged = {.verdict = {.result = HF_OK}};
        hf_reader_init(&judged.body, HF_SPAN(super->in, 0));
        accept_judged(super, job, &judged);
        return;
    }
    hf_job_request(job, HF_CTL_UNLOCK);
    job->gives_secret = true;
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, accept_judged);
}
