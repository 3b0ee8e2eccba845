/* Each operation notes the world that it leads to before it begins, and that it was acknowledged. */
#include "keylife.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "element/software.h"
#include "os/disk.h"
#include "standins.h"

/* --- each judgement of the element passes here --- */

enum hf_result __real_hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret_release);
enum hf_result __wrap_hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret_release);

enum hf_result __wrap_hf_software_unwrap(const struct hf_element_record *record, const struct hf_element_auth *auth, struct hf_release_secret *ret_release)
{
    enum hf_result result = __real_hf_software_unwrap(record, auth, ret_release);
    journal->judged = result == HF_OK ? 0 : journal->judged + 1;
    journal->judged_at_all++;
    disk_mark(DISK_NOTE, journal->judged, 0);
    return result;
}

/* --- the operations --- */

static struct world *next_world(void)
{
    if (journal->op + 1 >= OPS)
        abort();
    struct world *world = &journal->worlds[journal->op + 1];
    *world = journal->worlds[journal->op];
    world->recovering = world->phrase_moves = false;
    return world;
}

static void begin(void)
{
    disk_mark(DISK_BEGIN, ++journal->op, 0);
    disk_fault.armed = disk_fault.kind != DISK_NO_FAULT;
}

/* After a verb that did not do what it should nothing more is asked: either world may be there. */
static bool end(enum hf_result result, enum hf_result wanted, const char *what)
{
    disk_fault.armed = false;
    if (result == wanted) {
        disk_mark(DISK_END, journal->op, 0);
        journal->acked = journal->op;
        counts->done++;
        return true;
    }
    counts->failed++;
    journal->stopped = true;
    if (!disk_fault.hits || result == HF_CLOSED)
        (void)snprintf(journal->failure, sizeof journal->failure, "operation %u, %s: %s", journal->op, what, hf_result_text(result));
    return false;
}

/* A file of each class: whatever comes, its key must come back. */
static void make_files(void)
{
    struct world *world = &journal->worlds[journal->op];
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST && !journal->stopped && world->files < FILES; class++) {
        if (key_file_make(class, &journal->files[world->files]) == HF_OK)
            world->files++;
        else
            (void)snprintf(journal->failure, sizeof journal->failure, "after operation %u no file of class %u can be made", journal->op, class);
    }
}

static bool create(uint32_t attempts)
{
    struct world *world = next_world();
    world->exists = world->has_phrase = true;
    (void)snprintf(world->passcode, sizeof world->passcode, "first passphrase 1");
    begin();
    if (!end(key_create(world->passcode, attempts, world->phrase), HF_OK, "create"))
        return false;
    make_files();
    return true;
}

static bool unlock(void)
{
    (void)next_world();
    stand_ms += 86400000; /* no delay */
    begin();
    return end(key_unlock(journal->worlds[journal->op].passcode), HF_OK, "unlock");
}

static bool wrong(unsigned number, bool last)
{
    char passcode[24];
    struct world *world = next_world();
    stand_ms += 86400000;
    (void)snprintf(passcode, sizeof passcode, "wrong passphrase %u", number);
    world->gone = world->gone || last;
    begin();
    return end(key_unlock(passcode), last ? HF_GONE : HF_WRONG_PASSCODE, "a wrong passcode");
}

static bool change(const char *fresh)
{
    struct world *world = next_world();
    char old[24];
    memcpy(old, world->passcode, sizeof old);
    (void)snprintf(world->passcode, sizeof world->passcode, "%s", fresh);
    begin();
    if (!end(key_passcode(old, fresh), HF_OK, "a change of passcode"))
        return false;
    make_files();
    return true;
}

static bool new_phrase(void)
{
    struct world *world = next_world();
    world->phrase_moves = true;
    begin();
    return end(key_new_phrase(world->passcode, world->phrase), HF_OK, "a new phrase");
}

static bool settings(uint32_t grace_s)
{
    struct world *world = next_world();
    begin();
    return end(key_settings(world->passcode, grace_s), HF_OK, "settings");
}

static bool rotate(void)
{
    (void)next_world();
    begin();
    if (!end(key_rotate(), HF_OK, "rotation"))
        return false;
    make_files();
    return true;
}

static bool head_open(void)
{
    uint32_t settled;
    (void)next_world();
    begin();
    return end(key_head_open(&settled), HF_OK, "opening the head");
}

static bool settle(void)
{
    struct world *world = next_world();
    world->head_settled++;
    begin();
    return end(key_head_settle(world->head_settled), HF_OK, "a settle");
}

static bool recover(const char *fresh)
{
    struct world *world = next_world();
    (void)snprintf(world->passcode, sizeof world->passcode, "%s", fresh);
    world->recovering = true;
    world->gone = false;
    begin();
    if (!end(key_recover(world->phrase, fresh), HF_OK, "recovery"))
        return false;
    make_files();
    return true;
}

/* As the supervisor does it. */
static bool erase(void)
{
    struct world *world = next_world();
    world->erased = true;
    begin();
    enum hf_result result = key_erase_mark(true);
    if (result == HF_OK)
        result = key_erase(false);
    if (result == HF_OK)
        result = key_erase_mark(false);
    return end(result, HF_OK, "erase");
}

/* --- the workloads --- */

static void tries(void)
{
    bool good = create(LIMIT) && wrong(1, false) && wrong(2, false) && unlock();
    for (unsigned i = 1; i <= LIMIT && good; i++)
        good = wrong(10 + i, i == LIMIT);
    if (good)
        (void)recover("after the limit 55");
}

static void life(void)
{
    bool good = create(0) && head_open() && settle() && change("second passphrase 2") && settle() && wrong(1, false) && rotate() && new_phrase() && settings(0) && unlock();
    good = good && change("third passphrase 3") && rotate() && settle() && wrong(2, false) && settings(30) && change("fourth passphrase 4") && new_phrase();
    if (good)
        (void)unlock();
}

static void recovery(void)
{
    bool good = create(0) && head_open() && settle() && new_phrase() && recover("recovered once 11") && settle() && rotate() && wrong(1, false);
    good = good && change("changed after it 12") && recover("recovered twice 13");
    if (good)
        (void)(unlock() && new_phrase() && recover("recovered again 14"));
}

static void erasing(void)
{
    bool good = create(LIMIT) && head_open() && settle() && change("second passphrase 2") && wrong(1, false) && rotate();
    if (good)
        (void)erase();
}

const struct work works[WORKS] = {{"tries", tries}, {"life", life}, {"recovery", recovery}, {"erasing", erasing}};

bool run_work(void *arg)
{
    hf_disk = &disk_ops;
    disk_now = disk_new();
    stand_seed(run_seed);
    key_machine_boot();
    ((const struct work *)arg)->run();
    counts->hits += disk_fault.hits;
    if (journal->failure[0])
        (void)snprintf(said, SAID_LEN, "%s", journal->failure);
    return !journal->failure[0];
}
