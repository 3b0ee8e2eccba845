/* fs/serve_ops.h: inside serve: the table of FUSE operations. */
#ifndef HF_FS_SERVE_OPS_H
#define HF_FS_SERVE_OPS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops hf_serve_ops;

/* The kernel asks for the node's attributes again. Unlike the invalidation of pages it waits for nothing, so a serving thread may call it. */
void hf_serve_attr_moved(uint64_t id);
/* The kernel wrote back a page of what is locked. */
void hf_serve_came_late(void);

#endif
