/* The order of a try: refuse in a delay [AT-2], refuse at the end [AT-4], count durably [AT-1], judge, clear durably, release. Time is (boot id, boot time) [AT-6]. */
#include "element/software.h"
#include "os/clock.h"

#pragma GCC poison memcmp strcpy sprintf

enum { FREE_FAILURES = 3 };

enum hf_result hf_attempt_delay(struct hf_software *element, uint32_t *ret_s)
{
    struct hf_element_record *record = &element->record;
    struct hf_boot_time now;
    *ret_s = 0;
    if (record->delay_s == 0)
        return HF_OK;
    HF_TRY(hf_clock_boot_time(&now));
    if (!hf_equal_ct(now.boot_id, record->boot_id, sizeof now.boot_id)) {
        struct hf_element_record afresh = *record;
        memcpy(afresh.boot_id, now.boot_id, sizeof afresh.boot_id);
        afresh.delay_until_ms = now.ms + (uint64_t)record->delay_s * 1000;
        enum hf_result result = hf_element_record_save(element->dir, &afresh);
        if (result == HF_OK)
            *record = afresh;
        hf_wipe(&afresh, sizeof afresh);
        HF_TRY(result);
    }
    if (now.ms < record->delay_until_ms)
        *ret_s = (uint32_t)((record->delay_until_ms - now.ms + 999) / 1000);
    return HF_OK;
}

uint32_t hf_attempt_delay_after(const struct hf_policy *policy, uint32_t failed)
{
    if (policy->delay_count == 0 || failed <= FREE_FAILURES)
        return 0;
    uint32_t at = failed - FREE_FAILURES - 1;
    return policy->delay_s[at < policy->delay_count ? at : policy->delay_count - 1];
}

/* The try counts before it is judged. When this can't be written the try is refused. */
static enum hf_result count(struct hf_software *element)
{
    struct hf_element_record *record = &element->record;
    struct hf_boot_time now;
    HF_TRY(hf_clock_boot_time(&now));
    record->failed += record->failed < UINT32_MAX;
    record->failed_since_success += record->failed_since_success < UINT32_MAX;
    record->delay_s = hf_attempt_delay_after(&record->policy, record->failed);
    memcpy(record->boot_id, now.boot_id, sizeof record->boot_id);
    record->delay_until_ms = now.ms + (uint64_t)record->delay_s * 1000;
    /* In memory it stays counted even when the write fails: it may have reached the disk. */
    return hf_element_record_save(element->dir, record);
}

/* D stays: it guards nothing of the passcode's, and the recovery needs no S. */
static enum hf_result finish(struct hf_software *element)
{
    struct hf_element_record *record = &element->record;
    hf_wipe(record->slots, sizeof record->slots);
    record->state = HF_ELEMENT_FINISHED;
    record->delay_s = 0;
    HF_TRY(hf_element_record_save(element->dir, record));
    return HF_GONE;
}

static bool limit_reached(const struct hf_element_record *record)
{
    return record->policy.attempts > 0 && record->failed >= record->policy.attempts;
}

enum hf_result hf_attempt(struct hf_software *element, const struct hf_element_auth *auth, struct hf_release_secret *ret_release, uint32_t *ret_failed_before)
{
    struct hf_element_record *record = &element->record;
    uint32_t wait_s;
    HF_TRY(hf_attempt_delay(element, &wait_s));
    if (wait_s > 0)
        return HF_DELAYED;
    if (record->state != HF_ELEMENT_ACTIVE)
        return HF_GONE;
    if (limit_reached(record)) /* the last try was counted, then the power went */
        return finish(element);
    uint32_t before = record->failed_since_success;
    HF_TRY(count(element));
    struct hf_release_secret release;
    enum hf_result result = hf_software_unwrap(record, auth, &release);
    if (result == HF_OK) {
        record->failed = 0;
        record->failed_since_success = 0;
        record->delay_s = 0;
        result = hf_element_record_save(element->dir, record);
    } else {
        result = limit_reached(record) ? finish(element) : HF_WRONG_PASSCODE;
    }
    if (result == HF_OK) {
        element->released = true;
        *ret_failed_before = before;
        *ret_release = release;
    }
    hf_release_secret_wipe(&release);
    return result;
}
