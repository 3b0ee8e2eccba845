/* fs/tree.h and all below it on the disk in memory of tests/fault, given to an attacker: a sequence of operations (names, contents, links, attributes, classes, settles),
 * a close or a power cut, then changes of the bytes, names, attributes and lengths that lie on the disk, and a mount of what is left.
 *
 * Input: u8 1: cut instead of closed | u8 operations | 4 bytes each | changes of 8 bytes each to the end.
 * What was closed is shown as it was or is an error: no other bytes, no missing, added or swapped names [FC-5] [FR-1] [FR-4]. Behind a cut what changed since the last settle
 * may be older or missing, but a file shows no bytes that are another's or were never written to it. Nothing ends the process. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>
#include <sys/mman.h>

#include "apart.h"
#include "crypto/wrap.h"
#include "disk.h"
#include "fuzz.h"
#include "os/secret.h"
#include "proto/mount.h"
#include "quiet.h"
#include "standins.h"
#include "tree_attack.h"

enum { DIRS = 3, NAMES = 6, OBJECTS = 72, OPS = 64, OP_LEN = 4, CHANGES = 16, CAP = 16 * 4096, PAGE = DISK_PAGE, NONE = -1, CREATOR = 1000 };
enum op { CREATE, WRITE, TRUNCATE, RENAME, EXCHANGE, LINK, UNLINK, FSYNC, SETTLE, CHMOD, SYMLINK, SETXATTR, PROTECT, PUNCH, SWAP_DIRS, FSYNCDIR, OP_KINDS };

unsigned fuzz_cost(void)
{
    return 10;
}

struct object {
    bool link;
    uint32_t len;
    uint8_t now[CAP]; /* of a link: its target */
};

struct put {
    int object;
    uint32_t from, to;
};

/* What the owner has done; shared, as is the disk's log. */
static struct world {
    int names[DIRS][NAMES];
    bool swapped; /* d1 and d2 */
    unsigned objects;
    struct object all[OBJECTS];
    struct put puts[OPS + 1]; /* by its number, which is what it writes */
    bool accepted;
} *world;

static uint8_t recipe[2 + OPS * OP_LEN];
static size_t recipe_len;
static struct disk *made; /* what the recipe leaves */
static bool cut;
static uint32_t log_count, next_ino;
static uint64_t log_used;

static const struct hf_caller me = {CREATOR, CREATOR, 0};

void fuzz_start(void)
{
    struct hf_error error;
    disk_start();
    fuzz_apart_start();
    world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FUZZ_PROMISE(world != MAP_FAILED && hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
}

/* --- the owner's part --- */

static const char *name_of(unsigned n)
{
    static char longest[201]; /* its name on the disk is a hash, the name in a side record */
    static const char *const names[NAMES - 1] = {"a", "b", "notes.txt", "d", "e"};
    memset(longest, 'l', 200);
    return n < NAMES - 1 ? names[n] : longest;
}

/* 0: it cannot be looked up, for *ret_why. Keeps the entry looked up. */
static uint64_t find(uint64_t dir, const char *name, struct hf_entry *ret, int *ret_why)
{
    int failed = dir ? hf_tree_lookup(dir, name, ret) : -ENOENT;
    if (ret_why)
        *ret_why = failed;
    return failed ? 0 : ret->id;
}

static uint64_t dir_of(unsigned dir)
{
    struct hf_entry entry;
    return dir == 0 ? HF_TREE_ROOT : find(HF_TREE_ROOT, dir == 1 ? "d1" : "d2", &entry, NULL);
}

static int *slot(unsigned dir, unsigned name)
{
    return &world->names[dir == 0 || !world->swapped ? dir : 3 - dir][name];
}

static int new_object(bool link)
{
    FUZZ_PROMISE(world->objects < OBJECTS);
    world->all[world->objects].link = link;
    return (int)world->objects++;
}

static void write_some(struct object *object, int number, uint64_t id, uint32_t offset, uint32_t len, unsigned tag)
{
    static uint8_t data[CAP];
    memset(data, (int)tag, len);
    world->puts[tag] = (struct put){number, offset, offset + len};
    if (hf_tree_write(id, offset, data, len) != (ssize_t)len)
        return;
    memset(object->now + offset, (int)tag, len);
    object->len = offset + len > object->len ? offset + len : object->len;
}

static void on_content(enum op op, int number, uint64_t id, const uint8_t *arg, unsigned tag)
{
    struct object *object = &world->all[number];
    struct stat attr = {0}, st;
    uint32_t at = arg[2] * 256u % (CAP - 8192), len = 1 + arg[3] * 40u;
    if (hf_tree_open(id, O_RDWR) != 0)
        return;
    if (op == WRITE) {
        write_some(object, number, id, at, len, tag);
    } else if (op == TRUNCATE) {
        attr.st_size = (off_t)at;
        if (hf_tree_setattr(id, &attr, HF_SET_SIZE, &st) == 0) {
            if (at < object->len)
                memset(object->now + at, 0, object->len - at);
            object->len = at;
        }
    } else if (hf_tree_fallocate(id, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len) == 0) {
        for (uint32_t i = at; i < at + len && i < object->len; i++)
            object->now[i] = 0;
    }
    hf_tree_release(id);
}

static void do_one(const uint8_t *arg, unsigned number)
{
    static const char *const classes[] = {"complete", "unless-open", "after-unlock", "always"};
    struct hf_entry entry, other;
    enum op op = arg[0] % OP_KINDS;
    unsigned d = arg[1] % DIRS, n = arg[1] / DIRS % NAMES, to_d = arg[2] % DIRS, to_n = arg[2] / DIRS % NAMES;
    uint64_t dir = dir_of(d), to = dir_of(to_d), id = find(dir, name_of(n), &entry, NULL);
    int *from_slot = slot(d, n), *to_slot = slot(to_d, to_n), failed;
    struct stat attr = {0}, st;
    switch (op) {
    case CREATE:
        failed = hf_tree_create(dir, name_of(n), S_IFREG | 0600, O_RDWR | O_EXCL, &me, &entry);
        if (failed)
            break;
        *from_slot = new_object(false);
        if (arg[3])
            write_some(&world->all[*from_slot], *from_slot, entry.id, 0, arg[3] * 20u, number);
        hf_tree_release(entry.id);
        break;
    case SYMLINK:
        failed = hf_tree_symlink(dir, name_of(n), name_of(to_n), &me, &entry);
        if (failed)
            break;
        *from_slot = new_object(true);
        (void)snprintf((char *)world->all[*from_slot].now, CAP, "%s", name_of(to_n));
        break;
    case RENAME:
    case EXCHANGE:
        failed = hf_tree_rename(dir, name_of(n), to, name_of(to_n), op == EXCHANGE ? RENAME_EXCHANGE : 0);
        if (failed || *from_slot == *to_slot)
            break;
        int was = *to_slot;
        *to_slot = *from_slot;
        *from_slot = op == EXCHANGE ? was : NONE;
        break;
    case LINK:
        if (id && hf_tree_link(id, to, name_of(to_n), &other) == 0)
            *to_slot = *from_slot;
        break;
    case UNLINK:
        if (hf_tree_unlink(dir, name_of(n)) == 0)
            *from_slot = NONE;
        break;
    case WRITE:
    case TRUNCATE:
    case PUNCH:
        if (id && S_ISREG(entry.attr.st_mode))
            on_content(op, *from_slot, id, arg, number);
        break;
    case FSYNC:
        if (id && S_ISREG(entry.attr.st_mode))
            (void)hf_tree_fsync(id, arg[2] & 1);
        break;
    case SETTLE: (void)hf_tree_settle(); break;
    case FSYNCDIR: (void)hf_tree_fsyncdir(dir); break;
    case CHMOD:
        attr.st_mode = 0600 | (arg[2] & 0177u);
        if (id)
            (void)hf_tree_setattr(id, &attr, HF_SET_MODE, &st);
        break;
    case SETXATTR:
        if (id && arg[2] & 1)
            (void)hf_tree_removexattr(id, "user.t");
        else if (id)
            (void)hf_tree_setxattr(id, "user.t", arg, arg[3] % 4u, 0);
        break;
    case PROTECT:
        if (id)
            (void)hf_tree_setxattr(id, "user.holdfast.class", classes[arg[2] % 4], strlen(classes[arg[2] % 4]), 0);
        break;
    case SWAP_DIRS:
        if (hf_tree_rename(HF_TREE_ROOT, "d1", HF_TREE_ROOT, "d2", RENAME_EXCHANGE) == 0)
            world->swapped = !world->swapped;
        break;
    case OP_KINDS:
    default: break;
    }
}

static bool mount_it(void)
{
    struct hf_error error = {.result = HF_OK};
    hf_disk = &disk_ops;
    return hf_tree_start(disk_open_root(), NULL, &quiet_kernel, false, &error) == HF_OK;
}

static void owner(void)
{
    struct hf_entry entry;
    disk_now = disk_new();
    stand_seed(1);
    FUZZ_PROMISE(mount_it());
    FUZZ_PROMISE(hf_tree_mkdir(HF_TREE_ROOT, "d1", 0700, &me, &entry) == 0 && hf_tree_mkdir(HF_TREE_ROOT, "d2", 0700, &me, &entry) == 0);
    for (size_t at = 2, number = 1; at + OP_LEN <= recipe_len; at += OP_LEN, number++)
        do_one(recipe + at, (unsigned)number);
    FUZZ_PROMISE(cut || hf_tree_close() == 0);
}

/* --- what is left --- */

static bool sound(void)
{
    struct hf_tree_counts counts;
    hf_tree_counts(&counts);
    return !cut && counts.freshness == HF_FRESHNESS_SOUND;
}

static void look_into(uint64_t id, const struct object *object)
{
    static uint8_t page[PAGE];
    int owner_of = NONE;
    if (hf_tree_open(id, O_RDONLY) != 0) {
        world->accepted = false;
        return;
    }
    for (uint32_t at = 0; at < CAP; at += PAGE) {
        ssize_t got = hf_tree_read(id, at, PAGE, page);
        world->accepted = world->accepted && got >= 0;
        if (got < 0)
            continue;
        if (!cut) {
            uint32_t left = object->len > at ? object->len - at : 0;
            FUZZ_PROMISE((uint32_t)got == (left < PAGE ? left : PAGE) && memcmp(page, object->now + at, (size_t)got) == 0);
            continue;
        }
        for (uint32_t i = 0; i < (uint32_t)got; i++) {
            if (page[i] == 0)
                continue;
            const struct put *put = &world->puts[page[i]];
            FUZZ_PROMISE(page[i] <= OPS && put->from <= at + i && at + i < put->to && (owner_of == NONE || owner_of == put->object));
            owner_of = put->object;
        }
    }
    hf_tree_release(id);
}

struct listing {
    unsigned dir;
    bool strict;
};

static bool take(void *arg, const char *name, const struct hf_entry *entry, uint64_t next)
{
    const struct listing *listing = arg;
    bool known = strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (listing->dir == 0 && (strcmp(name, "d1") == 0 || strcmp(name, "d2") == 0));
    (void)entry, (void)next;
    for (unsigned n = 0; n < NAMES; n++)
        known = known || (strcmp(name, name_of(n)) == 0 && (!listing->strict || *slot(listing->dir, n) != NONE));
    FUZZ_PROMISE(known);
    return true;
}

static void look_at(unsigned d, uint64_t dir)
{
    struct listing listing = {d, sound()};
    struct hf_entry entry;
    char target[4096];
    int why;
    for (unsigned n = 0; n < NAMES; n++) {
        int there = *slot(d, n);
        uint64_t id = find(dir, name_of(n), &entry, &why);
        world->accepted = world->accepted && (why == 0 || why == -ENOENT);
        FUZZ_PROMISE(why != -ENOENT || there == NONE || !sound()); /* [FR-4] a name that was taken away is missed */
        FUZZ_PROMISE(why != 0 || there != NONE || cut);            /* one that was added or put back is none */
        if (why == 0 && (cut || !world->all[there].link) && S_ISREG(entry.attr.st_mode)) {
            look_into(id, there == NONE ? NULL : &world->all[there]);
        } else if (why == 0) {
            FUZZ_PROMISE(cut || (world->all[there].link && S_ISLNK(entry.attr.st_mode)));
            int failed = hf_tree_readlink(id, target);
            world->accepted = world->accepted && !failed;
            FUZZ_PROMISE(failed || cut || strcmp(target, (const char *)world->all[there].now) == 0);
        }
    }
    world->accepted = world->accepted && hf_tree_readdir(dir, 0, true, take, &listing) == 0;
}

static void found(void *arg, const char *path, const char *what)
{
    (void)arg;
    FUZZ_PROMISE(path && what && what[0]);
}

/* Whatever lies there can be worked on. */
static void work_on(unsigned d, uint64_t dir)
{
    struct hf_entry entry;
    struct stat st, attr = {.st_mode = 0640};
    for (unsigned n = 0; n < NAMES; n++) {
        uint64_t id = find(dir, name_of(n), &entry, NULL);
        if (id && S_ISREG(entry.attr.st_mode) && hf_tree_open(id, O_RDWR) == 0) {
            (void)!hf_tree_write(id, n * 3000, (const uint8_t *)"again", 5);
            (void)hf_tree_fsync(id, n & 1);
            hf_tree_release(id);
        }
        if (id)
            (void)hf_tree_setattr(id, &attr, HF_SET_MODE, &st);
        if (id)
            (void)hf_tree_setxattr(id, "user.holdfast.class", "complete", 8, 0);
        (void)hf_tree_rename(dir, name_of(n), HF_TREE_ROOT, "moved", n & 1 ? RENAME_NOREPLACE : 0);
        (void)hf_tree_unlink(d & 1 ? dir : HF_TREE_ROOT, d & 1 ? name_of(n) : "moved");
        (void)hf_tree_create(dir, name_of(n), S_IFREG | 0600, O_RDWR, &me, &entry);
    }
    (void)hf_tree_rmdir(HF_TREE_ROOT, d == 1 ? "d1" : "d2");
}

static void after(void)
{
    uint64_t objects = 0, findings = 0, dirs[DIRS] = {HF_TREE_ROOT};
    struct hf_entry entry;
    int why;
    stand_seed(2);
    world->accepted = mount_it();
    if (!world->accepted)
        return;
    for (unsigned d = 1; d < DIRS; d++) {
        dirs[d] = find(HF_TREE_ROOT, d == 1 ? "d1" : "d2", &entry, &why);
        FUZZ_PROMISE(why != -ENOENT || !sound());
        world->accepted = world->accepted && why == 0 && S_ISDIR(entry.attr.st_mode);
    }
    for (unsigned d = 0; d < DIRS; d++) {
        if (dirs[d])
            look_at(d, dirs[d]);
    }
    int failed = hf_tree_check(found, NULL, &objects, &findings);
    world->accepted = world->accepted && !failed && findings == 0;
    for (unsigned d = 0; d < DIRS; d++) {
        if (dirs[d])
            work_on(d, dirs[d]);
    }
    (void)hf_tree_settle();
    (void)hf_tree_close();
}

/* The same recipe is cooked once: most inputs differ in what the attacker does. */
static void make(const uint8_t *data, size_t len)
{
    if (made && len == recipe_len && memcmp(recipe, data, len) == 0)
        return;
    memcpy(recipe, data, len);
    recipe_len = len;
    cut = data[0] & 1;
    disk_log->count = 0;
    disk_log->used = 0;
    disk_log->calls = 0;
    disk_log->next_ino = DISK_STATE + 1;
    memset(world, 0, offsetof(struct world, all) + world->objects * sizeof world->all[0]);
    memset(world->puts, 0, sizeof world->puts);
    memset(world->names, 0xff, sizeof world->names);
    disk_free(made);
    fuzz_apart(owner);
    made = disk_new();
    for (uint32_t i = 0; i < disk_log->count; i++)
        disk_apply(made, &disk_log->entries[i]);
    log_count = disk_log->count;
    log_used = disk_log->used;
    next_ino = disk_log->next_ino;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    if (len < 2)
        return false;
    size_t ops = data[1] % (OPS + 1u), head = 2 + ops * OP_LEN;
    if (head > len)
        return false;
    make(data, head);
    disk_now = disk_copy(made);
    for (size_t at = head, n = 0; at + ATTACK_LEN <= len && n < CHANGES; at += ATTACK_LEN, n++)
        attack_change(disk_now, next_ino, data + at);
    fuzz_apart(after);
    disk_free(disk_now);
    disk_log->count = log_count;
    disk_log->used = log_used;
    disk_log->next_ino = next_ino;
    return world->accepted;
}

#define AT(dir, name) ((dir) + DIRS * (name))

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static const uint8_t files[][OP_LEN] = {{CREATE, AT(0, 0), 0, 90}, {CREATE, AT(1, 1), 0, 200}, {WRITE, AT(1, 1), 40, 250}, {CREATE, AT(2, 5), 0, 3}, {SYMLINK, AT(0, 2), AT(0, 5), 0},
                                            {CREATE, AT(1, 3), 0, 0}, {WRITE, AT(1, 3), 0, 255}, {PUNCH, AT(1, 3), 10, 250}, {LINK, AT(0, 0), AT(2, 4), 0}, {SETXATTR, AT(0, 0), 0, 3},
                                            {CHMOD, AT(1, 1), 0077, 0}, {PROTECT, AT(2, 5), 0, 0}, {SETTLE, 0, 0, 0}};
    static const uint8_t moves[][OP_LEN] = {{CREATE, AT(0, 0), 0, 200}, {CREATE, AT(0, 1), 0, 30}, {SETTLE, 0, 0, 0}, {RENAME, AT(0, 0), AT(1, 5), 0}, {CREATE, AT(2, 0), 0, 9},
                                            {EXCHANGE, AT(2, 0), AT(1, 5), 0}, {RENAME, AT(0, 1), AT(2, 0), 0}, {SWAP_DIRS, 0, 0, 0}, {FSYNC, AT(2, 5), 0, 0}, {FSYNCDIR, 1, 0, 0},
                                            {TRUNCATE, AT(1, 0), 8, 0}, {WRITE, AT(1, 0), 20, 200}, {UNLINK, AT(0, 1), 0, 0}, {LINK, AT(1, 0), AT(0, 3), 0}};
    const uint8_t(*ops)[OP_LEN] = number & 1 ? moves : files;
    size_t count = number & 1 ? sizeof moves / sizeof moves[0] : sizeof files / sizeof files[0];
    if (number > 3)
        return 0;
    out[0] = number > 1; /* closed, then cut */
    out[1] = (uint8_t)count;
    memcpy(out + 2, ops, count * OP_LEN);
    size_t len = 2 + count * OP_LEN;
    for (unsigned i = 0; i < 3; i++, len += ATTACK_LEN) /* changes that change nothing yet */
        memcpy(out + len, (uint8_t[ATTACK_LEN]){ATTACK_OWNER, (uint8_t)(4 + 5 * i), (uint8_t)(9 * i), (uint8_t)i, (uint8_t)i, 0, 2, 0}, ATTACK_LEN);
    return len;
}

/* A mutation of the sequence alone reaches the owner's part; the attacker's comes with what is appended. */
size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len < 2)
        return len;
    size_t ops = data[1] % (OPS + 1u);
    if (2 + ops * OP_LEN > len)
        data[1] = (uint8_t)((len - 2) / OP_LEN);
    size_t head = 2 + data[1] % (OPS + 1u) * OP_LEN, left = (len - head) % ATTACK_LEN;
    for (size_t at = head; at + ATTACK_LEN <= len; at += ATTACK_LEN) /* one that would change nothing does */
        data[at + 7] = data[at + 7] ? data[at + 7] : 1;
    for (; left && left < ATTACK_LEN && len < FUZZ_MAX; left++) /* a change that was begun is one */
        data[len++] = (uint8_t)(data[left % head] * 37u + left);
    return len;
}
