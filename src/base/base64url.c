#include "base/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void hf_base64url_encode(const uint8_t *bytes, size_t len, char *out)
{
    uint32_t bits = 0;
    unsigned held = 0; /* how many low bits of `bits` are not written yet */
    for (size_t i = 0; i < len; i++) {
        bits = (bits & 0xffu) << 8 | bytes[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            *out++ = alphabet[bits >> held & 63u];
        }
    }
    if (held > 0)
        *out++ = alphabet[bits << (6 - held) & 63u];
    *out = '\0';
}

/* The value of a character, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;
    if (c == '_')
        return 63;
    return -1;
}

/* HF_OK when text is what hf_base64url_encode would give for some bytes. */
static enum hf_result check_canonical(const char *text, size_t text_len)
{
    for (size_t i = 0; i < text_len; i++) {
        if (value_of(text[i]) < 0)
            return HF_DAMAGED;
    }
    unsigned spare = 0; /* bits of the last character that carry nothing */
    switch (text_len % 4) {
    case 1:
        return HF_DAMAGED;
    case 2:
        spare = 15;
        break;
    case 3:
        spare = 3;
        break;
    default:
        break;
    }
    if (spare && (unsigned)value_of(text[text_len - 1]) & spare)
        return HF_DAMAGED;
    return HF_OK;
}

enum hf_result hf_base64url_decode(const char *text, size_t text_len, uint8_t *out, size_t cap, size_t *ret_len)
{
    HF_TRY(check_canonical(text, text_len));
    size_t len = text_len / 4 * 3 + (text_len % 4 ? text_len % 4 - 1 : 0);
    if (len > cap)
        return HF_TOO_LARGE;
    uint32_t bits = 0;
    unsigned held = 0;
    size_t at = 0;
    for (size_t i = 0; i < text_len; i++) {
        bits = (bits & 0xffu) << 6 | (uint32_t)value_of(text[i]);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[at++] = (uint8_t)(bits >> held);
        }
    }
    HF_ASSERT(at == len);
    *ret_len = len;
    return HF_OK;
}

void hf_hex_encode(const uint8_t *bytes, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15u];
    }
    *out = '\0';
}
