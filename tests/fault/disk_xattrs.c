/* The disk's extended attributes. */
#include "disk_parts.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

static const struct disk_xattr *xattr_of(int fd, const char *name)
{
    const struct disk_inode *inode = disk_inode_of(fd);
    for (unsigned i = 0; i < DISK_XATTRS; i++) {
        if (inode->xattrs[i].name && strcmp(inode->xattrs[i].name, name) == 0)
            return &inode->xattrs[i];
    }
    return NULL;
}

ssize_t disk_fgetxattr(int fd, const char *name, void *value, size_t cap)
{
    const struct disk_xattr *x = xattr_of(fd, name);
    DISK_FAILS(false);
    if (!x)
        return -ENODATA;
    if (cap == 0)
        return x->len;
    if (x->len > cap)
        return -ERANGE;
    memcpy(value, x->value, x->len);
    return x->len;
}

int disk_fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
    const struct disk_xattr *x = xattr_of(fd, name);
    DISK_FAILS(true);
    if (x && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!x && (flags & XATTR_REPLACE))
        return -ENODATA;
    disk_put(&(struct disk_entry){.kind = DISK_XATTR, .ino = disk_ino_of(fd), .name = disk_keep(name), .blob = disk_log_take(len ? value : "", len ? len : 1), .blob_len = (uint32_t)len});
    return 0;
}

int disk_fremovexattr(int fd, const char *name)
{
    const struct disk_xattr *x = xattr_of(fd, name);
    DISK_FAILS(false);
    if (!x)
        return -ENODATA;
    disk_put(&(struct disk_entry){.kind = DISK_XATTR, .ino = disk_ino_of(fd), .name = disk_keep(name)});
    return 0;
}

ssize_t disk_flistxattr(int fd, char *list, size_t cap)
{
    const struct disk_inode *inode = disk_inode_of(fd);
    size_t total = 0;
    DISK_FAILS(false);
    for (unsigned i = 0; i < DISK_XATTRS; i++) {
        size_t len = inode->xattrs[i].name ? strlen(inode->xattrs[i].name) + 1 : 0;
        if (len && cap && total + len > cap)
            return -ERANGE;
        if (len && cap)
            memcpy(list + total, inode->xattrs[i].name, len);
        total += len;
    }
    return (ssize_t)total;
}

/* Attributes of what has no descriptor: as where the filesystem is not root's, which has none of them. */
ssize_t disk_getxattrat(int dir, const char *name, const char *attribute, void *value, size_t cap)
{
    (void)dir, (void)name, (void)attribute, (void)value, (void)cap;
    DISK_FAILS(false);
    return -ENODATA;
}

int disk_setxattrat(int dir, const char *name, const char *attribute, const void *value, size_t len, int flags)
{
    (void)dir, (void)name, (void)attribute, (void)value, (void)len, (void)flags;
    DISK_FAILS(false);
    return -EPERM;
}

int disk_removexattrat(int dir, const char *name, const char *attribute)
{
    return (int)disk_getxattrat(dir, name, attribute, NULL, 0);
}

ssize_t disk_listxattrat(int dir, const char *name, char *list, size_t cap)
{
    (void)dir, (void)name, (void)list, (void)cap;
    DISK_FAILS(false);
    return 0;
}
