/* cli/measure.c: the owner's sentence on its way in and out [EL-21], and what an owner says of the next software's PCRs [EL-22]. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"

enum { FILE_MAX = 16384, WAIT_MS = 10000 };

enum hf_result cli_show_sentence(struct cli_link *link, struct hf_error *error)
{
    static struct cli_secret *shown; /* pinentry shows it again */
    struct hf_writer request;
    struct hf_reader body;
    if (link->element_kind != HF_ELEMENT_TPM2)
        return HF_OK;
    HF_TRY(cli_secret_open(link, false, error));
    cli_begin(link, &request, HF_OWN_SENTENCE);
    hf_write_string(&request, link->vault);
    HF_TRY(cli_call(link, &request, link->handed, false, error, &body));
    shown = shown ? shown : cli_secret_new();
    enum hf_result result = shown ? hf_ipc_recv(link->secret, shown->bytes, sizeof shown->bytes - 1, &shown->len, NULL, 0, NULL, WAIT_MS) : HF_NO_MEMORY;
    hf_cleanup_fd(&link->secret);
    hf_cleanup_fd(&link->handed);
    if (result != HF_OK || shown->len < 1 || shown->bytes[0] != HF_SECRET_SENTENCE ||
        (shown->len > 1 && !hf_sentence_is_sound(HF_SPAN(shown->bytes + 1, shown->len - 1))))
        return hf_fail(error, HF_PROTOCOL, "the enclave's sentence is malformed; are all programs of one version?");
    shown->bytes[shown->len] = 0;
    if (shown->len > 1) {
        (void)fprintf(stderr, "Your sentence: %s\n", (const char *)shown->bytes + 1);
        cli_pinentry_sentence((const char *)shown->bytes + 1);
    }
    return HF_OK;
}

enum hf_result cli_send_sentence(const struct cli_options *options, bool ask, int end, bool *ret_there, struct hf_error *error)
{
    *ret_there = false;
    if (options->sentence_fd < 0 && !ask)
        return HF_OK;
    struct cli_secret *sentence = cli_secret_new();
    enum hf_result result = cli_ask_line("A sentence of yours, to be shown before each passcode (Enter alone: none)", options->sentence_fd, sentence, error);
    bool given = result == HF_OK && (sentence->len > 0 || options->sentence_fd >= 0);
    if (given && !hf_sentence_is_sound(HF_SPAN(sentence->bytes, sentence->len)))
        result = hf_fail(error, HF_USAGE, "a sentence is 1 to %d bytes of UTF-8 without control characters", HF_SENTENCE_MAX - 1);
    if (result == HF_OK && given)
        result = cli_secret_send(end, HF_SECRET_SENTENCE, sentence->bytes, sentence->len, error);
    *ret_there = result == HF_OK && given;
    cli_secret_free(&sentence);
    return result;
}

static enum hf_result from_file(const char *name, struct hf_measure *measure, struct hf_error *error)
{
    static char text[FILE_MAX];
    size_t len = 0;
    HF_CLEANUP(fd) int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    for (ssize_t got = fd < 0 ? -1 : 1; got != 0;) {
        if (len == sizeof text)
            return hf_fail(error, HF_USAGE, "%s: too long for a prediction", name);
        if (fd < 0 || (got = read(fd, text + len, sizeof text - len)) < 0)
            return hf_fail(error, hf_result_from_errno(errno), "%s: %s (a prediction is PCR=HEX, or a file of such lines)", name, strerror(errno));
        len += (size_t)got;
    }
    return hf_prediction_parse(HF_SPAN(text, len), measure, error);
}

enum hf_result cli_prediction(const struct cli_options *options, struct hf_measure *ret, struct hf_error *error)
{
    struct hf_measure measure = {.mask = 0};
    for (size_t i = 0; i < options->prediction_count + options->word_count - 1; i++) { /* words behind VAULT: --predict 7=… 11=… */
        const char *text = i < options->prediction_count ? options->predictions[i] : options->words[1 + i - options->prediction_count];
        bool values = strchr(text, '=') && text[0] >= '0' && text[0] <= '9';
        HF_TRY(values ? hf_prediction_parse(HF_SPAN(text, strlen(text)), &measure, error) : from_file(text, &measure, error));
    }
    *ret = measure;
    return HF_OK;
}

void cli_warn_of_measuring(uint32_t pcrs, uint32_t untouched)
{
    char list[64];
    hf_pcr_list_print(pcrs, list, sizeof list);
    (void)fprintf(stderr, "holdfast: sealed to PCR %s: before you change firmware, its settings, Secure Boot keys or kernel, run `holdfast reseal --predict`, "
                  "and have the recovery phrase at hand\n", list);
    hf_pcr_list_print(untouched, list, sizeof list);
    if (untouched)
        (void)fprintf(stderr, "holdfast: warning: PCR %s is still zero: nothing was measured into it here, so that it holds off no other software\n", list);
}
