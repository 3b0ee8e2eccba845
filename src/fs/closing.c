#include "fs/closing.h"

#include <stdio.h>
#include <string.h>

#include "format/class.h"
#include "fs/content.h"
#include "fs/keyring.h"
#include "fs/treepart.h"
#include "fs/worker.h"

enum { ROUNDS = 4 /* a cut file needs two settles, and a third for what came meanwhile */ };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_node *list;

void hf_closing_note(struct hf_node *file)
{
    if (file->class != HF_CLASS_UNLESS_OPEN || hf_keyring_is_open(HF_CLASS_UNLESS_OPEN))
        return;
    pthread_rwlock_rdlock(&file->lock);
    bool closed = file->opens == 0 && file->content && hf_content_unsealed(file->content);
    pthread_rwlock_unlock(&file->lock);
    if (!closed)
        return;
    pthread_mutex_lock(&lock);
    if (!file->closing) {
        file->closing = true;
        file->closing_next = list;
        list = file;
        hf_node_ref(file);
    }
    pthread_mutex_unlock(&lock);
    if (hf_kernel->lock_again)
        hf_kernel->lock_again();
}

static bool any_pending(struct hf_node *nodes)
{
    bool pending = false;
    for (struct hf_node *node = nodes; node; node = node->closing_next) {
        pthread_rwlock_rdlock(&node->lock);
        pending = pending || (node->opens == 0 && node->content && hf_content_pending(node->content));
        pthread_rwlock_unlock(&node->lock);
    }
    return pending;
}

/* False when an unlock came meanwhile: nothing is to be forgotten. */
static bool forget(struct hf_node *node)
{
    pthread_rwlock_wrlock(&node->lock);
    bool closed = node->opens == 0 && node->content && !hf_keyring_is_open(HF_CLASS_UNLESS_OPEN);
    if (closed) {
        node->stored = false;
        hf_content_forget(node->content);
    }
    pthread_rwlock_unlock(&node->lock);
    if (closed && node->lookups > 0)
        hf_kernel->inval_node(node->id);
    return closed;
}

void hf_closing_evict(void)
{
    int failed = 0;
    bool forgotten = false;
    pthread_mutex_lock(&lock);
    struct hf_node *taken = list;
    list = NULL;
    pthread_mutex_unlock(&lock);
    for (int round = 0; round < ROUNDS && taken && !failed && (round == 0 || any_pending(taken)); round++)
        failed = hf_tree_settle();
    if (failed)
        (void)fprintf(stderr, "holdfast-fs: a file that was closed while locked could not be made durable: %s\n", strerror(-failed));
    while (taken) {
        struct hf_node *node = taken;
        pthread_mutex_lock(&lock); /* its place in the list may be needed again from now on */
        taken = node->closing_next;
        node->closing = false;
        pthread_mutex_unlock(&lock);
        forgotten |= forget(node);
        hf_node_unref(node);
    }
    if (forgotten && !hf_worker_forget_all()) /* what passed through the buffers of the threads that serve */
        (void)fprintf(stderr, "holdfast-fs: a request did not end: what it holds of closed files stays until it does\n");
}
