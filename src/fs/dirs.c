/* A directory in use: descriptor, record, the names of its entries. Source: spec/31-names.md [NM-1] [NM-5]. */
#include "fs/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/bearer.h"
#include "fs/errno.h"
#include "fs/fresh.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/random.h"

static const char record_name[] = ".hf", next_name[] = ".hf+";
static const uint8_t no_parent[HF_DIR_ID_LEN];

unsigned hf_dir_class(const struct hf_node *dir)
{
    return dir->dir.record.class;
}

unsigned hf_dir_file_class(const struct hf_node *dir)
{
    return dir->dir.record.flags & HF_DIR_SPOOL ? HF_CLASS_UNLESS_OPEN : dir->dir.record.class;
}

const uint8_t *hf_dir_id(const struct hf_node *dir)
{
    return dir->dir.record.dir_id;
}

/* --- records --- */

/* The root's record is under `always`, so that it can be checked before the first unlock; its generation is not in the record: the newest that fits. */
static enum hf_result record_mac(const struct hf_dir_record *record, bool root, uint32_t always_generation, const uint8_t parent_id[16], const struct stat *st,
                                 const uint8_t digest[32], const char *name, uint8_t out[16])
{
    return hf_dir_mac(record, root ? HF_CLASS_ALWAYS : record->class, root ? always_generation : record->class_generation, parent_id,
                      st->st_mode & 07777, st->st_uid, st->st_gid, digest, name, out);
}

static const uint8_t no_attributes[32];

/* What a record is held to: the directory as it is on disk. */
struct shown {
    const uint8_t *parent_id;
    const char *name;
    struct stat st;
    uint8_t digest[32];
};

static enum hf_result record_check(const struct hf_dir_record *record, bool root, const struct shown *shown)
{
    uint8_t mac[16] = {0};
    uint32_t generation = root ? hf_keyring_generation(HF_CLASS_ALWAYS) : 1;
    if (((record->flags & HF_DIR_ATTRIBUTES) != 0) == hf_equal_ct(shown->digest, no_attributes, sizeof no_attributes))
        return HF_DAMAGED; /* [NM-9] */
    for (; generation > 0; generation--) {
        HF_TRY(record_mac(record, root, generation, shown->parent_id, &shown->st, shown->digest, shown->name, mac));
        if (hf_equal_ct(mac, record->mac, sizeof mac))
            return HF_OK;
        if (!root)
            break;
    }
    return HF_DAMAGED;
}

static int record_read(int dir_fd, const char *which, struct hf_dir_record *ret)
{
    char text[HF_DIR_RECORD_TEXT_LEN + 2];
    ssize_t len = hf_disk->readlinkat(dir_fd, which, text, sizeof text);
    if (len < 0)
        return (int)len;
    return hf_dir_record_parse(HF_SPAN(text, (size_t)len), ret) == HF_OK ? 0 : -EIO;
}

/* After an unclean stop the owner's bits may still be lent: which of them the record knows is found by trying, and put right. */
static enum hf_result record_check_lent(const struct hf_dir_record *record, int dir_fd, bool root, struct shown *shown)
{
    int failed = hf_bearer_dir_digest(dir_fd, record->dir_id, shown->digest);
    if (failed)
        return hf_result_from_errno(-failed);
    enum hf_result result = record_check(record, root, shown);
    struct shown guess = *shown;
    for (mode_t bits = 0; result == HF_DAMAGED && hf_unclean && geteuid() != 0 && bits < 8; bits++) {
        guess.st.st_mode = (shown->st.st_mode & ~(mode_t)0700) | bits << 6;
        result = record_check(record, root, &guess);
        if (result == HF_OK && hf_disk->fchmod(dir_fd, guess.st.st_mode & 07777) < 0)
            result = HF_IO;
    }
    return result;
}

static int record_load(struct hf_node *dir, const uint8_t parent_id[16], const char *name)
{
    struct hf_dir_record record = {0};
    struct shown shown = {.parent_id = parent_id, .name = name};
    uint32_t lent;
    int failed = hf_disk->fstat(dir->fd, &shown.st);
    if (!failed)
        failed = hf_lend(dir->fd, 0500, &lent);
    if (failed)
        return failed;
    bool root = dir->id == HF_TREE_ROOT;
    enum hf_result result = HF_DAMAGED;
    int got = record_read(dir->fd, record_name, &record);
    if (got == 0)
        result = record_check_lent(&record, dir->fd, root, &shown);
    if ((got != 0 || result == HF_DAMAGED) && record_read(dir->fd, next_name, &record) == 0 && record.epoch > hf_settled) {
        /* A change of place or attributes that a power cut caught between the two renames. */
        result = record_check_lent(&record, dir->fd, root, &shown);
        if (result == HF_OK && hf_disk->renameat2(dir->fd, next_name, dir->fd, record_name, 0) < 0)
            result = HF_IO;
    }
    hf_lend_back(dir->fd, lent);
    if (result != HF_OK)
        return -hf_errno(result);
    dir->dir.record = record;
    memcpy(dir->dir.digest, shown.digest, sizeof dir->dir.digest);
    dir->dir.loaded = true;
    dir->class = record.class;
    return 0;
}

void hf_dir_keep_mtime(int dir_fd, const struct stat *st)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
    (void)hf_disk->futimens(dir_fd, times);
}

static int record_put(int dir_fd, const char *which, const struct hf_dir_record *record)
{
    char text[HF_DIR_RECORD_TEXT_LEN + 1];
    uint32_t lent;
    hf_dir_record_encode(record, text);
    int failed = hf_lend(dir_fd, 0700, &lent);
    if (failed)
        return failed;
    failed = hf_disk->symlinkat(text, dir_fd, which);
    if (failed == -EEXIST && (failed = hf_disk->unlinkat(dir_fd, which, 0)) == 0)
        failed = hf_disk->symlinkat(text, dir_fd, which);
    hf_lend_back(dir_fd, lent);
    return failed;
}

int hf_dir_record_make(struct hf_node *parent, int dir_fd, unsigned class, const char *name, const struct stat *st, const struct hf_dir_birth *birth,
                       struct hf_dir_record *ret, uint8_t ret_digest[32])
{
    uint8_t digest[32] = {0};
    int failed = 0;
    struct hf_dir_record record = {.class = (uint8_t)class, .class_generation = (uint16_t)hf_keyring_generation(class), .epoch = hf_epoch_now(), .version = 1};
    if (parent && class == HF_CLASS_ALWAYS)
        record.flags = parent->dir.record.flags & HF_DIR_SPOOL;
    hf_random(record.dir_id, sizeof record.dir_id);
    for (size_t i = 0; birth && i < birth->attributes && !failed; i++)
        failed = hf_bearer_birth_dir(dir_fd, &record, birth->names[i], birth->values[i]);
    if (!failed && birth && birth->attributes > 0) {
        record.flags |= HF_DIR_ATTRIBUTES;
        failed = hf_bearer_dir_digest(dir_fd, record.dir_id, digest);
    }
    if (failed)
        return failed;
    enum hf_result result = record_mac(&record, !parent, hf_keyring_generation(HF_CLASS_ALWAYS), parent ? hf_dir_id(parent) : no_parent, st, digest, name, record.mac);
    if (result != HF_OK)
        return -hf_errno(result);
    failed = record_put(dir_fd, record_name, &record);
    if (failed)
        return failed;
    *ret = record;
    memcpy(ret_digest, digest, sizeof digest);
    return 0;
}

int hf_dir_record_next(struct hf_node *dir, int dir_fd, struct hf_node *parent, const char *name, const struct stat *st, unsigned class, unsigned flags,
                       const uint8_t *digest, struct hf_dir_record *ret)
{
    struct hf_dir_record record = dir->dir.record;
    bool root = dir->id == HF_TREE_ROOT;
    int late = hf_dir_record_late(dir); /* `.hf+` is the true one still */
    if (late)
        return late;
    if (class != record.class) {
        record.class = (uint8_t)class;
        record.class_generation = (uint16_t)hf_keyring_generation(class);
    }
    digest = digest ? digest : dir->dir.digest;
    record.flags = (flags & HF_DIR_SPOOL) | (hf_equal_ct(digest, no_attributes, sizeof no_attributes) ? 0 : HF_DIR_ATTRIBUTES);
    record.epoch = hf_epoch_now();
    record.version++;
    enum hf_result result = record_mac(&record, root, hf_keyring_generation(HF_CLASS_ALWAYS), parent ? hf_dir_id(parent) : no_parent, st, digest, name, record.mac);
    if (result != HF_OK)
        return -hf_errno(result);
    int failed = record_put(dir_fd, next_name, &record);
    hf_dir_keep_mtime(dir_fd, st);
    if (!failed)
        *ret = record;
    return failed;
}

static int put_next_in_place(int dir_fd)
{
    uint32_t lent;
    struct stat st;
    int failed = hf_disk->fstat(dir_fd, &st);
    if (!failed)
        failed = hf_lend(dir_fd, 0700, &lent);
    if (failed)
        return failed;
    failed = hf_disk->renameat2(dir_fd, next_name, dir_fd, record_name, 0);
    hf_lend_back(dir_fd, lent);
    hf_dir_keep_mtime(dir_fd, &st);
    return failed;
}

void hf_dir_record_commit(struct hf_node *dir, int dir_fd, const struct hf_dir_record *record)
{
    dir->dir.record = *record;
    hf_fresh_dir_moved_on(dir);
    dir->dir.due = put_next_in_place(dir_fd) != 0;
    if (dir->dir.due)
        hf_dirty(dir);
}

int hf_dir_record_late(struct hf_node *dir)
{
    if (!dir->dir.due || dir->unlinked)
        return 0;
    int fd = hf_dir_use_fd(dir);
    int failed = fd < 0 ? fd : put_next_in_place(fd);
    if (fd >= 0)
        hf_dir_done(dir);
    dir->dir.due = failed != 0;
    return failed;
}

void hf_dir_record_forget_next(int dir_fd)
{
    struct stat st;
    if (hf_disk->fstat(dir_fd, &st) == 0 && hf_disk->unlinkat(dir_fd, next_name, 0) == 0)
        hf_dir_keep_mtime(dir_fd, &st);
}

/* --- in use --- */

/* The directory's own lock is held. */
static int open_dir(struct hf_node *dir)
{
    struct stat st;
    if (dir->fd >= 0)
        return 0;
    if (!dir->parent)
        return -ENOENT; /* removed */
    int up = hf_dir_use_fd(dir->parent);
    if (up < 0)
        return up;
    int fd = hf_open_lent(up, dir->name, O_RDONLY | O_DIRECTORY);
    hf_dir_done(dir->parent);
    if (fd < 0)
        return fd;
    int failed = hf_disk->fstat(fd, &st);
    if (!failed && st.st_ino != dir->ino)
        failed = -EIO;
    if (failed) {
        (void)hf_disk->close(fd);
        return failed;
    }
    dir->fd = fd;
    return 0;
}

static int load_record(struct hf_node *dir)
{
    char name[256] = "";
    uint8_t parent_id[HF_DIR_ID_LEN];
    int failed = 0;
    if (dir->id == HF_TREE_ROOT)
        return record_load(dir, no_parent, name);
    if (!dir->parent)
        return -ENOENT;
    int up = hf_dir_use(dir->parent);
    if (up < 0)
        return up;
    memcpy(parent_id, hf_dir_id(dir->parent), sizeof parent_id);
    failed = hf_dir_plain(dir->parent, up, dir->name, name);
    hf_dir_done(dir->parent);
    if (!failed)
        failed = record_load(dir, parent_id, name);
    hf_wipe(name, sizeof name);
    return failed;
}

static int load_dir(struct hf_node *dir)
{
    int failed = open_dir(dir);
    if (failed || dir->dir.loaded)
        return failed;
    failed = load_record(dir);
    if (!failed)
        failed = hf_fresh_dir(dir);
    dir->dir.loaded = !failed;
    return failed;
}

static int use(struct hf_node *dir, int (*ready)(struct hf_node *dir))
{
    if (dir->kind != HF_NODE_DIR)
        return -ENOTDIR;
    pthread_mutex_lock(&dir->dir.lock);
    int failed = ready(dir);
    int fd = dir->fd;
    if (!failed)
        dir->dir.users++;
    pthread_mutex_unlock(&dir->dir.lock);
    return failed ? failed : fd;
}

int hf_dir_use_fd(struct hf_node *dir)
{
    return use(dir, open_dir);
}

int hf_dir_use(struct hf_node *dir)
{
    return use(dir, load_dir);
}

void hf_dir_done(struct hf_node *dir)
{
    pthread_mutex_lock(&dir->dir.lock);
    dir->dir.users--;
    bool idle = dir->dir.users == 0 && !dir->idle;
    pthread_mutex_unlock(&dir->dir.lock);
    if (idle)
        hf_node_idle(dir);
}

int hf_dir_is_empty(int dir_fd)
{
    char buffer[4096];
    int fd = hf_open_lent(dir_fd, ".", O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return fd;
    int empty = 1;
    ssize_t got = 0;
    while (empty == 1 && (got = hf_disk->getdents(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const void *)(buffer + at);
            if (!hf_name_is_ours(entry->d_name))
                empty = 0;
            at += entry->d_reclen;
        }
    }
    (void)hf_disk->close(fd);
    return got < 0 ? (int)got : empty;
}

/* --- names --- */

static int name_errno(enum hf_result result)
{
    return result == HF_TOO_LARGE ? -ENAMETOOLONG : -hf_errno(result);
}

static int encode(struct hf_node *dir, const char *name, struct hf_place *place, uint32_t always_generation)
{
    const struct hf_dir_record *record = &dir->dir.record;
    place->always = always_generation != 0;
    enum hf_result result = place->always ? hf_name_encode(HF_CLASS_ALWAYS, always_generation, record->dir_id, name, place->backing, place->side)
                                          : hf_name_encode(record->class, record->class_generation, record->dir_id, name, place->backing, place->side);
    return result == HF_OK ? 0 : name_errno(result);
}

static int look(int dir_fd, struct hf_place *place)
{
    int failed = hf_stat_lent(dir_fd, place->backing, &place->st);
    place->exists = failed == 0;
    return failed == -ENOENT ? 0 : failed;
}

int hf_place_always(struct hf_node *dir, const char *name, uint32_t generation, struct hf_place *ret)
{
    ret->exists = false;
    return encode(dir, name, ret, generation);
}

int hf_place_make(struct hf_node *dir, const char *name, bool always, struct hf_place *ret)
{
    ret->exists = false;
    return encode(dir, name, ret, always ? hf_keyring_generation(HF_CLASS_ALWAYS) : 0);
}

/* In the root an entry of class always has its name under always: it is looked for when the usual name is not there (or can't be known yet). */
int hf_place_find(struct hf_node *dir, int dir_fd, const char *name, struct hf_place *ret)
{
    ret->exists = false;
    int failed = encode(dir, name, ret, 0);
    if (!failed)
        failed = look(dir_fd, ret);
    if (dir->id != HF_TREE_ROOT || (failed && failed != -ENOKEY) || ret->exists)
        return failed;
    for (uint32_t generation = hf_keyring_generation(HF_CLASS_ALWAYS); generation > 0; generation--) {
        struct hf_place other;
        if (encode(dir, name, &other, generation) || look(dir_fd, &other) || !other.exists)
            continue;
        *ret = other;
        return 0;
    }
    return failed;
}

int hf_place_side_put(int dir_fd, const struct hf_place *place)
{
    if (!place->side[0])
        return 0;
    char record[HF_BACKING_MAX];
    memcpy(record, place->backing, sizeof record);
    record[0] = 'N';
    int failed = hf_disk->symlinkat(place->side, dir_fd, record);
    return failed == -EEXIST ? 0 : failed; /* the same name gives the same record */
}

void hf_place_side_remove(int dir_fd, const char *backing)
{
    char record[HF_BACKING_MAX];
    if (!hf_name_is_long(backing))
        return;
    (void)snprintf(record, sizeof record, "N%s", backing + 1);
    (void)hf_disk->unlinkat(dir_fd, record, 0);
}

int hf_dir_plain(struct hf_node *dir, int dir_fd, const char *backing, char out[256])
{
    const struct hf_dir_record *record = &dir->dir.record;
    enum hf_result result = hf_name_decode(record->class, record->class_generation, record->dir_id, dir_fd, backing, out);
    if (dir->id != HF_TREE_ROOT || (result != HF_DAMAGED && result != HF_LOCKED))
        return -hf_errno(result);
    for (uint32_t generation = hf_keyring_generation(HF_CLASS_ALWAYS); generation > 0; generation--) {
        if (hf_name_decode(HF_CLASS_ALWAYS, generation, record->dir_id, dir_fd, backing, out) == HF_OK)
            return 0;
    }
    return -hf_errno(result);
}

int hf_place_is_always(struct hf_node *dir, int dir_fd, const char *backing, bool *ret)
{
    struct hf_place usual;
    char plain[256];
    *ret = false;
    if (dir->id != HF_TREE_ROOT)
        return 0;
    int failed = hf_dir_plain(dir, dir_fd, backing, plain);
    if (failed)
        return failed == -ENOMEM ? failed : 0; /* no name of ours is none of `always` */
    failed = encode(dir, plain, &usual, 0);
    *ret = failed == -ENOKEY || (!failed && strcmp(usual.backing, backing) != 0);
    hf_wipe(plain, sizeof plain);
    return failed == -ENOKEY ? 0 : failed;
}

int hf_node_plain(struct hf_node *node, char out[256])
{
    if (!node->parent)
        return -ENOENT;
    int fd = hf_dir_use(node->parent);
    if (fd < 0)
        return fd;
    int failed = hf_dir_plain(node->parent, fd, node->name, out);
    hf_dir_done(node->parent);
    return failed;
}
