/* os/stream.h: byte streams to a TPM: a Unix stream socket or a character device. Every wait has a limit. */
#ifndef HF_OS_STREAM_H
#define HF_OS_STREAM_H

#include <stddef.h>

#include "base/result.h"
#include "base/span.h"

/* HF_NOT_FOUND when nothing is at path, HF_CLOSED when nobody serves it, HF_DENIED. */
HF_MUST_USE enum hf_result hf_stream_connect(const char *path, int *ret_fd);
/* Opens a character device for reading and writing (no symlink is followed). HF_DAMAGED when it is something else. */
HF_MUST_USE enum hf_result hf_stream_device(const char *path, int *ret_fd);
/* Writes all of it. HF_BUSY when timeout_ms ran out, HF_CLOSED when the other end is gone. */
HF_MUST_USE enum hf_result hf_stream_write(int fd, struct hf_span bytes, int timeout_ms);
/* One read of at most cap bytes, as soon as some are there. HF_BUSY, HF_CLOSED at the end. */
HF_MUST_USE enum hf_result hf_stream_read(int fd, void *buffer, size_t cap, int timeout_ms, size_t *ret_len);

#endif
