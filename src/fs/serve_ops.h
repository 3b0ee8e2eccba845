/* fs/serve_ops.h: inside serve: the table of FUSE operations. */
#ifndef HF_FS_SERVE_OPS_H
#define HF_FS_SERVE_OPS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

extern const struct fuse_lowlevel_ops hf_serve_ops;

#endif
