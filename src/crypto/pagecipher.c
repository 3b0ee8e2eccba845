#include "crypto/pagecipher.h"

#include <limits.h>
#include <openssl/evp.h>

#include "keys/wipe.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

/* A keyed context serves any number of pages in both directions: setting the nonce alone restarts GCM. */
struct hf_page_cipher {
    EVP_CIPHER *algorithm;
    EVP_CIPHER_CTX *context;
    bool keyed;
    struct hf_page_key key;
};

enum hf_result hf_page_cipher_new(struct hf_page_cipher **ret)
{
    struct hf_page_cipher *cipher = hf_secret_alloc(sizeof *cipher);
    if (!cipher)
        return HF_NO_MEMORY;
    cipher->algorithm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    cipher->context = EVP_CIPHER_CTX_new();
    if (!cipher->algorithm || !cipher->context) {
        hf_page_cipher_free(&cipher);
        return HF_NO_MEMORY;
    }
    *ret = cipher;
    return HF_OK;
}

void hf_page_cipher_free(struct hf_page_cipher **cipher)
{
    if (!*cipher)
        return;
    EVP_CIPHER_CTX_free((*cipher)->context); /* wipes */
    EVP_CIPHER_free((*cipher)->algorithm);
    hf_secret_free(cipher); /* wipes */
}

void hf_page_cipher_forget(struct hf_page_cipher *cipher)
{
    cipher->keyed = false;
    hf_page_key_wipe(&cipher->key);
    (void)EVP_CIPHER_CTX_reset(cipher->context); /* gives the schedule back through OPENSSL_clear_free */
}

enum hf_result hf_page_cipher_key(struct hf_page_cipher *cipher, const struct hf_page_key *key)
{
    if (cipher->keyed && hf_equal_ct(cipher->key.bytes, key->bytes, HF_PAGE_KEY_LEN))
        return HF_OK;
    cipher->keyed = false;
    if (EVP_CipherInit_ex2(cipher->context, cipher->algorithm, key->bytes, NULL, 1, NULL) != 1) {
        hf_page_cipher_forget(cipher);
        return HF_FAILED;
    }
    cipher->key = *key;
    cipher->keyed = true;
    return HF_OK;
}

/* Nonce and AAD of the next message. */
static bool begin(struct hf_page_cipher *cipher, int encrypt, const uint8_t *nonce, struct hf_span aad)
{
    int ignored = 0;
    HF_ASSERT(cipher->keyed && aad.len <= INT_MAX);
    return EVP_CipherInit_ex2(cipher->context, NULL, NULL, nonce, encrypt, NULL) == 1 &&
           (aad.len == 0 || EVP_CipherUpdate(cipher->context, NULL, &ignored, aad.data, (int)aad.len) == 1);
}

/* Encrypts or decrypts all of it in one piece. */
static bool update(struct hf_page_cipher *cipher, struct hf_span in, uint8_t *out)
{
    int len = 0;
    HF_ASSERT(in.len <= INT_MAX);
    return in.len == 0 || (EVP_CipherUpdate(cipher->context, out, &len, in.data, (int)in.len) == 1 && (size_t)len == in.len);
}

static bool finish(struct hf_page_cipher *cipher)
{
    uint8_t nothing[EVP_MAX_BLOCK_LENGTH]; /* GCM is a stream: no bytes come here */
    int len = 0;
    return EVP_CipherFinal_ex(cipher->context, nothing, &len) == 1 && len == 0;
}

enum hf_result hf_page_cipher_seal(struct hf_page_cipher *cipher, const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_span aad,
                                   struct hf_span plain, uint8_t *out, uint8_t ret_tag[HF_GCM_TAG_LEN])
{
    if (!begin(cipher, 1, nonce, aad) || !update(cipher, plain, out) || !finish(cipher))
        return HF_FAILED;
    if (EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_GET_TAG, HF_GCM_TAG_LEN, ret_tag) != 1)
        return HF_FAILED;
    return HF_OK;
}

enum hf_result hf_page_cipher_open(struct hf_page_cipher *cipher, const uint8_t nonce[HF_GCM_NONCE_LEN], struct hf_span aad,
                                   struct hf_span sealed, const uint8_t tag[HF_GCM_TAG_LEN], uint8_t *out)
{
    uint8_t expected[HF_GCM_TAG_LEN]; /* libcrypto takes a pointer to non-const */
    memcpy(expected, tag, sizeof expected);
    if (begin(cipher, 0, nonce, aad) && EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_TAG, sizeof expected, expected) == 1 &&
        update(cipher, sealed, out) && finish(cipher))
        return HF_OK;
    hf_wipe(out, sealed.len);
    return HF_DAMAGED;
}
