/* base/result.h: the one list of outcomes that every function in Holdfast returns, and the message that goes with one.
 *
 * A function that can fail returns enum hf_result and puts its outputs last (`ret_…`), untouched on failure.
 * errno stops at os/; the filesystem rebuilds one errno from a result in fs/errno.h. Source: spec/01-interface.md [IF-1]. */
#ifndef HF_BASE_RESULT_H
#define HF_BASE_RESULT_H

#include <stdarg.h>
#include <stddef.h>

enum hf_result {
    HF_OK = 0,
    HF_FAILED,           /* anything else went wrong; exit 1 */
    HF_USAGE,            /* the caller's words are off; exit 2 */
    HF_WRONG_PASSCODE,   /* judged and refused; exit 3 */
    HF_DELAYED,          /* in a delay: neither judged nor counted; exit 4 */
    HF_GONE,             /* erased, or the limit of guesses is reached; exit 5 */
    HF_LOCKED,           /* the class's key is not there now; exit 6, ENOKEY */
    HF_DAMAGED,          /* authentication failed: tampered or damaged; exit 7, EIO */
    HF_REFUSED,          /* refused by policy; exit 8 */
    HF_UNREACHABLE,      /* the element or store cannot be reached; exit 9 */
    HF_NO_MEMORY,        /* ENOMEM */
    HF_IO,               /* the disk or a socket failed; EIO */
    HF_NO_SPACE,         /* ENOSPC or EDQUOT */
    HF_NOT_FOUND,        /* ENOENT */
    HF_EXISTS,           /* EEXIST */
    HF_BUSY,             /* held by someone else */
    HF_PROTOCOL,         /* a message that is malformed or not allowed in this state */
    HF_CLOSED,           /* the other end of a channel is gone */
    HF_UNSUPPORTED,      /* EOPNOTSUPP */
    HF_TOO_LARGE,        /* over a documented limit */
    HF_DENIED,           /* EACCES or EPERM */
    HF_RESULT_COUNT
};

#define HF_MUST_USE __attribute__((warn_unused_result))
#define HF_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

/* The one control-flow macro: passes a failure on. */
#define HF_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        enum hf_result hf_try_ = (expr);                                                                               \
        if (hf_try_ != HF_OK)                                                                                          \
            return hf_try_;                                                                                            \
    } while (0)

/* A result with its one line for a person: names the object, what is wrong, what to do. Never holds a secret. */
struct hf_error {
    enum hf_result result;
    char text[248]; /* NUL-terminated; cut when longer */
};

/* Sets *error (when not NULL) and returns result, so that `return hf_fail(...)` reads well. */
enum hf_result hf_fail(struct hf_error *error, enum hf_result result, const char *fmt, ...) HF_PRINTF(3, 4);

/* A short phrase for a result, for messages that have nothing better. Never NULL. */
const char *hf_result_text(enum hf_result result);

/* The process exit status of page 01 for a result. */
int hf_result_exit_code(enum hf_result result);

/* Stays on in release; for our own bugs only, never for input. Prints file and line, then aborts. */
#define HF_ASSERT(cond) ((cond) ? (void)0 : hf_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void hf_assert_failed(const char *cond, const char *file, int line);

#endif
