/* fs/chainfile.h: a whole freshness index, read from a file, under a key that is known here; each record is sealed anew when it is mended, so that what the log's owner could
 * have written is reached, and the entries' reader (fs/fresh_log.c's visit is played by a check of its contract). Input: u8 what the head says | the file. */
#include <errno.h>

#include "crypto/wrap.h"
#include "fakering.h"
#include "fs/chainfile.h"
#include "fuzz.h"
#include "os/disk.h"
#include "os/secret.h"

enum { CLASS = 3, NO_TIP, TIP_OF_END, TIP_OF_NOTHING };
static const uint8_t *file;
static size_t file_len;
static struct hf_index_keys known;
static uint8_t end_tip[HF_INDEX_TIP_LEN];
static size_t visited;

static int open_it(int dir, const char *name, int flags, mode_t mode)
{
    (void)dir, (void)name, (void)flags, (void)mode;
    return 1000;
}

static int close_it(int fd)
{
    (void)fd;
    return 0;
}

static ssize_t read_it(int fd, void *buffer, size_t len, off_t at)
{
    (void)fd;
    size_t from = (size_t)at < file_len ? (size_t)at : file_len;
    len = len < file_len - from ? len : file_len - from;
    memcpy(buffer, file + from, len);
    return (ssize_t)len;
}

static int stat_it(int fd, struct stat *ret)
{
    (void)fd;
    *ret = (struct stat){.st_mode = S_IFREG | 0600, .st_size = (off_t)file_len};
    return 0;
}

uint32_t hf_keyring_generation(unsigned class)
{
    (void)class;
    return 1;
}

void fuzz_start(void)
{
    static struct hf_disk_ops ops;
    struct hf_error error;
    ops = hf_disk_kernel;
    ops.openat = open_it;
    ops.close = close_it;
    ops.pread = read_it;
    ops.fstat = stat_it;
    hf_disk = &ops;
    FUZZ_PROMISE(hf_secret_open(0, 8 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
    for (size_t i = 0; i < sizeof known; i++)
        ((uint8_t *)&known)[i] = (uint8_t)i;
}

static enum hf_result visit(void *arg, bool base, struct hf_span plain)
{
    (void)arg, (void)base;
    FUZZ_PROMISE(plain.len > 0 && plain.len <= HF_INDEX_RECORD_MAX);
    visited++;
    if (plain.len % HF_INDEX_ENTRY_LEN)
        return HF_DAMAGED;
    for (size_t at = 0; at < plain.len; at += HF_INDEX_ENTRY_LEN) {
        struct hf_index_entry entry;
        hf_index_entry_read(plain.data + at, &entry);
    }
    return HF_OK;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    static const uint8_t nothing[HF_INDEX_TIP_LEN] = {1};
    struct hf_chain chain;
    if (len == 0)
        return false;
    file = data + 1;
    file_len = len - 1;
    visited = 0;
    const uint8_t *tip = (data[0] & 3) == 0 ? NULL : (data[0] & 3) == 1 ? nothing : file_len > HF_INDEX_FIXED_LEN ? file + HF_INDEX_FIXED_LEN - HF_INDEX_TIP_LEN : nothing;
    bool closed = tip && data[0] & 4;
    enum hf_result result = hf_chain_load(&chain, -1, "index", CLASS, tip, closed, visit, NULL);
    FUZZ_PROMISE(result == HF_OK || result == HF_DAMAGED || result == HF_GONE || result == HF_EXISTS);
    if (result == HF_OK)
        FUZZ_PROMISE(chain.committed.number == visited && (size_t)chain.committed.at <= file_len);
    if (result == HF_OK || result == HF_EXISTS)
        hf_chain_close(&chain);
    return result == HF_OK && visited > 0;
}

/* Header and records of a file; lens: plain bytes of each record. */
static size_t build(uint8_t *out, uint32_t base, const uint32_t *lens, unsigned count)
{
    struct hf_index_header header = {.file_id = {3}, .class = CLASS, .class_generation = 1, .base_records = base};
    static uint8_t plain[8192];
    hf_index_header_encode(&header, out);
    size_t at = HF_INDEX_HEADER_LEN;
    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < lens[i]; k++)
            plain[k] = (uint8_t)(k * 11 + i);
        out[at] = (uint8_t)lens[i];
        out[at + 1] = (uint8_t)(lens[i] >> 8);
        out[at + 2] = out[at + 3] = 0;
        memcpy(out + at + 4, plain, lens[i]);
        memset(out + at + 4 + lens[i], 0, HF_INDEX_SEALED_MORE);
        at += 4 + lens[i] + HF_INDEX_SEALED_MORE;
    }
    return at;
}

/* What stands where the plain bytes would be is sealed, with the length that the record says. */
static void seal(uint8_t *bytes, size_t len)
{
    static uint8_t plain[FUZZ_MAX];
    struct hf_meta_key key;
    struct hf_span sealed;
    FUZZ_PROMISE(hf_keyring_meta(CLASS, 1, &key) == HF_OK);
    if (len < HF_INDEX_HEADER_LEN)
        return;
    hf_wrap(HF_KDF_INDEX_WRAP, key.bytes, HF_SPAN(bytes, HF_INDEX_FIXED_LEN), HF_SPAN(&known, sizeof known), bytes + HF_INDEX_FIXED_LEN);
    size_t at = HF_INDEX_HEADER_LEN;
    for (uint64_t number = 0; at < len && hf_index_record_parse(HF_SPAN(bytes + at, len - at), &sealed) == HF_OK; number++) {
        uint8_t aad[HF_INDEX_AAD_LEN];
        uint32_t plain_len = (uint32_t)(sealed.len - HF_INDEX_SEALED_MORE);
        hf_index_record_aad(bytes + 8, number, plain_len, aad);
        memcpy(plain, sealed.data, plain_len);
        hf_wrap(HF_KDF_INDEX_RECORD, known.seal, HF_SPAN_OF(aad), HF_SPAN(plain, plain_len), bytes + at + 4);
        at += 4 + sealed.len;
    }
    (void)end_tip;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static const uint32_t lens[] = {HF_INDEX_ENTRY_LEN, 2 * HF_INDEX_ENTRY_LEN, 10 * HF_INDEX_ENTRY_LEN, HF_INDEX_ENTRY_LEN, 85 * HF_INDEX_ENTRY_LEN};
    if (number > 4)
        return 0;
    out[0] = 0;
    size_t len = build(out + 1, number == 4 ? 5 : number, lens, number + 1);
    seal(out + 1, len);
    return 1 + len;
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 1)
        seal(data + 1, len - 1);
    return len;
}
