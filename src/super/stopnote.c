/* super/stopnote.c: a line in .holdfast/last-stop, written when everything had to be stopped, told and taken away at the next open. */
#include "super/super.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os/file.h"

static const char name[] = "last-stop";

void hf_stop_note_write(const struct hf_super *super, const char *text)
{
    char line[sizeof super->last_stop], when[32] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (super->dir_fd < 0)
        return;
    if (gmtime_r(&now, &parts))
        (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &parts);
    (void)snprintf(line, sizeof line, "%s %.200s", when, text);
    if (hf_file_replace(super->dir_fd, name, HF_SPAN((const uint8_t *)line, strlen(line))) != HF_OK)
        (void)fprintf(stderr, "holdfast-super: %s\n", line);
}

void hf_stop_note_take(struct hf_super *super)
{
    size_t len = 0;
    if (hf_file_read(super->dir_fd, name, (uint8_t *)super->last_stop, sizeof super->last_stop - 1, &len) != HF_OK)
        len = 0;
    super->last_stop[len] = '\0';
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)super->last_stop[i] < ' ')
            super->last_stop[i] = ' ';
    }
    if (len > 0)
        (void)!hf_file_remove(super->dir_fd, name, true);
}
