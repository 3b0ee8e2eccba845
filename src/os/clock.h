/* os/clock.h: time for delays and grace. Never the wall clock: (boot id, boot time) alone counts. Source: spec/40-attempts.md [AT-6]. */
#ifndef HF_OS_CLOCK_H
#define HF_OS_CLOCK_H

#include <stdint.h>

#include "base/result.h"

struct hf_boot_time {
    uint8_t boot_id[16];
    uint64_t ms; /* CLOCK_BOOTTIME: counts while the machine sleeps */
};

/* HF_IO when the boot id can't be read (/proc/sys/kernel/random/boot_id; the first call opens it, so call once before the sandbox). */
HF_MUST_USE enum hf_result hf_clock_boot_time(struct hf_boot_time *ret);
uint64_t hf_clock_ms(void); /* CLOCK_BOOTTIME in ms */
/* A descriptor that becomes readable at a CLOCK_BOOTTIME, a suspend counted in: at the wake when that time has passed. -1: none to be had. */
int hf_clock_timer(void);
void hf_clock_timer_set(int timer, uint64_t at_ms); /* 0: never */
uint64_t hf_clock_ns(void); /* CLOCK_MONOTONIC in ns, for measuring */

/* otherwise; in a test build what that variable says, so that a test need not wait so long. */
uint64_t hf_clock_span_ms(const char *test_variable, uint64_t otherwise);

#endif
