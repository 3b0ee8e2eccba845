/* tests/fuzz/fuzz.h: one parser, or one end of a conversation, as a target for hostile bytes.
 *
 * A target is one file with the four functions below. Two drivers run it: corpus.c (./check: a fixed corpus, with the sanitizers, the same each time) and libfuzzer.c
 * (clang, `-Dfuzz=true`: minutes or hours, led by coverage). The corpus is made by fuzz_seed from the product's own encoders, so it never gets old; what once fell lies
 * in regress/TARGET/. */
#ifndef HF_TEST_FUZZ_H
#define HF_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_MAX 65536u

/* Once, before anything else. */
void fuzz_start(void);
/* True: the input was accepted whole (that the body behind the first checks is reached). Ends the process when a promise of the parser's is broken. */
bool fuzz_one(const uint8_t *data, size_t len);
/* The sound input of that number into out (FUZZ_MAX bytes); 0: there are no more. All are accepted. */
size_t fuzz_seed(unsigned number, uint8_t *out);
/* Makes right again what a mutation broke and no attacker with the key would leave broken: checksum, MAC, seal. Returns the length (at most FUZZ_MAX). */
size_t fuzz_mend(uint8_t *data, size_t len);

/* How many times slower than a parser an input is: the corpus driver takes so many fewer. Without it: 1. */
unsigned fuzz_cost(void);

#define FUZZ_PROMISE(cond) ((cond) ? (void)0 : fuzz_broken(#cond, __FILE__, __LINE__))

static inline _Noreturn void fuzz_broken(const char *what, const char *file, int line)
{
    (void)dprintf(2, "%s:%d: a promise is broken: %s\n", file, line, what);
    abort();
}

/* What is left of an input that is read piece by piece; behind the end come zeros. */
struct fuzz_bytes {
    const uint8_t *data;
    size_t len;
};

static inline uint8_t fuzz_u8(struct fuzz_bytes *from)
{
    if (from->len == 0)
        return 0;
    from->len--;
    return *from->data++;
}

static inline uint32_t fuzz_u32(struct fuzz_bytes *from)
{
    uint32_t value = fuzz_u8(from);
    value |= (uint32_t)fuzz_u8(from) << 8;
    value |= (uint32_t)fuzz_u8(from) << 16;
    return value | (uint32_t)fuzz_u8(from) << 24;
}

static inline struct fuzz_bytes fuzz_take(struct fuzz_bytes *from, size_t len)
{
    struct fuzz_bytes taken = {from->data, len < from->len ? len : from->len};
    from->data += taken.len;
    from->len -= taken.len;
    return taken;
}

/* What libcrypto keeps for good is found from the secret arena alone, where the leak checker does not look. */
const char *__lsan_default_suppressions(void);

#endif
