/* holdfast-element: the one program that gives S and D, and counts the tries. Started by the supervisor with descriptor 3 to the enclave,
 * or with --packaged by the enclave's connection, on descriptor 3 too (proto/packaged.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "crypto/wrap.h"
#include "element/sandbox.h"
#include "element/serve.h"
#include "element/state.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/secret.h"
#include "proto/message.h"

enum { STACK_LEN = 512 * 1024, HEAP_LEN = 2 * 1024 * 1024 };

static int state_root = -1, tpm_roots = -1;

static int run(void *arg)
{
    (void)arg;
    return hf_element_serve(HF_FD_ELEMENT_ENCLAVE, state_root, tpm_roots >= 0 ? tpm_roots : state_root);
}

/* The libraries' own switches: no configuration that could load code, no words on standard error. */
static enum hf_result quiet_libraries(void)
{
    if (setenv("TSS2_LOG", "all+none", 1) < 0 || OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return HF_FAILED;
    return HF_OK;
}

int main(int argc, char **argv)
{
    static const char *const keep[] = {"XDG_STATE_HOME", "HOME", "STATE_DIRECTORY",
#ifdef HF_TESTING
                                       "HF_TEST_SECRET_LOG", "HF_TEST_NO_MEMFD_SECRET",
#endif
                                       NULL};
    static const int fds[] = {HF_FD_ELEMENT_ENCLAVE};
    struct hf_error error = {0};
    struct hf_boot_time now;
    enum hf_result result = hf_sandbox_harden(keep, fds, 1, &error);
    if (result == HF_OK && argc == 2 && strcmp(argv[1], "--packaged") == 0)
        result = hf_element_attach(&tpm_roots, &error);
    if (result == HF_OK)
        result = hf_secret_open(STACK_LEN, HEAP_LEN, &error);
    if (result == HF_OK)
        result = hf_crypto_start();
    if (result == HF_OK)
        result = quiet_libraries();
    if (result == HF_OK)
        result = hf_clock_boot_time(&now);
    if (result == HF_OK && hf_state_open(&state_root) != HF_OK)
        state_root = -1; /* said at the first request, with what to do */
    if (result == HF_OK)
        result = hf_element_confine(state_root, tpm_roots);
    if (result != HF_OK) {
        (void)fprintf(stderr, "holdfast-element: %s\n", error.text[0] ? error.text : hf_result_text(result));
        return hf_result_exit_code(result);
    }
    return hf_secret_run(run, NULL);
}
