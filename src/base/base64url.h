/* base/base64url.h: RFC 4648 section 5 without padding. Strict: no white space, spare bits must be zero. No secrets. */
#ifndef HF_BASE_BASE64URL_H
#define HF_BASE_BASE64URL_H

#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

/* Characters for len bytes, without the terminating NUL. */
#define HF_BASE64URL_LEN(len) (((len)*4 + 2) / 3)

/* Writes HF_BASE64URL_LEN(len) characters and a NUL. out must hold them. */
void hf_base64url_encode(const uint8_t *bytes, size_t len, char *out);
/* Decodes text_len characters into at most cap bytes. HF_DAMAGED when not canonical, HF_TOO_LARGE over cap. */
HF_MUST_USE enum hf_result hf_base64url_decode(const char *text, size_t text_len, uint8_t *out, size_t cap,
                                               size_t *ret_len);

/* Lower-case hexadecimal of len bytes and a NUL: 2*len+1 characters. */
void hf_hex_encode(const uint8_t *bytes, size_t len, char *out);

#endif
