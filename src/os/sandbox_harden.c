#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/sandbox.h"

enum { FIRST_FREE_FD = 3, STATUS_BYTES = 8192 };

/* Test builds alone: a test of the same user may look into our memory. */
static bool stays_dumpable(void)
{
#ifdef HF_TESTING
    const char *yes = getenv("HF_TEST_DUMPABLE");
    return yes && strcmp(yes, "1") == 0;
#else
    return false;
#endif
}

static enum hf_result forbid_dumps(struct hf_error *error)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0)
        return hf_fail(error, HF_FAILED, "can't forbid core files: %s", strerror(errno));
    if (!stays_dumpable() && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return hf_fail(error, HF_FAILED, "can't make the process undumpable: %s", strerror(errno));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return hf_fail(error, HF_FAILED, "can't give up new privileges: %s", strerror(errno));
    return HF_OK;
}

/* Fills text with /proc/self/status, NUL-terminated; false when it can't be read. */
static bool read_status(char *text, size_t cap)
{
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t len = 0;
    ssize_t got = 1;
    while (got > 0 && len < cap - 1) {
        got = TEMP_FAILURE_RETRY(read(fd, text + len, cap - 1 - len));
        if (got > 0)
            len += (size_t)got;
    }
    text[len] = '\0';
    (void)close(fd);
    return got >= 0;
}

/* After PR_SET_DUMPABLE: from then on none of the same user can attach, so the answer holds. */
static enum hf_result refuse_tracer(struct hf_error *error)
{
    static const char label[] = "\nTracerPid:\t";
    char text[STATUS_BYTES];
    const char *line = read_status(text, sizeof text) ? strstr(text, label) : NULL;
    if (!line)
        return hf_fail(error, HF_REFUSED, "can't tell whether a tracer is attached: is /proc mounted?");
    const char *tracer = line + sizeof label - 1;
    if (tracer[0] != '0' || tracer[1] != '\n')
        return hf_fail(error, HF_REFUSED, "a tracer is attached: keys are not handled under a debugger");
    return HF_OK;
}

static bool is_kept(const char *entry, const char *const *keep)
{
    const char *equals = strchr(entry, '=');
    size_t name_len = equals ? (size_t)(equals - entry) : strlen(entry);
    for (; *keep; keep++) {
        if (strlen(*keep) == name_len && strncmp(*keep, entry, name_len) == 0)
            return true;
    }
#ifdef HF_TESTING
    /* Test builds alone: its switches stay. */
    return strncmp(entry, "HF_TEST_", 8) == 0;
#else
    return false;
#endif
}

static void filter_environment(const char *const *keep)
{
    if (!keep || !environ)
        return;
    char **to = environ;
    for (char **from = environ; *from; from++) {
        if (is_kept(*from, keep))
            *to++ = *from;
    }
    *to = NULL;
}

/* 0, 1 and 2 must be something, or the next file we open would be taken for standard error. */
static enum hf_result fill_standard_fds(struct hf_error *error)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return hf_fail(error, HF_FAILED, "can't open /dev/null: %s", strerror(errno));
    } while (fd < FIRST_FREE_FD);
    (void)close(fd);
    return HF_OK;
}

/* The smallest of fds that is at least from; -1 when there is none. */
static int next_kept(const int *fds, size_t fd_count, int from)
{
    int best = -1;
    for (size_t i = 0; i < fd_count; i++) {
        if (fds[i] >= from && (best < 0 || fds[i] < best))
            best = fds[i];
    }
    return best;
}

static enum hf_result close_others(const int *fds, size_t fd_count, struct hf_error *error)
{
    unsigned from = FIRST_FREE_FD;
    for (;;) {
        int kept = next_kept(fds, fd_count, (int)from);
        unsigned last = kept < 0 ? ~0u : (unsigned)kept - 1;
        if (kept != (int)from && syscall(SYS_close_range, from, last, 0) < 0)
            return hf_fail(error, HF_FAILED, "can't close inherited descriptors: %s", strerror(errno));
        if (kept < 0)
            return HF_OK;
        from = (unsigned)kept + 1;
    }
}

enum hf_result hf_sandbox_harden(const char *const *keep, const int *fds, size_t fd_count, struct hf_error *error)
{
    HF_TRY(forbid_dumps(error));
    HF_TRY(refuse_tracer(error));
    filter_environment(keep);
    HF_TRY(fill_standard_fds(error));
    return close_others(fds, fd_count, error);
}
