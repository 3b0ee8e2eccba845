/* super/lock.c: grace, eviction in two phases, and the way back. Source: spec/30-classes.md. */
#include "super/super.h"

#include "os/clock.h"

#include <stdio.h>

static enum hf_result evict(struct hf_super *super, uint32_t mask, uint8_t phase, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    hf_message_begin(&request, super->out, sizeof super->out, HF_FS_LOCK);
    hf_write_u32(&request, mask);
    hf_write_u8(&request, phase);
    return hf_super_call(super, super->fs_control, &request, -1, HF_SUPER_CONFIRM_MS, error, &body);
}

enum hf_result hf_super_lock(struct hf_super *super, bool deep, struct hf_error *error)
{
    /* The enclave also forgets the private half of unless-open; the filesystem keeps the keys of such files that are open. */
    uint32_t fs_mask = HF_CLASS_BIT(HF_CLASS_COMPLETE);
    if (deep)
        fs_mask |= HF_CLASS_BIT(HF_CLASS_UNLESS_OPEN) | HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK);
    uint32_t enclave_mask = fs_mask | HF_CLASS_BIT(HF_CLASS_UNLESS_OPEN);
    struct hf_writer request;
    struct hf_reader body;
    super->lock_at_ms = 0;
    struct hf_error first = {.result = HF_OK};
    enum hf_result drained = evict(super, fs_mask, 1, &first);
    /* The keys go whatever the filesystem said. */
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_LOCK);
    hf_write_u32(&request, enclave_mask);
    enum hf_result forgot = hf_super_call(super, super->control, &request, -1, HF_SUPER_CONFIRM_MS, error, &body);
    enum hf_result confirmed = drained == HF_OK && forgot == HF_OK ? evict(super, fs_mask, 2, error) : HF_FAILED;
    if (confirmed != HF_OK) {
        hf_super_bury(super);
        return hf_fail(error, HF_FAILED, "the eviction was not confirmed%s%s: everything was stopped and the mount made unreadable; open the vault again",
                       first.result != HF_OK ? ": " : "", first.result != HF_OK ? first.text : "");
    }
    super->state = deep ? HF_STATE_BEFORE_FIRST_UNLOCK : HF_STATE_LOCKED;
    super->locked_at_ms = deep ? 0 : hf_clock_ms();
    return HF_OK;
}

enum hf_result hf_super_unlock(struct hf_super *super, int secret, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    if (secret < 0)
        return hf_fail(error, HF_PROTOCOL, "unlock needs a passcode's channel");
    hf_message_begin(&request, super->out, sizeof super->out, HF_CTL_UNLOCK);
    HF_TRY(hf_super_call(super, super->control, &request, secret, 600000, error, &body));
    super->lock_at_ms = 0;
    super->locked_at_ms = 0;
    super->state = HF_STATE_UNLOCKED;
    if (super->fs_control < 0)
        return HF_OK;
    hf_message_begin(&request, super->out, sizeof super->out, HF_FS_UNLOCK);
    return hf_super_call(super, super->fs_control, &request, -1, 30000, error, &body);
}

static uint64_t next_deadline(const struct hf_super *super)
{
    if (super->lock_at_ms)
        return super->lock_at_ms;
    if (super->state == HF_STATE_LOCKED && super->locked_at_ms && super->policy.inactivity_s)
        return super->locked_at_ms + super->policy.inactivity_s * UINT64_C(1000);
    return 0;
}

int hf_super_timeout(const struct hf_super *super)
{
    uint64_t at = next_deadline(super);
    uint64_t now = hf_clock_ms();
    if (at == 0)
        return -1;
    uint64_t left = at > now ? at - now : 0;
    return left > 60000 ? 60000 : (int)left;
}

void hf_super_tick(struct hf_super *super)
{
    uint64_t at = next_deadline(super);
    struct hf_error error = {.result = HF_OK};
    if (at == 0 || hf_clock_ms() < at)
        return;
    if (hf_super_lock(super, super->lock_at_ms == 0, &error) != HF_OK)
        (void)fprintf(stderr, "holdfast-super: %s\n", error.text);
}
