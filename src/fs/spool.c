#include "fs/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>

#include "fs/allnames.h"
#include "fs/dirs.h"
#include "fs/files.h"
#include "fs/keyring.h"
#include "fs/rekey.h"
#include "fs/settle.h"
#include "fs/treepart.h"
#include "fs/sync.h"
#include "os/disk.h"

static const char marker[] = ".holdfast/arrived";
static atomic_bool noted, due;

static int root_fd(void)
{
    return hf_node_of(HF_TREE_ROOT)->fd;
}

int hf_spool_note(void)
{
    if (atomic_load_explicit(&noted, memory_order_relaxed))
        return 0;
    int fd = hf_disk->openat(root_fd(), marker, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    int failed = hf_sync_whole(fd);
    (void)hf_disk->close(fd);
    if (!failed)
        atomic_store(&noted, true);
    return failed;
}

void hf_spool_look(void)
{
    struct stat st;
    atomic_store(&due, hf_unclean || hf_disk->fstatat(root_fd(), marker, &st) == 0);
}

bool hf_tree_arrivals_due(void)
{
    return atomic_load_explicit(&due, memory_order_relaxed) && hf_keyring_is_open(HF_CLASS_UNLESS_OPEN);
}

bool hf_spool_has(const struct hf_node *file)
{
    return file->content && file->content->header.class_generation & HF_GENERATION_SPOOL;
}

/* [UO-9] [UO-10] hf_ns held exclusively. Wrapped under the newest pair and authenticated under the class's own key from now on; that it is unverified stays in its header. */
static int take_in(struct hf_node *file)
{
    struct hf_all_names all;
    int failed = hf_all_names(file, &all);
    pthread_rwlock_wrlock(&file->lock);
    if (!failed)
        failed = hf_file_ready(file);
    if (!failed) {
        hf_dirty(file);
        failed = hf_file_rewrap(file, HF_CLASS_UNLESS_OPEN, &all);
    }
    pthread_rwlock_unlock(&file->lock);
    hf_all_names_free(&all);
    return failed;
}

int hf_spool_take(struct hf_node *file)
{
    pthread_rwlock_wrlock(&hf_ns);
    pthread_rwlock_wrlock(&file->lock);
    int failed = file->kind == HF_NODE_FILE ? hf_file_bind(file) : 0;
    bool has = !failed && hf_spool_has(file);
    pthread_rwlock_unlock(&file->lock);
    int taken = failed;
    if (has) {
        failed = take_in(file);
        taken = failed ? failed : 1;
    }
    pthread_rwlock_unlock(&hf_ns);
    hf_node_idle(file);
    return taken;
}

void hf_spool_done(uint64_t left)
{
    atomic_store(&due, false);
    if (left > 0) {
        (void)fprintf(stderr, "holdfast-fs: %llu files that came before the first unlock could not be taken in: `holdfast check` names what is wrong\n", (unsigned long long)left);
        return;
    }
    int failed = hf_tree_settle();
    if (!failed)
        failed = hf_disk->unlinkat(root_fd(), marker, 0);
    if (!failed || failed == -ENOENT)
        atomic_store(&noted, false);
}
