/* fs/settle.h: inside the tree alone: what is dirty, and the settle that makes an epoch durable. Source: spec/35-crash.md [CR-1]. */
#ifndef HF_FS_SETTLE_H
#define HF_FS_SETTLE_H

#include <stdatomic.h>
#include <stdint.h>

#include "format/indexlog.h"
#include "fs/node.h"

/* The last mount ended without a close: headers and evidence above hf_settled may have been cut by it. */
extern atomic_bool hf_unclean;
/* The vault was never mounted before. */
extern bool hf_fresh;

/* Puts a node (or, NULL, just the namespace) on the list; then read the epoch, then write. */
void hf_dirty(struct hf_node *node);
/* The same for what no program changed: its time of change does not follow. */
void hf_dirty_again(struct hf_node *node);
/* It was made and nothing of it is synced yet: an fsync of its directory has to. */
void hf_never_synced(struct hf_node *node);
/* A file's mode, owner or extended attributes changed: see hf_content_attr_moves. */
void hf_attr_moved(void);
/* The epoch of changes made now. */
uint32_t hf_epoch_now(void);
/* Syncs the files and directories that were made in this directory and never synced. */
HF_MUST_USE int hf_settle_children(struct hf_node *dir);
uint64_t hf_dirty_count(void);
/* Before a change, no lock held: when very many files wait for the settle (each holds its content and key in memory), waits a moment for it. */
void hf_settle_pace(void);
/* Back to before the first unlock, when the classes' other keys are gone: settles what is left, then the metadata keys and the main index go, whatever failed. */
HF_MUST_USE int hf_settle_and_forget(void);
/* HEAD_OPEN. age: enum hf_head_age. */
HF_MUST_USE enum hf_result hf_settle_start(uint8_t ret_tips[2 * HF_INDEX_TIP_LEN], uint8_t *ret_age, struct hf_error *error);

#endif
