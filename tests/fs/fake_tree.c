/* tests/fs/fake_tree.c: fs/tree.h in memory, so that the layer between it and the kernel is tested alone. What it does beyond a filesystem:
 *   SETTLE  changes the file "changed" and removes "gone" behind the kernel's back, then invalidates them
 *   LOCK    phase 2 makes every open, read, write and lookup answer ENOKEY until UNLOCK
 *   STATUS  "open unless-open" counts settles, "dirty" counts lookups
 *   CHECK   finds each file named "damaged"; never ends while there is a file "endless", unless stopped
 *   a read of a file named "stuck" does not end
 * Contents lie veiled, so that a search of this process's memory for them finds the layer's leavings alone. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fake_tree.h"
#include "fs/accept.h"
#include "os/clock.h"

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct node **nodes;
uint64_t node_count;
const struct hf_tree_kernel *kernel;
bool locked, dead;
uint64_t lookups, dirty_since_ms;

struct node *get(uint64_t id)
{
    return id < node_count ? nodes[id] : NULL;
}

static struct timespec now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return t;
}

int refuse(void)
{
    return dead ? -EIO : locked ? -ENOKEY : 0;
}

struct name **find(struct node *dir, const char *text)
{
    struct name **at = &dir->names;
    while (*at && strcmp((*at)->text, text) != 0)
        at = &(*at)->next;
    return at;
}

static void veil(uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = from[i] ^ VEIL;
}

static void fill_entry(uint64_t id, struct hf_entry *ret)
{
    nodes[id]->lookups++;
    *ret = (struct hf_entry){.id = id, .generation = 1, .attr = nodes[id]->attr};
}

static uint64_t new_node(mode_t mode, dev_t rdev, const struct hf_caller *who)
{
    if (node_count % 1024 == 0)
        nodes = realloc(nodes, (node_count + 1024) * sizeof(struct node *));
    if (node_count == 0)
        nodes[node_count++] = NULL;
    struct node *node = calloc(1, sizeof *node);
    if (!nodes || !node)
        abort();
    node->attr = (struct stat){.st_ino = node_count, .st_mode = mode, .st_rdev = rdev, .st_nlink = S_ISDIR(mode) ? 2 : 1, .st_uid = who->uid,
                               .st_gid = who->gid, .st_blksize = BLOCK, .st_mtim = now(), .st_ctim = now(), .st_atim = now()};
    nodes[node_count] = node;
    return node_count++;
}

static void add_name(struct node *dir, const char *text, uint64_t id)
{
    struct name *name = calloc(1, sizeof *name);
    struct name **at = find(dir, text);
    if (!name || *at)
        abort();
    (void)strncpy(name->text, text, sizeof name->text - 1);
    name->id = id;
    name->cookie = ++dir->next_cookie + 2;
    *at = name;
    dir->attr.st_mtim = now();
}

void remove_name(struct node *dir, const char *text)
{
    struct name **at = find(dir, text);
    struct name *name = *at;
    nodes[name->id]->attr.st_nlink--;
    *at = name->next;
    free(name);
}

static int make(uint64_t parent, const char *text, mode_t mode, dev_t rdev, const struct hf_caller *who, struct hf_entry *ret)
{
    pthread_mutex_lock(&lock);
    int status = refuse();
    if (status == 0 && *find(get(parent), text))
        status = -EEXIST;
    if (status == 0) {
        uint64_t id = new_node(S_ISLNK(mode) ? mode : mode & ~who->umask, rdev, who);
        nodes[id]->parent = parent;
        add_name(get(parent), text, id);
        if (S_ISDIR(mode))
            get(parent)->attr.st_nlink++;
        fill_entry(id, ret);
        dirty_since_ms = dirty_since_ms ? dirty_since_ms : hf_clock_ms();
    }
    pthread_mutex_unlock(&lock);
    return status;
}

enum hf_result hf_tree_start(int root_fd, void *map, const struct hf_tree_kernel *calls, bool no_freshness, struct hf_error *error)
{
    (void)no_freshness;
    struct stat st;
    (void)map;
    if (fstat(root_fd, &st) < 0)
        return hf_fail(error, HF_IO, "no root");
    kernel = calls;
    (void)new_node(S_IFDIR | 0755, 0, &(struct hf_caller){.umask = 0});
    nodes[HF_TREE_ROOT]->parent = HF_TREE_ROOT;
    return HF_OK;
}

bool hf_tree_names_complete(void)
{
    return !locked;
}

int hf_tree_lookup(uint64_t parent, const char *text, struct hf_entry *ret)
{
    pthread_mutex_lock(&lock);
    int status = refuse();
    lookups++;
    struct name *name = *find(get(parent), text);
    if (status == 0 && !name)
        status = -ENOENT;
    if (status == 0)
        fill_entry(name->id, ret);
    pthread_mutex_unlock(&lock);
    return status;
}

void hf_tree_forget(uint64_t id, uint64_t count)
{
    pthread_mutex_lock(&lock);
    if (get(id)->lookups < count)
        abort(); /* the layer has lost count */
    get(id)->lookups -= count;
    pthread_mutex_unlock(&lock);
}

int hf_tree_getattr(uint64_t id, struct stat *ret)
{
    pthread_mutex_lock(&lock);
    *ret = get(id)->attr;
    int status = dead ? -EIO : 0;
    pthread_mutex_unlock(&lock);
    return status;
}

static void resize(struct node *node, uint64_t size)
{
    uint64_t old = (uint64_t)node->attr.st_size;
    node->data = realloc(node->data, size + 1);
    if (!node->data)
        abort();
    if (size > old)
        memset(node->data + old, VEIL, size - old);
    node->attr.st_size = (off_t)size;
    node->attr.st_blocks = (blkcnt_t)((size + 511) / 512);
}

int hf_tree_setattr(uint64_t id, const struct stat *attr, unsigned set, struct stat *ret)
{
    pthread_mutex_lock(&lock);
    struct node *node = get(id);
    int status = refuse();
    if (status == 0) {
        if (set & HF_SET_MODE)
            node->attr.st_mode = (node->attr.st_mode & S_IFMT) | (attr->st_mode & ~(mode_t)S_IFMT);
        if (set & HF_SET_UID)
            node->attr.st_uid = attr->st_uid;
        if (set & HF_SET_GID)
            node->attr.st_gid = attr->st_gid;
        if (set & HF_SET_SIZE)
            resize(node, (uint64_t)attr->st_size);
        if (set & HF_SET_ATIME)
            node->attr.st_atim = attr->st_atim.tv_nsec == UTIME_NOW ? now() : attr->st_atim;
        if (set & HF_SET_MTIME)
            node->attr.st_mtim = attr->st_mtim.tv_nsec == UTIME_NOW ? now() : attr->st_mtim;
        node->attr.st_ctim = now();
        *ret = node->attr;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int hf_tree_readlink(uint64_t id, char out[4096])
{
    int status = refuse();
    if (status == 0)
        veil((uint8_t *)out, get(id)->data, (size_t)get(id)->attr.st_size);
    out[get(id)->attr.st_size] = '\0';
    return status;
}

int hf_tree_mknod(uint64_t parent, const char *name, mode_t mode, dev_t rdev, const struct hf_caller *who, struct hf_entry *ret)
{
    return make(parent, name, mode, rdev, who, ret);
}

int hf_tree_mkdir(uint64_t parent, const char *name, mode_t mode, const struct hf_caller *who, struct hf_entry *ret)
{
    return make(parent, name, mode | S_IFDIR, 0, who, ret);
}

int hf_tree_symlink(uint64_t parent, const char *name, const char *target, const struct hf_caller *who, struct hf_entry *ret)
{
    int status = make(parent, name, S_IFLNK | 0777, 0, who, ret);
    if (status == 0) {
        resize(get(ret->id), strlen(target));
        veil(get(ret->id)->data, (const uint8_t *)target, strlen(target));
        ret->attr = get(ret->id)->attr;
    }
    return status;
}

static int take_away(uint64_t parent, const char *text, bool directory)
{
    pthread_mutex_lock(&lock);
    struct name *name = *find(get(parent), text);
    int status = refuse();
    if (status == 0)
        status = !name ? -ENOENT : directory && nodes[name->id]->names ? -ENOTEMPTY : 0;
    if (status == 0) {
        if (directory)
            get(parent)->attr.st_nlink--;
        remove_name(get(parent), text);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int hf_tree_unlink(uint64_t parent, const char *name)
{
    return take_away(parent, name, false);
}

int hf_tree_rmdir(uint64_t parent, const char *name)
{
    return take_away(parent, name, true);
}

int hf_tree_rename(uint64_t parent, const char *text, uint64_t new_parent, const char *new_text, unsigned flags)
{
    pthread_mutex_lock(&lock);
    struct name *from = *find(get(parent), text);
    struct name *to = *find(get(new_parent), new_text);
    int status = refuse();
    if (status == 0 && (!from || ((flags & RENAME_EXCHANGE) && !to)))
        status = -ENOENT;
    if (status == 0 && to && (flags & RENAME_NOREPLACE))
        status = -EEXIST;
    if (status == 0 && (flags & RENAME_EXCHANGE)) {
        uint64_t id = from->id;
        from->id = to->id;
        to->id = id;
    } else if (status == 0) {
        uint64_t id = from->id;
        if (to)
            remove_name(get(new_parent), new_text);
        get(id)->attr.st_nlink++;
        add_name(get(new_parent), new_text, id);
        remove_name(get(parent), text);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int hf_tree_link(uint64_t id, uint64_t new_parent, const char *new_name, struct hf_entry *ret)
{
    pthread_mutex_lock(&lock);
    int status = refuse();
    if (status == 0) {
        get(id)->attr.st_nlink++;
        add_name(get(new_parent), new_name, id);
        fill_entry(id, ret);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int hf_tree_create(uint64_t parent, const char *name, mode_t mode, int flags, const struct hf_caller *who, struct hf_entry *ret)
{
    (void)flags;
    int status = make(parent, name, (mode & ~(mode_t)S_IFMT) | S_IFREG, 0, who, ret);
    if (status == 0)
        get(ret->id)->opens++;
    return status;
}

int hf_tree_open(uint64_t id, int flags)
{
    pthread_mutex_lock(&lock);
    int status = refuse();
    if (status == 0) {
        get(id)->opens++;
        if (flags & O_TRUNC)
            resize(get(id), 0);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void hf_tree_release(uint64_t id)
{
    pthread_mutex_lock(&lock);
    if (get(id)->opens == 0)
        abort();
    get(id)->opens--;
    pthread_mutex_unlock(&lock);
}

ssize_t hf_tree_read(uint64_t id, uint64_t offset, size_t len, uint8_t *out)
{
    pthread_mutex_lock(&lock);
    struct node *node = get(id);
    uint64_t size = (uint64_t)node->attr.st_size;
    ssize_t got = refuse();
    struct name *stuck = *find(get(HF_TREE_ROOT), "stuck");
    bool hang = got == 0 && stuck && stuck->id == id;
    if (got == 0 && offset < size) {
        got = (ssize_t)(len < size - offset ? len : size - offset);
        veil(out, node->data + offset, (size_t)got);
    }
    pthread_mutex_unlock(&lock);
    while (hang)
        (void)sleep(1);
    return got;
}

ssize_t hf_tree_write(uint64_t id, uint64_t offset, const uint8_t *data, size_t len)
{
    pthread_mutex_lock(&lock);
    struct node *node = get(id);
    ssize_t done = refuse();
    if (done == 0) {
        if (offset + len > (uint64_t)node->attr.st_size)
            resize(node, offset + len);
        veil(node->data + offset, data, len);
        node->attr.st_mtim = now();
        dirty_since_ms = dirty_since_ms ? dirty_since_ms : hf_clock_ms();
        done = (ssize_t)len;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

int hf_tree_fsync(uint64_t id, bool data_only)
{
    (void)id, (void)data_only;
    return refuse();
}

int hf_tree_fsyncdir(uint64_t id)
{
    (void)id;
    return refuse();
}

int hf_tree_fallocate(uint64_t id, int mode, uint64_t offset, uint64_t len)
{
    pthread_mutex_lock(&lock);
    struct node *node = get(id);
    int status = refuse();
    if (status == 0) {
        uint64_t size = (uint64_t)node->attr.st_size;
        if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + len > size)
            resize(node, size = offset + len);
        if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) && offset < size)
            memset(node->data + offset, VEIL, len < size - offset ? len : size - offset);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

/* A block of zeros is a hole. */
int64_t hf_tree_seek(uint64_t id, uint64_t offset, int whence)
{
    uint8_t zeros[BLOCK];
    struct node *node = get(id);
    uint64_t size = (uint64_t)node->attr.st_size;
    memset(zeros, VEIL, sizeof zeros);
    if (refuse() < 0)
        return refuse();
    while (offset < size) {
        uint64_t block = offset / BLOCK * BLOCK;
        uint64_t len = size - block < BLOCK ? size - block : BLOCK;
        bool hole = memcmp(node->data + block, zeros, len) == 0;
        if (hole == (whence == SEEK_HOLE))
            return (int64_t)offset;
        offset = block + len;
    }
    return whence == SEEK_HOLE && offset == size ? (int64_t)size : -ENXIO;
}

int hf_tree_readdir(uint64_t id, uint64_t offset, bool plus, hf_tree_fill fill, void *arg)
{
    pthread_mutex_lock(&lock);
    struct node *dir = get(id);
    int status = refuse();
    bool more = status == 0;
    if (more && offset < 1)
        more = fill(arg, ".", &(struct hf_entry){.attr = {.st_ino = id, .st_mode = S_IFDIR}}, 1);
    if (more && offset < 2)
        more = fill(arg, "..", &(struct hf_entry){.attr = {.st_ino = dir->parent, .st_mode = S_IFDIR}}, 2);
    for (struct name *name = dir->names; more && name; name = name->next) {
        struct hf_entry entry = {.attr = {.st_ino = name->id, .st_mode = nodes[name->id]->attr.st_mode}};
        if (name->cookie <= offset)
            continue;
        if (plus)
            fill_entry(name->id, &entry);
        more = fill(arg, name->text, &entry, name->cookie);
        if (!more && plus)
            nodes[name->id]->lookups--;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

int hf_tree_statfs(struct statvfs *ret)
{
    *ret = (struct statvfs){.f_bsize = BLOCK, .f_frsize = BLOCK, .f_blocks = 1000, .f_bfree = 600, .f_bavail = 500, .f_namemax = 255};
    return dead ? -EIO : 0;
}

static struct xattr *find_xattr(uint64_t id, const char *name)
{
    for (size_t i = 0; i < XATTRS; i++) {
        if (strcmp(get(id)->xattrs[i].name, name) == 0)
            return &get(id)->xattrs[i];
    }
    return NULL;
}

ssize_t hf_tree_getxattr(uint64_t id, const char *name, void *value, size_t cap)
{
    const struct xattr *xattr = find_xattr(id, name);
    if (!xattr || refuse() < 0)
        return refuse() < 0 ? refuse() : -ENODATA;
    if (cap != 0 && cap < xattr->len)
        return -ERANGE;
    if (cap != 0)
        memcpy(value, xattr->value, xattr->len);
    return (ssize_t)xattr->len;
}

ssize_t hf_tree_listxattr(uint64_t id, char *list, size_t cap)
{
    size_t len = 0;
    for (size_t i = 0; i < XATTRS; i++) {
        const char *name = get(id)->xattrs[i].name;
        size_t need = strlen(name) + 1;
        if (name[0] == '\0')
            continue;
        if (cap != 0 && cap < len + need)
            return -ERANGE;
        if (cap != 0)
            memcpy(list + len, name, need);
        len += need;
    }
    return refuse() < 0 ? refuse() : (ssize_t)len;
}

int hf_tree_setxattr(uint64_t id, const char *name, const void *value, size_t len, int flags)
{
    struct xattr *xattr = find_xattr(id, name);
    if (refuse() < 0)
        return refuse();
    if (xattr && (flags & XATTR_CREATE))
        return -EEXIST;
    if (!xattr)
        xattr = find_xattr(id, "");
    if (!xattr || len > sizeof xattr->value)
        return -ENOSPC;
    (void)strncpy(xattr->name, name, sizeof xattr->name - 1);
    memcpy(xattr->value, value, len);
    xattr->len = len;
    return 0;
}

int hf_tree_removexattr(uint64_t id, const char *name)
{
    struct xattr *xattr = find_xattr(id, name);
    if (!xattr)
        return -ENODATA;
    memset(xattr, 0, sizeof *xattr);
    return 0;
}

int hf_tree_accept(const char *path, uint64_t *ret_changed, uint64_t *ret_unsound)
{
    *ret_changed = path[0] ? 1 : 2;
    *ret_unsound = 0;
    return 0;
}

int hf_tree_accepted(void (*entry)(void *arg, uint64_t time, const char *path, uint64_t changed), void *arg)
{
    entry(arg, 1, "", 2);
    return 0;
}

int hf_tree_lose_privileges(uint64_t id, bool set_id)
{
    (void)id;
    (void)set_id;
    return 0;
}

bool hf_tree_attr_keeps(uint64_t id)
{
    (void)id;
    return true;
}

void hf_tree_write_back(void)
{
}

void hf_tree_lock_again(void)
{
}
