/* fs/spool.h: files of class unless-open that came before the first unlock [UO-8]: that there are some, and taking them in.
 *
 * Such a file lies where it was made, in an `always` directory that says so (HF_DIR_SPOOL), its MACs under a key of class always, its key wrapped to the public half in
 * the keybag's header. `.holdfast/arrived` is there while some may be left: it spares the walk, and whoever removes it only leaves them as they are (they open all the
 * same). Taking in happens after an unlock, in the background. */
#ifndef HF_FS_SPOOL_H
#define HF_FS_SPOOL_H

#include "fs/node.h"

/* Before such a file is made. */
HF_MUST_USE int hf_spool_note(void);
/* At the start and at each unlock. */
void hf_spool_look(void);
/* Of a file whose label is there. */
bool hf_spool_has(const struct hf_node *file);
/* 1: taken in; 0: it is not one; else a negative errno. No lock held. */
HF_MUST_USE int hf_spool_take(struct hf_node *file);
/* A walk has seen all; left: those that could not be taken in. */
void hf_spool_done(uint64_t left);

#endif
