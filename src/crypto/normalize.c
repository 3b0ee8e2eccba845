#include <utf8proc.h>

#include "crypto/argon.h"
#include "keys/wipe.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

/* Before composition no character takes more than 1.5 code points a byte of its composed UTF-8 (U+0390: two bytes, three code points), so a
 * text that needs more than this is too long after it as well. */
enum { CODE_POINTS_MAX = 2 * HF_PASSCODE_MAX };

/* NFKC, and no code point that this Unicode version does not know: a later one could normalise it differently, and the owner were locked out. */
static const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_REJECTNA;

/* Both steps work in buffer, which has room for one code point more than CODE_POINTS_MAX (the NUL that reencode sets). The length in bytes, or 0. */
static size_t normalize_into(const void *input, size_t len, utf8proc_int32_t *buffer)
{
    utf8proc_ssize_t count = utf8proc_decompose(input, (utf8proc_ssize_t)len, buffer, CODE_POINTS_MAX, options);
    if (count <= 0 || count > CODE_POINTS_MAX)
        return 0;
    utf8proc_ssize_t bytes = utf8proc_reencode(buffer, count, options);
    return bytes > 0 && bytes <= HF_PASSCODE_MAX ? (size_t)bytes : 0;
}

enum hf_result hf_passcode_normalize(const void *input, size_t len, struct hf_passcode *ret)
{
    if (len == 0 || len > HF_PASSCODE_MAX || memchr(input, 0, len))
        return HF_USAGE;
    utf8proc_int32_t *buffer = hf_secret_alloc((CODE_POINTS_MAX + 1) * sizeof *buffer);
    if (!buffer)
        return HF_NO_MEMORY;
    size_t bytes = normalize_into(input, len, buffer);
    if (bytes > 0) {
        memset(ret, 0, sizeof *ret);
        ret->len = bytes;
        memcpy(ret->bytes, buffer, bytes);
    }
    hf_secret_free(&buffer);
    return bytes > 0 ? HF_OK : HF_USAGE;
}
