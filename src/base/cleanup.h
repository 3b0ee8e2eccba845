/* base/cleanup.h: ownership by scope. `HF_CLEANUP(fd) int fd = -1;` runs hf_cleanup_fd(&fd) on every path. */
#ifndef HF_BASE_CLEANUP_H
#define HF_BASE_CLEANUP_H

#include <stdlib.h>

#define HF_CLEANUP(name) __attribute__((cleanup(hf_cleanup_##name)))

static inline void hf_cleanup_free(void *p)
{
    free(*(void **)p);
}

/* Takes *p and leaves NULL behind. */
static inline void *hf_steal_pointer(void *pp)
{
    void **p = pp;
    void *value = *p;
    *p = NULL;
    return value;
}

#endif
