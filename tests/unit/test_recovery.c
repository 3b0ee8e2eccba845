/* Unit tests of src/crypto/phrase.c and recovery.c. Phrases: the 256-bit vectors of python-mnemonic (Trezor), vectors.json. */
#include <stdint.h>

#include "check.h"
#include "crypto/recovery.h"
#include "crypto/wrap.h"
#include "os/secret.h"

#define WORDS_8(w) w " " w " " w " " w " " w " " w " " w " " w " "
#define WORDS_7(w) w " " w " " w " " w " " w " " w " " w " "
#define LEGAL "legal winner thank year wave sausage worth useful "
#define LETTER "letter advice cage absurd amount doctor acoustic avoid "

static const struct {
    uint8_t byte;
    const char *phrase;
} vectors[] = {
    {0x00, WORDS_8("abandon") WORDS_8("abandon") WORDS_7("abandon") "art"},
    {0x7f, LEGAL LEGAL "legal winner thank year wave sausage worth title"},
    {0x80, LETTER LETTER "letter advice cage absurd amount doctor acoustic bless"},
    {0xff, WORDS_8("zoo") WORDS_8("zoo") WORDS_7("zoo") "vote"},
};

static enum hf_result decode(const char *text, struct hf_recovery_secret *ret, int *ret_word)
{
    *ret_word = -1;
    return hf_phrase_decode(text, strlen(text), ret, ret_word);
}

/* [RC-1] */
TEST(phrase_vectors)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct hf_recovery_secret secret;
        struct hf_recovery_secret back;
        char phrase[HF_PHRASE_MAX];
        int word;
        memset(&secret, vectors[i].byte, sizeof secret);
        hf_phrase_encode(&secret, phrase);
        CHECK_STR(phrase, vectors[i].phrase);
        CHECK_INT(decode(phrase, &back, &word), HF_OK);
        CHECK_MEM(&back, &secret, sizeof secret);
        CHECK_INT(word, -1); /* untouched */
    }
}

TEST(phrase_of_random_bytes)
{
    /* A fifth vector, without a pattern: f585c11a…d11f. */
    static const uint8_t bytes[32] = {0xf5, 0x85, 0xc1, 0x1a, 0xec, 0x52, 0x0d, 0xb5, 0x7d, 0xd3, 0x53, 0xc6, 0x95, 0x54, 0xb2, 0x1a,
                                      0x89, 0xb2, 0x0f, 0xb0, 0x65, 0x09, 0x66, 0xfa, 0x0a, 0x9d, 0x6f, 0x74, 0xfd, 0x98, 0x9d, 0x8f};
    struct hf_recovery_secret secret;
    char phrase[HF_PHRASE_MAX];
    memcpy(secret.bytes, bytes, 32);
    hf_phrase_encode(&secret, phrase);
    CHECK_STR(phrase, "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol group space point ten "
                      "exist slush involve unfold");
}

TEST(phrase_round_trips)
{
    uint64_t state = 88172645463325252u;
    for (unsigned run = 0; run < 300; run++) {
        struct hf_recovery_secret secret;
        struct hf_recovery_secret back;
        char phrase[HF_PHRASE_MAX];
        int word;
        for (size_t i = 0; i < sizeof secret.bytes; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            secret.bytes[i] = (uint8_t)(state >> 40);
        }
        hf_phrase_encode(&secret, phrase);
        CHECK_INT(decode(phrase, &back, &word), HF_OK);
        CHECK_MEM(&back, &secret, sizeof secret);
        char cut[HF_PHRASE_MAX] = ""; /* each word cut to four letters, in capitals, tabs and line ends between */
        size_t len = 0;
        unsigned letters = 0;
        for (const char *c = phrase; *c; c++) {
            letters = *c == ' ' ? 0 : letters + 1;
            if (*c == ' ')
                cut[len++] = run % 2 ? '\n' : '\t';
            else if (letters <= 4)
                cut[len++] = (char)(*c - 'a' + 'A');
        }
        cut[len] = '\0';
        CHECK_INT(decode(cut, &back, &word), HF_OK);
        CHECK_MEM(&back, &secret, sizeof secret);
    }
}

TEST(phrase_words)
{
    CHECK_STR(hf_phrase_word(0), "abandon");
    CHECK_STR(hf_phrase_word(2047), "zoo");
    for (unsigned i = 0; i < 2048; i++) {
        size_t len = strlen(hf_phrase_word(i));
        CHECK(len >= 3 && len <= 8);
        CHECK(i == 0 || strcmp(hf_phrase_word(i - 1), hf_phrase_word(i)) < 0);
        CHECK(i == 0 || strncmp(hf_phrase_word(i - 1), hf_phrase_word(i), 4) != 0);
    }
}

TEST(phrase_mistakes)
{
    struct hf_recovery_secret secret;
    int word;
    memset(&secret, 0xaa, sizeof secret);
    CHECK_INT(decode(LEGAL LEGAL "legal winner thank year wave sausage worth useful", &secret, &word), HF_DAMAGED); /* checksum */
    CHECK_INT(word, 0);
    CHECK_INT(decode(LEGAL LEGAL "winner legal thank year wave sausage worth title", &secret, &word), HF_DAMAGED); /* exchanged */
    CHECK_INT(word, 0);
    CHECK_INT(decode("", &secret, &word), HF_DAMAGED);
    CHECK_INT(word, 0);
    CHECK_INT(decode(" \t\n", &secret, &word), HF_DAMAGED);
    CHECK_INT(word, 0);
    CHECK_INT(decode(LEGAL LEGAL "legal winner thank year wave sausage worth", &secret, &word), HF_DAMAGED); /* 23 */
    CHECK_INT(word, 0);
    CHECK_INT(decode(LEGAL LEGAL "legal winner thank year wave sausage worth title title", &secret, &word), HF_DAMAGED); /* 25 */
    CHECK_INT(word, 0);
    CHECK_INT(decode("legal winner thnak year", &secret, &word), HF_DAMAGED);
    CHECK_INT(word, 3);
    CHECK_INT(decode(LEGAL LEGAL "legal winner thank year wave sausage worth titles", &secret, &word), HF_DAMAGED);
    CHECK_INT(word, 24);
    const char *const unknown[] = {"le", "legall", "legalwinner", "l", "zoos", "zo", "\xc3\xa9tude", "legal,", "abandonabandon", "aban\xc3"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        CHECK_INT(decode(unknown[i], &secret, &word), HF_DAMAGED);
        CHECK_INT(word, 1);
    }
    CHECK_INT(hf_phrase_decode("legal\0winner", 12, &secret, &word), HF_DAMAGED);
    CHECK_INT(word, 1);
    for (size_t i = 0; i < sizeof secret; i++)
        CHECK_INT(secret.bytes[i], 0xaa); /* untouched */
}

/* --- the box --- */

TEST(recovery_opens_only_what_was_sealed)
{
    enum { PLAIN_LEN = 100, BOX_LEN = PLAIN_LEN + HF_RECOVERY_BOX_OVERHEAD };
    struct hf_recovery_secret secret;
    uint8_t vault_id[16] = {5};
    uint8_t public_key[32];
    uint8_t plain[PLAIN_LEN];
    uint8_t box[BOX_LEN];
    uint8_t other[BOX_LEN];
    uint8_t out[PLAIN_LEN];
    const struct hf_span aad = HF_SPAN("header", 6);
    memset(&secret, 3, sizeof secret);
    memset(plain, 'p', sizeof plain);
    memset(out, 0xaa, sizeof out);
    hf_recovery_public(&secret, vault_id, public_key);
    CHECK_INT(hf_recovery_seal(public_key, aad, HF_SPAN_OF(plain), box), HF_OK);
    CHECK_INT(hf_recovery_seal(public_key, aad, HF_SPAN_OF(plain), other), HF_OK);
    CHECK(memcmp(box, other, 32) != 0); /* an ephemeral key each time */
    for (size_t at = 0; at < BOX_LEN; at++) {
        for (unsigned bit = 0; bit < 8; bit++) { /* bit 255 of the ephemeral key too: X25519 ignores it, the KDF does not */
            box[at] = (uint8_t)(box[at] ^ 1u << bit);
            CHECK_INT(hf_recovery_open(&secret, vault_id, aad, HF_SPAN_OF(box), out), HF_DAMAGED);
            box[at] = (uint8_t)(box[at] ^ 1u << bit);
        }
    }
    for (size_t len = 0; len < BOX_LEN; len++)
        CHECK_INT(hf_recovery_open(&secret, vault_id, aad, HF_SPAN(box, len), out), HF_DAMAGED);
    CHECK_INT(hf_recovery_open(&secret, vault_id, HF_SPAN("headeR", 6), HF_SPAN_OF(box), out), HF_DAMAGED);
    secret.bytes[0] ^= 1;
    CHECK_INT(hf_recovery_open(&secret, vault_id, aad, HF_SPAN_OF(box), out), HF_DAMAGED);
    secret.bytes[0] ^= 1;
    vault_id[0] ^= 1;
    CHECK_INT(hf_recovery_open(&secret, vault_id, aad, HF_SPAN_OF(box), out), HF_DAMAGED);
    vault_id[0] ^= 1;
    for (size_t i = 0; i < sizeof out; i++)
        CHECK_INT(out[i], 0xaa); /* untouched */
    CHECK_INT(hf_recovery_open(&secret, vault_id, aad, HF_SPAN_OF(box), out), HF_OK);
    CHECK_MEM(out, plain, sizeof plain);
}

TEST(recovery_refuses_points_of_low_order)
{
    uint8_t out[HF_RECOVERY_BOX_OVERHEAD + 1] = {0};
    uint8_t point[32] = {0};
    struct hf_recovery_secret secret = {{1}};
    uint8_t vault_id[16] = {0};
    CHECK_INT(hf_recovery_seal(point, HF_SPAN(NULL, 0), HF_SPAN("x", 1), out), HF_DAMAGED);
    CHECK_INT(hf_recovery_open(&secret, vault_id, HF_SPAN(NULL, 0), HF_SPAN_OF(out), out), HF_DAMAGED);
    point[0] = 1;
    CHECK_INT(hf_recovery_seal(point, HF_SPAN(NULL, 0), HF_SPAN("x", 1), out), HF_DAMAGED);
}

int main(void)
{
    struct hf_error error;
    if (hf_secret_open(0, 64 * 1024, &error) != HF_OK || hf_crypto_start() != HF_OK)
        return 1;
    return check_run_all();
}
