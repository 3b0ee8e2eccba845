#include "fs/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/libcrypto.h"
#include "crypto/siv.h"
#include "keys/wipe.h"
#include "os/random.h"
#include "os/registers.h"

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hf_worker *list;
static _Thread_local struct hf_worker *mine;

enum hf_result hf_worker_start(void)
{
    uint8_t key[HF_SIV_KEY_LEN] = {1}, text[1] = {1}, out[1 + HF_SIV_TAG_LEN];
    HF_TRY(hf_libcrypto_start());
    /* One of each: what libcrypto loads at first use is no secret and would fill the arena. */
    struct hf_page_cipher *cipher = NULL;
    HF_TRY(hf_page_cipher_new(&cipher));
    enum hf_result result = hf_page_cipher_key(cipher, &(struct hf_page_key){{1}});
    hf_page_cipher_free(&cipher);
    if (result == HF_OK)
        result = hf_siv_seal(key, HF_SPAN_OF(key), HF_SPAN_OF(text), out);
    hf_siv_forget();
    hf_libcrypto_guard();
    return result;
}

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

void hf_worker_nonce(struct hf_worker *worker, uint8_t out[HF_GCM_NONCE_LEN])
{
    if (worker->nonce_count == 0) {
        hf_random(worker->nonces, sizeof worker->nonces);
        worker->nonce_count = HF_WORKER_NONCES;
    }
    memcpy(out, worker->nonces + (size_t)--worker->nonce_count * HF_GCM_NONCE_LEN, HF_GCM_NONCE_LEN);
}

/* What earlier calls left below: names, pages, vector registers that a signal saved there. */
static __attribute__((noinline)) void wipe_stack(size_t len)
{
    uint8_t below[16 * 1024];
    hf_registers_wipe(); /* first: another signal may come */
    hf_wipe(below, sizeof below);
    if (len > sizeof below)
        wipe_stack(len - sizeof below);
    __asm__ volatile("" ::"r"(below) : "memory"); /* no tail call: each turn lies below the last */
}

static void wipe(struct hf_worker *worker)
{
    hf_page_cipher_forget(worker->cipher);
    hf_siv_forget();
    if (worker->plain) /* always; a sanitized build's gcc cannot see it */
        hf_wipe(worker->plain, HF_MAX_IO + HF_PAGE_LEN);
    hf_wipe(worker->page, sizeof worker->page);
    hf_wipe(worker->nonces, sizeof worker->nonces);
    worker->nonce_count = 0;
    if (worker->request)
        hf_wipe(worker->request, worker->request_len);
    wipe_stack(HF_WORKER_STACK_WIPED);
}

void hf_worker_between(void)
{
    struct hf_worker *worker = hf_worker();
    if (!__atomic_load_n(&worker->forget, __ATOMIC_ACQUIRE))
        return;
    wipe(worker);
    __atomic_store_n(&worker->forget, false, __ATOMIC_RELEASE); /* after: it is the confirmation */
}

/* Those that have not answered yet get (another) signal: one that was about to wait in a read misses the first. */
static unsigned nudge(bool ask)
{
    unsigned left = 0;
    pthread_mutex_lock(&list_lock);
    for (struct hf_worker *worker = list; worker; worker = worker->next) {
        if (worker == mine)
            continue;
        if (ask)
            __atomic_store_n(&worker->forget, true, __ATOMIC_RELEASE);
        if (!__atomic_load_n(&worker->forget, __ATOMIC_ACQUIRE))
            continue;
        (void)pthread_kill(worker->thread, SIGUSR1);
        left++;
    }
    pthread_mutex_unlock(&list_lock);
    return left;
}

bool hf_worker_forget_all(void)
{
    enum { STEP_US = 500, STEPS = 4000 };
    wipe(hf_worker());
    unsigned left = nudge(true);
    for (int i = 0; left > 0 && i < STEPS; i++) {
        (void)usleep(STEP_US);
        left = nudge(false);
    }
    return left == 0;
}

void hf_worker_end(void)
{
    struct hf_worker *worker = mine;
    if (!worker)
        return;
    pthread_mutex_lock(&list_lock);
    for (struct hf_worker **at = &list; *at; at = &(*at)->next) {
        if (*at == worker) {
            *at = worker->next;
            break;
        }
    }
    pthread_mutex_unlock(&list_lock);
    mine = NULL;
    wipe(worker);
    hf_page_cipher_free(&worker->cipher);
    free(worker->run);
    free(worker->plain);
    free(worker);
}
