/* fs/errno.h: the one place where a result becomes an errno for the kernel. Source: spec/01-interface.md. */
#ifndef HF_FS_ERRNO_H
#define HF_FS_ERRNO_H

#include <errno.h>

#include "base/result.h"

static inline int hf_errno(enum hf_result result)
{
    switch (result) {
    case HF_OK: return 0;
    case HF_USAGE: return EINVAL;
    case HF_LOCKED: return ENOKEY;
    case HF_NO_MEMORY: return ENOMEM;
    case HF_NO_SPACE: return ENOSPC;
    case HF_NOT_FOUND: return ENOENT;
    case HF_EXISTS: return EEXIST;
    case HF_BUSY: return EBUSY;
    case HF_UNSUPPORTED: return EOPNOTSUPP;
    case HF_TOO_LARGE: return EFBIG;
    case HF_DENIED: return EACCES;
    case HF_REFUSED: return EPERM;
    case HF_FAILED:
    case HF_WRONG_PASSCODE:
    case HF_DELAYED:
    case HF_GONE:
    case HF_DAMAGED:
    case HF_UNREACHABLE:
    case HF_IO:
    case HF_PROTOCOL:
    case HF_CLOSED:
    case HF_RESULT_COUNT: break;
    }
    return EIO;
}

#endif
