/* fault/keylife.h: what the owner of a vault does, and what must be there after each thing that was acknowledged: the workloads of test_keylife. */
#ifndef HF_TEST_KEYLIFE_H
#define HF_TEST_KEYLIFE_H

#include <stdbool.h>
#include <stdint.h>

#include "keymachine.h"

enum { OPS = 40, FILES = 96, LIMIT = 5, SHOWN = 12, SAID_LEN = 400, WORKS = 4 };

/* What the owner has after an operation that was acknowledged. */
struct world {
    bool exists, erased, gone; /* gone: the limit was reached */
    bool recovering;           /* the operation that leads here is a recovery: before its end the phrase alone may open */
    bool phrase_moves;         /* … makes a new phrase: before its end the old one may be gone (the passcode opens) */
    bool has_phrase;
    char passcode[24];
    uint8_t phrase[32];
    unsigned files;
    uint32_t head_settled;
};

/* Shared by all processes. */
struct journal {
    struct world worlds[OPS];
    uint32_t op, acked;
    struct key_file files[FILES];
    char failure[300];
    uint32_t judged; /* wrong tries that were judged since the last success */
    uint32_t judged_at_all;
    bool stopped; /* by an operation that failed */
};

struct counts {
    uint64_t cuts, states, runs, hits, failed, done, tries, bad;
    char text[SHOWN][500];
    unsigned shown;
};

/* The test makes them, shared; said (SAID_LEN) by the child that runs. */
extern struct journal *journal;
extern struct counts *counts;
extern char *said;
extern uint64_t run_seed;

extern const struct work {
    const char *name;
    void (*run)(void);
} works[WORKS];

/* Boots enclave and element on an empty disk and does the work (a struct work) to its end, or to the first verb that disk_fault kept from it. False, and said: a verb
 * did what it should not. */
bool run_work(void *work);

#endif
