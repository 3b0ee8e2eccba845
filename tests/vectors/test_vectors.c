/* Published vectors (Wycheproof, NIST CAVP) through our own functions. Reads what flatten.py writes from standard input; run.sh brings them together. */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/committed.h"
#include "crypto/pagecipher.h"
#include "crypto/recovery.h"
#include "crypto/siv.h"
#include "crypto/wrap.h"
#include "os/secret.h"

enum { FIELDS_MAX = 8, FIELD_MAX = 4096 };

/* One line's fields behind its kind. */
struct vector {
    size_t count;
    size_t len[FIELDS_MAX];
    uint8_t bytes[FIELDS_MAX][FIELD_MAX];
};

static struct hf_span field(const struct vector *vector, size_t i)
{
    return HF_SPAN(vector->bytes[i], vector->len[i]);
}

static bool equals(const struct vector *vector, size_t i, const uint8_t *bytes, size_t len)
{
    return vector->len[i] == len && memcmp(vector->bytes[i], bytes, len) == 0;
}

static struct hf_page_cipher *cipher;

/* key nonce aad plain ciphertext tag ok */
static bool check_gcm(const struct vector *v, bool ok)
{
    struct hf_page_key key;
    uint8_t out[FIELD_MAX];
    uint8_t tag[HF_GCM_TAG_LEN];
    if (v->len[0] != sizeof key.bytes || v->len[1] != HF_GCM_NONCE_LEN || v->len[5] != HF_GCM_TAG_LEN)
        return false;
    memcpy(key.bytes, v->bytes[0], sizeof key.bytes);
    if (hf_page_cipher_key(cipher, &key) != HF_OK)
        return false;
    enum hf_result result = hf_page_cipher_open(cipher, v->bytes[1], field(v, 2), field(v, 4), v->bytes[5], out);
    if (!ok)
        return result == HF_DAMAGED;
    if (result != HF_OK || !equals(v, 3, out, v->len[4]))
        return false;
    return hf_page_cipher_seal(cipher, v->bytes[1], field(v, 2), field(v, 3), out, tag) == HF_OK && equals(v, 4, out, v->len[3]) &&
           equals(v, 5, tag, sizeof tag);
}

/* Straight to libcrypto, for the empty associated string that hf_siv_open never gets: whether it opens, and to the right text. */
static bool siv_opens_in_library(const struct vector *v, bool *ret_right)
{
    uint8_t tag[HF_SIV_TAG_LEN];
    uint8_t out[FIELD_MAX];
    int len = 0;
    int body_len = (int)v->len[3] - HF_SIV_TAG_LEN;
    memcpy(tag, v->bytes[3], sizeof tag);
    EVP_CIPHER *siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool opened = EVP_DecryptInit_ex2(context, siv, v->bytes[0], NULL, NULL) == 1 &&
                  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1 &&
                  EVP_DecryptUpdate(context, NULL, &len, v->bytes[1], (int)v->len[1]) == 1 &&
                  EVP_DecryptUpdate(context, out, &len, v->bytes[3] + HF_SIV_TAG_LEN, body_len) == 1 &&
                  EVP_DecryptFinal_ex(context, out + body_len, &len) == 1;
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(siv);
    *ret_right = opened && equals(v, 2, out, (size_t)body_len);
    return opened;
}

/* key aad plain sealed ok */
static bool check_siv(const struct vector *v, bool ok)
{
    uint8_t out[FIELD_MAX];
    if (v->len[0] != HF_SIV_KEY_LEN || v->len[3] <= HF_SIV_TAG_LEN)
        return false;
    if (v->len[1] == 0) {
        bool right = false;
        bool opened = siv_opens_in_library(v, &right);
        return ok ? right : !opened;
    }
    enum hf_result result = hf_siv_open(v->bytes[0], field(v, 1), field(v, 3), out);
    if (!ok)
        return result == HF_DAMAGED;
    return result == HF_OK && equals(v, 2, out, v->len[3] - HF_SIV_TAG_LEN) &&
           hf_siv_seal(v->bytes[0], field(v, 1), field(v, 2), out) == HF_OK && equals(v, 3, out, v->len[2] + HF_SIV_TAG_LEN);
}

/* public private shared: libsodium gives the same secret, or refuses where it is zero; our box takes the key exactly then. */
static bool check_x25519(const struct vector *v, bool ok)
{
    static const uint8_t zeros[32];
    uint8_t shared[32];
    uint8_t box[HF_RECOVERY_BOX_OVERHEAD + 1];
    (void)ok;
    if (v->len[0] != 32 || v->len[1] != 32 || v->len[2] != 32)
        return false;
    bool zero = memcmp(v->bytes[2], zeros, 32) == 0;
    enum hf_result sealed = hf_recovery_seal(v->bytes[0], HF_SPAN(NULL, 0), HF_SPAN("x", 1), box);
    if (crypto_scalarmult(shared, v->bytes[1], v->bytes[0]) != 0)
        return zero && sealed == HF_DAMAGED;
    return !zero && sealed == HF_OK && equals(v, 2, shared, sizeof shared);
}

/* key nonce aad plain ciphertext tag ok: as one committed message, with a commitment that fits. */
static bool check_xchacha(const struct vector *v, bool ok)
{
    struct hf_committed_key key;
    uint8_t sealed[FIELD_MAX + HF_COMMITTED_OVERHEAD];
    uint8_t again[FIELD_MAX + HF_COMMITTED_OVERHEAD];
    uint8_t out[FIELD_MAX];
    if (v->len[0] != sizeof key.aead || v->len[1] != HF_COMMITTED_NONCE_LEN || v->len[5] != 16)
        return false;
    memcpy(key.aead, v->bytes[0], sizeof key.aead);
    memset(key.commitment, 0x5a, sizeof key.commitment);
    size_t len = 0;
    const size_t parts[] = {1, 4, 5};
    for (size_t i = 0; i < 3; i++) {
        memcpy(sealed + len, v->bytes[parts[i]], v->len[parts[i]]);
        len += v->len[parts[i]];
    }
    memset(sealed + len, 0x5a, sizeof key.commitment);
    len += sizeof key.commitment;
    bool opened = hf_committed_open(&key, field(v, 2), HF_SPAN(sealed, len), out);
    if (!ok)
        return !opened;
    if (!opened || !equals(v, 3, out, len - HF_COMMITTED_OVERHEAD))
        return false;
    hf_committed_seal(&key, v->bytes[1], field(v, 2), field(v, 3), again);
    return memcmp(again, sealed, len) == 0;
}

static struct {
    const char *name;
    size_t fields;
    bool has_verdict; /* the last field is 1 or 0 */
    bool (*check)(const struct vector *v, bool ok);
    int passed, failed;
} kinds[] = {
    {"gcm", 6, true, check_gcm, 0, 0},
    {"siv", 4, true, check_siv, 0, 0},
    {"x25519", 3, false, check_x25519, 0, 0},
    {"xchacha", 6, true, check_xchacha, 0, 0},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static bool take_field(struct vector *v, const char *hex)
{
    if (v->count == FIELDS_MAX)
        return false;
    const char *end = NULL;
    size_t len = 0;
    if (strcmp(hex, "-") != 0 && (sodium_hex2bin(v->bytes[v->count], FIELD_MAX, hex, strlen(hex), NULL, &len, &end) != 0 || *end))
        return false;
    v->len[v->count++] = len;
    return true;
}

/* True when the line was understood. */
static bool run_line(char *line)
{
    static struct vector v;
    char *rest = NULL;
    const char *name = strtok_r(line, " \n", &rest);
    size_t kind = 0;
    while (kind < KINDS && name && strcmp(kinds[kind].name, name) != 0)
        kind++;
    if (!name || kind == KINDS)
        return false;
    v.count = 0;
    while (v.count < kinds[kind].fields) {
        const char *hex = strtok_r(NULL, " \n", &rest);
        if (!hex || !take_field(&v, hex))
            return false;
    }
    const char *verdict = strtok_r(NULL, " \n", &rest);
    if (kinds[kind].has_verdict != (verdict != NULL))
        return false;
    if (kinds[kind].check(&v, verdict && strcmp(verdict, "1") == 0))
        kinds[kind].passed++;
    else
        kinds[kind].failed++;
    return true;
}

/* Every line understood, and something of every kind: an empty input is a failure. */
static int run_all(void)
{
    char *line = NULL;
    size_t cap = 0;
    int passed = 0;
    int failed = 0;
    for (int number = 1; getline(&line, &cap, stdin) > 0; number++) {
        int before = 0;
        int after = 0;
        for (size_t i = 0; i < KINDS; i++)
            before += kinds[i].failed;
        if (!run_line(line)) {
            printf("line %d: not understood\n", number);
            failed++;
        }
        for (size_t i = 0; i < KINDS; i++)
            after += kinds[i].failed;
        if (after > before)
            printf("line %d: failed\n", number);
    }
    free(line);
    for (size_t i = 0; i < KINDS; i++) {
        printf("%s: %d passed, %d failed\n", kinds[i].name, kinds[i].passed, kinds[i].failed);
        passed += kinds[i].passed;
        failed += kinds[i].failed + (kinds[i].passed == 0);
    }
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 ? 1 : 0;
}

int main(void)
{
    struct hf_error error;
    if (hf_secret_open(0, 64 * 1024, &error) != HF_OK || hf_crypto_start() != HF_OK || hf_page_cipher_new(&cipher) != HF_OK)
        return 1;
    int status = run_all();
    hf_page_cipher_free(&cipher);
    hf_siv_forget();
    return status;
}
