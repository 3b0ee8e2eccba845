/* Unit tests of src/crypto: known answers where there are some, and that nothing altered opens. Published vectors: tests/vectors. */
#include <argon2.h>
#include <pthread.h>
#include <stdint.h>

#include "check.h"
#include "crypto/argon.h"
#include "crypto/kdf.h"
#include "crypto/pagecipher.h"
#include "crypto/siv.h"
#include "crypto/wrap.h"
#include "os/secret.h"

static void fill(void *out, size_t len, unsigned seed)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i);
}

static bool all_are(const uint8_t *bytes, size_t len, uint8_t value)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

static void from_hex(const char *hex, uint8_t *out)
{
    for (size_t i = 0; hex[2 * i]; i++) {
        unsigned value = 0;
        (void)sscanf(hex + 2 * i, "%2x", &value);
        out[i] = (uint8_t)value;
    }
}

/* --- kdf: answers from Python's hashlib.blake2b(info, key=…, salt=…, person=b"holdfast-kdf-v1\0") --- */

static void check_kdf(enum hf_kdf_context context, const struct hf_span *info, size_t count, size_t len, const char *hex)
{
    uint8_t key[32];
    uint8_t wanted[64];
    uint8_t got[64];
    fill(key, sizeof key, 0);
    from_hex(hex, wanted);
    hf_kdf(context, key, info, count, got, len);
    CHECK_MEM(got, wanted, len);
}

TEST(kdf_known_answers)
{
    uint8_t info[48];
    fill(info, sizeof info, 100);
    const struct hf_span pieces[] = {HF_SPAN(info, 32), HF_SPAN(NULL, 0), HF_SPAN(info + 32, 16)};
    check_kdf(HF_KDF_KEK, pieces, 3, 32, "c9701c40938a3323ce804d1b3efddd4f72284fb77c98cb572b1c34762bbbb5c2");
    const struct hf_span whole[] = {HF_SPAN_OF(info)};
    check_kdf(HF_KDF_KEK, whole, 1, 32, "c9701c40938a3323ce804d1b3efddd4f72284fb77c98cb572b1c34762bbbb5c2");
    fill(info, 24, 0);
    const struct hf_span nonce[] = {HF_SPAN(info, 24)};
    check_kdf(HF_KDF_FILE_WRAP, nonce, 1, 64,
              "7f981e72cf43d263c07bdc7f3cb06f09f151fce5690c80643f11c8491edc3399eb51884cc0bbab29d31a0045b974bd0b79fea781bae0b49c5ced571dd74dd3c9");
    check_kdf(HF_KDF_INDEX_WRAP, NULL, 0, 16, "73bcfcb0f9262e1515993306f1a6ec0b");
}

/* [KD-3] */
TEST(kdf_contexts_and_lengths_are_apart)
{
    uint8_t key[32] = {1};
    uint8_t first[HF_KDF_INDEX_TIP][32];
    for (unsigned i = 0; i < HF_KDF_INDEX_TIP; i++) {
        hf_kdf((enum hf_kdf_context)(i + 1), key, NULL, 0, first[i], 32);
        for (unsigned k = 0; k < i; k++)
            CHECK(memcmp(first[i], first[k], 32) != 0);
    }
    uint8_t shorter[16];
    hf_kdf(HF_KDF_KEK, key, NULL, 0, shorter, sizeof shorter);
    CHECK(memcmp(shorter, first[0], 16) != 0);
}

/* --- wrap --- */

/* [KW-3] */
TEST(wrap_opens_only_what_was_wrapped)
{
    uint8_t key[32];
    uint8_t plain[32];
    uint8_t wrapped[HF_FILE_WRAP_LEN];
    uint8_t out[32];
    const struct hf_span aad = HF_SPAN("header", 6);
    fill(key, sizeof key, 1);
    fill(plain, sizeof plain, 2);
    hf_wrap(HF_KDF_FILE_WRAP, key, aad, HF_SPAN_OF(plain), wrapped);
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, aad, HF_SPAN_OF(wrapped), out), HF_OK);
    CHECK_MEM(out, plain, sizeof plain);

    memset(out, 0xaa, sizeof out);
    for (size_t at = 0; at < sizeof wrapped; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            wrapped[at] = (uint8_t)(wrapped[at] ^ 1u << bit);
            CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, aad, HF_SPAN_OF(wrapped), out), HF_DAMAGED);
            wrapped[at] = (uint8_t)(wrapped[at] ^ 1u << bit);
        }
    }
    for (size_t len = 0; len < sizeof wrapped; len++)
        CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, aad, HF_SPAN(wrapped, len), out), HF_DAMAGED);
    CHECK_INT(hf_unwrap(HF_KDF_SECTION_KEY, key, aad, HF_SPAN_OF(wrapped), out), HF_DAMAGED);
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, HF_SPAN("headex", 6), HF_SPAN_OF(wrapped), out), HF_DAMAGED);
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, HF_SPAN("heade", 5), HF_SPAN_OF(wrapped), out), HF_DAMAGED);
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, HF_SPAN(NULL, 0), HF_SPAN_OF(wrapped), out), HF_DAMAGED);
    for (size_t at = 0; at < sizeof key; at++) {
        key[at] ^= 1;
        CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, aad, HF_SPAN_OF(wrapped), out), HF_DAMAGED);
        key[at] ^= 1;
    }
    CHECK(all_are(out, sizeof out, 0xaa)); /* untouched on failure */
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, aad, HF_SPAN_OF(wrapped), out), HF_OK);
}

TEST(wrap_is_fresh_and_of_any_length)
{
    static uint8_t plain[5000];
    static uint8_t one[5000 + HF_WRAP_OVERHEAD];
    static uint8_t two[5000 + HF_WRAP_OVERHEAD];
    static uint8_t out[5000];
    uint8_t key[32] = {9};
    fill(plain, sizeof plain, 3);
    const size_t lens[] = {0, 1, 63, 64, 65, 5000};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        size_t wrapped_len = lens[i] + HF_WRAP_OVERHEAD;
        hf_wrap(HF_KDF_SECTION_KEY, key, HF_SPAN(NULL, 0), HF_SPAN(plain, lens[i]), one);
        hf_wrap(HF_KDF_SECTION_KEY, key, HF_SPAN(NULL, 0), HF_SPAN(plain, lens[i]), two);
        CHECK(memcmp(one, two, 24) != 0);
        CHECK(memcmp(one + wrapped_len - 32, two + wrapped_len - 32, 32) != 0);
        CHECK_INT(hf_unwrap(HF_KDF_SECTION_KEY, key, HF_SPAN(NULL, 0), HF_SPAN(one, wrapped_len), out), HF_OK);
        CHECK_MEM(out, plain, lens[i]);
    }
}

/* [KW-1] */
TEST(wrap_commits_to_its_key)
{
    /* The commitment is a function of key, context and nonce alone; with another key's in its place the tag is right and it is refused all the same. */
    uint8_t key[32] = {1};
    uint8_t other[32] = {2};
    uint8_t wrapped[HF_WRAP_OVERHEAD + 4];
    uint8_t derived[64];
    uint8_t out[4] = {0};
    hf_wrap(HF_KDF_FILE_WRAP, key, HF_SPAN("a", 1), HF_SPAN("four", 4), wrapped);
    const struct hf_span nonce[] = {HF_SPAN(wrapped, 24)};
    hf_kdf(HF_KDF_FILE_WRAP, key, nonce, 1, derived, sizeof derived);
    CHECK_MEM(wrapped + sizeof wrapped - 32, derived + 32, 32);
    hf_kdf(HF_KDF_FILE_WRAP, other, nonce, 1, derived, sizeof derived);
    memcpy(wrapped + sizeof wrapped - 32, derived + 32, 32);
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, key, HF_SPAN("a", 1), HF_SPAN_OF(wrapped), out), HF_DAMAGED);
    CHECK_INT(hf_unwrap(HF_KDF_FILE_WRAP, other, HF_SPAN("a", 1), HF_SPAN_OF(wrapped), out), HF_DAMAGED);
    CHECK(all_are(out, sizeof out, 0));
}

/* --- normalisation --- */

static void check_same(const char *name, const char *a, const char *b, const char *nfkc)
{
    struct hf_passcode one = {0};
    struct hf_passcode two = {0};
    bool good = hf_passcode_normalize(a, strlen(a), &one) == HF_OK && hf_passcode_normalize(b, strlen(b), &two) == HF_OK &&
                one.len == strlen(nfkc) && memcmp(one.bytes, nfkc, one.len) == 0 && two.len == one.len &&
                memcmp(two.bytes, one.bytes, sizeof one.bytes) == 0;
    if (!CHECK(good))
        printf("  %s\n", name);
}

/* [PC-1] */
TEST(normalize_equal_forms)
{
    check_same("ascii", "correct horse", "correct horse", "correct horse");
    check_same("NFC, NFD", "caf\u00e9", "cafe\u0301", "caf\u00e9");
    check_same("angstrom", "\u212b", "A\u030a", "\u00c5");
    check_same("ligature", "\ufb01sh", "fish", "fish");
    check_same("full width", "\uff41\uff11", "a1", "a1");
    check_same("circled", "\u2460", "1", "1");
    check_same("Hangul", "\uac01", "\u1100\u1161\u11a8", "\uac01");
    check_same("order of marks", "e\u0301\u0323", "e\u0323\u0301", "\u1eb9\u0301");
    check_same("both kinds at once", "\u1e9b\u0323", "\u017f\u0323\u0307", "\u1e69");
    check_same("no-break space", "a\u00a0b", "a b", "a b");
    check_same("emoji", "\U0001F40E", "\U0001F40E", "\U0001F40E");
    check_same("longest expansion", "\ufdfa", "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645",
               "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645");
}

static enum hf_result normalize(const void *bytes, size_t len)
{
    struct hf_passcode ret;
    memset(&ret, 0xaa, sizeof ret);
    enum hf_result result = hf_passcode_normalize(bytes, len, &ret);
    if (result != HF_OK)
        CHECK(all_are((const uint8_t *)&ret, sizeof ret, 0xaa));
    return result;
}

TEST(normalize_refuses)
{
    CHECK_INT(normalize("", 0), HF_USAGE);
    CHECK_INT(normalize("a\0b", 3), HF_USAGE);
    const char *const bad[] = {"\x80", "\xff", "\xc0\x80", "\xc3", "a\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
                               "caf\xe9", "\xe0\x80\xaf", "\U000E0FFF", "\u0378"}; /* the last two are not assigned */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(normalize(bad[i], strlen(bad[i])), HF_USAGE);
}

TEST(normalize_lengths)
{
    static char text[2 * HF_PASSCODE_MAX];
    memset(text, 'x', sizeof text);
    CHECK_INT(normalize(text, HF_PASSCODE_MAX), HF_OK);
    CHECK_INT(normalize(text, HF_PASSCODE_MAX + 1), HF_USAGE);
    for (size_t i = 0; i < 341; i++) /* three bytes that become 33 */
        memcpy(text + 3 * i, "\ufdfa", 3);
    CHECK_INT(normalize(text, 3 * 31), HF_OK);
    CHECK_INT(normalize(text, 3 * 32), HF_USAGE);
    CHECK_INT(normalize(text, 3 * 341), HF_USAGE);
    for (size_t i = 0; i < 512; i++) /* three code points in two bytes, and back */
        memcpy(text + 2 * i, "\u0390", 2);
    CHECK_INT(normalize(text, 1024), HF_OK);
    for (size_t i = 0; i < 341; i++)
        memcpy(text + 3 * i, "\u1f82", 3); /* four in three */
    CHECK_INT(normalize(text, 1023), HF_OK);
}

TEST(normalize_in_place)
{
    struct hf_passcode passcode = {.len = 6};
    memcpy(passcode.bytes, "cafe\u0301", 6);
    CHECK_INT(hf_passcode_normalize(passcode.bytes, passcode.len, &passcode), HF_OK);
    CHECK_INT(passcode.len, 5);
    CHECK_MEM(passcode.bytes, "caf\u00e9\0", 6);
}

TEST(normalize_gives_its_memory_back)
{
    for (unsigned i = 0; i < 1000; i++) /* 8 MiB through a heap of one */
        CHECK_INT(normalize(i % 2 ? "abc" : "\xff", i % 2 ? 3 : 1), i % 2 ? HF_OK : HF_USAGE);
}

/* --- argon --- */

TEST(argon_library_knows_rfc_9106)
{
    uint8_t password[32];
    uint8_t salt[16];
    uint8_t secret[8];
    uint8_t ad[12];
    uint8_t tag[32];
    uint8_t wanted[32];
    memset(password, 1, sizeof password);
    memset(salt, 2, sizeof salt);
    memset(secret, 3, sizeof secret);
    memset(ad, 4, sizeof ad);
    argon2_context context = {.out = tag, .outlen = 32, .pwd = password, .pwdlen = 32, .salt = salt, .saltlen = 16, .secret = secret, .secretlen = 8,
                              .ad = ad, .adlen = 12, .t_cost = 3, .m_cost = 32, .lanes = 4, .threads = 1, .version = ARGON2_VERSION_13};
    CHECK_INT(argon2id_ctx(&context), ARGON2_OK);
    from_hex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659", wanted);
    CHECK_MEM(tag, wanted, 32);
}

TEST(argon_splits_the_output)
{
    struct hf_passcode passcode = {.len = 7};
    uint8_t salt[HF_ARGON_SALT_LEN];
    uint8_t wanted[64];
    struct hf_element_auth auth;
    struct hf_kek_half half;
    bool locked = false;
    memcpy(passcode.bytes, "passcod", 7);
    fill(salt, sizeof salt, 1);
    const struct hf_argon_cost costs[] = {{HF_ARGON_MIN_KIB, 1, 1}, {HF_ARGON_MIN_KIB + 4, 2, 4}};
    for (size_t i = 0; i < 2; i++) {
        CHECK_INT(argon2id_hash_raw(costs[i].passes, costs[i].memory_kib, costs[i].lanes, "passcod", 7, salt, sizeof salt, wanted, 64), ARGON2_OK);
        CHECK_INT(hf_argon_derive(&passcode, salt, &costs[i], &auth, &half, i == 0 ? &locked : NULL), HF_OK);
        CHECK_MEM(auth.bytes, wanted, 32);
        CHECK_MEM(half.bytes, wanted + 32, 32);
    }
    CHECK_MEM(passcode.bytes, "passcod", 8); /* not cleared */
}

TEST(argon_limits)
{
    struct hf_passcode passcode = {.len = 1, .bytes = "x"};
    uint8_t salt[HF_ARGON_SALT_LEN] = {0};
    struct hf_element_auth auth = {{7}};
    struct hf_kek_half half = {{7}};
    const struct hf_argon_cost bad[] = {{HF_ARGON_MIN_KIB - 1, 1, 1}, {HF_ARGON_MAX_KIB + 1, 1, 1}, {HF_ARGON_MIN_KIB, 0, 1},
                                        {HF_ARGON_MIN_KIB, HF_ARGON_MAX_PASSES + 1, 1}, {HF_ARGON_MIN_KIB, 1, 0},
                                        {HF_ARGON_MIN_KIB, 1, HF_ARGON_MAX_LANES + 1}, {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(hf_argon_derive(&passcode, salt, &bad[i], &auth, &half, NULL), HF_REFUSED);
    CHECK(auth.bytes[0] == 7 && half.bytes[0] == 7);
}

TEST(argon_calibrates_within_its_limits)
{
    struct hf_argon_cost cost = hf_argon_calibrate(128 * 1024, 1);
    CHECK(cost.memory_kib == HF_ARGON_MIN_KIB && cost.passes == 3 && cost.lanes == 1);
    cost = hf_argon_calibrate(0, 1);
    CHECK(cost.memory_kib == HF_ARGON_MIN_KIB);
    cost = hf_argon_calibrate(96 * 1024, 900);
    CHECK(cost.memory_kib >= HF_ARGON_MIN_KIB && cost.memory_kib <= 96 * 1024);
    CHECK(cost.passes >= 3 && cost.passes <= HF_ARGON_MAX_PASSES);
}

/* --- page cipher --- */

TEST(page_cipher_opens_only_what_was_sealed)
{
    struct hf_page_cipher *cipher = NULL;
    struct hf_page_key key;
    uint8_t nonce[12];
    uint8_t aad[36];
    uint8_t tag[16];
    uint8_t plain[200];
    uint8_t sealed[200];
    uint8_t out[200];
    fill(&key, sizeof key, 1);
    fill(nonce, sizeof nonce, 2);
    fill(aad, sizeof aad, 3);
    fill(plain, sizeof plain, 4);
    if (!CHECK_INT(hf_page_cipher_new(&cipher), HF_OK))
        return;
    CHECK_INT(hf_page_cipher_key(cipher, &key), HF_OK);
    CHECK_INT(hf_page_cipher_seal(cipher, nonce, HF_SPAN_OF(aad), HF_SPAN_OF(plain), sealed, tag), HF_OK);
    CHECK_INT(hf_page_cipher_open(cipher, nonce, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), tag, out), HF_OK);
    CHECK_MEM(out, plain, sizeof plain);

    struct {
        uint8_t *bytes;
        size_t len;
    } parts[] = {{nonce, sizeof nonce}, {aad, sizeof aad}, {tag, sizeof tag}, {sealed, sizeof sealed}};
    for (size_t p = 0; p < 4; p++) {
        for (size_t at = 0; at < parts[p].len; at++) {
            memset(out, 0xaa, sizeof out);
            parts[p].bytes[at] ^= 0x20;
            CHECK_INT(hf_page_cipher_open(cipher, nonce, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), tag, out), HF_DAMAGED);
            CHECK(all_are(out, sizeof out, 0)); /* wiped */
            parts[p].bytes[at] ^= 0x20;
        }
    }
    key.bytes[31] ^= 1;
    CHECK_INT(hf_page_cipher_key(cipher, &key), HF_OK);
    CHECK_INT(hf_page_cipher_open(cipher, nonce, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), tag, out), HF_DAMAGED);
    key.bytes[31] ^= 1;
    CHECK_INT(hf_page_cipher_key(cipher, &key), HF_OK);
    CHECK_INT(hf_page_cipher_open(cipher, nonce, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), tag, sealed), HF_OK); /* in place */
    CHECK_MEM(sealed, plain, sizeof plain);
    hf_page_cipher_forget(cipher);
    hf_page_cipher_forget(cipher);
    CHECK_INT(hf_page_cipher_key(cipher, &key), HF_OK); /* usable again */
    uint8_t again[200];
    uint8_t again_tag[16];
    memcpy(again, plain, sizeof again);
    CHECK_INT(hf_page_cipher_seal(cipher, nonce, HF_SPAN_OF(aad), HF_SPAN_OF(again), again, again_tag), HF_OK); /* in place */
    CHECK_MEM(again_tag, tag, sizeof tag);
    hf_page_cipher_free(&cipher);
    CHECK(!cipher);
    hf_page_cipher_free(&cipher);
}

/* --- SIV --- */

TEST(siv_opens_only_what_was_sealed)
{
    uint8_t key[HF_SIV_KEY_LEN];
    uint8_t other[HF_SIV_KEY_LEN];
    uint8_t aad[16];
    uint8_t plain[48];
    uint8_t sealed[sizeof plain + HF_SIV_TAG_LEN];
    uint8_t again[sizeof sealed];
    uint8_t out[sizeof plain];
    fill(key, sizeof key, 1);
    fill(other, sizeof other, 2);
    fill(aad, sizeof aad, 3);
    fill(plain, sizeof plain, 4);
    CHECK_INT(hf_siv_seal(key, HF_SPAN_OF(aad), HF_SPAN_OF(plain), sealed), HF_OK);
    CHECK_INT(hf_siv_seal(other, HF_SPAN_OF(aad), HF_SPAN_OF(plain), again), HF_OK);
    CHECK(memcmp(sealed, again, sizeof sealed) != 0);
    CHECK_INT(hf_siv_seal(key, HF_SPAN_OF(aad), HF_SPAN_OF(plain), again), HF_OK);
    CHECK_MEM(sealed, again, sizeof sealed); /* deterministic, and the contexts carry nothing over */
    CHECK_INT(hf_siv_open(key, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), out), HF_OK);
    CHECK_MEM(out, plain, sizeof plain);
    for (size_t at = 0; at < sizeof sealed; at++) {
        sealed[at] ^= 1;
        memset(out, 0xaa, sizeof out);
        CHECK_INT(hf_siv_open(key, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), out), HF_DAMAGED);
        CHECK(all_are(out, sizeof out, 0));
        sealed[at] ^= 1;
    }
    for (size_t at = 0; at < sizeof aad; at++) {
        aad[at] ^= 1;
        CHECK_INT(hf_siv_open(key, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), out), HF_DAMAGED);
        aad[at] ^= 1;
    }
    for (size_t len = 0; len < sizeof sealed; len++)
        CHECK_INT(hf_siv_open(key, HF_SPAN_OF(aad), HF_SPAN(sealed, len), out), HF_DAMAGED);
    CHECK_INT(hf_siv_open(other, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), out), HF_DAMAGED);
    hf_siv_forget();
    hf_siv_forget();
    CHECK_INT(hf_siv_open(key, HF_SPAN_OF(aad), HF_SPAN_OF(sealed), out), HF_OK);
    CHECK_MEM(out, plain, sizeof plain);
}

static void *siv_thread(void *arg)
{
    uint8_t key[HF_SIV_KEY_LEN];
    uint8_t out[32 + HF_SIV_TAG_LEN];
    uint8_t back[32];
    size_t *good = arg;
    for (unsigned i = 0; i < 500; i++) {
        fill(key, sizeof key, i % 3);
        fill(back, sizeof back, i);
        if (hf_siv_seal(key, HF_SPAN("directory", 9), HF_SPAN_OF(back), out) != HF_OK)
            continue;
        memset(back, 0, sizeof back);
        *good += hf_siv_open(key, HF_SPAN("directory", 9), HF_SPAN_OF(out), back) == HF_OK && back[5] == (uint8_t)(i + 5);
    }
    return NULL;
}

TEST(siv_in_threads)
{
    pthread_t threads[4];
    size_t good[4] = {0};
    for (unsigned round = 0; round < 20; round++) { /* the contexts of ended threads are given back: the heap would run out */
        for (unsigned i = 0; i < 4; i++)
            CHECK_INT(pthread_create(&threads[i], NULL, siv_thread, &good[i]), 0);
        for (unsigned i = 0; i < 4; i++)
            CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    for (unsigned i = 0; i < 4; i++)
        CHECK_INT(good[i], 20 * 500);
}

int main(void)
{
    struct hf_error error;
    if (hf_secret_open(0, 64 * 1024, &error) != HF_OK || hf_crypto_start() != HF_OK)
        return 1;
    int status = check_run_all();
    hf_siv_forget(); /* a leak checker does not look into the arena */
    return status;
}
