#include "fs/allnames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/dirs.h"
#include "fs/files.h"
#include "keys/wipe.h"
#include "os/disk.h"

int hf_all_names_add(struct hf_all_names *all, struct hf_node *dir, const char *backing, const char *plain)
{
    if (all->count == all->cap) {
        size_t cap = all->cap * 2 + 4, used = all->count * sizeof *all->names;
        struct hf_one_name *more = calloc(cap, sizeof *more);
        if (!more)
            return -ENOMEM;
        if (used > 0) { /* not realloc, which leaves the plain names in the heap */
            memcpy(more, all->names, used);
            hf_wipe(all->names, used);
        }
        free(all->names);
        all->names = more;
        all->cap = cap;
    }
    struct hf_one_name *name = &all->names[all->count++];
    memcpy(name->backing, backing, strlen(backing));
    memcpy(name->plain, plain, strlen(plain));
    name->dir = dir;
    hf_node_ref(dir);
    return 0;
}

void hf_all_names_free(struct hf_all_names *all)
{
    for (size_t i = 0; i < all->count; i++) {
        hf_node_unref(all->names[i].dir);
        hf_wipe(all->names[i].plain, sizeof all->names[i].plain);
    }
    free(all->names);
    *all = (struct hf_all_names){.names = NULL};
}

/* Directories that are still to be looked through, each with a reference. */
struct search {
    struct hf_node **dirs;
    size_t len, cap;
    struct hf_node *file;
    struct hf_all_names *found;
    size_t wanted;
};

static int push(struct search *search, struct hf_node *dir)
{
    if (search->len == search->cap) {
        size_t cap = search->cap * 2 + 64;
        struct hf_node **more = reallocarray(search->dirs, cap, sizeof *more);
        if (!more)
            return -ENOMEM;
        search->dirs = more;
        search->cap = cap;
    }
    search->dirs[search->len++] = dir;
    hf_node_ref(dir);
    return 0;
}

static int take(struct search *search, struct hf_node *dir, int dir_fd, const char *backing)
{
    char plain[256];
    int usable = hf_dir_use(dir);
    if (usable < 0)
        return usable == -EIO ? 0 : usable; /* what is not authentic gives no name; the count tells */
    int failed = hf_dir_plain(dir, dir_fd, backing, plain);
    hf_dir_done(dir);
    if (!failed)
        failed = hf_all_names_add(search->found, dir, backing, plain);
    hf_wipe(plain, sizeof plain);
    return failed == -EIO ? 0 : failed;
}

static int entry(struct search *search, struct hf_node *dir, int dir_fd, const struct dirent64 *raw, bool deeper)
{
    struct stat st;
    bool same = raw->d_ino == search->file->ino, may_be_dir = raw->d_type == DT_DIR || raw->d_type == DT_UNKNOWN;
    if (strcmp(raw->d_name, ".") == 0 || strcmp(raw->d_name, "..") == 0 || hf_name_is_ours(raw->d_name))
        return 0;
    if (same)
        return take(search, dir, dir_fd, raw->d_name);
    if (!deeper || !may_be_dir || hf_disk->fstatat(dir_fd, raw->d_name, &st) < 0 || !S_ISDIR(st.st_mode))
        return 0;
    struct hf_node *child = hf_node_get(&st, dir, raw->d_name, false);
    int failed = child ? push(search, child) : -ENOMEM;
    hf_node_unref(child);
    return failed;
}

static int look_through(struct search *search, struct hf_node *dir, bool deeper)
{
    enum { BUFFER = 32768 };
    char *buffer = malloc(BUFFER);
    int fd = buffer ? hf_dir_use_fd(dir) : -ENOMEM;
    int stream = fd < 0 ? fd : hf_open_lent(fd, ".", O_RDONLY | O_DIRECTORY), failed = stream < 0 ? stream : 0;
    ssize_t got = 0;
    while (!failed && search->found->count < search->wanted && (got = hf_disk->getdents(stream, buffer, BUFFER)) > 0) {
        for (ssize_t at = 0; at < got && !failed;) {
            const struct dirent64 *raw = (const void *)(buffer + at);
            failed = entry(search, dir, fd, raw, deeper);
            at += raw->d_reclen;
        }
    }
    if (stream >= 0)
        (void)hf_disk->close(stream);
    if (fd >= 0)
        hf_dir_done(dir);
    free(buffer);
    return failed ? failed : got < 0 ? (int)got : 0;
}

static int find(struct search *search)
{
    struct hf_node *near = search->file->parent;
    int failed = near ? look_through(search, near, false) : 0;
    if (failed || search->found->count >= search->wanted)
        return failed;
    hf_all_names_free(search->found);
    failed = push(search, hf_node_of(HF_TREE_ROOT));
    while (search->len > 0) {
        struct hf_node *dir = search->dirs[--search->len];
        if (!failed && search->found->count < search->wanted) {
            int one = look_through(search, dir, true);
            failed = one == -ENOENT || one == -EIO ? 0 : one;
        }
        hf_node_unref(dir);
    }
    return failed;
}

static int links_of(struct hf_node *file, size_t *ret)
{
    struct stat st;
    pthread_rwlock_wrlock(&file->lock);
    int failed = hf_file_label(file);
    if (!failed)
        failed = hf_disk->fstat(file->fd, &st);
    pthread_rwlock_unlock(&file->lock);
    if (!failed)
        *ret = st.st_nlink;
    return failed;
}

/* [CR-4] A name that nobody gave is given nothing. */
static int hold_to_header(struct hf_node *file, const struct hf_all_names *all)
{
    int failed = 0;
    pthread_rwlock_wrlock(&file->lock);
    for (size_t i = 0; i < all->count && !failed; i++) {
        uint8_t slot[HF_SLOT_LEN];
        int dir = hf_dir_use(all->names[i].dir);
        failed = dir < 0 ? dir : hf_slot_of(file, all->names[i].dir, all->names[i].plain, slot);
        if (!failed && !hf_file_name_fits(file, slot))
            failed = -EIO;
        if (dir >= 0)
            hf_dir_done(all->names[i].dir);
    }
    pthread_rwlock_unlock(&file->lock);
    return failed;
}

static int give_place(struct hf_node *file, const struct hf_all_names *all)
{
    if (file->parent)
        return 0;
    char *room = malloc(HF_BACKING_MAX);
    if (!room)
        return -ENOMEM;
    hf_node_place(file, all->names[0].dir, all->names[0].backing, room);
    return 0;
}

int hf_all_names(struct hf_node *file, struct hf_all_names *ret)
{
    char plain[256];
    *ret = (struct hf_all_names){.names = NULL};
    struct search search = {.file = file, .found = ret};
    int failed = links_of(file, &search.wanted);
    if (failed)
        return failed;
    if (search.wanted == 1 && file->parent) {
        failed = hf_node_plain(file, plain);
        return failed ? failed : hf_all_names_add(ret, file->parent, file->name, plain);
    }
    if (search.wanted == 0)
        return -ENOENT;
    failed = find(&search);
    free(search.dirs);
    if (!failed && ret->count != search.wanted)
        failed = -EIO;
    if (!failed)
        failed = hold_to_header(file, ret);
    return failed ? failed : give_place(file, ret);
}

int hf_all_names_known(struct hf_node *file, const struct hf_all_names *known, struct hf_all_names *ret)
{
    size_t wanted = 0;
    *ret = (struct hf_all_names){.names = NULL};
    int failed = links_of(file, &wanted);
    for (size_t i = 0; i < known->count && !failed && wanted == known->count; i++) {
        const struct hf_one_name *name = &known->names[i];
        struct hf_place place;
        int dir = hf_dir_use(name->dir);
        failed = dir < 0 ? dir : hf_place_find(name->dir, dir, name->plain, &place);
        if (dir >= 0)
            hf_dir_done(name->dir);
        if (failed || !place.exists || place.st.st_ino != file->ino)
            break;
        failed = hf_all_names_add(ret, name->dir, place.backing, name->plain);
    }
    if (!failed && wanted == known->count && ret->count == wanted && hold_to_header(file, ret) == 0)
        return give_place(file, ret);
    hf_all_names_free(ret);
    return hf_all_names(file, ret);
}
