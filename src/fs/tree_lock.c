/* Start, lock, unlock, death: what is done to all nodes at once. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/closing.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/scan.h"
#include "fs/settle.h"
#include "fs/spool.h"
#include "fs/sync.h"
#include "fs/treepart.h"
#include "fs/worker.h"
#include "keys/wipe.h"
#include "os/clock.h"
#include "os/disk.h"
#include "os/file.h"
#include "proto/keys.h"

const struct hf_tree_kernel *hf_kernel;

/* A vault whose head was never opened has no root record yet. */
static enum hf_result make_root_record(struct hf_node *root, struct hf_error *error)
{
    struct hf_dir_record record;
    struct stat st;
    int failed = hf_disk->fstat(root->fd, &st);
    if (!failed && hf_fresh && hf_disk->fstatat(root->fd, ".hf", &st) == -ENOENT && hf_dir_is_empty(root->fd) == 1) {
        if (!hf_keyring_has_name(HF_CLASS_AFTER_UNLOCK))
            return hf_fail(error, HF_LOCKED, "this vault was never open yet: open it with its passcode first");
        failed = hf_disk->fstat(root->fd, &st);
        if (!failed)
            failed = hf_dir_record_make(NULL, root->fd, HF_CLASS_AFTER_UNLOCK, "", &st, NULL, &record, root->dir.digest);
        if (!failed)
            failed = hf_sync_whole(root->fd);
    }
    return failed ? hf_fail(error, hf_result_from_errno(-failed), "the vault's root record cannot be made: %s", strerror(-failed)) : HF_OK;
}

enum hf_result hf_tree_start(int root_fd, void *nodes, const struct hf_tree_kernel *kernel, bool no_freshness, struct hf_error *error)
{
    uint8_t tips[2 * HF_INDEX_TIP_LEN];
    hf_kernel = kernel;
    HF_TRY(hf_node_start(root_fd, nodes));
    uint8_t age = HF_HEAD_NEWEST;
    HF_TRY(hf_settle_start(tips, &age, error));
    HF_TRY(hf_fresh_start(root_fd, tips, age, no_freshness, error));
    struct hf_node *root = hf_node_of(HF_TREE_ROOT);
    HF_TRY(make_root_record(root, error));
    pthread_rwlock_rdlock(&hf_ns);
    int fd = hf_dir_use(root);
    if (fd >= 0)
        hf_dir_done(root);
    pthread_rwlock_unlock(&hf_ns);
    if (fd < 0)
        return hf_fail(error, fd == -EIO ? HF_DAMAGED : hf_result_from_errno(-fd), "the vault's root record (.hf) is missing or not authentic");
    hf_spool_look();
    hf_scan();
    return HF_OK;
}

bool hf_tree_names_complete(void)
{
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++) {
        if (!hf_keyring_has_name(class))
            return false;
    }
    return true;
}

/* --- what of a node belongs to the classes --- */

struct sweep {
    uint32_t mask;
    bool drop;
    bool pending;
};

static bool of_mask(const struct sweep *sweep, unsigned class)
{
    return class != 0 && (sweep->mask & HF_CLASS_BIT(class)) != 0;
}

/* The name that the kernel knows; empty when its directory is not of the classes. */
static uint64_t name_in_mask(struct hf_node *node, const struct sweep *sweep, char plain[256])
{
    uint64_t parent = 0;
    plain[0] = '\0';
    pthread_rwlock_rdlock(&hf_ns);
    if (node->parent && of_mask(sweep, node->parent->class) && hf_node_plain(node, plain) == 0)
        parent = node->parent->id;
    pthread_rwlock_unlock(&hf_ns);
    return parent;
}

static void inval_one(struct hf_node *node, void *arg)
{
    struct sweep *sweep = arg;
    char plain[256];
    if (of_mask(sweep, node->class))
        hf_kernel->inval_node(node->id);
    if (hf_kernel->has_inval_all || sweep->drop)
        return;
    uint64_t parent = name_in_mask(node, sweep, plain);
    if (parent)
        hf_kernel->inval_entry(parent, plain);
    hf_wipe(plain, sizeof plain);
}

static void inval(struct sweep *sweep)
{
    if (hf_kernel->has_inval_all)
        hf_kernel->inval_all_entries();
    hf_node_each(inval_one, sweep);
}

static void is_pending(struct hf_node *node, void *arg)
{
    struct sweep *sweep = arg;
    pthread_rwlock_rdlock(&node->lock);
    if (of_mask(sweep, node->class) && node->content && hf_content_pending(node->content))
        sweep->pending = true;
    pthread_rwlock_unlock(&node->lock);
}

/* Nothing of the classes is pending then, but for what comes meanwhile. */
static int settle_all(struct sweep *sweep)
{
    int failed = 0;
    for (int round = 0; round < 4 && !failed; round++) {
        sweep->pending = false;
        hf_node_each(is_pending, sweep);
        if (round > 0 && !sweep->pending)
            break;
        failed = hf_tree_settle();
    }
    return failed;
}

int hf_tree_lock_drain(uint32_t mask)
{
    struct sweep sweep = {.mask = mask};
    inval(&sweep); /* the kernel writes back what mappings have dirtied */
    return settle_all(&sweep);
}

static void forget_one(struct hf_node *node, void *arg)
{
    struct sweep *sweep = arg;
    if (node->kind == HF_NODE_DIR)
        return;
    pthread_rwlock_wrlock(&node->lock);
    node->stored = false;
    bool kept = node->class == HF_CLASS_UNLESS_OPEN && node->opens > 0 && !(sweep->mask & HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK)); /* [UO-6] */
    if (node->content && of_mask(sweep, node->class) && !kept)
        hf_content_forget(node->content);
    pthread_rwlock_unlock(&node->lock);
}

/* [LK-9] What programs did since the drain is settled: their files' keys are about to go. */
void hf_tree_lock_refuse(uint32_t mask)
{
    struct sweep sweep = {.mask = mask};
    hf_keyring_closing(mask);
    hf_node_each(is_pending, &sweep);
    if (sweep.pending && settle_all(&sweep) != 0)
        (void)fprintf(stderr, "holdfast-fs: what was written in the last moments before the lock could not be made durable\n");
}

int hf_tree_lock_drop(uint32_t mask)
{
    struct sweep sweep = {.mask = mask, .drop = true};
    if (mask & HF_CLASS_BIT(HF_CLASS_ALWAYS)) /* erased by the duress passcode: nothing comes back */
        hf_keyring_drop_all();
    else
        hf_keyring_drop(mask);
    hf_node_each(forget_one, &sweep);
    if (mask & HF_CLASS_BIT(HF_CLASS_AFTER_UNLOCK) && hf_settle_and_forget() != 0) /* what came after the drain; the keys go all the same */
        (void)fprintf(stderr, "holdfast-fs: the last changes before the lock could not be made durable\n");
    bool confirmed = hf_worker_forget_all();
    inval(&sweep);
    return confirmed ? 0 : -EBUSY;
}

/* Classes whose keys went. */
static uint32_t locked_mask(void)
{
    uint32_t mask = 0;
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        mask |= hf_keyring_is_open(class) ? 0 : HF_CLASS_BIT(class);
    return mask;
}

static void inval_open(struct hf_node *node, void *arg)
{
    const struct sweep *sweep = arg;
    pthread_rwlock_rdlock(&node->lock);
    bool here = node->opens > 0 && of_mask(sweep, node->class);
    pthread_rwlock_unlock(&node->lock);
    if (here)
        hf_kernel->inval_node(node->id);
}

void hf_tree_lock_again(void)
{
    struct sweep sweep = {.mask = locked_mask()};
    hf_closing_evict();
    if (sweep.mask)
        hf_node_each(inval_open, &sweep);
}

/* With write-back: what the kernel still has of files that were open for writing. */
static void write_back(struct hf_node *node, void *arg)
{
    (void)arg;
    if (node->written)
        hf_kernel->inval_node(node->id);
}

void hf_tree_write_back(void)
{
    if (hf_kernel->writeback)
        hf_node_each(write_back, NULL);
}

int hf_tree_unlock(void)
{
    struct sweep all = {.mask = ~0u, .drop = true};
    enum hf_result result = hf_keyring_refresh();
    if (result == HF_OK)
        result = hf_fresh_unlock();
    if (result != HF_OK)
        return -hf_errno(result);
    hf_spool_look();
    hf_scan();
    if (hf_kernel->keys_are_back)
        hf_kernel->keys_are_back();
    if (hf_kernel->has_inval_all)
        hf_kernel->inval_all_entries();
    hf_node_each(inval_one, &all); /* attributes and directories as they were seen while locked */
    return 0;
}

void hf_tree_die(void)
{
    struct sweep all = {.mask = ~0u, .drop = true};
    atomic_store(&hf_dead, true);
    hf_keyring_drop_all();
    if (!hf_kernel) /* it came before the start: there is nothing else */
        return;
    hf_node_each(forget_one, &all);
    inval(&all); /* before the wait for threads, since our time is limited */
    (void)hf_worker_forget_all();
    inval(&all); /* what they answered meanwhile */
}

static void count_one(struct hf_node *node, void *arg)
{
    struct hf_tree_counts *counts = arg;
    pthread_rwlock_rdlock(&node->lock);
    counts->open += node->opens;
    if (node->class == HF_CLASS_UNLESS_OPEN && node->opens > 0) { /* [UO-7] */
        uint32_t age_s = (uint32_t)(hf_clock_ms() / 1000) - node->opened_s;
        counts->open_unless_open += node->opens;
        counts->oldest_s = age_s > counts->oldest_s ? age_s : counts->oldest_s;
    }
    pthread_rwlock_unlock(&node->lock);
}

void hf_tree_counts(struct hf_tree_counts *ret)
{
    memset(ret, 0, sizeof *ret);
    hf_node_each(count_one, ret);
    ret->nodes = hf_node_count();
    ret->dirty = hf_dirty_count();
    ret->freshness = (uint8_t)hf_fresh_state();
}
