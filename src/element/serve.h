/* element/serve.h: answers the enclave until the channel ends. Source: spec/50-element.md. */
#ifndef HF_ELEMENT_SERVE_H
#define HF_ELEMENT_SERVE_H

#include "base/result.h"

/* packaged.c: before that, in packaged mode: learns the owner, and where the owner's state lies (XDG_STATE_HOME is set to it).
 * *ret_roots: the directory of tpm-roots.pem, which is one for all owners. */
HF_MUST_USE enum hf_result hf_element_attach(int *ret_roots, struct hf_error *error);
/* root: element/state.h, -1 when it could not be opened; roots: where tpm-roots.pem lies. Returns the exit status. */
int hf_element_serve(int socket, int root, int roots);

#endif
