/* tests/fault/model_parts.h: between model.c (the journal) and model_ops.c (the operations) alone. */
#ifndef HF_TEST_FAULT_MODEL_PARTS_H
#define HF_TEST_FAULT_MODEL_PARTS_H

#include <sys/types.h>

#include "fs/tree.h"
#include "model.h"

/* A file in use for one operation. */
struct used {
    struct object *object;
    int number;
    uint64_t id;
    bool open;
};

void model_add(struct history *history, int64_t value);
int64_t model_current(const struct history *history);
struct name *model_slot_of(int dir, const char *name, bool make);
void model_add_ino(struct object *object, uint64_t ino);
void model_add_content(struct object *object, const uint8_t *bytes, uint32_t len);
int model_object_new(enum object_kind kind, uint32_t mode);
void model_bind(struct name *slot, int object);
void model_begin(const char *what, int dir, const char *name);
void model_trace_to(int dir, const char *name);
void model_end(int failed);
uint64_t model_dir_id(int dir);
int model_what_is_there(int dir, const char *name, int mine);
void model_resync_name(struct name *slot, int64_t old, int fresh);
/* flags: of open; NOT_OPEN: looked up alone. */
enum { NOT_OPEN = -1 };
int model_use(int dir, const char *name, int flags, struct used *ret);
void model_unuse(struct used *used);
void model_resync_content(int dir, const char *name);
void model_resync_mode(int dir, const char *name, int64_t old, int64_t fresh);
void model_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
const struct hf_caller *model_me(void);

#endif
