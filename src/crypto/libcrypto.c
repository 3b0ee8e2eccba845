#include "crypto/libcrypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

static atomic_bool guarded;

/* No way out to ordinary memory when the arena is full: libcrypto reports the failure. */
static void *take(size_t len, const char *file, int line)
{
    (void)file, (void)line;
    if (len == 0)
        return NULL;
    return atomic_load(&guarded) ? hf_secret_alloc(len) : malloc(len);
}

static void give_back(void *p, const char *file, int line)
{
    (void)file, (void)line;
    if (hf_secret_owns(p, NULL))
        hf_secret_free(&p); /* wipes */
    else
        free(p);
}

static void *resize(void *p, size_t len, const char *file, int line)
{
    size_t old = 0;
    if (!p)
        return take(len, file, line);
    if (!hf_secret_owns(p, &old))
        return realloc(p, len);
    void *fresh = len > 0 ? hf_secret_alloc(len) : NULL;
    if (!fresh && len > 0)
        return NULL;
    if (fresh)
        memcpy(fresh, p, old < len ? old : len);
    hf_secret_free(&p);
    return fresh;
}

enum hf_result hf_libcrypto_start(void)
{
    if (CRYPTO_set_mem_functions(take, resize, give_back) != 1)
        return HF_FAILED;
    /* Nothing is taken down at exit: a thread that watches for death may be at work then. The memory goes with the process. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return HF_FAILED;
    /* Loads the provider and both ciphers. */
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL), *siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
    bool there = gcm && siv;
    EVP_CIPHER_free(gcm);
    EVP_CIPHER_free(siv);
    return there ? HF_OK : HF_FAILED;
}

void hf_libcrypto_guard(void)
{
    atomic_store(&guarded, true);
}
