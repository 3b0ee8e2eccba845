/* Holds a mounted tree against the journal. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "fs/fresh.h"
#include "fs/tree.h"
#include "model.h"

struct seen {
    struct judgement *j;
    bool reached[OBJECTS];
    bool bad;
};

struct list {
    char names[NAMES][256];
    uint64_t ino[NAMES];
    unsigned count;
};

static bool fail(struct seen *seen, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct seen *seen, const char *format, ...)
{
    va_list args;
    if (!seen->bad) {
        va_start(args, format);
        (void)vsnprintf(seen->j->text, sizeof seen->j->text, format, args);
        va_end(args);
    }
    seen->bad = true;
    return false;
}

static bool take(void *arg, const char *name, const struct hf_entry *entry, uint64_t next)
{
    struct list *list = arg;
    (void)next;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    if (list->count == NAMES)
        abort();
    (void)snprintf(list->names[list->count], sizeof list->names[0], "%s", name);
    list->ino[list->count++] = entry->attr.st_ino;
    return true;
}

/* --- what was promised --- */

static uint32_t newest(const uint32_t *ops, unsigned count, uint32_t acked)
{
    uint32_t best = 0;
    for (unsigned i = 0; i < count; i++) {
        if (ops[i] <= acked && ops[i] > best)
            best = ops[i];
    }
    return best;
}

static uint32_t more(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t floor_of(const struct judgement *j, const uint32_t *promises, unsigned count)
{
    if (j->live || j->wholly_synced)
        return j->acked;
    return more(newest(promises, count, j->acked), newest(model->settles, model->settle_count, j->acked));
}

static uint32_t object_floor(const struct judgement *j, const struct object *object)
{
    return floor_of(j, object->promises, object->promise_count);
}

/* The first value that may be there: the last one of the promised operation or before. */
static unsigned first_of(const struct history *history, uint32_t floor)
{
    unsigned first = 0;
    for (unsigned i = 0; i < history->count && history->values[i].op <= floor; i++)
        first = i;
    return first;
}

static bool may_be(const struct history *history, uint32_t floor, uint32_t begun, int64_t value)
{
    for (unsigned i = first_of(history, floor); i < history->count && (history->values[i].op <= begun || i == first_of(history, floor)); i++) {
        if (history->values[i].value == value)
            return true;
    }
    return false;
}

static int64_t value_at(const struct history *history, uint32_t op)
{
    return history->count ? history->values[first_of(history, op)].value : NONE;
}

/* An fsync of a file promises the names that it has then. */
static uint32_t name_floor(const struct judgement *j, const struct name *slot)
{
    uint32_t floor = object_floor(j, &model->objects[slot->dir]);
    if (j->live || j->wholly_synced || j->names_apart)
        return floor;
    for (unsigned i = 0; i < slot->objects.count; i++) {
        int64_t value = slot->objects.values[i].value;
        if (value == NONE || model->objects[value].kind == OBJECT_DIR)
            continue;
        const struct object *object = &model->objects[value];
        for (unsigned k = 0; k < object->promise_count; k++) {
            uint32_t op = object->promises[k];
            if (op <= j->acked && op > floor && value_at(&slot->objects, op) == value)
                floor = op;
        }
    }
    return floor;
}

/* --- objects --- */

static int object_of(uint64_t ino)
{
    for (int i = 0; i < model->object_count; i++) {
        for (unsigned k = 0; k < model->objects[i].ino_count; k++) {
            if (model->objects[i].inos[k] == ino)
                return i;
        }
    }
    return NONE;
}

static bool judge_content(struct seen *seen, const struct object *object, const char *name, uint64_t id)
{
    static uint8_t bytes[DISK_PAGES * DISK_PAGE];
    struct judgement *j = seen->j;
    int failed = hf_tree_open(id, O_RDONLY);
    if (failed)
        return fail(seen, "%s cannot be opened: %s", name, strerror(-failed));
    ssize_t len = hf_tree_read(id, 0, sizeof bytes, bytes);
    hf_tree_release(id);
    if (len < 0)
        return fail(seen, "%s cannot be read: %s", name, strerror((int)-len));
    uint32_t floor = object_floor(j, object);
    unsigned first = 0, end = object->content_count;
    for (unsigned i = 0; i < object->content_count && object->contents[i].op <= floor; i++)
        first = i;
    while (end > first + 1 && object->contents[end - 1].op > j->begun)
        end--;
    uint32_t shortest = UINT32_MAX, longest = 0;
    for (unsigned i = first; i < end; i++) {
        shortest = object->contents[i].len < shortest ? object->contents[i].len : shortest;
        longest = more(longest, object->contents[i].len);
    }
    if (len < (ssize_t)shortest || len > (ssize_t)longest)
        return fail(seen, "%s has %zd bytes, wanted %u to %u (versions %u to %u)", name, len, shortest, longest, first, end);
    for (ssize_t at = 0; at < len; at++) {
        bool there = false;
        for (unsigned i = first; i < end && !there; i++)
            there = at < (ssize_t)object->contents[i].len && object->contents[i].bytes[at] == bytes[at];
        if (!there)
            return fail(seen, "%s: byte %zd of %zd is of no version that may be there (%u to %u)", name, at, len, first, end);
    }
    return true;
}

static bool judge_object(struct seen *seen, int number, const char *name, const struct hf_entry *entry)
{
    const struct judgement *j = seen->j;
    const struct object *object = &model->objects[number];
    uint32_t floor = floor_of(j, object->whole_promises, object->whole_count);
    char target[4096], text[16] = "";
    int failed;
    seen->reached[number] = true;
    if (object->kind == OBJECT_LINK) {
        failed = hf_tree_readlink(entry->id, target);
        if (failed || strcmp(target, object->target) != 0)
            return fail(seen, "link %s cannot be read or has another target: %s", name, strerror(-failed));
        return true;
    }
    if (!may_be(&object->modes, floor, j->begun, entry->attr.st_mode & 07777))
        return fail(seen, "%s has mode %o", name, entry->attr.st_mode & 07777);
    ssize_t len = hf_tree_getxattr(entry->id, "user.t", text, sizeof text - 1);
    if (len < 0 && len != -ENODATA)
        return fail(seen, "the attribute of %s cannot be read: %s%s%s", name, strerror((int)-len), hf_fresh_why() ? ", " : "", hf_fresh_why() ? hf_fresh_why() : "");
    int64_t value = len < 0 ? NONE : strtol(text, NULL, 10);
    if (!may_be(&object->attributes, floor, j->begun, value))
        return fail(seen, "%s has attribute %lld", name, (long long)value);
    return object->kind == OBJECT_DIR || judge_content(seen, object, name, entry->id);
}

static bool judge_dir(struct seen *seen, int number, uint64_t id, unsigned depth);

/* Something under that name could be neither made nor removed whole. */
static bool has_husk(const struct name *slot)
{
    for (unsigned i = 0; i < slot->objects.count; i++) {
        int64_t object = slot->objects.values[i].value;
        if (object != NONE && model->objects[object].husk)
            return true;
    }
    return false;
}

static bool judge_name(struct seen *seen, int dir, uint64_t dir_id, const char *name, uint64_t ino, unsigned depth)
{
    struct hf_entry entry;
    const struct name *slot = NULL;
    for (int i = 0; i < model->name_count && !slot; i++) {
        if (model->names[i].dir == dir && strcmp(model->names[i].name, name) == 0)
            slot = &model->names[i];
    }
    if (!slot)
        return fail(seen, "a name that nobody made: %s", name);
    int failed = hf_tree_lookup(dir_id, name, &entry);
    if (failed == -EIO && ino == seen->j->torn_ino) {
        int torn = object_of(ino);
        if (torn != NONE)
            seen->reached[torn] = true;
        return true;
    }
    if (failed == -EIO && has_husk(slot))
        return true;
    if (failed)
        return fail(seen, "%s cannot be looked up: %s", name, strerror(-failed));
    int object = object_of(entry.attr.st_ino);
    bool good = true;
    if (object == NONE)
        good = fail(seen, "%s is an object that nobody made", name);
    else if (model->objects[object].husk)
        seen->reached[object] = true;
    else if (!may_be(&slot->objects, name_floor(seen->j, slot), seen->j->begun, object))
        good = fail(seen, "%s is object %d", name, object);
    else if (entry.attr.st_ino == seen->j->torn_ino)
        seen->reached[object] = true; /* readable or not: nobody is told anything wrong, which judge_content would show only where it can be read */
    else
        good = judge_object(seen, object, name, &entry) && (model->objects[object].kind != OBJECT_DIR || judge_dir(seen, object, entry.id, depth + 1));
    hf_tree_forget(entry.id, 1);
    return good;
}

static bool judge_dir(struct seen *seen, int number, uint64_t id, unsigned depth)
{
    struct list *list = calloc(1, sizeof *list);
    int failed = depth > 20 ? -ELOOP : hf_tree_readdir(id, 0, false, take, list);
    bool good = true;
    if (failed)
        good = fail(seen, "directory %d cannot be listed: %s", number, strerror(-failed));
    seen->reached[number] = true;
    for (unsigned i = 0; i < list->count && good; i++)
        good = judge_name(seen, number, id, list->names[i], list->ino[i], depth);
    for (int i = 0; i < model->name_count && good; i++) {
        const struct name *slot = &model->names[i];
        bool there = false;
        if (slot->dir != number)
            continue;
        for (unsigned k = 0; k < list->count; k++)
            there = there || strcmp(list->names[k], slot->name) == 0;
        int64_t last = slot->objects.count > 1 ? slot->objects.values[slot->objects.count - 2].value : NONE;
        if (last != NONE && model->objects[last].husk)
            continue;
        if (!there && !may_be(&slot->objects, name_floor(seen->j, slot), seen->j->begun, NONE))
            good = fail(seen, "%s is gone (promised by operation %u)", slot->name, name_floor(seen->j, slot));
    }
    free(list);
    return good;
}

/* What an fsync promised is reachable under some name as long as nobody has taken its last one away. */
static bool judge_reached(struct seen *seen)
{
    const struct judgement *j = seen->j;
    for (int i = 0; i < model->object_count; i++) {
        const struct object *object = &model->objects[i];
        uint32_t floor = object_floor(j, object);
        if (floor == 0 || seen->reached[i] || object->kind == OBJECT_DIR || object->husk)
            continue;
        bool had = value_at(&object->names_left, floor) > 0, lost = false;
        for (unsigned k = 0; k < object->names_left.count; k++)
            lost = lost || (object->names_left.values[k].op > floor && object->names_left.values[k].op <= j->begun && object->names_left.values[k].value <= 0);
        /* A rename in the journal is one name more, then one less: never none in between. */
        if (had && !lost && object->names_left.values[0].op <= floor)
            return fail(seen, "object %d, promised by operation %u, has no name any more", i, floor);
    }
    return true;
}

bool model_judge(struct judgement *judgement)
{
    struct seen *seen = calloc(1, sizeof *seen);
    seen->j = judgement;
    bool good = judge_dir(seen, ROOT, HF_TREE_ROOT, 0) && judge_reached(seen);
    free(seen);
    return good;
}
