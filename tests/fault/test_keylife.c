/* Power cuts and failing calls in the life of a vault's keys: enclave and (software) element whole, over their real conversation, on the disk in memory of disk.h, with a
 * fast function in Argon2id's place. Workloads: tries up to the limit; a life of changes (passcode, phrase, settings, rotation, head); recovery; erase.
 *
 * Behind each entry of the log the states that a cut may leave are started anew: what was acknowledged stands, exactly one passcode opens [EL-5], every file key that was ever
 * given out opens, no try that was judged is uncounted [AT-1] and none is judged beyond the limit, an erase ends or nothing opens [ER-1]. With an error at call k: a verb that
 * says no has changed nothing or all; then the same. Proves [KB-1] [KB-7] [AT-1] [AT-4] [EL-5] [CR-1] under cuts.
 *
 * test_keylife [SEED]; HF_LONG=1: every boundary and call, five seeds. HF_FAULT_WORK=name, HF_FAULT_AT=position or call, HF_FAULT_KIND=cuts|faults: one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash.h"
#include "crypto/wrap.h"
#include "keylife.h"
#include "os/disk.h"
#include "os/secret.h"
#include "standins.h"

#ifdef __SANITIZE_ADDRESS__
enum { SLOWER = 4 };
#else
enum { SLOWER = 1 };
#endif

struct journal *journal;
struct counts *counts;
char *said;
uint64_t run_seed;
static bool long_run;

static bool fail(const char *what, enum hf_result result)
{
    (void)snprintf(said, SAID_LEN, "%s: %s", what, hf_result_text(result));
    return false;
}

static void complain(const char *work, const char *what, uint64_t position)
{
    __atomic_add_fetch(&counts->bad, 1, __ATOMIC_SEQ_CST);
    unsigned at = __atomic_fetch_add(&counts->shown, 1, __ATOMIC_SEQ_CST);
    if (at < SHOWN)
        (void)snprintf(counts->text[at], sizeof counts->text[at], "%s: %s, position %llu: %.350s", work, what, (unsigned long long)position, said);
}

static bool in_child(bool (*fn)(void *arg), void *arg)
{
    int status = -1;
    said[0] = '\0';
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(60);
        _exit(fn(arg) ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    if (WIFSIGNALED(status))
        (void)snprintf(said, SAID_LEN, "died with signal %d (a failed assertion, or a hang)", WTERMSIG(status));
    return status == 0;
}

/* --- what must be there --- */

struct state_run {
    struct disk *disk;
    uint32_t acked, begun, judged;
};

static bool files_open(const struct world *world)
{
    uint32_t settled;
    for (unsigned i = 0; i < world->files; i++) {
        enum hf_result result = key_file_open(&journal->files[i]);
        if (result != HF_OK)
            return fail("a file's key does not come back", result);
    }
    enum hf_result result = key_head_open(&settled);
    if (result != HF_OK)
        return fail("the head cannot be opened", result);
    if (settled < world->head_settled)
        return fail("the head went back", HF_DAMAGED);
    return true;
}

static bool opens_nothing(const struct world *before, const struct world *after)
{
    const struct world *both[] = {before, after};
    for (unsigned i = 0; i < 2; i++) {
        if (key_start() == HF_OK && key_unlock(both[i]->passcode) == HF_OK)
            return fail("erased, and a passcode opens", HF_OK);
        if (both[i]->has_phrase && key_recover_test(both[i]->phrase) == HF_OK)
            return fail("erased, and the phrase opens", HF_OK);
    }
    return true;
}

/* Wrong passcodes until nothing is judged any more: with those before the cut no more than the limit. */
static bool tries_end(uint32_t before)
{
    enum hf_result result = HF_OK;
    uint32_t at_all = journal->judged_at_all;
    for (unsigned i = 0; i < LIMIT + 3 && result != HF_GONE; i++) {
        char passcode[24];
        stand_ms += 86400000;
        (void)snprintf(passcode, sizeof passcode, "another guess %u", i);
        result = key_unlock(passcode);
        if (result != HF_WRONG_PASSCODE && result != HF_GONE)
            return fail("a wrong passcode after the cut", result);
    }
    counts->tries += journal->judged_at_all - at_all;
    if (result != HF_GONE)
        return fail("there is no end to the tries", result);
    if (before + (journal->judged_at_all - at_all) > LIMIT)
        return fail("more tries were judged than the limit permits", HF_OK);
    return true;
}

static bool recovers(const struct world *world)
{
    enum hf_result result = key_recover(world->phrase, "after the cut 99");
    return result == HF_OK ? files_open(world) : fail("the phrase does not recover", result);
}

static bool judge(const struct state_run *run)
{
    const struct world *a = &journal->worlds[run->acked], *b = &journal->worlds[run->begun];
    struct hf_enclave_status status = {0};
    if (key_erase_is_marked()) {
        enum hf_result ended = key_erase(true);
        if (!b->erased)
            return fail("an erase that nobody began", ended);
        if (ended != HF_OK && ended != HF_GONE && ended != HF_UNREACHABLE)
            return fail("the erase cannot be ended", ended);
        return opens_nothing(a, b);
    }
    enum hf_result result = key_start();
    if (!a->exists)
        return result != HF_CLOSED ? true : fail("the enclave died", result);
    if (a->erased || (b->erased && result == HF_GONE)) /* it had come to its end */
        return opens_nothing(a, b);
    if (b->recovering && result != HF_OK)
        return recovers(a);
    if (result != HF_OK)
        return fail("the vault does not start", result);
    if ((result = key_status(&status)) != HF_OK)
        return fail("there is no status", result);
    if (!b->recovering && status.element.state == HF_ELEMENT_ACTIVE && status.element.failed < run->judged)
        return fail("a try was judged and is not counted", HF_OK);
    stand_ms += 86400000;
    result = key_unlock(b->passcode);
    bool differ = strcmp(a->passcode, b->passcode) != 0;
    if (b->gone && !b->recovering) {
        if (result == HF_OK && a->gone)
            return fail("beyond the limit a passcode opens", result);
        if (result != HF_OK)
            return result == HF_GONE ? recovers(a) : fail("at the limit", result);
    }
    enum hf_result other = HF_WRONG_PASSCODE;
    if (differ && result != HF_OK) {
        stand_ms += 86400000;
        other = key_unlock(a->passcode);
    }
    if (b->recovering && result != HF_OK && other != HF_OK)
        return recovers(a);
    if (result != HF_OK && other != HF_OK)
        return fail("no passcode opens", result);
    if (!files_open(result == HF_OK && b->files < a->files ? b : a))
        return false;
    if (differ && result == HF_OK) { /* exactly one */
        stand_ms += 86400000;
        if ((other = key_unlock(a->passcode)) == HF_OK)
            return fail("two passcodes open", other);
    }
    result = key_recover_test(a->phrase);
    if (result != HF_OK && !b->phrase_moves && key_recover_test(b->phrase) != HF_OK)
        return fail("the phrase opens no more", result);
    if (status.policy.attempts == LIMIT && !differ)
        return tries_end(0); /* the passcode opened just now: the count began anew */
    return true;
}

static bool judge_state(void *arg)
{
    struct state_run *run = arg;
    hf_disk = &disk_ops;
    disk_now = run->disk;
    disk_fault = (struct disk_fault){.kind = DISK_NO_FAULT};
    stand_seed(run_seed + 77);
    stand_boot++;
    key_machine_boot();
    return judge(run);
}

/* As a thief would go on after the cut: no right passcode between. */
static bool judge_thief(void *arg)
{
    struct state_run *run = arg;
    const struct world *a = &journal->worlds[run->acked], *b = &journal->worlds[run->begun];
    if (!a->exists || b->recovering || a->gone || b->erased)
        return true;
    hf_disk = &disk_ops;
    disk_now = run->disk;
    disk_fault = (struct disk_fault){.kind = DISK_NO_FAULT};
    stand_seed(run_seed + 78);
    stand_boot++;
    key_machine_boot();
    enum hf_result result = key_start();
    return result == HF_OK ? tries_end(run->judged) : fail("the vault does not start", result);
}

static void fresh_start(void)
{
    disk_log->count = 0;
    disk_log->used = 0;
    disk_log->next_ino = DISK_STATE + 1;
    memset(journal, 0, sizeof *journal);
}

/* --- cuts --- */

struct cut_run {
    const struct work *work;
    struct crash crash;
    struct survivors survivors;
    uint32_t log_count, next_ino, judged_at_all;
    uint64_t log_used;
};

static void judge_one(struct cut_run *run, const char *what)
{
    struct state_run state = {.acked = run->crash.acked, .begun = run->crash.begun, .judged = run->crash.note};
    bool (*const judges[])(void *arg) = {judge_state, judge_thief};
    bool guesses = strcmp(run->work->name, "tries") == 0;
    for (unsigned i = 0; i < (guesses ? 2u : 1u); i++) {
        state.disk = crash_state(&run->crash, &run->survivors);
        counts->states++;
        if (!in_child(judges[i], &state))
            complain(run->work->name, what, run->crash.position);
        disk_free(state.disk);
        disk_log->count = run->log_count;
        disk_log->used = run->log_used;
        disk_log->next_ino = run->next_ino;
        journal->judged_at_all = run->judged_at_all;
    }
}

static void cut_here(struct cut_run *run)
{
    struct crash *crash = &run->crash;
    struct survivors *s = &run->survivors;
    counts->cuts++;
    survivors_none(crash, s);
    judge_one(run, "nothing unsynced survives");
    if (crash->count == 0)
        return;
    survivors_all(crash, s);
    judge_one(run, "everything survives");
    survivors_all(crash, s);
    s->metas = 0;
    judge_one(run, "data without metadata");
    survivors_none(crash, s);
    for (s->metas = 1; s->metas <= crash->metas; s->metas++)
        judge_one(run, "metadata without data");
    for (unsigned i = 0; i < crash->count; i++) {
        if (crash->pending[i].kind != DISK_DATA)
            continue;
        survivors_all(crash, s);
        s->data[i] = 0;
        judge_one(run, "one write dropped");
        survivors_all(crash, s);
        s->data[i] = 2;
        s->torn_sectors = 1;
        judge_one(run, "a write torn at 512");
    }
}

static void cuts_of(const struct work *work, unsigned one_in)
{
    static struct cut_run run;
    const char *at = getenv("HF_FAULT_AT");
    fresh_start();
    disk_fault = (struct disk_fault){.kind = DISK_NO_FAULT};
    if (!in_child(run_work, (void *)work)) {
        complain(work->name, "without a cut", 0);
        return;
    }
    run = (struct cut_run){.work = work, .log_count = disk_log->count, .next_ino = disk_log->next_ino, .judged_at_all = journal->judged_at_all};
    crash_start(&run.crash, disk_new(), 0);
    while (run.crash.position < run.log_count) {
        crash_step(&run.crash);
        run.log_used = disk_log->used;
        bool wanted = at ? (uint32_t)atoi(at) == run.crash.position : run.crash.position % one_in == run_seed % one_in;
        if (wanted && run.crash.begun > 0)
            cut_here(&run);
    }
    disk_free(run.crash.durable);
}

/* --- failing calls --- */

static const struct {
    enum disk_fault_kind kind;
    const char *name;
} faults[] = {{DISK_EIO, "EIO"}, {DISK_ENOSPC, "ENOSPC"}, {DISK_SHORT, "a short write"}, {DISK_SYNC_LOST, "a failed sync that loses pages"}, {DISK_ALLOC, "no memory"}};

static uint64_t calls_of(const struct work *work, enum disk_fault_kind kind)
{
    fresh_start();
    return disk_count_calls(kind, run_work, (void *)(uintptr_t)work);
}

/* The programs go on living: what they say must be what is. */
static bool run_and_look(void *arg)
{
    if (!run_work(arg))
        return false;
    const struct world *a = &journal->worlds[journal->acked], *b = &journal->worlds[journal->op];
    if (!journal->stopped || !a->exists || b->erased || b->recovering || b->gone || a->gone)
        return true;
    stand_ms += 86400000;
    enum hf_result result = key_unlock(b->passcode);
    stand_ms += 86400000;
    if (result != HF_OK && strcmp(a->passcode, b->passcode) != 0)
        result = key_unlock(a->passcode);
    return result == HF_OK ? files_open(a) : fail("after a verb that failed, without a restart", result);
}

static void fault_at(const struct work *work, unsigned which, uint64_t k, bool on)
{
    static struct cut_run run;
    char label[100];
    fresh_start();
    disk_fault = (struct disk_fault){.kind = faults[which].kind, .at = k, .on = on};
    counts->runs++;
    (void)snprintf(label, sizeof label, "%s at call %llu%s", faults[which].name, (unsigned long long)k, on ? " and all later ones" : "");
    if (!in_child(run_and_look, (void *)work)) {
        complain(work->name, label, k);
        return;
    }
    run = (struct cut_run){.work = work, .log_count = disk_log->count, .log_used = disk_log->used, .next_ino = disk_log->next_ino};
    crash_start(&run.crash, disk_new(), 0);
    while (run.crash.position < run.log_count)
        crash_step(&run.crash);
    for (unsigned all = 0; all < 2; all++) {
        if (all && faults[which].kind == DISK_SYNC_LOST)
            continue;
        if (all)
            survivors_all(&run.crash, &run.survivors);
        else
            survivors_none(&run.crash, &run.survivors);
        struct state_run state = {.disk = crash_state(&run.crash, &run.survivors), .acked = journal->acked, .begun = journal->op, .judged = run.crash.note};
        counts->states++;
        if (!in_child(judge_state, &state))
            complain(work->name, label, k);
        disk_free(state.disk);
        disk_log->count = run.log_count;
        disk_log->used = run.log_used;
    }
    disk_free(run.crash.durable);
}

static void faults_of(const struct work *work, unsigned one_in)
{
    const char *at = getenv("HF_FAULT_AT");
    for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        uint64_t calls = calls_of(work, faults[i].kind);
        if (calls == 0)
            complain(work->name, "no calls were counted", i);
        for (uint64_t k = 0; k < calls; k++) {
            if (at ? (uint64_t)atoi(at) != k : (k + run_seed) % one_in != 0)
                continue;
            fault_at(work, i, k, false);
            fault_at(work, i, k, true);
        }
    }
}

int main(int argc, char **argv)
{
    struct hf_error error;
    const char *only = getenv("HF_FAULT_WORK"), *which = getenv("HF_FAULT_KIND");
    uint64_t base = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    long_run = getenv("HF_LONG") != NULL;
    key_machine_reserve();
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    journal = mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    said = mmap(NULL, 500, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (hf_secret_open(0, 0, &error) != HF_OK || hf_crypto_start() != HF_OK)
        return 1;
    disk_start();
    for (run_seed = base; run_seed < base + (long_run && SLOWER == 1 ? 5 : 1); run_seed++) {
        for (unsigned i = 0; i < sizeof works / sizeof works[0]; i++) {
            if (only && strcmp(only, works[i].name) != 0)
                continue;
            if (!which || which[0] == 'c')
                cuts_of(&works[i], long_run || getenv("HF_FAULT_AT") ? 1 : 7 * SLOWER);
            if (!which || which[0] == 'f')
                faults_of(&works[i], long_run || getenv("HF_FAULT_AT") ? 1 : 17 * SLOWER);
        }
    }
    for (unsigned i = 0; i < counts->shown && i < SHOWN; i++)
        (void)printf("WRONG %s\n", counts->text[i]);
    if (SLOWER == 1) /* the page of figures is the plain build's */
        (void)printf("figure: key life boundaries = %llu\nfigure: key life crash states = %llu\nfigure: key life runs with failing calls = %llu\nfigure: tries after cuts = %llu\n",
                     (unsigned long long)counts->cuts, (unsigned long long)counts->states, (unsigned long long)counts->runs, (unsigned long long)counts->tries);
    (void)printf("failing calls: %llu errors given, %llu verbs failed, %llu did what they should\n", (unsigned long long)counts->hits, (unsigned long long)counts->failed,
                 (unsigned long long)counts->done);
    uint64_t tried = counts->states + counts->runs;
    (void)printf("%llu passed, %llu failed\n", (unsigned long long)(tried - (counts->bad < tried ? counts->bad : tried)), (unsigned long long)counts->bad);
    return counts->bad ? 1 : 0;
}
