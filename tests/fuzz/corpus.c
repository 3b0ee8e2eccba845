/* The target on its fixed corpus: every seed must be accepted; each seed cut at every place, each of its bytes changed, and some thousands of mutants from a fixed number,
 * mended and not. corpus [FILE…] (regressions, or an input to look at). HF_FUZZ_ROUNDS: mutants. Its last line counts seeds and files. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

enum { ROUNDS = 1500, CUTS = 120, FLIPS = 500, SEEDS = 64 };

static uint64_t state = 0x9e3779b97f4a7c15u;
static unsigned long accepted, refused, passed, failed;

__attribute__((weak)) const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto";
}

__attribute__((weak)) unsigned fuzz_cost(void)
{
    return 1;
}

static uint32_t chance(uint32_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % bound;
}

/* In a block of exactly that length, so that the address sanitizer sees a byte too far. */
static bool run(const uint8_t *bytes, size_t len)
{
    uint8_t *own = malloc(len ? len : 1);
    if (!own)
        abort();
    memcpy(own, bytes, len);
    bool good = fuzz_one(own, len);
    free(own);
    *(good ? &accepted : &refused) += 1;
    return good;
}

static const uint8_t odd[] = {0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255};

static size_t mutate(uint8_t *bytes, size_t len, const uint8_t *other, size_t other_len)
{
    for (unsigned i = 1 + chance(4); i > 0 && len > 0; i--) {
        size_t at = chance((uint32_t)len), n = 1 + chance(len - at < 16 ? (uint32_t)(len - at) : 16);
        switch (chance(8)) {
        case 0: bytes[at] ^= (uint8_t)(1u << chance(8)); break;
        case 1: bytes[at] = odd[chance(sizeof odd)]; break;
        case 2: bytes[at] = (uint8_t)(bytes[at] + (chance(2) ? 1 : 255)); break;
        case 3: memset(bytes + at, odd[chance(sizeof odd)], n); break;
        case 4: len = at; break;
        case 5: /* a piece goes */
            memmove(bytes + at, bytes + at + n, len - at - n);
            len -= n;
            break;
        case 6: /* a piece comes twice */
            n = n < FUZZ_MAX - len ? n : FUZZ_MAX - len;
            memmove(bytes + at + n, bytes + at, len - at);
            len += n;
            break;
        default: /* a piece of another seed */
            n = other_len < n ? other_len : n;
            if (n)
                memcpy(bytes + at, other + chance((uint32_t)(other_len - n + 1)), n);
        }
    }
    return len;
}

static void try_seed(const uint8_t *seed, size_t len)
{
    static uint8_t work[FUZZ_MAX];
    for (size_t at = 0; at < len; at += 1 + len * fuzz_cost() / CUTS)
        (void)run(seed, at);
    for (size_t at = 0; at < len; at += 1 + len * fuzz_cost() / FLIPS) {
        memcpy(work, seed, len);
        work[at] ^= (uint8_t)(1u << chance(8));
        (void)run(work, len);
        (void)run(work, fuzz_mend(work, len));
    }
}

static void one_file(const char *path)
{
    static uint8_t bytes[FUZZ_MAX];
    FILE *file = fopen(path, "rb");
    size_t len = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file)
        (void)fclose(file);
    else
        printf("FAILED: %s cannot be read\n", path);
    (void)run(bytes, len);
    *(file ? &passed : &failed) += 1;
}

static void files(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return; /* nothing has fallen yet */
    if (!S_ISDIR(st.st_mode)) {
        one_file(path);
        return;
    }
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char inner[4096];
        (void)snprintf(inner, sizeof inner, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            one_file(inner);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    static uint8_t seeds[SEEDS][FUZZ_MAX], work[FUZZ_MAX];
    size_t lens[SEEDS];
    unsigned count = 0;
    const char *asked = getenv("HF_FUZZ_ROUNDS");
    unsigned long rounds = asked ? strtoul(asked, NULL, 10) : ROUNDS / fuzz_cost();
    fuzz_start();
    while (count < SEEDS && (lens[count] = fuzz_seed(count, seeds[count])) > 0)
        count++;
    for (unsigned i = 0; i < count; i++) {
        bool good = run(seeds[i], lens[i]);
        if (!good)
            printf("FAILED: seed %u (%zu bytes) is refused\n", i, lens[i]);
        *(good ? &passed : &failed) += 1;
    }
    for (int i = 1; i < argc; i++)
        files(argv[i]);
    accepted = 0;
    for (unsigned i = 0; i < count; i++)
        try_seed(seeds[i], lens[i]);
    for (unsigned long i = 0; i < rounds && count > 0; i++) {
        unsigned of = chance(count), with = chance(count);
        memcpy(work, seeds[of], lens[of]);
        size_t len = mutate(work, lens[of], seeds[with], lens[with]);
        (void)run(work, chance(8) ? fuzz_mend(work, len) : len);
    }
    if (accepted == 0 || refused == 0 || count == 0)
        printf("FAILED: of the mutants %lu were accepted, %lu refused: this shows nothing\n", accepted, refused);
    *(accepted && refused && count ? &passed : &failed) += 1;
    printf("%u seeds; of their mutants %lu accepted, %lu refused\n%lu passed, %lu failed\n", count, accepted, refused, passed, failed);
    return failed != 0;
}
