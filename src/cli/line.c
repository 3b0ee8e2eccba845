/* cli/line.c: text that may hold anything (names, paths, arguments) as one line for people, or as a JSON string. Nothing a terminal obeys is printed [IF-5] [IF-8]. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How many bytes the character there has; 0: none, or a control character. Overlong forms and surrogates are none: their second byte tells. */
static size_t character(const unsigned char *at)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] <= 0xdf ? 2 : at[0] >= 0xe0 && at[0] <= 0xef ? 3 : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4 : 0;
    if (at[0] < 0x20 || at[0] == 0x7f)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    bool odd = (at[0] == 0xc2 && at[1] < 0xa0) || (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf0 && at[1] < 0x90) ||
               (at[0] == 0xf4 && at[1] > 0x8f);
    return odd ? 0 : len;
}

void cli_show(FILE *out, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t len = character(at);
        if (len)
            (void)fwrite(at, 1, len, out);
        else
            (void)fprintf(out, "\\x%02x", *at);
        at += len ? len : 1;
    }
}

void cli_complain(const char *format, ...)
{
    static char text[16384]; /* two paths and more */
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)fputs("holdfast: ", stderr);
    cli_show(stderr, text);
    (void)fputc('\n', stderr);
}

/* A byte that is no character becomes a lone surrogate, U+DC00 and the byte: Python's surrogateescape gives the byte back. */
void cli_json_string(const char *text)
{
    (void)putchar('"');
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        size_t len = character(at);
        if (*at == '"' || *at == '\\')
            (void)printf("\\%c", *at);
        else if (len)
            (void)fwrite(at, 1, len, stdout);
        else
            (void)printf("\\u%s%02x", *at < 0x80 ? "00" : "dc", *at);
        at += len ? len : 1;
    }
    (void)putchar('"');
}
