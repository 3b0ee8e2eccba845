/* The target under libFuzzer. HF_FUZZ_SEEDS=DIR: writes the seeds there and ends (run.sh starts from them). */
#include "fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t cap);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned seed);

__attribute__((weak)) const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static uint8_t bytes[FUZZ_MAX];
    const char *folder = getenv("HF_FUZZ_SEEDS");
    (void)argc, (void)argv;
    fuzz_start();
    if (!folder)
        return 0;
    size_t len;
    for (unsigned i = 0; (len = fuzz_seed(i, bytes)) > 0; i++) {
        char path[4096];
        (void)snprintf(path, sizeof path, "%s/seed%02u", folder, i);
        FILE *file = fopen(path, "wb");
        if (!file || fwrite(bytes, 1, len, file) != len || fclose(file) != 0)
            abort();
    }
    exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len <= FUZZ_MAX)
        (void)fuzz_one(data, len);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t cap, unsigned seed)
{
    static uint8_t work[FUZZ_MAX];
    len = LLVMFuzzerMutate(data, len, cap);
    if (seed % 8 == 0 || len > FUZZ_MAX)
        return len;
    memcpy(work, data, len);
    size_t mended = fuzz_mend(work, len);
    if (mended > cap)
        return len;
    memcpy(data, work, mended);
    return mended;
}
