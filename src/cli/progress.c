/* cli/progress.c: how far long work is. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"

enum { BAR = 30, LINE_EVERY_MS = 5000, BAR_EVERY_MS = 200 };

static struct {
    char what[64];
    uint64_t began_ms, shown_ms;
    bool bar;
} shown;

static void print_bar(const char *what, uint64_t done, uint64_t total, double rate)
{
    char bar[BAR + 1];
    uint64_t filled = total ? done * BAR / total : 0;
    for (uint64_t i = 0; i < BAR; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR] = '\0';
    (void)fprintf(stderr, "\r%s [%s] %" PRIu64 " of %" PRIu64 ", %.0f/s", what, bar, done, total, rate);
    if (rate > 0 && total > done)
        (void)fprintf(stderr, ", %.0f s left", (double)(total - done) / rate);
    (void)fprintf(stderr, "\033[K");
    shown.bar = true;
}

void cli_progress(const char *what, uint64_t done, uint64_t total)
{
    bool terminal = isatty(2) != 0;
    uint64_t now = hf_clock_ms();
    if (total && done > total)
        done = total;
    if (strncmp(shown.what, what, sizeof shown.what - 1) != 0) {
        cli_progress_end();
        (void)snprintf(shown.what, sizeof shown.what, "%s", what);
        shown.began_ms = shown.shown_ms = now;
    }
    if (now - shown.shown_ms < (terminal ? BAR_EVERY_MS : LINE_EVERY_MS))
        return;
    shown.shown_ms = now;
    double rate = now > shown.began_ms ? (double)done * 1000.0 / (double)(now - shown.began_ms) : 0;
    if (terminal && total)
        print_bar(what, done, total, rate);
    else if (total)
        (void)fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 "\n", what, done, total);
    else
        (void)fprintf(stderr, terminal ? "\r%s: %" PRIu64 ", %.0f/s\033[K" : "%s: %" PRIu64 ", %.0f/s\n", what, done, rate);
    shown.bar = terminal;
}

void cli_progress_message(struct hf_reader *reader)
{
    char what[64];
    uint64_t done = hf_read_u64(reader);
    uint64_t total = hf_read_u64(reader);
    hf_read_string(reader, what, sizeof what);
    if (hf_reader_end(reader) == HF_OK)
        cli_progress(what, done, total);
}

void cli_progress_end(void)
{
    if (shown.bar)
        (void)fprintf(stderr, "\n");
    shown.bar = false;
    shown.what[0] = '\0';
}
