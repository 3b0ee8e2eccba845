/* fs/detach.h: a process beside the filesystem that takes the mount away when the filesystem has died, however it died: this program's own sandbox
 * (Landlock) forbids every unmount. Forked before a key or a request exists; it has a pipe and nothing else, and waits for the pipe to end. */
#ifndef HF_FS_DETACH_H
#define HF_FS_DETACH_H

#include "base/result.h"

/* First thing in main(). *ret_pipe is the end that says by its closing that the filesystem is gone. */
HF_MUST_USE enum hf_result hf_detach_start(int *ret_pipe);
/* The mountpoint that is to be freed; the mount that is there now is meant, and no other. */
HF_MUST_USE enum hf_result hf_detach_mountpoint(int pipe, const char *path);

#endif
