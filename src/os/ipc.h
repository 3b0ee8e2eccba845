/* os/ipc.h: messages between programs, over inherited SOCK_SEQPACKET socketpairs or the owner's socket. One send is one message.
 *
 * A message is at most HF_IPC_MAX bytes: u16 type, then its body. Descriptors ride along (at most HF_IPC_MAX_FDS).
 * A receiver gets exactly the descriptors it expects or none: others are closed. */
#ifndef HF_OS_IPC_H
#define HF_OS_IPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/result.h"
#include "base/span.h"

#define HF_IPC_MAX 65536
#define HF_IPC_MAX_FDS 4

/* Sends one message, which is not empty. HF_CLOSED when the peer is gone (no SIGPIPE), HF_TOO_LARGE, HF_IO. fds stay the caller's. */
HF_MUST_USE enum hf_result hf_ipc_send(int socket, struct hf_span message, const int *fds, int fd_count);

/* Receives one message into buffer. timeout_ms < 0 waits for ever; HF_BUSY when it ran out; HF_CLOSED at the end;
 * HF_PROTOCOL when the message was longer than cap or carried more descriptors than fd_cap (all are closed then).
 * Descriptors are close-on-exec and belong to the caller; *ret_fd_count may be NULL when fd_cap is 0. */
HF_MUST_USE enum hf_result hf_ipc_recv(int socket, void *buffer, size_t cap, size_t *ret_len, int *fds, int fd_cap,
                                       int *ret_fd_count, int timeout_ms);

/* A connected pair, close-on-exec, with send and receive buffers that hold at least four full messages where the limits allow. */
HF_MUST_USE enum hf_result hf_ipc_pair(int ret_ends[2]);

/* Binds and listens at path (mode 0600), replacing a dead socket there. HF_BUSY when a living one answers,
 * HF_EXISTS when something else than a socket is at path. Two that start at once may both see a dead one: hold a lock. */
HF_MUST_USE enum hf_result hf_ipc_listen(const char *path, int *ret_fd);
/* The same for an abstract name, whoever may connect: check hf_ipc_peer. Does not block on accept (HF_BUSY). */
HF_MUST_USE enum hf_result hf_ipc_listen_abstract(const char *name, int *ret_fd);
HF_MUST_USE enum hf_result hf_ipc_connect_abstract(const char *name, int *ret_fd);
/* HF_NOT_FOUND when nothing is at path, HF_CLOSED when nobody serves it. */
HF_MUST_USE enum hf_result hf_ipc_connect(const char *path, int *ret_fd);
/* Accepts one connection (close-on-exec). */
HF_MUST_USE enum hf_result hf_ipc_accept(int listener, int *ret_fd);
/* The peer's user and process as the kernel recorded them at connect (SO_PEERCRED). */
HF_MUST_USE enum hf_result hf_ipc_peer(int socket, uid_t *ret_uid, pid_t *ret_pid);

#endif
