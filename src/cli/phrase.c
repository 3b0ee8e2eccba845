/* cli/phrase.c: generated passphrases, and the recovery phrase on paper, in a file and as a QR code. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <qrencode.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/recovery.h"
#include "os/file.h"
#include "os/random.h"

void cli_words(unsigned count, char *out, size_t cap)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < count; i++) {
        uint16_t index = 0;
        hf_random(&index, sizeof index);
        int len = snprintf(out + at, cap - at, "%s%s", i ? " " : "", hf_phrase_word(index % 2048u)); /* 65536 is a multiple: no bias */
        HF_ASSERT(len > 0 && (size_t)len < cap - at);
        at += (size_t)len;
    }
}

int cli_passphrase(const struct cli_options *options)
{
    char words[512];
    cli_words(options->passphrase_words, words, sizeof words);
    (void)printf("%s\n", words);
    explicit_bzero(words, sizeof words);
    return 0;
}

static void print_qr(const char *text)
{
    QRcode *code = QRcode_encodeString8bit(text, 0, QR_ECLEVEL_L);
    if (!code)
        return;
    int width = code->width;
    for (int y = -2; y < width + 2; y += 2) {
        (void)printf("\033[30;47m");
        for (int x = -2; x < width + 2; x++) {
            bool inside = x >= 0 && x < width;
            bool top = inside && y >= 0 && y < width && (code->data[y * width + x] & 1);
            bool bottom = inside && y + 1 >= 0 && y + 1 < width && (code->data[(y + 1) * width + x] & 1);
            (void)fputs(top && bottom ? "\u2588" : top ? "\u2580" : bottom ? "\u2584" : " ", stdout);
        }
        (void)printf("\033[0m\n");
    }
    QRcode_free(code);
}

static enum hf_result write_file(const char *file, const char *phrase, struct hf_error *error)
{
    HF_CLEANUP(fd) int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hf_fail(error, hf_result_from_errno(errno), "%s: %s", file, strerror(errno));
    if (dprintf(fd, "%s\n", phrase) < 0 || fsync(fd) < 0)
        return hf_fail(error, HF_IO, "%s: %s", file, strerror(errno));
    return HF_OK;
}

enum hf_result cli_take_recovery(int end, const char *file, struct hf_error *error)
{
    uint8_t message[64];
    size_t len = 0;
    enum hf_result result = hf_ipc_recv(end, message, sizeof message, &len, NULL, 0, NULL, 10000);
    if (result != HF_OK || len != 33 || message[0] != HF_SECRET_RECOVERY)
        return hf_fail(error, HF_PROTOCOL, "no recovery phrase came; make one with `holdfast recovery replace`");
    struct hf_recovery_secret secret;
    char phrase[HF_PHRASE_MAX];
    memcpy(secret.bytes, message + 1, sizeof secret.bytes);
    hf_phrase_encode(&secret, phrase);
    explicit_bzero(message, sizeof message);
    explicit_bzero(&secret, sizeof secret);
    if (file)
        result = write_file(file, phrase, error);
    if (!file || result != HF_OK) {
        (void)printf("The recovery phrase. It opens everything, it is shown this once and stored nowhere: write it down and keep it apart.\n\n");
        int column = 0;
        for (const char *at = phrase; *at; at++) {
            bool blank = *at == ' ';
            (void)putchar(blank && ++column % 6 == 0 ? '\n' : *at);
        }
        (void)printf("\n\n");
        if (isatty(1))
            print_qr(phrase);
    }
    explicit_bzero(phrase, sizeof phrase);
    return result;
}

enum hf_result cli_send_recovery(int end, const char *file, struct hf_error *error)
{
    struct hf_recovery_secret secret;
    struct cli_secret *text = cli_secret_new();
    int word = 0;
    enum hf_result result = text ? HF_OK : HF_NO_MEMORY;
    if (result == HF_OK && file) {
        HF_CLEANUP(fd) int fd = open(file, O_RDONLY | O_CLOEXEC);
        ssize_t got = fd < 0 ? -1 : read(fd, text->bytes, sizeof text->bytes);
        if (got < 0)
            result = hf_fail(error, hf_result_from_errno(errno), "%s: %s", file, strerror(errno));
        else
            text->len = (size_t)got;
    } else if (result == HF_OK) {
        result = cli_ask("Recovery phrase", -1, false, text, error);
    }
    if (result == HF_OK && hf_phrase_decode((const char *)text->bytes, text->len, &secret, &word) != HF_OK) {
        result = word ? hf_fail(error, HF_WRONG_PASSCODE, "the recovery phrase: word %d is not in the list", word)
                      : hf_fail(error, HF_WRONG_PASSCODE, "the recovery phrase: it needs 24 words, and a checksum that fits; look for a wrong or swapped word");
    }
    if (result == HF_OK)
        result = cli_secret_send(end, HF_SECRET_RECOVERY, secret.bytes, sizeof secret.bytes, error);
    explicit_bzero(&secret, sizeof secret);
    cli_secret_free(&text);
    return result;
}
