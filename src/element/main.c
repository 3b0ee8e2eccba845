/* holdfast-element: the one program that gives S and D, and counts the tries. Started by the supervisor with descriptor 3 to the enclave,
 * or with --packaged by the enclave's connection, on descriptor 3 too (proto/packaged.h). */
#include <stdio.h>
#include <string.h>

#include "crypto/wrap.h"
#include "element/serve.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/secret.h"
#include "proto/message.h"

enum { STACK_LEN = 256 * 1024, HEAP_LEN = 16 * 1024 };

static int run(void *arg)
{
    (void)arg;
    return hf_element_serve(HF_FD_ELEMENT_ENCLAVE);
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
        result = hf_element_attach(&error);
    if (result == HF_OK)
        result = hf_secret_open(STACK_LEN, HEAP_LEN, &error);
    if (result == HF_OK)
        result = hf_crypto_start();
    if (result == HF_OK)
        result = hf_clock_boot_time(&now);
    if (result != HF_OK) {
        (void)fprintf(stderr, "holdfast-element: %s\n", error.text[0] ? error.text : hf_result_text(result));
        return hf_result_exit_code(result);
    }
    return hf_secret_run(run, NULL);
}
