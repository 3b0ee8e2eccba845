/* fs/death.h: death is lock. A thread that watches the channels to the supervisor and the enclave, and SIGTERM; whatever the others are doing, at the end
 * of any of them every key goes, every node is invalidated, every request is answered EIO, and the process is gone within a second.
 * Source: spec/60-processes.md [CH-7]. Not covered: SIGKILL of this program (the supervisor's undertaker does the same from outside). */
#ifndef HF_FS_DEATH_H
#define HF_FS_DEATH_H

#include "base/result.h"

/* Starts the watch. Blocks SIGTERM in the calling thread: call it before other threads start. */
HF_MUST_USE enum hf_result hf_death_watch(void);
/* Dies in that many milliseconds unless called again; 0 calls it off. For what may hang on a request that does not end. After hf_death_watch. */
void hf_death_in(unsigned ms);

#endif
