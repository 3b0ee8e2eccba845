/* element/serve.h: answers the enclave until the channel ends. Source: spec/50-element.md. */
#ifndef HF_ELEMENT_SERVE_H
#define HF_ELEMENT_SERVE_H

/* Returns the exit status. */
int hf_element_serve(int socket);

#endif
