/* tests/unit/contentkit.h: what the tests of a file's content share: the disk in memory, the key channel that stands in, reading back, settling, and main. */
#ifndef HF_TEST_CONTENTKIT_H
#define HF_TEST_CONTENTKIT_H

#include "check.h"
#include "crypto/wrap.h"
#include "fakering.h"
#include "fs/content.h"
#include "fs/worker.h"
#include "os/secret.h"
#include "simdisk.h"

enum { SIZE_MAX_BYTES = 40 * 4064 };
#define WRITES_LIMIT (UINT64_C(1) << 31)

static uint8_t got[SIZE_MAX_BYTES + 4096];

static bool read_all(struct hf_content *from)
{
    size_t len = 0;
    enum hf_result result = hf_content_read(from, 0, sizeof got, got, &len);
    return CHECK_INT(result, HF_OK) && CHECK_INT(len, from->dynamic.size);
}

/* Settles until nothing is left to do. */
static void settle_fully(int fd, struct hf_content *file)
{
    bool more = true;
    for (int round = 0; more && round < 8; round++) {
        uint32_t epoch = hf_epoch;
        hf_epoch = epoch + 1;
        CHECK_INT(hf_content_before_settle(file, epoch), HF_OK);
        CHECK_INT(sim_fdatasync(fd), 0);
        hf_settled = epoch;
        CHECK_INT(hf_content_after_settle(file, &more), HF_OK);
    }
    CHECK(!more && !hf_content_pending(file));
    CHECK_INT(sim_files[fd]->now.length, hf_disk_len(file->dynamic.size));
    hf_settled = hf_epoch++; /* as a close does: the window is shut */
}

int main(void)
{
    struct hf_error error;
    hf_disk = &sim_disk;
    if (hf_secret_open(0, 1 << 20, &error) != HF_OK || hf_crypto_start() != HF_OK || hf_worker_start() != HF_OK)
        return 1;
    return check_run_all();
}

#endif
