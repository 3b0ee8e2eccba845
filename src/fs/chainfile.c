#include "fs/chainfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "crypto/kdf.h"
#include "crypto/wrap.h"
#include "fs/keyring.h"
#include "fs/sync.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/random.h"
#include "os/secret.h"

_Static_assert(HF_INDEX_SEALED_MORE == HF_WRAP_OVERHEAD && HF_INDEX_WRAP_LEN == HF_INDEX_KEYS_LEN + HF_WRAP_OVERHEAD, "the wraps are on disk");
_Static_assert(sizeof(struct hf_index_keys) == HF_INDEX_KEYS_LEN, "keys are wrapped as they lie");

enum { RECORD_CAP = 4 + HF_INDEX_RECORD_MAX + HF_INDEX_SEALED_MORE };

static enum hf_result disk(ssize_t value)
{
    return value < 0 ? hf_result_from_errno((int)-value) : HF_OK;
}

void hf_chain_close(struct hf_chain *chain)
{
    if (chain->keys)
        hf_index_keys_wipe(chain->keys);
    hf_secret_free(&chain->keys);
    hf_cleanup_fd(&chain->fd);
}

static enum hf_result start(struct hf_chain *chain, int dir, const char *name, unsigned class)
{
    memset(chain, 0, sizeof *chain);
    chain->dir = dir;
    chain->fd = -1;
    chain->name = name;
    chain->class = class;
    chain->keys = hf_secret_alloc(sizeof *chain->keys);
    return chain->keys ? HF_OK : HF_NO_MEMORY;
}

enum hf_result hf_chain_new(struct hf_chain *chain, int dir, const char *name, unsigned class)
{
    HF_TRY(start(chain, dir, name, class));
    hf_random(chain->keys->prf, sizeof chain->keys->prf);
    return HF_OK;
}

/* --- tips --- */

static void first_tip(const struct hf_index_keys *keys, const uint8_t header[HF_INDEX_HEADER_LEN], uint8_t out[HF_INDEX_TIP_LEN])
{
    struct hf_span info = HF_SPAN(header, HF_INDEX_HEADER_LEN);
    hf_kdf(HF_KDF_INDEX_TIP, keys->seal, &info, 1, out, HF_INDEX_TIP_LEN);
}

static void next_tip(const struct hf_index_keys *keys, uint8_t tip[HF_INDEX_TIP_LEN], struct hf_span sealed)
{
    struct hf_span info[] = {HF_SPAN(tip, HF_INDEX_TIP_LEN), HF_SPAN(sealed.data + sealed.len - HF_INDEX_SEAL_TAIL, HF_INDEX_SEAL_TAIL)};
    uint8_t out[HF_INDEX_TIP_LEN];
    hf_kdf(HF_KDF_INDEX_TIP, keys->seal, info, 2, out, sizeof out);
    memcpy(tip, out, sizeof out);
}

/* --- reading --- */

static enum hf_result open_header(struct hf_chain *chain, struct hf_index_header *ret, uint8_t bytes[HF_INDEX_HEADER_LEN])
{
    struct hf_meta_key key;
    ssize_t got = hf_disk->pread(chain->fd, bytes, HF_INDEX_HEADER_LEN, 0);
    HF_TRY(disk(got));
    HF_TRY(hf_index_header_parse(HF_SPAN(bytes, (size_t)got), ret));
    if (ret->class != chain->class)
        return HF_DAMAGED;
    HF_TRY(hf_keyring_meta(ret->class, ret->class_generation, &key));
    enum hf_result result = hf_unwrap(HF_KDF_INDEX_WRAP, key.bytes, HF_SPAN(bytes, HF_INDEX_FIXED_LEN), HF_SPAN(ret->wrap, sizeof ret->wrap), (uint8_t *)chain->keys);
    hf_meta_key_wipe(&key);
    memcpy(chain->file_id, ret->file_id, sizeof chain->file_id);
    return result;
}

struct reading {
    struct hf_chain *chain;
    uint8_t *sealed, *plain;
};

/* Opens the record at the staged end and goes behind it. HF_NOT_FOUND at the end of the file. */
static enum hf_result read_record(struct reading *reading, struct hf_span *ret_plain)
{
    struct hf_chain *chain = reading->chain;
    struct hf_span sealed;
    uint8_t aad[HF_INDEX_AAD_LEN];
    ssize_t got = hf_disk->pread(chain->fd, reading->sealed, RECORD_CAP, chain->staged.at);
    HF_TRY(disk(got));
    HF_TRY(hf_index_record_parse(HF_SPAN(reading->sealed, (size_t)got), &sealed));
    uint32_t len = (uint32_t)(sealed.len - HF_INDEX_SEALED_MORE);
    hf_index_record_aad(chain->file_id, chain->staged.number, len, aad);
    HF_TRY(hf_unwrap(HF_KDF_INDEX_RECORD, chain->keys->seal, HF_SPAN_OF(aad), sealed, reading->plain));
    next_tip(chain->keys, chain->staged.tip, sealed);
    chain->staged.at += (off_t)(4 + sealed.len);
    chain->staged.number++;
    *ret_plain = HF_SPAN(reading->plain, len);
    return HF_OK;
}

static enum hf_result read_all(struct reading *reading, const struct hf_index_header *header, const uint8_t *tip, bool closed, hf_chain_visit visit, void *arg)
{
    struct hf_chain *chain = reading->chain;
    struct hf_span plain;
    for (uint32_t i = 0; i < header->base_records; i++) {
        enum hf_result result = read_record(reading, &plain);
        HF_TRY(result == HF_NOT_FOUND ? HF_DAMAGED : result);
        HF_TRY(visit(arg, true, plain));
    }
    chain->base_end = chain->staged.at;
    bool found = tip && (hf_equal_ct(tip, header->continues, HF_INDEX_TIP_LEN) || hf_equal_ct(tip, chain->staged.tip, HF_INDEX_TIP_LEN));
    while (!found) {
        enum hf_result result = read_record(reading, &plain);
        if (result == HF_NOT_FOUND)
            return tip ? HF_GONE : HF_OK;
        HF_TRY(result);
        HF_TRY(visit(arg, false, plain));
        found = tip && hf_equal_ct(tip, chain->staged.tip, HF_INDEX_TIP_LEN);
    }
    if (!closed)
        return HF_OK;
    struct hf_chain_end end = chain->staged;
    bool more = !hf_equal_ct(tip, chain->staged.tip, HF_INDEX_TIP_LEN) || read_record(reading, &plain) == HF_OK;
    chain->staged = end;
    return more ? HF_EXISTS : HF_OK;
}

static enum hf_result load(struct hf_chain *chain, const uint8_t *tip, bool closed, hf_chain_visit visit, void *arg)
{
    struct hf_index_header header;
    uint8_t bytes[HF_INDEX_HEADER_LEN];
    struct stat st;
    struct reading reading = {.chain = chain};
    chain->fd = hf_disk->openat(chain->dir, chain->name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0);
    if (chain->fd == -ELOOP || chain->fd == -EISDIR || chain->fd == -ENXIO)
        return HF_DAMAGED;
    HF_TRY(disk(chain->fd));
    HF_TRY(disk(hf_disk->fstat(chain->fd, &st)));
    if (!S_ISREG(st.st_mode))
        return HF_DAMAGED;
    HF_TRY(open_header(chain, &header, bytes));
    chain->staged = (struct hf_chain_end){.at = HF_INDEX_HEADER_LEN};
    first_tip(chain->keys, bytes, chain->staged.tip);
    reading.sealed = malloc(RECORD_CAP);
    reading.plain = malloc(HF_INDEX_RECORD_MAX);
    enum hf_result result = reading.sealed && reading.plain ? read_all(&reading, &header, tip, closed, visit, arg) : HF_NO_MEMORY;
    free(reading.sealed);
    free(reading.plain);
    chain->committed = chain->staged;
    return result;
}

enum hf_result hf_chain_load(struct hf_chain *chain, int dir, const char *name, unsigned class, const uint8_t tip[HF_INDEX_TIP_LEN], bool closed, hf_chain_visit visit,
                             void *arg)
{
    enum hf_result result = start(chain, dir, name, class);
    if (result == HF_OK)
        result = load(chain, tip, closed, visit, arg);
    if (result != HF_OK)
        hf_chain_close(chain);
    return result;
}

/* --- writing --- */

static enum hf_result put_record(struct hf_chain *chain, int fd, struct hf_chain_end *end, struct hf_span plain)
{
    uint8_t aad[HF_INDEX_AAD_LEN];
    HF_ASSERT(plain.len > 0 && plain.len <= HF_INDEX_RECORD_MAX);
    size_t whole = 4 + plain.len + HF_INDEX_SEALED_MORE;
    uint8_t *bytes = malloc(whole);
    if (!bytes)
        return HF_NO_MEMORY;
    for (unsigned i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(plain.len >> (8 * i));
    hf_index_record_aad(chain->file_id, end->number, (uint32_t)plain.len, aad);
    hf_wrap(HF_KDF_INDEX_RECORD, chain->keys->seal, HF_SPAN_OF(aad), plain, bytes + 4);
    enum hf_result result = disk(hf_disk->pwrite(fd, bytes, whole, end->at));
    if (result == HF_OK) {
        next_tip(chain->keys, end->tip, HF_SPAN(bytes + 4, whole - 4));
        end->at += (off_t)whole;
        end->number++;
    }
    free(bytes);
    return result;
}

enum hf_result hf_chain_append(struct hf_chain *chain, struct hf_span plain)
{
    if (chain->fd < 0)
        return HF_FAILED;
    if (chain->staged.at == chain->committed.at) /* what a stop or a failed settle left */
        HF_TRY(disk(hf_disk->ftruncate(chain->fd, chain->committed.at)));
    return put_record(chain, chain->fd, &chain->staged, plain);
}

void hf_chain_unstage(struct hf_chain *chain)
{
    chain->staged = chain->committed;
}

void hf_chain_commit(struct hf_chain *chain)
{
    chain->committed = chain->staged;
}

static enum hf_result put_header(struct hf_chain *chain, int fd, const uint8_t *continues, uint32_t records, struct hf_chain_end *end)
{
    struct hf_index_header header = {.class = (uint8_t)chain->class, .class_generation = hf_keyring_generation(chain->class), .base_records = records};
    struct hf_meta_key key;
    uint8_t bytes[HF_INDEX_HEADER_LEN];
    if (header.class_generation == 0)
        return HF_LOCKED;
    memcpy(header.file_id, chain->file_id, sizeof header.file_id);
    memcpy(header.continues, continues, sizeof header.continues);
    hf_index_header_encode(&header, bytes);
    HF_TRY(hf_keyring_meta(chain->class, header.class_generation, &key));
    hf_wrap(HF_KDF_INDEX_WRAP, key.bytes, HF_SPAN(bytes, HF_INDEX_FIXED_LEN), HF_SPAN((const uint8_t *)chain->keys, HF_INDEX_KEYS_LEN), header.wrap);
    hf_meta_key_wipe(&key);
    hf_index_header_encode(&header, bytes);
    HF_TRY(disk(hf_disk->pwrite(fd, bytes, sizeof bytes, 0)));
    *end = (struct hf_chain_end){.at = HF_INDEX_HEADER_LEN};
    first_tip(chain->keys, bytes, end->tip);
    return HF_OK;
}

static enum hf_result write_new(struct hf_chain *chain, int fd, const uint8_t *continues, uint32_t records, struct hf_span (*next)(void *arg), void *arg,
                                struct hf_chain_end *end)
{
    HF_TRY(put_header(chain, fd, continues, records, end));
    for (uint32_t i = 0; i < records; i++) {
        struct hf_span plain = next(arg);
        HF_TRY(put_record(chain, fd, end, plain));
    }
    return disk(hf_sync_whole(fd));
}

enum hf_result hf_chain_rewrite(struct hf_chain *chain, const uint8_t continues[HF_INDEX_TIP_LEN], uint32_t records, struct hf_span (*next)(void *arg), void *arg)
{
    char temporary[64];
    struct hf_chain_end end;
    struct hf_chain before = *chain;
    struct hf_index_keys *old = hf_secret_alloc(sizeof *old);
    if (!old)
        return HF_NO_MEMORY;
    *old = *chain->keys;
    (void)snprintf(temporary, sizeof temporary, "%s.new", chain->name);
    (void)hf_disk->unlinkat(chain->dir, temporary, 0);
    int fd = hf_disk->openat(chain->dir, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    enum hf_result result = disk(fd);
    hf_random(chain->file_id, sizeof chain->file_id);
    hf_random(chain->keys->seal, sizeof chain->keys->seal);
    if (result == HF_OK)
        result = write_new(chain, fd, continues, records, next, arg, &end);
    if (result == HF_OK) {
        int renamed = hf_disk->renameat2(chain->dir, temporary, chain->dir, chain->name, 0);
        if (renamed == -EISDIR && hf_disk->unlinkat(chain->dir, chain->name, AT_REMOVEDIR) == 0) /* somebody's folder in its place */
            renamed = hf_disk->renameat2(chain->dir, temporary, chain->dir, chain->name, 0);
        result = disk(renamed);
    }
    if (result == HF_OK) { /* from here on the name is the new file's, whatever its sync says: the caller's settle fails then, and its next one writes anew */
        hf_cleanup_fd(&chain->fd);
        chain->fd = fd;
        chain->committed = chain->staged = end;
        chain->base_end = end.at;
        result = disk(hf_sync_whole(chain->dir));
    } else {
        if (fd >= 0) {
            (void)hf_disk->close(fd);
            (void)hf_disk->unlinkat(chain->dir, temporary, 0);
        }
        memcpy(chain->file_id, before.file_id, sizeof chain->file_id);
        *chain->keys = *old;
    }
    hf_index_keys_wipe(old);
    hf_secret_free(&old);
    return result;
}
