/* format/policy.h: the owner's policy, laid out the same in the keybag, on the control channel and in the element's record:
 * u32 attempts | u32 delay count | that many u32 delays | u32 grace | u32 inactivity | u32 profile | u32 screen lock. The element counts by the first part alone. */
#ifndef HF_FORMAT_POLICY_H
#define HF_FORMAT_POLICY_H

#include <stdbool.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/keybag.h"

bool hf_policy_screen_lock_is_sound(uint32_t screen_lock);
void hf_policy_write(struct hf_writer *writer, const struct hf_policy *policy);
void hf_policy_read(struct hf_reader *reader, struct hf_policy *ret); /* rejects a delay count over the limit and an unknown profile or screen lock */
/* Attempts and delays; the rest of *ret is zeros. */
void hf_limits_write(struct hf_writer *writer, const struct hf_policy *policy);
void hf_limits_read(struct hf_reader *reader, struct hf_policy *ret);

#endif
