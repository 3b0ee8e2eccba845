/* tests/fs/fake_life.c: the tree in memory as a whole: settle, lock, death, check. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fake_tree.h"
#include "os/clock.h"

atomic_bool stop;
static atomic_uint settles;

int hf_tree_settle(void)
{
    pthread_mutex_lock(&lock);
    dirty_since_ms = 0;
    struct name *changed = *find(get(HF_TREE_ROOT), "changed");
    struct name *gone = *find(get(HF_TREE_ROOT), "gone");
    uint64_t id = changed ? changed->id : 0;
    bool removed = gone != NULL;
    if (id)
        memset(get(id)->data, 'c' ^ VEIL, (size_t)get(id)->attr.st_size);
    if (removed)
        remove_name(get(HF_TREE_ROOT), "gone");
    pthread_mutex_unlock(&lock);
    if (id)
        kernel->inval_node(id);
    if (removed)
        kernel->inval_entry(HF_TREE_ROOT, "gone");
    settles++;
    return refuse() == -EIO ? -EIO : 0;
}

int hf_tree_settle_due_ms(void)
{
    pthread_mutex_lock(&lock);
    uint64_t since = dirty_since_ms;
    pthread_mutex_unlock(&lock);
    uint64_t age = hf_clock_ms() - since;
    return since == 0 ? -1 : age >= DUE_MS ? 0 : (int)(DUE_MS - age);
}

static void invalidate_all(void)
{
    for (uint64_t id = HF_TREE_ROOT; id < node_count; id++)
        kernel->inval_node(id);
    kernel->inval_all_entries();
}

bool hf_tree_arrivals_due(void)
{
    return false;
}

int hf_tree_take_in(void)
{
    return 0;
}

int hf_tree_lock_drain(uint32_t mask)
{
    (void)mask;
    invalidate_all();
    return hf_tree_settle();
}

void hf_tree_lock_refuse(uint32_t mask)
{
    (void)mask;
}

int hf_tree_lock_drop(uint32_t mask)
{
    (void)mask;
    pthread_mutex_lock(&lock);
    locked = true;
    pthread_mutex_unlock(&lock);
    invalidate_all();
    return 0;
}

int hf_tree_unlock(void)
{
    pthread_mutex_lock(&lock);
    locked = false;
    pthread_mutex_unlock(&lock);
    return 0;
}

int hf_tree_close(void)
{
    int status = hf_tree_settle();
    pthread_mutex_lock(&lock);
    dead = true;
    pthread_mutex_unlock(&lock);
    return status;
}

void hf_tree_die(void)
{
    pthread_mutex_lock(&lock);
    dead = true;
    pthread_mutex_unlock(&lock);
    if (kernel)
        invalidate_all();
}

void hf_tree_counts(struct hf_tree_counts *ret)
{
    *ret = (struct hf_tree_counts){.open_unless_open = settles, .dirty = lookups};
    for (uint64_t id = HF_TREE_ROOT; id < node_count; id++) {
        ret->open += (uint32_t)nodes[id]->opens;
        ret->nodes += nodes[id]->lookups > 0;
    }
}

void hf_tree_stop(void)
{
    stop = true;
}

int hf_tree_rotate(unsigned class, void (*progress)(void *arg, uint64_t done, const char *what), void *arg, uint64_t *ret_files)
{
    for (uint64_t i = 1; i <= 3; i++)
        progress(arg, i, "a file");
    *ret_files = 3 + class;
    return 0;
}

int hf_tree_check(void (*finding)(void *arg, const char *path, const char *what), void *arg, uint64_t *ret_objects, uint64_t *ret_findings)
{
    stop = false;
    pthread_mutex_lock(&lock);
    bool damaged = *find(get(HF_TREE_ROOT), "damaged"), endless = *find(get(HF_TREE_ROOT), "endless");
    pthread_mutex_unlock(&lock);
    if (damaged)
        finding(arg, "/damaged", "not authentic");
    while (endless && !stop)
        (void)usleep(1000);
    if (endless)
        return -EINTR;
    *ret_objects = 7;
    *ret_findings = damaged;
    return 0;
}
