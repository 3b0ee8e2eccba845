/* element/sandbox.h: what the element keeps of the machine after its start. Source: spec/50-element.md [EL-9]. */
#ifndef HF_ELEMENT_SANDBOX_H
#define HF_ELEMENT_SANDBOX_H

#include "base/result.h"

/* root: the state directory, roots: the directory in which tpm-roots.pem lies when it is another (read alone); or -1. Without Landlock in the kernel seccomp alone holds: no program can be started, no network reached. */
HF_MUST_USE enum hf_result hf_element_confine(int root, int roots);

#endif
