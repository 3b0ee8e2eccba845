/* tests/fault/disk_parts.h: between disk.c and disk_ops.c alone. */
#ifndef HF_TEST_FAULT_DISK_PARTS_H
#define HF_TEST_FAULT_DISK_PARTS_H

#include "disk.h"

/* A copy in the log's memory. */
const char *disk_keep(const char *text);
/* NULL: there is none. */
struct disk_name *disk_entry_of(struct disk *disk, uint32_t dir, const char *name);
/* Into the log, and done to disk_now. */
void disk_put(const struct disk_entry *entry);

#endif
