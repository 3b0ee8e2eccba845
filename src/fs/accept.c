#include "fs/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/class.h"
#include "fs/dirs.h"
#include "fs/errno.h"
#include "fs/fresh_part.h"
#include "fs/keyring.h"
#include "fs/scan.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "fs/treepart.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum { PATH_CAP = 4096, ENTRY_MAX = 8 + 8 + 2 + PATH_CAP };
static const char file_name[] = "accepted";
/* --- the file --- */

struct listing {
    void (*entry)(void *arg, uint64_t time, const char *path, uint64_t changed);
    void *arg;
};

static enum hf_result show(void *arg, bool base, struct hf_span plain)
{
    const struct listing *listing = arg;
    char path[PATH_CAP];
    struct hf_reader reader;
    hf_reader_init(&reader, plain);
    uint64_t at = hf_read_u64(&reader);
    uint64_t changed = hf_read_u64(&reader);
    hf_read_string(&reader, path, sizeof path);
    HF_TRY(hf_reader_end(&reader));
    if (listing->entry)
        listing->entry(listing->arg, at, path, changed);
    hf_wipe(path, sizeof path);
    return base ? HF_DAMAGED : HF_OK;
}

static struct hf_index_entry guard_of(const struct hf_fresh_index *index, const struct hf_chain *chain)
{
    struct hf_index_entry guard = {.name = hf_fresh_file_key(index, hf_fresh_nobody), .meta = (uint32_t)chain->committed.number};
    memcpy(&guard.tag, chain->committed.tip, sizeof guard.tag);
    return guard;
}

/* As it is, or, where there is none and the index knows of none, a new one. */
static enum hf_result load(struct hf_fresh_index *index, struct hf_chain *chain, struct listing *listing)
{
    uint64_t key = hf_fresh_file_key(index, hf_fresh_nobody);
    struct hf_index_entry guard = {0};
    pthread_rwlock_rdlock(&hf_fresh_lock);
    const struct hf_index_entry *found = hf_index_table_find(&index->table, 0, key);
    if (found)
        guard = *found;
    pthread_rwlock_unlock(&hf_fresh_lock);
    enum hf_result result = hf_chain_load(chain, index->chain.dir, file_name, HF_CLASS_AFTER_UNLOCK, NULL, false, show, listing);
    if (result == HF_NOT_FOUND)
        return found ? HF_DAMAGED : HF_NOT_FOUND;
    HF_TRY(result);
    struct hf_index_entry now = guard_of(index, chain);
    if (!found || (now.meta == guard.meta && now.tag == guard.tag))
        return HF_OK;
    hf_chain_close(chain);
    return HF_DAMAGED;
}

static struct hf_span nothing(void *arg)
{
    (void)arg;
    return HF_SPAN(NULL, 0);
}

/* One that was altered is begun anew; the entry says so. */
static enum hf_result write_down(const char *path, uint64_t changed)
{
    static const uint8_t none[HF_INDEX_TIP_LEN];
    struct hf_fresh_index *index = &hf_fresh_indexes[HF_FRESH_MAIN];
    struct listing listing = {0};
    struct hf_chain chain;
    uint8_t bytes[ENTRY_MAX];
    struct hf_writer writer;
    enum hf_result result = load(index, &chain, &listing);
    bool altered = result == HF_DAMAGED;
    if (altered || result == HF_NOT_FOUND) {
        HF_TRY(hf_chain_new(&chain, index->chain.dir, file_name, HF_CLASS_AFTER_UNLOCK));
        result = hf_chain_rewrite(&chain, none, 0, nothing, NULL);
    }
    if (result != HF_OK)
        return result;
    for (int i = altered ? 0 : 1; i < 2 && result == HF_OK; i++) {
        hf_writer_init(&writer, bytes, sizeof bytes);
        hf_write_u64(&writer, (uint64_t)time(NULL));
        hf_write_u64(&writer, i ? changed : 0);
        hf_write_string(&writer, i ? path : "(the record before this was altered or cut: begun anew)");
        result = hf_writer_end(&writer);
        if (result == HF_OK)
            result = hf_chain_append(&chain, hf_writer_span(&writer));
    }
    if (result == HF_OK && hf_sync_whole(chain.fd) < 0)
        result = HF_IO;
    if (result == HF_OK) {
        hf_chain_commit(&chain);
        struct hf_index_entry guard = guard_of(index, &chain);
        hf_fresh_enter(index, &guard, false);
    }
    hf_chain_close(&chain);
    hf_wipe(bytes, sizeof bytes);
    return result;
}

int hf_tree_accepted(void (*entry)(void *arg, uint64_t time, const char *path, uint64_t changed), void *arg)
{
    struct listing listing = {.entry = entry, .arg = arg};
    struct hf_chain chain;
    struct hf_fresh_index *index = &hf_fresh_indexes[HF_FRESH_MAIN];
    if (hf_fresh_state() != HF_FRESH_SOUND)
        return -EROFS;
    if (!index->loaded)
        return -ENOKEY;
    enum hf_result result = load(index, &chain, &listing);
    if (result == HF_OK)
        hf_chain_close(&chain);
    return result == HF_NOT_FOUND ? 0 : -hf_errno(result);
}

/* --- accepting --- */

/* The directory that holds the last name of the path, which stays in *name. A reference. Everything on the way is held to the index. */
static int walk_to(const char *path, struct hf_node **ret_dir, char name[256])
{
    struct hf_node *dir = hf_node_of(HF_TREE_ROOT);
    hf_node_ref(dir);
    int failed = 0;
    for (;;) {
        const char *slash = strchr(path, '/');
        size_t len = slash ? (size_t)(slash - path) : strlen(path);
        struct hf_place place;
        if (len == 0 || len > 255) {
            failed = len ? -ENAMETOOLONG : -EINVAL;
            break;
        }
        memcpy(name, path, len);
        name[len] = '\0';
        if (!slash)
            break;
        int fd = hf_dir_use(dir);
        failed = fd < 0 ? fd : hf_place_find(dir, fd, name, &place);
        if (!failed)
            failed = hf_fresh_lookup(dir, name, &place);
        if (!failed && (!place.exists || !S_ISDIR(place.st.st_mode)))
            failed = place.exists ? -ENOTDIR : -ENOENT;
        struct hf_node *below = failed ? NULL : hf_node_get(&place.st, dir, place.backing, false);
        if (!failed && !below)
            failed = -ENOMEM;
        if (fd >= 0)
            hf_dir_done(dir);
        if (failed)
            break;
        hf_node_unref(dir);
        dir = below;
        path = slash + 1;
    }
    if (failed)
        hf_node_unref(dir);
    else
        *ret_dir = dir;
    return failed;
}

static int accept_path(const char *path, struct hf_accepted *accepted)
{
    struct hf_node *dir;
    struct hf_place place;
    char name[256];
    int failed = walk_to(path, &dir, name);
    if (failed)
        return failed;
    int fd = hf_dir_use(dir);
    failed = fd < 0 ? fd : hf_place_find(dir, fd, name, &place);
    if (!failed && place.exists) {
        hf_fresh_believe(true);
        failed = hf_scan_accept_name(dir, fd, place.backing, accepted);
        hf_fresh_believe(false);
    } else if (!failed && hf_fresh_lookup(dir, name, &place) == -EIO) {
        hf_fresh_remove_missing(dir, name);
        accepted->gone++;
    } else if (!failed) {
        failed = -ENOENT;
    }
    if (fd >= 0)
        hf_dir_done(dir);
    hf_node_unref(dir);
    hf_wipe(name, sizeof name);
    return failed;
}

static int accept_all(struct hf_accepted *accepted)
{
    int failed = hf_fresh_begin_anew();
    if (failed)
        return failed;
    hf_fresh_believe(true);
    failed = hf_scan_accept(hf_node_of(HF_TREE_ROOT), true, accepted);
    hf_fresh_believe(false);
    return failed;
}

int hf_tree_accept(const char *path, uint64_t *ret_changed, uint64_t *ret_unsound)
{
    struct hf_accepted accepted = {0};
    bool all = path[0] == '\0';
    if (atomic_load(&hf_dead))
        return -EIO;
    if (!hf_tree_names_complete())
        return -ENOKEY;
    if (hf_fresh_state() == HF_FRESH_OFF)
        return -EOPNOTSUPP;
    if (!all && hf_fresh_frozen())
        return -EROFS;
    pthread_rwlock_wrlock(&hf_ns);
    int failed = all ? accept_all(&accepted) : accept_path(path, &accepted);
    if (!failed)
        failed = -hf_errno(write_down(path, accepted.changed + accepted.gone));
    pthread_rwlock_unlock(&hf_ns);
    if (failed)
        return failed;
    hf_scan(); /* what an unclean stop before has left, when it could not be looked at */
    hf_dirty(NULL);
    failed = hf_tree_settle();
    if (!failed && all)
        failed = -hf_errno(hf_keyring_head_accept());
    *ret_changed = accepted.changed + accepted.gone;
    *ret_unsound = accepted.unsound;
    return failed;
}
