/* crypto/recovery.h: the recovery phrase as a person types it. A phrase that is accepted says one secret, which encodes to the same phrase in its plain form. */
#include "crypto/recovery.h"
#include "crypto/wrap.h"
#include "fuzz.h"

void fuzz_start(void)
{
    FUZZ_PROMISE(hf_crypto_start() == HF_OK);
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    struct hf_recovery_secret secret, again;
    char text[HF_PHRASE_MAX];
    int word = 0;
    if (hf_phrase_decode((const char *)data, len, &secret, &word) != HF_OK) {
        FUZZ_PROMISE(word >= 0 && word <= HF_PHRASE_WORDS);
        return false;
    }
    hf_phrase_encode(&secret, text);
    FUZZ_PROMISE(hf_phrase_decode(text, strlen(text), &again, &word) == HF_OK && memcmp(&again, &secret, sizeof secret) == 0);
    return true;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    struct hf_recovery_secret secret;
    char text[HF_PHRASE_MAX];
    if (number > 5)
        return 0;
    for (size_t i = 0; i < sizeof secret; i++)
        secret.bytes[i] = (uint8_t)(number == 0 ? 0 : number == 1 ? 255 : i * 7 * number);
    hf_phrase_encode(&secret, text);
    size_t len = strlen(text);
    if (number == 4) /* capitals, other blanks */
        for (size_t i = 0; i < len; i++)
            text[i] = (char)(text[i] == ' ' ? "\t\n\r "[i % 4] : i % 3 ? text[i] : text[i] - 32);
    if (number == 5) { /* first four letters */
        size_t to = 0, in_word = 0;
        for (size_t i = 0; i < len; i++) {
            in_word = text[i] == ' ' ? 0 : in_word + 1;
            if (in_word <= 4)
                text[to++] = text[i];
        }
        len = to;
    }
    memcpy(out, text, len);
    return len;
}

/* A checksum hardly ever fits: one mutant in four becomes the phrase of a secret that its bytes give, with what people do to one. */
size_t fuzz_mend(uint8_t *data, size_t len)
{
    struct hf_recovery_secret secret;
    char text[HF_PHRASE_MAX];
    if (len < 2 || data[len - 1] % 4)
        return len;
    for (size_t i = 0; i < sizeof secret; i++)
        secret.bytes[i] = (uint8_t)(data[i % len] * 13 + i);
    hf_phrase_encode(&secret, text);
    size_t text_len = strlen(text);
    for (size_t i = 0; i < text_len; i++)
        text[i] = (char)(text[i] == ' ' ? "  \t\n"[data[i % len] % 4] : data[i % len] & 1 ? text[i] - 32 : text[i]);
    memcpy(data, text, text_len);
    return text_len;
}
