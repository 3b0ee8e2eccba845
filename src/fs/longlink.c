#include "fs/longlink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64url.h"
#include "fs/closing.h"
#include "fs/errno.h"
#include "fs/files.h"
#include "fs/fresh.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "fs/xattrs.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/random.h"

static int target_of(struct hf_node *dir, int dir_fd, const char *name, const char *backing, char out[4096])
{
    char text[4096];
    const struct hf_dir_record *record = &dir->dir.record;
    ssize_t len = hf_readlink_lent(dir_fd, backing, text, sizeof text);
    return len < 0 ? (int)len : -hf_errno(hf_link_open(record->class, record->class_generation, record->dir_id, name, text, (size_t)len, out));
}

/* The file, whole and durable, at a temporary name. */
static int make(struct hf_node *dir, int dir_fd, const char *name, const char *backing, const char *temporary, const char *target, const struct stat *st, struct hf_node **ret)
{
    int fd = hf_disk->openat(dir_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    int failed = fd < 0 ? fd : 0;
    if (!failed && geteuid() == 0 && (failed = hf_disk->fchown(fd, st->st_uid, st->st_gid)) != 0)
        (void)hf_disk->close(fd);
    if (failed)
        return failed;
    const struct hf_file_birth birth = {.class = hf_dir_class(dir), .kind = HF_KIND_LONG_SYMLINK, .mode = HF_LONG_LINK_MODE,
                                        .data = (const uint8_t *)target, .data_len = strlen(target)};
    failed = hf_file_birth(fd, &birth, dir, name, temporary, ret);
    if (failed)
        return failed;
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    pthread_rwlock_wrlock(&(*ret)->lock);
    failed = hf_xattr_copy_link(dir_fd, backing, *ret);
    pthread_rwlock_unlock(&(*ret)->lock);
    if (!failed)
        failed = hf_disk->fchmod(fd, HF_LONG_LINK_MODE);
    if (!failed)
        failed = hf_disk->futimens(fd, times);
    return failed ? failed : hf_sync_whole(fd);
}

int hf_link_to_file(struct hf_node *dir, int dir_fd, const char *name, struct hf_place *place)
{
    char target[4096] = "", temporary[32] = ".hf~", *room = malloc(HF_BACKING_MAX);
    uint8_t random[9];
    struct stat st, before;
    struct hf_node *made = NULL, *node = hf_node_find(place->st.st_ino);
    int failed = room ? target_of(dir, dir_fd, name, place->backing, target) : -ENOMEM;
    hf_random(random, sizeof random);
    hf_base64url_encode(random, sizeof random, temporary + 4);
    if (!failed)
        failed = hf_disk->fstat(dir_fd, &before);
    bool known = !failed;
    if (!failed)
        failed = make(dir, dir_fd, name, place->backing, temporary, target, &place->st, &made);
    hf_wipe(target, sizeof target);
    if (!failed) {
        hf_dirty(made);
        failed = hf_disk->fstat(made->fd, &st); /* behind the rename nothing may fail any more */
    }
    if (!failed)
        failed = hf_disk->renameat2(dir_fd, temporary, dir_fd, place->backing, 0);
    if (failed)
        (void)hf_disk->unlinkat(dir_fd, temporary, 0);
    else
        place->st = st;
    if (known)
        hf_dir_keep_mtime(dir_fd, &before);
    if (made && !failed && node) {
        pthread_rwlock_wrlock(&node->lock);
        node->kind = HF_NODE_LONG_LINK;
        hf_file_adopt(node, made);
        hf_fresh_put_file(node, dir, place->backing, place->always);
        pthread_rwlock_unlock(&node->lock);
    } else if (made && !failed) {
        hf_node_place(made, dir, place->backing, room);
        room = NULL;
        pthread_rwlock_wrlock(&made->lock);
        hf_fresh_put_file(made, dir, place->backing, place->always);
        pthread_rwlock_unlock(&made->lock);
    } else if (made) {
        hf_node_unhash(made);
        hf_node_unplace(made);
    }
    if (made && !failed)
        hf_closing_note(node ? node : made); /* made, but not open */
    hf_node_unref(made);
    hf_node_unref(node);
    free(room);
    return failed;
}
