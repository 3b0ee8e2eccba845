/* cli/copy.c: a tree copied with modes, owners, times, links and attributes; what cannot be read is named and passed over. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "os/file.h"

struct link_seen {
    dev_t device;
    ino_t inode;
    char *path;
};

struct copy {
    uint64_t done, bad;
    struct link_seen *links;
    size_t link_count, link_cap;
};

static void bad(struct copy *copy, const char *path, const char *what, int code)
{
    copy->bad++;
    cli_complain("%s: %s: %s", path, what, strerror(code));
}

static const char *find_link(struct copy *copy, const struct stat *st, const char *to)
{
    for (size_t i = 0; i < copy->link_count; i++) {
        if (copy->links[i].inode == st->st_ino && copy->links[i].device == st->st_dev)
            return copy->links[i].path;
    }
    if (copy->link_count == copy->link_cap) {
        size_t cap = copy->link_cap ? copy->link_cap * 2 : 64;
        struct link_seen *grown = reallocarray(copy->links, cap, sizeof *grown);
        if (!grown)
            return NULL;
        copy->links = grown;
        copy->link_cap = cap;
    }
    char *own = strdup(to);
    if (own)
        copy->links[copy->link_count++] = (struct link_seen){.device = st->st_dev, .inode = st->st_ino, .path = own};
    return NULL;
}

static void copy_attributes(const char *from, const char *to)
{
    static char names[65536], value[65536];
    ssize_t len = llistxattr(from, names, sizeof names);
    for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
        if (strncmp(names + at, "user.holdfast.", 14) == 0)
            continue;
        ssize_t got = lgetxattr(from, names + at, value, sizeof value);
        if (got >= 0 && lsetxattr(to, names + at, value, (size_t)got, 0) < 0)
            cli_complain("%s: attribute %s: %s", to, names + at, strerror(errno));
    }
}

void cli_copy_metadata(const char *from, const char *to, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    copy_attributes(from, to);
    if (lchown(to, st->st_uid, st->st_gid) < 0 && geteuid() == 0)
        cli_complain("%s: owner: %s", to, strerror(errno));
    if (!S_ISLNK(st->st_mode) && chmod(to, st->st_mode & 07777) < 0)
        cli_complain("%s: mode: %s", to, strerror(errno));
    if (utimensat(AT_FDCWD, to, times, AT_SYMLINK_NOFOLLOW) < 0)
        cli_complain("%s: times: %s", to, strerror(errno));
}

static void copy_file(struct copy *copy, const char *from, const char *to, const struct stat *st)
{
    static char buffer[65536];
    HF_CLEANUP(fd) int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0) {
        bad(copy, from, "cannot be opened", errno);
        return;
    }
    HF_CLEANUP(fd) int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (out < 0) {
        bad(copy, to, "cannot be made", errno);
        return;
    }
    bool whole = true;
    for (off_t at = 0; at < st->st_size;) {
        ssize_t got = pread(in, buffer, sizeof buffer, at);
        if (got == 0)
            break;
        if (got < 0) { /* look for what is still good, page by page; the hole stays zeros */
            got = pread(in, buffer, 4096, at);
            if (got <= 0) {
                whole = false;
                at += 4096;
                continue;
            }
        }
        bool zeros = buffer[0] == 0 && memcmp(buffer, buffer + 1, (size_t)got - 1) == 0;
        if (!zeros && pwrite(out, buffer, (size_t)got, at) != got) {
            bad(copy, to, "cannot be written", errno ? errno : ENOSPC);
            return;
        }
        at += got;
    }
    if (ftruncate(out, st->st_size) < 0)
        bad(copy, to, "cannot be written", errno);
    if (!whole)
        bad(copy, from, "parts of it cannot be read and are zeros in the copy", EIO);
}

static void copy_entry(struct copy *copy, const char *from, const char *to);

static void copy_directory(struct copy *copy, const char *from, const char *to)
{
    DIR *dir = opendir(from);
    if (!dir) {
        bad(copy, from, "cannot be listed", errno);
        return;
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            if (errno)
                bad(copy, from, "cannot be listed to its end", errno);
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *source = NULL, *target = NULL;
        if (asprintf(&source, "%s/%s", from, entry->d_name) > 0 && asprintf(&target, "%s/%s", to, entry->d_name) > 0)
            copy_entry(copy, source, target);
        free(source);
        free(target);
    }
    (void)closedir(dir);
}

static void copy_entry(struct copy *copy, const char *from, const char *to)
{
    struct stat st;
    char target[PATH_MAX];
    if (lstat(from, &st) < 0) {
        bad(copy, from, "cannot be read", errno);
        return;
    }
    copy->done++;
    cli_progress("exported", copy->done, 0);
    const char *first = !S_ISDIR(st.st_mode) && st.st_nlink > 1 ? find_link(copy, &st, to) : NULL;
    if (first) {
        if (link(first, to) < 0)
            bad(copy, to, "cannot be linked", errno);
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        if (mkdir(to, 0700) < 0) {
            bad(copy, to, "cannot be made", errno);
            return;
        }
        copy_directory(copy, from, to);
    } else if (S_ISREG(st.st_mode)) {
        copy_file(copy, from, to, &st);
    } else if (S_ISLNK(st.st_mode)) {
        ssize_t len = readlink(from, target, sizeof target - 1);
        target[len > 0 ? len : 0] = '\0';
        if (len <= 0 || symlink(target, to) < 0)
            bad(copy, from, "the link cannot be copied", errno);
    } else if (mknod(to, st.st_mode, st.st_rdev) < 0) {
        bad(copy, to, "cannot be made", errno);
        return;
    }
    if (access(to, F_OK) == 0 || S_ISLNK(st.st_mode))
        cli_copy_metadata(from, to, &st);
}

enum hf_result cli_copy_tree(const char *from, const char *to, uint64_t *ret_done, uint64_t *ret_bad, struct hf_error *error)
{
    struct copy copy = {.done = 0};
    struct stat st;
    if (mkdir(to, 0700) < 0 && (errno != EEXIST || rmdir(to) < 0 || mkdir(to, 0700) < 0))
        return hf_fail(error, errno == ENOTEMPTY || errno == EEXIST ? HF_EXISTS : HF_FAILED, "%s: must be absent or an empty directory: %s", to, strerror(errno));
    copy_directory(&copy, from, to);
    if (lstat(from, &st) == 0)
        cli_copy_metadata(from, to, &st);
    for (size_t i = 0; i < copy.link_count; i++)
        free(copy.links[i].path);
    free(copy.links);
    cli_progress_end();
    *ret_done = copy.done;
    *ret_bad = copy.bad;
    return HF_OK;
}
