/* fs/node.h: inside the tree alone (node.c, tree_*.c): what is known of an object that the kernel knows, or that has changes which are not settled.
 *
 * Locks, in the order they are taken: hf_ns (namespace: parents, names, directory records, the epoch), a node's lock (a file's descriptor and content),
 * directories' (dirs.h), the table's.
 * A node lives while the kernel counts lookups or somebody inside holds a reference. */
#ifndef HF_FS_NODE_H
#define HF_FS_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "format/dirrecord.h"
#include "fs/content.h"
#include "fs/tree.h"

enum hf_node_kind {
    HF_NODE_DIR,
    HF_NODE_FILE,
    HF_NODE_LINK,      /* a symlink on disk */
    HF_NODE_LONG_LINK, /* a symlink kept in a regular file */
    HF_NODE_OTHER      /* FIFO, socket, device */
};

/* A directory's side of a node: its descriptor and record, opened and checked at first use. */
struct hf_dir {
    pthread_mutex_t lock; /* the node's fd and the fields below; a parent's is taken after its child's */
    uint32_t users;
    bool loaded; /* record is there and checked */
    bool due;    /* it lies in `.hf+` still (hf_dir_record_late); hf_ns */
    struct hf_dir_record record;
    uint8_t digest[32]; /* of its extended attributes, as the record vouches for it; zeros: none */
    struct hf_stream *stream; /* tree_readdir.c's */
    uint32_t changes; /* of the directory's names; hf_ns */
};

struct hf_node {
    uint32_t id;
    uint32_t generation;
    enum hf_node_kind kind;
    /* the table's lock */
    uint64_t lookups;
    uint32_t refs;
    bool hashed;
    ino_t ino;
    struct hf_node *hash_next;
    struct hf_node *idle_prev, *idle_next; /* the list of descriptors that may be closed, newest first */
    atomic_bool idle; /* may be asked without the lock */
    /* hf_ns */
    struct hf_node *_Atomic parent; /* holds a reference; NULL: the root, or no name is known; asked before the name: a lookup (hf_ns shared) may set both */
    char *name;             /* on disk */
    atomic_bool unlinked;   /* the last name is gone; may be asked without hf_ns */
    /* lock */
    pthread_rwlock_t lock;
    int fd;            /* -1: opened at the next use */
    uint32_t opens;
    uint32_t opened_s; /* boot time of the first of them */
    atomic_uchar class; /* 0: not known yet; a directory's is written with its own lock held, so that it may be asked without either */
    uint16_t set_id;   /* a file's mode when it has set-id bits, which the disk takes away whenever we, without privilege, write; else 0 */
    bool bound;        /* name and attributes were checked against the header since it was loaded */
    bool stale;        /* the header in memory is newer than the disk's (names, attributes): the settle writes it */
    bool evidence;     /* user.hf is set */
    uint32_t names_epoch; /* of the last change of its slots */
    /* [FR-11] As in the index's entry, and newer; touched 0: the index's counts. */
    uint64_t ctime_shown, ctime_touched;
    atomic_bool ctime_moved; /* a program changed it since: the disk's counts, even where the clock has not gone on */
    bool written;      /* was open for writing: the kernel may have something to write back */
    bool stored;       /* the kernel was given the content and nobody has written since */
    bool no_capability; /* security.capability is known not to be set */
    atomic_bool unsynced; /* made since the last settle and never fsynced; set by hf_never_synced */
    bool linked;       /* … and has had a further name: any directory may be one of those that it is promised in */
    struct stat *last; /* an unlinked object without a descriptor: what it was */
    struct hf_content *content;
    struct hf_dir dir;
    /* the dirty list's lock */
    bool dirty;
    struct hf_node *dirty_next;
    bool unsynced_listed;
    struct hf_node *unsynced_next;
    /* closing.c's lock */
    bool closing;
    struct hf_node *closing_next;
};

extern pthread_rwlock_t hf_ns;
extern atomic_bool hf_dead;

HF_MUST_USE enum hf_result hf_node_start(int root_fd, void *map);
/* One more descriptor. Its lock is held exclusively, or nobody else knows it yet. */
void hf_node_opened(struct hf_node *file);
/* NULL when there is none. The kernel's count keeps it alive while a request names it. */
struct hf_node *hf_node_of(uint64_t id);
/* The node of a backing object, made when it is not known. counted: one lookup; else one reference. hf_ns held. NULL without memory. */
struct hf_node *hf_node_get(const struct stat *st, struct hf_node *parent, const char *backing, bool counted);
/* As hf_node_get, but NULL when it is not known. Adds a reference. */
struct hf_node *hf_node_find(ino_t ino);
void hf_node_ref(struct hf_node *node);
void hf_node_unref(struct hf_node *node);
void hf_node_lookup_add(struct hf_node *node);
/* True: it is unlinked, and the kernel no longer knows it. */
bool hf_node_lookup_drop(struct hf_node *node, uint64_t count);
bool hf_node_in_kernel(struct hf_node *node);
/* hf_ns held exclusively. A new place; room (HF_BACKING_MAX bytes of the heap, taken before the disk was asked) becomes the node's. Or none that is known. */
void hf_node_place(struct hf_node *node, struct hf_node *parent, const char *backing, char *room);
void hf_node_unplace(struct hf_node *node);
/* The object's last name is gone: the inode number may come again. hf_ns held exclusively. */
void hf_node_unhash(struct hf_node *node);
void hf_node_rehash(struct hf_node *node, ino_t ino);
/* Calls fn for each node with a reference held, no lock held; a snapshot. */
void hf_node_each(void (*fn)(struct hf_node *node, void *arg), void *arg);
uint64_t hf_node_count(void);
/* When many nodes went since the last time, the heap gives their memory back to the system. No lock held. */
void hf_node_trim(void);

/* A regular file with exactly this mode may hold a symlink's target: its header says so. */
#define HF_LONG_LINK_MODE 01600u
/* As hf_node_get, of a file that is being made: its kind is known and nothing in it can be read yet. */
struct hf_node *hf_node_get_new(const struct stat *st, enum hf_node_kind kind, struct hf_node *parent, const char *backing);

static inline uint64_t hf_time_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec;
}
/* [FR-11] The node's lock held exclusively. */
void hf_file_ctime_is(struct hf_node *file, const struct timespec *shown, const struct timespec *disk);

/* A file's descriptor: opens it when needed (node's lock held exclusively, hf_ns held). Returns 0 or a negative errno. */
HF_MUST_USE int hf_node_open_fd(struct hf_node *node);
/* The node may be closed again / is in use; closes the oldest when too many are open. No directory's lock held, and of nodes' locks at most this node's. */
void hf_node_idle(struct hf_node *node);
void hf_node_busy(struct hf_node *node);

#endif
