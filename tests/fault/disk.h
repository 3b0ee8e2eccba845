/* tests/fault/disk.h: a whole disk in memory in place of hf_disk, as a log of what was done to it.
 *
 * The worker process does its work on it; each change is an entry of a log in shared memory. The controller plays that log into disks of its own: the durable one, and
 * from it and any part of what was pending the states that a power cut may leave. Data pages, lengths and metadata are separate entries: a page may come without the length
 * that it needs and the other way round. Metadata (names, modes, attributes, cuts, punches) come in their order up to some point, as a journal has it; a file's
 * fdatasync makes all metadata so far durable, and its own data. Times are not modelled. */
#ifndef HF_TEST_FAULT_DISK_H
#define HF_TEST_FAULT_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "os/disk.h"

enum { DISK_INODES = 1024, DISK_PAGES = 24, DISK_PAGE = 4096, DISK_XATTRS = 6, DISK_FDS = 2048, DISK_FD0 = 100000, DISK_ROOT = 2, DISK_OWN = 3 /* .holdfast */, DISK_STATE = 4 /* the element's directory, outside the vault */ };

enum disk_kind {
    DISK_DATA,    /* one page's image; torn writes split it */
    DISK_LENGTH,  /* the file grew */
    DISK_CUT,     /* ftruncate */
    DISK_PUNCH,
    DISK_MODE,
    DISK_XATTR,
    DISK_MAKE,    /* inode and its entry */
    DISK_LINK,
    DISK_UNLINK,
    DISK_RENAME,
    DISK_EXCHANGE,
    DISK_SYNC,     /* fsync, fdatasync of one inode */
    DISK_SYNC_ALL, /* syncfs */
    DISK_HEAD,     /* the enclave's record of the head, its tips in blob: durable at once */
    DISK_BEGIN,    /* marks of the workload: operation `a` begins, is acknowledged */
    DISK_END,
    DISK_NOTE      /* … it noted a number: `a` */
};

struct disk_entry {
    enum disk_kind kind;
    uint32_t ino, dir, dir2, mode, uid, gid;
    uint64_t a, b;
    const char *name, *name2; /* in the log's memory */
    const uint8_t *blob;
    uint32_t blob_len;
};

struct disk_page {
    const uint8_t *image;
    uint32_t valid; /* behind it zeros */
};

struct disk_xattr {
    const char *name;
    const uint8_t *value;
    uint32_t len;
};

struct disk_name {
    const char *name;
    uint32_t ino; /* 0: gone */
    struct disk_name *next;
};

struct disk_inode {
    uint32_t mode, uid, gid, nlink;
    uint64_t size;
    struct disk_page pages[DISK_PAGES];
    struct disk_xattr xattrs[DISK_XATTRS];
    const char *target;
    struct disk_name *names; /* a directory's */
};

struct disk {
    struct disk_inode inodes[DISK_INODES];
    uint32_t head_settled, head_state;
    uint8_t head_tips[64];
};

struct disk_log { /* shared */
    uint32_t count, cap;
    uint64_t used, room;
    struct disk_entry *entries;
    uint8_t *memory;
    uint32_t next_ino;
    uint64_t calls; /* of hf_disk, all of them */
};

extern struct disk_log *disk_log;
extern struct disk *disk_now; /* what hf_disk shows */
extern const struct hf_disk_ops disk_ops;

/* Maps the log; call before any fork. */
void disk_start(void);
/* A fresh disk: a root directory with nothing in it but an empty .holdfast. */
struct disk *disk_new(void);
struct disk *disk_copy(const struct disk *from);
void disk_free(struct disk *disk);
void disk_apply(struct disk *disk, const struct disk_entry *entry);
bool disk_is_meta(enum disk_kind kind);
/* The descriptor of the root for hf_tree_start. */
int disk_open_root(void);
int disk_open_ino(uint32_t ino);
/* A descriptor by a number that the program under test has fixed. */
void disk_fix_fd(int fd, uint32_t ino);
/* Appends a mark of the workload. */
void disk_mark(enum disk_kind kind, uint64_t a, uint64_t b);
void disk_head(uint32_t settled, uint32_t state, const uint8_t tips[64]);
void *disk_log_take(const void *bytes, size_t len);
unsigned disk_open_fds(void);
/* For a test that starts the programs again in one process. */
void disk_close_all(void);

/* Errors: call number `at` of hf_disk (and all later ones, with `on`) fails with `with`. */
enum disk_fault_kind { DISK_NO_FAULT, DISK_EIO, DISK_ENOSPC, DISK_SHORT, DISK_SYNC_LOST, DISK_ALLOC };
extern struct disk_fault {
    enum disk_fault_kind kind;
    uint64_t at;
    bool on, armed;
    uint64_t count, hits;
} disk_fault;
/* How many calls of that kind the work makes when none fails, in a process of its own; 0: it did what it should not. */
uint64_t disk_count_calls(enum disk_fault_kind kind, bool (*work)(void *arg), void *arg);
/* For the allocator's stand-in: true when this allocation is to fail. */
bool disk_alloc_fails(void);

#endif
