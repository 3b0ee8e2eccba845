#include "element/tpm2_credential.h"

#include <string.h>

#include <openssl/rsa.h>
#include <sodium.h>

#include "keys/wipe.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { SEED_LEN = 32, AES_LEN = 16, HMAC_LEN = 32, IDENTITY_LEN = 2 + HF_CREDENTIAL_LEN };

/* KDFa with SHA-256 and at most 256 bits: one round. The label's terminating NUL counts. */
static void kdfa(const uint8_t seed[SEED_LEN], const char *label, const uint8_t *context, size_t context_len, uint8_t *out, size_t len)
{
    crypto_auth_hmacsha256_state state;
    const uint8_t round[4] = {0, 0, 0, 1}, bits[4] = {0, 0, (uint8_t)(len * 8 >> 8), (uint8_t)(len * 8)};
    uint8_t whole[HMAC_LEN];
    (void)crypto_auth_hmacsha256_init(&state, seed, SEED_LEN);
    (void)crypto_auth_hmacsha256_update(&state, round, sizeof round);
    (void)crypto_auth_hmacsha256_update(&state, (const uint8_t *)label, strlen(label) + 1);
    (void)crypto_auth_hmacsha256_update(&state, context, context_len);
    (void)crypto_auth_hmacsha256_update(&state, bits, sizeof bits);
    (void)crypto_auth_hmacsha256_final(&state, whole);
    memcpy(out, whole, len);
    hf_wipe(whole, sizeof whole);
}

static bool encrypt_seed(EVP_PKEY *ek, const uint8_t seed[SEED_LEN], TPM2B_ENCRYPTED_SECRET *ret)
{
    static const char label[] = "IDENTITY"; /* its NUL counts */
    unsigned char *owned = OPENSSL_memdup(label, sizeof label);
    size_t len = sizeof ret->secret;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(ek, NULL);
    bool good = owned && context && EVP_PKEY_encrypt_init(context) == 1 && EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(context, EVP_sha256()) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) == 1;
    if (good && EVP_PKEY_CTX_set0_rsa_oaep_label(context, owned, sizeof label) == 1)
        owned = NULL; /* the context's now */
    else
        good = false;
    good = good && EVP_PKEY_encrypt(context, ret->secret, &len, seed, SEED_LEN) == 1;
    ret->size = (uint16_t)len;
    OPENSSL_free(owned);
    EVP_PKEY_CTX_free(context);
    return good;
}

static bool encrypt_identity(const uint8_t key[AES_LEN], const uint8_t plain[IDENTITY_LEN], uint8_t out[IDENTITY_LEN])
{
    static const uint8_t iv[AES_LEN];
    int len = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool good = context && EVP_EncryptInit_ex(context, EVP_aes_128_cfb128(), NULL, key, iv) == 1 &&
                EVP_EncryptUpdate(context, out, &len, plain, IDENTITY_LEN) == 1 && len == IDENTITY_LEN;
    EVP_CIPHER_CTX_free(context);
    return good;
}

enum hf_result hf_credential_make(EVP_PKEY *ek, const TPM2B_NAME *name, const uint8_t credential[HF_CREDENTIAL_LEN], TPM2B_ID_OBJECT *ret_blob,
                                  TPM2B_ENCRYPTED_SECRET *ret_secret)
{
    uint8_t seed[SEED_LEN], key[AES_LEN], hmac_key[HMAC_LEN], plain[IDENTITY_LEN] = {0, HF_CREDENTIAL_LEN};
    uint8_t *integrity = ret_blob->credential + 2, *identity = integrity + HMAC_LEN;
    crypto_auth_hmacsha256_state state;
    hf_random(seed, sizeof seed);
    memcpy(plain + 2, credential, HF_CREDENTIAL_LEN);
    kdfa(seed, "STORAGE", name->name, name->size, key, sizeof key);
    kdfa(seed, "INTEGRITY", NULL, 0, hmac_key, sizeof hmac_key);
    bool good = encrypt_seed(ek, seed, ret_secret) && encrypt_identity(key, plain, identity);
    (void)crypto_auth_hmacsha256_init(&state, hmac_key, sizeof hmac_key);
    (void)crypto_auth_hmacsha256_update(&state, identity, IDENTITY_LEN);
    (void)crypto_auth_hmacsha256_update(&state, name->name, name->size);
    (void)crypto_auth_hmacsha256_final(&state, integrity);
    ret_blob->credential[0] = 0;
    ret_blob->credential[1] = HMAC_LEN;
    ret_blob->size = 2 + HMAC_LEN + IDENTITY_LEN;
    hf_wipe(seed, sizeof seed);
    hf_wipe(key, sizeof key);
    hf_wipe(hmac_key, sizeof hmac_key);
    hf_wipe(plain, sizeof plain);
    return good ? HF_OK : HF_FAILED;
}
