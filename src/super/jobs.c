/* super/jobs.c: the table of which verb is permitted when [CH-1], and the jobs' beginning and end. */
#include "super/super.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "os/file.h"

enum may { NO, YES, LATER /* when what runs has ended */, EITHER };

static const struct rule {
    enum hf_owner_request verb;
    const char *name;
    enum may secret;                           /* brings a secret's channel: NO, YES, or EITHER as its flags say */
    bool work;                                 /* needs a program for long: one at a time */
    enum may closed, open, beside_work, beside_lock, beside_close;
    void (*begin)(struct hf_super *super, struct hf_job *job);
} rules[] = {
    /* verb              name       secret work   closed open beside: work lock  close */
    {HF_OWN_CREATE,   "create",   YES,    true,  YES,   NO,           NO,    NO,    NO,  hf_verb_create},
    {HF_OWN_OPEN,     "open",     EITHER, true,  YES,   NO,           NO,    NO,    NO,  hf_verb_open},
    {HF_OWN_UNLOCK,   "unlock",   YES,    true,  NO,    YES,          NO,    LATER, NO,  hf_verb_unlock},
    {HF_OWN_LOCK,     "lock",     NO,     false, NO,    YES,          YES,   YES,   YES, hf_verb_lock},
    {HF_OWN_CLOSE,    "close",    NO,     false, YES,   YES,          YES,   LATER, NO,  hf_verb_close},
    {HF_OWN_STATUS,   "status",   NO,     false, YES,   YES,          YES,   YES,   YES, hf_verb_status},
    {HF_OWN_PASSCODE, "passcode", YES,    true,  YES,   YES,          NO,    LATER, NO,  hf_verb_passcode},
    {HF_OWN_RECOVER,  "recover",  YES,    true,  YES,   YES,          NO,    LATER, NO,  hf_verb_recover},
    {HF_OWN_REPLACE,  "replace",  YES,    true,  YES,   YES,          NO,    LATER, NO,  hf_verb_replace},
    {HF_OWN_RESEAL,   "reseal",   YES,    true,  YES,   YES,          NO,    LATER, NO,  hf_verb_reseal},
    {HF_OWN_DURESS,   "duress",   YES,    true,  YES,   YES,          NO,    LATER, NO,  hf_verb_duress},
    {HF_OWN_SENTENCE, "sentence", YES,    false, YES,   YES,          YES,   YES,   NO,  hf_verb_sentence},
    {HF_OWN_ROTATE,   "rotate",   NO,     true,  NO,    YES,          NO,    LATER, NO,  hf_verb_rotate},
    {HF_OWN_ERASE,    "erase",    NO,     false, YES,   YES,          YES,   YES,   YES, hf_verb_erase},
    {HF_OWN_CHECK,    "check",    NO,     true,  NO,    YES,          NO,    LATER, NO,  hf_verb_check},
    {HF_OWN_ACCEPT,   "accept",   EITHER, true,  NO,    YES,          NO,    LATER, NO,  hf_verb_accept},
    {HF_OWN_SECRETS,  "secrets",  NO,     false, YES,   YES,          YES,   YES,   YES, hf_verb_secrets},
    {HF_OWN_SETTINGS, "settings", YES,    true,  YES,   YES,          NO,    LATER, NO,  hf_verb_settings},
    {HF_OWN_WAIT,     "wait",     NO,     false, YES,   YES,          YES,   YES,   YES, NULL}, /* answered at the end */
};

static const struct rule *find_rule(uint16_t verb)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].verb == verb)
            return &rules[i];
    }
    return NULL;
}

static enum may judge(const struct hf_super *super, const struct rule *rule, struct hf_error *error)
{
    if ((super->mounted ? rule->open : rule->closed) == NO) {
        (void)(super->mounted ? hf_fail(error, HF_BUSY, "%s: open already, at %s", super->vault, super->mountpoint)
                              : hf_fail(error, HF_FAILED, "the vault is not open; holdfast open it first"));
        return NO;
    }
    if (super->closing && rule->beside_close != YES) {
        (void)hf_fail(error, HF_BUSY, "the vault is being closed");
        return rule->beside_close;
    }
    if (super->work && rule->beside_work != YES) {
        const struct rule *other = find_rule(super->work->verb);
        (void)hf_fail(error, HF_BUSY, "%s is under way; wait for it", other ? other->name : "another verb");
        return rule->beside_work;
    }
    if (super->suspending && rule->secret == YES) /* the machine is about to sleep: after the wake [LK-2] */
        return LATER;
    return super->locking ? rule->beside_lock : YES;
}

void hf_job_begin(struct hf_super *super, struct hf_job *job)
{
    struct hf_error error = {.result = HF_OK};
    const struct rule *rule = find_rule(job->verb);
    hf_reader_init(&job->body, HF_SPAN(job->owner_body, job->owner_len));
    if (!rule) {
        hf_job_fail(super, job, HF_PROTOCOL, "an unknown verb");
        return;
    }
    bool brings = rule->secret == YES && !super->packaged; /* else the enclave takes it from a connection of the CLI's own */
    if (rule->secret != EITHER && brings != (job->secret >= 0)) {
        hf_job_fail(super, job, HF_PROTOCOL, "a malformed verb");
        return;
    }
    enum may may = judge(super, rule, &error);
    job->waits = may == LATER;
    if (may == NO)
        hf_job_end(super, job, &error, NULL);
    if (may != YES || !rule->begin)
        return;
    if (rule->work)
        super->work = job;
    rule->begin(super, job);
}

void hf_job_run_waiting(struct hf_super *super)
{
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS && !super->exiting; i++) {
        if (super->jobs[i].verb && super->jobs[i].waits)
            hf_job_begin(super, &super->jobs[i]);
    }
}

static void drop_connection(struct hf_super *super, int slot)
{
    hf_cleanup_fd(&super->connections[slot]);
}

void hf_job_end(struct hf_super *super, struct hf_job *job, const struct hf_error *verdict, const struct hf_writer *body)
{
    static uint8_t bytes[HF_IPC_MAX];
    struct hf_writer reply;
    enum hf_result result = verdict->result;
    if (result == HF_OK && body && hf_writer_end(body) != HF_OK)
        result = HF_TOO_LARGE;
    hf_reply_begin(&reply, bytes, sizeof bytes, result, verdict->text[0] ? verdict->text : hf_result_text(result));
    if (result == HF_OK && body)
        hf_write_bytes(&reply, body->data, body->len);
    /* An owner who does not read is not waited for. */
    if (job->connection >= 0 && (hf_writer_end(&reply) != HF_OK || send(super->connections[job->connection], bytes, reply.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0))
        drop_connection(super, job->connection);
    hf_cleanup_fd(&job->secret);
    job->verb = 0;
    job->waits = false;
    if (super->work == job)
        super->work = NULL;
}

void hf_job_fail(struct hf_super *super, struct hf_job *job, enum hf_result result, const char *text)
{
    struct hf_error error;
    (void)hf_fail(&error, result, "%s", text);
    hf_job_end(super, job, &error, NULL);
}

void hf_job_ok(struct hf_super *super, struct hf_job *job)
{
    const struct hf_error fine = {.result = HF_OK};
    hf_job_end(super, job, &fine, NULL);
}

/* What changes keys goes on to its end; what only tells its owner something ends; what was still to be made is not made. */
void hf_job_abandon(struct hf_super *super, struct hf_job *job)
{
    job->connection = -1;
    if (job->verb == HF_OWN_CREATE || job->verb == HF_OWN_OPEN) {
        bool made = job->verb == HF_OWN_CREATE && super->dir_fd >= 0;
        hf_super_bury(super, "the owner has hung up");
        if (made)
            hf_super_unmake(super, job->made_dir);
    } else if (job->verb == HF_OWN_CHECK) {
        hf_super_stop_work(super);
    } else if (job->waits || job->verb == HF_OWN_WAIT) {
        hf_job_ok(super, job);
    }
}

void hf_job_end_all(struct hf_super *super)
{
    const struct hf_error fine = {.result = HF_OK};
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
        struct hf_job *job = &super->jobs[i];
        bool ended_well = job->verb == HF_OWN_LOCK || job->verb == HF_OWN_WAIT; /* the keys are gone, as they asked */
        if (job->verb)
            hf_job_end(super, job, ended_well || super->end.result == HF_OK ? &fine : &super->end, NULL);
    }
}
