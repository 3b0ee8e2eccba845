/* cli/ask.c: a passcode from the terminal without echo or from a descriptor [IF-2], its strength, and its way to the enclave. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>
#include <zxcvbn.h>

#include "os/file.h"

struct cli_secret *cli_secret_new(void)
{
    void *p = mmap(NULL, sizeof(struct cli_secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (mlock(p, sizeof(struct cli_secret)) < 0 || madvise(p, 4096, MADV_DONTDUMP) < 0)
        (void)fprintf(stderr, "holdfast: warning: the passcode's memory cannot be locked (RLIMIT_MEMLOCK)\n");
    return p;
}

void cli_secret_free(struct cli_secret **secret)
{
    if (!*secret)
        return;
    explicit_bzero(*secret, sizeof **secret);
    (void)munmap(*secret, sizeof **secret);
    *secret = NULL;
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* A signal is taken here alone, so that none is lost between the look at `interrupted` and the read. */
static bool wait_readable(int fd)
{
    sigset_t ending, before;
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGHUP);
    (void)sigaddset(&ending, SIGQUIT);
    (void)sigprocmask(SIG_BLOCK, &ending, &before);
    int ready = -1;
    if (interrupted)
        errno = EINTR;
    else
        ready = ppoll(&readable, 1, NULL, &before);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return ready > 0;
}

/* One line, byte by byte: what follows belongs to the next reader of the same descriptor. */
static enum hf_result read_line(int fd, struct cli_secret *ret, struct hf_error *error)
{
    ret->len = 0;
    for (;;) {
        uint8_t byte = 0;
        ssize_t got = wait_readable(fd) ? read(fd, &byte, 1) : -1;
        if (got < 0 && errno == EINTR && interrupted)
            return hf_fail(error, HF_FAILED, "interrupted; nothing was changed");
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return hf_fail(error, HF_USAGE, "descriptor %d: the passcode cannot be read: %s", fd, strerror(errno));
        if (got == 0 || byte == '\n')
            return HF_OK;
        if (ret->len == sizeof ret->bytes - 1)
            return hf_fail(error, HF_USAGE, "the passcode is longer than %d bytes", HF_CLI_PASSCODE_MAX - 1);
        ret->bytes[ret->len++] = byte;
        ret->bytes[ret->len] = 0;
    }
}

/* [IF-7] Whatever ends the question, the terminal's echo comes back; what would stop us in the middle of it is ignored. */
static enum hf_result from_terminal(int tty, const char *prompt, struct cli_secret *ret, struct hf_error *error)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    enum { ENDING = sizeof ending / sizeof ending[0] };
    struct termios old, quiet;
    struct sigaction action = {.sa_handler = on_interrupt}, ignore = {.sa_handler = SIG_IGN}, before[ENDING], before_stop;
    if (tcgetattr(tty, &old) < 0)
        return hf_fail(error, HF_USAGE, "no terminal to ask for the passcode on; use --passcode-fd");
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    quiet.c_lflag |= ICANON | ISIG;
    for (size_t i = 0; i < ENDING; i++)
        (void)sigaction(ending[i], &action, &before[i]);
    (void)sigaction(SIGTSTP, &ignore, &before_stop);
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    (void)dprintf(tty, "%s: ", prompt);
    enum hf_result result = read_line(tty, ret, error);
    (void)tcsetattr(tty, TCSAFLUSH, &old);
    (void)sigaction(SIGTSTP, &before_stop, NULL);
    for (size_t i = 0; i < ENDING; i++)
        (void)sigaction(ending[i], &before[i], NULL);
    (void)dprintf(tty, "\n");
    return result;
}

enum hf_result cli_ask(const char *prompt, int fd, bool twice, struct cli_secret *ret, struct hf_error *error)
{
    if (!ret)
        return hf_fail(error, HF_NO_MEMORY, "no memory for the passcode");
    if (fd >= 0) {
        HF_TRY(read_line(fd, ret, error));
        return ret->len ? HF_OK : hf_fail(error, HF_USAGE, "descriptor %d: an empty passcode", fd);
    }
    HF_CLEANUP(fd) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return hf_fail(error, HF_USAGE, "no terminal to ask for the passcode on; use --passcode-fd");
    HF_TRY(from_terminal(tty, prompt, ret, error));
    if (ret->len == 0 && twice) {
        char words[256];
        cli_words(6, words, sizeof words);
        (void)dprintf(tty, "Here is one, of six random words; write it down and type it: \n\n    %s\n\n", words);
        explicit_bzero(words, sizeof words);
        HF_TRY(from_terminal(tty, prompt, ret, error));
    }
    if (ret->len == 0)
        return hf_fail(error, HF_USAGE, "an empty passcode");
    if (!twice)
        return HF_OK;
    struct cli_secret *again = cli_secret_new();
    enum hf_result result = again ? from_terminal(tty, "The same again", again, error) : HF_NO_MEMORY;
    if (result == HF_OK && (again->len != ret->len || memcmp(again->bytes, ret->bytes, ret->len) != 0))
        result = hf_fail(error, HF_USAGE, "the two are not the same; nothing was changed");
    cli_secret_free(&again);
    return result;
}

enum hf_result cli_strong_enough(const struct cli_secret *secret, uint32_t element_kind, struct hf_error *error)
{
    if (element_kind != HF_ELEMENT_SOFTWARE) /* one that counts, or a keybag that can't be read: the enclave says what is wrong with it */
        return HF_OK;
    if (memchr(secret->bytes, 0, secret->len))
        return hf_fail(error, HF_USAGE, "a passcode cannot hold a NUL byte");
    double bits = ZxcvbnMatch((const char *)secret->bytes, NULL, NULL);
    if (bits >= HF_CLI_STRENGTH_BITS)
        return HF_OK;
    return hf_fail(error, HF_REFUSED, "the passphrase is too weak (about %d bits) for the software element, which cannot limit guesses: %d are needed; "
                   "`holdfast passphrase` makes one", (int)bits, (int)HF_CLI_STRENGTH_BITS);
}

enum hf_result cli_secret_pair(int ret_ends[2], struct hf_error *error)
{
    if (hf_ipc_pair(ret_ends) != HF_OK)
        return hf_fail(error, HF_FAILED, "no socketpair for the passcode");
    return HF_OK;
}

enum hf_result cli_secret_send(int end, uint8_t kind, const void *bytes, size_t len, struct hf_error *error)
{
    struct iovec parts[2] = {{.iov_base = &kind, .iov_len = 1}, {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (sendmsg(end, &message, MSG_NOSIGNAL) != (ssize_t)(len + 1))
        return hf_fail(error, HF_FAILED, "the passcode cannot be handed over: %s", strerror(errno));
    return HF_OK;
}
