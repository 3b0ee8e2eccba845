/* The recovery phrase: 256 bits and the first 8 of their SHA-256, as 24 numbers of 11 bits, as words (BIP-39). */
#include <sodium.h>

#include "crypto/phrase_words.h"
#include "crypto/recovery.h"
#include "keys/wipe.h"

#pragma GCC poison memcmp strcpy sprintf

enum { BITS_LEN = HF_RECOVERY_SECRET_LEN + 1, BITS_PER_WORD = 11, CUT_LETTERS = 4, NO_WORD = HF_PHRASE_WORD_COUNT };
_Static_assert(BITS_LEN * 8 == HF_PHRASE_WORDS * BITS_PER_WORD, "24 words hold the secret and its checksum");

static uint8_t checksum(const uint8_t secret[HF_RECOVERY_SECRET_LEN])
{
    uint8_t hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256(hash, secret, HF_RECOVERY_SECRET_LEN);
    uint8_t first = hash[0];
    hf_wipe(hash, sizeof hash);
    return first;
}

static unsigned get_number(const uint8_t bits[BITS_LEN], unsigned word)
{
    unsigned value = 0;
    for (unsigned at = word * BITS_PER_WORD; at < (word + 1) * BITS_PER_WORD; at++)
        value = value << 1 | ((unsigned)bits[at / 8] >> (7 - at % 8) & 1u);
    return value;
}

static void put_number(uint8_t bits[BITS_LEN], unsigned word, unsigned value)
{
    for (unsigned i = 0; i < BITS_PER_WORD; i++) {
        unsigned at = word * BITS_PER_WORD + i;
        unsigned bit = value >> (BITS_PER_WORD - 1 - i) & 1u;
        bits[at / 8] = (uint8_t)(bits[at / 8] | bit << (7 - at % 8));
    }
}

const char *hf_phrase_word(unsigned index)
{
    HF_ASSERT(index < HF_PHRASE_WORD_COUNT);
    return hf_phrase_words[index];
}

void hf_phrase_encode(const struct hf_recovery_secret *secret, char out[HF_PHRASE_MAX])
{
    uint8_t bits[BITS_LEN];
    memcpy(bits, secret->bytes, HF_RECOVERY_SECRET_LEN);
    bits[HF_RECOVERY_SECRET_LEN] = checksum(secret->bytes);
    size_t len = 0;
    for (unsigned i = 0; i < HF_PHRASE_WORDS; i++) {
        const char *word = hf_phrase_words[get_number(bits, i)];
        if (i > 0)
            out[len++] = ' ';
        for (; *word; word++)
            out[len++] = *word;
    }
    HF_ASSERT(len < HF_PHRASE_MAX);
    out[len] = '\0';
    hf_wipe(bits, sizeof bits);
}

/* Where words begin and end, so their lengths, is not kept from a clock; the letters are. */
static bool is_blank(char c)
{
    bool blank = (c == ' ') | ((c >= '\t') & (c <= '\r'));
    HF_NOW_PUBLIC(blank);
    return blank;
}

/* Without a branch: the typed letter is secret. */
static unsigned to_lower(uint8_t c)
{
    unsigned upper = (('A' - 1u - c) & (c - ('Z' + 1u))) >> 31;
    return c | upper << 5;
}

/* 1 when the word is what was typed (any case), or its first four letters are; else 0. */
static unsigned word_matches(const char word[HF_PHRASE_WORD_MAX + 1], const char *typed, size_t len)
{
    unsigned difference = len == CUT_LETTERS ? 0 : (uint8_t)word[len];
    for (size_t i = 0; i < len; i++)
        difference |= to_lower((uint8_t)typed[i]) ^ (uint8_t)word[i];
    return (difference - 1u) >> 31;
}

/* Always walks the whole list, and takes no branch by what is in it: where a word stands there is a part of the secret. */
static unsigned find_word(const char *typed, size_t len)
{
    unsigned found = NO_WORD;
    if (len == 0 || len > HF_PHRASE_WORD_MAX)
        return NO_WORD;
    for (unsigned i = 0; i < HF_PHRASE_WORD_COUNT; i++)
        found ^= (found ^ i) & (0u - word_matches(hf_phrase_words[i], typed, len));
    return found;
}

/* Fills bits; returns how many words there were, 0 with *ret_word set when one is unknown. Words after the 24th are counted only. */
static unsigned read_words(const char *text, size_t len, uint8_t bits[BITS_LEN], int *ret_word)
{
    unsigned count = 0;
    size_t at = 0;
    for (;;) {
        while (at < len && is_blank(text[at]))
            at++;
        if (at == len)
            return count;
        size_t start = at;
        while (at < len && !is_blank(text[at]))
            at++;
        if (count < HF_PHRASE_WORDS) {
            unsigned number = find_word(text + start, at - start);
            bool unknown = number == NO_WORD; /* the owner is told which */
            HF_NOW_PUBLIC(unknown);
            if (unknown) {
                *ret_word = (int)count + 1;
                return 0;
            }
            put_number(bits, count, number);
        }
        count++;
    }
}

enum hf_result hf_phrase_decode(const char *text, size_t len, struct hf_recovery_secret *ret, int *ret_word)
{
    uint8_t bits[BITS_LEN] = {0};
    int unknown = 0;
    unsigned count = read_words(text, len, bits, &unknown);
    uint8_t sum = checksum(bits);
    bool good = count == HF_PHRASE_WORDS && hf_equal_ct(&bits[HF_RECOVERY_SECRET_LEN], &sum, 1);
    if (good)
        memcpy(ret->bytes, bits, HF_RECOVERY_SECRET_LEN);
    else
        *ret_word = unknown;
    hf_wipe(bits, sizeof bits);
    return good ? HF_OK : HF_DAMAGED;
}
