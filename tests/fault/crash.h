/* tests/fault/crash.h: the states that a power cut may leave. */
#ifndef HF_TEST_FAULT_CRASH_H
#define HF_TEST_FAULT_CRASH_H

#include "disk.h"

enum { PENDING = 4096 };

/* What a sync of one inode takes along. */
enum crash_profile {
    CRASH_JOURNAL, /* ext4, XFS: the journal is one, all metadata so far */
    CRASH_OWN      /* a file: what is its own, its name when that is new; a directory: the journal up to the last change in it. Nothing else (btrfs's log of single inodes) */
};
extern enum crash_profile crash_profile;

struct crash {
    struct disk *durable;
    struct disk_entry pending[PENDING]; /* in their order */
    unsigned count, metas;
    uint32_t acked, begun; /* operations */
    uint32_t note;
    uint32_t position;     /* entries of the log that were taken in */
};

/* What of the pending entries is there. */
struct survivors {
    unsigned metas;               /* the first so many of the metadata */
    uint8_t data[PENDING];        /* of each entry that is none: 0 not, 1 there, 2 torn */
    unsigned torn_sectors;        /* how many 512-byte sectors of a torn page are the new ones */
    bool torn_tail;               /* … from its end instead of its beginning */
};

void crash_start(struct crash *crash, struct disk *durable, uint32_t position);
/* Takes in the next entry of the log. */
void crash_step(struct crash *crash);
/* The disk that is left. */
struct disk *crash_state(const struct crash *crash, const struct survivors *survivors);
void survivors_all(const struct crash *crash, struct survivors *ret);
void survivors_none(const struct crash *crash, struct survivors *ret);

#endif
