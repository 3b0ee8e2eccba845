/* fs/scan.h: inside the tree alone: after an unclean stop, every object of the open window is looked at once and put into a settled shape. Source: spec/35-crash.md [CR-4] [CR-5]. */
#ifndef HF_FS_SCAN_H
#define HF_FS_SCAN_H

#include "base/result.h"
#include "fs/node.h"

/* Scans what the classes that are there now allow; when nothing is left that could not be looked at, settles and closes the window (hf_unclean := false).
 * Does nothing when the window is closed. */
void hf_scan(void);

struct hf_accepted {
    uint64_t changed, gone, unsound; /* entries that are new or other ones, names that went, objects that are not authentic and stay refused */
};
/* Everything below the directory is believed as it is; all: the directory is the root, and what the walk did not see goes. hf_ns held exclusively, hf_fresh_believe on.
 * -ENOKEY: something is locked. [FR-9] */
HF_MUST_USE int hf_scan_accept(struct hf_node *dir, bool all, struct hf_accepted *ret);
/* One name in a directory in use, and what is below it. */
HF_MUST_USE int hf_scan_accept_name(struct hf_node *dir, int dir_fd, const char *backing, struct hf_accepted *ret);

#endif
