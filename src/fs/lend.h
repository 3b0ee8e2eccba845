/* fs/lend.h: inside the tree alone: access that an owner's own mode bits would refuse us: the bits are lent for one step. Nothing to do for root. */
#ifndef HF_FS_LEND_H
#define HF_FS_LEND_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/result.h"

/* openat with O_NOFOLLOW; where the object's mode refuses its owner (us), the owner's bits are lent for the moment. */
HF_MUST_USE int hf_open_lent(int dir_fd, const char *backing, int flags);
/* fstatat and readlinkat, where the directory may be one that its owner may not search. */
HF_MUST_USE int hf_stat_lent(int dir_fd, const char *backing, struct stat *st);
HF_MUST_USE ssize_t hf_readlink_lent(int dir_fd, const char *backing, char *text, size_t cap);
/* fgetxattr: the kernel asks for the right to read at each call, whatever the descriptor was opened for. */
HF_MUST_USE ssize_t hf_getxattr_lent(int fd, const char *name, void *value, size_t cap);
/* Lends u+rwx to a directory where we need it; hf_lend_back restores. *ret_mode: the mode to restore, or HF_NOT_LENT. */
#define HF_NOT_LENT UINT32_MAX
HF_MUST_USE int hf_lend(int fd, uint32_t bits, uint32_t *ret_mode);
void hf_lend_back(int fd, uint32_t mode);

#endif
