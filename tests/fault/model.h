/* tests/fault/model.h: the journal of a workload: what each operation made of names, contents, modes and attributes, and what was promised when.
 *
 * It lies in memory that the worker and the controller share. Each history is a list of (operation, value); a promise is an operation up to which a history is durable.
 * Behind a cut that came when operation `acked` had been answered and `begun` had begun, a value may be the promised one or any later one up to `begun`. */
#ifndef HF_TEST_FAULT_MODEL_H
#define HF_TEST_FAULT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum { OBJECTS = 160, NAMES = 256, HISTORY = 96, INOS = 12, NONE = -1, ROOT = 0 };
enum object_kind { OBJECT_DIR, OBJECT_FILE, OBJECT_LINK };

struct content {
    uint32_t op;
    uint32_t len;
    const uint8_t *bytes;
};

struct value {
    uint32_t op;
    int64_t value;
};

struct history {
    struct value values[HISTORY];
    unsigned count;
};

struct object {
    enum object_kind kind;
    uint64_t id; /* the worker's node */
    uint32_t inos[INOS];
    unsigned ino_count;
    struct content contents[HISTORY];
    unsigned content_count;
    struct history modes, attributes; /* attributes: of user.t, -1: none */
    struct history names_left;        /* how many names it has */
    uint32_t promises[HISTORY];       /* a file's fsync, a directory's */
    unsigned promise_count;
    uint32_t whole_promises[HISTORY]; /* those of them that promise mode and attributes too: fdatasync does not */
    unsigned whole_count;
    bool husk; /* it could be neither made nor removed whole, since the disk refused everything: may be there or not, readable or not */
    const char *target;
};

struct name {
    int dir;
    char name[200];
    struct history objects;
};

struct model {
    struct object objects[OBJECTS];
    int object_count;
    struct name names[NAMES];
    int name_count;
    uint32_t op;
    uint32_t settles[HISTORY];
    unsigned settle_count;
    char failure[400]; /* the first thing that was wrong while the worker ran */
    uint32_t failed_ops, done_ops;
};

extern struct model *model;

void model_start(void);
void model_reset(void);
/* The worker's operations: each calls the tree and writes the journal. A call that fails must leave the old or the new state; which, is looked up. */
void work_create(int dir, const char *name);
void work_mkdir(int dir, const char *name);
void work_symlink(int dir, const char *name, const char *target);
void work_write(int dir, const char *name, uint64_t offset, uint32_t len);
void work_truncate(int dir, const char *name, uint64_t size);
void work_punch(int dir, const char *name, uint64_t offset, uint64_t len);
void work_fsync(int dir, const char *name);
void work_fsync_data(int dir, const char *name);
void work_fsyncdir(int dir);
void work_rename(int dir, const char *name, int to_dir, const char *to_name, unsigned flags);
void work_link(int dir, const char *name, int to_dir, const char *to_name);
void work_unlink(int dir, const char *name);
void work_rmdir(int dir, const char *name);
void work_chmod(int dir, const char *name, uint32_t mode);
void work_setxattr(int dir, const char *name, int value); /* NONE removes */
void work_protect(int dir, const char *name, const char *class);
void work_settle(void);
int work_object(int dir, const char *name); /* NONE: not there */
uint32_t work_random(uint32_t bound);
void work_seed(uint64_t seed);

/* Compares the mounted tree with the journal; false: why is in text. live: the running tree itself (exactly the current state). lenient: one file may be damaged, nothing else. */
struct judgement {
    uint32_t acked, begun;
    bool live;
    bool wholly_synced; /* everything acknowledged is durable: the current state alone is right */
    bool names_apart; /* a file's fsync promises no name, its directory's does */
    uint32_t torn_ino; /* 0, or the file that may be unreadable: the medium tore a page of it */
    char text[400];
};
bool model_judge(struct judgement *judgement);

#endif
