/* Walks over the whole tree: check reads and authenticates everything; rotate wraps every file's key under its class's current generation. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/accept.h"
#include "fs/allnames.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/rekey.h"
#include "fs/settle.h"
#include "fs/spool.h"
#include "fs/treepart.h"
#include "fs/worker.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum { LINKED = 1024 };

struct walk {
    void (*visit)(struct walk *walk, uint64_t parent, const char *name, struct hf_entry *entry, const char *path);
    void (*finding)(void *arg, const char *path, const char *what);
    void (*progress)(void *arg, uint64_t done, const char *what);
    void *arg;
    unsigned class;
    bool arrivals; /* only where files can have come before the first unlock: below directories of class always */
    uint64_t objects, files, findings, left;
    struct linked *linked[LINKED]; /* by inode */
    uint8_t *buffer;
};

static atomic_bool stopped;

void hf_tree_stop(void)
{
    atomic_store(&stopped, true);
}

struct names {
    char **names;
    size_t len, cap;
    bool failed;
};

static bool take_name(void *arg, const char *name, const struct hf_entry *entry, uint64_t next_offset)
{
    struct names *names = arg;
    (void)entry;
    (void)next_offset;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    if (names->len == names->cap) {
        size_t cap = names->cap * 2 + 64;
        char **more = realloc(names->names, cap * sizeof *more);
        if (!more) {
            names->failed = true;
            return true;
        }
        names->names = more;
        names->cap = cap;
    }
    names->names[names->len] = strdup(name);
    if (names->names[names->len])
        names->len++;
    else
        names->failed = true;
    return true;
}

/* Names and content must not stay in memory that the heap has back. */
static void wipe_and_free(void *memory, size_t len)
{
    if (memory)
        hf_wipe(memory, len);
    free(memory);
}

/* What freshness has to say goes before what a failure alone would [FR-10]. */
static void report(struct walk *walk, const char *path, const char *what)
{
    const char *why = hf_fresh_why();
    what = why ? why : what;
    walk->findings++;
    if (walk->finding)
        walk->finding(walk->arg, path, what);
    hf_fresh_forget_why();
}

/* Names on disk that are none of ours, which readdir passes over. */
static void look_for_strangers(struct walk *walk, uint64_t id, const char *path)
{
    struct hf_node *dir;
    char plain[256];
    _Alignas(8) char buffer[8192];
    ssize_t got = 0;
    if (hf_tree_enter(id, false, &dir) != 0)
        return;
    int fd = hf_dir_use(dir);
    int stream = fd < 0 ? fd : hf_open_lent(fd, ".", O_RDONLY | O_DIRECTORY);
    while (stream >= 0 && (got = hf_disk->getdents(stream, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *raw = (const void *)(buffer + at);
            if (!hf_name_is_ours(raw->d_name) && hf_dir_plain(dir, fd, raw->d_name, plain) == -EIO) {
                (void)snprintf((char *)walk->buffer, 600, "a name on disk is not authentic: %.300s", raw->d_name);
                report(walk, path, (char *)walk->buffer);
            }
            at += raw->d_reclen;
        }
    }
    if (stream >= 0)
        (void)hf_disk->close(stream);
    if (fd >= 0)
        hf_dir_done(dir);
    hf_tree_leave();
}

static void check_attributes(struct walk *walk, uint64_t id, const char *path)
{
    ssize_t list = hf_tree_listxattr(id, (char *)walk->buffer, HF_MAX_IO);
    bool good = list != -EIO;
    for (const char *name = (const char *)walk->buffer; good && list > 0 && name < (const char *)walk->buffer + list; name += strlen(name) + 1)
        good = hf_tree_getxattr(id, name, NULL, 0) != -EIO;
    if (!good)
        report(walk, path, "its extended attributes are not authentic");
}

static void walk_dir(struct walk *walk, uint64_t id, const char *path);

static void walk_entry(struct walk *walk, uint64_t parent, const char *name, const char *path)
{
    struct hf_entry entry;
    size_t len = strlen(path) + strlen(name) + 2;
    char *below = malloc(len);
    if (!below)
        return;
    (void)snprintf(below, len, "%s/%s", path, name);
    hf_fresh_forget_why();
    int failed = hf_tree_lookup(parent, name, &entry);
    if (failed) {
        if (failed != -ENOENT && failed != -ENOKEY)
            report(walk, below, "cannot be looked up");
    } else {
        walk->objects++;
        if (S_ISDIR(entry.attr.st_mode))
            walk_dir(walk, entry.id, below);
        else
            walk->visit(walk, parent, name, &entry, below);
        hf_tree_forget(entry.id, 1);
    }
    wipe_and_free(below, len);
}

static bool leads_to_arrivals(uint64_t id)
{
    struct hf_node *dir = hf_node_of(id);
    pthread_rwlock_rdlock(&hf_ns);
    int fd = hf_dir_use(dir);
    bool leads = fd >= 0 && (id == HF_TREE_ROOT || hf_dir_class(dir) == HF_CLASS_ALWAYS);
    if (fd >= 0)
        hf_dir_done(dir);
    pthread_rwlock_unlock(&hf_ns);
    return leads;
}

static void walk_dir(struct walk *walk, uint64_t id, const char *path)
{
    struct names names = {0};
    if (atomic_load(&stopped) || (walk->arrivals && !leads_to_arrivals(id)))
        return;
    hf_fresh_forget_why();
    int failed = hf_tree_readdir(id, 0, false, take_name, &names);
    if (failed == -EIO)
        report(walk, *path ? path : "/", "the directory's record (.hf) is missing or not authentic: it, its place, mode or owner was changed");
    else if ((failed && failed != -ENOKEY) || names.failed)
        report(walk, *path ? path : "/", "the directory could not be read");
    else if (!failed && walk->finding) {
        look_for_strangers(walk, id, *path ? path : "/");
        check_attributes(walk, id, *path ? path : "/");
    }
    for (size_t i = 0; i < names.len; i++) {
        if (!atomic_load(&stopped))
            walk_entry(walk, id, names.names[i], path);
        wipe_and_free(names.names[i], strlen(names.names[i]));
    }
    free(names.names);
}

/* --- check --- */

static void check_file(struct walk *walk, struct hf_entry *entry, const char *path)
{
    char text[128];
    int failed = hf_tree_open(entry->id, O_RDONLY);
    if (failed == -ENOKEY)
        return;
    if (failed) {
        report(walk, path, failed == -EIO ? "header, name, mode or owner is not authentic" : "cannot be opened");
        return;
    }
    uint64_t offset = 0;
    ssize_t got = 0;
    while ((got = hf_tree_read(entry->id, offset, HF_MAX_IO, walk->buffer)) > 0)
        offset += (uint64_t)got;
    if (got < 0 && got != -ENOKEY) {
        /* The exact page, for the one who restores it. */
        while ((got = hf_tree_read(entry->id, offset, 4096, walk->buffer)) > 0)
            offset += (uint64_t)got;
        (void)snprintf(text, sizeof text, "its content is not authentic from byte %llu on", (unsigned long long)offset);
        report(walk, path, text);
    }
    hf_tree_release(entry->id);
    check_attributes(walk, entry->id, path);
}

static void check_entry(struct walk *walk, uint64_t parent, const char *name, struct hf_entry *entry, const char *path)
{
    (void)parent, (void)name;
    char target[4096];
    if (S_ISREG(entry->attr.st_mode))
        check_file(walk, entry, path);
    else if (S_ISLNK(entry->attr.st_mode)) {
        int failed = hf_tree_readlink(entry->id, target);
        if (failed && failed != -ENOKEY)
            report(walk, path, "its target is not authentic");
    }
}

int hf_tree_check(void (*finding)(void *arg, const char *path, const char *what), void *arg, uint64_t *ret_objects, uint64_t *ret_findings)
{
    struct walk walk = {.visit = check_entry, .finding = finding, .arg = arg, .objects = 1, .buffer = malloc(HF_MAX_IO)};
    if (!walk.buffer)
        return -ENOMEM;
    atomic_store(&stopped, false);
    walk_dir(&walk, HF_TREE_ROOT, "");
    if (hf_tree_accepted(NULL, NULL) == -EIO)
        report(&walk, "/.holdfast/accepted", "the record of what was accepted is altered, cut or missing");
    wipe_and_free(walk.buffer, HF_MAX_IO);
    *ret_objects = walk.objects;
    *ret_findings = walk.findings;
    return atomic_load(&hf_dead) ? -EIO : atomic_load(&stopped) ? -EINTR : 0;
}

/* --- rotate --- */

/* A file with several names, of which some were met: looking for them in the whole tree, for each such file, would take too long. */
struct linked {
    struct linked *next;
    struct hf_node *file; /* a reference */
    struct hf_all_names names;
};

static bool is_due(const struct walk *walk, const struct hf_node *file)
{
    return (walk->class == 0 || file->class == walk->class) && file->content->header.class_generation != hf_keyring_generation(file->class);
}

static int rewrap(struct hf_node *file, const struct hf_all_names *known)
{
    struct hf_all_names all;
    int failed = hf_all_names_known(file, known, &all);
    pthread_rwlock_wrlock(&file->lock);
    if (!failed)
        failed = hf_file_ready(file);
    if (!failed) {
        hf_dirty(file);
        failed = hf_file_rewrap(file, file->class, &all);
    }
    pthread_rwlock_unlock(&file->lock);
    hf_all_names_free(&all);
    return failed;
}

/* hf_ns held exclusively. One more name of it; *ret: NULL when there are others still to come. */
static int met(struct walk *walk, struct hf_node *file, uint64_t parent, const char *name, nlink_t links, struct linked **ret)
{
    *ret = NULL;
    struct linked **at = &walk->linked[file->ino % LINKED];
    while (*at && (*at)->file != file)
        at = &(*at)->next;
    struct linked *linked = *at;
    if (!linked && (linked = calloc(1, sizeof *linked)) == NULL)
        return -ENOMEM;
    if (!linked->file) {
        linked->file = file;
        hf_node_ref(file);
        *at = linked;
    }
    int failed = hf_all_names_add(&linked->names, hf_node_of(parent), "", name);
    if (failed || linked->names.count < links)
        return failed;
    *at = linked->next;
    *ret = linked;
    return 0;
}

static void linked_free(struct linked *linked)
{
    hf_all_names_free(&linked->names);
    hf_node_unref(linked->file);
    free(linked);
}

static void count(struct walk *walk, bool due, int failed, const char *path)
{
    walk->files += due && !failed;
    walk->findings += failed != 0;
    if (walk->progress)
        walk->progress(walk->arg, walk->files, path);
}

static void rotate_entry(struct walk *walk, uint64_t parent, const char *name, struct hf_entry *entry, const char *path)
{
    struct hf_node *file = hf_node_of(entry->id);
    const struct hf_all_names none = {.count = 0};
    struct linked *linked = NULL;
    if (!S_ISREG(entry->attr.st_mode) && file->kind != HF_NODE_LONG_LINK)
        return;
    pthread_rwlock_wrlock(&hf_ns);
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_ready(file);
    bool due = !failed && is_due(walk, file);
    pthread_rwlock_unlock(&file->lock);
    if (due && entry->attr.st_nlink > 1) {
        failed = met(walk, file, parent, name, entry->attr.st_nlink, &linked);
        due = linked != NULL;
    }
    if (due)
        failed = rewrap(file, linked ? &linked->names : &none);
    pthread_rwlock_unlock(&hf_ns);
    if (linked)
        linked_free(linked);
    hf_node_idle(file);
    count(walk, due, failed, path);
}

/* A file whose names changed during the walk. */
static void rotate_late(struct walk *walk, struct linked *linked)
{
    struct hf_node *file = linked->file;
    pthread_rwlock_wrlock(&hf_ns);
    pthread_rwlock_wrlock(&file->lock);
    int failed = file->unlinked ? 0 : hf_file_ready(file);
    bool due = !failed && !file->unlinked && is_due(walk, file) && !atomic_load(&stopped);
    pthread_rwlock_unlock(&file->lock);
    if (due)
        failed = rewrap(file, &linked->names);
    pthread_rwlock_unlock(&hf_ns);
    hf_node_idle(file);
    count(walk, due, failed, "");
    linked_free(linked);
}

static void rotate_rest(struct walk *walk)
{
    for (size_t i = 0; i < LINKED; i++) {
        while (walk->linked[i]) {
            struct linked *linked = walk->linked[i];
            walk->linked[i] = linked->next;
            rotate_late(walk, linked);
        }
    }
}

int hf_tree_rotate(unsigned class, void (*progress)(void *arg, uint64_t done, const char *what), void *arg, uint64_t *ret_files)
{
    struct walk walk = {.visit = rotate_entry, .progress = progress, .arg = arg, .class = class, .buffer = malloc(HF_MAX_IO)};
    if (!walk.buffer)
        return -ENOMEM;
    atomic_store(&stopped, false);
    enum hf_result result = hf_keyring_refresh();
    if (result == HF_OK)
        walk_dir(&walk, HF_TREE_ROOT, "");
    rotate_rest(&walk);
    wipe_and_free(walk.buffer, HF_MAX_IO);
    *ret_files = walk.files;
    int failed = result == HF_OK ? hf_tree_settle() : -hf_errno(result);
    return failed ? failed : atomic_load(&stopped) ? -EINTR : walk.findings ? -EIO : 0;
}

/* --- what came before the first unlock --- */

static void take_in_entry(struct walk *walk, uint64_t parent, const char *name, struct hf_entry *entry, const char *path)
{
    (void)parent, (void)name, (void)path;
    if (!S_ISREG(entry->attr.st_mode))
        return;
    int taken = hf_spool_take(hf_node_of(entry->id));
    walk->files += taken > 0;
    walk->left += taken < 0;
}

int hf_tree_take_in(void)
{
    struct walk walk = {.visit = take_in_entry, .arrivals = true};
    atomic_store(&stopped, false);
    walk_dir(&walk, HF_TREE_ROOT, "");
    if (atomic_load(&hf_dead))
        return -EIO;
    if (atomic_load(&stopped) || !hf_keyring_is_open(HF_CLASS_UNLESS_OPEN))
        return -EINTR;
    hf_spool_done(walk.left);
    return 0;
}
