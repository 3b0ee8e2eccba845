/* keys/wipe.h: overwrites a secret so that the compiler can't leave it out, and compares without a timing leak. */
#ifndef HF_KEYS_WIPE_H
#define HF_KEYS_WIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "keys/public.h"

static inline void hf_wipe(void *p, size_t len)
{
    explicit_bzero(p, len);
}

/* Time depends on len alone. */
static inline bool hf_equal_ct(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (uint8_t)(x[i] ^ y[i]);
    HF_NOW_PUBLIC(difference);
    return difference == 0;
}

#endif
