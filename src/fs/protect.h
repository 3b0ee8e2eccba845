/* fs/protect.h: inside the tree alone: a change of class. */
#ifndef HF_FS_PROTECT_H
#define HF_FS_PROTECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

/* The class of that name (not NUL-terminated) for a file, or for what an empty directory gets from now on. Lowering re-wraps; raising copies under a fresh key.
 * 0 or a negative errno: -EINVAL no such class, -ENOTEMPTY, -EBUSY, -ENOKEY, -EIO (also: a file has names that are not authentic). */
HF_MUST_USE int hf_protect(uint64_t id, const char *class_name, size_t len);

#endif
