/* tests/unit/tempdir.h: a directory to work in, for tests of src/os. */
#ifndef HF_TESTS_UNIT_TEMPDIR_H
#define HF_TESTS_UNIT_TEMPDIR_H

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "os/file.h"

/* A fresh directory, opened; its path in path (which holds 64 bytes). */
static inline int make_dir(char *path)
{
    (void)strcpy(path, "/tmp/hf-test-os-XXXXXX");
    if (!mkdtemp(path))
        abort();
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

static inline void remove_dir(const char *path, int fd)
{
    static const char *const names[] = {"a", "a.new", "b", "c", "s", "link", "fifo", "fd"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)unlinkat(fd, names[i], 0);
        (void)unlinkat(fd, names[i], AT_REMOVEDIR);
    }
    (void)close(fd);
    CHECK_INT(rmdir(path), 0);
}

static inline bool file_is(int dir, const char *name, const char *wanted)
{
    char text[64];
    size_t len = 0;
    return hf_file_read(dir, name, text, sizeof text, &len) == HF_OK && len == strlen(wanted) && memcmp(text, wanted, len) == 0;
}

#endif
