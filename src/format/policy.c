#include "format/policy.h"

enum { PROFILES = 2 };

bool hf_policy_screen_lock_is_sound(uint32_t screen_lock)
{
    return screen_lock == HF_SCREEN_LOCK_NONE || screen_lock == HF_CLASS_COMPLETE || screen_lock == HF_CLASS_AFTER_UNLOCK;
}

void hf_limits_write(struct hf_writer *writer, const struct hf_policy *policy)
{
    HF_ASSERT(policy->delay_count <= HF_KEYBAG_DELAYS_MAX);
    hf_write_u32(writer, policy->attempts);
    hf_write_u32(writer, policy->delay_count);
    for (uint32_t i = 0; i < policy->delay_count; i++)
        hf_write_u32(writer, policy->delay_s[i]);
}

void hf_limits_read(struct hf_reader *reader, struct hf_policy *ret)
{
    *ret = (struct hf_policy){0};
    ret->attempts = hf_read_u32(reader);
    ret->delay_count = hf_read_u32(reader);
    if (ret->delay_count > HF_KEYBAG_DELAYS_MAX) {
        ret->delay_count = 0;
        hf_reader_reject(reader);
    }
    for (uint32_t i = 0; i < ret->delay_count; i++)
        ret->delay_s[i] = hf_read_u32(reader);
}

void hf_policy_write(struct hf_writer *writer, const struct hf_policy *policy)
{
    HF_ASSERT(policy->profile < PROFILES && hf_policy_screen_lock_is_sound(policy->screen_lock));
    hf_limits_write(writer, policy);
    hf_write_u32(writer, policy->grace_s);
    hf_write_u32(writer, policy->inactivity_s);
    hf_write_u32(writer, policy->profile);
    hf_write_u32(writer, policy->screen_lock);
}

void hf_policy_read(struct hf_reader *reader, struct hf_policy *ret)
{
    hf_limits_read(reader, ret);
    ret->grace_s = hf_read_u32(reader);
    ret->inactivity_s = hf_read_u32(reader);
    ret->profile = hf_read_u32(reader);
    ret->screen_lock = hf_read_u32(reader);
    if (ret->profile >= PROFILES || !hf_policy_screen_lock_is_sound(ret->screen_lock))
        hf_reader_reject(reader);
}
