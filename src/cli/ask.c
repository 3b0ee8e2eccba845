/* cli/ask.c: a passcode from the terminal without echo or from a descriptor [IF-2], its strength, and its way to the enclave. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
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
#include "proto/packaged.h"

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
static enum hf_result from_terminal(int tty, const char *prompt, bool echo, struct cli_secret *ret, struct hf_error *error)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    enum { ENDING = sizeof ending / sizeof ending[0] };
    struct termios old, quiet;
    struct sigaction action = {.sa_handler = on_interrupt}, ignore = {.sa_handler = SIG_IGN}, before[ENDING], before_stop;
    if (tcgetattr(tty, &old) < 0)
        return hf_fail(error, HF_USAGE, "no terminal to ask for the passcode on; use --passcode-fd");
    quiet = old;
    if (!echo)
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
    if (!echo)
        (void)dprintf(tty, "\n");
    return result;
}

static bool pinentry_asked;

void cli_use_pinentry(bool asked)
{
    pinentry_asked = asked;
}

/* tty < 0: pinentry */
static enum hf_result ask_once(int tty, const char *prompt, struct cli_secret *ret, struct hf_error *error)
{
    return tty < 0 ? cli_pinentry(prompt, ret, error) : from_terminal(tty, prompt, false, ret, error);
}

static enum hf_result ask_again(int tty, const struct cli_secret *first, struct hf_error *error)
{
    struct cli_secret *again = cli_secret_new();
    enum hf_result result = again ? ask_once(tty, "The same again", again, error) : HF_NO_MEMORY;
    if (result == HF_OK && (again->len != first->len || memcmp(again->bytes, first->bytes, first->len) != 0))
        result = hf_fail(error, HF_USAGE, "the two are not the same; nothing was changed");
    cli_secret_free(&again);
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
    HF_CLEANUP(fd) int tty = cli_pinentry_wanted(pinentry_asked) ? -1 : open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0 && !cli_pinentry_wanted(pinentry_asked))
        return hf_fail(error, HF_USAGE, "no terminal to ask for the passcode on; use --passcode-fd");
    HF_TRY(ask_once(tty, prompt, ret, error));
    if (ret->len == 0 && twice && tty >= 0) {
        char words[256];
        cli_words(6, words, sizeof words);
        (void)dprintf(tty, "Here is one, of six random words; write it down and type it: \n\n    %s\n\n", words);
        explicit_bzero(words, sizeof words);
        HF_TRY(ask_once(tty, prompt, ret, error));
    }
    if (ret->len == 0)
        return hf_fail(error, HF_USAGE, "an empty passcode; `holdfast passphrase` makes one");
    return twice ? ask_again(tty, ret, error) : HF_OK;
}

enum hf_result cli_ask_line(const char *prompt, int fd, struct cli_secret *ret, struct hf_error *error)
{
    if (!ret)
        return hf_fail(error, HF_NO_MEMORY, "no memory for it");
    if (fd >= 0)
        return read_line(fd, ret, error);
    HF_CLEANUP(fd) int tty = cli_pinentry_wanted(pinentry_asked) ? -1 : open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    ret->len = 0;
    return tty < 0 ? HF_OK : from_terminal(tty, prompt, true, ret, error);
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

static enum hf_result connect_enclave(const char *name, int *ret_fd, struct hf_error *error)
{
    uid_t uid = 0;
    pid_t pid = 0;
    const struct passwd *user = getpwnam(HF_PACKAGED_USER);
    HF_CLEANUP(fd) int fd = -1;
    if (!user || hf_ipc_connect_abstract(name, &fd) != HF_OK || hf_ipc_peer(fd, &uid, &pid) != HF_OK)
        return hf_fail(error, HF_UNREACHABLE, "the enclave does not take secrets; nothing was sent");
    if (uid != user->pw_uid) /* [PK-2] */
        return hf_fail(error, HF_REFUSED, "what would take the passcode runs as user %u, not as %s: nothing was sent", (unsigned)uid, HF_PACKAGED_USER);
    *ret_fd = hf_steal_fd(&fd);
    return HF_OK;
}

enum hf_result cli_secret_open(struct cli_link *link, bool creating, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    char name[64];
    int ends[2];
    cli_begin(link, &request, HF_OWN_SECRETS);
    hf_write_string(&request, link->vault);
    hf_write_u8(&request, creating);
    HF_TRY(cli_call(link, &request, -1, false, error, &body));
    hf_read_string(&body, name, sizeof name);
    if (hf_reader_end(&body) != HF_OK)
        return hf_fail(error, HF_PROTOCOL, "the supervisor's answer is malformed; are all programs of one version?");
    if (name[0])
        return connect_enclave(name, &link->secret, error);
    if (link->foreign)
        return hf_fail(error, HF_REFUSED, "%s: its keys belong to another user, but nothing of that user takes the passcode: nothing was sent", link->vault);
    if (hf_ipc_pair(ends) != HF_OK)
        return hf_fail(error, HF_FAILED, "no socketpair for the passcode");
    link->secret = ends[0];
    link->handed = ends[1];
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
