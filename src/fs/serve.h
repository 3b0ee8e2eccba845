/* fs/serve.h: the connection to the kernel: a FUSE session on a descriptor that is mounted already, and the threads that answer its requests.
 *
 * Call order: hf_serve_open, then hf_tree_start (with hf_serve_kernel), hf_serve_start; hf_serve_ended tells when the kernel is gone; hf_serve_finish.
 * Every operation is one call of fs/tree.h (serve_ops.c). Caches: entries, attributes, pages and directories stay in the kernel until the tree takes them
 * back, since nobody else writes; locks (fcntl, flock) are the kernel's own; splice is off. The write-back cache is
 * a mount's choice (--for databases). */
#ifndef HF_FS_SERVE_H
#define HF_FS_SERVE_H

#include "base/result.h"
#include "fs/tree.h"

/* A session on a descriptor of /dev/fuse that is mounted; it belongs to the session from here on. Asks the kernel what it can.
 * may_wait: requests that find their key locked may wait for the unlock (fs/gate.h).
 * writeback: the kernel gathers writes; not both. lists: access control lists, checked by the kernel [PA-6]. */
struct hf_serve_how {
    bool may_wait, writeback, lists;
};
HF_MUST_USE enum hf_result hf_serve_open(int fuse, const struct hf_serve_how *how);
bool hf_serve_has_lists(void);
/* How the tree reaches the kernel's caches, after hf_serve_open. An inode that the kernel does not know is no error. */
const struct hf_tree_kernel *hf_serve_kernel(void);
/* Readable (an eventfd, to be read) when a settle is due before its time, or the kernel's write-back brought a page of what is locked: hf_tree_lock_again. */
int hf_serve_wakes(void);
/* Starts the threads: from now on requests are answered. The calling thread's signal mask is theirs; SIGUSR1 must be open in it. */
HF_MUST_USE enum hf_result hf_serve_start(void);
/* Readable (an eventfd) when every thread has left: the mount is gone or the connection was aborted. */
int hf_serve_ended(void);
/* Death: until the process ends, requests that do not come to their end are answered EIO for the threads that have them, and one more thread answers new
 * ones. Else a page that such a request holds stops whoever invalidates it, unkillably, and with it the end of this process. */
void hf_serve_give_up(void);
/* Joins the threads (the connection must have ended). Session and descriptor stay until the process ends: whoever watches for death may be using them. */
void hf_serve_finish(void);

#endif
