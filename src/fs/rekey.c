#include "fs/rekey.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/morenames.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "fs/worker.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

enum { TEMPORARY = 32, NOTE_LEN = 48 };

/* The header, and where it has no room a record, gets every name's slot under the key that the header has by now. */
static int bind_names(struct hf_node *file, const struct hf_all_names *names)
{
    uint8_t (*slots)[HF_SLOT_LEN] = calloc(names->count, HF_SLOT_LEN);
    int failed = slots ? 0 : -ENOMEM;
    for (size_t i = 0; i < names->count && !failed; i++)
        failed = hf_slot_of(file, names->names[i].dir, names->names[i].plain, slots[i]);
    if (!failed)
        failed = hf_more_replace(file, (const uint8_t (*)[HF_SLOT_LEN])slots, (uint32_t)names->count);
    free(slots);
    return failed;
}

/* A slot needs its directory's id. */
static int use_all(const struct hf_all_names *names, size_t *ret_used)
{
    int failed = 0;
    for (*ret_used = 0; *ret_used < names->count; (*ret_used)++) {
        int fd = hf_dir_use(names->names[*ret_used].dir);
        if (fd < 0) {
            failed = fd;
            break;
        }
    }
    return failed;
}

static void done_all(const struct hf_all_names *names, size_t used)
{
    for (size_t i = 0; i < used; i++)
        hf_dir_done(names->names[i].dir);
}

static int wrap_anew(struct hf_node *file, unsigned class, const struct hf_all_names *names, const struct stat *st)
{
    struct hf_content *content = file->content;
    const struct hf_file_static *header = &content->header;
    int failed = -hf_errno(hf_content_rewrap(content, class));
    if (!failed)
        failed = bind_names(file, names);
    if (!failed)
        failed = -hf_errno(hf_attr_mac(header->class, header->class_generation, header->file_id, st->st_mode & 07777, st->st_uid, st->st_gid, content->meta.attr_mac));
    if (!failed)
        failed = hf_xattr_digest(file, content->meta.xattr_digest);
    if (!failed)
        failed = hf_more_store(file);
    if (!failed)
        failed = -hf_errno(hf_content_put_header(content, hf_epoch_now()));
    return failed;
}

int hf_file_rewrap(struct hf_node *file, unsigned class, const struct hf_all_names *names)
{
    struct hf_content *content = file->content;
    struct stat st;
    size_t used = 0;
    int failed = hf_disk->fstat(file->fd, &st);
    if (!failed)
        failed = hf_xattr_rebind(file);
    if (!failed && (file->stale || file->evidence)) /* the new header knows no old name and no old attributes: what is must be durable, names in their directories */
        failed = file->names_epoch > hf_settled ? hf_sync_all(hf_node_of(HF_TREE_ROOT)->fd) : hf_sync_whole(file->fd);
    if (!failed)
        hf_content_attr_is_durable(content);
    if (!failed)
        failed = use_all(names, &used);
    if (failed) {
        done_all(names, used);
        return failed;
    }
    struct hf_file_meta before = content->meta;
    struct hf_file_static header_before = content->header;
    uint8_t s_before[HF_STATIC_LEN];
    memcpy(s_before, content->s, sizeof s_before);
    failed = wrap_anew(file, class, names, &st);
    content->class_epoch = hf_epoch_now();
    if (failed) {
        content->meta = before;
        content->header = header_before;
        memcpy(content->s, s_before, sizeof s_before);
        if (names->count > HF_SLOTS || content->more) /* the list in memory is under the new key */
            file->stale = bind_names(file, names) == 0 || file->stale;
    } else {
        const struct timespec times[2] = {st.st_atim, st.st_mtim};
        file->class = (uint8_t)class;
        (void)hf_disk->futimens(file->fd, times);
    }
    done_all(names, used);
    return failed;
}

/* --- raising --- */

static int copy_content(struct hf_content *from, struct hf_content *to)
{
    uint8_t *buffer = malloc(HF_MAX_IO);
    uint64_t size = from->dynamic.size, offset = 0;
    enum hf_result result = buffer ? HF_OK : HF_NO_MEMORY;
    while (result == HF_OK && offset < size) {
        uint64_t start = offset;
        size_t got = 0;
        result = hf_content_seek(from, offset, SEEK_DATA, &start);
        if (result == HF_NOT_FOUND) {
            result = HF_OK;
            break;
        }
        if (result == HF_OK)
            result = hf_content_read(from, start, HF_MAX_IO, buffer, &got);
        if (result == HF_OK)
            result = hf_content_write(to, start, buffer, got);
        offset = start + got;
    }
    if (result == HF_OK && to->dynamic.size < size)
        result = hf_content_truncate(to, size);
    if (buffer)
        hf_wipe(buffer, HF_MAX_IO);
    free(buffer);
    return -hf_errno(result);
}

static void temporary_name(char out[TEMPORARY])
{
    uint8_t random[9];
    hf_random(random, sizeof random);
    memcpy(out, ".hf~", 4);
    hf_base64url_encode(random, sizeof random, out + 4);
}

/* The file as it is, under a fresh key and the class, with all its names in the header, at a temporary name in the first one's directory. */
static int make_copy(struct hf_node *file, int dir_fd, unsigned class, const char *temporary, const struct hf_all_names *names, struct hf_node **ret)
{
    struct stat st;
    int failed = hf_disk->fstat(file->fd, &st);
    int fd = failed ? failed : hf_disk->openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fd;
    if (geteuid() == 0)
        failed = hf_disk->fchown(fd, st.st_uid, st.st_gid);
    struct hf_file_birth birth = {.class = class, .kind = file->content->header.kind, .mode = st.st_mode & 07777};
    if (failed) {
        (void)hf_disk->close(fd);
        return failed;
    }
    failed = hf_file_birth(fd, &birth, names->names[0].dir, names->names[0].plain, temporary, ret);
    if (failed)
        return failed;
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    if (names->count > 1)
        failed = bind_names(*ret, names);
    if (!failed)
        failed = copy_content(file->content, (*ret)->content);
    if (!failed)
        failed = hf_xattr_copy(file, *ret);
    if (!failed)
        failed = hf_disk->fchmod(fd, st.st_mode & 07777);
    if (!failed)
        failed = hf_more_store(*ret);
    if (!failed)
        failed = -hf_errno(hf_content_put_header((*ret)->content, hf_epoch_now()));
    if (!failed)
        failed = -hf_errno(hf_content_fsync((*ret)->content, false));
    if (!failed)
        failed = hf_disk->futimens(fd, times);
    if (!failed)
        failed = hf_sync_whole(fd);
    return failed;
}

/* The note that a copy is on its way to a file's names: one more link of the copy, called after the file. */
static void note_name(const uint8_t file_id[HF_FILE_ID_LEN], char out[NOTE_LEN])
{
    out[0] = '+';
    hf_base64url_encode(file_id, HF_FILE_ID_LEN, out + 1);
}

struct swap {
    struct hf_node *file, *copy;
    const struct hf_all_names *names;
    char (*temporary)[TEMPORARY]; /* a link of the copy beside each name; empty: not made, or renamed */
    struct stat *dirs;            /* of each name, as it was */
    char note[NOTE_LEN];
    int records; /* -1: there is no note */
};

static int dir_fd_of(const struct hf_one_name *name)
{
    return name->dir->fd; /* in use */
}

/* [CR-17] Everything that can fail for want of room comes before the first name changes hands. */
static int prepare(struct swap *swap)
{
    const struct hf_one_name *first = &swap->names->names[0];
    int failed = 0;
    if (swap->names->count == 1)
        return 0;
    for (size_t i = 1; i < swap->names->count && !failed; i++) {
        const struct hf_one_name *name = &swap->names->names[i];
        temporary_name(swap->temporary[i]);
        failed = hf_disk->linkat(dir_fd_of(first), swap->temporary[0], dir_fd_of(name), swap->temporary[i]);
        if (failed)
            swap->temporary[i][0] = '\0';
    }
    if (failed)
        return failed;
    swap->records = hf_more_records(true);
    if (swap->records < 0)
        return swap->records;
    note_name(swap->file->content->header.file_id, swap->note);
    (void)hf_disk->unlinkat(swap->records, swap->note, 0); /* of an earlier one that came to nothing */
    failed = hf_disk->linkat(dir_fd_of(first), swap->temporary[0], swap->records, swap->note);
    return failed ? failed : hf_sync_whole(swap->records);
}

/* The names that have changed hands already go back. */
static void go_back(const struct swap *swap, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct hf_one_name *name = &swap->names->names[i];
        char temporary[TEMPORARY];
        temporary_name(temporary);
        if (hf_disk->link_fd(swap->file->fd, dir_fd_of(name), temporary) == 0 &&
            hf_disk->renameat2(dir_fd_of(name), temporary, dir_fd_of(name), name->backing, 0) != 0)
            (void)hf_disk->unlinkat(dir_fd_of(name), temporary, 0);
    }
}

static int rename_all(struct swap *swap)
{
    for (size_t i = 0; i < swap->names->count; i++) {
        const struct hf_one_name *name = &swap->names->names[i];
        int failed = hf_disk->renameat2(dir_fd_of(name), swap->temporary[i], dir_fd_of(name), name->backing, 0);
        if (failed) {
            go_back(swap, i);
            return failed;
        }
        swap->temporary[i][0] = '\0';
    }
    return 0;
}

static void tidy(struct swap *swap)
{
    for (size_t i = 0; i < swap->names->count; i++) {
        if (swap->temporary[i][0])
            (void)hf_disk->unlinkat(dir_fd_of(&swap->names->names[i]), swap->temporary[i], 0);
    }
    if (swap->records >= 0) {
        if (swap->note[0])
            (void)hf_disk->unlinkat(swap->records, swap->note, 0);
        (void)hf_disk->close(swap->records);
    }
}

/* An fsync of the new inode is to promise what the names stand for, also where a disk syncs inodes one by one. */
static int make_durable(const struct swap *swap)
{
    return swap->names->count == 1 ? hf_sync_whole(dir_fd_of(&swap->names->names[0])) : hf_sync_all(hf_node_of(HF_TREE_ROOT)->fd);
}

int hf_file_raise(struct hf_node *file, unsigned class, const struct hf_all_names *names)
{
    size_t used = 0;
    struct swap swap = {.file = file, .names = names, .records = -1};
    swap.temporary = calloc(names->count, TEMPORARY);
    swap.dirs = calloc(names->count, sizeof *swap.dirs);
    int failed = swap.temporary && swap.dirs ? use_all(names, &used) : -ENOMEM;
    for (size_t i = 0; i < names->count && !failed; i++)
        failed = hf_disk->fstat(dir_fd_of(&names->names[i]), &swap.dirs[i]);
    if (failed) {
        done_all(names, used);
        free(swap.temporary);
        free(swap.dirs);
        return failed;
    }
    temporary_name(swap.temporary[0]);
    failed = make_copy(file, dir_fd_of(&names->names[0]), class, swap.temporary[0], names, &swap.copy);
    if (!failed)
        failed = prepare(&swap);
    if (!failed)
        failed = rename_all(&swap);
    if (failed && swap.copy) {
        hf_more_remove(swap.copy);
        hf_node_unhash(swap.copy);
        hf_node_unplace(swap.copy);
    }
    if (!failed) {
        failed = make_durable(&swap);
        if (!failed)
            hf_more_remove(file);
        hf_file_adopt(file, swap.copy);
        for (size_t i = 0; i < names->count; i++)
            hf_fresh_put_file(file, names->names[i].dir, names->names[i].backing, hf_fresh_is_always(names->names[i].dir, names->names[i].backing));
    }
    tidy(&swap);
    for (size_t i = 0; i < names->count; i++)
        hf_dir_keep_mtime(dir_fd_of(&names->names[i]), &swap.dirs[i]);
    hf_node_unref(swap.copy);
    done_all(names, used);
    free(swap.temporary);
    free(swap.dirs);
    return failed;
}

/* --- what a stop left --- */

struct hf_raised {
    struct hf_raised *next;
    char note[NOTE_LEN];
    struct hf_node shell; /* the copy's descriptor and content alone */
    int records;
};

static int load_one(int records, const char *note, struct hf_raised **list)
{
    struct hf_raised *one = calloc(1, sizeof *one);
    if (!one)
        return -ENOMEM;
    one->records = one->shell.fd = -1;
    (void)snprintf(one->note, sizeof one->note, "%s", note);
    one->next = *list;
    *list = one;
    one->records = hf_disk->dup(records);
    one->shell.fd = one->records < 0 ? -1 : hf_open_lent(records, note, O_RDWR);
    return 0;
}

int hf_raised_load(struct hf_raised **ret)
{
    _Alignas(8) char buffer[4096];
    *ret = NULL;
    int records = hf_more_records(false), failed = 0;
    ssize_t got = 0;
    while (records >= 0 && !failed && (got = hf_disk->getdents(records, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got && !failed;) {
            const struct dirent64 *raw = (const void *)(buffer + at);
            if (raw->d_name[0] == '+' && strlen(raw->d_name) < NOTE_LEN)
                failed = load_one(records, raw->d_name, ret);
            at += raw->d_reclen;
        }
    }
    if (records >= 0)
        (void)hf_disk->close(records);
    return failed ? failed : got < 0 ? (int)got : 0;
}

/* [CR-17] The copy was durable before its note, and says of each name that it is its own: only so may it have one. */
static int may_have(struct hf_raised *one, struct hf_node *dir, const char *plain)
{
    uint8_t slot[HF_SLOT_LEN];
    enum hf_result result = one->shell.content ? HF_OK : hf_content_label(one->shell.fd, &one->shell.content);
    if (result == HF_LOCKED)
        return -ENOKEY;
    if (result != HF_OK || !one->shell.content->in_window)
        return 0;
    int failed = hf_slot_of(&one->shell, dir, plain, slot);
    return failed ? failed : hf_file_name_fits(&one->shell, slot) ? 1 : 0;
}

int hf_raised_finish(struct hf_raised *list, const struct hf_node *file, struct hf_node *dir, int dir_fd, const char *backing)
{
    char note[NOTE_LEN], plain[256], temporary[TEMPORARY];
    if (!list)
        return 0;
    note_name(file->content->header.file_id, note);
    while (list && (strcmp(list->note, note) != 0 || list->shell.fd < 0))
        list = list->next;
    int may = !list ? 0 : hf_dir_plain(dir, dir_fd, backing, plain);
    if (list && may == 0)
        may = may_have(list, dir, plain);
    hf_wipe(plain, sizeof plain);
    if (may <= 0)
        return may;
    temporary_name(temporary);
    int failed = hf_disk->linkat(list->records, note, dir_fd, temporary);
    if (!failed)
        failed = hf_disk->renameat2(dir_fd, temporary, dir_fd, backing, 0);
    return failed ? failed : 1;
}

void hf_raised_end(struct hf_raised **list, bool done)
{
    while (*list) {
        struct hf_raised *one = *list;
        *list = one->next;
        if (done && one->records >= 0)
            (void)hf_disk->unlinkat(one->records, one->note, 0);
        hf_content_free(&one->shell.content);
        if (one->shell.fd >= 0)
            (void)hf_disk->close(one->shell.fd);
        if (one->records >= 0)
            (void)hf_disk->close(one->records);
        free(one);
    }
}
