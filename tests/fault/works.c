/* The workloads. Each is a function of its seed. */
#include "works.h"

#include <linux/fs.h>
#include <stdio.h>

#include "model.h"

/* A log: appended to and synced, rotated. */
static void appends(void)
{
    char old[32];
    work_create(ROOT, "log");
    work_fsyncdir(ROOT);
    for (unsigned i = 0, size = 0; i < 24; i++) {
        unsigned len = 1 + work_random(i % 5 == 4 ? 6000 : 900);
        if (size + len > 60000)
            break;
        work_write(ROOT, "log", size, len);
        size += len;
        if (i % 3 == 1)
            work_fsync_data(ROOT, "log");
        if (i % 8 == 7)
            work_settle();
        if (i % 9 == 5) {
            (void)snprintf(old, sizeof old, "log.%u", i);
            work_rename(ROOT, "log", ROOT, old, 0);
            work_create(ROOT, "log");
            work_write(ROOT, "log", 0, 100);
            work_fsync(ROOT, "log");
            size = 100;
        }
    }
}

/* As SQLite with a rollback journal: journal written and synced, pages overwritten and synced, journal removed. */
static void database(void)
{
    work_create(ROOT, "db");
    work_write(ROOT, "db", 0, 8 * 4096);
    work_fsync(ROOT, "db");
    work_fsyncdir(ROOT);
    for (unsigned i = 0; i < 9; i++) {
        work_create(ROOT, "db-journal");
        work_write(ROOT, "db-journal", 0, 512);
        work_write(ROOT, "db-journal", 512, 4104);
        work_fsync(ROOT, "db-journal");
        work_fsyncdir(ROOT);
        for (unsigned k = 0; k < 2; k++)
            work_write(ROOT, "db", (uint64_t)work_random(10) * 4096, 4096);
        work_write(ROOT, "db", 24, 16);
        work_fsync(ROOT, "db");
        if (i % 3 == 2)
            work_truncate(ROOT, "db-journal", 0);
        work_unlink(ROOT, "db-journal");
        if (i % 4 == 3) {
            work_settle();
            work_truncate(ROOT, "db", 6 * 4096);
        }
    }
}

/* Directories made, filled, renamed, replaced, removed. */
static void directories(void)
{
    char name[16];
    work_mkdir(ROOT, "a");
    work_mkdir(ROOT, "b");
    work_fsyncdir(ROOT);
    int a = work_object(ROOT, "a"), b = work_object(ROOT, "b");
    if (a == NONE || b == NONE)
        return;
    for (unsigned i = 0; i < 6; i++) {
        (void)snprintf(name, sizeof name, "d%u", i);
        work_mkdir(a, name);
        int dir = work_object(a, name);
        if (dir == NONE)
            continue;
        work_create(dir, "x");
        if (work_object(dir, "x") != NONE) {
            work_write(dir, "x", 0, 200 + i * 1500);
            if (i % 2)
                work_fsync(dir, "x");
        }
        if (i % 3 == 0)
            work_fsyncdir(dir);
        if (i % 2 == 0)
            work_rename(a, name, b, name, 0);
        if (i == 3)
            work_settle();
        work_chmod(i % 2 == 0 ? b : a, name, 0750);
    }
    work_mkdir(b, "empty");
    if (work_object(b, "empty") != NONE && work_object(a, "d1") != NONE)
        work_rename(a, "d1", b, "empty", 0); /* over an empty directory */
    if (work_object(a, "d3") != NONE && work_object(b, "d2") != NONE)
        work_rename(a, "d3", b, "d2", RENAME_EXCHANGE);
    work_mkdir(a, "gone");
    work_fsyncdir(a);
    if (work_object(a, "gone") != NONE)
        work_rmdir(a, "gone");
    work_rename(ROOT, "a", ROOT, "c", 0);
    work_fsyncdir(ROOT);
    work_mkdir(ROOT, "z");
    work_settle();
    if (work_object(ROOT, "z") != NONE)
        work_rmdir(ROOT, "z");
}

/* Whatever comes, from the seed. */
static int some(int dir, const char *names, char out[4], bool there)
{
    for (unsigned i = 0; i < 12; i++) {
        out[0] = names[work_random(6)];
        out[1] = '\0';
        int object = work_object(dir, out);
        if (there ? object != NONE : object == NONE)
            return object;
    }
    out[0] = '\0';
    return NONE;
}

static void one(int dirs[3])
{
    char a[4], b[4];
    int dir = dirs[work_random(3)], to = dirs[work_random(3)];
    int object = some(dir, "efghij", a, true);
    unsigned what = work_random(20);
    if (what < 4 || object == NONE) {
        (void)some(dir, "efghij", a, false);
        if (a[0] && what % 8 == 3)
            work_symlink(dir, a, "some/where/else");
        else if (a[0])
            work_create(dir, a);
        return;
    }
    const struct object *o = &model->objects[object];
    uint32_t size = o->kind == OBJECT_FILE ? o->contents[o->content_count - 1].len : 0;
    if (o->kind != OBJECT_FILE && what < 13)
        what = 13;
    switch (what) {
    case 4:
    case 5:
    case 6: work_write(dir, a, work_random(size + 1), 1 + work_random(what == 6 ? 9000 : 700)); break;
    case 7: work_write(dir, a, size + work_random(9000), 1 + work_random(3000)); break;
    case 8: work_truncate(dir, a, size ? work_random(size) : 0); break;
    case 9: work_truncate(dir, a, size + work_random(7000)); break;
    case 10: work_punch(dir, a, work_random(size + 1), 1 + work_random(9000)); break;
    case 11:
        if (work_random(4) || o->attributes.values[o->attributes.count - 1].value == NONE)
            work_setxattr(dir, a, (int)work_random(1000));
        else
            work_setxattr(dir, a, NONE);
        break;
    case 12: work_fsync(dir, a); break;
    case 13:
    case 14:
        b[0] = "efghij"[work_random(6)], b[1] = '\0';
        if (dir != to || b[0] != a[0])
            if (work_object(to, b) == NONE || work_object(to, b) != object)
                work_rename(dir, a, to, b, 0);
        break;
    case 15:
        if (some(to, "efghij", b, true) != NONE && work_object(to, b) != object && o->kind == OBJECT_FILE &&
            model->objects[work_object(to, b)].kind == OBJECT_FILE)
            work_rename(dir, a, to, b, RENAME_EXCHANGE);
        break;
    case 16:
        (void)some(to, "efghij", b, false);
        if (b[0] && o->kind == OBJECT_FILE)
            work_link(dir, a, to, b);
        break;
    case 17: work_unlink(dir, a); break;
    case 18: work_fsyncdir(dir); break;
    default:
        if (o->kind == OBJECT_FILE)
            work_chmod(dir, a, work_random(2) ? 0640 : 0600);
        break;
    }
}

static void mixed(void)
{
    work_mkdir(ROOT, "p");
    work_mkdir(ROOT, "q");
    work_fsyncdir(ROOT);
    int p = work_object(ROOT, "p"), q = work_object(ROOT, "q");
    int dirs[3] = {ROOT, p == NONE ? ROOT : p, q == NONE ? ROOT : q};
    for (unsigned i = 0; i < 70; i++) {
        one(dirs);
        if (i % 17 == 16)
            work_settle();
    }
}

/* Classes, long names, attributes, links. */
static void metadata(void)
{
    static const char long_name[] = "a-name-that-is-too-long-for-one-sealed-entry-on-the-disk-and-has-a-record-beside-it-which-must-be-there-before-the-name-is-and-"
                                    "go-after-it-0123456789012345678901234567890123456789";
    work_create(ROOT, "f");
    work_write(ROOT, "f", 0, 9000);
    work_setxattr(ROOT, "f", 1);
    work_fsync(ROOT, "f");
    work_rename(ROOT, "f", ROOT, long_name, 0);
    work_fsyncdir(ROOT);
    work_chmod(ROOT, long_name, 0644);
    work_protect(ROOT, long_name, "complete");
    work_setxattr(ROOT, long_name, 2);
    work_settle();
    work_protect(ROOT, long_name, "after-unlock");
    work_rename(ROOT, long_name, ROOT, "g", 0);
    work_symlink(ROOT, "s", "g");
    work_rename(ROOT, "s", ROOT, "t", 0);
    work_fsyncdir(ROOT);
    work_link(ROOT, "g", ROOT, "h");
    work_unlink(ROOT, "g");
    work_setxattr(ROOT, "h", 3);
    work_fsync(ROOT, "h");
    work_protect(ROOT, "h", "complete");
    work_write(ROOT, "h", 100, 5000);
    work_chmod(ROOT, "h", 0600);
    work_fsync_data(ROOT, "h");
    work_protect(ROOT, "h", "always");
    work_settle();
    work_setxattr(ROOT, "h", NONE);
    work_create(ROOT, "n");
    work_write(ROOT, "n", 0, 10);
    work_rename(ROOT, "n", ROOT, "h", 0);
    work_symlink(ROOT, "u", "elsewhere");
    work_rename(ROOT, "u", ROOT, "t", 0);
    work_mkdir(ROOT, "k");
    work_fsyncdir(ROOT);
    int k = work_object(ROOT, "k");
    if (k == NONE)
        return;
    work_create(ROOT, "one"); /* as git makes its objects: promised by the directory of its second name alone */
    work_write(ROOT, "one", 0, 300);
    work_link(ROOT, "one", k, "two");
    work_unlink(ROOT, "one");
    work_fsyncdir(k);
}

/* [CR-17] A file with several names gets another key: all of them, whatever happens between. */
static void names(void)
{
    char name[16];
    work_mkdir(ROOT, "d");
    work_create(ROOT, "one");
    work_write(ROOT, "one", 0, 9000);
    work_fsync(ROOT, "one");
    int d = work_object(ROOT, "d");
    if (d == NONE)
        return;
    work_link(ROOT, "one", ROOT, "two");
    work_link(ROOT, "one", d, "three");
    work_fsyncdir(ROOT);
    work_protect(ROOT, "two", "complete");
    work_write(d, "three", 100, 300);
    work_fsync(d, "three");
    work_rename(ROOT, "two", d, "four", 0);
    work_protect(d, "four", "after-unlock");
    for (unsigned i = 0; i < 8; i++) { /* more than a header has place for */
        (void)snprintf(name, sizeof name, "n%u", i);
        work_link(d, "three", d, name);
    }
    work_settle();
    work_protect(ROOT, "one", "always");
    work_protect(d, "n1", "complete");
    work_unlink(ROOT, "one");
    work_settle();
}

const struct work works[] = {{"appends", appends}, {"database", database}, {"directories", directories}, {"metadata", metadata}, {"mixed", mixed}, {"names", names}};
const unsigned work_count = sizeof works / sizeof works[0];
