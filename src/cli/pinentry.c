/* cli/pinentry.c: a passcode from pinentry(1), the desktop's window for secrets: lines of its Assuan protocol over its standard input and output. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/file.h"

struct pinentry {
    pid_t pid;
    int to, from;
};

static const char *program(void)
{
    static const char *const places[] = {"/usr/bin/pinentry", "/usr/local/bin/pinentry"};
#ifdef HF_TESTING
    if (getenv("HF_TEST_PINENTRY"))
        return getenv("HF_TEST_PINENTRY");
#endif
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) { /* not by PATH: what stands there first would get the passcode */
        if (access(places[i], X_OK) == 0)
            return places[i];
    }
    return NULL;
}

bool cli_pinentry_wanted(bool asked)
{
    if (asked)
        return true;
    HF_CLEANUP(fd) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    return tty < 0 && (getenv("DISPLAY") || getenv("WAYLAND_DISPLAY")) && program();
}

static enum hf_result start(struct pinentry *ret, struct hf_error *error)
{
    int in[2], out[2];
    const char *path = program();
    if (!path)
        return hf_fail(error, HF_NOT_FOUND, "pinentry is not installed");
    if (pipe2(in, O_CLOEXEC) < 0)
        return hf_fail(error, HF_FAILED, "no pipe for pinentry");
    HF_CLEANUP(fd) int child_in = in[0];
    HF_CLEANUP(fd) int to = in[1];
    if (pipe2(out, O_CLOEXEC) < 0)
        return hf_fail(error, HF_FAILED, "no pipe for pinentry");
    HF_CLEANUP(fd) int from = out[0];
    HF_CLEANUP(fd) int child_out = out[1];
    char *const argv[] = {(char *)(uintptr_t)path, NULL};
    posix_spawn_file_actions_t actions;
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawn_file_actions_adddup2(&actions, child_in, 0);
    (void)posix_spawn_file_actions_adddup2(&actions, child_out, 1);
    int failed = posix_spawn(&ret->pid, path, &actions, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failed)
        return hf_fail(error, HF_FAILED, "%s: cannot be started: %s", path, strerror(failed));
    ret->to = hf_steal_fd(&to);
    ret->from = hf_steal_fd(&from);
    return HF_OK;
}

static void stop(struct pinentry *pinentry)
{
    hf_cleanup_fd(&pinentry->to);
    hf_cleanup_fd(&pinentry->from);
    while (waitpid(pinentry->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* One line, byte by byte into locked memory: no buffer of libc's sees it. */
static enum hf_result read_line(const struct pinentry *pinentry, struct cli_secret *ret)
{
    ret->len = 0;
    for (;;) {
        uint8_t byte = 0;
        ssize_t got = TEMP_FAILURE_RETRY(read(pinentry->from, &byte, 1));
        if (got <= 0 || ret->len == sizeof ret->bytes - 1)
            return HF_FAILED;
        if (byte == '\n')
            break;
        ret->bytes[ret->len++] = byte;
    }
    ret->bytes[ret->len] = 0;
    return HF_OK;
}

/* -1: none. */
static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The line behind "D ", with its %XX. */
static void decode(struct cli_secret *line)
{
    size_t to = 0;
    for (size_t at = 2; at < line->len; at++) {
        int high = -1, low = -1, value = line->bytes[at];
        if (value == '%' && at + 2 < line->len) {
            high = hex_digit(line->bytes[at + 1]);
            low = hex_digit(line->bytes[at + 2]);
        }
        if (high >= 0 && low >= 0) {
            value = high << 4 | low;
            at += 2;
        }
        line->bytes[to++] = (uint8_t)value;
    }
    explicit_bzero(line->bytes + to, sizeof line->bytes - to);
    line->len = to;
}

static bool begins(const struct cli_secret *line, const char *word)
{
    return strncmp((const char *)line->bytes, word, strlen(word)) == 0;
}

/* Sends a command and reads up to its OK or ERR. What "D" brings is left in ret. */
static enum hf_result command(const struct pinentry *pinentry, const char *text, struct cli_secret *ret, struct hf_error *error)
{
    struct cli_secret *line = cli_secret_new();
    enum hf_result result = line && (!text || dprintf(pinentry->to, "%s\n", text) > 0) ? HF_OK : HF_FAILED;
    while (result == HF_OK) {
        result = read_line(pinentry, line);
        if (result == HF_OK && ret && begins(line, "D ")) {
            decode(line);
            *ret = *line;
        } else if (result == HF_OK && begins(line, "ERR ")) {
            result = hf_fail(error, HF_FAILED, "the question was cancelled; nothing was changed");
        } else if (begins(line, "OK")) {
            break;
        }
    }
    cli_secret_free(&line);
    return result == HF_OK || error->result != HF_OK ? result : hf_fail(error, HF_FAILED, "pinentry does not answer");
}

static const char *sentence_shown;

void cli_pinentry_sentence(const char *sentence)
{
    sentence_shown = sentence;
}

/* SETDESC, with what Assuan would misread as %XX. */
static void describe(const char *prompt, char *out, size_t cap)
{
    int len = snprintf(out, cap, "SETDESC Holdfast: %s%s", prompt, sentence_shown ? "%0AYour sentence: " : "");
    size_t at = len > 0 ? (size_t)len : 0;
    for (const char *c = sentence_shown ? sentence_shown : ""; *c && at + 4 < cap; c++)
        at += (size_t)snprintf(out + at, cap - at, *c == '%' ? "%%25" : "%c", *c);
}

enum hf_result cli_pinentry(const char *prompt, struct cli_secret *ret, struct hf_error *error)
{
    struct pinentry pinentry = {.to = -1, .from = -1};
    char title[128 + 4 * HF_SENTENCE_MAX];
    HF_TRY(start(&pinentry, error));
    describe(prompt, title, sizeof title);
    ret->len = 0;
    enum hf_result result = command(&pinentry, NULL, NULL, error);
    if (result == HF_OK)
        result = command(&pinentry, title, NULL, error);
    if (result == HF_OK)
        result = command(&pinentry, "GETPIN", ret, error);
    stop(&pinentry);
    explicit_bzero(title, sizeof title);
    return result;
}
