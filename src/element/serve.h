/* element/serve.h: answers the enclave until the channel ends. Source: spec/50-element.md. */
#ifndef HF_ELEMENT_SERVE_H
#define HF_ELEMENT_SERVE_H

/* root: element/state.h, -1 when it could not be opened. Returns the exit status. */
int hf_element_serve(int socket, int root);

#endif
