/* element/state.h: the element's own folder, outside every vault: $XDG_STATE_HOME/holdfast (or ~/.local/state/holdfast), one folder a vault in it. */
#ifndef HF_ELEMENT_STATE_H
#define HF_ELEMENT_STATE_H

#include <stdint.h>

#include "base/result.h"

/* Opens holdfast/, made when it is missing. Before the sandbox: nothing above it can be reached afterwards. */
HF_MUST_USE enum hf_result hf_state_open(int *ret_root);
/* Opens the vault's folder in it, made when it is missing, and locks it. HF_BUSY when another element serves this vault. */
HF_MUST_USE enum hf_result hf_state_vault(int root, const uint8_t vault_id[16], int *ret_dir, struct hf_error *error);

#endif
