#include "sweep.h"

#include <errno.h>
#include <execinfo.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk.h"
#include "quiet.h"
#include "standins.h"

enum { SHOWN = 40 };

struct counts *counts;
struct shared_text *said;
bool long_run;
uint64_t run_seed = 1;

void complain(const char *work, const char *what, uint32_t position, const char *text)
{
    __atomic_add_fetch(&counts->bad, 1, __ATOMIC_SEQ_CST);
    if (__atomic_fetch_add(&counts->shown, 1, __ATOMIC_SEQ_CST) >= SHOWN)
        return;
    (void)printf("WRONG %s%s, seed %llu: %s, position %u: %.400s\n", work, crash_profile == CRASH_OWN ? " (single inodes)" : "", (unsigned long long)run_seed, what, position, text);
    (void)fflush(stdout); /* a long run shows what it finds at once */
}

void figure(const char *name, uint64_t value)
{
    if (SLOWER == 1) /* the page of figures is the plain build's */
        (void)printf("figure: %s = %llu\n", name, (unsigned long long)value);
}

enum hf_result start_tree(struct hf_error *error)
{
    return hf_tree_start(disk_open_root(), NULL, &quiet_kernel, getenv("HF_FAULT_NO_FRESHNESS") != NULL, error);
}

static bool mount_now(char *text, size_t cap)
{
    struct hf_error error = {.result = HF_OK};
    enum hf_result result = start_tree(&error);
    if (result != HF_OK)
        (void)snprintf(text, cap, "the vault cannot be mounted: %s", error.text);
    return result == HF_OK;
}

/* For the one who looks into a failure. */
static void show_stack(int number)
{
    void *frames[40];
    backtrace_symbols_fd(frames, backtrace(frames, 40), 2);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

bool in_child(bool (*fn)(void *arg), void *arg)
{
    int status = -1;
    said->text[0] = '\0';
    pid_t pid = fork();
    if (pid == 0) {
        (void)alarm(60);
        if (getenv("HF_FAULT_TRACE") && (signal(SIGSEGV, show_stack) == SIG_ERR || signal(SIGABRT, show_stack) == SIG_ERR))
            _exit(1);
        _exit(fn(arg) ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    if (WIFSIGNALED(status))
        (void)snprintf(said->text, sizeof said->text, "died with signal %d (a failed assertion, or a hang)", WTERMSIG(status));
    return status == 0;
}

bool run_work(void *arg)
{
    const struct work_run *run = arg;
    hf_disk = &disk_ops;
    disk_now = disk_new();
    stand_seed(run_seed);
    work_seed(run_seed);
    bool good = mount_now(said->text, sizeof said->text);
    if (!good)
        return false;
    disk_fault.armed = disk_fault.kind != DISK_NO_FAULT;
    run->work->run();
    disk_fault.armed = false;
    __atomic_add_fetch(&counts->hits, disk_fault.hits, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&counts->failed_operations, model->failed_ops, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&counts->done_operations, model->done_ops, __ATOMIC_SEQ_CST);
    if (model->failure[0])
        (void)snprintf(said->text, sizeof said->text, "%s", model->failure);
    good = good && !model->failure[0];
    struct judgement judgement = {.acked = model->op, .begun = model->op, .live = true};
    if (good && !model_judge(&judgement)) {
        (void)snprintf(said->text, sizeof said->text, "still mounted: %s", judgement.text);
        good = false;
    }
    if (good && !run->no_close) {
        int failed = hf_tree_close();
        if (failed) {
            (void)snprintf(said->text, sizeof said->text, "the close fails: %s", strerror(-failed));
            good = disk_fault.hits > 0;
        }
    }
    return good;
}

void fresh_log(void)
{
    disk_log->count = 0;
    disk_log->used = 0;
    disk_log->next_ino = DISK_STATE + 1;
    disk_log->calls = 0;
    model_reset();
}

void show_log(uint32_t from)
{
    static const char *const kinds[] = {"data", "length", "cut", "punch", "mode", "xattr", "make", "link", "unlink", "rename", "exchange", "sync", "syncfs", "head", "begin", "end"};
    for (uint32_t i = from; i < disk_log->count; i++) {
        const struct disk_entry *e = &disk_log->entries[i];
        (void)fprintf(stderr, "%5u %-8s ino %u dir %u %.12s -> dir %u %.12s a %llu b %llu\n", i + 1, kinds[e->kind], e->ino, e->dir, e->name ? e->name : "",
                      e->dir2, e->name2 ? e->name2 : "", (unsigned long long)e->a, (unsigned long long)e->b);
    }
}

/* --- a state --- */

static void found(void *arg, const char *path, const char *what)
{
    (void)snprintf(arg, 300, "check: %s: %s", path, what);
}

bool judge_state(void *arg)
{
    struct state_run *run = arg;
    uint64_t objects, findings = 0;
    char text[300] = "";
    hf_disk = &disk_ops;
    disk_now = run->disk;
    stand_seed(run_seed + 77);
    if (!freopen("/dev/null", "w", stderr))
        return false;
    if (!mount_now(said->text, sizeof said->text))
        return false;
    if (!model_judge(&run->judgement)) {
        (void)snprintf(said->text, sizeof said->text, "%s", run->judgement.text);
        return false;
    }
    int failed = hf_tree_check(found, text, &objects, &findings);
    said->findings = (uint32_t)findings;
    if (failed || (findings && !run->judgement.torn_ino)) {
        (void)snprintf(said->text, sizeof said->text, "check after the cut: %s %s", text, failed ? strerror(-failed) : "");
        return false;
    }
    if (run->closes && (failed = hf_tree_close()) != 0) {
        (void)snprintf(said->text, sizeof said->text, "the vault cannot be closed after the cut: %s", strerror(-failed));
        return false;
    }
    return true;
}

void rewind_log(const struct cut_run *run)
{
    disk_log->count = run->log_count;
    disk_log->used = run->log_used;
    disk_log->next_ino = run->next_ino;
}
