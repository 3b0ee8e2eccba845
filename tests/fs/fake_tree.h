/* tests/fs/fake_tree.h: what the two parts of the tree in memory share. */
#ifndef HF_TEST_FAKE_TREE_H
#define HF_TEST_FAKE_TREE_H

#include <pthread.h>
#include <stdatomic.h>

#include "fs/tree.h"

enum { BLOCK = 4096, XATTRS = 4, DUE_MS = 300, VEIL = 0x5a };

struct xattr {
    char name[256];
    uint8_t value[1024];
    size_t len;
};

struct name {
    struct name *next;
    char text[256];
    uint64_t id, cookie;
};

struct node {
    struct stat attr;
    uint8_t *data;
    struct name *names; /* a directory's */
    uint64_t parent, lookups, opens, next_cookie;
    struct xattr xattrs[XATTRS];
};

extern pthread_mutex_t lock;
extern struct node **nodes; /* by id */
extern uint64_t node_count;
extern const struct hf_tree_kernel *kernel;
extern bool locked, dead;
extern atomic_bool stop;
extern uint64_t lookups, dirty_since_ms;

struct node *get(uint64_t id);
int refuse(void);
struct name **find(struct node *dir, const char *text);
void remove_name(struct node *dir, const char *text);

#endif
