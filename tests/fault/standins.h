/* tests/fault/standins.h: what stands in for the machine around the tree. */
#ifndef HF_TEST_FAULT_STANDINS_H
#define HF_TEST_FAULT_STANDINS_H

#include <stdint.h>

#include "format/class.h"

/* Of hf_random: the same seed, the same run. */
void stand_seed(uint64_t value);
extern uint32_t stand_generation[HF_CLASS_LAST + 1];

/* Of the clock (machine_keys.c): which boot it is, and the time since. */
extern uint8_t stand_boot;
extern uint64_t stand_ms;

#endif
