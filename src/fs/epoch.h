/* fs/epoch.h: the epoch of changes made now, and the one settled last. What an unclean stop may have cut lies above the settled one (the window).
 * settle.c moves them. Source: spec/35-crash.md [CR-1]. */
#ifndef HF_FS_EPOCH_H
#define HF_FS_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

extern _Atomic uint32_t hf_epoch, hf_settled;

#endif
