/* Unit tests of os/file.h: on the real kernel, and on a disk of which one call fails. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "os/disk.h"
#include "os/file.h"
#include "tempdir.h"

TEST(file_replace_read_remove)
{
    char path[64];
    int dir = make_dir(path);
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("first", 5)), HF_OK);
    CHECK(file_is(dir, "a", "first"));
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("", 0)), HF_OK);
    CHECK(file_is(dir, "a", ""));
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("second", 6)), HF_OK);
    struct stat st;
    CHECK(fstatat(dir, "a", &st, 0) == 0 && (st.st_mode & 07777) == 0600);
    char text[6];
    size_t len = 55;
    CHECK_INT(hf_file_read(dir, "a", text, 5, &len), HF_TOO_LARGE);
    CHECK_INT(hf_file_read(dir, "b", text, 5, &len), HF_NOT_FOUND);
    CHECK_INT(len, 55);
    CHECK_INT(hf_file_read(dir, "a", text, 6, &len), HF_OK);
    CHECK_INT(len, 6);
    CHECK_INT(hf_file_remove(dir, "a", true), HF_OK);
    CHECK_INT(hf_file_remove(dir, "a", true), HF_OK);
    CHECK(faccessat(dir, "a", F_OK, 0) < 0);
    remove_dir(path, dir);
}

TEST(file_read_takes_regular_files_only)
{
    char path[64];
    int dir = make_dir(path);
    char text[8];
    size_t len;
    CHECK(mkfifoat(dir, "fifo", 0600) == 0 && mkdirat(dir, "b", 0700) == 0 && symlinkat("a", dir, "link") == 0);
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("x", 1)), HF_OK);
    CHECK_INT(hf_file_read(dir, "fifo", text, sizeof text, &len), HF_DAMAGED);
    CHECK_INT(hf_file_read(dir, "b", text, sizeof text, &len), HF_DAMAGED);
    CHECK_INT(hf_file_read(dir, "link", text, sizeof text, &len), HF_DAMAGED);
    remove_dir(path, dir);
}

TEST(file_replace_survives_leftovers_and_traps)
{
    char path[64];
    int dir = make_dir(path);
    CHECK_INT(hf_file_replace(dir, "b", HF_SPAN("victim", 6)), HF_OK);
    CHECK_INT(symlinkat("b", dir, "a.new"), 0); /* a name laid in our way must not redirect the write */
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("mine", 4)), HF_OK);
    CHECK(file_is(dir, "a", "mine") && file_is(dir, "b", "victim"));
    char name[300];
    memset(name, 'n', sizeof name);
    name[252] = '\0';
    CHECK_INT(hf_file_replace(dir, name, HF_SPAN("x", 1)), HF_TOO_LARGE);
    remove_dir(path, dir);
}

/* A disk whose call number fail_at says EIO. */
static int call_number;
static int fail_at;

static bool fails_now(void)
{
    return call_number++ == fail_at;
}

static int flaky_openat(int dir, const char *name, int flags, mode_t mode)
{
    return fails_now() ? -EIO : hf_disk_kernel.openat(dir, name, flags, mode);
}

static ssize_t flaky_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    return fails_now() ? -EIO : hf_disk_kernel.pwrite(fd, bytes, len, offset);
}

static int flaky_fsync(int fd)
{
    return fails_now() ? -EIO : hf_disk_kernel.fsync(fd);
}

static int flaky_renameat2(int old_dir, const char *old_name, int new_dir, const char *new_name, unsigned flags)
{
    return fails_now() ? -EIO : hf_disk_kernel.renameat2(old_dir, old_name, new_dir, new_name, flags);
}

static int flaky_unlinkat(int dir, const char *name, int flags)
{
    return fails_now() ? -EIO : hf_disk_kernel.unlinkat(dir, name, flags);
}

/* [KB-1] */
TEST(file_replace_with_each_call_failing)
{
    char path[64];
    int dir = make_dir(path);
    struct hf_disk_ops flaky = hf_disk_kernel;
    flaky.openat = flaky_openat;
    flaky.pwrite = flaky_pwrite;
    flaky.fsync = flaky_fsync;
    flaky.renameat2 = flaky_renameat2;
    flaky.unlinkat = flaky_unlinkat;
    enum hf_result result = HF_IO;
    int calls = 0;
    for (fail_at = 0; result != HF_OK && fail_at < 20; fail_at++, calls++) {
        CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("old", 3)), HF_OK);
        call_number = 0;
        hf_disk = &flaky;
        result = hf_file_replace(dir, "a", HF_SPAN("new", 3));
        hf_disk = &hf_disk_kernel;
        bool last_fsync_failed = result != HF_OK && call_number == fail_at + 1;
        CHECK(result == HF_OK || result == HF_IO);
        CHECK(file_is(dir, "a", result == HF_OK || last_fsync_failed ? "new" : "old"));
        CHECK(faccessat(dir, "a.new", F_OK, 0) < 0);
    }
    CHECK_INT(calls, 7); /* unlink, open, write, fsync, rename, fsync of the directory; then none fails */
    remove_dir(path, dir);
}

static int flaky_mkdirat(int dir, const char *name, mode_t mode)
{
    return fails_now() ? -EIO : hf_disk_kernel.mkdirat(dir, name, mode);
}

/* [KB-1] Names that come and go are durable when it is said that they are: the directory's fsync is the last call but for the opening. */
TEST(remove_and_dir_open_with_each_call_failing)
{
    char path[64];
    int dir = make_dir(path);
    struct hf_disk_ops flaky = hf_disk_kernel;
    flaky.openat = flaky_openat;
    flaky.fsync = flaky_fsync;
    flaky.unlinkat = flaky_unlinkat;
    flaky.mkdirat = flaky_mkdirat;
    for (int opening = 0; opening < 2; opening++) {
        enum hf_result result = HF_IO;
        int calls = 0, fd = -1;
        for (fail_at = 0; result != HF_OK && fail_at < 20; fail_at++, calls++) {
            CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("old", 3)), HF_OK);
            call_number = 0;
            hf_disk = &flaky;
            result = opening ? hf_dir_open(dir, "d", true, &fd) : hf_file_remove(dir, "a", false);
            hf_disk = &hf_disk_kernel;
            CHECK(result == HF_OK || result == HF_IO);
        }
        CHECK_INT(calls, opening ? 4 : 3); /* mkdir, fsync, open; or unlink, fsync; then none fails */
        if (fd >= 0)
            (void)close(fd);
    }
    CHECK_INT(hf_file_remove(dir, "a", false), HF_OK);
    CHECK_INT(unlinkat(dir, "d", AT_REMOVEDIR), 0);
    remove_dir(path, dir);
}

/* [ER-1] Another name of the same file shows what becomes of its bytes. */
TEST(a_wiped_file_is_zeros)
{
    char path[64];
    int dir = make_dir(path);
    uint8_t bytes[5000];
    size_t len = 0;
    memset(bytes, 's', sizeof bytes);
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN_OF(bytes)), HF_OK);
    CHECK_INT(linkat(dir, "a", dir, "b", 0), 0);
    CHECK_INT(hf_file_remove(dir, "a", true), HF_OK);
    CHECK_INT(hf_file_read(dir, "b", bytes, sizeof bytes, &len), HF_OK);
    CHECK_INT(len, sizeof bytes);
    for (size_t i = 0; i < len; i++) {
        if (!CHECK(bytes[i] == 0))
            break;
    }
    CHECK_INT(hf_file_remove(dir, "b", false), HF_OK);
    remove_dir(path, dir);
}

static ssize_t growing_pread(int fd, void *buffer, size_t len, off_t offset)
{
    ssize_t got = hf_disk_kernel.pread(fd, buffer, len, offset);
    char path[40];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = offset == 0 ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    if (again >= 0) {
        CHECK_INT(write(again, "more", 4), 4);
        (void)close(again);
    }
    return got;
}

TEST(a_file_that_grows_while_it_is_read)
{
    char path[64], text[4];
    int dir = make_dir(path);
    size_t len = 0;
    struct hf_disk_ops growing = hf_disk_kernel;
    growing.pread = growing_pread;
    CHECK_INT(hf_file_replace(dir, "a", HF_SPAN("four", 4)), HF_OK);
    hf_disk = &growing;
    CHECK_INT(hf_file_read(dir, "a", text, sizeof text, &len), HF_TOO_LARGE);
    hf_disk = &hf_disk_kernel;
    CHECK_INT(len, 0);
    remove_dir(path, dir);
}

TEST(dir_open)
{
    char path[64];
    int dir = make_dir(path);
    int fd = -1;
    CHECK_INT(hf_dir_open(dir, "b", false, &fd), HF_NOT_FOUND);
    CHECK_INT(hf_dir_open(dir, "b", true, &fd), HF_OK);
    hf_cleanup_fd(&fd);
    CHECK_INT(fd, -1);
    CHECK_INT(hf_dir_open(dir, "b", true, &fd), HF_OK);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0700);
    hf_cleanup_fd(&fd);
    CHECK_INT(symlinkat("b", dir, "link"), 0);
    CHECK_INT(hf_dir_open(dir, "link", false, &fd), HF_DAMAGED);
    CHECK_INT(hf_dir_open(dir, "link", true, &fd), HF_DAMAGED);
    remove_dir(path, dir);
}

CHECK_MAIN()
