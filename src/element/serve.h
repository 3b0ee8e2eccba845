/* element/serve.h: answers the enclave until the channel ends. Source: spec/50-element.md. */
#ifndef HF_ELEMENT_SERVE_H
#define HF_ELEMENT_SERVE_H

#include "base/result.h"

/* packaged.c: before that, in packaged mode: learns the owner, and where the owner's state lies (XDG_STATE_HOME is set to it). */
HF_MUST_USE enum hf_result hf_element_attach(struct hf_error *error);
/* Returns the exit status. */
int hf_element_serve(int socket);

#endif
