/* fs/sandbox.h: confines the process to the vault's directory and to the calls that a filesystem needs. One thread, before the first request. */
#ifndef HF_FS_SANDBOX_H
#define HF_FS_SANDBOX_H

#include "base/result.h"

HF_MUST_USE enum hf_result hf_fs_confine(void);

#endif
