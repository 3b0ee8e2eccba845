/* super/erase.c: erase, which nothing stops once it has begun: not what runs, not a program's death, not ours. Source: spec/60-processes.md [ER-1] [ER-2] [ER-3].
 *
 * .holdfast/erase is the durable intent. In order: the element's secrets, the keybags, then what is in memory and in the kernel's caches. Where the enclave is
 * busy, or something fails on that way, everything is stopped at once (which takes keys and mount) and fresh programs do the rest, with no one else to serve. */
#include "super/super.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "os/disk.h"
#include "os/file.h"

enum { FIRST_MS = 15000, FINISH_MS = 60000 };

static const char mark[] = "erase";
static const uint8_t mark_text[] = "this vault is being erased: the next start of any verb ends it\n";

static void done(struct hf_super *super)
{
    super->erased = true;
    if (hf_file_remove(super->dir_fd, mark, false) != HF_OK)
        (void)fprintf(stderr, "holdfast-super: %s/.holdfast/%s cannot be removed; the vault is erased all the same\n", super->vault, mark);
}

static void erased(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    bool well = answer->verdict.result == HF_OK || answer->verdict.result == HF_GONE;
    if (well)
        done(super);
    hf_super_bury(super, "the vault was erased");
    if (well)
        hf_job_ok(super, job);
    /* Else hf_erase_end goes on, and tells. */
}

static void begin(struct hf_super *super, struct hf_job *job)
{
    hf_job_request(job, HF_CTL_ERASE);
    hf_write_u8(&job->request, 0); /* not yet without the element */
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, FIRST_MS, erased);
}

/* A vault whose START failed (a damaged keybag) can still be erased: the enclave decides. */
static void ask_erase(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (super->channels[HF_CHANNEL_ENCLAVE].socket < 0) {
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    super->erasing = true;
    if (hf_file_replace(super->dir_fd, mark, HF_SPAN(mark_text, sizeof mark_text - 1)) != HF_OK)
        (void)fprintf(stderr, "holdfast-super: %s/.holdfast/%s cannot be written: erasing all the same\n", super->vault, mark);
    if (super->mounted && !super->packaged && !hf_channel_idle(super, HF_CHANNEL_ENCLAVE))
        hf_super_bury(super, "the vault was erased"); /* it judges a passcode, which takes seconds */
    else
        begin(super, job);
}

void hf_verb_erase(struct hf_super *super, struct hf_job *job)
{
    char path[4096];
    hf_read_string(&job->body, path, sizeof path);
    if (hf_reader_end(&job->body) != HF_OK || path[0] != '/')
        hf_job_fail(super, job, HF_PROTOCOL, "the verb needs an absolute path");
    else
        hf_super_ready(super, job, path, ask_erase);
}

bool hf_erase_is_due(const struct hf_super *super)
{
    struct stat st;
    return super->dir_fd >= 0 && hf_disk->fstatat(super->dir_fd, mark, &st) == 0;
}

enum hf_result hf_erase_finish(struct hf_super *super, struct hf_error *error)
{
    uint8_t bytes[8], answer[512];
    struct hf_writer request;
    struct hf_reader body;
    struct hf_error verdict = {.result = HF_OK};
    hf_super_stop(super);
    enum hf_result result = hf_packaged_choose(super, false, error);
    if (result == HF_OK)
        result = hf_super_spawn(super, error);
    if (result == HF_OK) {
        hf_message_begin(&request, bytes, sizeof bytes, HF_CTL_ERASE);
        hf_write_u8(&request, 1);
        result = hf_call(super->channels[HF_CHANNEL_ENCLAVE].socket, &request, NULL, 0, answer, sizeof answer, FINISH_MS, &verdict, &body);
    }
    hf_super_stop(super);
    if (result == HF_OK && (verdict.result == HF_OK || verdict.result == HF_GONE || verdict.result == HF_UNREACHABLE))
        done(super); /* unreachable: this disk's keys are gone, and there is nothing left to tell the element with */
    if (result == HF_OK && verdict.result != HF_OK && verdict.result != HF_GONE) {
        *error = verdict;
        result = verdict.result;
    }
    return result == HF_OK || error->result != HF_OK ? result : hf_fail(error, result, "the vault could not be erased to the end: %s", hf_result_text(result));
}

void hf_erase_end(struct hf_super *super)
{
    struct hf_error error = {.result = HF_OK};
    if (super->erasing && !super->erased)
        (void)!hf_erase_finish(super, &error);
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
        if (super->jobs[i].verb == HF_OWN_ERASE)
            hf_job_end(super, &super->jobs[i], &error, NULL);
    }
}
