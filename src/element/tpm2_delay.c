/* Delays on top of the TPM's count [EL-11]: they slow a careless owner's family down, they hold no attacker who has the disk: the count does. */
#include "element/software.h"
#include "element/tpm2.h"
#include "os/clock.h"

#pragma GCC poison memcmp strcpy sprintf

enum hf_result hf_tpm2_delay(struct hf_tpm2 *t, uint32_t count, uint32_t *ret_s)
{
    struct hf_boot_time now;
    uint32_t delay_s = hf_attempt_delay_after(&t->blob.policy, count);
    *ret_s = 0;
    if (delay_s == 0)
        return HF_OK;
    HF_TRY(hf_clock_boot_time(&now));
    if (t->note.delay_count != count || !hf_equal_ct(t->note.boot_id, now.boot_id, sizeof now.boot_id)) {
        struct hf_tpm2_note afresh = t->note;
        afresh.delay_count = count;
        afresh.delay_until_ms = now.ms + (uint64_t)delay_s * 1000;
        memcpy(afresh.boot_id, now.boot_id, sizeof afresh.boot_id);
        HF_TRY(hf_tpm2_note_save(t->dir, &afresh));
        t->note = afresh;
    }
    if (now.ms < t->note.delay_until_ms)
        *ret_s = (uint32_t)((t->note.delay_until_ms - now.ms + 999) / 1000);
    return HF_OK;
}
