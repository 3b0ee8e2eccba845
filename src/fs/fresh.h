/* fs/fresh.h: inside the tree alone: what is on disk held against the freshness index, and the index kept up with what the tree does. Source: spec/36-freshness.md.
 *
 * Two indexes: names under `always` and all others; the second is there from the first unlock on. An index that is not there judges nothing.
 * Its own lock is taken after all others. Checks answer 0 or -EIO; then hf_fresh_why says in this thread what was seen. */
#ifndef HF_FS_FRESH_H
#define HF_FS_FRESH_H

#include "fs/dirs.h"
#include "fs/node.h"
#include "proto/mount.h"
#include "format/indexlog.h"

enum hf_fresh_state {
    HF_FRESH_SOUND = HF_FRESHNESS_SOUND,
    HF_FRESH_LOST = HF_FRESHNESS_LOST,         /* an index is missing or not authentic: read-only until everything is accepted */
    HF_FRESH_OLDER = HF_FRESHNESS_OLDER,       /* … is authentic, but older than the head, or the head than the element counts [FR-12] */
    HF_FRESH_UNTENDED = HF_FRESHNESS_UNTENDED, /* the vault was mounted with --no-freshness before: as if lost */
    HF_FRESH_OFF = HF_FRESHNESS_OFF            /* it is now */
};

/* HEAD_OPEN's tips (main, always) and the head's age (enum hf_head_age). off: --no-freshness. */
HF_MUST_USE enum hf_result hf_fresh_start(int root_fd, const uint8_t tips[2 * HF_INDEX_TIP_LEN], uint8_t age, bool off, struct hf_error *error);
/* The first unlock brings the main index. */
HF_MUST_USE enum hf_result hf_fresh_unlock(void);
/* Back to before the first unlock: the main index and its keys go. Everything is settled, no settle runs, hf_ns is held exclusively. */
void hf_fresh_forget(void);
enum hf_fresh_state hf_fresh_state(void);
/* What changes the vault answers -EROFS: without a sound index [FR-7], or once a sync has failed [CR-15]. */
bool hf_fresh_frozen(void);
uint64_t hf_fresh_entries(void);

/* --- checks --- */

/* A name that was looked up: unknown, or missing. dir in use. */
HF_MUST_USE int hf_fresh_lookup(struct hf_node *dir, const char *plain, const struct hf_place *place);
/* For a listing: whether a name on disk is one of the index's; and at its end whether those were all. */
enum hf_fresh_known { HF_FRESH_UNKNOWN, HF_FRESH_KNOWN, HF_FRESH_NOT_JUDGED };
enum hf_fresh_known hf_fresh_knows(struct hf_node *dir, const char *backing);
/* For the scan: a name that is to be judged, whatever its file's header says. */
bool hf_fresh_is_new(struct hf_node *dir, const char *backing);
HF_MUST_USE int hf_fresh_listed(struct hf_node *dir, uint32_t known);
/* A labelled file, at the name that its node has; slot: that name's. The node's lock held exclusively. */
HF_MUST_USE int hf_fresh_bind(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]);
/* … whose content was unsealed just now; before: content->version until then. */
HF_MUST_USE int hf_fresh_open(struct hf_node *file, uint64_t before);
/* A directory whose record was loaded and is authentic. */
HF_MUST_USE int hf_fresh_dir(struct hf_node *dir);
/* text: as the link on disk has it. */
HF_MUST_USE int hf_fresh_link(struct hf_node *dir, const char *backing, const char *text, size_t len);

/* What the last failed check of this thread saw, versions and probable cause; NULL: none failed since hf_fresh_forget_why. */
const char *hf_fresh_why(void);
void hf_fresh_forget_why(void);

/* Before a change: room for all that it enters, so that nothing fails once the disk has it. more: entries beyond those of any request on a name or two. */
HF_MUST_USE int hf_fresh_room(size_t more);

/* --- the tree's own changes; hf_ns held exclusively, dir in use; always: the name is one of the root's under that class --- */

void hf_fresh_put_file(struct hf_node *file, struct hf_node *dir, const char *backing, bool always);
/* A further name, not there yet: put_file follows. */
void hf_fresh_before_link(struct hf_node *file);
void hf_fresh_put_dir(struct hf_node *node, struct hf_node *dir, const char *backing, bool always);
void hf_fresh_put_link(struct hf_node *dir, const char *backing, bool always, const char *text, size_t len);
void hf_fresh_put_other(struct hf_node *dir, const char *backing, bool always, const struct stat *st);
/* Of a name of the root that is there: whether it is under `always`. */
bool hf_fresh_is_always(struct hf_node *dir, const char *backing);
void hf_fresh_remove(struct hf_node *dir, const char *backing);
/* A directory's record changed where it is. */
void hf_fresh_dir_moved_on(struct hf_node *dir);
/* [FR-11] A file's st_ctim becomes the one that programs are shown. hf_ns and the node's lock held (any). */
void hf_fresh_ctime(const struct hf_node *file, struct stat *st);
/* A file's content is about to be forgotten; hf_ns (any) and the node's lock held. */
void hf_fresh_note(struct hf_node *file);

/* --- the settle's part, in this order (settle.c) --- */

/* hf_ns held exclusively: what changed up to now belongs to this settle. */
HF_MUST_USE int hf_fresh_take(void);
/* A file's header is written; its node's lock held. */
void hf_fresh_settled(struct hf_node *file);
/* Before the barrier: the changes behind the log's end. */
HF_MUST_USE int hf_fresh_append(void);
/* After it: an index that is due to be written anew; then the tips for the head. */
HF_MUST_USE int hf_fresh_rewrite(uint8_t ret_tips[2 * HF_INDEX_TIP_LEN]);
/* The head has them, or the settle failed and the next one takes it all again. */
void hf_fresh_advanced(bool moved);

/* --- believing the disk --- */

/* From on to off this thread's checks believe what they see and enter it (accept; hf_ns held exclusively). */
void hf_fresh_believe(bool on);
/* How many entries that has changed. */
uint64_t hf_fresh_believed(void);
/* A FIFO, socket or device as it is; a name whose object is not authentic (it can be removed then, and still not be read). */
HF_MUST_USE int hf_fresh_believe_other(struct hf_node *dir, const char *backing, const struct stat *st);
/* A name that the directory lacks and the index has. */
void hf_fresh_remove_missing(struct hf_node *dir, const char *plain);
HF_MUST_USE int hf_fresh_believe_name(struct hf_node *dir, const char *backing);
/* A walk over directories tells what is there: begin, then each directory that is listed wholly, each name in it, each labelled file; at the end names that the index
 * has and the walk did not see go (DIRS: of the directories listed; ALL: any) and are counted. The index is written anew then. hf_ns held exclusively throughout. */
enum hf_fresh_walked { HF_FRESH_WALK_NOTHING, HF_FRESH_WALK_DIRS, HF_FRESH_WALK_ALL };
void hf_fresh_walk_begin(void);
void hf_fresh_walk_dir(const struct hf_node *dir);
void hf_fresh_walk_name(const struct hf_node *dir, const char *backing);
void hf_fresh_walk_file(const struct hf_node *file);
HF_MUST_USE int hf_fresh_walk_end(enum hf_fresh_walked walked, uint64_t *ret_gone);
/* Before everything is accepted: an index that is not sound becomes an empty one. */
HF_MUST_USE int hf_fresh_begin_anew(void);

#endif
