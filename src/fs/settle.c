/* The settle: what is dirty becomes durable, the head says so, then what only bridged the time between goes.
 *
 * Order: the epoch is raised and the list taken (namespace stopped for that moment); when attributes changed, syncfs; headers whose names or attributes changed are written with the old epoch;
 * syncfs; the enclave advances the head; clipped pages and cut tails follow, evidence counts no more. Source: spec/35-crash.md [CR-1] [CR-6]. */
#include "fs/settle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/morenames.h"
#include "fs/scan.h"
#include "fs/sync.h"
#include "fs/treepart.h"
#include "format/head.h"
#include "os/clock.h"
#include "os/disk.h"

enum { SETTLE_MS = 30000, DIRTY_SOON = 8192, DIRTY_MANY = 16384, PACE_STEP_US = 2000, PACE_STEPS = 1000, LAST_ROUNDS = 4 };

atomic_bool hf_unclean;
bool hf_fresh;

static pthread_mutex_t settling = PTHREAD_MUTEX_INITIALIZER; /* one settle at a time */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_node *list;
static uint64_t list_len;
static struct hf_node *never_synced; /* holds what was never synced; what meanwhile was goes when somebody walks it */
static bool names_dirty; /* something changed that has no node on the list */
static uint64_t dirty_since_ms;
static atomic_bool attr_moved; /* a file's mode, owner or extended attributes: the settle has a barrier before the headers */

uint32_t hf_epoch_now(void)
{
    return hf_epoch;
}

void hf_dirty(struct hf_node *node)
{
    if (node)
        atomic_store_explicit(&node->ctime_moved, true, memory_order_relaxed);
    hf_dirty_again(node);
}

void hf_dirty_again(struct hf_node *node)
{
    pthread_mutex_lock(&list_lock);
    if (!list && !names_dirty)
        dirty_since_ms = hf_clock_ms();
    if (!node) {
        names_dirty = true;
    } else if (!node->dirty) {
        node->dirty = true;
        node->dirty_next = list;
        list = node;
        list_len++;
        hf_node_ref(node);
    }
    bool soon = node && list_len == DIRTY_SOON;
    pthread_mutex_unlock(&list_lock);
    if (soon && hf_kernel && hf_kernel->settle_now)
        hf_kernel->settle_now();
}

void hf_never_synced(struct hf_node *node)
{
    pthread_mutex_lock(&list_lock);
    node->unsynced = true;
    if (!node->unsynced_listed) {
        node->unsynced_listed = true;
        node->unsynced_next = never_synced;
        never_synced = node;
        hf_node_ref(node);
    }
    pthread_mutex_unlock(&list_lock);
}

/* list_lock held. */
static void drop_synced(void)
{
    for (struct hf_node **at = &never_synced, *node; (node = *at) != NULL;) {
        if (node->unsynced) {
            at = &node->unsynced_next;
            continue;
        }
        *at = node->unsynced_next;
        node->unsynced_listed = false;
        hf_node_unref(node);
    }
}

/* Bounded: a settle may itself wait for what a request brings (the kernel's write-back before a lock). */
void hf_settle_pace(void)
{
    for (int i = 0; i < PACE_STEPS && hf_dirty_count() >= DIRTY_MANY && !atomic_load(&hf_dead); i++)
        (void)usleep(PACE_STEP_US);
}

void hf_attr_moved(void)
{
    atomic_store(&attr_moved, true);
}

uint64_t hf_dirty_count(void)
{
    pthread_mutex_lock(&list_lock);
    uint64_t count = list_len;
    pthread_mutex_unlock(&list_lock);
    return count;
}

int hf_tree_settle_due_ms(void)
{
    pthread_mutex_lock(&list_lock);
    bool dirty = list || names_dirty, many = list_len >= DIRTY_SOON;
    uint64_t since = dirty_since_ms;
    pthread_mutex_unlock(&list_lock);
    if (!dirty || hf_sync_has_failed())
        return -1;
    if (many)
        return 0;
    uint64_t now = hf_clock_ms();
    return now - since >= SETTLE_MS ? 0 : (int)(SETTLE_MS - (now - since));
}

static int settle_dir(struct hf_node *dir)
{
    pthread_rwlock_wrlock(&hf_ns);
    int failed = hf_dir_record_late(dir);
    pthread_rwlock_unlock(&hf_ns);
    return failed;
}

/* The header on disk learns names and attributes. Without the file key (its class is locked) the metadata part alone is written: it needs none. */
static int write_header(struct hf_node *file, uint32_t epoch)
{
    struct hf_touch touch;
    pthread_rwlock_rdlock(&hf_ns);
    pthread_rwlock_wrlock(&file->lock);
    struct hf_content *content = file->content;
    bool work = content && !file->unlinked;
    int failed = work ? hf_node_open_fd(file) : 0;
    if (work && !failed) {
        bool unsealed = hf_content_unsealed(content);
        if (unsealed && file->stale)
            content->header_due = true;
        bool write = file->stale || content->header_due;
        if (write && !file->bound && hf_file_bind(file) == -EIO) { /* not authentic or not fresh: a new version from us would hide that */
            file->stale = write = false;
            content->header_due = false;
            unsealed = false;
        }
        failed = hf_file_touch_begin(file, true, &touch);
        if (!failed && content->attr_ahead && content->attr_epoch > epoch) /* it changed behind the first barrier */
            failed = hf_sync_whole(file->fd);
        if (!failed)
            hf_content_attr_is_durable(content);
        if (!failed && file->stale)
            failed = hf_more_store(file);
        if (!failed && unsealed)
            failed = -hf_errno(hf_content_before_settle(content, epoch));
        else if (!failed && write)
            failed = -hf_errno(hf_content_put_meta(content, epoch));
        if (!failed)
            failed = hf_file_touch_end(file, &touch, NULL);
        if (!failed && write)
            file->stale = false;
        if (!failed) {
            hf_fresh_settled(file);
            atomic_store_explicit(&file->ctime_moved, false, memory_order_relaxed);
        }
    }
    pthread_rwlock_unlock(&file->lock);
    pthread_rwlock_unlock(&hf_ns);
    if (work)
        hf_node_idle(file);
    return failed;
}

/* The content's share after the barrier; hf_ns and the node's lock held. Returns true when it needs another settle. */
static bool finish_content(struct hf_node *file)
{
    struct hf_touch touch;
    bool more = true, moved = false;
    struct hf_content *content = file->content;
    if (hf_node_open_fd(file) != 0 || hf_file_touch_begin(file, true, &touch) != 0)
        return true;
    /* A name that came after the take is in this header already, but not yet in the index: its evidence stays. */
    bool late = file->names_epoch > hf_settled;
    if (!file->stale && !late) {
        hf_slots_settled(file);
        hf_evidence_settled(file);
    }
    if (hf_content_after_settle(content, &more) != HF_OK)
        more = true;
    if (hf_file_touch_end(file, &touch, &moved) != 0 || moved) /* the index is to know */
        more = true;
    else if (more && !atomic_load_explicit(&file->ctime_moved, memory_order_relaxed))
        hf_file_ctime_is(file, &touch.shown, &touch.disk);
    return more || file->stale || late;
}

/* After the barrier. */
static bool finish(struct hf_node *file, bool head_moved)
{
    pthread_rwlock_rdlock(&hf_ns);
    pthread_rwlock_wrlock(&file->lock);
    bool work = file->content && !file->unlinked, more = work;
    if (head_moved)
        file->unsynced = false;
    if (work && head_moved)
        more = finish_content(file);
    bool idle = file->opens == 0;
    if (file->kind == HF_NODE_DIR)
        more = file->dir.due;
    pthread_rwlock_unlock(&file->lock);
    pthread_rwlock_unlock(&hf_ns);
    if (work && idle)
        hf_node_idle(file);
    return more;
}

/* A node can be put on the fresh list while it is still on the taken one: so the taken one is an array. */
struct taken {
    struct hf_node **nodes;
    size_t len;
};

/* *ret_failed: the index could not be taken; the nodes were, and the settle is to fail. */
static int take(struct taken *ret, uint32_t *ret_epoch, int *ret_failed)
{
    size_t cap = 0;
    pthread_mutex_lock(&list_lock);
    cap = (size_t)list_len + 1024;
    pthread_mutex_unlock(&list_lock);
    for (;;) {
        ret->nodes = calloc(cap, sizeof *ret->nodes);
        if (!ret->nodes)
            return -ENOMEM;
        pthread_rwlock_wrlock(&hf_ns);
        pthread_mutex_lock(&list_lock);
        if (list_len <= cap)
            break;
        cap = (size_t)list_len + 1024;
        pthread_mutex_unlock(&list_lock);
        pthread_rwlock_unlock(&hf_ns);
        free(ret->nodes);
    }
    ret->len = 0;
    int failed = hf_fresh_take();
    for (struct hf_node *node = list; node; node = node->dirty_next) {
        node->dirty = false;
        ret->nodes[ret->len++] = node;
    }
    list = NULL;
    list_len = 0;
    names_dirty = false;
    *ret_epoch = hf_epoch;
    hf_epoch = *ret_epoch + 1;
    pthread_mutex_unlock(&list_lock);
    pthread_rwlock_unlock(&hf_ns);
    *ret_failed = failed;
    return 0;
}

static int settle(void)
{
    struct taken taken;
    uint32_t epoch;
    int index_failed = 0;
    uint8_t tips[2 * HF_INDEX_TIP_LEN];
    int failed = take(&taken, &epoch, &index_failed);
    if (failed)
        return failed;
    /* [CR-6] A header vouches for a mode, an owner or attributes only when they are durable. */
    bool moved_attr = atomic_exchange(&attr_moved, false);
    int barrier = index_failed;
    if (!barrier && moved_attr)
        barrier = hf_sync_all(hf_node_of(HF_TREE_ROOT)->fd);
    failed = barrier;
    for (size_t i = 0; i < taken.len && !barrier; i++) {
        int one = taken.nodes[i]->kind == HF_NODE_DIR ? settle_dir(taken.nodes[i]) : write_header(taken.nodes[i], epoch);
        failed = failed ? failed : one;
    }
    if (!failed && !hf_unclean)
        failed = hf_fresh_append(); /* [FR-6] the same barrier makes it durable */
    if (!failed)
        failed = hf_sync_all(hf_node_of(HF_TREE_ROOT)->fd);
    if (failed && moved_attr)
        hf_attr_moved();
    /* Until every class was scanned after an unclean stop the window stays open. */
    bool advance = !failed && !hf_unclean;
    if (advance)
        failed = hf_fresh_rewrite(tips);
    if (advance && !failed)
        failed = -hf_errno(hf_keyring_head_settle(epoch, tips));
    bool moved = advance && !failed;
    hf_fresh_advanced(moved);
    if (moved)
        hf_settled = epoch;
    for (size_t i = 0; i < taken.len; i++) {
        if (finish(taken.nodes[i], moved))
            hf_dirty_again(taken.nodes[i]);
        hf_node_unref(taken.nodes[i]);
    }
    free(taken.nodes);
    pthread_mutex_lock(&list_lock);
    drop_synced();
    pthread_mutex_unlock(&list_lock);
    if (failed) /* [CR-16] names that changed without a node, and the index, are as unsettled as before */
        hf_dirty_again(NULL);
    return failed;
}

int hf_tree_settle(void)
{
    if (atomic_load(&hf_dead))
        return -EIO;
    pthread_mutex_lock(&settling);
    int failed = settle();
    pthread_mutex_unlock(&settling);
    hf_node_trim();
    return failed;
}

int hf_settle_and_forget(void)
{
    int failed = 0;
    pthread_mutex_lock(&settling);
    for (int round = 0;; round++) {
        pthread_rwlock_wrlock(&hf_ns);
        if (failed || round == LAST_ROUNDS || (hf_unclean && round > 0) || hf_tree_settle_due_ms() < 0)
            break; /* with the namespace held, so that nothing comes behind it */
        pthread_rwlock_unlock(&hf_ns);
        failed = settle();
    }
    hf_fresh_forget();
    hf_keyring_drop_meta();
    pthread_rwlock_unlock(&hf_ns);
    pthread_mutex_unlock(&settling);
    return failed;
}

struct children {
    struct hf_node *dir;
    struct hf_node **nodes;
    size_t len, cap;
};

/* A directory made in one that is synced: its record, without which its name says nothing, is its own. */
static int sync_dir(struct hf_node *dir)
{
    pthread_rwlock_rdlock(&hf_ns);
    int fd = dir->unlinked ? -ENOENT : hf_dir_use_fd(dir);
    pthread_rwlock_unlock(&hf_ns);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int failed = hf_sync_whole(fd);
    pthread_rwlock_wrlock(&dir->lock);
    dir->unsynced = dir->unsynced && failed;
    pthread_rwlock_unlock(&dir->lock);
    hf_dir_done(dir);
    return failed;
}

int hf_settle_children(struct hf_node *dir)
{
    struct children children = {.dir = dir};
    int failed = 0;
    pthread_rwlock_rdlock(&hf_ns);
    pthread_mutex_lock(&list_lock);
    drop_synced();
    for (struct hf_node *node = never_synced; node; node = node->unsynced_next)
        children.cap += node->parent == dir || node->linked;
    children.nodes = calloc(children.cap + 1, sizeof *children.nodes);
    for (struct hf_node *node = never_synced; node && children.len < children.cap && children.nodes; node = node->unsynced_next) {
        if (node->parent == dir || node->linked) {
            hf_node_ref(node);
            children.nodes[children.len++] = node;
        }
    }
    pthread_mutex_unlock(&list_lock);
    pthread_rwlock_unlock(&hf_ns);
    if (!children.nodes)
        return -ENOMEM;
    for (size_t i = 0; i < children.len; i++) {
        struct hf_node *node = children.nodes[i];
        if (node->kind == HF_NODE_DIR) {
            int one = failed ? failed : sync_dir(node);
            failed = failed ? failed : one;
            hf_node_unref(node);
            continue;
        }
        pthread_rwlock_rdlock(&hf_ns);
        pthread_rwlock_wrlock(&node->lock);
        if (!failed && !node->unlinked)
            failed = hf_node_open_fd(node);
        pthread_rwlock_unlock(&hf_ns);
        if (!failed && !node->unlinked)
            failed = hf_sync_data(node->fd);
        node->unsynced = node->unsynced && failed;
        pthread_rwlock_unlock(&node->lock);
        hf_node_idle(node);
        hf_node_unref(node);
    }
    free(children.nodes);
    return failed;
}

/* --- start and end --- */

enum hf_result hf_settle_start(uint8_t ret_tips[2 * HF_INDEX_TIP_LEN], uint8_t *ret_age, struct hf_error *error)
{
    uint32_t settled = 0;
    uint8_t state = 0;
    hf_sync_begin();
    enum hf_result result = hf_keyring_head_open(&settled, &state, ret_tips, ret_age);
    if (result != HF_OK)
        return hf_fail(error, result, "the vault's head cannot be opened: %s", hf_result_text(result));
    hf_settled = settled;
    /* Of an unclean stop at most two epochs behind the settled one are on disk: this mount's lies above them. */
    hf_epoch = settled + (state == HF_HEAD_OPEN ? 3 : 1);
    hf_unclean = state == HF_HEAD_OPEN;
    hf_fresh = state == HF_HEAD_FRESH || settled == 0; /* no mount came to its first settle: the first one may have ended before the root record was there */
    return HF_OK;
}

int hf_tree_close(void)
{
    int failed = hf_sync_has_failed() ? -EIO : 0; /* [CR-15] */
    /* A cut file needs two settles: its shorter header, then the cut. */
    for (int round = 0; round < 4 && !failed && hf_tree_settle_due_ms() >= 0; round++)
        failed = hf_tree_settle();
    if (failed || hf_unclean || hf_tree_settle_due_ms() >= 0)
        return failed; /* the head stays open: the next mount looks after what is left */
    return -hf_errno(hf_keyring_head_close(hf_epoch));
}
