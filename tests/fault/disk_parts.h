/* tests/fault/disk_parts.h: between disk.c, disk_ops.c and disk_xattrs.c alone. */
#ifndef HF_TEST_FAULT_DISK_PARTS_H
#define HF_TEST_FAULT_DISK_PARTS_H

#include "disk.h"

/* A copy in the log's memory. */
const char *disk_keep(const char *text);
/* NULL: there is none. */
struct disk_name *disk_entry_of(struct disk *disk, uint32_t dir, const char *name);
/* Into the log, and done to disk_now. */
void disk_put(const struct disk_entry *entry);

/* disk_ops.c's: a descriptor's inode; whether this call is to fail, and with what. */
uint32_t disk_ino_of(int fd);
struct disk_inode *disk_inode_of(int fd);
int disk_fails(bool writes);
#define DISK_FAILS(writes)                                                                                                  \
    do {                                                                                                               \
        int failed_ = disk_fails(writes);                                                                                   \
        if (failed_)                                                                                                   \
            return failed_;                                                                                            \
    } while (0)

/* disk_xattrs.c's, for disk_ops. */
ssize_t disk_fgetxattr(int fd, const char *name, void *value, size_t cap);
int disk_fsetxattr(int fd, const char *name, const void *value, size_t len, int flags);
int disk_fremovexattr(int fd, const char *name);
ssize_t disk_flistxattr(int fd, char *list, size_t cap);
ssize_t disk_getxattrat(int dir, const char *name, const char *attribute, void *value, size_t cap);
int disk_setxattrat(int dir, const char *name, const char *attribute, const void *value, size_t len, int flags);
int disk_removexattrat(int dir, const char *name, const char *attribute);
ssize_t disk_listxattrat(int dir, const char *name, char *list, size_t cap);

#endif
