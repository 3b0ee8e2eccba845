/* The software element's count [AT-1] [AT-2] [AT-4] [AT-6]: src/element/attempts.c, software.c and record.c on a disk in memory that dies at every call, with a clock of its own. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <sys/stat.h>

#include "crypto/wrap.h"
#include "element/software.h"
#include "os/clock.h"
#include "os/disk.h"

/* --- a directory in memory: contents are durable after their fsync, names after the directory's --- */

enum { DIR_FD = 100, OBJECTS = 64, CAP = 1024, NAMES = 2, NONE = -1 };
static const char *const names[NAMES] = {"element", "element.new"};
static struct object {
    uint8_t now[CAP], durable[CAP];
    size_t len, durable_len;
} objects[OBJECTS];
static int object_count, bound[NAMES], bound_durable[NAMES];
static int calls, dies_at, fails_at; /* mutating calls; -1: never */
static jmp_buf death;

static void disk_new(void)
{
    object_count = 0;
    for (int i = 0; i < NAMES; i++)
        bound[i] = bound_durable[i] = NONE;
    calls = 0;
    dies_at = fails_at = -1;
}

/* True when this call fails. The process dies before it, or after it when it would be the last. */
static bool step(void)
{
    if (calls == dies_at)
        longjmp(death, 1);
    return calls++ == fails_at;
}

static int name_of(const char *name)
{
    return strcmp(name, names[0]) == 0 ? 0 : 1;
}

static int mem_openat(int dir, const char *name, int flags, mode_t mode)
{
    int *at = &bound[name_of(name)];
    (void)dir;
    (void)mode;
    if (flags & O_CREAT) {
        if (step())
            return -EIO;
        if (object_count == OBJECTS)
            abort();
        objects[object_count] = (struct object){.len = 0};
        *at = object_count++;
    }
    return *at == NONE ? -ENOENT : *at;
}

static int mem_close(int fd)
{
    (void)fd;
    return 0;
}

static int mem_fstat(int fd, struct stat *ret)
{
    *ret = (struct stat){.st_mode = S_IFREG | 0600, .st_size = (off_t)objects[fd].len};
    return 0;
}

static ssize_t mem_pread(int fd, void *out, size_t len, off_t at)
{
    size_t left = objects[fd].len > (size_t)at ? objects[fd].len - (size_t)at : 0;
    size_t n = left < len ? left : len;
    memcpy(out, objects[fd].now + at, n);
    return (ssize_t)n;
}

static ssize_t mem_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (step())
        return -EIO;
    if ((size_t)at + len > CAP)
        abort();
    memcpy(objects[fd].now + at, bytes, len);
    objects[fd].len = objects[fd].len > (size_t)at + len ? objects[fd].len : (size_t)at + len;
    return (ssize_t)len;
}

static int mem_fsync(int fd)
{
    if (step())
        return -EIO;
    if (fd == DIR_FD) {
        memcpy(bound_durable, bound, sizeof bound);
    } else {
        memcpy(objects[fd].durable, objects[fd].now, CAP);
        objects[fd].durable_len = objects[fd].len;
    }
    return 0;
}

static int mem_unlinkat(int dir, const char *name, int flags)
{
    (void)dir;
    (void)flags;
    if (bound[name_of(name)] == NONE)
        return -ENOENT;
    if (step())
        return -EIO;
    bound[name_of(name)] = NONE;
    return 0;
}

static int mem_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    (void)from_dir;
    (void)to_dir;
    (void)flags;
    if (step())
        return -EIO;
    bound[name_of(to)] = bound[name_of(from)];
    bound[name_of(from)] = NONE;
    return 0;
}

static const struct hf_disk_ops mem_disk = {
    .openat = mem_openat, .close = mem_close, .fstat = mem_fstat, .pread = mem_pread, .pwrite = mem_pwrite, .fsync = mem_fsync, .fdatasync = mem_fsync,
    .unlinkat = mem_unlinkat, .renameat2 = mem_renameat2,
};

/* What a cut may leave of names (durable or as they are) and contents (durable, as they are, or half): 6 states. */
enum { CRASHES = 6 };
static void crash(int which)
{
    if (which % 2)
        memcpy(bound, bound_durable, sizeof bound);
    for (int i = 0; i < object_count; i++) {
        struct object *o = &objects[i];
        if (which / 2 == 1) {
            memcpy(o->now, o->durable, CAP);
            o->len = o->durable_len;
        } else if (which / 2 == 2 && memcmp(o->now, o->durable, CAP) != 0) {
            o->len /= 2;
        }
    }
    for (int i = 0; i < object_count; i++) {
        memcpy(objects[i].durable, objects[i].now, CAP);
        objects[i].durable_len = objects[i].len;
    }
    memcpy(bound_durable, bound, sizeof bound);
}

/* --- the clock, and an eye on the judging --- */

static struct hf_boot_time now;

enum hf_result hf_clock_boot_time(struct hf_boot_time *ret)
{
    *ret = now;
    return HF_OK;
}

static uint32_t judged, uncounted, wrong_in_a_row; /* judged; of these before their count was durable; wrong since the last right one */

/* The failures that the disk counts in its worst state after a cut at this moment. */
static uint32_t counted_for_sure(void)
{
    static struct object saved[OBJECTS];
    int saved_bound[NAMES], saved_durable[NAMES];
    uint32_t least = UINT32_MAX;
    memcpy(saved, objects, sizeof saved);
    memcpy(saved_bound, bound, sizeof bound);
    memcpy(saved_durable, bound_durable, sizeof bound);
    for (int which = 0; which < CRASHES; which++) {
        struct hf_element_record record;
        crash(which);
        if (!CHECK_INT(hf_element_record_load(DIR_FD, &record), HF_OK))
            return 0;
        least = record.failed < least ? record.failed : least;
        memcpy(objects, saved, sizeof saved);
        memcpy(bound, saved_bound, sizeof bound);
        memcpy(bound_durable, saved_durable, sizeof bound);
    }
    return least;
}

enum hf_result __real_hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret);
enum hf_result __wrap_hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret);
enum hf_result __wrap_hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret)
{
    judged++;
    uncounted += !CHECK(counted_for_sure() > wrong_in_a_row);
    enum hf_result result = __real_hf_software_unwrap(record, auth, ret);
    wrong_in_a_row = result == HF_OK ? 0 : wrong_in_a_row + 1;
    return result;
}

/* --- cases --- */

static const uint8_t vault_id[16] = {7};
static const struct hf_element_auth right = {{1}}, wrong = {{2}};
static struct hf_software element;
static struct hf_release_secret secret, given;
static uint32_t before;

static void make(uint32_t attempts, uint32_t delay_s)
{
    struct hf_policy policy = {.attempts = attempts, .delay_count = delay_s > 0, .delay_s = {delay_s}};
    struct hf_error error;
    disk_new();
    now = (struct hf_boot_time){.boot_id = {1}, .ms = 1000};
    wrong_in_a_row = 0;
    element = (struct hf_software){.dir = -1};
    CHECK_INT(hf_software_open(&element, DIR_FD, vault_id, &error), HF_OK);
    CHECK_INT(hf_software_provision(&element, &right, &policy, &secret), HF_OK);
}

static bool restart(void)
{
    struct hf_error error;
    element = (struct hf_software){.dir = -1};
    return CHECK_INT(hf_software_open(&element, DIR_FD, vault_id, &error), HF_OK);
}

static bool same_secret(void)
{
    return memcmp(given.bytes, secret.bytes, sizeof secret.bytes) == 0;
}

/* Tries, and dies at call number at; HF_CLOSED then. */
static enum hf_result try_and_die(const struct hf_element_auth *auth, int at, int which)
{
    calls = 0;
    dies_at = at;
    if (setjmp(death) == 0) {
        enum hf_result result = hf_attempt(&element, auth, &given, &before);
        dies_at = -1;
        return result;
    }
    dies_at = -1;
    crash(which);
    CHECK(restart());
    return HF_CLOSED;
}

/* Every order of rights and wrongs, a death at every call of a try, every state that it can leave: no try is judged that is not counted for good [AT-1], the
 * eleventh is never judged [AT-4], and a right one that was answered has cleared the count. */
TEST(ten_thousand_tries_with_a_death_at_every_call)
{
    enum { LIMIT = 10, CALLS = 12, ROUNDS = 12000 };
    uint32_t tries = 0, deaths = 0, ends = 0;
    srand(5);
    make(LIMIT, 0);
    for (int round = 0; round < ROUNDS && !check_failed; round++) {
        const struct hf_element_auth *auth = rand() % 20 ? &wrong : &right;
        uint32_t judged_before = judged, wrong_before = wrong_in_a_row;
        enum hf_result result = try_and_die(auth, round % CALLS - 1, rand() % CRASHES);
        tries++;
        deaths += result == HF_CLOSED;
        CHECK(wrong_before < LIMIT || judged == judged_before);
        CHECK(result != HF_OK || (auth == &right && same_secret() && element.record.failed == 0));
        CHECK(result != HF_WRONG_PASSCODE || auth == &wrong);
        if (result == HF_GONE) {
            ends++;
            CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_GONE);
            make(LIMIT, 0);
        }
        if (object_count > OBJECTS / 2) { /* room: what no name has is gone */
            objects[0] = objects[bound[0]];
            bound[0] = bound_durable[0] = 0;
            bound[1] = bound_durable[1] = NONE;
            object_count = 1;
        }
    }
    CHECK(deaths > tries / 4 && ends > 100);
    printf("figure: tries with a death at every call = %u tries\nfigure: tries judged without being counted = %u tries\n", tries, uncounted);
}

TEST(a_try_that_cannot_be_counted_is_not_judged)
{
    int failing = 0;
    for (int at = 0; at < 20; at++) {
        make(0, 0);
        uint32_t judged_before = judged;
        calls = 0;
        fails_at = at;
        enum hf_result result = hf_attempt(&element, &right, &given, &before);
        fails_at = -1;
        if (result == HF_OK)
            break;
        failing++;
        CHECK_INT(result, HF_IO);
        CHECK(at < 5 ? judged == judged_before : judged == judged_before + 1); /* create, write, fsync, rename, fsync: counted; the same again: cleared */
        CHECK(element.record.failed > 0 || at > 4);
        CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_OK);
        CHECK(same_secret());
    }
    CHECK_INT(failing, 10);
}

TEST(the_secret_goes_with_the_last_try)
{
    uint8_t wrap[HF_ELEMENT_WRAP_LEN];
    make(2, 0);
    memcpy(wrap, element.record.slots[0].wrap, sizeof wrap);
    CHECK_INT(hf_attempt(&element, &wrong, &given, &before), HF_WRONG_PASSCODE);
    CHECK_INT(hf_attempt(&element, &wrong, &given, &before), HF_GONE);
    CHECK_INT(element.record.state, HF_ELEMENT_FINISHED);
    CHECK(restart() && !element.record.slots[0].used);
    CHECK(!memmem(objects[bound[0]].now, CAP, wrap, sizeof wrap));
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_GONE);
}

/* The last try was counted, then the power went: it is not judged again. */
TEST(a_cut_behind_the_last_count)
{
    make(2, 0);
    CHECK_INT(hf_attempt(&element, &wrong, &given, &before), HF_WRONG_PASSCODE);
    CHECK_INT(try_and_die(&wrong, 5, 0), HF_CLOSED);
    uint32_t judged_before = judged;
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_GONE);
    CHECK_INT(judged, judged_before);
}

TEST(delays_begin_again_after_a_restart_of_the_machine)
{
    uint32_t wait_s = 0;
    make(0, 60);
    for (int i = 0; i < 4; i++)
        CHECK_INT(hf_attempt(&element, &wrong, &given, &before), HF_WRONG_PASSCODE);
    now.ms += 59000;
    CHECK_INT(hf_attempt_delay(&element, &wait_s), HF_OK);
    CHECK_INT(wait_s, 1);
    now = (struct hf_boot_time){.boot_id = {2}, .ms = 5000};
    CHECK(restart());
    uint32_t judged_before = judged, failed = element.record.failed;
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_DELAYED);
    CHECK(judged == judged_before && element.record.failed == failed);
    CHECK_INT(hf_attempt_delay(&element, &wait_s), HF_OK);
    CHECK_INT(wait_s, 60);
    now.ms += 60000;
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_OK);
    CHECK(same_secret() && before == 4);
}

TEST(every_changed_byte_of_the_record_is_noticed)
{
    struct hf_element_record record;
    make(10, 60);
    struct object *file = &objects[bound[0]];
    CHECK_INT(hf_element_record_load(DIR_FD, &record), HF_OK);
    for (size_t at = 0; at < file->len; at++) {
        file->now[at] ^= 16;
        CHECK_INT(hf_element_record_load(DIR_FD, &record), HF_DAMAGED);
        file->now[at] ^= 16;
    }
    file->len--;
    CHECK_INT(hf_element_record_load(DIR_FD, &record), HF_DAMAGED);
}

TEST(a_change_of_passcode_leaves_nothing_of_the_old_one)
{
    static const struct hf_element_auth fresh = {{3}};
    struct hf_release_secret other;
    uint32_t slot = 9;
    make(0, 0);
    CHECK(restart());
    CHECK_INT(hf_software_prepare(&element, &fresh, &slot, &other), HF_REFUSED); /* who has not shown the passcode changes none */
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_OK);
    CHECK_INT(hf_software_prepare(&element, &fresh, &slot, &other), HF_OK);
    CHECK(slot == 1 && memcmp(other.bytes, secret.bytes, sizeof other.bytes) != 0);
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_OK); /* until the keybag says so the old one counts */
    CHECK_INT(hf_software_commit(&element, slot), HF_OK);
    CHECK(restart() && !element.record.slots[0].used && element.record.slots[1].used);
    CHECK_INT(hf_software_commit(&element, 0), HF_DAMAGED);
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_WRONG_PASSCODE);
    CHECK_INT(hf_attempt(&element, &fresh, &given, &before), HF_OK);
    CHECK(memcmp(given.bytes, other.bytes, sizeof other.bytes) == 0);
}

/* [EL-6] */
TEST(a_generation_never_goes_back)
{
    make(0, 0);
    CHECK_INT(hf_software_step(&element, 5), HF_OK);
    CHECK_INT(hf_software_step(&element, 5), HF_OK);
    CHECK_INT(hf_software_step(&element, 4), HF_REFUSED);
    CHECK(restart() && element.record.generation == 5);
}

TEST(erasing_overwrites_what_was_there)
{
    make(0, 0);
    int old = bound[0];
    struct hf_element_record record = element.record;
    CHECK_INT(hf_software_erase(&element), HF_OK);
    CHECK(!memmem(objects[old].durable, CAP, record.device.bytes, sizeof record.device.bytes));
    CHECK(!memmem(objects[old].durable, CAP, record.slots[0].wrap, sizeof record.slots[0].wrap));
    CHECK(restart() && element.record.state == HF_ELEMENT_ERASED);
    CHECK_INT(hf_attempt(&element, &right, &given, &before), HF_GONE);
}

int main(void)
{
    hf_disk = &mem_disk;
    if (hf_crypto_start() != HF_OK)
        return 1;
    return check_run_all();
}
