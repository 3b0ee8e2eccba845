/* hf_disk on that disk, and the errors that it can be told to give. */
#include "disk_parts.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct disk_fault disk_fault;

static struct {
    uint32_t ino;
    uint64_t at; /* a directory's position */
    bool used;
} fds[DISK_FDS];

/* --- errors --- */

/* For the one who looks into a failure. */
static void show_who_asked(void)
{
    void *frames[16];
    disk_fault.armed = false;
    backtrace_symbols_fd(frames, backtrace(frames, 16), 2);
    disk_fault.armed = true;
}

static int fails_at(bool writes, bool syncs)
{
    struct disk_fault *f = &disk_fault;
    disk_log->calls++;
    if (!f->armed || f->kind == DISK_ALLOC || f->kind == DISK_NO_FAULT || (f->kind == DISK_SYNC_LOST && !syncs))
        return 0;
    if ((f->kind == DISK_ENOSPC || f->kind == DISK_SHORT) && !writes)
        return 0;
    uint64_t number = f->count++;
    if (number != f->at && !(f->on && number > f->at))
        return 0;
    f->hits++;
    if (!f->on && getenv("HF_FAULT_TRACE"))
        show_who_asked();
    return f->kind == DISK_EIO || f->kind == DISK_SYNC_LOST ? -EIO : -ENOSPC;
}

int disk_fails(bool writes)
{
    return fails_at(writes, false);
}

bool disk_alloc_fails(void)
{
    struct disk_fault *f = &disk_fault;
    if (!f->armed || f->kind != DISK_ALLOC)
        return false;
    uint64_t number = f->count++;
    bool hit = number == f->at || (f->on && number > f->at);
    f->hits += hit;
    if (hit && !f->on && getenv("HF_FAULT_TRACE"))
        show_who_asked();
    return hit;
}

/* --- descriptors --- */

static int fd_new(uint32_t ino)
{
    for (int i = 0; i < DISK_FDS; i++) {
        if (!fds[i].used) {
            fds[i].used = true;
            fds[i].ino = ino;
            fds[i].at = 0;
            return DISK_FD0 + i;
        }
    }
    return -EMFILE;
}

int disk_open_ino(uint32_t ino)
{
    return fd_new(ino);
}

int disk_open_root(void)
{
    return fd_new(DISK_ROOT);
}

static struct {
    int fd;
    uint32_t ino;
} fixed = {-1, 0};

void disk_fix_fd(int fd, uint32_t ino)
{
    fixed.fd = fd;
    fixed.ino = ino;
}

unsigned disk_open_fds(void)
{
    unsigned count = 0;
    for (int i = 0; i < DISK_FDS; i++)
        count += fds[i].used;
    return count;
}

void disk_close_all(void)
{
    memset(fds, 0, sizeof fds);
}

uint32_t disk_ino_of(int fd)
{
    if (fd == fixed.fd && fd >= 0)
        return fixed.ino;
    if (fd < DISK_FD0 || fd >= DISK_FD0 + DISK_FDS || !fds[fd - DISK_FD0].used)
        abort(); /* a descriptor that was closed already */
    return fds[fd - DISK_FD0].ino;
}

struct disk_inode *disk_inode_of(int fd)
{
    return &disk_now->inodes[disk_ino_of(fd)];
}

static uint32_t make(uint32_t dir, const char *name, mode_t mode, const char *target)
{
    if (disk_log->next_ino == DISK_INODES)
        abort();
    uint32_t ino = disk_log->next_ino++;
    uint32_t gid = disk_now->inodes[dir].mode & S_ISGID ? disk_now->inodes[dir].gid : getegid();
    disk_put(&(struct disk_entry){.kind = DISK_MAKE, .ino = ino, .dir = dir, .mode = mode, .uid = geteuid(), .gid = gid, .name = disk_keep(name),
                             .name2 = target ? disk_keep(target) : NULL});
    return ino;
}

static int op_openat(int dir, const char *name, int flags, mode_t mode)
{
    uint32_t up = disk_ino_of(dir), ino = up;
    DISK_FAILS((flags & O_CREAT) != 0);
    if (strcmp(name, ".") != 0) {
        struct disk_name *entry = disk_entry_of(disk_now, up, name);
        if (entry && (flags & O_EXCL))
            return -EEXIST;
        if (!entry && !(flags & O_CREAT))
            return -ENOENT;
        ino = entry ? entry->ino : make(up, name, S_IFREG | mode, NULL);
    }
    mode_t type = disk_now->inodes[ino].mode & S_IFMT;
    if (type == S_IFLNK)
        return -ELOOP;
    if ((flags & O_DIRECTORY) && type != S_IFDIR)
        return -ENOTDIR;
    return fd_new(ino);
}

static int op_close(int fd)
{
    if (fd > 2 && fd < DISK_FD0 && fd != fixed.fd)
        return close(fd); /* a socket */
    (void)disk_ino_of(fd);
    fds[fd - DISK_FD0].used = false;
    return 0;
}

static int op_dup(int fd)
{
    DISK_FAILS(false);
    return fd_new(disk_ino_of(fd));
}

static ssize_t op_pread(int fd, void *buffer, size_t len, off_t offset)
{
    const struct disk_inode *inode = disk_inode_of(fd);
    DISK_FAILS(false);
    if ((uint64_t)offset >= inode->size)
        return 0;
    if (len > inode->size - (uint64_t)offset)
        len = (size_t)(inode->size - (uint64_t)offset);
    memset(buffer, 0, len);
    for (size_t i = 0; i < len;) {
        uint64_t at = (uint64_t)offset + i, page = at / DISK_PAGE, in = at % DISK_PAGE;
        size_t part = DISK_PAGE - in < len - i ? (size_t)(DISK_PAGE - in) : len - i;
        if (page < DISK_PAGES && inode->pages[page].image && in < inode->pages[page].valid) {
            size_t real = inode->pages[page].valid - in < part ? (size_t)(inode->pages[page].valid - in) : part;
            memcpy((uint8_t *)buffer + i, inode->pages[page].image + in, real);
        }
        i += part;
    }
    return (ssize_t)len;
}

static void write_part(uint32_t ino, uint64_t at, const uint8_t *data, size_t len)
{
    uint8_t image[DISK_PAGE] = {0};
    struct disk_inode *inode = &disk_now->inodes[ino];
    uint64_t page = at / DISK_PAGE;
    const struct disk_page *old = &inode->pages[page];
    if (old->image)
        memcpy(image, old->image, old->valid);
    uint64_t end = at + len;
    memcpy(image + at % DISK_PAGE, data, len);
    if (end > inode->size)
        memset(image + (end - page * DISK_PAGE), 0, DISK_PAGE - (size_t)(end - page * DISK_PAGE));
    disk_put(&(struct disk_entry){.kind = DISK_DATA, .ino = ino, .a = page, .blob = disk_log_take(image, DISK_PAGE), .blob_len = DISK_PAGE});
    if (end > inode->size)
        disk_put(&(struct disk_entry){.kind = DISK_LENGTH, .ino = ino, .a = end});
}

static ssize_t op_pwrite(int fd, const void *buffer, size_t len, off_t offset)
{
    uint32_t ino = disk_ino_of(fd);
    if ((uint64_t)offset + len > (uint64_t)DISK_PAGES * DISK_PAGE)
        return -EFBIG;
    int failed = disk_fails(true);
    size_t want = len;
    if (failed && disk_fault.kind != DISK_SHORT)
        return failed;
    if (failed) /* the kernel takes a page whole or not: the first of several came */
        want = len > DISK_PAGE ? DISK_PAGE - (size_t)((uint64_t)offset % DISK_PAGE) : 0;
    for (size_t i = 0; i < want;) {
        size_t part = DISK_PAGE - (size_t)(((uint64_t)offset + i) % DISK_PAGE);
        part = part < want - i ? part : want - i;
        write_part(ino, (uint64_t)offset + i, (const uint8_t *)buffer + i, part);
        i += part;
    }
    return failed ? failed : (ssize_t)len;
}

static int sync_inode(int fd)
{
    uint32_t ino = disk_ino_of(fd);
    int failed = fails_at(false, true);
    if (failed && disk_fault.kind == DISK_SYNC_LOST) /* what was to be written is clean in memory, and never comes to the disk */
        disk_put(&(struct disk_entry){.kind = DISK_SYNC, .ino = ino, .a = 1});
    if (failed)
        return failed;
    disk_put(&(struct disk_entry){.kind = DISK_SYNC, .ino = ino});
    return 0;
}

static int op_syncfs(int fd)
{
    (void)disk_ino_of(fd);
    int failed = fails_at(false, true);
    if (failed && disk_fault.kind == DISK_SYNC_LOST)
        disk_put(&(struct disk_entry){.kind = DISK_SYNC_ALL, .a = 1});
    if (failed)
        return failed;
    disk_put(&(struct disk_entry){.kind = DISK_SYNC_ALL});
    return 0;
}

static int op_ftruncate(int fd, off_t len)
{
    uint32_t ino = disk_ino_of(fd);
    if ((uint64_t)len > (uint64_t)DISK_PAGES * DISK_PAGE)
        return -EFBIG;
    DISK_FAILS(true);
    disk_put(&(struct disk_entry){.kind = DISK_CUT, .ino = ino, .a = (uint64_t)len});
    return 0;
}

static int op_fallocate(int fd, int mode, off_t offset, off_t len)
{
    uint32_t ino = disk_ino_of(fd);
    DISK_FAILS(true);
    if (mode & FALLOC_FL_PUNCH_HOLE)
        disk_put(&(struct disk_entry){.kind = DISK_PUNCH, .ino = ino, .a = (uint64_t)offset / DISK_PAGE, .b = (uint64_t)(offset + len) / DISK_PAGE});
    else if ((uint64_t)(offset + len) > (uint64_t)DISK_PAGES * DISK_PAGE)
        return -EFBIG;
    else if (!(mode & FALLOC_FL_KEEP_SIZE) && (uint64_t)(offset + len) > disk_now->inodes[ino].size)
        disk_put(&(struct disk_entry){.kind = DISK_CUT, .ino = ino, .a = (uint64_t)(offset + len)});
    return 0;
}

static off_t op_lseek(int fd, off_t offset, int whence)
{
    const struct disk_inode *inode = disk_inode_of(fd);
    DISK_FAILS(false);
    for (uint64_t at = (uint64_t)offset; at < inode->size; at = (at / DISK_PAGE + 1) * DISK_PAGE) {
        if ((inode->pages[at / DISK_PAGE].image == NULL) == (whence == SEEK_HOLE))
            return (off_t)at;
    }
    return whence == SEEK_HOLE && (uint64_t)offset < inode->size ? (off_t)inode->size : -ENXIO;
}

static int stat_of(uint32_t ino, struct stat *ret)
{
    const struct disk_inode *inode = &disk_now->inodes[ino];
    memset(ret, 0, sizeof *ret);
    ret->st_ino = ino;
    ret->st_mode = inode->mode;
    ret->st_uid = inode->uid;
    ret->st_gid = inode->gid;
    ret->st_nlink = inode->nlink;
    ret->st_size = (off_t)inode->size;
    return 0;
}

static int op_fstat(int fd, struct stat *ret)
{
    uint32_t ino = disk_ino_of(fd);
    DISK_FAILS(false);
    return stat_of(ino, ret);
}

static int op_fstatat(int dir, const char *name, struct stat *ret)
{
    struct disk_name *entry = disk_entry_of(disk_now, disk_ino_of(dir), name);
    DISK_FAILS(false);
    return entry ? stat_of(entry->ino, ret) : -ENOENT;
}

static int op_fstatvfs(int fd, struct statvfs *ret)
{
    (void)fd;
    DISK_FAILS(false);
    memset(ret, 0, sizeof *ret);
    return 0;
}

static int make_checked(int dir, const char *name, mode_t mode, const char *target)
{
    uint32_t up = disk_ino_of(dir);
    DISK_FAILS(true);
    if (disk_now->inodes[up].nlink == 0)
        return -ENOENT;
    if (disk_entry_of(disk_now, up, name))
        return -EEXIST;
    (void)make(up, name, mode, target);
    return 0;
}

static int op_mkdirat(int dir, const char *name, mode_t mode)
{
    return make_checked(dir, name, S_IFDIR | mode | (disk_now->inodes[disk_ino_of(dir)].mode & S_ISGID), NULL);
}

static int op_mknodat(int dir, const char *name, mode_t mode, dev_t dev)
{
    (void)dev;
    return make_checked(dir, name, mode, NULL);
}

static int op_symlinkat(const char *target, int dir, const char *name)
{
    return make_checked(dir, name, S_IFLNK | 0777, target);
}

static ssize_t op_readlinkat(int dir, const char *name, char *buffer, size_t cap)
{
    struct disk_name *entry = disk_entry_of(disk_now, disk_ino_of(dir), name);
    DISK_FAILS(false);
    if (!entry)
        return -ENOENT;
    const char *target = disk_now->inodes[entry->ino].target;
    if (!target)
        return -EINVAL;
    size_t len = strlen(target) < cap ? strlen(target) : cap;
    memcpy(buffer, target, len);
    return (ssize_t)len;
}

static int link_inode(uint32_t ino, int new_dir, const char *new_name)
{
    uint32_t dir = disk_ino_of(new_dir);
    DISK_FAILS(true);
    if (disk_entry_of(disk_now, dir, new_name))
        return -EEXIST;
    disk_put(&(struct disk_entry){.kind = DISK_LINK, .ino = ino, .dir = dir, .name = disk_keep(new_name)});
    return 0;
}

static int op_linkat(int old_dir, const char *old_name, int new_dir, const char *new_name)
{
    struct disk_name *entry = disk_entry_of(disk_now, disk_ino_of(old_dir), old_name);
    return entry ? link_inode(entry->ino, new_dir, new_name) : -ENOENT;
}

static int op_link_fd(int fd, int new_dir, const char *new_name)
{
    return link_inode(disk_ino_of(fd), new_dir, new_name);
}

static bool is_empty(uint32_t dir)
{
    for (struct disk_name *at = disk_now->inodes[dir].names; at; at = at->next) {
        if (at->ino)
            return false;
    }
    return true;
}

static int op_unlinkat(int dir, const char *name, int flags)
{
    uint32_t up = disk_ino_of(dir);
    struct disk_name *entry = disk_entry_of(disk_now, up, name);
    DISK_FAILS(false);
    if (!entry)
        return -ENOENT;
    bool is_dir = S_ISDIR(disk_now->inodes[entry->ino].mode);
    if (is_dir != ((flags & AT_REMOVEDIR) != 0))
        return is_dir ? -EISDIR : -ENOTDIR;
    if (is_dir && !is_empty(entry->ino))
        return -ENOTEMPTY;
    disk_put(&(struct disk_entry){.kind = DISK_UNLINK, .ino = entry->ino, .dir = up, .name = entry->name});
    return 0;
}

static int op_renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags)
{
    uint32_t from = disk_ino_of(old_dir), to = disk_ino_of(new_dir);
    struct disk_name *entry = disk_entry_of(disk_now, from, old_name), *other = disk_entry_of(disk_now, to, new_name);
    DISK_FAILS(true);
    if (!entry || ((flags & RENAME_EXCHANGE) && !other))
        return -ENOENT;
    if (other && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    bool from_dir = S_ISDIR(disk_now->inodes[entry->ino].mode), to_dir = other && S_ISDIR(disk_now->inodes[other->ino].mode);
    if (other && !(flags & RENAME_EXCHANGE) && from_dir != to_dir)
        return to_dir ? -EISDIR : -ENOTDIR;
    if (to_dir && !(flags & RENAME_EXCHANGE) && !is_empty(other->ino))
        return -ENOTEMPTY;
    disk_put(&(struct disk_entry){.kind = flags & RENAME_EXCHANGE ? DISK_EXCHANGE : DISK_RENAME, .ino = entry->ino, .dir = from, .dir2 = to, .name = disk_keep(old_name),
                             .name2 = disk_keep(new_name)});
    return 0;
}

static int set_mode(uint32_t ino, uint32_t mode, uint32_t uid, uint32_t gid)
{
    DISK_FAILS(true);
    disk_put(&(struct disk_entry){.kind = DISK_MODE, .ino = ino, .mode = mode, .uid = uid, .gid = gid});
    return 0;
}

static int op_fchmod(int fd, mode_t mode)
{
    const struct disk_inode *inode = disk_inode_of(fd);
    return set_mode(disk_ino_of(fd), mode, inode->uid, inode->gid);
}

static int op_fchmodat(int dir, const char *name, mode_t mode)
{
    struct disk_name *entry = disk_entry_of(disk_now, disk_ino_of(dir), name);
    return entry ? set_mode(entry->ino, mode, disk_now->inodes[entry->ino].uid, disk_now->inodes[entry->ino].gid) : -ENOENT;
}

static uint32_t keep_id(uint32_t old, uint32_t fresh)
{
    return fresh == UINT32_MAX ? old : fresh;
}

static int op_fchown(int fd, uid_t uid, gid_t gid)
{
    const struct disk_inode *inode = disk_inode_of(fd);
    return set_mode(disk_ino_of(fd), inode->mode, keep_id(inode->uid, uid), keep_id(inode->gid, gid));
}

static int op_fchownat(int dir, const char *name, uid_t uid, gid_t gid)
{
    struct disk_name *entry = disk_entry_of(disk_now, disk_ino_of(dir), name);
    if (!entry)
        return -ENOENT;
    const struct disk_inode *inode = &disk_now->inodes[entry->ino];
    return set_mode(entry->ino, inode->mode, keep_id(inode->uid, uid), keep_id(inode->gid, gid));
}

static int op_futimens(int fd, const struct timespec times[2])
{
    (void)disk_ino_of(fd);
    (void)times;
    DISK_FAILS(false);
    return 0;
}

static int op_utimensat(int dir, const char *name, const struct timespec times[2])
{
    (void)name;
    return op_futimens(dir, times);
}

static ssize_t op_getdents(int fd, void *buffer, size_t cap)
{
    const struct disk_inode *dir = disk_inode_of(fd);
    uint64_t *at = &fds[fd - DISK_FD0].at, number = 0;
    size_t used = 0;
    DISK_FAILS(false);
    struct disk_name dots[2] = {{".", disk_ino_of(fd), &dots[1]}, {"..", DISK_ROOT, dir->names}};
    for (const struct disk_name *name = dots; name; name = name->next, number++) {
        if (number < *at || !name->ino)
            continue;
        size_t len = strlen(name->name) + 1, whole = (offsetof(struct dirent64, d_name) + len + 7) & ~(size_t)7;
        if (used + whole > cap)
            break;
        struct dirent64 *out = (void *)((char *)buffer + used);
        out->d_ino = name->ino;
        out->d_off = (off_t)(number + 1);
        out->d_reclen = (unsigned short)whole;
        out->d_type = (unsigned char)((disk_now->inodes[name->ino].mode & S_IFMT) >> 12);
        memcpy(out->d_name, name->name, len);
        used += whole;
        *at = number + 1;
    }
    return (ssize_t)used;
}

static int op_seekdir(int fd, off_t position)
{
    DISK_FAILS(false);
    (void)disk_ino_of(fd);
    fds[fd - DISK_FD0].at = (uint64_t)position;
    return 0;
}

const struct hf_disk_ops disk_ops = {
    .openat = op_openat, .close = op_close, .dup = op_dup, .pread = op_pread, .pwrite = op_pwrite, .fdatasync = sync_inode, .fsync = sync_inode,
    .syncfs = op_syncfs, .ftruncate = op_ftruncate, .fallocate = op_fallocate, .lseek = op_lseek, .fstat = op_fstat, .fstatat = op_fstatat,
    .fstatvfs = op_fstatvfs, .mkdirat = op_mkdirat, .mknodat = op_mknodat, .symlinkat = op_symlinkat, .readlinkat = op_readlinkat, .linkat = op_linkat,
    .link_fd = op_link_fd, .unlinkat = op_unlinkat, .renameat2 = op_renameat2, .fchmod = op_fchmod, .fchmodat = op_fchmodat, .fchown = op_fchown,
    .fchownat = op_fchownat, .futimens = op_futimens, .utimensat = op_utimensat, .fgetxattr = disk_fgetxattr, .fsetxattr = disk_fsetxattr,
    .fremovexattr = disk_fremovexattr, .flistxattr = disk_flistxattr, .getxattrat = disk_getxattrat, .setxattrat = disk_setxattrat,
    .removexattrat = disk_removexattrat, .listxattrat = disk_listxattrat, .getdents = op_getdents, .seekdir = op_seekdir};
