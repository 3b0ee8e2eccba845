/* super/lock.c: grace, eviction in two phases, the way back, and what locks beside the verb. Source: spec/60-processes.md [CH-8] [LK-1]…[LK-3]. */
#include "super/super.h"

#include <stdlib.h>

#include "os/clock.h"

static void evict(struct hf_super *super, struct hf_job *job, uint8_t phase, hf_step then)
{
    hf_job_request(job, HF_FS_LOCK);
    hf_write_u32(&job->request, job->flags);
    hf_write_u8(&job->request, phase);
    hf_write_u8(&job->request, (uint8_t)super->lock_how);
    hf_write_u32(&job->request, super->known.policy.inactivity_s);
    hf_job_ask(super, job, HF_CHANNEL_FS, 0, then); /* confirm_by_ms bounds the whole */
}

/* From a lock's begin to its confirmation. */
static uint64_t confirm_ms(void)
{
    return hf_clock_span_ms("HF_TEST_CONFIRM_MS", HF_SUPER_CONFIRM_MS);
}

static void answer_all(struct hf_super *super, const struct hf_error *verdict)
{
    for (size_t i = 0; i < HF_SUPER_CONNECTIONS; i++) {
        if (super->jobs[i].verb == HF_OWN_LOCK)
            hf_job_end(super, &super->jobs[i], verdict, NULL);
    }
}

static void unconfirmed(struct hf_super *super, const char *why)
{
    struct hf_error error;
    (void)hf_fail(&error, HF_FAILED, "the lock was not confirmed (%.80s): everything was stopped and the mount made unreadable; open the vault again", why);
    hf_stop_note_write(super, error.text); /* what was not written by then is refused or lost: the owner is told at the next open */
    hf_super_bury(super, error.text);
    answer_all(super, &error);
}

/* False: the end has come. */
static bool confirmed(struct hf_super *super, const struct hf_answer *answer)
{
    if (answer->verdict.result != HF_OK)
        unconfirmed(super, answer->verdict.text[0] ? answer->verdict.text : hf_result_text(answer->verdict.result));
    return answer->verdict.result == HF_OK;
}

static void dropped(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    const struct hf_error fine = {.result = HF_OK};
    if (!confirmed(super, answer))
        return;
    bool deep = (super->lock_how & HF_LOCK_DEEP) != 0;
    uint32_t again = super->lock_again;
    job->verb = 0;
    super->locking = false;
    super->lock_again = 0;
    hf_super_state(super, deep ? HF_STATE_BEFORE_FIRST_UNLOCK : HF_STATE_LOCKED);
    if (deep)
        super->locked_at_ms = 0;
    else if (super->locked_at_ms == 0) /* locked already, the limit goes on from when it was */
        super->locked_at_ms = hf_clock_ms();
    if (super->lock_how & HF_LOCK_SUSPEND && super->suspending)
        hf_bus_let_sleep(super);
    answer_all(super, &fine);
    if (again)
        hf_super_lock(super, again);
    else
        hf_job_run_waiting(super);
}

static void forgotten(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (!confirmed(super, answer))
        return;
    super->known.available &= super->lock_how & HF_LOCK_DEEP ? HF_CLASS_BIT(HF_CLASS_ALWAYS) : ~job->flags;
    evict(super, job, 2, dropped);
}

static void drained(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    if (!confirmed(super, answer))
        return;
    /* Of unless-open the enclave forgets the private half; the filesystem keeps the keys of such files that are open.
     * Behind an UNLOCK that is being judged this queues, and so comes after it. */
    hf_job_request(job, HF_CTL_LOCK);
    hf_write_u32(&job->request, job->flags);
    hf_job_ask(super, job, HF_CHANNEL_ENCLAVE, 0, forgotten);
}

void hf_super_state(struct hf_super *super, uint8_t state)
{
    if (super->state != state)
        super->state_since_ms = hf_clock_ms();
    super->state = state;
}

void hf_super_lock(struct hf_super *super, uint32_t how)
{
    struct hf_job *job = &super->own_lock;
    super->lock_at_ms = 0;
    if (super->locking) {
        super->lock_again |= how & ~super->lock_how;
        if (super->lock_again && super->lock_how & HF_LOCK_DEEP)
            super->lock_again |= HF_LOCK_DEEP;
        if (how & HF_LOCK_SUSPEND && super->suspend_by_ms < super->confirm_by_ms)
            super->confirm_by_ms = super->suspend_by_ms;
        return;
    }
    if (super->state == HF_STATE_BEFORE_FIRST_UNLOCK)
        how |= HF_LOCK_DEEP;
    super->locking = true;
    super->lock_how = how;
    super->grace_deep = false;
    super->confirm_by_ms = how & HF_LOCK_SUSPEND ? super->suspend_by_ms : hf_clock_ms() + confirm_ms();
    hf_super_stop_work(super);
    job->verb = HF_OWN_LOCK;
    job->flags = HF_CLASS_BIT(HF_CLASS_COMPLETE) | HF_CLASS_BIT(HF_CLASS_UNLESS_OPEN);
    if (how & HF_LOCK_DEEP)
        job->flags |= HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK);
    if (how & HF_LOCK_ALL)
        job->flags |= HF_CLASS_BIT(HF_CLASS_ALWAYS);
    evict(super, job, 1, drained);
}

/* [DU-6] The enclave says that all keys are destroyed. */
void hf_super_refused(struct hf_super *super, const struct hf_answer *answer)
{
    struct hf_reader body = answer->body;
    bool refused = answer->verdict.result == HF_WRONG_PASSCODE || answer->verdict.result == HF_GONE;
    if (refused && hf_reader_left(&body) == 1 && hf_read_u8(&body) == 1 && super->mounted && !super->closing)
        hf_super_lock(super, HF_LOCK_DEEP | HF_LOCK_ALL);
}

bool hf_super_lock_begin(struct hf_super *super, bool now, bool deep)
{
    bool unlocked = super->state == HF_STATE_UNLOCKED || super->state == HF_STATE_LOCKING;
    uint32_t how = deep ? HF_LOCK_DEEP : 0;
    if (super->locking || hf_super_unlock_runs(super) || (unlocked && (now || super->known.policy.grace_s == 0)) || (deep && super->state == HF_STATE_LOCKED)) {
        hf_super_lock(super, how);
        return true;
    }
    super->grace_deep |= unlocked && deep;
    if (super->state == HF_STATE_UNLOCKED) { /* a second lock does not start the grace again */
        super->lock_at_ms = hf_clock_ms() + super->known.policy.grace_s * UINT64_C(1000);
        hf_super_state(super, HF_STATE_LOCKING);
    }
    return false;
}

/* --- what locks beside the verb --- */

void hf_trigger_screen_lock(struct hf_super *super)
{
    uint32_t touches = super->known.policy.screen_lock;
    if (super->mounted && !super->closing && touches != HF_SCREEN_LOCK_NONE)
        (void)hf_super_lock_begin(super, false, touches == HF_CLASS_AFTER_UNLOCK);
}

/* [LK-2] Locked already too: requests that wait for an unlock are answered before the machine sleeps. */
void hf_trigger_suspend(struct hf_super *super)
{
    if (!super->mounted || super->closing || super->suspending)
        return;
    super->suspending = true;
    super->suspend_by_ms = hf_clock_ms() + HF_SUPER_SUSPEND_MS;
    hf_super_lock(super, HF_LOCK_SUSPEND);
}

static void woken(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    (void)super;
    (void)answer; /* requests fail instead of waiting, then */
    job->verb = 0;
}

void hf_trigger_resume(struct hf_super *super)
{
    if (!super->suspending)
        return;
    super->suspending = false;
    if (super->mounted && !super->closing && !super->own_wake.verb) {
        super->own_wake.verb = HF_OWN_LOCK;
        hf_job_request(&super->own_wake, HF_FS_WAKE);
        hf_job_ask(super, &super->own_wake, HF_CHANNEL_FS, 0, woken);
    }
    hf_job_run_waiting(super);
}

bool hf_super_unlock_runs(const struct hf_super *super)
{
    return super->work && super->work->verb == HF_OWN_UNLOCK;
}

uint64_t hf_super_next_deadline(const struct hf_super *super)
{
    if (super->locking)
        return super->confirm_by_ms;
    /* An unlock that began in the grace may cancel it: its verdict is waited for, but not for ever. */
    if (super->lock_at_ms)
        return super->lock_at_ms + (hf_super_unlock_runs(super) ? confirm_ms() : 0);
    if (super->state == HF_STATE_LOCKED && super->locked_at_ms && super->known.policy.inactivity_s && !hf_super_unlock_runs(super))
        return super->locked_at_ms + super->known.policy.inactivity_s * UINT64_C(1000);
    return 0;
}

void hf_super_tick(struct hf_super *super)
{
    uint64_t at = hf_super_next_deadline(super);
    if (at == 0 || hf_clock_ms() < at)
        return;
    if (super->locking)
        unconfirmed(super, "too late");
    else
        hf_super_lock(super, super->lock_at_ms == 0 || super->grace_deep ? HF_LOCK_DEEP : 0);
}
