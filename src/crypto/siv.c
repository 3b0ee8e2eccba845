#include "crypto/siv.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

#include "keys/wipe.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

/* libcrypto's SIV context takes one message a keying (S2V's state is not reset by a new init without a key: the second message fails), and
 * keying costs 2.7 us. So each thread keys `keyed` once a key and copies it for each message: 1.0 us (32-byte name, OpenSSL 3.0). */
struct siv_thread {
    EVP_CIPHER *algorithm;
    EVP_CIPHER_CTX *keyed;
    EVP_CIPHER_CTX *working;
    bool has_key;
    uint8_t key[HF_SIV_KEY_LEN];
};

static pthread_key_t thread_slot;
static pthread_once_t thread_slot_once = PTHREAD_ONCE_INIT;

static void siv_thread_free(void *p)
{
    struct siv_thread *siv = p;
    EVP_CIPHER_CTX_free(siv->keyed); /* wipes, as the next */
    EVP_CIPHER_CTX_free(siv->working);
    EVP_CIPHER_free(siv->algorithm);
    hf_secret_free(&siv); /* wipes */
}

static void make_thread_slot(void)
{
    HF_ASSERT(pthread_key_create(&thread_slot, siv_thread_free) == 0);
}

/* This thread's contexts, NULL when it has none yet. */
static struct siv_thread *find_thread(void)
{
    HF_ASSERT(pthread_once(&thread_slot_once, make_thread_slot) == 0);
    return pthread_getspecific(thread_slot);
}

static struct siv_thread *get_thread(void)
{
    struct siv_thread *siv = find_thread();
    if (siv)
        return siv;
    siv = hf_secret_alloc(sizeof *siv);
    if (!siv)
        return NULL;
    siv->algorithm = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
    siv->keyed = EVP_CIPHER_CTX_new();
    siv->working = EVP_CIPHER_CTX_new();
    if (!siv->algorithm || !siv->keyed || !siv->working || pthread_setspecific(thread_slot, siv) != 0) {
        siv_thread_free(siv);
        return NULL;
    }
    return siv;
}

void hf_siv_forget(void)
{
    struct siv_thread *siv = find_thread();
    if (!siv)
        return;
    HF_ASSERT(pthread_setspecific(thread_slot, NULL) == 0);
    siv_thread_free(siv);
}

static bool set_key(struct siv_thread *siv, const uint8_t key[HF_SIV_KEY_LEN])
{
    if (siv->has_key && hf_equal_ct(siv->key, key, HF_SIV_KEY_LEN))
        return true;
    siv->has_key = false;
    if (EVP_CipherInit_ex2(siv->keyed, siv->algorithm, key, NULL, 1, NULL) != 1)
        return false;
    memcpy(siv->key, key, HF_SIV_KEY_LEN);
    siv->has_key = true;
    return true;
}

/* A context for one message under key, its associated string taken in; NULL on failure. */
static EVP_CIPHER_CTX *begin(const uint8_t key[HF_SIV_KEY_LEN], int encrypt, struct hf_span aad, uint8_t *tag)
{
    int ignored = 0;
    /* Never empty: OpenSSL before 3.0.10 leaves an empty string out without a word (CVE-2023-2975). */
    HF_ASSERT(aad.len > 0 && aad.len <= INT_MAX);
    struct siv_thread *siv = get_thread();
    if (!siv || !set_key(siv, key) || EVP_CIPHER_CTX_copy(siv->working, siv->keyed) != 1)
        return NULL;
    if (!encrypt && (EVP_CipherInit_ex2(siv->working, NULL, NULL, NULL, 0, NULL) != 1 ||
                     EVP_CIPHER_CTX_ctrl(siv->working, EVP_CTRL_AEAD_SET_TAG, HF_SIV_TAG_LEN, tag) != 1))
        return NULL;
    if (EVP_CipherUpdate(siv->working, NULL, &ignored, aad.data, (int)aad.len) != 1)
        return NULL;
    return siv->working;
}

enum hf_result hf_siv_seal(const uint8_t key[HF_SIV_KEY_LEN], struct hf_span aad, struct hf_span plain, uint8_t *out)
{
    int ignored = 0;
    HF_ASSERT(plain.len > 0 && plain.len <= INT_MAX); /* libcrypto does nothing at all for an empty text, not even the tag */
    EVP_CIPHER_CTX *context = begin(key, 1, aad, NULL);
    if (!context)
        return HF_NO_MEMORY;
    if (EVP_CipherUpdate(context, out + HF_SIV_TAG_LEN, &ignored, plain.data, (int)plain.len) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, HF_SIV_TAG_LEN, out) != 1)
        return HF_NO_MEMORY; /* nothing else fails here */
    return HF_OK;
}

enum hf_result hf_siv_open(const uint8_t key[HF_SIV_KEY_LEN], struct hf_span aad, struct hf_span sealed, uint8_t *out)
{
    if (sealed.len <= HF_SIV_TAG_LEN || sealed.len > INT_MAX)
        return HF_DAMAGED;
    uint8_t tag[HF_SIV_TAG_LEN]; /* libcrypto takes a pointer to non-const */
    memcpy(tag, sealed.data, sizeof tag);
    EVP_CIPHER_CTX *context = begin(key, 0, aad, tag);
    if (!context)
        return HF_NO_MEMORY;
    size_t len = sealed.len - HF_SIV_TAG_LEN;
    uint8_t nothing[EVP_MAX_BLOCK_LENGTH]; /* no bytes come at the end */
    int written = 0;
    int rest = 0;
    if (EVP_CipherUpdate(context, out, &written, sealed.data + HF_SIV_TAG_LEN, (int)len) == 1 && (size_t)written == len &&
        EVP_CipherFinal_ex(context, nothing, &rest) == 1 && rest == 0)
        return HF_OK;
    hf_wipe(out, len);
    return HF_DAMAGED;
}
