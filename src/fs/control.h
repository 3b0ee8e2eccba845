/* fs/control.h: the supervisor's channel: which request is answered when, and the settle that comes by itself. Source: proto/mount.h, spec/60-processes.md [CH-1].
 *
 * CHECK and ROTATE run in a thread of their own; a request that comes meanwhile stops them (they are answered HF_BUSY, before it), so LOCK never waits long. */
#ifndef HF_FS_CONTROL_H
#define HF_FS_CONTROL_H

/* Serves the descriptors of proto/message.h until the kernel's connection ends; returns the process's exit status. The end of a channel is
 * death.h's matter. nodes: the mapped node map. detach_pipe: see detach.h. */
int hf_control_serve(void *nodes, int detach_pipe);

#endif
