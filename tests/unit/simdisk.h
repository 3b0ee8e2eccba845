/* tests/unit/simdisk.h: a disk in memory in place of hf_disk, for files of up to SIM_PAGES pages. It keeps what is durable apart from what is written, so
 * that a power cut can be drawn at any call, and can fail at call k.
 *
 * After a cut each page written since the last barrier is there or not, each for itself (4 KiB whole: storage that tears them needs the guard);
 * changes of length and punches are there up to some point of their order. So a page may come without the length that it needs, and the other way round. */
#ifndef HF_TESTS_UNIT_SIMDISK_H
#define HF_TESTS_UNIT_SIMDISK_H

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os/disk.h"

enum { SIM_PAGES = 48, SIM_PAGE = 4096, SIM_EVENTS = 4096, SIM_FILES = 4 };

struct sim_state {
    uint64_t length;
    uint8_t pages[SIM_PAGES][SIM_PAGE];
};

enum sim_kind { SIM_DATA, SIM_LENGTH, SIM_CUT, SIM_PUNCH };

struct sim_event {
    enum sim_kind kind;
    uint64_t page, count, length;
    uint8_t *image; /* SIM_DATA: the page as it is after the write */
};

struct sim_file {
    struct sim_state now, durable;
    struct sim_event events[SIM_EVENTS];
    unsigned event_count;
};

static struct sim_file *sim_files[SIM_FILES];
static uint64_t sim_seed = 88172645463325252u;
static long sim_fail_at = -1;      /* the mutating call that fails; counted down */
static int sim_fail_with = ENOSPC;
static bool sim_fail_partly;       /* a failing pwrite leaves its first page */
static unsigned long sim_calls, sim_barriers;
static void (*sim_after_call)(int fd); /* after each mutating call */

static uint32_t sim_random(uint32_t bound)
{
    sim_seed ^= sim_seed << 13;
    sim_seed ^= sim_seed >> 7;
    sim_seed ^= sim_seed << 17;
    return (uint32_t)(sim_seed >> 32) % bound;
}

static void sim_drop_events(struct sim_file *file)
{
    for (unsigned i = 0; i < file->event_count; i++)
        free(file->events[i].image);
    file->event_count = 0;
}

static void sim_new(int fd)
{
    if (!sim_files[fd])
        sim_files[fd] = calloc(1, sizeof *sim_files[fd]);
    sim_drop_events(sim_files[fd]);
    memset(sim_files[fd], 0, sizeof *sim_files[fd]);
}

static struct sim_event *sim_event(struct sim_file *file, enum sim_kind kind)
{
    if (file->event_count == SIM_EVENTS)
        abort();
    struct sim_event *event = &file->events[file->event_count++];
    *event = (struct sim_event){.kind = kind};
    return event;
}

/* What the kernel shows of the page in which the length ends. */
static void sim_zero_behind(struct sim_state *state)
{
    for (uint64_t page = state->length / SIM_PAGE; page < SIM_PAGES; page++) {
        uint64_t from = page == state->length / SIM_PAGE ? state->length % SIM_PAGE : 0;
        memset(state->pages[page] + from, 0, SIM_PAGE - from);
    }
}

static void sim_apply(struct sim_state *state, const struct sim_event *event)
{
    switch (event->kind) {
    case SIM_DATA: memcpy(state->pages[event->page], event->image, SIM_PAGE); break;
    case SIM_LENGTH: state->length = event->length > state->length ? event->length : state->length; break;
    case SIM_CUT:
        state->length = event->length;
        sim_zero_behind(state);
        break;
    case SIM_PUNCH:
        for (uint64_t page = event->page; page < event->page + event->count && page < SIM_PAGES; page++)
            memset(state->pages[page], 0, SIM_PAGE);
        break;
    }
}

/* One of the states that a power cut now may leave. */
static void sim_cut(const struct sim_file *file, struct sim_state *ret)
{
    unsigned metadata = 0, percent = sim_random(5) * 25;
    for (unsigned i = 0; i < file->event_count; i++)
        metadata += file->events[i].kind != SIM_DATA;
    unsigned left = sim_random(metadata + 1);
    *ret = file->durable;
    for (unsigned i = 0; i < file->event_count; i++) {
        bool there = file->events[i].kind == SIM_DATA ? sim_random(100) < percent : left > 0;
        left -= file->events[i].kind != SIM_DATA && left > 0;
        if (there)
            sim_apply(ret, &file->events[i]);
    }
    sim_zero_behind(ret);
}

static void sim_put(int fd, const struct sim_state *state)
{
    sim_new(fd);
    sim_files[fd]->now = sim_files[fd]->durable = *state;
}

static bool sim_fails(void)
{
    sim_calls++;
    return sim_fail_at >= 0 && sim_fail_at-- == 0;
}

static void sim_called(int fd)
{
    if (sim_after_call)
        sim_after_call(fd);
}

static ssize_t sim_pread(int fd, void *buffer, size_t len, off_t offset)
{
    const struct sim_state *now = &sim_files[fd]->now;
    if ((uint64_t)offset >= now->length)
        return 0;
    if (len > now->length - (uint64_t)offset)
        len = (size_t)(now->length - (uint64_t)offset);
    memcpy(buffer, (const uint8_t *)now->pages + offset, len);
    return (ssize_t)len;
}

static void sim_write_some(int fd, const void *buffer, size_t len, uint64_t offset)
{
    struct sim_file *file = sim_files[fd];
    memcpy((uint8_t *)file->now.pages + offset, buffer, len);
    for (uint64_t page = offset / SIM_PAGE; page * SIM_PAGE < offset + len; page++) {
        struct sim_event *event = sim_event(file, SIM_DATA);
        event->page = page;
        event->image = malloc(SIM_PAGE);
        memcpy(event->image, file->now.pages[page], SIM_PAGE);
        uint64_t end = (page + 1) * SIM_PAGE < offset + len ? (page + 1) * SIM_PAGE : offset + len;
        if (end > file->now.length) {
            file->now.length = end;
            sim_event(file, SIM_LENGTH)->length = end;
        }
    }
}

static ssize_t sim_pwrite(int fd, const void *buffer, size_t len, off_t offset)
{
    if ((uint64_t)offset + len > (uint64_t)SIM_PAGES * SIM_PAGE)
        return -EFBIG;
    bool fails = sim_fails();
    size_t first = (size_t)(SIM_PAGE - (uint64_t)offset % SIM_PAGE);
    if (fails && sim_fail_partly)
        sim_write_some(fd, buffer, len < first ? len : first, (uint64_t)offset);
    if (fails)
        return -sim_fail_with;
    sim_write_some(fd, buffer, len, (uint64_t)offset);
    sim_called(fd);
    return (ssize_t)len;
}

static int sim_fdatasync(int fd)
{
    struct sim_file *file = sim_files[fd];
    if (sim_fails())
        return -EIO;
    sim_barriers++;
    for (unsigned i = 0; i < file->event_count; i++)
        sim_apply(&file->durable, &file->events[i]);
    sim_zero_behind(&file->durable);
    sim_drop_events(file);
    sim_called(fd);
    return 0;
}

static int sim_ftruncate(int fd, off_t len)
{
    struct sim_file *file = sim_files[fd];
    if ((uint64_t)len > (uint64_t)SIM_PAGES * SIM_PAGE)
        return -EFBIG;
    if (sim_fails())
        return -sim_fail_with;
    sim_event(file, SIM_CUT)->length = (uint64_t)len;
    file->now.length = (uint64_t)len;
    sim_zero_behind(&file->now);
    sim_called(fd);
    return 0;
}

static int sim_fallocate(int fd, int mode, off_t offset, off_t len)
{
    struct sim_file *file = sim_files[fd];
    if (sim_fails())
        return -sim_fail_with;
    if (mode & FALLOC_FL_PUNCH_HOLE) {
        struct sim_event *event = sim_event(file, SIM_PUNCH);
        event->page = (uint64_t)offset / SIM_PAGE;
        event->count = (uint64_t)len / SIM_PAGE;
        sim_apply(&file->now, event);
    } else if ((uint64_t)(offset + len) > (uint64_t)SIM_PAGES * SIM_PAGE) {
        return -ENOSPC;
    }
    sim_called(fd);
    return 0;
}

static off_t sim_lseek(int fd, off_t offset, int whence)
{
    const struct sim_state *now = &sim_files[fd]->now;
    static const uint8_t zeros[SIM_PAGE];
    for (uint64_t at = (uint64_t)offset; at < now->length; at = (at / SIM_PAGE + 1) * SIM_PAGE) {
        bool hole = memcmp(now->pages[at / SIM_PAGE], zeros, SIM_PAGE) == 0;
        if (hole == (whence == SEEK_HOLE))
            return (off_t)at;
    }
    return whence == SEEK_HOLE && (uint64_t)offset < now->length ? (off_t)now->length : -ENXIO;
}

static int sim_fstat(int fd, struct stat *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->st_size = (off_t)sim_files[fd]->now.length;
    return 0;
}

static const struct hf_disk_ops sim_disk = {.pread = sim_pread, .pwrite = sim_pwrite, .fdatasync = sim_fdatasync, .ftruncate = sim_ftruncate,
                                            .fallocate = sim_fallocate, .lseek = sim_lseek, .fstat = sim_fstat};

#endif
