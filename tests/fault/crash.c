#include "crash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

void crash_start(struct crash *crash, struct disk *durable, uint32_t position)
{
    memset(crash, 0, sizeof *crash);
    crash->durable = durable;
    crash->position = position;
}

/* A cut or a punch that is durable: older pages that were still to be written are none any more. */
static void cancel(struct crash *crash, unsigned before, const struct disk_entry *cut)
{
    for (unsigned i = 0; i < before; i++) {
        struct disk_entry *e = &crash->pending[i];
        if (e->ino != cut->ino)
            continue;
        if (e->kind == DISK_LENGTH && cut->kind == DISK_CUT)
            e->a = e->a < cut->a ? e->a : cut->a;
        if (e->kind != DISK_DATA)
            continue;
        uint64_t start = e->a * DISK_PAGE;
        if (cut->kind == DISK_PUNCH ? e->a >= cut->a && e->a < cut->b : start >= cut->a) {
            e->kind = DISK_BEGIN; /* nothing */
        } else if (cut->kind == DISK_CUT && start + DISK_PAGE > cut->a) {
            uint8_t image[DISK_PAGE] = {0};
            memcpy(image, e->blob, (size_t)(cut->a - start));
            e->blob = disk_log_take(image, sizeof image);
        }
    }
}

static void keep_if(struct crash *crash, bool (*stays)(const struct disk_entry *entry, uint32_t ino), uint32_t ino)
{
    unsigned kept = 0;
    crash->metas = 0;
    for (unsigned i = 0; i < crash->count; i++) {
        if (!stays(&crash->pending[i], ino))
            continue;
        crash->pending[kept++] = crash->pending[i];
        crash->metas += disk_is_meta(crash->pending[i].kind);
    }
    crash->count = kept;
}

static bool is_others_data(const struct disk_entry *entry, uint32_t ino)
{
    return entry->kind <= DISK_LENGTH && (ino == 0 || entry->ino != ino);
}

static bool is_others(const struct disk_entry *entry, uint32_t ino)
{
    return entry->kind != DISK_BEGIN && (entry->kind != DISK_DATA || (ino != 0 && entry->ino != ino));
}

static bool is_none(const struct disk_entry *entry, uint32_t ino)
{
    (void)entry, (void)ino;
    return false;
}

static void sync_all(struct crash *crash)
{
    for (unsigned i = 0; i < crash->count; i++)
        disk_apply(crash->durable, &crash->pending[i]);
    keep_if(crash, is_none, 0);
}

/* The journal is forced, and with it all metadata so far; of data the file's own. */
static void sync_one(struct crash *crash, uint32_t ino)
{
    for (unsigned i = 0; i < crash->count; i++) {
        const struct disk_entry *e = &crash->pending[i];
        if (disk_is_meta(e->kind) || e->ino == ino)
            disk_apply(crash->durable, e);
        if (e->kind == DISK_CUT || e->kind == DISK_PUNCH)
            cancel(crash, i, e);
    }
    keep_if(crash, is_others_data, ino);
}

static bool is_own(const struct disk_entry *e, uint32_t ino)
{
    return e->ino == ino && (!disk_is_meta(e->kind) || e->kind == DISK_CUT || e->kind == DISK_PUNCH || e->kind == DISK_MODE || e->kind == DISK_XATTR);
}

static void sync_own(struct crash *crash, uint32_t ino)
{
    bool taken[PENDING] = {false};
    unsigned upto = 0, kept = 0;
    for (unsigned i = 0; i < crash->count; i++) {
        const struct disk_entry *e = &crash->pending[i];
        if (disk_is_meta(e->kind) && (e->dir == ino || e->dir2 == ino || (e->kind == DISK_MAKE && e->ino == ino)))
            upto = i + 1;
    }
    for (unsigned i = 0; i < crash->count; i++) {
        struct disk_entry *e = &crash->pending[i];
        taken[i] = is_own(e, ino) || (i < upto && disk_is_meta(e->kind));
        if (taken[i])
            disk_apply(crash->durable, e);
        if (taken[i] && (e->kind == DISK_CUT || e->kind == DISK_PUNCH))
            cancel(crash, i, e);
    }
    crash->metas = 0;
    for (unsigned i = 0; i < crash->count; i++) {
        if (taken[i])
            continue;
        crash->pending[kept++] = crash->pending[i];
        crash->metas += disk_is_meta(crash->pending[i].kind);
    }
    crash->count = kept;
}

enum crash_profile crash_profile = CRASH_JOURNAL;

void crash_step(struct crash *crash)
{
    const struct disk_entry *e = &disk_log->entries[crash->position++];
    switch (e->kind) {
    case DISK_SYNC:
        if (e->a)
            keep_if(crash, is_others, e->ino);
        else if (crash_profile == CRASH_OWN)
            sync_own(crash, e->ino);
        else
            sync_one(crash, e->ino);
        break;
    case DISK_SYNC_ALL:
        if (e->a)
            keep_if(crash, is_others, 0);
        else
            sync_all(crash);
        break;
    case DISK_HEAD: disk_apply(crash->durable, e); break;
    case DISK_BEGIN: crash->begun = (uint32_t)e->a; break;
    case DISK_END: crash->acked = (uint32_t)e->a; break;
    case DISK_NOTE: crash->note = (uint32_t)e->a; break;
    case DISK_DATA:
    case DISK_LENGTH:
    case DISK_CUT:
    case DISK_PUNCH:
    case DISK_MODE:
    case DISK_XATTR:
    case DISK_MAKE:
    case DISK_LINK:
    case DISK_UNLINK:
    case DISK_RENAME:
    case DISK_EXCHANGE:
        if (crash->count == PENDING)
            abort();
        crash->pending[crash->count++] = *e;
        crash->metas += disk_is_meta(e->kind);
        break;
    }
}

static void apply_torn(struct disk *disk, const struct disk_entry *e, const struct survivors *s)
{
    uint8_t image[DISK_PAGE] = {0};
    const struct disk_page *old = &disk->inodes[e->ino].pages[e->a];
    size_t part = (size_t)s->torn_sectors * 512;
    if (old->image)
        memcpy(image, old->image, old->valid);
    if (s->torn_tail)
        memcpy(image + DISK_PAGE - part, e->blob + DISK_PAGE - part, part);
    else
        memcpy(image, e->blob, part);
    struct disk_entry torn = *e;
    torn.blob = disk_log_take(image, sizeof image);
    disk_apply(disk, &torn);
}

struct disk *crash_state(const struct crash *crash, const struct survivors *s)
{
    struct disk *disk = disk_copy(crash->durable);
    unsigned metas = 0;
    for (unsigned i = 0; i < crash->count; i++) {
        const struct disk_entry *e = &crash->pending[i];
        if (disk_is_meta(e->kind)) {
            if (metas++ < s->metas)
                disk_apply(disk, e);
        } else if (s->data[i] && disk->inodes[e->ino].mode != 0) {
            if (s->data[i] == 2 && e->kind == DISK_DATA)
                apply_torn(disk, e, s);
            else
                disk_apply(disk, e);
        }
    }
    /* What lies behind a file's end is not shown when it grows again. */
    for (unsigned i = 0; i < DISK_INODES; i++) {
        struct disk_inode *inode = &disk->inodes[i];
        for (uint64_t p = 0; p < DISK_PAGES && S_ISREG(inode->mode); p++) {
            uint64_t valid = inode->size > p * DISK_PAGE ? inode->size - p * DISK_PAGE : 0;
            if (valid < inode->pages[p].valid)
                inode->pages[p].valid = (uint32_t)valid;
            if (valid == 0)
                inode->pages[p].image = NULL;
        }
    }
    return disk;
}

void survivors_all(const struct crash *crash, struct survivors *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->metas = crash->metas;
    memset(ret->data, 1, crash->count);
}

void survivors_none(const struct crash *crash, struct survivors *ret)
{
    (void)crash;
    memset(ret, 0, sizeof *ret);
}
