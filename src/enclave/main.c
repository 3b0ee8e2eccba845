/* holdfast-enclave: the one program that holds class keys. Descriptors: control, element, keys, the vault's .holdfast directory (proto/message.h);
 * with --packaged the supervisor's connection alone, which brings the rest (proto/packaged.h). */
#include <stdio.h>
#include <string.h>

#include "enclave/enclave.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/sandbox.h"

enum { STACK_LEN = 512 * 1024, HEAP_LEN = 1024 * 1024 };

static int run(void *arg)
{
    return hf_enclave_serve(arg);
}

int main(int argc, char **argv)
{
    bool packaged = argc == 2 && strcmp(argv[1], "--packaged") == 0;
    uid_t owner = 0;
    static const char *const keep[] = {
#ifdef HF_TESTING
        "HF_TEST_SECRET_LOG", "HF_TEST_NO_MEMFD_SECRET",
#endif
        NULL};
    static const int fds[] = {HF_FD_ENCLAVE_CONTROL, HF_FD_ENCLAVE_ELEMENT, HF_FD_ENCLAVE_KEYS, HF_FD_ENCLAVE_DIR};
    struct hf_error error = {0};
    struct hf_enclave *e = NULL;
    enum hf_result result = hf_sandbox_harden(keep, fds, packaged ? 1 : sizeof fds / sizeof fds[0], &error);
    if (result == HF_OK && packaged)
        result = hf_enclave_attach(&owner, &error);
    if (result == HF_OK)
        result = hf_secret_open(STACK_LEN, HEAP_LEN, &error);
    if (result == HF_OK)
        result = hf_crypto_start();
    if (result == HF_OK && !(e = hf_secret_alloc(sizeof *e)))
        result = HF_NO_MEMORY;
    if (result == HF_OK) {
        e->packaged = packaged;
        e->owner = owner;
        e->timer = hf_clock_timer();
        hf_random(e->cache_key, sizeof e->cache_key);
        result = hf_enclave_confine(e);
    }
    if (result != HF_OK) {
        (void)fprintf(stderr, "holdfast-enclave: %s\n", error.text[0] ? error.text : hf_result_text(result));
        return hf_result_exit_code(result);
    }
    return hf_secret_run(run, e);
}
