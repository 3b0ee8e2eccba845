#include "disk_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct disk_log *disk_log;
struct disk *disk_now;
/* Not the allocator that can refuse: that is the one of the code under test. */
void *__real_calloc(size_t count, size_t len);

/* --- memory that both processes see --- */

static void *shared(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        abort();
    return p;
}

void disk_start(void)
{
    disk_log = shared(sizeof *disk_log);
    disk_log->cap = 1u << 17;
    disk_log->entries = shared(disk_log->cap * sizeof *disk_log->entries);
    disk_log->room = UINT64_C(1) << 30;
    disk_log->memory = shared(disk_log->room);
    disk_log->next_ino = DISK_STATE + 1;
}

void *disk_log_take(const void *bytes, size_t len)
{
    if (disk_log->used + len + 16 > disk_log->room)
        abort();
    void *p = disk_log->memory + disk_log->used;
    disk_log->used += (len + 15) & ~UINT64_C(15);
    memcpy(p, bytes, len);
    return p;
}

const char *disk_keep(const char *text)
{
    return disk_log_take(text, strlen(text) + 1);
}

/* --- the disk --- */

struct disk *disk_copy(const struct disk *from)
{
    struct disk *disk = __real_calloc(1, sizeof *disk);
    memcpy(disk, from, sizeof *disk);
    for (unsigned i = 0; i < DISK_INODES; i++) {
        struct disk_name **at = &disk->inodes[i].names;
        for (const struct disk_name *name = from->inodes[i].names; name; name = name->next) {
            *at = __real_calloc(1, sizeof **at);
            **at = *name;
            at = &(*at)->next;
        }
        *at = NULL;
    }
    return disk;
}

void disk_free(struct disk *disk)
{
    for (unsigned i = 0; disk && i < DISK_INODES; i++) {
        for (struct disk_name *name = disk->inodes[i].names, *next; name; name = next) {
            next = name->next;
            free(name);
        }
    }
    free(disk);
}

struct disk_name *disk_entry_of(struct disk *disk, uint32_t dir, const char *name)
{
    for (struct disk_name *at = disk->inodes[dir].names; at; at = at->next) {
        if (at->ino && strcmp(at->name, name) == 0)
            return at;
    }
    return NULL;
}

/* At the end: positions of a directory that is being read stay what they are. */
static void entry_set(struct disk *disk, uint32_t dir, const char *name, uint32_t ino)
{
    struct disk_name *entry = disk_entry_of(disk, dir, name);
    if (entry) {
        entry->ino = ino;
        return;
    }
    struct disk_name **at = &disk->inodes[dir].names;
    while (*at)
        at = &(*at)->next;
    *at = __real_calloc(1, sizeof **at);
    (*at)->name = name;
    (*at)->ino = ino;
}

struct disk *disk_new(void)
{
    struct disk *disk = __real_calloc(1, sizeof *disk);
    disk->inodes[DISK_ROOT] = (struct disk_inode){.mode = S_IFDIR | 0700, .uid = geteuid(), .gid = getegid(), .nlink = 2};
    disk->inodes[DISK_OWN] = (struct disk_inode){.mode = S_IFDIR | 0700, .uid = geteuid(), .gid = getegid(), .nlink = 2};
    disk->inodes[DISK_STATE] = disk->inodes[DISK_OWN];
    entry_set(disk, DISK_ROOT, ".holdfast", DISK_OWN);
    disk->head_state = 1; /* HF_HEAD_FRESH */
    return disk;
}

static void drop_link(struct disk *disk, uint32_t ino)
{
    struct disk_inode *inode = &disk->inodes[ino];
    if (S_ISDIR(inode->mode))
        inode->nlink = 0;
    else if (inode->nlink > 0)
        inode->nlink--;
}

static void cut(struct disk_inode *inode, uint64_t len)
{
    for (uint64_t p = 0; p < DISK_PAGES; p++) {
        uint64_t start = p * DISK_PAGE;
        uint64_t valid = len > start ? len - start : 0;
        if (valid < inode->pages[p].valid)
            inode->pages[p].valid = (uint32_t)valid;
        if (valid == 0)
            inode->pages[p].image = NULL;
    }
    inode->size = len;
}

static void set_xattr(struct disk_inode *inode, const struct disk_entry *entry)
{
    struct disk_xattr *free_one = NULL;
    for (unsigned i = 0; i < DISK_XATTRS; i++) {
        struct disk_xattr *x = &inode->xattrs[i];
        if (x->name && strcmp(x->name, entry->name) == 0) {
            free_one = x;
            break;
        }
        if (!x->name && !free_one)
            free_one = x;
    }
    if (!free_one)
        abort();
    *free_one = (struct disk_xattr){entry->blob ? entry->name : NULL, entry->blob, entry->blob_len};
}

bool disk_is_meta(enum disk_kind kind)
{
    return kind >= DISK_CUT && kind <= DISK_EXCHANGE;
}

void disk_apply(struct disk *disk, const struct disk_entry *e)
{
    struct disk_inode *inode = &disk->inodes[e->ino];
    struct disk_name *entry, *other;
    switch (e->kind) {
    case DISK_DATA: inode->pages[e->a] = (struct disk_page){e->blob, DISK_PAGE}; break;
    case DISK_LENGTH: inode->size = e->a > inode->size ? e->a : inode->size; break;
    case DISK_CUT: cut(inode, e->a); break;
    case DISK_PUNCH:
        for (uint64_t p = e->a; p < e->b && p < DISK_PAGES; p++)
            inode->pages[p] = (struct disk_page){NULL, 0};
        break;
    case DISK_MODE:
        inode->mode = (inode->mode & S_IFMT) | (e->mode & 07777);
        inode->uid = e->uid;
        inode->gid = e->gid;
        break;
    case DISK_XATTR: set_xattr(inode, e); break;
    case DISK_MAKE:
        *inode = (struct disk_inode){.mode = e->mode, .uid = e->uid, .gid = e->gid, .nlink = S_ISDIR(e->mode) ? 2 : 1, .target = e->name2,
                                     .size = e->name2 ? strlen(e->name2) : 0};
        entry_set(disk, e->dir, e->name, e->ino);
        break;
    case DISK_LINK:
        entry_set(disk, e->dir, e->name, e->ino);
        inode->nlink++;
        break;
    case DISK_UNLINK:
        entry = disk_entry_of(disk, e->dir, e->name);
        if (entry) {
            drop_link(disk, entry->ino);
            entry->ino = 0;
        }
        break;
    case DISK_RENAME:
        entry = disk_entry_of(disk, e->dir, e->name);
        other = disk_entry_of(disk, e->dir2, e->name2);
        if (!entry)
            abort();
        if (other)
            drop_link(disk, other->ino);
        entry->ino = 0;
        entry_set(disk, e->dir2, e->name2, e->ino);
        break;
    case DISK_EXCHANGE:
        entry = disk_entry_of(disk, e->dir, e->name);
        other = disk_entry_of(disk, e->dir2, e->name2);
        if (!entry || !other)
            abort();
        uint32_t ino = entry->ino;
        entry->ino = other->ino;
        other->ino = ino;
        break;
    case DISK_HEAD:
        disk->head_settled = (uint32_t)e->a;
        disk->head_state = (uint32_t)e->b;
        memcpy(disk->head_tips, e->blob, sizeof disk->head_tips);
        break;
    case DISK_SYNC:
    case DISK_SYNC_ALL:
    case DISK_BEGIN:
    case DISK_END:
    case DISK_NOTE: break;
    }
}

void disk_put(const struct disk_entry *entry)
{
    if (disk_log->count == disk_log->cap)
        abort();
    disk_log->entries[disk_log->count++] = *entry;
    disk_apply(disk_now, entry);
}

void disk_mark(enum disk_kind kind, uint64_t a, uint64_t b)
{
    disk_put(&(struct disk_entry){.kind = kind, .a = a, .b = b});
}

void disk_head(uint32_t settled, uint32_t state, const uint8_t tips[64])
{
    disk_put(&(struct disk_entry){.kind = DISK_HEAD, .a = settled, .b = state, .blob = disk_log_take(tips, 64), .blob_len = 64});
}

uint64_t disk_count_calls(enum disk_fault_kind kind, bool (*work)(void *arg), void *arg)
{
    int status = -1;
    struct disk_fault *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        abort();
    disk_fault = (struct disk_fault){.kind = kind, .at = UINT64_MAX};
    pid_t pid = fork();
    if (pid == 0) {
        bool good = work(arg);
        *shared = disk_fault;
        _exit(good ? 0 : 1);
    }
    (void)waitpid(pid, &status, 0);
    uint64_t count = shared->count;
    (void)munmap(shared, sizeof *shared);
    return status == 0 ? count : 0;
}
