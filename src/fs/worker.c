#include "fs/worker.h"

#include <signal.h>
#include <stdlib.h>

#include "crypto/siv.h"
#include "keys/wipe.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_worker *list;
static _Thread_local struct hf_worker *mine;

struct hf_worker *hf_worker(void)
{
    if (mine)
        return mine;
    struct hf_worker *worker = calloc(1, sizeof *worker);
    HF_ASSERT(worker != NULL);
    worker->thread = pthread_self();
    worker->run = malloc((size_t)HF_RUN_PAGES * HF_PAGE_LEN);
    worker->plain = malloc(HF_MAX_IO + HF_PAGE_LEN);
    HF_ASSERT(worker->run && worker->plain);
    HF_ASSERT(hf_page_cipher_new(&worker->cipher) == HF_OK);
    pthread_mutex_lock(&list_lock);
    worker->next = list;
    list = worker;
    pthread_mutex_unlock(&list_lock);
    mine = worker;
    return worker;
}

void hf_worker_between(void)
{
    struct hf_worker *worker = hf_worker();
    if (!__atomic_exchange_n(&worker->forget, false, __ATOMIC_ACQ_REL))
        return;
    hf_page_cipher_forget(worker->cipher);
    hf_siv_forget();
    if (worker->plain != NULL) /* a worker whose allocation failed half-way */
        hf_wipe(worker->plain, HF_MAX_IO + HF_PAGE_LEN);
    hf_wipe(worker->page, sizeof worker->page);
}

void hf_worker_forget_all(void)
{
    pthread_mutex_lock(&list_lock);
    for (struct hf_worker *worker = list; worker; worker = worker->next) {
        __atomic_store_n(&worker->forget, true, __ATOMIC_RELEASE);
        if (!pthread_equal(worker->thread, pthread_self()))
            (void)pthread_kill(worker->thread, SIGUSR1);
    }
    pthread_mutex_unlock(&list_lock);
    hf_worker_between();
}
