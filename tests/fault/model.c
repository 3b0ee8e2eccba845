#include "model_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk.h"
#include "fs/tree.h"

struct model *model;
static uint64_t seed = 1;
const struct hf_caller *model_me(void)
{
    static struct hf_caller caller;
    caller = (struct hf_caller){.uid = geteuid(), .gid = getegid()};
    return &caller;
}

uint32_t work_random(uint32_t bound)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % bound;
}

void work_seed(uint64_t value)
{
    seed = value * UINT64_C(0x9e3779b97f4a7c15) | 1;
}

void model_start(void)
{
    model = mmap(NULL, sizeof *model, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (model == MAP_FAILED)
        abort();
}

void model_wrong(const char *format, ...)
{
    va_list args;
    if (model->failure[0])
        return;
    va_start(args, format);
    (void)vsnprintf(model->failure, sizeof model->failure, format, args);
    va_end(args);
}

/* --- histories --- */

void model_add(struct history *history, int64_t value)
{
    if (history->count == HISTORY)
        abort();
    history->values[history->count++] = (struct value){model->op, value};
}

int64_t model_current(const struct history *history)
{
    return history->count ? history->values[history->count - 1].value : NONE;
}

void model_reset(void)
{
    memset(model, 0, sizeof *model);
    model->object_count = 1;
    model->objects[ROOT] = (struct object){.kind = OBJECT_DIR, .id = HF_TREE_ROOT, .inos = {DISK_ROOT}, .ino_count = 1};
    model_add(&model->objects[ROOT].modes, 0700);
}

struct name *model_slot_of(int dir, const char *name, bool make)
{
    for (int i = 0; i < model->name_count; i++) {
        if (model->names[i].dir == dir && strcmp(model->names[i].name, name) == 0)
            return &model->names[i];
    }
    if (!make)
        return NULL;
    if (model->name_count == NAMES || strlen(name) >= sizeof model->names[0].name)
        abort();
    struct name *slot = &model->names[model->name_count++];
    *slot = (struct name){.dir = dir};
    memcpy(slot->name, name, strlen(name) + 1);
    model_add(&slot->objects, NONE);
    slot->objects.values[0].op = 0;
    return slot;
}

int work_object(int dir, const char *name)
{
    const struct name *slot = model_slot_of(dir, name, false);
    return slot ? (int)model_current(&slot->objects) : NONE;
}

void model_add_ino(struct object *object, uint64_t ino)
{
    for (unsigned i = 0; i < object->ino_count; i++) {
        if (object->inos[i] == ino)
            return;
    }
    if (object->ino_count == INOS)
        abort();
    object->inos[object->ino_count++] = (uint32_t)ino;
}

void model_add_content(struct object *object, const uint8_t *bytes, uint32_t len)
{
    if (object->content_count == HISTORY)
        abort();
    object->contents[object->content_count++] = (struct content){model->op, len, len ? disk_log_take(bytes, len) : NULL};
}

int model_object_new(enum object_kind kind, uint32_t mode)
{
    if (model->object_count == OBJECTS)
        abort();
    struct object *object = &model->objects[model->object_count];
    *object = (struct object){.kind = kind};
    model_add(&object->modes, mode);
    model_add(&object->attributes, NONE);
    if (kind == OBJECT_FILE)
        model_add_content(object, NULL, 0);
    return model->object_count++;
}

static void names_changed(int object, int by)
{
    if (object != NONE) {
        int64_t now = model_current(&model->objects[object].names_left);
        model_add(&model->objects[object].names_left, (now < 0 ? 0 : now) + by);
    }
}

void model_bind(struct name *slot, int object)
{
    names_changed((int)model_current(&slot->objects), -1);
    model_add(&slot->objects, object);
    names_changed(object, 1);
}

/* --- around each operation --- */

void model_begin(const char *what, int dir, const char *name)
{
    model->op++;
    if (getenv("HF_FAULT_TRACE"))
        (void)fprintf(stderr, "log %u: operation %u: %s %d/%s\n", disk_log->count, model->op, what, dir, name ? name : "");
    disk_mark(DISK_BEGIN, model->op, 0);
}

void model_trace_to(int dir, const char *name)
{
    if (getenv("HF_FAULT_TRACE"))
        (void)fprintf(stderr, "    to %d/%s\n", dir, name);
}

void model_end(int failed)
{
    disk_mark(DISK_END, model->op, failed != 0);
    if (failed)
        model->failed_ops++;
    else
        model->done_ops++;
    if (failed && !disk_fault.hits)
        model_wrong("operation %u failed without cause: %s", model->op, strerror(-failed));
}

uint64_t model_dir_id(int dir)
{
    return model->objects[dir].id;
}

/* After an operation that failed: which object has the name now? The next operation starts from there. */
int model_what_is_there(int dir, const char *name, int mine)
{
    struct hf_entry entry;
    bool armed = disk_fault.armed;
    disk_fault.armed = false;
    int failed = hf_tree_lookup(model_dir_id(dir), name, &entry);
    disk_fault.armed = armed;
    if (failed == -ENOENT)
        return NONE;
    if (failed == -EIO && disk_fault.on) { /* half made or half removed, and the disk lets nobody tidy up: no name that the index knows */
        const struct name *slot = model_slot_of(dir, name, false);
        int half = mine != NONE ? mine : slot->objects.count > 1 ? (int)slot->objects.values[slot->objects.count - 2].value : NONE;
        if (half != NONE)
            model->objects[half].husk = true;
        return NONE;
    }
    if (failed) {
        model_wrong("after a failed operation %u %s cannot be looked up: %s", model->op, name, strerror(-failed));
        return NONE;
    }
    hf_tree_forget(entry.id, 1);
    for (int i = 0; i < model->object_count; i++) {
        for (unsigned k = 0; k < model->objects[i].ino_count; k++) {
            if (model->objects[i].inos[k] == entry.attr.st_ino)
                return i;
        }
    }
    if (mine != NONE) {
        model_add_ino(&model->objects[mine], entry.attr.st_ino);
        return mine;
    }
    model_wrong("after a failed operation %u %s is an object that nobody made", model->op, name);
    return NONE;
}

/* The name may have the old object or the new one. */
void model_resync_name(struct name *slot, int64_t old, int fresh)
{
    int now = model_what_is_there(slot->dir, slot->name, fresh);
    if ((now == NONE || !model->objects[now].husk) && now != old && now != fresh)
        model_wrong("after a failed operation %u %s has object %d instead of %lld or %d", model->op, slot->name, now, (long long)old, fresh);
    if (disk_fault.on && now != NONE && now == fresh && old == NONE)
        model->objects[now].husk = true;
    if (disk_fault.on && now != NONE && now == old && fresh == NONE && model->objects[now].kind == OBJECT_DIR)
        model->objects[now].husk = true; /* its record went, it stayed */
    if (now != NONE && model->objects[now].husk)
        now = NONE;
    model_bind(slot, now);
}

int model_use(int dir, const char *name, int flags, struct used *ret)
{
    struct hf_entry entry;
    ret->number = work_object(dir, name);
    ret->open = false;
    ret->object = &model->objects[ret->number];
    int failed = hf_tree_lookup(model_dir_id(dir), name, &entry);
    if (failed)
        return failed;
    ret->id = entry.id;
    if (flags != NOT_OPEN && (failed = hf_tree_open(entry.id, flags)) != 0)
        hf_tree_forget(entry.id, 1);
    ret->open = flags != NOT_OPEN && !failed;
    return failed;
}

void model_unuse(struct used *used)
{
    if (used->open)
        hf_tree_release(used->id);
    hf_tree_forget(used->id, 1);
}

/* What the file holds now must be, byte for byte, of the last two versions: that is what goes on. */
void model_resync_content(int dir, const char *name)
{
    static uint8_t bytes[DISK_PAGES * DISK_PAGE];
    struct used used;
    bool armed = disk_fault.armed;
    disk_fault.armed = false;
    ssize_t len = model_use(dir, name, O_RDONLY, &used);
    if (len == 0) {
        len = hf_tree_read(used.id, 0, sizeof bytes, bytes);
        model_unuse(&used);
    }
    disk_fault.armed = armed;
    if (len < 0) {
        model_wrong("after a failed operation %u %s cannot be read: %s", model->op, name, strerror((int)-len));
        return;
    }
    const struct content *last = &used.object->contents[used.object->content_count - 1], *before = last - 1;
    bool fits = len == last->len || len == before->len || (len > before->len && len < last->len);
    for (ssize_t i = 0; i < len && fits; i++)
        fits = (i < last->len && bytes[i] == last->bytes[i]) || (i < before->len && bytes[i] == before->bytes[i]);
    if (!fits)
        model_wrong("after a failed operation %u %s holds neither the old nor the new bytes (%zd)", model->op, name, len);
    model_add_content(used.object, bytes, (uint32_t)len);
}

void model_resync_mode(int dir, const char *name, int64_t old, int64_t fresh)
{
    struct hf_entry entry;
    bool armed = disk_fault.armed;
    disk_fault.armed = false;
    int failed = hf_tree_lookup(model_dir_id(dir), name, &entry);
    if (!failed)
        hf_tree_forget(entry.id, 1);
    disk_fault.armed = armed;
    int64_t now = failed ? NONE : (int64_t)(entry.attr.st_mode & 07777);
    if (now != old && now != fresh)
        model_wrong("after a failed operation %u %s has mode %o", model->op, name, (unsigned)now);
    model_add(&model->objects[work_object(dir, name)].modes, now);
}
