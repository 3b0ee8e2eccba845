/* fs/serve_ops.c: each FUSE operation as one call of the tree. No logic: names are measured, numbers are renamed, answers are sent.
 *
 * An answer that the kernel does not take (-ENOENT: nobody waits for it any more) gives back what it would have counted. */
#include "fs/serve_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fs/gate.h"
#include "fs/serve.h"
#include "fs/tree.h"
#include "fs/worker.h"

#pragma GCC poison strcpy sprintf

/* Seconds that the kernel may keep an answer: for ever, the tree takes back what changes otherwise. */
#define FOR_EVER 1e9
#define NAME_MAX_LEN 255u

static bool too_long(fuse_req_t req, const char *name)
{
    if (strlen(name) <= NAME_MAX_LEN)
        return false;
    (void)fuse_reply_err(req, ENAMETOOLONG);
    return true;
}

/* status: 0 or a negative errno. */
static void reply_status(fuse_req_t req, int status)
{
    if (status == -ENOKEY && hf_gate_wait(req))
        return;
    (void)fuse_reply_err(req, -status);
}

static struct hf_caller caller(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    return (struct hf_caller){.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask};
}

static struct fuse_entry_param param(const struct hf_entry *entry)
{
    return (struct fuse_entry_param){.ino = entry->id,
                                     .generation = entry->generation,
                                     .attr = entry->attr,
                                     .attr_timeout = hf_tree_attr_keeps(entry->id) ? FOR_EVER : 0,
                                     .entry_timeout = FOR_EVER};
}

static void reply_entry(fuse_req_t req, int status, const struct hf_entry *entry)
{
    if (status < 0) {
        reply_status(req, status);
        return;
    }
    struct fuse_entry_param e = param(entry);
    if (fuse_reply_entry(req, &e) != 0)
        hf_tree_forget(entry->id, 1);
}

static void reply_attr(fuse_req_t req, fuse_ino_t id, int status, const struct stat *attr)
{
    if (status < 0)
        reply_status(req, status);
    else
        (void)fuse_reply_attr(req, attr, hf_tree_attr_keeps(id) ? FOR_EVER : 0);
}

/* What libfuse keeps from us of the request that this thread has in hand: its body as the kernel sent it. */
static const void *raw_body(void)
{
    return (const uint8_t *)hf_gate_request() + sizeof(struct fuse_in_header);
}

/* [NM-8] Before data or size change. 0, or the answer that was sent. */
static int lose_privileges(fuse_req_t req, fuse_ino_t id, bool set_id)
{
    int lost = hf_tree_lose_privileges(id, set_id);
    if (lost < 0)
        reply_status(req, lost);
    if (lost > 0)
        hf_serve_attr_moved(id);
    return lost < 0 ? lost : 0;
}

static void on_init(void *data, struct fuse_conn_info *conn)
{
    (void)data;
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
                            FUSE_CAP_NO_OPENDIR_SUPPORT | FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_DONT_MASK;
    conn->want = conn->capable & (wanted | (hf_serve_kernel()->writeback ? FUSE_CAP_WRITEBACK_CACHE : 0) | (hf_serve_has_lists() ? FUSE_CAP_POSIX_ACL : 0));
    if (hf_gate_may_wait()) /* a request for pages then belongs to who reads, and ends with a kill; read ahead on nobody's behalf it would hold them for ever */
        conn->want &= ~(unsigned)FUSE_CAP_ASYNC_READ;
    conn->max_write = HF_MAX_IO;
    conn->max_background = hf_gate_may_wait() ? 2048 : 64; /* what waits counts too, and must leave room */
    conn->congestion_threshold = hf_gate_may_wait() ? 1536 : 48;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct hf_entry entry;
    if (too_long(req, name))
        return;
    int status = hf_tree_lookup(parent, name, &entry);
    if (status == -ENOENT && hf_tree_names_complete()) {
        struct fuse_entry_param none = {.ino = 0, .entry_timeout = FOR_EVER}; /* the kernel remembers that there is none */
        (void)fuse_reply_entry(req, &none);
        return;
    }
    reply_entry(req, status, &entry);
}

static void on_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
    hf_tree_forget(id, count);
    fuse_reply_none(req);
}

static void on_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        hf_tree_forget(forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void on_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    struct stat attr;
    (void)file;
    int status = hf_tree_getattr(id, &attr);
    reply_attr(req, id, status, &attr);
}

static void on_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int to_set, struct fuse_file_info *file)
{
    static const struct {
        int fuse;
        unsigned ours;
    } names[] = {{FUSE_SET_ATTR_MODE, HF_SET_MODE},       {FUSE_SET_ATTR_UID, HF_SET_UID},         {FUSE_SET_ATTR_GID, HF_SET_GID},
                 {FUSE_SET_ATTR_SIZE, HF_SET_SIZE},       {FUSE_SET_ATTR_ATIME, HF_SET_ATIME},     {FUSE_SET_ATTR_MTIME, HF_SET_MTIME},
                 {FUSE_SET_ATTR_ATIME_NOW, HF_SET_ATIME}, {FUSE_SET_ATTR_MTIME_NOW, HF_SET_MTIME}};
    struct stat ret;
    unsigned set = 0;
    const struct fuse_setattr_in *in = raw_body();
    (void)file;
    if ((to_set & FUSE_SET_ATTR_SIZE) && lose_privileges(req, id, (in->valid & FATTR_KILL_SUIDGID) != 0) != 0)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (to_set & names[i].fuse)
            set |= names[i].ours;
    }
    if (to_set & FUSE_SET_ATTR_ATIME_NOW)
        attr->st_atim.tv_nsec = UTIME_NOW;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        attr->st_mtim.tv_nsec = UTIME_NOW;
    int status = hf_tree_setattr(id, attr, set, &ret);
    reply_attr(req, id, status, &ret);
}

static void on_readlink(fuse_req_t req, fuse_ino_t id)
{
    char *target = (char *)hf_worker()->plain;
    int status = hf_tree_readlink(id, target);
    if (status < 0)
        reply_status(req, status);
    else
        (void)fuse_reply_readlink(req, target);
}

static void on_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct hf_entry entry;
    struct hf_caller who = caller(req);
    if (too_long(req, name))
        return;
    int status = hf_tree_mknod(parent, name, mode, rdev, &who, &entry);
    reply_entry(req, status, &entry);
}

static void on_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct hf_entry entry;
    struct hf_caller who = caller(req);
    if (too_long(req, name))
        return;
    int status = hf_tree_mkdir(parent, name, mode, &who, &entry);
    reply_entry(req, status, &entry);
}

static void on_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct hf_entry entry;
    struct hf_caller who = caller(req);
    if (too_long(req, name))
        return;
    int status = hf_tree_symlink(parent, name, target, &who, &entry);
    reply_entry(req, status, &entry);
}

static void on_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (!too_long(req, name))
        reply_status(req, hf_tree_unlink(parent, name));
}

static void on_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (!too_long(req, name))
        reply_status(req, hf_tree_rmdir(parent, name));
}

static void on_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    if (!too_long(req, name) && !too_long(req, new_name))
        reply_status(req, hf_tree_rename(parent, name, new_parent, new_name, flags));
}

static void on_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent, const char *new_name)
{
    struct hf_entry entry;
    if (too_long(req, new_name))
        return;
    int status = hf_tree_link(id, new_parent, new_name, &entry);
    reply_entry(req, status, &entry);
}

static void on_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file)
{
    struct hf_entry entry;
    struct hf_caller who = caller(req);
    if (too_long(req, name))
        return;
    int status = hf_tree_create(parent, name, mode, file->flags, &who, &entry);
    if (status < 0) {
        reply_status(req, status);
        return;
    }
    struct fuse_entry_param e = param(&entry);
    file->keep_cache = 1;
    if (fuse_reply_create(req, &e, file) != 0) {
        hf_tree_release(entry.id);
        hf_tree_forget(entry.id, 1);
    }
}

static void on_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    const struct fuse_open_in *in = raw_body();
    if ((file->flags & O_TRUNC) && lose_privileges(req, id, (in->open_flags & FUSE_OPEN_KILL_SUIDGID) != 0) != 0)
        return;
    int status = hf_tree_open(id, file->flags);
    if (status < 0) {
        reply_status(req, status);
        return;
    }
    file->keep_cache = 1;
    if (fuse_reply_open(req, file) != 0)
        hf_tree_release(id);
}

static void on_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    (void)file;
    hf_tree_release(id);
    reply_status(req, 0);
}

static void on_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *file)
{
    uint8_t *out = hf_worker()->plain;
    (void)file;
    ssize_t got = hf_tree_read(id, (uint64_t)offset, size < HF_MAX_IO ? size : HF_MAX_IO, out);
    if (got < 0)
        reply_status(req, (int)got);
    else
        (void)fuse_reply_buf(req, (const char *)out, (size_t)got);
}

static void on_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset, struct fuse_file_info *file)
{
    const struct fuse_write_in *in = raw_body();
    (void)file;
    int lost = hf_tree_lose_privileges(id, (in->write_flags & FUSE_WRITE_KILL_SUIDGID) != 0);
    if (lost > 0)
        hf_serve_attr_moved(id);
    ssize_t done = lost < 0 ? lost : hf_tree_write(id, (uint64_t)offset, (const uint8_t *)data, size);
    if (done == -ENOKEY && file->writepage)
        hf_serve_wake();
    if (done < 0)
        reply_status(req, (int)done);
    else
        (void)fuse_reply_write(req, (size_t)done);
}

/* Asked only where the kernel does not check modes itself: on root's own mount (super/mount.c), which nobody else can enter. */
static void on_access(fuse_req_t req, fuse_ino_t id, int mask)
{
    struct stat attr;
    int status = hf_tree_getattr(id, &attr);
    if (status == 0 && (mask & X_OK) && S_ISREG(attr.st_mode) && (attr.st_mode & 0111) == 0)
        status = -EACCES;
    reply_status(req, status);
}

static void on_fsync(fuse_req_t req, fuse_ino_t id, int data_only, struct fuse_file_info *file)
{
    (void)file;
    reply_status(req, hf_tree_fsync(id, data_only != 0));
}

static void on_fsyncdir(fuse_req_t req, fuse_ino_t id, int data_only, struct fuse_file_info *file)
{
    (void)file;
    (void)data_only;
    reply_status(req, hf_tree_fsyncdir(id));
}

static void on_fallocate(fuse_req_t req, fuse_ino_t id, int mode, off_t offset, off_t len, struct fuse_file_info *file)
{
    (void)file;
    if (lose_privileges(req, id, fuse_req_ctx(req)->uid != 0) == 0) /* the kernel has no flag for it here: root alone may keep them */
        reply_status(req, hf_tree_fallocate(id, mode, (uint64_t)offset, (uint64_t)len));
}

static void on_lseek(fuse_req_t req, fuse_ino_t id, off_t offset, int whence, struct fuse_file_info *file)
{
    (void)file;
    int64_t at = hf_tree_seek(id, (uint64_t)offset, whence);
    if (at < 0)
        reply_status(req, (int)at);
    else
        (void)fuse_reply_lseek(req, at);
}

/* Once the kernel has heard this it opens directories itself and keeps their entries. */
static void on_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *file)
{
    (void)id;
    (void)file;
    (void)fuse_reply_err(req, ENOSYS);
}

struct listing {
    fuse_req_t req;
    char *out;
    size_t cap, len;
    bool plus;
};

static bool add_entry(void *arg, const char *name, const struct hf_entry *entry, uint64_t next_offset)
{
    struct listing *listing = arg;
    size_t left = listing->cap - listing->len;
    struct fuse_entry_param e = param(entry);
    size_t need = listing->plus ? fuse_add_direntry_plus(listing->req, listing->out + listing->len, left, name, &e, (off_t)next_offset)
                                : fuse_add_direntry(listing->req, listing->out + listing->len, left, name, &entry->attr, (off_t)next_offset);
    if (need > left)
        return false;
    listing->len += need;
    return true;
}

static void list(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, bool plus)
{
    struct listing listing = {.req = req, .out = (char *)hf_worker()->plain, .cap = size < HF_MAX_IO ? size : HF_MAX_IO, .plus = plus};
    int status = hf_tree_readdir(id, (uint64_t)offset, plus, add_entry, &listing);
    if (status < 0)
        reply_status(req, status);
    else
        (void)fuse_reply_buf(req, listing.out, listing.len);
}

static void on_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)file;
    list(req, id, size, offset, false);
}

static void on_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset, struct fuse_file_info *file)
{
    (void)file;
    list(req, id, size, offset, true);
}

static void on_statfs(fuse_req_t req, fuse_ino_t id)
{
    struct statvfs info;
    (void)id;
    int status = hf_tree_statfs(&info);
    if (status < 0)
        reply_status(req, status);
    else
        (void)fuse_reply_statfs(req, &info);
}

static bool is_list(const char *name)
{
    static const char acl[] = "system.posix_acl_";
    return strncmp(name, acl, sizeof acl - 1) == 0;
}

/* Attributes that there are none of: saying so with this errno keeps `ls` from asking for each file. Access control lists are for mounts that others can enter [PA-6]. */
static bool unsupported(fuse_req_t req, const char *name)
{
    if ((hf_serve_has_lists() || !is_list(name)) && strcmp(name, "security.selinux") != 0)
        return false;
    (void)fuse_reply_err(req, EOPNOTSUPP);
    return true;
}

/* size 0 asks for the length alone. */
static void reply_xattr(fuse_req_t req, ssize_t len, size_t size, const char *value)
{
    if (len < 0)
        reply_status(req, (int)len);
    else if (size == 0)
        (void)fuse_reply_xattr(req, (size_t)len);
    else
        (void)fuse_reply_buf(req, value, (size_t)len);
}

static void on_getxattr(fuse_req_t req, fuse_ino_t id, const char *name, size_t size)
{
    char *value = (char *)hf_worker()->plain;
    if (unsupported(req, name))
        return;
    ssize_t len = hf_tree_getxattr(id, name, value, size < HF_MAX_IO ? size : HF_MAX_IO);
    reply_xattr(req, len, size, value);
}

/* As disks do: what the caller can't read is not listed. */
static bool is_hidden(fuse_req_t req, const char *name)
{
    static const char trusted[] = "trusted.";
    return (is_list(name) && !hf_serve_has_lists()) || (fuse_req_ctx(req)->uid != 0 && strncmp(name, trusted, sizeof trusted - 1) == 0);
}

static ssize_t without_hidden(fuse_req_t req, char *names, size_t len)
{
    size_t kept = 0;
    for (size_t at = 0; at < len;) {
        size_t one = strlen(names + at) + 1;
        if (!is_hidden(req, names + at)) {
            memmove(names + kept, names + at, one);
            kept += one;
        }
        at += one;
    }
    return (ssize_t)kept;
}

static void on_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
    char *names = (char *)hf_worker()->plain;
    ssize_t len = hf_tree_listxattr(id, names, HF_MAX_IO);
    if (len > 0)
        len = without_hidden(req, names, (size_t)len);
    if (size > 0 && len > (ssize_t)size)
        len = -ERANGE;
    reply_xattr(req, len, size, names);
}

static void on_setxattr(fuse_req_t req, fuse_ino_t id, const char *name, const char *value, size_t size, int flags)
{
    if (!unsupported(req, name))
        reply_status(req, hf_tree_setxattr(id, name, value, size, flags));
}

static void on_removexattr(fuse_req_t req, fuse_ino_t id, const char *name)
{
    if (!unsupported(req, name))
        reply_status(req, hf_tree_removexattr(id, name));
}

static void on_ioctl(fuse_req_t req, fuse_ino_t id, unsigned command, void *arg, struct fuse_file_info *file, unsigned flags, const void *in, size_t in_len,
                     size_t out_len)
{
    (void)id, (void)command, (void)arg, (void)file, (void)flags, (void)in, (void)in_len, (void)out_len;
    (void)fuse_reply_err(req, ENOTTY);
}

/* What is not here answers ENOSYS, which the kernel remembers: flush (nothing is pending at close), copy_file_range
 * (it copies itself), the locks (its own do). */
const struct fuse_lowlevel_ops hf_serve_ops = {
    .init = on_init,
    .lookup = on_lookup,
    .forget = on_forget,
    .forget_multi = on_forget_multi,
    .getattr = on_getattr,
    .setattr = on_setattr,
    .readlink = on_readlink,
    .mknod = on_mknod,
    .mkdir = on_mkdir,
    .symlink = on_symlink,
    .unlink = on_unlink,
    .rmdir = on_rmdir,
    .rename = on_rename,
    .link = on_link,
    .create = on_create,
    .open = on_open,
    .release = on_release,
    .read = on_read,
    .write = on_write,
    .access = on_access,
    .fsync = on_fsync,
    .fsyncdir = on_fsyncdir,
    .fallocate = on_fallocate,
    .lseek = on_lseek,
    .opendir = on_opendir,
    .readdir = on_readdir,
    .readdirplus = on_readdirplus,
    .statfs = on_statfs,
    .getxattr = on_getxattr,
    .listxattr = on_listxattr,
    .setxattr = on_setxattr,
    .removexattr = on_removexattr,
    .ioctl = on_ioctl,
};
