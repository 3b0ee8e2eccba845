/* super/status.c: what the vault's status is put together from. */
#include "super/super.h"

#include <string.h>
#include <unistd.h>

#include "os/clock.h"

void hf_known_take(struct hf_super *super, struct hf_reader *body)
{
    static struct hf_enclave_status status;
    if (hf_reader_left(body) == 0)
        return;
    memset(&status, 0, sizeof status);
    hf_enclave_status_read(body, &status);
    if (hf_reader_end(body) != HF_OK)
        return;
    super->known = status;
    memcpy(super->vault_id, status.vault_id, sizeof super->vault_id);
}

static void answer_now(struct hf_super *super, struct hf_job *job)
{
    static struct hf_owner_status status;
    static uint8_t bytes[16384];
    struct hf_writer body;
    const struct hf_error fine = {.result = HF_OK};
    memset(&status, 0, sizeof status);
    status.state = super->gone || super->known.element.state == HF_ELEMENT_ERASED ? HF_STATE_ERASED : super->state;
    if (super->mounted)
        memcpy(status.mountpoint, super->mountpoint, sizeof status.mountpoint);
    memcpy(status.vault, super->vault, sizeof status.vault);
    status.enclave = super->known;
    status.open_unless_open = super->known_open_unless_open;
    status.unless_open_s = super->known_unless_open_s;
    status.freshness = super->known_freshness;
    status.pid_super = (uint32_t)getpid();
    status.pid_enclave = super->packaged ? super->packaged_pids[0] : (uint32_t)super->enclave.pid;
    status.pid_element = super->packaged ? super->packaged_pids[1] : (uint32_t)super->element.pid;
    status.pid_fs = (uint32_t)super->fs.pid;
    status.under_way = super->work && super->work != job ? super->work->verb : 0;
    uint64_t now = hf_clock_ms();
    status.since_s = super->state_since_ms ? (uint32_t)((now - super->state_since_ms) / 1000) : 0;
    status.watches = (super->bus.logind[0] ? HF_WATCHES_SCREEN : 0) | (super->bus.inhibitor >= 0 || super->suspending ? HF_WATCHES_SUSPEND : 0);
    memcpy(status.bus_note, super->bus.note, sizeof status.bus_note);
    memcpy(status.last_stop, super->last_stop, sizeof status.last_stop);
    if (super->lock_at_ms > now)
        status.grace_left_s = (uint32_t)((super->lock_at_ms - now + 999) / 1000);
    if (super->enclave_sha256[0] == '\0')
        hf_super_measure(super);
    memcpy(status.enclave_sha256, super->enclave_sha256, sizeof status.enclave_sha256);
    hf_writer_init(&body, bytes, sizeof bytes);
    hf_owner_status_write(&body, &status);
    hf_job_end(super, job, &fine, &body);
}

static void fs_told(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result == HF_OK) {
        (void)hf_read_u32(&answer->body);
        super->known_open_unless_open = hf_read_u32(&answer->body);
        super->known_unless_open_s = hf_read_u32(&answer->body);
        (void)hf_read_u64(&answer->body);
        (void)hf_read_u64(&answer->body);
        super->known_freshness = hf_read_u8(&answer->body);
    }
    answer_now(super, job);
}

static void enclave_told(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK) {
        hf_job_end(super, job, &answer->verdict, NULL);
        return;
    }
    hf_known_take(super, &answer->body);
    if (!hf_channel_idle(super, HF_CHANNEL_FS)) {
        answer_now(super, job);
        return;
    }
    hf_job_request(job, HF_FS_STATUS);
    hf_job_ask(super, job, HF_CHANNEL_FS, 0, fs_told);
}

void hf_status_answer(struct hf_super *super, struct hf_job *job)
{
    if (!hf_channel_idle(super, HF_CHANNEL_ENCLAVE)) {
        answer_now(super, job);
        return;
    }
    hf_job_request(job, HF_CTL_STATUS);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, 0, enclave_told);
}
