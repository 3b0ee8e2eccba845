/* fs/worker.h: what each serving thread has of its own: a page cipher and a buffer for runs of sealed pages. */
#ifndef HF_FS_WORKER_H
#define HF_FS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/pagecipher.h"
#include "format/content.h"

#define HF_MAX_IO (1u << 20)
#define HF_RUN_PAGES (HF_MAX_IO / HF_PAGE_DATA_LEN + 2)

/* A thread that uses a worker has this much stack; it is wiped with the rest. */
#define HF_WORKER_STACK_WIPED ((size_t)448 * 1024u)
#ifdef __SANITIZE_THREAD__
#define HF_WORKER_STACK ((size_t)2048 * 1024u) /* what ThreadSanitizer keeps of a thread lies there too */
#else
#define HF_WORKER_STACK (HF_WORKER_STACK_WIPED + (size_t)64 * 1024)
#endif
#define HF_WORKER_NONCES 256u

struct hf_worker {
    struct hf_worker *next;
    pthread_t thread;
    struct hf_page_cipher *cipher;
    uint8_t *run;   /* HF_RUN_PAGES pages, sealed */
    uint8_t *plain; /* HF_MAX_IO and a page: what a read answers */
    uint8_t page[HF_PAGE_LEN];
    uint8_t *request; /* the serving loop's buffer (what a write brings), wiped with the rest; NULL: none */
    size_t request_len;
    uint8_t nonces[HF_WORKER_NONCES * HF_GCM_NONCE_LEN]; /* drawn in batches: one getrandom costs as much as sealing a page */
    unsigned nonce_count;
    bool forget; /* atomic: wipe caches before the next request */
};

/* Once, after hf_secret_open and before anything of libcrypto: key schedules lie in the secret arena from then on. */
HF_MUST_USE enum hf_result hf_worker_start(void);
/* This thread's, made at first use; aborts without memory. */
struct hf_worker *hf_worker(void);
/* A fresh random nonce. */
void hf_worker_nonce(struct hf_worker *worker, uint8_t out[HF_GCM_NONCE_LEN]);
/* Wipes this thread's plaintext and key schedules when asked to. Call between requests. */
void hf_worker_between(void);
/* Asks every thread and waits until each has come to hf_worker_between, for two seconds; false: one did not. Those that wait in a read are
 * woken by SIGUSR1 (a handler that does nothing, without SA_RESTART, must be there). Hold no lock that a request may wait for. */
bool hf_worker_forget_all(void);
/* Wipes and frees this thread's; call before a thread that used hf_worker ends. */
void hf_worker_end(void);

#endif
