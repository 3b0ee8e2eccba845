/* proto/packaged.h: the first messages on the sockets of packaged mode. Source: spec/60-processes.md, "Packaged mode" [PK-1]…[PK-4].
 *
 * | enclave -> super | HELLO  | string name of its abstract socket for secrets (32 hex digits) | u32 pid | u32 uid |
 * | super -> enclave | ATTACH | descriptors: keys end, .holdfast; then a reply (proto/message.h): u32 pid of the element |
 * | enclave -> element | OWNER | u32 uid; then a reply: u32 pid | */
#ifndef HF_PROTO_PACKAGED_H
#define HF_PROTO_PACKAGED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/result.h"

#define HF_PACKAGED_USER "holdfast"
#define HF_PACKAGED_NAME_LEN 32

enum hf_packaged_message { HF_PKG_HELLO = 0x0601, HF_PKG_ATTACH, HF_PKG_OWNER };

/* DIRECTORY/program.sock of the installed system; false when this program is not the installed one. */
bool hf_packaged_socket(const char *program, char *out, size_t cap);

#endif
