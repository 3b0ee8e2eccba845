/* os/random.h: the kernel's random bytes. Aborts when the kernel refuses: there is no safe way on. */
#ifndef HF_OS_RANDOM_H
#define HF_OS_RANDOM_H

#include <stddef.h>

void hf_random(void *out, size_t len);

#endif
