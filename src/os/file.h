/* os/file.h: whole small files (keybag, head, element state), read bounded and replaced atomically and durably. */
#ifndef HF_OS_FILE_H
#define HF_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

static inline int hf_fd_none(void) { return -1; }
/* Cleanup for descriptors of hf_disk: HF_CLEANUP(fd) int fd = -1; */
void hf_cleanup_fd(int *fd);
/* Gives the descriptor away: returns *fd and leaves -1. */
int hf_steal_fd(int *fd);

/* Reads name in dir, a regular file (no symlink is followed) of at most cap bytes.
 * HF_NOT_FOUND, HF_TOO_LARGE (longer than cap), HF_DAMAGED (not a regular file), HF_IO. */
HF_MUST_USE enum hf_result hf_file_read(int dir, const char *name, void *buffer, size_t cap, size_t *ret_len);

/* Writes `name.new` (mode 0600), fsyncs it, renames it over name, fsyncs dir. A power cut at any point leaves the old
 * or the new content whole. On failure name is the old one and `name.new` is removed; when only the last
 * fsync failed it may be either. dir is a real directory descriptor (fsync), not AT_FDCWD or O_PATH. Source: spec/10-keybag.md [KB-1]. */
HF_MUST_USE enum hf_result hf_file_replace(int dir, const char *name, struct hf_span content);

/* Removes name durably (fsync of dir); absent is HF_OK. Overwrites its bytes first when wipe is set (best effort: flash and
 * copy-on-write filesystems keep old blocks; THREATS says so). */
HF_MUST_USE enum hf_result hf_file_remove(int dir, const char *name, bool wipe);

/* Opens dir/name as a directory, O_NOFOLLOW; make: creates it with mode 0700 (fsync of the parent). */
HF_MUST_USE enum hf_result hf_dir_open(int dir, const char *name, bool make, int *ret_fd);

/* errno (positive) to a result. */
enum hf_result hf_result_from_errno(int error);

#endif
