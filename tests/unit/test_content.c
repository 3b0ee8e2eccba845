/* Tests of src/fs/content_*.c on a disk in memory: random work against a plain model, with power cuts at every call, and failing calls.
 * HF_TEST_ROUNDS multiplies it. Single cases: test_content_cases.c; names: test_names.c. */
#include <linux/falloc.h>

#include "fs/sync.h"
#include "contentkit.h"

enum { VERSIONS = 40, QUEUE = 12 };

struct version {
    uint64_t size;
    uint8_t bytes[SIZE_MAX_BYTES];
};

struct cut {
    struct sim_state state;
    uint32_t settled, epoch;
};

static struct version *history[VERSIONS]; /* what the file was since it was last made durable; the last is what it is */
static unsigned versions;
static bool synced_once;
static struct cut queue[QUEUE];
static unsigned queued, queue_percent;
static unsigned long states, cuts_found, failures_made, absent;
static struct hf_content *content;
static bool tracing; /* HF_TEST_TRACE: says what is done */
#define TRACE(...) (void)(tracing && printf(__VA_ARGS__))

/* --- the model --- */

static struct version *latest(void)
{
    return history[versions - 1];
}

static struct version *push(void)
{
    if (versions == VERSIONS)
        abort();
    if (!history[versions])
        history[versions] = malloc(sizeof **history);
    if (versions > 0)
        memcpy(history[versions], history[versions - 1], sizeof **history);
    return history[versions++];
}

/* What was before `from` cannot come back. */
static void forget_before(unsigned from)
{
    if (content->header_due)
        return; /* a failed call may have left its header on the disk */
    for (unsigned i = 0; from + i < versions; i++) {
        struct version *version = history[i];
        history[i] = history[from + i];
        history[from + i] = version;
    }
    versions -= from;
    synced_once = true;
}

static uint64_t smallest(void)
{
    uint64_t size = UINT64_MAX;
    for (unsigned i = 0; i < versions; i++)
        size = history[i]->size < size ? history[i]->size : size;
    return size;
}

static bool byte_is_known(uint64_t at, uint8_t byte)
{
    for (unsigned i = versions; i > 0; i--) {
        if (at < history[i - 1]->size && history[i - 1]->bytes[at] == byte)
            return true;
    }
    return false;
}

/* For the one who looks at a failure. */
static void describe(int fd, const struct hf_content *file)
{
    const struct hf_file_dynamic *d = &file->dynamic;
    printf("size %llu durable %llu gen %u epoch %u settled %u length %llu\n", (unsigned long long)d->size, (unsigned long long)d->durable, d->gen, d->epoch,
           (unsigned)hf_settled, (unsigned long long)sim_files[fd]->now.length);
    for (unsigned i = 0; i < 4; i++)
        printf("  cover %llu +%llu, floor %llu gen %u\n", (unsigned long long)d->cover[i].start, (unsigned long long)d->cover[i].count,
               (unsigned long long)d->floors[i].offset, d->floors[i].gen);
    for (unsigned page = 1; page < SIM_PAGES && (uint64_t)page * SIM_PAGE < sim_files[fd]->now.length; page++) {
        struct hf_page_head head;
        hf_page_head_parse(sim_files[fd]->now.pages[page], &head);
        printf("  page %u from %llu: gen %u len %u%s\n", page, (unsigned long long)hf_page_start(page), head.gen, head.len, hf_cover_has(d->cover, page) ? " covered" : "");
    }
}

/* Old, new or cut: every byte was once there since the last sync, and no less than the shortest of those states. */
static bool is_allowed(int fd, struct hf_content *from)
{
    if (!read_all(from)) {
        describe(fd, from);
        return false;
    }
    if (from->dynamic.size < smallest()) {
        printf("%llu, not %llu\n", (unsigned long long)from->dynamic.size, (unsigned long long)smallest());
        describe(fd, from);
        return CHECK(!"cut below what was promised");
    }
    bool merged = from->dynamic.cover[HF_COVERS - 1].count > 0; /* then a range may stand for two, with lost pages between them */
    for (uint64_t at = 0; at < from->dynamic.size; at++) {
        if (byte_is_known(at, got[at]) || (merged && got[at] == 0 && hf_cover_has(from->dynamic.cover, hf_page_of(at))))
            continue;
        printf("byte %llu of %llu is %u\n", (unsigned long long)at, (unsigned long long)from->dynamic.size, got[at]);
        describe(fd, from);
        return CHECK(!"a byte that was never there");
    }
    cuts_found += from->dynamic.size < latest()->size;
    return true;
}

static bool open_file(int fd, struct hf_content **ret)
{
    enum hf_result result = hf_content_label(fd, ret);
    if (result == HF_NOT_FOUND && !synced_once) {
        absent++;
        return false;
    }
    if (!CHECK_INT(result, HF_OK))
        return false;
    result = hf_content_unseal(*ret);
    if (CHECK_INT(result, HF_OK))
        return true;
    printf("size on disk %llu\n", (unsigned long long)sim_files[fd]->now.length);
    hf_content_free(ret);
    return false;
}

/* --- power cuts --- */

static void on_call(int fd)
{
    if (fd != 0 || queued == QUEUE || sim_random(100) >= queue_percent)
        return;
    struct cut *cut = &queue[queued++];
    sim_cut(sim_files[0], &cut->state);
    cut->settled = hf_settled;
    cut->epoch = hf_epoch;
}

/* Mounts the state after a cut on descriptor 1. */
static void try_cut(const struct cut *cut)
{
    struct hf_content *file = NULL;
    uint32_t settled = hf_settled, epoch = hf_epoch;
    states++;
    hf_settled = cut->settled;
    hf_epoch = cut->settled + 3;
    sim_put(1, &cut->state);
    if (open_file(1, &file)) {
        (void)is_allowed(1, file);
        uint64_t size = file->dynamic.size;
        if (sim_random(4) == 0) { /* a second cut during recovery */
            struct sim_state again;
            hf_content_free(&file);
            sim_cut(sim_files[1], &again);
            sim_put(1, &again);
            if (open_file(1, &file)) {
                CHECK_INT(file->dynamic.size, size);
                (void)is_allowed(1, file);
            }
        }
        if (file && sim_random(3) == 0) { /* the recovered file is an ordinary one */
            const uint8_t tail[5] = {1, 2, 3, 4, 5};
            uint64_t at = size + sim_random(9000);
            if (at + 5 <= SIZE_MAX_BYTES) {
                struct version *before = malloc(sizeof *before);
                memcpy(before->bytes, got, size);
                memset(before->bytes + size, 0, at - size);
                memcpy(before->bytes + at, tail, 5);
                if (sim_random(2) == 0)
                    CHECK_INT(hf_content_truncate(file, at), HF_OK);
                CHECK_INT(hf_content_write(file, at, tail, 5), HF_OK);
                settle_fully(1, file);
                hf_content_free(&file);
                if (open_file(1, &file) && read_all(file))
                    CHECK(!file->in_window && file->dynamic.size == at + 5 && memcmp(got, before->bytes, at + 5) == 0);
                free(before);
            }
        }
        hf_content_free(&file);
    }
    hf_settled = settled;
    hf_epoch = epoch;
}

static void try_queue(void)
{
    while (queued > 0 && !check_failed)
        try_cut(&queue[--queued]);
    queued = 0;
}

/* --- random work --- */

static uint64_t some_size(void)
{
    static const uint64_t marks[] = {0, 1, 3391, 3392, 3393, 7455, 7456, 7457, 11520, 15584, 20000};
    switch (sim_random(4)) {
    case 0: return marks[sim_random(sizeof marks / sizeof marks[0])];
    case 1: return latest()->size < SIZE_MAX_BYTES - 20000 ? latest()->size : 0;
    case 2: return sim_random(30000);
    default: return sim_random(4) == 0 ? sim_random(SIZE_MAX_BYTES - 20000) : sim_random(12000);
    }
}

static void model_resize(struct version *version, uint64_t size)
{
    if (size > version->size)
        memset(version->bytes + version->size, 0, size - version->size);
    version->size = size;
}

static enum hf_result do_write(void)
{
    static uint8_t data[20000];
    uint64_t at = some_size();
    size_t len = sim_random(3) == 0 ? sim_random(sizeof data) : sim_random(600);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(1 + sim_random(255));
    struct version *version = push();
    if (len > 0) {
        if (at + len > version->size)
            model_resize(version, at + len);
        memcpy(version->bytes + at, data, len);
    }
    TRACE("write %llu +%zu\n", (unsigned long long)at, len);
    return hf_content_write(content, at, data, len);
}

static enum hf_result do_truncate(void)
{
    uint64_t size = some_size();
    model_resize(push(), size);
    TRACE("truncate %llu\n", (unsigned long long)size);
    return hf_content_truncate(content, size);
}

static enum hf_result do_fallocate(void)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[sim_random(6)];
    uint64_t at = some_size(), len = 1 + sim_random(15000);
    struct version *version = push();
    if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && at + len > version->size)
        model_resize(version, at + len);
    if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && at < version->size)
        memset(version->bytes + at, 0, at + len < version->size ? len : version->size - at);
    TRACE("fallocate %d %llu +%llu\n", mode, (unsigned long long)at, (unsigned long long)len);
    return hf_content_fallocate(content, mode, at, len);
}

static enum hf_result one_change(void)
{
    uint32_t kind = sim_random(10);
    if (sim_random(60) == 0)
        content->writes = WRITES_LIMIT - 2; /* the next page needs the next generation */
    return kind < 6 ? do_write() : kind < 8 ? do_truncate() : do_fallocate();
}

/* A change; now and then a call in it fails: the size stays, each byte is the old or the new one. */
static void change(void)
{
    if (versions > VERSIONS - 4)
        return;
    bool inject = sim_random(8) == 0;
    uint64_t before = latest()->size;
    sim_fail_at = inject ? (long)sim_random(5) : -1;
    sim_fail_with = sim_random(2) ? ENOSPC : EIO;
    sim_fail_partly = sim_random(2);
    enum hf_result result = one_change();
    bool failed = inject && sim_fail_at < 0 && result != HF_OK;
    sim_fail_at = -1;
    hf_sync_begin(); /* what a sync's failure means for the mount is not asked here */
    if (!failed && !CHECK_INT(result, HF_OK))
        return;
    if (failed) {
        TRACE("failed\n");
        failures_made++;
        /* A zero range that grows has two parts: the first may have been done. */
        if (!CHECK(content->dynamic.size == before || content->dynamic.size == latest()->size) || !read_all(content))
            return;
        uint64_t size = content->dynamic.size;
        for (uint64_t at = 0; at < size; at++) {
            if (!byte_is_known(at, got[at])) {
                printf("byte %llu is %u after a failure\n", (unsigned long long)at, got[at]);
                (void)CHECK(!"a failed call broke something");
                return;
            }
        }
        struct version *version = push();
        version->size = size;
        memcpy(version->bytes, got, size);
        return;
    }
    if (read_all(content) && (!CHECK_INT(content->dynamic.size, latest()->size) || !CHECK(memcmp(got, latest()->bytes, latest()->size) == 0))) {
        uint64_t at = 0;
        while (at < latest()->size && got[at] == latest()->bytes[at])
            at++;
        printf("differs at %llu\n", (unsigned long long)at);
    }
}

/* Whether a call that comes soon is to fail; asked again afterwards: whether it did. */
static void maybe_fail(void)
{
    sim_fail_at = sim_random(10) == 0 ? (long)sim_random(4) : -1;
    sim_fail_with = EIO;
    sim_fail_partly = sim_random(2);
}

static bool may_have_failed(enum hf_result result, long asked)
{
    bool failed = asked >= 0 && sim_fail_at < 0 && result != HF_OK;
    sim_fail_at = -1;
    hf_sync_begin();
    failures_made += failed;
    return failed;
}

static void settle(void)
{
    bool more = false;
    uint32_t epoch = hf_epoch;
    hf_epoch = epoch + 1;
    TRACE("settle\n");
    maybe_fail();
    long asked = sim_fail_at;
    enum hf_result result = hf_content_before_settle(content, epoch);
    if (may_have_failed(result, asked))
        return; /* the settle stops there */
    CHECK_INT(result, HF_OK);
    unsigned promised = versions - 1;
    try_queue();
    if (sim_random(4) == 0)
        change();
    CHECK_INT(sim_fdatasync(0), 0); /* syncfs */
    try_queue();
    hf_settled = epoch;
    forget_before(promised);
    if (sim_random(4) == 0)
        change();
    maybe_fail();
    asked = sim_fail_at;
    result = hf_content_after_settle(content, &more);
    if (!may_have_failed(result, asked)) {
        CHECK_INT(result, HF_OK);
        CHECK_INT(more, hf_content_pending(content));
    }
}

static void step(void)
{
    switch (sim_random(8)) {
    case 0: {
        TRACE("fsync\n");
        maybe_fail();
        long asked = sim_fail_at;
        enum hf_result result = hf_content_fsync(content, false);
        if (may_have_failed(result, asked))
            break;
        CHECK_INT(result, HF_OK);
        try_queue();
        forget_before(versions - 1);
        break;
    }
    case 1: settle(); break;
    case 2:
        if (hf_content_pending(content) || !synced_once)
            break;
        TRACE("open again\n");
        hf_content_free(&content);
        (void)open_file(0, &content);
        break;
    default: change(); break;
    }
    try_queue();
}

static void start_file(void)
{
    sim_new(0);
    hf_epoch = 7;
    hf_settled = 6;
    versions = 0;
    synced_once = false;
    queued = 0;
    push()->size = 0;
    CHECK_INT(hf_content_make(0, HF_CLASS_COMPLETE, HF_KIND_REGULAR, &content), HF_OK);
    CHECK_INT(hf_content_put_header(content, hf_epoch), HF_OK);
}

static unsigned rounds(unsigned usual)
{
    const char *text = getenv("HF_TEST_ROUNDS");
    return usual * (text ? (unsigned)atoi(text) : 1);
}

/* [FC-3] [FC-4] [FC-5] [FC-6] [CR-2] [CR-3] [CR-7] [CR-8] */
TEST(random_work_survives_cuts_and_failures)
{
    unsigned runs = rounds(120);
    sim_after_call = on_call;
    for (unsigned run = getenv("HF_TEST_FIRST") ? (unsigned)atoi(getenv("HF_TEST_FIRST")) : 0; run < runs && !check_failed; run++) {
        sim_seed = 88172645463325252u + run * 7919u;
        tracing = getenv("HF_TEST_TRACE") && (unsigned)atoi(getenv("HF_TEST_TRACE")) == run;
        queue_percent = run % 3 == 0 ? 100 : 30;
        start_file();
        for (unsigned i = 0; i < 60 && content && !check_failed; i++)
            step();
        if (check_failed && content)
            describe(0, content);
        if (check_failed)
            printf("run %u\n", run);
        if (content && !check_failed)
            settle_fully(0, content);
        try_queue();
        hf_content_free(&content);
    }
    sim_after_call = NULL;
    printf("%lu states after a cut, %lu of them cut the file, %lu without it, %lu failed calls\n", states, cuts_found, absent, failures_made);
}
