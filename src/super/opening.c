/* super/opening.c: the verbs that start the other programs: create, open, and START for the rest. */
#include "super/super.h"

#include <stdio.h>
#include <string.h>

#include "os/file.h"
#include "proto/fields.h"

/* Goes on at once, without asking. */
static void step_now(struct hf_super *super, struct hf_job *job, hf_step then, const struct hf_error *error)
{
    struct hf_answer answer = {.verdict = *error};
    hf_reader_init(&answer.body, HF_SPAN(super->in, 0));
    then(super, job, &answer);
}

static void started(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    enum hf_result result = answer->verdict.result;
    hf_known_take(super, &answer->body);
    super->started = result == HF_OK;
    super->gone = result == HF_GONE && super->known.element.state != HF_ELEMENT_FINISHED;
    job->after_start(super, job, answer);
}

void hf_super_ready(struct hf_super *super, struct hf_job *job, const char *path, hf_step then)
{
    struct hf_error error = {.result = HF_OK};
    if (super->started) {
        step_now(super, job, then, &error);
        return;
    }
    enum hf_result result = hf_super_attach(super, path, &error);
    if (result == HF_OK && hf_erase_is_due(super)) /* [ER-3] */
        result = hf_erase_finish(super, &error);
    if (result == HF_OK) {
        if (super->channels[HF_CHANNEL_ENCLAVE].socket >= 0)
            hf_super_stop(super); /* what a START that failed has left */
        result = hf_packaged_choose(super, false, &error);
    }
    if (result == HF_OK) {
        result = hf_super_spawn(super, &error);
    }
    if (result != HF_OK) {
        hf_super_stop(super);
        if (error.result == HF_OK)
            (void)hf_fail(&error, result, "the programs cannot be started: %s", hf_result_text(result));
        step_now(super, job, then, &error);
        return;
    }
    job->after_start = then;
    hf_job_request(job, HF_CTL_START);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_START_MS, started);
}

/* --- create --- */

static void created(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    struct hf_writer body;
    uint8_t id[16], bytes[32];
    uint32_t untouched = 0;
    bool may_swap = false;
    if (answer->verdict.result == HF_OK) {
        hf_read_bytes(&answer->body, id, sizeof id);
        untouched = hf_read_u32(&answer->body);
        may_swap = hf_read_bool(&answer->body);
        if (hf_reader_end(&answer->body) != HF_OK)
            (void)hf_fail(&answer->verdict, HF_PROTOCOL, "holdfast-enclave: a malformed answer");
    }
    if (answer->verdict.result == HF_OK && super->packaged && hf_packaged_note_id(super, id, job->element_kind) != HF_OK)
        (void)hf_fail(&answer->verdict, HF_IO, "%s/.holdfast/id: cannot be written", super->vault);
    hf_super_stop(super);
    if (answer->verdict.result != HF_OK)
        hf_super_unmake(super, job->made_dir);
    else
        hf_super_detach_vault(super);
    hf_writer_init(&body, bytes, sizeof bytes);
    if (answer->verdict.result == HF_OK) {
        hf_write_bytes(&body, id, sizeof id);
        hf_write_u32(&body, untouched);
        hf_write_u8(&body, may_swap);
    }
    hf_job_end(super, job, &answer->verdict, &body);
}

/* The CLI has resolved `auto` already. */
static uint32_t kind_asked(struct hf_span body)
{
    struct hf_reader reader;
    struct hf_policy policy;
    hf_reader_init(&reader, body);
    hf_policy_read(&reader, &policy);
    (void)hf_read_u32(&reader);
    (void)hf_read_u32(&reader);
    return hf_read_u32(&reader);
}

void hf_verb_create(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    struct hf_error error = {.result = HF_OK};
    hf_read_string(&job->body, path, sizeof path);
    struct hf_span rest = hf_read_view(&job->body, hf_reader_left(&job->body));
    if (job->body.failed || path[0] != '/') {
        hf_job_fail(super, job, HF_PROTOCOL, "create needs an absolute path");
        return;
    }
    enum hf_result result = hf_packaged_choose(super, true, &error);
    if (result == HF_OK)
        result = hf_super_make(super, path, &job->made_dir, &error);
    if (result != HF_OK) {
        hf_job_fail(super, job, result, error.text);
        return;
    }
    if (super->packaged)
        result = hf_packaged_let_in(super, &error);
    if (result == HF_OK)
        result = hf_super_spawn(super, &error);
    if (result != HF_OK) {
        hf_super_stop(super);
        hf_super_unmake(super, job->made_dir);
        hf_job_fail(super, job, result, error.result != HF_OK ? error.text : "the programs cannot be started");
        return;
    }
    hf_job_request(job, HF_CTL_CREATE);
    hf_write_bytes(&job->request, rest.data, rest.len);
    job->gives_secret = true;
    job->element_kind = kind_asked(rest);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, created);
}

/* --- open --- */

/* Nothing is left of an open that failed: not mounted, no program running. */
static void give_up(struct hf_super *super, struct hf_job *job, const struct hf_error *error)
{
    if (super->mounted)
        hf_super_bury(super, "the vault could not be opened");
    else
        hf_super_stop(super);
    hf_super_state(super, HF_STATE_CLOSED);
    hf_job_end(super, job, error, NULL);
}

static enum hf_result listen_for_owners(struct hf_super *super, struct hf_error *error)
{
    HF_TRY(hf_socket_path(super->vault_id, true, super->socket_path, error));
    enum hf_result result = hf_ipc_listen(super->socket_path, &super->listener);
    if (result != HF_OK) {
        (void)hf_fail(error, result, "%s: %s", super->socket_path, hf_result_text(result));
        super->socket_path[0] = '\0';
    }
    return result;
}

static void served(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    struct hf_error error = answer->verdict;
    if (error.result != HF_OK || listen_for_owners(super, &error) != HF_OK)
        give_up(super, job, &error);
    else {
        hf_stop_note_take(super);
        hf_bus_start(super);
        hf_status_answer(super, job);
    }
}

static void mount_and_serve(struct hf_super *super, struct hf_job *job)
{
    struct hf_error error = {.result = HF_OK};
    HF_CLEANUP(fd) int fuse = -1;
    enum hf_result result = hf_super_mount(super, job->flags, &fuse, &error);
    if (result == HF_OK)
        result = hf_super_keep_fuse(super, fuse, &error);
    if (result == HF_OK)
        result = hf_super_spawn_fs(super, fuse, &error);
    if (result != HF_OK) {
        if (error.result == HF_OK)
            (void)hf_fail(&error, result, "the filesystem cannot be started: %s", hf_result_text(result));
        give_up(super, job, &error);
        return;
    }
    hf_job_request(job, HF_FS_START);
    hf_write_u32(&job->request, job->flags >> 1);
    hf_write_string(&job->request, super->mountpoint);
    hf_job_ask(super, job, HF_CHANNEL_FS, 60000, served);
}

static void opened(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK) {
        give_up(super, job, &answer->verdict);
        return;
    }
    hf_known_take(super, &answer->body);
    hf_super_state(super, HF_STATE_UNLOCKED);
    mount_and_serve(super, job);
}

static void open_started(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK) {
        give_up(super, job, &answer->verdict);
        return;
    }
    hf_super_state(super, HF_STATE_BEFORE_FIRST_UNLOCK);
    if (job->flags & HF_OPEN_LOCKED) {
        mount_and_serve(super, job);
        return;
    }
    hf_job_request(job, HF_CTL_UNLOCK);
    job->gives_secret = true;
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, HF_SUPER_LONG_MS, opened);
}

void hf_verb_open(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    hf_read_string(&job->body, path, sizeof path);
    hf_read_string(&job->body, super->mountpoint, sizeof super->mountpoint);
    job->flags = hf_read_u32(&job->body);
    bool locked = (job->flags & HF_OPEN_LOCKED) != 0;
    if (hf_reader_end(&job->body) != HF_OK || path[0] != '/' || super->mountpoint[0] != '/' || (super->packaged ? job->secret >= 0 : locked != (job->secret < 0))) {
        hf_job_fail(super, job, HF_PROTOCOL, "a malformed verb");
        return;
    }
    size_t len = strlen(path);
    if (strncmp(super->mountpoint, path, len) == 0 && (super->mountpoint[len] == '/' || super->mountpoint[len] == '\0')) {
        struct hf_error error;
        (void)hf_fail(&error, HF_USAGE, "%s: inside the vault; choose another mountpoint", super->mountpoint);
        hf_job_end(super, job, &error, NULL);
        return;
    }
    hf_super_ready(super, job, path, open_started);
}
