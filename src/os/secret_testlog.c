/* Test builds alone: which secrets there were, so that a test can look for them where they must not be. */
#ifdef HF_TESTING

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/secret.h"
#include "os/secret_parts.h"

enum { MAX_LABEL = 63, MAX_SECRET = 1024 };

static int log_fd = -1;
static pthread_once_t log_once = PTHREAD_ONCE_INIT;

static void open_log(void)
{
    const char *path = getenv("HF_TEST_SECRET_LOG");
    if (path)
        log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void hf_secret_test_log_open(void)
{
    pthread_once(&log_once, open_log);
}

void hf_test_note_secret(const char *label, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *value = bytes;
    hf_secret_test_log_open();
    if (log_fd < 0)
        return;
    char line[MAX_LABEL + 2 * MAX_SECRET + 3];
    size_t at = (size_t)snprintf(line, MAX_LABEL + 1, "%s", label);
    if (at > MAX_LABEL)
        at = MAX_LABEL;
    line[at++] = ' ';
    for (size_t i = 0; i < len && i < MAX_SECRET; i++) {
        line[at++] = digits[value[i] >> 4];
        line[at++] = digits[value[i] & 15u];
    }
    line[at++] = '\n';
    /* One write: lines of several programs don't mix. */
    ssize_t put = write(log_fd, line, at);
    (void)put;
    explicit_bzero(line, sizeof line);
}

#else
typedef int hf_secret_testlog_is_empty; /* ISO C wants a declaration in every file */
#endif
