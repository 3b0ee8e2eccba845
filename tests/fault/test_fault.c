/* Power cuts and failing calls under the whole tree (fs/tree.h, without FUSE), on the disk in memory of disk.h.
 *
 * cuts: a workload runs once; for each entry of its log the states that a cut behind it may leave are made, mounted, and held against the journal; some of them lose power again
 * while they recover. faults: the workload runs once for each call k with an error at k (once, or from k on); each operation must have done all or nothing and say so,
 * and after a mount everything is as it was said. recoveries: behind some cuts the recovery itself meets a failing call, and the mount after it is to find everything [CR-16] [FR-15]. Proves [CR-2] [CR-3] [CR-4] [CR-5] [CR-6] [CR-7] [CR-8] [CR-15] for names, attributes and contents together.
 * The freshness index is on: its log lies on the same disk, and nothing may be called stale after a cut ([FR-4] [FR-6] [FR-8]).
 *
 * test_fault [SEED]; HF_LONG=1: every boundary. HF_FAULT_WORK=name, HF_FAULT_AT=position, HF_FAULT_KIND=cuts|faults|recoveries: one; HF_FAULT_OWN=0|1: the disk with one journal, or with syncs of single inodes, alone (crash.h); HF_FAULT_NO_FRESHNESS=1: without the index. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/wrap.h"
#include "fs/tree.h"
#include "fs/worker.h"
#include "os/secret.h"
#include "standins.h"
#include "sweep.h"

enum { SEEDS = 5, FIRST_CALLS = 100 };

/* What libcrypto keeps for good is found from the arena alone, where the leak checker does not look. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto";
}

static bool thorough; /* one boundary alone: each of its states is cut again, often */

/* The recovery itself loses power: after a few of its writes, and when it was done and closed. */
static void cut_again(struct cut_run *run, struct disk *before, struct state_run *state)
{
    static struct crash again;
    static struct survivors left;
    uint32_t recorded = disk_log->count;
    crash_start(&again, disk_copy(before), run->log_count);
    while (again.position < recorded) {
        crash_step(&again);
        if (again.position < recorded && work_random(thorough ? 1 : 8) != 0)
            continue;
        survivors_none(&again, &left);
        if (work_random(2)) {
            left.metas = work_random(again.metas + 1);
            for (unsigned i = 0; i < again.count; i++)
                left.data[i] = (uint8_t)work_random(2);
        }
        uint32_t count = disk_log->count, next_ino = disk_log->next_ino;
        uint64_t used = disk_log->used;
        struct state_run second = {.disk = crash_state(&again, &left), .judgement = state->judgement};
        __atomic_add_fetch(&counts->second_states, 1, __ATOMIC_SEQ_CST);
        if (!in_child(judge_state, &second)) {
            char text[560];
            (void)snprintf(text, sizeof text, "cut in the recovery at %u of %u: %s", again.position - run->log_count, recorded - run->log_count, said->text);
            complain(run->work->name, "second cut", run->position, text);
            if (getenv("HF_FAULT_TRACE"))
                show_log(run->log_count);
        }
        disk_log->count = count;
        disk_log->used = used;
        disk_log->next_ino = next_ino;
        disk_free(second.disk);
    }
    disk_free(again.durable);
}

static void judge_one(struct cut_run *run, const char *what, bool again)
{
    struct disk *disk = crash_state(&run->crash, &run->survivors);
    struct state_run state = {.disk = disk, .judgement = {.acked = run->crash.acked, .begun = run->crash.begun, .names_apart = crash_profile == CRASH_OWN}, .closes = again || thorough};
    for (unsigned i = 0; i < run->crash.count; i++) {
        if (run->survivors.data[i] == 2)
            state.judgement.torn_ino = run->crash.pending[i].ino;
    }
    uint64_t *counter = state.judgement.torn_ino ? &counts->torn_states : &counts->states;
    __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
    said->findings = 0;
    bool good = in_child(judge_state, &state);
    if (!good)
        complain(run->work->name, what, run->position, said->text);
    if (state.judgement.torn_ino && said->findings)
        __atomic_add_fetch(&counts->torn_damaged, 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; good && i < (thorough ? 20 : again); i++)
        cut_again(run, disk, &state);
    disk_free(disk);
    rewind_log(run);
}

/* All states of one cut. */
static void cut_here(struct cut_run *run)
{
    struct crash *crash = &run->crash;
    struct survivors *s = &run->survivors;
    unsigned data_count = crash->count - crash->metas, last = PENDING;
    __atomic_add_fetch(&counts->cuts, 1, __ATOMIC_SEQ_CST);
    survivors_none(crash, s);
    judge_one(run, "nothing unsynced survives", work_random(long_run ? 6 : 12) == 0);
    if (crash->count == 0)
        return;
    survivors_all(crash, s);
    judge_one(run, "everything survives", work_random(long_run ? 12 : 25) == 0);
    survivors_all(crash, s);
    s->metas = 0;
    judge_one(run, "data without metadata", false);
    survivors_none(crash, s);
    s->metas = crash->metas;
    judge_one(run, "metadata without data", false);
    for (unsigned i = 0; i < crash->count; i++) { /* each pending write alone dropped, and alone there */
        if (disk_is_meta(crash->pending[i].kind))
            continue;
        last = crash->pending[i].kind == DISK_DATA ? i : last;
        if (data_count > 12 && work_random(data_count) >= 12)
            continue;
        survivors_all(crash, s);
        s->data[i] = 0;
        judge_one(run, "one write dropped", false);
        survivors_none(crash, s);
        s->data[i] = 1;
        s->metas = work_random(crash->metas + 1);
        judge_one(run, "one write alone", false);
    }
    for (unsigned m = 1; m < crash->metas; m++) { /* the journal up to each point, with data and without */
        if (crash->metas > 12 && work_random(crash->metas) >= 12)
            continue;
        survivors_all(crash, s);
        s->metas = m;
        judge_one(run, "metadata up to a point, all data", false);
        survivors_none(crash, s);
        s->metas = m;
        judge_one(run, "metadata up to a point, no data", false);
    }
    for (unsigned i = 0; i < 4; i++) {
        survivors_none(crash, s);
        s->metas = work_random(crash->metas + 1);
        for (unsigned k = 0; k < crash->count; k++)
            s->data[k] = (uint8_t)work_random(2);
        judge_one(run, "some of both", work_random(40) == 0);
    }
    for (unsigned sectors = 1; last < PENDING && sectors < 8; sectors += 3) {
        survivors_all(crash, s);
        s->data[last] = 2;
        s->torn_sectors = sectors;
        s->torn_tail = work_random(2);
        judge_one(run, "last write torn at 512", false);
    }
}

static void cuts_of(const struct work *work, unsigned one_in)
{
    static struct cut_run run;
    struct work_run worker = {.work = work};
    const char *at = getenv("HF_FAULT_AT");
    fresh_log();
    disk_fault = (struct disk_fault){.kind = DISK_NO_FAULT};
    if (!in_child(run_work, &worker)) {
        complain(work->name, "without a cut", 0, said->text);
        return;
    }
    if (getenv("HF_FAULT_TRACE"))
        show_log(0);
    thorough = at != NULL;
    run = (struct cut_run){.work = work, .log_count = disk_log->count, .log_used = disk_log->used, .next_ino = disk_log->next_ino};
    crash_start(&run.crash, disk_new(), 0);
    work_seed(run_seed + 5);
    while (run.crash.position < run.log_count) {
        const struct disk_entry *entry = &disk_log->entries[run.crash.position];
        crash_step(&run.crash);
        run.position = run.crash.position;
        run.log_used = disk_log->used;
        if (run.crash.acked == 0 && run.crash.begun == 0)
            continue; /* the vault's first mount is creation's */
        if (at ? (uint32_t)atoi(at) == run.position : entry->kind != DISK_BEGIN && work_random(one_in) == 0)
            cut_here(&run);
    }
}

/* --- failing calls --- */

/* Counts the calls of a run without errors. */
static uint64_t calls_of(const struct work *work, enum disk_fault_kind kind)
{
    struct work_run worker = {.work = work};
    fresh_log();
    return disk_count_calls(kind, run_work, &worker);
}

/* The disk as it is when the machine is shut down in order (all), or loses its power behind the last operation (not all). */
static void judge_after(const struct work *work, const char *what, uint64_t k, bool all)
{
    static struct cut_run run;
    run = (struct cut_run){.work = work, .log_count = disk_log->count, .log_used = disk_log->used, .next_ino = disk_log->next_ino};
    crash_start(&run.crash, disk_new(), 0);
    while (run.crash.position < run.log_count)
        crash_step(&run.crash);
    if (all)
        survivors_all(&run.crash, &run.survivors);
    else
        survivors_none(&run.crash, &run.survivors);
    struct state_run state = {.disk = crash_state(&run.crash, &run.survivors),
                              .judgement = {.acked = model->op, .begun = model->op, .names_apart = crash_profile == CRASH_OWN, .wholly_synced = all && !disk_fault.on}};
    if (!in_child(judge_state, &state))
        complain(work->name, what, (uint32_t)k, said->text);
    __atomic_add_fetch(&counts->states, 1, __ATOMIC_SEQ_CST);
    rewind_log(&run);
}

static void fault_at(const struct work *work, enum disk_fault_kind kind, uint64_t k, bool on, const char *what)
{
    char label[100];
    struct work_run worker = {.work = work, .no_close = on || k % 2};
    fresh_log();
    disk_fault = (struct disk_fault){.kind = kind, .at = k, .on = on};
    __atomic_add_fetch(&counts->runs, 1, __ATOMIC_SEQ_CST);
    (void)snprintf(label, sizeof label, "%s at call %llu%s", what, (unsigned long long)k, on ? " and all later ones" : "");
    if (!in_child(run_work, &worker)) {
        complain(work->name, label, (uint32_t)k, said->text);
        return;
    }
    if (kind != DISK_SYNC_LOST)
        judge_after(work, label, k, true);
    judge_after(work, label, k, false);
}

static const struct {
    enum disk_fault_kind kind;
    const char *name;
} faults[] = {{DISK_EIO, "EIO"}, {DISK_ENOSPC, "ENOSPC"}, {DISK_SHORT, "a short write"}, {DISK_SYNC_LOST, "a failed sync that loses pages"}, {DISK_ALLOC, "no memory"}};

/* There are many allocations and few syncs. */
static uint32_t rarer(enum disk_fault_kind kind, uint32_t one_in)
{
    return kind == DISK_ALLOC ? one_in * 4 : kind == DISK_SYNC_LOST ? one_in / 12 + 1 : one_in;
}

static void faults_of(const struct work *work, unsigned one_in)
{
    const char *at = getenv("HF_FAULT_AT");
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        uint64_t calls = calls_of(work, faults[i].kind);
        if (calls == 0)
            complain(work->name, "no calls were counted", i, said->text);
        for (uint64_t k = 0; k < calls; k++) {
            bool first = faults[i].kind == DISK_ALLOC && work == &works[2] && k < FIRST_CALLS; /* directories: tables and lists are empty then */
            if (at ? (uint64_t)atoi(at) != k : !first && work_random(rarer(faults[i].kind, one_in)) != 0)
                continue;
            if (!first)
                fault_at(work, faults[i].kind, k, false, faults[i].name);
            if (long_run || at || first || k % 3 == 0)
                fault_at(work, faults[i].kind, k, true, faults[i].name);
        }
    }
}

/* --- failing calls in the recovery --- */

struct recovery_run {
    struct disk *disk;
    bool closes;
};

/* A mount after a cut whose disk or memory fails: it may end in any way, and say of any name that it cannot be read. */
static bool recover_badly(void *arg)
{
    struct recovery_run *run = arg;
    struct hf_error error = {.result = HF_OK};
    hf_disk = &disk_ops;
    disk_now = run->disk;
    stand_seed(run_seed + 77);
    if (!getenv("HF_FAULT_TRACE") && !freopen("/dev/null", "w", stderr))
        return false;
    disk_fault.armed = disk_fault.kind != DISK_NO_FAULT;
    enum hf_result result = start_tree(&error);
    if (result == HF_OK && run->closes)
        (void)hf_tree_close();
    disk_fault.armed = false;
    __atomic_add_fetch(&counts->hits, disk_fault.hits, __ATOMIC_SEQ_CST);
    return true;
}

static void recovery_fault(struct cut_run *run, struct disk *before, enum disk_fault_kind kind, uint64_t k, bool on, bool loses, const char *name)
{
    static struct crash after;
    static struct survivors left;
    char label[120];
    rewind_log(run);
    disk_fault = (struct disk_fault){.kind = kind, .at = k, .on = on};
    (void)snprintf(label, sizeof label, "%s at call %llu%s of the recovery%s", name, (unsigned long long)k, on ? " and all later ones" : "", loses ? ", then a cut" : "");
    struct recovery_run bad = {.disk = disk_copy(before), .closes = k % 2};
    __atomic_add_fetch(&counts->recoveries, 1, __ATOMIC_SEQ_CST);
    bool good = in_child(recover_badly, &bad);
    if (getenv("HF_FAULT_TRACE"))
        show_log(run->log_count);
    if (!good) {
        complain(run->work->name, label, run->position, said->text);
    } else {
        crash_start(&after, disk_copy(before), run->log_count);
        while (after.position < disk_log->count)
            crash_step(&after);
        if (loses)
            survivors_none(&after, &left);
        else
            survivors_all(&after, &left);
        struct state_run state = {.disk = crash_state(&after, &left), .judgement = {.acked = run->crash.acked, .begun = run->crash.begun, .names_apart = crash_profile == CRASH_OWN}};
        disk_fault = (struct disk_fault){.kind = DISK_NO_FAULT};
        if (!in_child(judge_state, &state))
            complain(run->work->name, label, run->position, said->text);
        disk_free(state.disk);
        disk_free(after.durable);
    }
    disk_free(bad.disk);
    rewind_log(run);
}

/* A few cuts; behind each the recovery meets a failing call, then the next mount is to find everything. */
static void recoveries_of(const struct work *work, unsigned one_in)
{
    static struct cut_run run;
    struct work_run worker = {.work = work};
    const char *at = getenv("HF_FAULT_AT"), *call = getenv("HF_FAULT_CALL");
    fresh_log();
    disk_fault = (struct disk_fault){.kind = DISK_NO_FAULT};
    if (!in_child(run_work, &worker)) {
        complain(work->name, "without a cut", 0, said->text);
        return;
    }
    run = (struct cut_run){.work = work, .log_count = disk_log->count, .log_used = disk_log->used, .next_ino = disk_log->next_ino};
    crash_start(&run.crash, disk_new(), 0);
    work_seed(run_seed + 6);
    while (run.crash.position < run.log_count) {
        crash_step(&run.crash);
        run.position = run.crash.position;
        run.log_used = disk_log->used;
        if ((run.crash.acked == 0 && run.crash.begun == 0) || (at ? (uint32_t)atoi(at) != run.position : work_random(one_in) != 0))
            continue;
        if (run.position % 2)
            survivors_all(&run.crash, &run.survivors);
        else
            survivors_none(&run.crash, &run.survivors);
        struct disk *before = crash_state(&run.crash, &run.survivors);
        run.log_used = disk_log->used;
        for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
            struct recovery_run good = {.disk = disk_copy(before), .closes = true};
            uint64_t calls = disk_count_calls(faults[i].kind, recover_badly, &good);
            disk_free(good.disk);
            rewind_log(&run);
            for (uint64_t k = 0; k < calls; k++) {
                if (call ? (uint64_t)atoi(call) != k : work_random(faults[i].kind == DISK_SYNC_LOST ? 1 : (uint32_t)calls / 12 + 1) != 0)
                    continue;
                uint32_t variant = work_random(4);
                for (uint32_t v = call ? 0 : variant; v <= (call ? 3 : variant); v++)
                    recovery_fault(&run, before, faults[i].kind, k, v & 1, faults[i].kind == DISK_SYNC_LOST || v & 2, faults[i].name);
            }
        }
        disk_free(before);
    }
}

/* --- all of it --- */

enum job_kind { JOB_FAULTS, JOB_CUTS, JOB_RECOVERIES };

struct job {
    const struct work *work;
    enum job_kind kind;
    enum crash_profile profile;
    uint64_t seed;
};

static void run_job(const struct job *job)
{
    run_seed = job->seed;
    crash_profile = job->profile;
    disk_start();
    model_start();
    work_seed(job->seed + 9);
    switch (job->kind) {
    case JOB_FAULTS: faults_of(job->work, (long_run ? 5 : 60) * SLOWER); break;
    case JOB_CUTS: cuts_of(job->work, (long_run ? 1 : 10) * SLOWER); break;
    case JOB_RECOVERIES: recoveries_of(job->work, (long_run ? 12 : 90) * SLOWER); break;
    }
    if (long_run)
        (void)printf("%s, %s, seed %llu: done; so far %llu boundaries, %llu states, %llu runs, %llu bad\n", job->work->name,
                     job->kind == JOB_FAULTS ? "failing calls" : job->kind == JOB_RECOVERIES ? "recoveries" : job->profile == CRASH_OWN ? "cuts, single inodes" : "cuts",
                     (unsigned long long)job->seed, (unsigned long long)counts->cuts, (unsigned long long)counts->states, (unsigned long long)counts->runs,
                     (unsigned long long)counts->bad);
    (void)fflush(stdout);
}

/* Two at a time. */
static void run_jobs(const struct job *jobs, unsigned count)
{
    unsigned running = 0;
    for (unsigned i = 0; i < count || running > 0;) {
        int status;
        if (i < count && running < 2) {
            said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
            if (fork() == 0) {
                run_job(&jobs[i]);
                _exit(0);
            }
            i++;
            running++;
            continue;
        }
        if (wait(&status) > 0) {
            running--;
            if (status != 0)
                complain("a job", "ended with a signal or status", (uint32_t)status, "");
        }
    }
}

int main(int argc, char **argv)
{
    struct hf_error error;
    const char *only = getenv("HF_FAULT_WORK"), *which = getenv("HF_FAULT_KIND"), *own = getenv("HF_FAULT_OWN");
    struct job jobs[128];
    unsigned count = 0;
    uint64_t base = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    long_run = getenv("HF_LONG") != NULL;
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (hf_secret_open(0, 0, &error) != HF_OK || hf_crypto_start() != HF_OK || hf_worker_start() != HF_OK)
        return 1;
    (void)hf_worker();
    for (unsigned seed = 0; seed < (long_run && SLOWER == 1 ? SEEDS : 1u); seed++) {
        for (unsigned i = 0; i < work_count; i++) {
            static const struct {
                enum job_kind kind;
                enum crash_profile profile;
            } kinds[] = {{JOB_FAULTS, CRASH_JOURNAL}, {JOB_CUTS, CRASH_JOURNAL}, {JOB_CUTS, CRASH_OWN}, {JOB_RECOVERIES, CRASH_JOURNAL}};
            for (unsigned k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
                if ((!only || strcmp(only, works[i].name) == 0) && (!which || which[0] == "fcr"[kinds[k].kind]) && (kinds[k].kind == JOB_CUTS || seed == 0) &&
                    (!own || atoi(own) == (int)kinds[k].profile))
                    jobs[count++] = (struct job){&works[i], kinds[k].kind, kinds[k].profile, base + seed};
            }
        }
    }
    run_jobs(jobs, count);
    figure("power cut boundaries", counts->cuts);
    figure("crash states, pages whole", counts->states);
    figure("crash states with a second cut", counts->second_states);
    figure("crash states, torn at 512 bytes", counts->torn_states);
    figure("torn states with damage that is noticed", counts->torn_damaged);
    figure("runs with failing calls", counts->runs);
    figure("recoveries with failing calls", counts->recoveries);
    figure("errors given", counts->hits);
    (void)printf("operations: %llu failed, %llu succeeded\n", (unsigned long long)counts->failed_operations, (unsigned long long)counts->done_operations);
    uint64_t tried = counts->states + counts->second_states + counts->torn_states + counts->runs + counts->recoveries;
    (void)printf("%llu passed, %llu failed\n", (unsigned long long)(tried - (counts->bad < tried ? counts->bad : tried)), (unsigned long long)counts->bad);
    return counts->bad ? 1 : 0;
}
