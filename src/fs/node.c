/* The table of nodes: ids, inode numbers, references, descriptors that are opened on demand. */
#include "fs/node.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fs/dirs.h"
#include "fs/fresh.h"
#include "fs/settle.h"
#include "keys/wipe.h"
#include "os/clock.h"
#include "os/disk.h"
#include "proto/mount.h"

enum { CHUNK = 4096, CHUNKS = HF_NODE_MAP_BITS / CHUNK, BUCKETS_MIN = 4096, IDLE_CONTENTS = 16384, SPARE_FDS = 512 };

pthread_rwlock_t hf_ns = PTHREAD_RWLOCK_INITIALIZER;
atomic_bool hf_dead;

static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(struct hf_node **) chunks[CHUNKS];
static uint32_t *free_ids, free_count, free_cap, next_id = 1;
static uint32_t *generations; /* of the ids in chunks, grown with next_id */
static uint32_t generation_cap;
static struct hf_node **buckets;
static size_t bucket_count, node_count;
static size_t freed; /* since the heap gave memory back */
static struct hf_node *idle_newest, *idle_oldest;
static size_t idle_count, idle_max;
static uint64_t *map_words;

static size_t bucket_of(ino_t ino)
{
    return (size_t)((uint64_t)ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (bucket_count - 1);
}

struct hf_node *hf_node_of(uint64_t id)
{
    if (id == 0 || id >= HF_NODE_MAP_BITS)
        return NULL;
    struct hf_node **chunk = atomic_load_explicit(&chunks[id / CHUNK], memory_order_acquire);
    return chunk ? __atomic_load_n(&chunk[id % CHUNK], __ATOMIC_ACQUIRE) : NULL;
}

static void map_set(uint32_t id, bool on)
{
    if (!map_words)
        return;
    uint64_t bit = UINT64_C(1) << (id % 64);
    uint64_t *word = &map_words[1 + id / 64];
    if (on)
        __atomic_fetch_or(word, bit, __ATOMIC_RELEASE);
    else
        __atomic_fetch_and(word, ~bit, __ATOMIC_RELEASE);
}

/* table held. 0 without memory or when all are taken. */
static uint32_t take_id(void)
{
    if (free_count > 0)
        return free_ids[--free_count];
    if (next_id >= HF_NODE_MAP_BITS)
        return 0;
    if (!chunks[next_id / CHUNK]) {
        struct hf_node **chunk = calloc(CHUNK, sizeof *chunk);
        if (!chunk)
            return 0;
        atomic_store_explicit(&chunks[next_id / CHUNK], chunk, memory_order_release);
    }
    if (next_id >= generation_cap) {
        uint32_t *more = realloc(generations, (generation_cap + CHUNK) * sizeof *more);
        if (!more)
            return 0;
        memset(more + generation_cap, 0, CHUNK * sizeof *more);
        generations = more;
        generation_cap += CHUNK;
    }
    if (map_words)
        __atomic_store_n(&map_words[0], next_id, __ATOMIC_RELEASE);
    return next_id++;
}

/* table held. An id that finds no room in the list is not used again. */
static void give_id(uint32_t id)
{
    if (free_count == free_cap) {
        uint32_t *more = realloc(free_ids, (free_cap + CHUNK) * sizeof *more);
        if (!more)
            return;
        free_ids = more;
        free_cap += CHUNK;
    }
    free_ids[free_count++] = id;
}

/* table held. */
static void grow_buckets(void)
{
    size_t want = bucket_count * 2;
    struct hf_node **old = buckets, **fresh = calloc(want, sizeof *fresh);
    size_t old_count = bucket_count;
    if (!fresh)
        return; /* slower, not wrong */
    buckets = fresh;
    bucket_count = want;
    for (size_t i = 0; i < old_count; i++) {
        for (struct hf_node *node = old[i], *next; node; node = next) {
            next = node->hash_next;
            node->hash_next = buckets[bucket_of(node->ino)];
            buckets[bucket_of(node->ino)] = node;
        }
    }
    free(old);
}

static void hash_in(struct hf_node *node)
{
    size_t at = bucket_of(node->ino);
    node->hash_next = buckets[at];
    buckets[at] = node;
    node->hashed = true;
}

static void hash_out(struct hf_node *node)
{
    if (!node->hashed)
        return;
    struct hf_node **link = &buckets[bucket_of(node->ino)];
    while (*link != node)
        link = &(*link)->hash_next;
    *link = node->hash_next;
    node->hashed = false;
}

static struct hf_node *hash_find(ino_t ino)
{
    struct hf_node *node = buckets[bucket_of(ino)];
    while (node && node->ino != ino)
        node = node->hash_next;
    return node;
}

static enum hf_node_kind kind_of(const struct stat *st)
{
    if (S_ISDIR(st->st_mode))
        return HF_NODE_DIR;
    if (S_ISREG(st->st_mode))
        return HF_NODE_FILE;
    return S_ISLNK(st->st_mode) ? HF_NODE_LINK : HF_NODE_OTHER;
}

/* What the header of a file with the mode of long symlinks says it is. Whoever changes that byte gets a file that does not open. */
static enum hf_node_kind kind_in_header(struct hf_node *parent, const char *backing)
{
    uint8_t s[HF_STATIC_LEN];
    struct hf_file_static header;
    int dir = hf_dir_use_fd(parent);
    int fd = dir < 0 ? dir : hf_open_lent(dir, backing, O_RDONLY);
    ssize_t got = fd < 0 ? fd : hf_disk->pread(fd, s, sizeof s, 0);
    if (fd >= 0)
        (void)hf_disk->close(fd);
    if (dir >= 0)
        hf_dir_done(parent);
    bool is_link = got == (ssize_t)sizeof s && hf_file_static_parse(s, &header) == HF_OK && header.kind == HF_KIND_LONG_SYMLINK;
    return is_link ? HF_NODE_LONG_LINK : HF_NODE_FILE;
}

/* table held. */
static struct hf_node *node_new(const struct stat *st, enum hf_node_kind kind)
{
    struct hf_node *node = calloc(1, sizeof *node);
    uint32_t id = node ? take_id() : 0;
    if (id == 0) {
        free(node);
        return NULL;
    }
    node->id = id;
    node->generation = generations[id];
    node->kind = kind;
    node->ino = st->st_ino;
    node->fd = -1;
    (void)pthread_rwlock_init(&node->lock, NULL);
    (void)pthread_mutex_init(&node->dir.lock, NULL);
    if (node_count >= bucket_count)
        grow_buckets();
    hash_in(node);
    node_count++;
    map_set(id, true);
    return node;
}

/* table held. From now on hf_node_of finds it. */
static void publish(struct hf_node *node)
{
    __atomic_store_n(&chunks[node->id / CHUNK][node->id % CHUNK], node, __ATOMIC_RELEASE);
}

/* table held. */
static void idle_out(struct hf_node *node)
{
    if (!node->idle)
        return;
    if (node->idle_prev)
        node->idle_prev->idle_next = node->idle_next;
    else
        idle_newest = node->idle_next;
    if (node->idle_next)
        node->idle_next->idle_prev = node->idle_prev;
    else
        idle_oldest = node->idle_prev;
    node->idle_prev = node->idle_next = NULL;
    node->idle = false;
    idle_count--;
}

/* table held and released. Frees the node when nobody has it any more, then lets go of its parent. */
static void drop_if_unused(struct hf_node *node)
{
    while (node && node->lookups == 0 && node->refs == 0) {
        struct hf_node *parent = node->parent;
        hash_out(node);
        idle_out(node);
        generations[node->id]++;
        map_set(node->id, false);
        __atomic_store_n(&chunks[node->id / CHUNK][node->id % CHUNK], NULL, __ATOMIC_RELEASE);
        give_id(node->id);
        node_count--;
        freed++;
        if (node->fd >= 0)
            (void)hf_disk->close(node->fd);
        hf_content_free(&node->content);
        hf_stream_free(&node->dir.stream);
        (void)pthread_rwlock_destroy(&node->lock);
        (void)pthread_mutex_destroy(&node->dir.lock);
        free(node->last);
        free(node->name);
        free(node);
        if (parent)
            parent->refs--;
        node = parent;
    }
    pthread_mutex_unlock(&table);
}

enum hf_result hf_node_start(int root_fd, void *map)
{
    struct stat st;
    struct rlimit limit;
    int failed = hf_disk->fstat(root_fd, &st);
    if (failed)
        return HF_IO;
    map_words = map;
    bucket_count = BUCKETS_MIN;
    buckets = calloc(bucket_count, sizeof *buckets);
    idle_max = IDLE_CONTENTS;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < idle_max + SPARE_FDS)
        idle_max = limit.rlim_cur > (rlim_t)2 * SPARE_FDS ? limit.rlim_cur - SPARE_FDS : limit.rlim_cur / 2;
    if (!buckets)
        return HF_NO_MEMORY;
    pthread_mutex_lock(&table);
    struct hf_node *root = node_new(&st, HF_NODE_DIR);
    if (root) {
        root->lookups = 1;
        root->refs = 1;
        root->fd = root_fd;
        publish(root);
    }
    pthread_mutex_unlock(&table);
    return root ? HF_OK : HF_NO_MEMORY;
}

/* table held. A name that was taken away from under a file with several: any other name serves. name: of the heap, or NULL; it becomes the node's, or is freed. */
static void take_place(struct hf_node *node, struct hf_node *parent, char *name)
{
    if (!name || node->parent || node->id == HF_TREE_ROOT) {
        free(name);
        return;
    }
    node->name = name;
    node->parent = parent;
    parent->refs++;
}

static struct hf_node *get(const struct stat *st, enum hf_node_kind kind, struct hf_node *parent, const char *backing, bool counted)
{
    pthread_mutex_lock(&table);
    struct hf_node *known = hash_find(st->st_ino), *node = known;
    char *name = parent && !(known && known->parent) ? strdup(backing) : NULL;
    if (!known && (name || !parent)) /* one whose place nobody knows would be of no use */
        node = node_new(st, kind);
    if (!node)
        free(name);
    if (node) {
        take_place(node, parent, name);
        if (counted)
            node->lookups++;
        else
            node->refs++;
    }
    if (node && !known)
        publish(node);
    pthread_mutex_unlock(&table);
    return node;
}

struct hf_node *hf_node_get(const struct stat *st, struct hf_node *parent, const char *backing, bool counted)
{
    enum hf_node_kind kind = kind_of(st);
    if (parent && kind == HF_NODE_FILE && (st->st_mode & 07777) == HF_LONG_LINK_MODE) {
        pthread_mutex_lock(&table);
        bool known = hash_find(st->st_ino) != NULL;
        pthread_mutex_unlock(&table);
        if (!known)
            kind = kind_in_header(parent, backing);
    }
    return get(st, kind, parent, backing, counted);
}

struct hf_node *hf_node_get_new(const struct stat *st, enum hf_node_kind kind, struct hf_node *parent, const char *backing)
{
    return get(st, kind, parent, backing, false);
}

struct hf_node *hf_node_find(ino_t ino)
{
    pthread_mutex_lock(&table);
    struct hf_node *node = hash_find(ino);
    if (node)
        node->refs++;
    pthread_mutex_unlock(&table);
    return node;
}

void hf_node_opened(struct hf_node *file)
{
    if (file->opens++ == 0)
        file->opened_s = (uint32_t)(hf_clock_ms() / 1000);
}

void hf_node_ref(struct hf_node *node)
{
    pthread_mutex_lock(&table);
    node->refs++;
    pthread_mutex_unlock(&table);
}

void hf_node_unref(struct hf_node *node)
{
    if (!node)
        return;
    pthread_mutex_lock(&table);
    HF_ASSERT(node->refs > 0);
    node->refs--;
    drop_if_unused(node);
}

void hf_node_lookup_add(struct hf_node *node)
{
    pthread_mutex_lock(&table);
    node->lookups++;
    pthread_mutex_unlock(&table);
}

bool hf_node_lookup_drop(struct hf_node *node, uint64_t count)
{
    pthread_mutex_lock(&table);
    node->lookups -= count < node->lookups ? count : node->lookups;
    if (node->id == HF_TREE_ROOT && node->lookups == 0)
        node->lookups = 1;
    bool gone = node->lookups == 0 && node->unlinked;
    drop_if_unused(node);
    return gone;
}

bool hf_node_in_kernel(struct hf_node *node)
{
    pthread_mutex_lock(&table);
    bool is = node->lookups > 0;
    pthread_mutex_unlock(&table);
    return is;
}

static void place(struct hf_node *node, struct hf_node *parent, char *name)
{
    pthread_mutex_lock(&table);
    struct hf_node *before = node->parent;
    free(node->name);
    node->name = name;
    node->parent = parent;
    if (parent)
        parent->refs++;
    if (before)
        before->refs--;
    if (before)
        drop_if_unused(before);
    else
        pthread_mutex_unlock(&table);
}

void hf_node_place(struct hf_node *node, struct hf_node *parent, const char *backing, char *room)
{
    size_t len = strlen(backing) + 1;
    memcpy(room, backing, len);
    char *fits = realloc(room, len);
    place(node, parent, fits ? fits : room);
}

void hf_node_unplace(struct hf_node *node)
{
    place(node, NULL, NULL);
}

void hf_node_unhash(struct hf_node *node)
{
    pthread_mutex_lock(&table);
    hash_out(node);
    node->unlinked = true;
    pthread_mutex_unlock(&table);
}

void hf_node_rehash(struct hf_node *node, ino_t ino)
{
    pthread_mutex_lock(&table);
    hash_out(node);
    node->ino = ino;
    node->unlinked = false;
    hash_in(node);
    pthread_mutex_unlock(&table);
}

void hf_node_each(void (*fn)(struct hf_node *node, void *arg), void *arg)
{
    pthread_mutex_lock(&table);
    uint32_t end = next_id;
    pthread_mutex_unlock(&table);
    for (uint32_t id = 1; id < end; id++) {
        pthread_mutex_lock(&table);
        struct hf_node *node = hf_node_of(id);
        if (node)
            node->refs++;
        pthread_mutex_unlock(&table);
        if (!node)
            continue;
        fn(node, arg);
        hf_node_unref(node);
    }
}

uint64_t hf_node_count(void)
{
    pthread_mutex_lock(&table);
    uint64_t count = node_count;
    pthread_mutex_unlock(&table);
    return count;
}

void hf_node_trim(void)
{
    enum { WORTH_IT = 8192 };
    pthread_mutex_lock(&table);
    bool many = freed >= WORTH_IT;
    if (many)
        freed = 0;
    pthread_mutex_unlock(&table);
    if (many)
        (void)malloc_trim(0);
}

int hf_node_open_fd(struct hf_node *node)
{
    struct stat st;
    if (node->fd >= 0)
        return 0;
    if (!node->parent)
        return -ESTALE;
    int dir = hf_dir_use_fd(node->parent);
    if (dir < 0)
        return dir;
    struct stat before;
    bool may_lend = geteuid() != 0 && hf_disk->fstatat(dir, node->name, &before) == 0;
    int fd = hf_open_lent(dir, node->name, O_RDWR);
    hf_dir_done(node->parent);
    if (fd < 0)
        return fd;
    int failed = hf_disk->fstat(fd, &st);
    if (!failed && st.st_ino != node->ino)
        failed = -EIO; /* somebody changed the vault's folder behind our back */
    if (failed) {
        (void)hf_disk->close(fd);
        return failed;
    }
    node->fd = fd;
    if (node->content)
        node->content->fd = fd;
    if (may_lend && hf_time_ns(&before.st_ctim) != hf_time_ns(&st.st_ctim) && !hf_fresh_frozen()) {
        hf_fresh_ctime(node, &before);
        hf_file_ctime_is(node, &before.st_ctim, &st.st_ctim);
        hf_dirty_again(node);
    }
    hf_node_idle(node); /* not every use ends with a release */
    return 0;
}

void hf_node_busy(struct hf_node *node)
{
    pthread_mutex_lock(&table);
    idle_out(node);
    pthread_mutex_unlock(&table);
}

/* What the next settle still needs of the content stays; it opens the file again. False: somebody uses it at this moment. */
static bool shut_file(struct hf_node *node)
{
    if (pthread_rwlock_trywrlock(&node->lock) != 0)
        return false;
    if (node->opens == 0 && node->parent && node->fd >= 0) {
        bool settled = node->content && !node->stale && !node->evidence && !hf_content_pending(node->content);
        if (settled)
            hf_fresh_note(node); /* asks the descriptor how many names there are */
        (void)hf_disk->close(node->fd);
        node->fd = -1;
        if (node->content)
            node->content->fd = -1;
        if (settled) {
            hf_content_free(&node->content);
            node->bound = false;
        }
    }
    pthread_rwlock_unlock(&node->lock);
    return true;
}

static bool shut_dir(struct hf_node *node)
{
    if (pthread_mutex_trylock(&node->dir.lock) != 0)
        return false;
    if (node->dir.users == 0 && node->parent) {
        hf_stream_free(&node->dir.stream);
        if (node->fd >= 0)
            (void)hf_disk->close(node->fd);
        node->fd = -1;
    }
    pthread_mutex_unlock(&node->dir.lock);
    return true;
}

/* table held. */
static void idle_in(struct hf_node *node)
{
    node->idle_next = idle_newest;
    if (idle_newest)
        idle_newest->idle_prev = node;
    idle_newest = node;
    if (!idle_oldest)
        idle_oldest = node;
    node->idle = true;
    idle_count++;
}

/* What is open or in use leaves the list until its next use ends. */
void hf_node_idle(struct hf_node *node)
{
    struct hf_node *victim = NULL;
    if (node->id == HF_TREE_ROOT)
        return;
    pthread_mutex_lock(&table);
    idle_out(node);
    idle_in(node);
    if (idle_count > idle_max) {
        victim = idle_oldest;
        idle_out(victim);
        victim->refs++;
    }
    pthread_mutex_unlock(&table);
    if (!victim)
        return;
    if (!(victim->kind == HF_NODE_DIR ? shut_dir(victim) : shut_file(victim))) {
        pthread_mutex_lock(&table);
        if (!victim->idle)
            idle_in(victim);
        pthread_mutex_unlock(&table);
    }
    hf_node_unref(victim);
}
