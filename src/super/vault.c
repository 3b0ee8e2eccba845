/* super/vault.c: the vault's directories and the lock that keeps two supervisors apart. */
#include "super/super.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "os/disk.h"
#include "os/file.h"

enum { LOCK_TRIES = 150, LOCK_PAUSE_US = 20000 };

static enum hf_result take_lock(struct hf_super *super, struct hf_error *error)
{
    int fd = hf_disk->openat(super->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return hf_fail(error, hf_result_from_errno(-fd), "%s/.holdfast/lock: %s", super->vault, strerror(-fd));
    super->lock_fd = fd;
    /* One that has given its last answer may still be ending. */
    int tries = LOCK_TRIES;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0 && --tries > 0)
        (void)usleep(LOCK_PAUSE_US);
    if (tries == 0)
        return hf_fail(error, HF_BUSY, "%s: another holdfast-super holds this vault; close it first", super->vault);
    return HF_OK;
}

static enum hf_result open_root(struct hf_super *super, const char *path, struct hf_error *error)
{
    if (path[0] != '/' || strlen(path) >= sizeof super->vault)
        return hf_fail(error, HF_USAGE, "%s: the vault's path must be absolute", path);
    (void)snprintf(super->vault, sizeof super->vault, "%s", path);
    int fd = hf_disk->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return hf_fail(error, hf_result_from_errno(-fd), "%s: %s", path, strerror(-fd));
    super->vault_fd = fd;
    return HF_OK;
}

void hf_super_detach_vault(struct hf_super *super)
{
    hf_cleanup_fd(&super->lock_fd);
    hf_cleanup_fd(&super->dir_fd);
    hf_cleanup_fd(&super->vault_fd);
}

enum hf_result hf_super_attach(struct hf_super *super, const char *path, struct hf_error *error)
{
    if (super->lock_fd >= 0)
        return strcmp(super->vault, path) == 0 ? HF_OK : hf_fail(error, HF_BUSY, "%s: this supervisor serves %s", path, super->vault);
    enum hf_result result = open_root(super, path, error);
    if (result == HF_OK) {
        result = hf_dir_open(super->vault_fd, ".holdfast", false, &super->dir_fd);
        if (result != HF_OK)
            (void)hf_fail(error, result, "%s: no vault here (no directory .holdfast in it)", path);
    }
    if (result == HF_OK)
        result = take_lock(super, error);
    if (result != HF_OK)
        hf_super_detach_vault(super);
    return result;
}

/* Calls visit for each entry but . and ..; counts them. */
static int each_entry(int dir, void (*visit)(int dir, const char *name))
{
    char buffer[4096] __attribute__((aligned(8)));
    int count = 0;
    (void)hf_disk->seekdir(dir, 0);
    for (;;) {
        ssize_t got = hf_disk->getdents(dir, buffer, sizeof buffer);
        if (got <= 0)
            return got < 0 ? -1 : count;
        for (ssize_t at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            at += entry->d_reclen;
            if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                continue;
            count++;
            if (visit)
                visit(dir, entry->d_name);
        }
    }
}

static void remove_entry(int dir, const char *name)
{
    if (hf_disk->unlinkat(dir, name, 0) < 0)
        (void)hf_disk->unlinkat(dir, name, AT_REMOVEDIR);
}

enum hf_result hf_super_make(struct hf_super *super, const char *path, bool *ret_made_dir, struct hf_error *error)
{
    if (super->lock_fd >= 0)
        return hf_fail(error, HF_BUSY, "this supervisor serves %s", super->vault);
    int made = hf_disk->mkdirat(AT_FDCWD, path, 0700);
    if (made < 0 && made != -EEXIST)
        return hf_fail(error, hf_result_from_errno(-made), "%s: %s", path, strerror(-made));
    *ret_made_dir = made == 0;
    enum hf_result result = open_root(super, path, error);
    if (result == HF_OK && each_entry(super->vault_fd, NULL) != 0) {
        hf_super_detach_vault(super);
        return hf_fail(error, HF_EXISTS, "%s: not empty; a vault is made in an absent or empty directory", path);
    }
    if (result == HF_OK) {
        result = hf_dir_open(super->vault_fd, ".holdfast", true, &super->dir_fd);
        if (result != HF_OK)
            (void)hf_fail(error, result, "%s/.holdfast: %s", path, hf_result_text(result));
    }
    if (result == HF_OK)
        result = take_lock(super, error);
    if (result != HF_OK)
        hf_super_unmake(super, *ret_made_dir);
    return result;
}

void hf_super_unmake(struct hf_super *super, bool made_dir)
{
    if (super->dir_fd >= 0) {
        (void)each_entry(super->dir_fd, remove_entry);
        (void)hf_disk->unlinkat(super->vault_fd, ".holdfast", AT_REMOVEDIR);
    }
    if (made_dir)
        (void)hf_disk->unlinkat(AT_FDCWD, super->vault, AT_REMOVEDIR);
    hf_super_detach_vault(super);
}
