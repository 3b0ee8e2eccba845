/* tests/fault/sweep.h: what the sweeps of test_fault.c share: children, a workload that runs, a state that is judged. */
#ifndef HF_TEST_FAULT_SWEEP_H
#define HF_TEST_FAULT_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "crash.h"
#include "model.h"
#include "works.h"

#ifdef __SANITIZE_ADDRESS__
enum { SLOWER = 4 }; /* a fork costs more there */
#else
enum { SLOWER = 1 };
#endif

/* Shared by all processes. */
extern struct counts {
    uint64_t cuts, states, torn_states, second_states, torn_damaged, bad;
    uint64_t runs, hits, failed_operations, done_operations, recoveries;
    unsigned shown;
} *counts;

/* By the child that runs; main makes one for each job. */
extern struct shared_text {
    char text[500];
    uint32_t findings;
} *said;

extern bool long_run;
extern uint64_t run_seed;

void complain(const char *work, const char *what, uint32_t position, const char *text);
void figure(const char *name, uint64_t value);

/* Runs fn in a child; its text is in said. HF's own assertions count as wrong. */
bool in_child(bool (*fn)(void *arg), void *arg);

struct work_run {
    const struct work *work;
    bool no_close;
};
/* For in_child: the workload on an empty disk, with disk_fault. */
bool run_work(void *work_run);
/* Before it. */
void fresh_log(void);
/* For the one who looks into a failure. */
void show_log(uint32_t from);

struct state_run {
    struct disk *disk;
    struct judgement judgement;
    bool closes;
};
/* For in_child: mounts what a cut left, judges and checks it. */
bool judge_state(void *state_run);
/* hf_tree_start on disk_now. */
enum hf_result start_tree(struct hf_error *error);

struct cut_run {
    const struct work *work;
    struct crash crash;
    struct survivors survivors;
    uint32_t position;
    uint32_t log_count;
    uint64_t log_used;
    uint32_t next_ino;
};
/* The log as the workload left it: what recoveries wrote goes. */
void rewind_log(const struct cut_run *run);

#endif
