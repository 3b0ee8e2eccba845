#include "fs/sync.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "os/disk.h"

static atomic_bool has_failed;

static int through(int (*sync)(int fd), int fd)
{
    if (atomic_load(&has_failed))
        return -EIO;
    int failed = sync(fd);
    if (failed && !atomic_exchange(&has_failed, true))
        (void)fprintf(stderr, "holdfast-fs: the disk could not write what it was given: the vault is read-only; close and open it again\n");
    /* One that ended well beside one that failed may owe that to it. */
    return failed ? failed : atomic_load(&has_failed) ? -EIO : 0;
}

void hf_sync_begin(void)
{
    atomic_store(&has_failed, false);
}

int hf_sync_data(int fd)
{
    return through(hf_disk->fdatasync, fd);
}

int hf_sync_whole(int fd)
{
    return through(hf_disk->fsync, fd);
}

int hf_sync_all(int fd)
{
    return through(hf_disk->syncfs, fd);
}

bool hf_sync_has_failed(void)
{
    return atomic_load(&has_failed);
}
