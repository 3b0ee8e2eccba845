/* cli/protect.c: a class for files, and for directories with what is in them.
 *
 * A directory changes class only while it is empty (its entries' names are sealed under its class). One that is not: a sibling of the class is made, the
 * entries move there, the two exchange names, the old one goes. At each moment every entry is in one of the two; a run that was cut short is finished by the next,
 * which finds the sibling by its name. */
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

#define SIBLING ".holdfast-protect-"
enum { SIBLING_NAME = 200, ROUNDS = 100 };

static const char attribute[] = "user.holdfast.class";

struct protect {
    const char *class;
    struct hf_error *error;
    enum hf_result worst;
    size_t failures;
};

struct names {
    char **names;
    size_t len;
};

static void failed(struct protect *p, const char *path, const char *what, int code)
{
    const char *why = strerror(code);
    if (p->failures++ > 0)
        cli_complain("%s", p->error->text); /* the last one is printed by main */
    p->worst = hf_fail(p->error, code == ENOKEY ? HF_LOCKED : HF_FAILED, "%s: %s: %s", path, what, why);
}

static bool has_class(const char *path, const char *class)
{
    char value[32];
    ssize_t len = lgetxattr(path, attribute, value, sizeof value - 1);
    value[len > 0 ? len : 0] = '\0';
    return strcmp(value, class) == 0;
}

static bool set_class(const char *path, const char *class)
{
    return lsetxattr(path, attribute, class, strlen(class), 0) == 0;
}

static void names_free(struct names *names)
{
    for (size_t i = 0; i < names->len; i++)
        free(names->names[i]);
    free(names->names);
    *names = (struct names){0};
}

static bool names_read(const char *path, struct names *ret)
{
    DIR *dir = opendir(path);
    *ret = (struct names){0};
    if (!dir)
        return false;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char **grown = reallocarray(ret->names, ret->len + 1, sizeof *grown);
        char *name = strdup(entry->d_name);
        if (grown)
            ret->names = grown;
        if (!grown || !name) {
            free(name);
            errno = ENOMEM;
            break;
        }
        ret->names[ret->len++] = name;
    }
    int code = errno;
    (void)closedir(dir);
    if (code)
        names_free(ret);
    errno = code;
    return code == 0;
}

/* The sibling's name depends on the directory's alone: a cut and, where something was cut, a hash. */
static char *sibling_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    unsigned long long hash = 14695981039346656037ull;
    char *sibling = NULL;
    for (const char *at = base; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 1099511628211ull;
    int len = strlen(base) <= SIBLING_NAME ? asprintf(&sibling, "%.*s/" SIBLING "%s", (int)(base - path - 1), path, base)
                                           : asprintf(&sibling, "%.*s/" SIBLING "%.*s-%016llx", (int)(base - path - 1), path, SIBLING_NAME, base, hash);
    return len < 0 ? NULL : sibling;
}

/* Entries that are in `to` already (made there meanwhile) stay where they are and are named. */
static bool move_entries(struct protect *p, const char *from, const char *to)
{
    struct names names;
    bool good = names_read(from, &names);
    if (!good)
        failed(p, from, "cannot be listed", errno);
    for (size_t i = 0; i < names.len && good; i++) {
        char *source = NULL, *target = NULL;
        good = asprintf(&source, "%s/%s", from, names.names[i]) >= 0 && asprintf(&target, "%s/%s", to, names.names[i]) >= 0;
        if (good && renameat2(AT_FDCWD, source, AT_FDCWD, target, RENAME_NOREPLACE) < 0 && errno != ENOENT) {
            failed(p, source, "cannot be moved to the directory's new class", errno);
            good = false;
        }
        free(source);
        free(target);
    }
    names_free(&names);
    return good;
}

/* One turn of the exchange; true when the sibling is gone and the directory has its class. */
static bool exchange(struct protect *p, const char *path, const char *sibling)
{
    struct stat st;
    bool there = lstat(sibling, &st) == 0;
    if (there && (has_class(path, p->class) || !has_class(sibling, p->class))) {
        /* Names were exchanged already, or the sibling is of a run that wanted another class. */
        if (!move_entries(p, sibling, path))
            return false;
        if (rmdir(sibling) < 0 && errno != ENOENT && errno != ENOTEMPTY)
            failed(p, sibling, "cannot be removed", errno);
        return lstat(sibling, &st) < 0 && has_class(path, p->class);
    }
    if (!there && mkdir(sibling, 0700) < 0) {
        failed(p, sibling, "cannot be made", errno);
        return false;
    }
    if (!there && !set_class(sibling, p->class)) {
        failed(p, sibling, "its class cannot be set", errno);
        (void)rmdir(sibling);
        return false;
    }
    if (!move_entries(p, path, sibling))
        return false;
    if (lstat(path, &st) == 0)
        cli_copy_metadata(path, sibling, &st);
    if (renameat2(AT_FDCWD, path, AT_FDCWD, sibling, RENAME_EXCHANGE) < 0)
        failed(p, path, "cannot change places with its new directory", errno);
    return false;
}

static bool protect_directory(struct protect *p, const char *path)
{
    struct stat st;
    char *sibling = sibling_of(path);
    bool done = false;
    if (!sibling) {
        failed(p, path, "its class cannot be set", ENOMEM);
        return false;
    }
    size_t before = p->failures;
    for (int round = 0; round < ROUNDS && !done && p->failures == before; round++) {
        bool begun = lstat(sibling, &st) == 0;
        done = !begun && (has_class(path, p->class) || set_class(path, p->class));
        if (!begun && !done && errno != ENOTEMPTY)
            failed(p, path, "its class cannot be set", errno);
        else if (!done)
            done = exchange(p, path, sibling);
    }
    if (!done && p->failures == before)
        failed(p, path, "other programs write to it all the time; its class cannot be set", EBUSY);
    free(sibling);
    return done;
}

static void protect(struct protect *p, const char *path, bool named)
{
    struct stat st;
    struct names names;
    if (lstat(path, &st) < 0) {
        failed(p, path, "cannot be looked at", errno);
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        /* Symlinks and special files have their directory's class. */
        if ((named || S_ISREG(st.st_mode)) && !has_class(path, p->class) && !set_class(path, p->class))
            failed(p, path, "its class cannot be set", errno);
        return;
    }
    if (!protect_directory(p, path))
        return;
    if (!names_read(path, &names)) {
        failed(p, path, "cannot be listed", errno);
        return;
    }
    for (size_t i = 0; i < names.len; i++) {
        char *below = NULL;
        /* A sibling is the matter of its directory. */
        if (strncmp(names.names[i], SIBLING, sizeof SIBLING - 1) != 0 && asprintf(&below, "%s/%s", path, names.names[i]) >= 0)
            protect(p, below, false);
        free(below);
    }
    names_free(&names);
}

enum hf_result cli_protect_path(const char *path, const char *class, struct hf_error *error)
{
    struct protect p = {.class = class, .error = error, .worst = HF_OK};
    struct stat st;
    char real[PATH_MAX];
    /* A directory's siblings are found by its own name: `.` and a link's name are not that. */
    bool resolve = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    if (resolve && !realpath(path, real))
        return hf_fail(error, HF_FAILED, "%s: %s", path, strerror(errno));
    protect(&p, resolve ? real : path, true);
    return p.worst;
}
