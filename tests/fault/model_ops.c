/* The operations of a workload. */
#include "model_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "fs/tree.h"

void work_create(int dir, const char *name)
{
    if (work_object(dir, name) != NONE)
        return; /* an operation before this failed */
    struct hf_entry entry;
    struct name *slot = model_slot_of(dir, name, true);
    model_begin("create", dir, name);
    int object = model_object_new(OBJECT_FILE, 0600);
    model_bind(slot, object);
    int failed = hf_tree_create(model_dir_id(dir), name, S_IFREG | 0600, O_RDWR, model_me(), &entry);
    if (!failed) {
        model_add_ino(&model->objects[object], entry.attr.st_ino);
        hf_tree_release(entry.id);
        hf_tree_forget(entry.id, 1);
    }
    model_end(failed);
    if (failed)
        model_resync_name(slot, NONE, object);
}

void work_mkdir(int dir, const char *name)
{
    if (work_object(dir, name) != NONE)
        return; /* an operation before this failed */
    struct hf_entry entry;
    struct name *slot = model_slot_of(dir, name, true);
    model_begin("mkdir", dir, name);
    int object = model_object_new(OBJECT_DIR, 0700);
    model_bind(slot, object);
    int failed = hf_tree_mkdir(model_dir_id(dir), name, 0700, model_me(), &entry);
    if (!failed) {
        model_add_ino(&model->objects[object], entry.attr.st_ino);
        model->objects[object].id = entry.id; /* kept looked up */
    }
    model_end(failed);
    if (!failed)
        return;
    model_resync_name(slot, NONE, object);
    bool armed = disk_fault.armed;
    disk_fault.armed = false;
    if (model_current(&slot->objects) == object && hf_tree_lookup(model_dir_id(dir), name, &entry) == 0)
        model->objects[object].id = entry.id; /* it was made, the answer failed */
    disk_fault.armed = armed;
}

void work_symlink(int dir, const char *name, const char *target)
{
    if (work_object(dir, name) != NONE)
        return; /* an operation before this failed */
    struct hf_entry entry;
    struct name *slot = model_slot_of(dir, name, true);
    model_begin("symlink", dir, name);
    int object = model_object_new(OBJECT_LINK, 0777);
    model->objects[object].target = disk_log_take(target, strlen(target) + 1);
    model_bind(slot, object);
    int failed = hf_tree_symlink(model_dir_id(dir), name, target, model_me(), &entry);
    if (!failed) {
        model_add_ino(&model->objects[object], entry.attr.st_ino);
        hf_tree_forget(entry.id, 1);
    }
    model_end(failed);
    if (failed)
        model_resync_name(slot, NONE, object);
}

static uint8_t scratch[DISK_PAGES * DISK_PAGE];

static uint32_t load(const struct object *object)
{
    const struct content *last = &object->contents[object->content_count - 1];
    memset(scratch, 0, sizeof scratch);
    if (last->len)
        memcpy(scratch, last->bytes, last->len);
    return last->len;
}

static void content_op(int dir, const char *name, uint32_t size, int (*act)(uint64_t id, uint64_t a, uint64_t b), uint64_t a, uint64_t b)
{
    struct used used;
    model_begin("content", dir, name);
    model_add_content(&model->objects[work_object(dir, name)], scratch, size);
    int failed = model_use(dir, name, O_RDWR, &used);
    if (!failed) {
        failed = act(used.id, a, b);
        model_unuse(&used);
    }
    model_end(failed);
    if (failed)
        model_resync_content(dir, name);
}

static int act_write(uint64_t id, uint64_t offset, uint64_t len)
{
    ssize_t put = hf_tree_write(id, offset, scratch + offset, len);
    return put < 0 ? (int)put : put == (ssize_t)len ? 0 : -EIO;
}

void work_write(int dir, const char *name, uint64_t offset, uint32_t len)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    uint32_t size = load(&model->objects[work_object(dir, name)]);
    for (uint32_t i = 0; i < len; i++)
        scratch[offset + i] = (uint8_t)(1 + work_random(255));
    content_op(dir, name, offset + len > size ? (uint32_t)(offset + len) : size, act_write, offset, len);
}

static int act_truncate(uint64_t id, uint64_t size, uint64_t unused)
{
    struct stat attr = {.st_size = (off_t)size}, st;
    (void)unused;
    return hf_tree_setattr(id, &attr, HF_SET_SIZE, &st);
}

void work_truncate(int dir, const char *name, uint64_t size)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    (void)load(&model->objects[work_object(dir, name)]);
    content_op(dir, name, (uint32_t)size, act_truncate, size, 0);
}

static int act_punch(uint64_t id, uint64_t offset, uint64_t len)
{
    return hf_tree_fallocate(id, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len);
}

void work_punch(int dir, const char *name, uint64_t offset, uint64_t len)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    uint32_t size = load(&model->objects[work_object(dir, name)]);
    for (uint64_t i = offset; i < offset + len && i < size; i++)
        scratch[i] = 0;
    content_op(dir, name, size, act_punch, offset, len);
}

static void promise(struct object *object, bool whole)
{
    if (object->promise_count == HISTORY)
        abort();
    object->promises[object->promise_count++] = model->op;
    if (whole)
        object->whole_promises[object->whole_count++] = model->op;
}

static void sync_op(int dir, const char *name, bool data_only)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    struct used used;
    model_begin("sync", dir, name);
    int failed = model_use(dir, name, O_RDONLY, &used);
    if (!failed) {
        failed = hf_tree_fsync(used.id, data_only);
        model_unuse(&used);
        if (!failed) /* all that was written, whatever a sync before said */
            promise(used.object, !data_only);
    }
    model_end(failed);
}

void work_fsync(int dir, const char *name)
{
    sync_op(dir, name, false);
}

void work_fsync_data(int dir, const char *name)
{
    sync_op(dir, name, true);
}

void work_fsyncdir(int dir)
{
    model_begin("fsyncdir", dir, NULL);
    int failed = hf_tree_fsyncdir(model_dir_id(dir));
    if (!failed)
        promise(&model->objects[dir], true);
    model_end(failed);
}

void work_settle(void)
{
    model_begin("settle", ROOT, NULL);
    int failed = hf_tree_settle();
    if (!failed) {
        if (model->settle_count == HISTORY)
            abort();
        model->settles[model->settle_count++] = model->op;
    }
    model_end(failed);
}

void work_rename(int dir, const char *name, int to_dir, const char *to_name, unsigned flags)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    struct name *from = model_slot_of(dir, name, true), *to = model_slot_of(to_dir, to_name, true);
    int a = (int)model_current(&from->objects), b = (int)model_current(&to->objects);
    struct hf_entry entry;
    model_begin("rename", dir, name);
    model_trace_to(to_dir, to_name);
    model_bind(to, a);
    model_bind(from, flags & RENAME_EXCHANGE ? b : NONE);
    int failed = hf_tree_rename(model_dir_id(dir), name, model_dir_id(to_dir), to_name, flags);
    if (!failed && model->objects[a].kind == OBJECT_LINK) {
        bool armed = disk_fault.armed;
        disk_fault.armed = false;
        if (hf_tree_lookup(model_dir_id(to_dir), to_name, &entry) == 0) {
            model_add_ino(&model->objects[a], entry.attr.st_ino);
            hf_tree_forget(entry.id, 1);
        }
        disk_fault.armed = armed;
    }
    model_end(failed);
    if (failed) {
        int mine = model->objects[a].kind == OBJECT_LINK ? a : NONE; /* a link that moves is a new one on the disk */
        int there = model_what_is_there(to_dir, to_name, mine), here = model_what_is_there(dir, name, mine);
        if (b == NONE && there != NONE && model->objects[there].husk) /* what could not be made there before has not gone */
            there = NONE;
        if ((there != a && there != b) || (here != a && here != NONE && !(flags & RENAME_EXCHANGE && here == b)) || (here != a && there != a))
            model_wrong("after a failed rename %u: %d and %d instead of %d and %d", model->op, here, there, a, b);
        model_bind(to, there);
        model_bind(from, here);
    }
}

void work_link(int dir, const char *name, int to_dir, const char *to_name)
{
    if (work_object(dir, name) == NONE || work_object(to_dir, to_name) != NONE)
        return; /* an operation before this failed */
    struct name *to = model_slot_of(to_dir, to_name, true);
    struct used used;
    struct hf_entry entry;
    int64_t old = model_current(&to->objects);
    model_begin("link", dir, name);
    model_trace_to(to_dir, to_name);
    int object = work_object(dir, name);
    model_bind(to, object);
    int failed = model_use(dir, name, NOT_OPEN, &used);
    if (!failed) {
        failed = hf_tree_link(used.id, model_dir_id(to_dir), to_name, &entry);
        if (!failed)
            hf_tree_forget(entry.id, 1);
        model_unuse(&used);
    }
    model_end(failed);
    if (failed)
        model_resync_name(to, old, object);
}

static void remove_op(int dir, const char *name, int (*act)(uint64_t parent, const char *name))
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    struct name *slot = model_slot_of(dir, name, true);
    int64_t old = model_current(&slot->objects);
    model_begin("remove", dir, name);
    model_bind(slot, NONE);
    int failed = act(model_dir_id(dir), name);
    model_end(failed);
    if (failed)
        model_resync_name(slot, old, NONE);
}

void work_unlink(int dir, const char *name)
{
    remove_op(dir, name, hf_tree_unlink);
}

void work_rmdir(int dir, const char *name)
{
    remove_op(dir, name, hf_tree_rmdir);
}

void work_chmod(int dir, const char *name, uint32_t mode)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    struct used used;
    struct object *object = &model->objects[work_object(dir, name)];
    int64_t old = model_current(&object->modes);
    model_begin("chmod", dir, name);
    model_add(&object->modes, mode);
    int failed = model_use(dir, name, NOT_OPEN, &used);
    if (!failed) {
        struct stat attr = {.st_mode = mode}, st;
        failed = hf_tree_setattr(used.id, &attr, HF_SET_MODE, &st);
        model_unuse(&used);
    }
    model_end(failed);
    if (failed)
        model_resync_mode(dir, name, old, mode);
}

static int64_t attribute_of(uint64_t id)
{
    char text[16] = "";
    ssize_t len = hf_tree_getxattr(id, "user.t", text, sizeof text - 1);
    return len == -ENODATA ? NONE : len < 0 ? (int64_t)-1000 : strtol(text, NULL, 10);
}

void work_setxattr(int dir, const char *name, int value)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    struct used used;
    struct object *object = &model->objects[work_object(dir, name)];
    int64_t old = model_current(&object->attributes);
    char text[16];
    model_begin("setxattr", dir, name);
    model_add(&object->attributes, value);
    int failed = model_use(dir, name, NOT_OPEN, &used);
    if (!failed) {
        int len = snprintf(text, sizeof text, "%d", value);
        failed = value == NONE ? hf_tree_removexattr(used.id, "user.t") : hf_tree_setxattr(used.id, "user.t", text, (size_t)len, 0);
        model_unuse(&used);
    }
    model_end(failed);
    if (!failed)
        return;
    bool armed = disk_fault.armed;
    disk_fault.armed = false;
    int64_t now = -1000;
    if (model_use(dir, name, NOT_OPEN, &used) == 0) {
        now = attribute_of(used.id);
        model_unuse(&used);
    }
    disk_fault.armed = armed;
    if (now != old && now != value)
        model_wrong("after a failed operation %u %s has attribute %lld", model->op, name, (long long)now);
    model_add(&object->attributes, now);
}

void work_protect(int dir, const char *name, const char *class)
{
    if (work_object(dir, name) == NONE)
        return; /* an operation before this failed */
    struct used used;
    struct hf_entry entry;
    model_begin("protect", dir, name);
    int failed = model_use(dir, name, NOT_OPEN, &used);
    if (!failed) {
        failed = hf_tree_setxattr(used.id, "user.holdfast.class", class, strlen(class), 0);
        model_unuse(&used);
    }
    bool armed = disk_fault.armed;
    disk_fault.armed = false;
    if (hf_tree_lookup(model_dir_id(dir), name, &entry) == 0) {
        model_add_ino(used.object, entry.attr.st_ino); /* raising makes a new file on the disk */
        hf_tree_forget(entry.id, 1);
    } else {
        model_wrong("after a change of class %s is gone", name);
    }
    disk_fault.armed = armed;
    model_end(failed);
}
