/* A disk that can lose its power: a FUSE mount with the one file `disk`, which lies in memory; what arrives is appended to a log, in its order.
 *
 * recorder LOG BYTES IMAGE MOUNTPOINT: it begins with what the file IMAGE holds, or, "-", with zeros. A record of the log: offset u64 | length u64 | bytes; offset ~0, length 0: a flush, what came before it is durable.
 * A loop device of the file sends each of its writes here (direct_io) and its barriers as fsync. One thread: what a flush follows has been answered. */
#define FUSE_USE_VERSION 314
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char path_of_disk[] = "/disk";
static uint8_t *disk;
static uint64_t disk_len;
static int log_fd;

static int put(const void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t done = write(log_fd, (const uint8_t *)bytes + at, len - at);
        if (done < 0)
            return -EIO;
        at += (size_t)done;
    }
    return 0;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *file)
{
    (void)file;
    memset(st, 0, sizeof *st);
    if (strcmp(path, "/") == 0) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        return 0;
    }
    if (strcmp(path, path_of_disk) != 0)
        return -ENOENT;
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = 1;
    st->st_size = (off_t)disk_len;
    return 0;
}

static int on_open(const char *path, struct fuse_file_info *file)
{
    if (strcmp(path, path_of_disk) != 0)
        return -ENOENT;
    file->direct_io = 1;
    return 0;
}

static int on_read(const char *path, char *out, size_t len, off_t offset, struct fuse_file_info *file)
{
    (void)path;
    (void)file;
    uint64_t at = (uint64_t)offset;
    if (at >= disk_len)
        return 0;
    if (len > disk_len - at)
        len = (size_t)(disk_len - at);
    memcpy(out, disk + at, len);
    return (int)len;
}

static int on_write(const char *path, const char *data, size_t len, off_t offset, struct fuse_file_info *file)
{
    (void)path;
    (void)file;
    const uint64_t head[2] = {(uint64_t)offset, len};
    if (head[0] > disk_len || len > disk_len - head[0])
        return -ENOSPC;
    if (put(head, sizeof head) < 0 || put(data, len) < 0)
        return -EIO;
    memcpy(disk + offset, data, len);
    return (int)len;
}

static int on_fsync(const char *path, int data_only, struct fuse_file_info *file)
{
    (void)path;
    (void)data_only;
    (void)file;
    const uint64_t head[2] = {UINT64_MAX, 0};
    return put(head, sizeof head);
}

static bool load(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 0;
    for (uint64_t at = 0; at < disk_len && fd >= 0; at += (uint64_t)got) {
        got = read(fd, disk + at, disk_len - at);
        if (got <= 0)
            break;
    }
    if (fd >= 0)
        (void)close(fd);
    return got > 0;
}

int main(int argc, char **argv)
{
    const struct fuse_operations operations = {.getattr = on_getattr, .open = on_open, .read = on_read, .write = on_write, .fsync = on_fsync};
    if (argc != 5) {
        (void)fprintf(stderr, "usage: recorder LOG BYTES IMAGE|- MOUNTPOINT\n");
        return 2;
    }
    disk_len = strtoull(argv[2], NULL, 10);
    log_fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    disk = mmap(NULL, disk_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (log_fd < 0 || disk == MAP_FAILED) {
        perror("recorder");
        return 1;
    }
    if (strcmp(argv[3], "-") != 0 && !load(argv[3])) {
        perror("recorder: the image");
        return 1;
    }
    char *words[] = {argv[0], (char[]){"-f"}, (char[]){"-s"}, argv[4], NULL};
    return fuse_main(4, words, &operations, NULL);
}
