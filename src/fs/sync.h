/* fs/sync.h: inside the tree alone: every sync of the tree's goes through here. Source: spec/35-crash.md [CR-15].
 *
 * A sync that failed may have taken what was to be written for clean: the kernel tells it once, and a later sync has nothing to say of it. So the first that fails ends them all until
 * the next mount, which finds on the disk what there is, as after a power cut. Each answers 0 or a negative errno: the disk's at the first failure, then -EIO. */
#ifndef HF_FS_SYNC_H
#define HF_FS_SYNC_H

#include <stdbool.h>

#include "base/result.h"

/* A mount begins. */
void hf_sync_begin(void);
HF_MUST_USE int hf_sync_data(int fd); /* fdatasync */
HF_MUST_USE int hf_sync_whole(int fd); /* fsync */
HF_MUST_USE int hf_sync_all(int fd);   /* syncfs */
/* Nothing may be changed any more: EROFS. */
bool hf_sync_has_failed(void);

#endif
