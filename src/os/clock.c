#include "os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t boot_id_lock = PTHREAD_MUTEX_INITIALIZER;
static bool boot_id_known;
static uint8_t boot_id[16];

/* The value of a lower-case hexadecimal digit, or -1. */
static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

/* "3110a733-4040-452c-b162-13067eaf7d87\n" to its 16 bytes. */
static bool parse_uuid(const char *text, size_t len, uint8_t out[16])
{
    size_t digits = 0;
    uint8_t bytes[16] = {0};
    for (size_t i = 0; i < len && text[i] != '\n'; i++) {
        if (text[i] == '-')
            continue;
        int value = digit(text[i]);
        if (value < 0 || digits == 32)
            return false;
        bytes[digits / 2] = (uint8_t)(bytes[digits / 2] << 4 | value);
        digits++;
    }
    if (digits != 32)
        return false;
    memcpy(out, bytes, sizeof bytes);
    return true;
}

static bool read_boot_id(uint8_t out[16])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    char text[64];
    ssize_t got = TEMP_FAILURE_RETRY(read(fd, text, sizeof text));
    (void)close(fd);
    return got > 0 && parse_uuid(text, (size_t)got, out);
}

static uint64_t read_clock(clockid_t clock, uint64_t per_second)
{
    struct timespec now;
    HF_ASSERT(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec / (1000000000u / per_second);
}

enum hf_result hf_clock_boot_time(struct hf_boot_time *ret)
{
    /* The id can't change while we live: read once, so that the sandbox need not let us at it again. */
    pthread_mutex_lock(&boot_id_lock);
    if (!boot_id_known)
        boot_id_known = read_boot_id(boot_id);
    bool known = boot_id_known;
    pthread_mutex_unlock(&boot_id_lock);
    if (!known)
        return HF_IO;
    memcpy(ret->boot_id, boot_id, sizeof ret->boot_id);
    ret->ms = hf_clock_ms();
    return HF_OK;
}

uint64_t hf_clock_ms(void)
{
    return read_clock(CLOCK_BOOTTIME, 1000);
}

int hf_clock_timer(void)
{
    return timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
}

void hf_clock_timer_set(int timer, uint64_t at_ms)
{
    const struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_ms / 1000), .tv_nsec = (long)(at_ms % 1000) * 1000000L}};
    if (timer >= 0)
        HF_ASSERT(timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) == 0);
}

uint64_t hf_clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC, 1000000000u);
}

uint64_t hf_clock_span_ms(const char *test_variable, uint64_t otherwise)
{
#ifdef HF_TESTING
    const char *test = getenv(test_variable);
    if (test)
        return strtoull(test, NULL, 10);
#endif
    (void)test_variable;
    return otherwise;
}
