/* proto/socket_path.h: where a vault's owner socket lies. Source: spec/01-interface.md [IF-4]. */
#ifndef HF_PROTO_SOCKET_PATH_H
#define HF_PROTO_SOCKET_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

#define HF_SOCKET_PATH_MAX 108

/* $XDG_RUNTIME_DIR/holdfast/<id>.sock, else /tmp/holdfast-<uid>/<id>.sock. The directory must be the user's own with mode 0700;
 * make: creates it. HF_NOT_FOUND when there is none, HF_REFUSED when it is somebody else's or no directory. */
HF_MUST_USE enum hf_result hf_socket_dir(bool make, char out[HF_SOCKET_PATH_MAX], struct hf_error *error);
HF_MUST_USE enum hf_result hf_socket_path(const uint8_t vault_id[16], bool make, char out[HF_SOCKET_PATH_MAX], struct hf_error *error);

#endif
