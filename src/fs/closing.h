/* fs/closing.h: inside the tree alone: files of class unless-open that nobody has open any more while their class is locked. What was written becomes durable, then
 * key, plaintext and the kernel's pages go. A thread that serves must not invalidate, so the control thread does it, woken at once. Its cost follows what was closed, not what is known.
 * Source: spec/20-keys.md [UO-6]. */
#ifndef HF_FS_CLOSING_H
#define HF_FS_CLOSING_H

#include "fs/node.h"

/* After a file's use ended, without its lock: puts it on the list if it is such a one. */
void hf_closing_note(struct hf_node *file);
/* The control thread's. */
void hf_closing_evict(void);

#endif
