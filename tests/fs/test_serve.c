/* The layer between the kernel and the tree, operation by operation, through a real mount (the tree is in memory: fake_tree.c). */
#include <grp.h>
#include "mounted.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>
#include <sys/xattr.h>

enum { BIG = 3 * 1024 * 1024 + 777, MANY = 5000 };

static uint8_t big[BIG], back[BIG];

static void fill_big(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < BIG; i++) {
        state = state * 1664525u + 1013904223u;
        big[i] = (uint8_t)(state >> 24);
    }
}

static int make_file(const char *name, const void *bytes, size_t len)
{
    int fd = open(at(name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    CHECK(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    return fd;
}

TEST(files_keep_what_is_written)
{
    if (!mounted_start())
        goto end;
    fill_big();
    int fd = make_file("big", big, BIG);
    CHECK_INT(fsync(fd), 0);
    CHECK_INT(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0); /* the reads reach the program */
    CHECK_INT(pread(fd, back, BIG, 0), BIG);
    CHECK_MEM(back, big, BIG);
    CHECK_INT(pread(fd, back, 4096, BIG - 100), 100);
    CHECK_INT(pread(fd, back, 10, BIG), 0);
    CHECK_INT(pwrite(fd, "change", 6, 1234567), 6);
    CHECK_INT(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    CHECK_INT(pread(fd, back, 8, 1234566), 8);
    CHECK(back[0] == big[1234566] && memcmp(back + 1, "change", 6) == 0 && back[7] == big[1234573]);
    CHECK_INT(ftruncate(fd, 5), 0);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && st.st_size == 5);
    CHECK_INT(close(fd), 0);
    fd = open(at("big"), O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK_INT(write(fd, "end", 3), 3);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 8);
    CHECK_INT(close(fd), 0);
    fd = open(at("big"), O_RDWR | O_TRUNC | O_CLOEXEC);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 0);
    CHECK_INT(pread(fd, back, 10, 0), 0);
    CHECK_INT(ask_counts().open, 1);
    CHECK_INT(close(fd), 0);
    for (int i = 0; i < 200 && ask_counts().open > 0; i++)
        (void)usleep(5000);
    CHECK_INT(ask_counts().open, 0); /* release follows every open */
end:
    mounted_end();
}

TEST(names_links_and_kinds)
{
    char name[300];
    struct stat st, other;
    if (!mounted_start())
        goto end;
    int fd = make_file("a", "one", 3);
    CHECK_INT(link(at("a"), at("b")), 0);
    CHECK(stat(at("b"), &st) == 0 && st.st_nlink == 2);
    CHECK(stat(at("a"), &other) == 0 && other.st_ino == st.st_ino);
    CHECK_INT(rename(at("a"), at("c")), 0);
    CHECK_INT(STATUS(stat(at("a"), &st)), -ENOENT);
    CHECK_INT(STATUS(renameat2(AT_FDCWD, at("b"), AT_FDCWD, at("c"), RENAME_NOREPLACE)), -EEXIST);
    (void)close(make_file("d", "two!", 4));
    CHECK_INT(STATUS(renameat2(AT_FDCWD, at("c"), AT_FDCWD, at("d"), RENAME_EXCHANGE)), 0);
    CHECK(stat(at("c"), &st) == 0 && st.st_size == 4);
    CHECK_INT(unlink(at("b")), 0);
    CHECK_INT(unlink(at("d")), 0);
    CHECK(pread(fd, name, 3, 0) == 3 && memcmp(name, "one", 3) == 0); /* unlinked, still open */
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
    CHECK_INT(close(fd), 0);
    CHECK_INT(mkdir(at("dir"), 0755), 0);
    CHECK_INT(mkdir(at("dir/inner"), 0755), 0);
    CHECK_INT(STATUS(rmdir(at("dir"))), -ENOTEMPTY);
    CHECK_INT(rmdir(at("dir/inner")), 0);
    CHECK_INT(rmdir(at("dir")), 0);
    CHECK_INT(symlink("some/where", at("s")), 0);
    ssize_t len = readlink(at("s"), name, sizeof name);
    CHECK(len == 10 && memcmp(name, "some/where", 10) == 0);
    CHECK(lstat(at("s"), &st) == 0 && S_ISLNK(st.st_mode) && st.st_size == 10);
    CHECK_INT(mkfifo(at("p"), 0600), 0);
    CHECK(stat(at("p"), &st) == 0 && S_ISFIFO(st.st_mode));
    memset(name, 'n', sizeof name);
    name[255] = '\0';
    (void)close(make_file(name, "", 0));
    CHECK_INT(STATUS(stat(at(name), &st)), 0);
    name[255] = 'n';
    name[256] = '\0';
    CHECK_INT(STATUS(stat(at(name), &st)), -ENAMETOOLONG);
    CHECK_INT(STATUS(open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), -ENAMETOOLONG);
    CHECK_INT(STATUS(mkdir(at(name), 0700)), -ENAMETOOLONG);
    CHECK_INT(STATUS(symlink("x", at(name))), -ENAMETOOLONG);
    CHECK_INT(STATUS(rename(at("s"), at(name))), -ENAMETOOLONG);
    CHECK_INT(STATUS(link(at("c"), at(name))), -ENAMETOOLONG);
end:
    mounted_end();
}

TEST(attributes)
{
    struct stat st;
    struct statfs info;
    if (!mounted_start())
        goto end;
    mode_t before = umask(027);
    (void)close(open(at("f"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
    CHECK_INT(mkdir(at("d"), 0777), 0);
    (void)umask(before);
    CHECK(stat(at("f"), &st) == 0 && (st.st_mode & 07777) == 0640 && st.st_uid == 0);
    CHECK(stat(at("d"), &st) == 0 && (st.st_mode & 07777) == 0750);
    CHECK_INT(chmod(at("f"), 0604), 0);
    CHECK_INT(chown(at("f"), 12, 34), 0);
    CHECK(stat(at("f"), &st) == 0 && (st.st_mode & 07777) == 0604 && st.st_uid == 12 && st.st_gid == 34);
    CHECK_INT(truncate(at("f"), 9999), 0);
    struct timespec times[2] = {{.tv_sec = 111, .tv_nsec = 222}, {.tv_sec = 333, .tv_nsec = 444}};
    CHECK_INT(utimensat(AT_FDCWD, at("f"), times, 0), 0);
    CHECK(stat(at("f"), &st) == 0 && st.st_size == 9999 && st.st_atim.tv_sec == 111 && st.st_atim.tv_nsec == 222 && st.st_mtim.tv_sec == 333 &&
          st.st_mtim.tv_nsec == 444);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    CHECK_INT(utimensat(AT_FDCWD, at("f"), times, 0), 0);
    CHECK(stat(at("f"), &st) == 0 && st.st_atim.tv_sec == 111 && st.st_mtim.tv_sec > 1700000000 && st.st_mtim.tv_nsec != UTIME_NOW);
    CHECK(statfs(m.dir, &info) == 0 && info.f_blocks == 1000 && info.f_bavail == 500 && info.f_namelen == 255);
    int fd = open(at("f"), O_RDONLY | O_CLOEXEC);
    int value = 0;
    CHECK_INT(STATUS(ioctl(fd, FIOCLEX + 0x1000, &value)), -ENOTTY);
    /* Another user: the kernel checks the modes. */
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgroups(0, NULL) == 0 && setgid(4711) == 0 && setuid(4711) == 0 && open(at("d"), O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES && access(at("f"), R_OK) == 0 &&
                      access(at("f"), W_OK) < 0
                  ? 0
                  : 1);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    (void)close(fd);
end:
    mounted_end();
}

TEST(extended_attributes)
{
    char value[64];
    if (!mounted_start())
        goto end;
    (void)close(make_file("x", "", 0));
    CHECK_INT(setxattr(at("x"), "user.colour", "blue", 4, 0), 0);
    CHECK_INT(getxattr(at("x"), "user.colour", NULL, 0), 4);
    CHECK(getxattr(at("x"), "user.colour", value, sizeof value) == 4 && memcmp(value, "blue", 4) == 0);
    CHECK_INT(STATUS(getxattr(at("x"), "user.colour", value, 3)), -ERANGE);
    CHECK_INT(STATUS(setxattr(at("x"), "user.colour", "red", 3, XATTR_CREATE)), -EEXIST);
    CHECK_INT(listxattr(at("x"), NULL, 0), 12);
    CHECK(listxattr(at("x"), value, sizeof value) == 12 && memcmp(value, "user.colour", 12) == 0);
    CHECK_INT(removexattr(at("x"), "user.colour"), 0);
    CHECK_INT(STATUS(getxattr(at("x"), "user.colour", value, 3)), -ENODATA);
    CHECK_INT(STATUS(getxattr(at("x"), "security.selinux", value, 3)), -EOPNOTSUPP);
    CHECK_INT(STATUS(setxattr(at("x"), "security.selinux", "a", 1, 0)), -EOPNOTSUPP);
    CHECK_INT(STATUS(getxattr(at("x"), "system.posix_acl_access", value, 3)), -EOPNOTSUPP);
    /* The refusal of some does not turn the others off. */
    CHECK_INT(setxattr(at("x"), "user.colour", "blue", 4, 0), 0);
    CHECK_INT(getxattr(at("x"), "user.colour", NULL, 0), 4);
end:
    mounted_end();
}

TEST(holes_and_copies)
{
    struct stat st;
    char bytes[8] = "";
    if (!mounted_start())
        goto end;
    int fd = make_file("h", "head", 4);
    CHECK_INT(pwrite(fd, "tail", 4, 64 * 1024), 4);
    CHECK_INT(lseek(fd, 0, SEEK_HOLE), 4096);
    CHECK_INT(lseek(fd, 4096, SEEK_DATA), 64 * 1024);
    CHECK_INT(STATUS(lseek(fd, 128 * 1024, SEEK_DATA)), -ENXIO);
    CHECK_INT(fallocate(fd, 0, 0, 100000), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 100000);
    CHECK_INT(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200000), 0);
    CHECK_INT(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 100000);
    CHECK(pread(fd, bytes, 4, 0) == 4 && memcmp(bytes, "\0\0\0\0", 4) == 0);
    CHECK_INT(lseek(fd, 0, SEEK_DATA), 64 * 1024);
    CHECK_INT(STATUS(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096)), -EOPNOTSUPP);
    int other = open(at("copy"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ssize_t copied = copy_file_range(fd, &(off_t){64 * 1024}, other, NULL, 4, 0);
    CHECK_INT(copied, 4);
    CHECK(pread(other, bytes, 8, 0) == 4 && memcmp(bytes, "tail", 4) == 0);
    (void)close(other);
    (void)close(fd);
end:
    mounted_end();
}

TEST(mappings)
{
    if (!mounted_start())
        goto end;
    int fd = make_file("map", big, 65536);
    uint8_t *shared = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *private = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (CHECK(shared != MAP_FAILED && private != MAP_FAILED)) {
        private[10] = 'p';
        memcpy(shared + 40000, "through the mapping", 19);
        CHECK_INT(msync(shared, 65536, MS_SYNC), 0);
        CHECK_INT(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        char bytes[19];
        CHECK(pread(fd, bytes, 19, 40000) == 19 && memcmp(bytes, "through the mapping", 19) == 0);
        CHECK(shared[10] == big[10]);
        (void)munmap(shared, 65536);
        (void)munmap(private, 65536);
    }
    (void)close(fd);
end:
    mounted_end();
}

TEST(locks_are_the_kernels)
{
    if (!mounted_start())
        goto end;
    (void)close(make_file("l", "x", 1));
    int one = open(at("l"), O_RDWR | O_CLOEXEC), two = open(at("l"), O_RDWR | O_CLOEXEC);
    CHECK_INT(flock(one, LOCK_EX | LOCK_NB), 0);
    CHECK_INT(STATUS(flock(two, LOCK_EX | LOCK_NB)), -EWOULDBLOCK);
    struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    CHECK_INT(fcntl(one, F_OFD_SETLK, &range), 0);
    CHECK_INT(STATUS(fcntl(two, F_OFD_SETLK, &range)), -EAGAIN);
    (void)close(one);
    CHECK_INT(fcntl(two, F_OFD_SETLK, &range), 0);
    (void)close(two);
end:
    mounted_end();
}

static unsigned count_entries(const char *path, bool seen[MANY])
{
    DIR *dir = opendir(path);
    unsigned count = 0;
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        unsigned i = 0;
        if (sscanf(entry->d_name, "file%u", &i) != 1 || i >= MANY)
            continue;
        CHECK(!seen[i] && entry->d_type == DT_REG && entry->d_ino != 0);
        seen[i] = true;
        count++;
    }
    CHECK(dir && closedir(dir) == 0);
    return count;
}

TEST(large_directories_and_caches)
{
    static bool seen[MANY];
    struct stat st;
    struct utsname kernel;
    int major = 0, minor = 0;
    char name[32];
    if (!mounted_start())
        goto end;
    CHECK_INT(mkdir(at("many"), 0755), 0);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "many/file%u", i);
        CHECK_INT(mknod(at(name), S_IFREG | 0644, 0), 0);
    }
    memset(seen, 0, sizeof seen);
    CHECK_INT(count_entries(at("many"), seen), MANY);
    /* Known entries are not asked for again, nor that there is none. */
    struct counts before = ask_counts();
    CHECK_INT(stat(at("many/file77"), &st), 0);
    CHECK_INT(ask_counts().lookups, before.lookups);
    CHECK_INT(STATUS(stat(at("nothing"), &st)), -ENOENT);
    CHECK_INT(STATUS(stat(at("nothing"), &st)), -ENOENT);
    CHECK_INT(ask_counts().lookups, before.lookups + 1);
    (void)close(make_file("nothing", "x", 1)); /* and then there is one */
    CHECK_INT(stat(at("nothing"), &st), 0);
    /* Phase 1 of a lock makes the kernel forget all entries (6.16); the listing brings them back with their attributes. */
    CHECK_INT(ask_lock(1), HF_OK);
    before = ask_counts();
    CHECK_INT(stat(at("many"), &st), 0);
    if (uname(&kernel) == 0 && sscanf(kernel.release, "%d.%d", &major, &minor) == 2 && major * 1000 + minor >= 6016)
        CHECK_INT(ask_counts().lookups, before.lookups + 1);
    memset(seen, 0, sizeof seen);
    CHECK_INT(count_entries(at("many"), seen), MANY);
    before = ask_counts();
    CHECK(before.nodes > MANY);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "many/file%u", i);
        CHECK(stat(at(name), &st) == 0 && S_ISREG(st.st_mode));
    }
    CHECK_INT(ask_counts().lookups, before.lookups);
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(name, sizeof name, "many/file%u", i);
        CHECK_INT(unlink(at(name)), 0);
    }
    memset(seen, 0, sizeof seen);
    CHECK_INT(count_entries(at("many"), seen), 0);
    CHECK_INT(rmdir(at("many")), 0);
end:
    mounted_end();
}

TEST(the_tree_takes_caches_back)
{
    struct stat st;
    char bytes[6];
    if (!mounted_start())
        goto end;
    int fd = make_file("changed", "before", 6);
    (void)close(make_file("gone", "x", 1));
    CHECK(pread(fd, bytes, 6, 0) == 6 && memcmp(bytes, "before", 6) == 0);
    CHECK_INT(stat(at("gone"), &st), 0);
    CHECK_INT(ask_plain(HF_FS_SETTLE), HF_OK); /* changes both behind the kernel's back */
    CHECK(pread(fd, bytes, 6, 0) == 6 && memcmp(bytes, "cccccc", 6) == 0);
    CHECK_INT(STATUS(stat(at("gone"), &st)), -ENOENT);
    (void)close(fd);
end:
    mounted_end();
}

MOUNTED_MAIN()
