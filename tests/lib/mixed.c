/* mixed FOLDER THREADS SECONDS SEED [LOCKED]: mixed operations by many threads on few names. Files are replaced whole, by a rename, so whoever reads one under its shared name must
 * see one writer's content and nothing else; of the errors only those that another's operation explains are allowed, and ENOKEY where there is LOCKED (a folder of class `complete`,
 * locked and unlocked meanwhile). Prints what was done, and one line a finding; exit 1 when there is any. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { NAMES = 24, FOLDERS = 3, BLOCK = 4096, OWN = 64 * 1024, THREADS_MAX = 64, NAME_LEN = 512 };

struct thread {
    pthread_t id;
    uint64_t random;
    unsigned number;
    uint8_t model[OWN]; /* of the file that is this thread's alone */
    int own_fd;
    uint64_t done;
};

static const char *top, *locked;
static time_t end_at;
static atomic_uint findings;
static struct thread threads[THREADS_MAX];

static uint32_t pick(struct thread *t, uint32_t below)
{
    t->random = t->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(t->random >> 33) % below;
}

static void find(const char *what, const char *path, const char *why)
{
    if (atomic_fetch_add(&findings, 1) < 40)
        (void)printf("%s %s: %s\n", what, path, why);
}

/* errno, when the call failed and none of allowed explains it. */
static void judge(const char *what, const char *path, long got, const int *allowed)
{
    int error = errno;
    if (got >= 0)
        return;
    for (; *allowed; allowed++) {
        if (*allowed == error)
            return;
    }
    if (error == ENOKEY && locked) /* a file takes its class along when it is renamed out of there */
        return;
    find(what, path, strerror(error));
}

#define MAY(...) ((const int[]){__VA_ARGS__, 0})

/* A shared name; folders come and go below the first two. */
static void shared(struct thread *t, char out[NAME_LEN])
{
    const char *in = locked && pick(t, 6) == 0 ? locked : top;
    if (pick(t, 5) == 0)
        (void)snprintf(out, NAME_LEN, "%s/d%u/moving/n%u", in, pick(t, FOLDERS), pick(t, 4));
    else
        (void)snprintf(out, NAME_LEN, "%s/d%u/n%u", in, pick(t, FOLDERS), pick(t, NAMES));
}

/* One content: a length and bytes that all follow from the stamp. */
static size_t content(uint32_t stamp, uint8_t *out)
{
    size_t len = 16 + stamp % (3 * BLOCK);
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(stamp >> (i % 4 * 8));
    return len;
}

static void replace_whole(struct thread *t)
{
    uint8_t bytes[4 * BLOCK];
    char path[NAME_LEN], temporary[NAME_LEN + 32];
    uint32_t stamp = pick(t, UINT32_MAX);
    size_t len = content(stamp, bytes);
    shared(t, path);
    char *slash = strrchr(path, '/');
    (void)snprintf(temporary, sizeof temporary, "%.*s/t%u", (int)(slash - path), path, t->number);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    judge("create", temporary, fd, MAY(ENOENT));
    if (fd < 0)
        return;
    ssize_t wrote = write(fd, bytes, len);
    judge("write", temporary, wrote, MAY(-1));
    if (pick(t, 8) == 0)
        judge("fsync", temporary, fsync(fd), MAY(-1));
    (void)close(fd);
    if (wrote != (ssize_t)len) /* refused by the lock: an unlock may come before the rename */
        return;
    judge("rename over", path, rename(temporary, path), MAY(ENOENT, EISDIR));
}

static void read_whole(struct thread *t)
{
    uint8_t bytes[4 * BLOCK], want[4 * BLOCK];
    char path[NAME_LEN];
    shared(t, path);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    judge("open", path, fd, MAY(ENOENT, ELOOP));
    if (fd < 0)
        return;
    struct stat st;
    ssize_t got = pread(fd, bytes, sizeof bytes, 0);
    judge("read", path, got, MAY(EISDIR));
    if (got >= 0 && fstat(fd, &st) == 0) {
        uint32_t stamp = got >= 4 ? (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24 : 0;
        if (got < 16 || (size_t)got != content(stamp, want) || memcmp(bytes, want, (size_t)got) != 0)
            find("read", path, "not what one writer wrote");
        else if (st.st_size != got)
            find("fstat", path, "another size than was read");
    }
    (void)close(fd);
}

static void own_file(struct thread *t)
{
    uint8_t bytes[2 * BLOCK];
    uint32_t at = pick(t, OWN - sizeof bytes), len = 1 + pick(t, sizeof bytes);
    switch (pick(t, 6)) {
    case 0:
    case 1:
        memset(bytes, (int)pick(t, 256), len);
        memcpy(t->model + at, bytes, len);
        judge("write", "own", pwrite(t->own_fd, bytes, len, at), MAY(-1));
        break;
    case 2: {
        uint8_t *map = mmap(NULL, OWN, PROT_READ | PROT_WRITE, MAP_SHARED, t->own_fd, 0);
        if (map == MAP_FAILED) {
            find("mmap", "own", strerror(errno));
            break;
        }
        memset(map + at, (int)pick(t, 256), len);
        memcpy(t->model + at, map + at, len);
        if (pick(t, 2))
            judge("msync", "own", msync(map, OWN, MS_SYNC), MAY(-1));
        (void)munmap(map, OWN);
        break;
    }
    case 3:
        judge("punch", "own", fallocate(t->own_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len), MAY(-1));
        memset(t->model + at, 0, len);
        break;
    case 4:
        judge("truncate", "own", ftruncate(t->own_fd, at), MAY(-1));
        judge("truncate", "own", ftruncate(t->own_fd, OWN), MAY(-1));
        memset(t->model + at, 0, OWN - at);
        break;
    default:
        if (pread(t->own_fd, bytes, len, at) != (ssize_t)len || memcmp(bytes, t->model + at, len) != 0)
            find("read", "own", "not what was written");
    }
}

static void take_names(struct thread *t)
{
    char a[NAME_LEN], b[NAME_LEN];
    shared(t, a);
    shared(t, b);
    bool parted = locked && (strncmp(a, locked, strlen(locked)) == 0) != (strncmp(b, locked, strlen(locked)) == 0);
    switch (pick(t, 8)) {
    case 0: judge("unlink", a, unlink(a), MAY(ENOENT, EISDIR)); break;
    case 1: judge("rename", a, rename(a, b), MAY(ENOENT, EISDIR, ENOTDIR, ENOTEMPTY, EEXIST, EXDEV)); break;
    case 2: judge("exchange", a, renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE), MAY(ENOENT, EXDEV)); break;
    case 3: judge("rename, not over", a, renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE), MAY(ENOENT, EEXIST, EXDEV)); break;
    case 4:
        if (!parted)
            judge("link", a, link(a, b), MAY(ENOENT, EEXIST, EPERM));
        break;
    case 5: judge("symlink", a, symlink("anywhere/at/all", a), MAY(ENOENT, EEXIST)); break;
    case 6: judge("readlink", a, readlink(a, b, sizeof b), MAY(ENOENT, EINVAL)); break;
    default: {
        int fd = open(a, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            (void)close(fd);
        char *slash = strrchr(a, '/');
        *slash = '\0';
        fd = open(a, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        judge("O_TMPFILE", a, fd, MAY(ENOENT));
        *slash = '/';
        if (fd >= 0) {
            uint8_t bytes[4 * BLOCK];
            char self[64];
            (void)snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
            judge("write", a, write(fd, bytes, content(pick(t, UINT32_MAX), bytes)), MAY(-1));
            judge("link of it", a, linkat(AT_FDCWD, self, AT_FDCWD, a, AT_SYMLINK_FOLLOW), MAY(ENOENT, EEXIST));
            (void)close(fd);
        }
    }
    }
}

static void folders(struct thread *t)
{
    char a[NAME_LEN], b[NAME_LEN];
    (void)snprintf(a, sizeof a, "%s/d%u/moving", top, pick(t, FOLDERS));
    (void)snprintf(b, sizeof b, "%s/d%u/moving", top, pick(t, FOLDERS));
    switch (pick(t, 4)) {
    case 0: judge("mkdir", a, mkdir(a, 0700), MAY(EEXIST)); break;
    case 1: judge("rmdir", a, rmdir(a), MAY(ENOENT, ENOTEMPTY)); break;
    case 2: judge("rename of a folder", a, rename(a, b), MAY(ENOENT, ENOTEMPTY, EEXIST)); break;
    default: {
        DIR *dir = opendir(a);
        judge("opendir", a, dir ? 0 : -1, MAY(ENOENT));
        errno = 0;
        while (dir && readdir(dir))
            errno = 0;
        if (dir)
            judge("readdir", a, errno ? -1 : 0, MAY(ENOENT));
        if (dir)
            (void)closedir(dir);
    }
    }
}

static void attributes(struct thread *t)
{
    char a[NAME_LEN], value[256];
    struct stat st;
    struct statvfs vfs;
    shared(t, a);
    switch (pick(t, 8)) {
    case 0: judge("stat", a, lstat(a, &st), MAY(ENOENT)); break;
    case 1: judge("chmod", a, chmod(a, pick(t, 2) ? 0600 : 0644), MAY(ENOENT)); break;
    case 2: judge("setxattr", a, setxattr(a, "user.x", value, pick(t, sizeof value), 0), MAY(ENOENT)); break;
    case 3: judge("getxattr", a, getxattr(a, "user.x", value, sizeof value), MAY(ENOENT, ENODATA)); break;
    case 4: judge("removexattr", a, removexattr(a, "user.x"), MAY(ENOENT, ENODATA)); break;
    case 5: judge("listxattr", a, listxattr(a, value, sizeof value), MAY(ENOENT)); break;
    case 6: judge("utimens", a, utimensat(AT_FDCWD, a, NULL, AT_SYMLINK_NOFOLLOW), MAY(ENOENT)); break;
    default:
        judge("statvfs", top, statvfs(top, &vfs), MAY(-1));
        if (pick(t, 40) == 0)
            sync();
    }
}

static void *work(void *arg)
{
    struct thread *t = arg;
    while (time(NULL) < end_at) {
        switch (pick(t, 10)) {
        case 0:
        case 1:
        case 2: replace_whole(t); break;
        case 3:
        case 4: read_whole(t); break;
        case 5: take_names(t); break;
        case 6: folders(t); break;
        case 7: attributes(t); break;
        default: own_file(t); break;
        }
        t->done++;
    }
    return NULL;
}

static int usage(void)
{
    (void)fprintf(stderr, "mixed FOLDER THREADS SECONDS SEED [LOCKED]\n");
    return 2;
}

static bool prepare(const char *in)
{
    char path[NAME_LEN];
    bool good = true;
    for (unsigned i = 0; i < FOLDERS; i++) {
        (void)snprintf(path, sizeof path, "%s/d%u", in, i);
        good = good && (mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    return good;
}

int main(int argc, char **argv)
{
    if (argc < 5 || argc > 6)
        return usage();
    unsigned count = (unsigned)atoi(argv[2]);
    uint64_t done = 0, seed = (uint64_t)atoll(argv[4]);
    top = argv[1];
    locked = argc == 6 ? argv[5] : NULL;
    end_at = time(NULL) + atoi(argv[3]);
    if (count == 0 || count > THREADS_MAX || !prepare(top) || (locked && !prepare(locked)))
        return usage();
    for (unsigned i = 0; i < count; i++) {
        char path[NAME_LEN];
        struct thread *t = &threads[i];
        t->number = i;
        t->random = seed * 1000 + i;
        (void)snprintf(path, sizeof path, "%s/own%u", top, i);
        t->own_fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (t->own_fd < 0 || ftruncate(t->own_fd, OWN) < 0 || pthread_create(&t->id, NULL, work, t) != 0) {
            (void)fprintf(stderr, "mixed: %s: %s\n", path, strerror(errno));
            return 2;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(threads[i].id, NULL);
        done += threads[i].done;
        (void)close(threads[i].own_fd);
    }
    (void)printf("%llu operations, %u findings\n", (unsigned long long)done, atomic_load(&findings));
    return atomic_load(&findings) != 0;
}
