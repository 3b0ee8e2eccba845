/* os/secret_parts.h: inside os/ only: what os/secret.c puts into its arena, and the test log. */
#ifndef HF_OS_SECRET_PARTS_H
#define HF_OS_SECRET_PARTS_H

#include <stddef.h>

/* Takes len zeroed bytes at start, 16-byte aligned, for good. Once, before any hf_secret_alloc. */
void hf_secret_heap_init(void *start, size_t len);

/* Takes the stack for hf_secret_run and hf_secret_wipe_stack; len 0: there is none. Once. */
void hf_secret_stack_init(void *start, size_t len);

#ifdef HF_TESTING
void hf_secret_test_log_open(void);
#else
#define hf_secret_test_log_open() ((void)0)
#endif

#endif
