/* proto/message.h: what all conversations share. A message is u16 type, then a body laid out by base/writer.h, in one SEQPACKET datagram.
 *
 * Every reply is HF_MSG_REPLY: u16 result (enum hf_result) | string text (<= 247) | then, when the result is HF_OK or the request's header says so, the body.
 * A request that is not in the receiver's table for its channel and state is answered HF_PROTOCOL and changes nothing. Source: spec/60-processes.md [CH-1]…
 * Numbers are per channel: owner 0x01xx, control 0x02xx, keys 0x03xx, element 0x04xx, mount 0x05xx. */
#ifndef HF_PROTO_MESSAGE_H
#define HF_PROTO_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/result.h"
#include "base/writer.h"
#include "os/ipc.h"

#define HF_MSG_REPLY 0x0001
#define HF_MSG_PROGRESS 0x0002 /* owner channel: u64 done | u64 total | string what; comes before the reply */

/* Descriptor numbers at exec. */
enum { HF_FD_SUPER_OWNER = 3 };
enum { HF_FD_ENCLAVE_CONTROL = 3, HF_FD_ENCLAVE_ELEMENT = 4, HF_FD_ENCLAVE_KEYS = 5, HF_FD_ENCLAVE_DIR = 6, HF_FD_ENCLAVE_SECRETS = 7 /* packaged */ };
enum { HF_FD_ELEMENT_ENCLAVE = 3 };
enum { HF_FD_FS_CONTROL = 3, HF_FD_FS_ENCLAVE = 4, HF_FD_FS_ROOT = 5, HF_FD_FS_FUSE = 6, HF_FD_FS_NODES = 7 };

/* Starts a message in buffer. */
void hf_message_begin(struct hf_writer *writer, void *buffer, size_t cap, uint16_t type);
/* Starts a reply: result and text are written; the body may follow. */
void hf_reply_begin(struct hf_writer *writer, void *buffer, size_t cap, enum hf_result result, const char *text);
/* hf_writer_end, then hf_ipc_send with no descriptors. */
HF_MUST_USE enum hf_result hf_message_send(int socket, const struct hf_writer *writer);
/* Sends a reply without a body. */
HF_MUST_USE enum hf_result hf_reply_send(int socket, enum hf_result result, const char *text);

/* Sends a request, waits for its reply (skipping none: the channel is in lock step). *ret_body reads what follows result and text, inside buffer.
 * Returns the transport's failure or HF_OK; the peer's verdict is in *ret_verdict. timeout_ms as hf_ipc_recv. */
HF_MUST_USE enum hf_result hf_call(int socket, const struct hf_writer *request, const int *fds, int fd_count, void *buffer, size_t cap, int timeout_ms,
                                   struct hf_error *ret_verdict, struct hf_reader *ret_body);
/* Parses a received message as a reply (HF_PROTOCOL when it is none). */
HF_MUST_USE enum hf_result hf_reply_parse(struct hf_span message, struct hf_error *ret_verdict, struct hf_reader *ret_body);

#endif
