/* Our own code on secrets that valgrind's memcheck follows (marked undefined): a branch or an address that depends on one is an error. secrets [LEAK]: with a number,
 * a planted leak of that kind, which must be found. run.sh judges.
 *
 * Verdicts are public (keys/public.h). The libraries' insides are not ours (ct.supp), their verdicts are. Not kept secret, so not shown here: the lengths of a phrase's words,
 * what NFKC does with a passcode (libutf8proc's tables), printing a phrase. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "crypto/onepass.h"
#include "crypto/recovery.h"
#include "crypto/wrap.h"
#include "element/software.h"
#include "format/keybag.h"
#include "os/secret.h"

#define SECRET(object) ((void)VALGRIND_MAKE_MEM_UNDEFINED(&(object), sizeof(object)))
#define PUBLIC(object) ((void)VALGRIND_MAKE_MEM_DEFINED(&(object), sizeof(object)))
#define MUST(cond) ((cond) ? (void)0 : abort())

/* The libraries' verdicts. */
int __real_crypto_aead_xchacha20poly1305_ietf_decrypt_detached(unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen, const unsigned char *mac,
                                                               const unsigned char *ad, unsigned long long adlen, const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_xchacha20poly1305_ietf_decrypt_detached(unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen, const unsigned char *mac,
                                                               const unsigned char *ad, unsigned long long adlen, const unsigned char *npub, const unsigned char *k);
int __wrap_crypto_aead_xchacha20poly1305_ietf_decrypt_detached(unsigned char *m, unsigned char *nsec, const unsigned char *c, unsigned long long clen, const unsigned char *mac,
                                                               const unsigned char *ad, unsigned long long adlen, const unsigned char *npub, const unsigned char *k)
{
    int verdict = __real_crypto_aead_xchacha20poly1305_ietf_decrypt_detached(m, nsec, c, clen, mac, ad, adlen, npub, k);
    PUBLIC(verdict);
    return verdict;
}

int __real_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __wrap_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p);
int __wrap_crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
    int verdict = __real_crypto_scalarmult(q, n, p);
    PUBLIC(verdict);
    return verdict;
}

static void comparing(void)
{
    uint8_t a[32] = {1, 2}, b[32] = {1, 2}, c[32] = {1, 3};
    SECRET(a);
    SECRET(c);
    MUST(hf_equal_ct(a, b, 32) && !hf_equal_ct(c, b, 32));
}

static void phrase(void)
{
    struct hf_recovery_secret secret, back;
    char text[HF_PHRASE_MAX], cut[HF_PHRASE_MAX];
    int word = 0;
    for (size_t i = 0; i < sizeof secret; i++)
        secret.bytes[i] = (uint8_t)(i * 29);
    hf_phrase_encode(&secret, text);
    size_t len = strlen(text), cut_len = 0, in_word = 0;
    for (size_t i = 0; i < len; i++) {
        in_word = text[i] == ' ' ? 0 : in_word + 1;
        if (in_word <= 4)
            cut[cut_len++] = text[i];
        text[i] = (char)(in_word == 1 ? text[i] - 32 : text[i]);
    }
    SECRET(text);
    SECRET(cut);
    MUST(hf_phrase_decode(text, len, &back, &word) == HF_OK && hf_equal_ct(&back, &secret, sizeof back));
    MUST(hf_phrase_decode(cut, cut_len, &back, &word) == HF_OK && hf_equal_ct(&back, &secret, sizeof back));
    text[3] = 'q';
    MUST(hf_phrase_decode(text, len, &back, &word) != HF_OK);
}

static void wraps(void)
{
    const uint8_t aad[16] = {4};
    uint8_t key[32] = {9}, plain[40] = {8}, wrapped[40 + HF_WRAP_OVERHEAD], back[40];
    hf_wrap(HF_KDF_INDEX_WRAP, key, HF_SPAN_OF(aad), HF_SPAN_OF(plain), wrapped);
    PUBLIC(wrapped);
    SECRET(key);
    MUST(hf_unwrap(HF_KDF_INDEX_WRAP, key, HF_SPAN_OF(aad), HF_SPAN_OF(wrapped), back) == HF_OK);
    wrapped[30] ^= 1;
    MUST(hf_unwrap(HF_KDF_INDEX_WRAP, key, HF_SPAN_OF(aad), HF_SPAN_OF(wrapped), back) != HF_OK);
    SECRET(plain);
    hf_wrap(HF_KDF_INDEX_WRAP, key, HF_SPAN_OF(aad), HF_SPAN_OF(plain), wrapped);

    struct hf_class_key half = {.bytes = {3}};
    struct hf_file_key file = {.bytes = {7}}, opened;
    uint8_t public[HF_ONEPASS_PUBLIC_LEN], once[HF_ONEPASS_WRAP_LEN];
    hf_onepass_public(&half, public);
    SECRET(file);
    MUST(hf_onepass_seal(public, HF_SPAN_OF(aad), &file, once) == HF_OK);
    PUBLIC(once);
    SECRET(half);
    MUST(hf_onepass_open(&half, HF_SPAN_OF(aad), once, &opened) == HF_OK);

    struct hf_recovery_secret recovery = {.bytes = {5}};
    uint8_t box[40 + HF_RECOVERY_BOX_OVERHEAD];
    hf_recovery_public(&recovery, aad, public);
    MUST(hf_recovery_seal(public, HF_SPAN_OF(aad), HF_SPAN_OF(plain), box) == HF_OK);
    PUBLIC(box);
    SECRET(recovery);
    MUST(hf_recovery_open(&recovery, aad, HF_SPAN_OF(aad), HF_SPAN_OF(box), back) == HF_OK);
}

/* A section's keys, and the choice among them, which is by class and generation alone. */
static void keybag(void)
{
    static struct hf_keybag_keys keys, back;
    static uint8_t bytes[HF_KEYBAG_KEYS_ENCODED_MAX];
    size_t len = 0;
    keys.count = 8;
    for (uint32_t i = 0; i < keys.count; i++) {
        keys.entries[i].class = (uint8_t)(1 + i % 4);
        keys.entries[i].generation = 1 + i / 4;
        SECRET(keys.entries[i].key);
        SECRET(keys.entries[i].meta);
    }
    MUST(hf_keybag_keys_encode(&keys, bytes, sizeof bytes, &len) == HF_OK);
    MUST(hf_keybag_keys_decode(HF_SPAN(bytes, len), &back) == HF_OK && back.count == 8);
}

/* What a try is judged with. */
static void element(void)
{
    static struct hf_element_record record;
    struct hf_element_auth auth = {.bytes = {1}}, wrong = {.bytes = {2}};
    struct hf_release_secret release = {.bytes = {6}}, given;
    uint8_t aad[20] = {0};
    record.slots[0].used = true;
    hf_wrap(HF_KDF_SOFT_ELEMENT, auth.bytes, HF_SPAN_OF(aad), HF_SPAN_OF(release.bytes), record.slots[0].wrap);
    PUBLIC(record);
    SECRET(auth);
    SECRET(wrong);
    MUST(hf_software_unwrap(&record, &auth, &given) == HF_OK);
    MUST(hf_software_unwrap(&record, &wrong, &given) != HF_OK);
}

static volatile int sink;

/* What people write: each must be found. */
static void leak(int kind)
{
    uint8_t a[32] = {1}, table[256] = {0};
    const char *words[] = {"abandon", "ability"};
    char typed[] = "ability";
    SECRET(a);
    SECRET(typed);
    size_t same = 0;
    switch (kind) {
    case 1: /* a comparison that ends early */
        while (same < sizeof a && a[same] == 1)
            same++;
        break;
    case 2: /* a table asked by a secret */
        same = table[a[0]];
        break;
    case 3: /* a word looked for until it is found */
        for (int i = 0; i < 2; i++)
            if (strncmp(words[i], typed, 7) == 0)
                same = (size_t)i;
        break;
    default: /* key selection by a key's bytes */
        same = a[5] & 1 ? 7 : (size_t)sink;
        if (a[5] & 1)
            sink = 3;
        break;
    }
    sink = (int)same;
}

int main(int argc, char **argv)
{
    struct hf_error error = {.result = HF_OK};
    MUST(hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
    if (argc > 1) {
        leak(atoi(argv[1]));
        return 0;
    }
    comparing();
    phrase();
    wraps();
    keybag();
    element();
    return puts("five groups done") < 0;
}
