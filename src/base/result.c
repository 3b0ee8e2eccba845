#include "base/result.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const texts[HF_RESULT_COUNT] = {
    [HF_OK] = "done",
    [HF_FAILED] = "something went wrong",
    [HF_USAGE] = "the command is not understood",
    [HF_WRONG_PASSCODE] = "wrong passcode",
    [HF_DELAYED] = "too soon after a failed try",
    [HF_GONE] = "the vault is erased or its limit of guesses is reached",
    [HF_LOCKED] = "locked",
    [HF_DAMAGED] = "tampered with or damaged",
    [HF_REFUSED] = "refused by policy",
    [HF_UNREACHABLE] = "the element or store cannot be reached",
    [HF_NO_MEMORY] = "out of memory",
    [HF_IO] = "input/output error",
    [HF_NO_SPACE] = "no space left",
    [HF_NOT_FOUND] = "not found",
    [HF_EXISTS] = "exists already",
    [HF_BUSY] = "busy or timed out",
    [HF_PROTOCOL] = "a malformed or unexpected message",
    [HF_CLOSED] = "the other end is gone",
    [HF_UNSUPPORTED] = "not supported here",
    [HF_TOO_LARGE] = "over a limit",
    [HF_DENIED] = "permission denied",
};

enum hf_result hf_fail(struct hf_error *error, enum hf_result result, const char *fmt, ...)
{
    if (error) {
        va_list args;
        va_start(args, fmt);
        error->result = result;
        error->text[0] = '\0';
        (void)vsnprintf(error->text, sizeof error->text, fmt, args);
        va_end(args);
    }
    return result;
}

const char *hf_result_text(enum hf_result result)
{
    if ((unsigned)result >= HF_RESULT_COUNT)
        return "an unknown result";
    return texts[result];
}

int hf_result_exit_code(enum hf_result result)
{
    /* The first ten are numbered as page 01 numbers exits; the finer ones are all "anything else". */
    if ((unsigned)result <= HF_UNREACHABLE)
        return (int)result;
    return 1;
}

_Noreturn void hf_assert_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "holdfast: bug: %s at %s:%d\n", cond, file, line);
    abort();
}
