/* The freshness index between memory and disk: loading, the settle's part, walks that fill it anew. Source: spec/36-freshness.md [FR-4] [FR-6] [FR-7] [FR-8] [FR-15]. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/class.h"
#include "fs/errno.h"
#include "fs/fresh_part.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "keys/wipe.h"
#include "os/disk.h"
#include "proto/keys.h"

enum { LOG_FREE = 1 << 20 /* a log this short is never too long */ };

struct hf_fresh_index hf_fresh_indexes[HF_FRESH_INDEXES];
pthread_rwlock_t hf_fresh_lock = PTHREAD_RWLOCK_INITIALIZER;
_Atomic int hf_fresh_now;

static const struct {
    const char *name;
    unsigned class;
} files[HF_FRESH_INDEXES] = {{"index", HF_CLASS_AFTER_UNLOCK}, {"index-always", HF_CLASS_ALWAYS}};
static int folder = -1; /* .holdfast */
const uint8_t hf_fresh_nobody[HF_FILE_ID_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static bool head_is_older; /* then no index is looked at */
static uint8_t untended[HF_INDEX_TIP_LEN]; /* the head's word for "mounted without" */

/* --- changes --- */

static void change_add(struct hf_fresh_changes *changes, const struct hf_index_entry *entry)
{
    if (changes->len == changes->cap && !changes->lost) {
        size_t cap = changes->cap * 2 + 64;
        struct hf_index_entry *more = realloc(changes->list, cap * sizeof *more);
        changes->lost = !more;
        if (more) {
            changes->list = more;
            changes->cap = cap;
        }
    }
    if (!changes->lost)
        changes->list[changes->len++] = *entry;
}

static void changes_clear(struct hf_fresh_changes *changes)
{
    free(changes->list);
    memset(changes, 0, sizeof *changes);
}

void hf_fresh_enter(struct hf_fresh_index *index, const struct hf_index_entry *entry, bool taken)
{
    struct hf_fresh_changes *changes = taken ? &index->taken : &index->pending;
    pthread_rwlock_wrlock(&hf_fresh_lock);
    if (hf_index_table_apply(&index->table, entry) != HF_OK)
        index->torn = true;
    if (taken && index->snapshot.slots)
        changes->lost = hf_index_table_apply(&index->snapshot, entry) != HF_OK || changes->lost;
    else
        change_add(changes, entry);
    pthread_rwlock_unlock(&hf_fresh_lock);
}

int hf_fresh_room(size_t more)
{
    enum { MOST = 16 }; /* an exchange of two files with several names: four names, two directories' counts, two entries of versions */
    bool has = true;
    enum hf_result result = HF_OK;
    pthread_rwlock_rdlock(&hf_fresh_lock);
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++)
        has = has && (!hf_fresh_indexes[i].loaded || hf_index_table_has_room(&hf_fresh_indexes[i].table, MOST + more));
    pthread_rwlock_unlock(&hf_fresh_lock);
    if (has)
        return 0;
    pthread_rwlock_wrlock(&hf_fresh_lock);
    for (size_t i = 0; i < HF_FRESH_INDEXES && result == HF_OK; i++) {
        if (hf_fresh_indexes[i].loaded)
            result = hf_index_table_room(&hf_fresh_indexes[i].table, MOST + more);
    }
    pthread_rwlock_unlock(&hf_fresh_lock);
    return -hf_errno(result);
}

static bool judges(const struct hf_fresh_index *index)
{
    return hf_fresh_state() == HF_FRESH_SOUND && index->loaded;
}

/* --- loading --- */

static enum hf_result visit(void *arg, bool base, struct hf_span plain)
{
    struct hf_fresh_index *index = arg;
    struct hf_index_entry entry;
    struct stat st;
    if (plain.len % HF_INDEX_ENTRY_LEN != 0)
        return HF_DAMAGED;
    if (index->table.cap == 0 && hf_disk->fstat(index->chain.fd, &st) == 0)
        HF_TRY(hf_index_table_reserve(&index->table, (size_t)st.st_size / HF_INDEX_ENTRY_LEN));
    for (size_t at = 0; at < plain.len; at += HF_INDEX_ENTRY_LEN) {
        hf_index_entry_read(plain.data + at, &entry);
        HF_TRY(base ? hf_index_table_put(&index->table, &entry) : hf_index_table_apply(&index->table, &entry));
    }
    return HF_OK;
}

static enum hf_result make_new(size_t i)
{
    struct hf_fresh_index *index = &hf_fresh_indexes[i];
    hf_index_table_free(&index->table);
    if (index->chain.keys)
        hf_chain_close(&index->chain);
    HF_TRY(hf_chain_new(&index->chain, folder, files[i].name, files[i].class));
    index->torn = false;
    index->loaded = index->rewrite = true;
    return HF_OK;
}

/* HF_LOCKED: its time has not come. What is wrong with the index itself becomes the state. */
static enum hf_result load(size_t i)
{
    static const uint8_t never[HF_INDEX_TIP_LEN];
    struct hf_fresh_index *index = &hf_fresh_indexes[i];
    enum hf_result result = HF_OK;
    if (index->loaded || hf_fresh_state() == HF_FRESH_OFF || (hf_fresh_state() == HF_FRESH_OLDER && head_is_older))
        return HF_OK;
    if (hf_equal_ct(index->head_tip, untended, sizeof untended)) {
        atomic_store(&hf_fresh_now, HF_FRESH_UNTENDED);
        return HF_OK;
    }
    if (hf_equal_ct(index->head_tip, never, sizeof never))
        result = make_new(i);
    else
        result = hf_chain_load(&index->chain, folder, files[i].name, files[i].class, index->head_tip, !hf_unclean, visit, index);
    if (result == HF_OK) {
        index->loaded = true;
        memcpy(index->prf, index->chain.keys->prf, sizeof index->prf);
        return HF_OK;
    }
    hf_index_table_free(&index->table);
    if (result != HF_NOT_FOUND && result != HF_DAMAGED && result != HF_GONE && result != HF_EXISTS)
        return result;
    bool older = result == HF_GONE || result == HF_EXISTS;
    atomic_store(&hf_fresh_now, older ? HF_FRESH_OLDER : HF_FRESH_LOST);
    (void)fprintf(stderr, "holdfast-fs: .holdfast/%s %s: the vault is read-only until `holdfast accept VAULT --all`\n", files[i].name,
                  result == HF_GONE ? "is older than the vault's head (put back?)" : result == HF_EXISTS ? "is newer than the vault's head (that was put back?)"
                  : result == HF_NOT_FOUND ? "is missing" : "is damaged");
    return HF_OK;
}

enum hf_result hf_fresh_start(int root_fd, const uint8_t tips[2 * HF_INDEX_TIP_LEN], uint8_t age, bool off, struct hf_error *error)
{
    memset(untended, 0xff, sizeof untended);
    folder = hf_disk->openat(root_fd, ".holdfast", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    atomic_store(&hf_fresh_now, off ? HF_FRESH_OFF : HF_FRESH_SOUND);
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++)
        memcpy(hf_fresh_indexes[i].head_tip, tips + i * HF_INDEX_TIP_LEN, HF_INDEX_TIP_LEN);
    if (folder < 0 && !off)
        return hf_fail(error, HF_DAMAGED, "the vault's directory .holdfast cannot be opened: %s", strerror(-folder));
    if (age != HF_HEAD_NEWEST && !off) { /* [FR-12] an index that is as old as its head proves nothing */
        head_is_older = true;
        atomic_store(&hf_fresh_now, HF_FRESH_OLDER);
        (void)fprintf(stderr, "holdfast-fs: %s: the vault is read-only until `holdfast accept VAULT --all`\n",
                      age == HF_HEAD_OLDER ? "the whole vault (.holdfast/head) is older than the TPM counts: a copy or backup was put back, or the vault was changed from another copy"
                                           : "the TPM's counter of .holdfast/head is gone or replaced: nobody can say whether the vault is the newest");
        return HF_OK;
    }
    enum hf_result result = load(HF_FRESH_ALWAYS);
    if (result == HF_OK)
        result = hf_fresh_unlock();
    return result == HF_OK ? HF_OK : hf_fail(error, result, "the freshness index (.holdfast/index) cannot be read: %s", hf_result_text(result));
}

enum hf_result hf_fresh_unlock(void)
{
    enum hf_result result = load(HF_FRESH_MAIN);
    return result == HF_LOCKED ? HF_OK : result;
}

/* What is not settled stays, and its keys with it: they open nothing but the index. */
void hf_fresh_forget(void)
{
    struct hf_fresh_index *index = &hf_fresh_indexes[HF_FRESH_MAIN];
    if (!judges(index) || hf_unclean || index->rewrite || index->pending.len + index->taken.len > 0 || index->pending.lost || index->taken.lost)
        return;
    pthread_rwlock_wrlock(&hf_fresh_lock);
    hf_chain_close(&index->chain);
    hf_index_table_free(&index->table);
    hf_index_table_free(&index->snapshot);
    hf_index_table_free(&index->seen);
    hf_wipe(index->prf, sizeof index->prf);
    index->loaded = false;
    pthread_rwlock_unlock(&hf_fresh_lock);
}

int hf_fresh_begin_anew(void)
{
    if (hf_fresh_state() == HF_FRESH_OFF)
        return -EOPNOTSUPP;
    if (hf_fresh_state() == HF_FRESH_SOUND)
        return 0;
    enum hf_result result = HF_OK;
    for (size_t i = 0; i < HF_FRESH_INDEXES && result == HF_OK; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        result = make_new(i);
        if (result == HF_OK)
            memcpy(index->prf, index->chain.keys->prf, sizeof index->prf);
    }
    if (result == HF_OK)
        atomic_store(&hf_fresh_now, HF_FRESH_SOUND);
    return -hf_errno(result);
}

uint64_t hf_fresh_entries(void)
{
    pthread_rwlock_rdlock(&hf_fresh_lock);
    uint64_t entries = hf_fresh_indexes[HF_FRESH_MAIN].table.len + hf_fresh_indexes[HF_FRESH_ALWAYS].table.len;
    pthread_rwlock_unlock(&hf_fresh_lock);
    return entries;
}

/* --- the settle's part --- */

static int take(struct hf_fresh_index *index)
{
    if (index->torn)
        return -ENOMEM;
    for (size_t i = 0; i < index->pending.len; i++)
        change_add(&index->taken, &index->pending.list[i]);
    bool long_ = index->chain.committed.at > 2 * index->chain.base_end + LOG_FREE && hf_keyring_generation(index->chain.class) != 0;
    index->rewrite = index->rewrite || long_ || index->pending.lost || index->taken.lost;
    changes_clear(&index->pending);
    hf_index_table_free(&index->snapshot);
    if (!index->rewrite)
        return 0;
    changes_clear(&index->taken); /* the copy has them */
    return -hf_errno(hf_index_table_copy(&index->table, &index->snapshot));
}

int hf_fresh_take(void)
{
    int failed = 0;
    pthread_rwlock_wrlock(&hf_fresh_lock);
    for (size_t i = 0; i < HF_FRESH_INDEXES && !failed; i++)
        failed = judges(&hf_fresh_indexes[i]) ? take(&hf_fresh_indexes[i]) : 0;
    pthread_rwlock_unlock(&hf_fresh_lock);
    return failed;
}

static size_t encode(const struct hf_index_entry *entries, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++)
        hf_index_entry_write(&entries[i], out + i * HF_INDEX_ENTRY_LEN);
    return count * HF_INDEX_ENTRY_LEN;
}

static enum hf_result append(struct hf_fresh_index *index)
{
    const struct hf_fresh_changes *changes = &index->taken;
    uint8_t *bytes = malloc(HF_INDEX_RECORD_MAX);
    enum hf_result result = !bytes || changes->lost ? HF_NO_MEMORY : HF_OK;
    hf_chain_unstage(&index->chain);
    for (size_t at = 0; at < changes->len && result == HF_OK; at += HF_INDEX_ENTRIES_MAX) {
        size_t count = changes->len - at < HF_INDEX_ENTRIES_MAX ? changes->len - at : HF_INDEX_ENTRIES_MAX;
        result = hf_chain_append(&index->chain, HF_SPAN(bytes, encode(changes->list + at, count, bytes)));
    }
    free(bytes);
    return result;
}

/* Only this thread reads or changes `taken` after the headers are written. */
int hf_fresh_append(void)
{
    enum hf_result result = HF_OK;
    for (size_t i = 0; i < HF_FRESH_INDEXES && result == HF_OK; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        if (judges(index) && !index->rewrite && index->taken.len + index->taken.lost > 0)
            result = append(index);
    }
    return -hf_errno(result);
}

struct base {
    const struct hf_index_table *table;
    size_t at;
    uint8_t *bytes;
};

static struct hf_span next_base(void *arg)
{
    struct base *base = arg;
    size_t len = 0;
    for (; base->at < base->table->cap && len < HF_INDEX_RECORD_MAX; base->at++) {
        const struct hf_index_entry *entry = &base->table->slots[base->at];
        if (entry->dir == 0 && entry->name == 0)
            continue;
        hf_index_entry_write(entry, base->bytes + len);
        len += HF_INDEX_ENTRY_LEN;
    }
    return HF_SPAN(base->bytes, len);
}

static enum hf_result rewrite(struct hf_fresh_index *index)
{
    struct base base = {.table = &index->snapshot, .bytes = malloc(HF_INDEX_RECORD_MAX)};
    if (!base.bytes || index->taken.lost) {
        free(base.bytes);
        return HF_NO_MEMORY;
    }
    uint32_t records = (uint32_t)((index->snapshot.len + HF_INDEX_ENTRIES_MAX - 1) / HF_INDEX_ENTRIES_MAX);
    enum hf_result result = hf_chain_rewrite(&index->chain, index->head_tip, records, next_base, &base);
    free(base.bytes);
    return result;
}

int hf_fresh_rewrite(uint8_t ret_tips[2 * HF_INDEX_TIP_LEN])
{
    enum hf_result result = HF_OK;
    for (size_t i = 0; i < HF_FRESH_INDEXES && result == HF_OK; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        if (judges(index) && index->rewrite)
            result = rewrite(index);
        const uint8_t *tip = judges(index) ? index->chain.staged.tip : hf_fresh_state() == HF_FRESH_OFF ? untended : index->head_tip;
        memcpy(ret_tips + i * HF_INDEX_TIP_LEN, tip, HF_INDEX_TIP_LEN);
    }
    return -hf_errno(result);
}

void hf_fresh_advanced(bool moved)
{
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        if (!judges(index))
            continue;
        pthread_rwlock_wrlock(&hf_fresh_lock);
        if (moved) {
            hf_chain_commit(&index->chain);
            memcpy(index->head_tip, index->chain.committed.tip, sizeof index->head_tip);
            changes_clear(&index->taken);
            index->rewrite = false;
        } else {
            hf_chain_unstage(&index->chain);
        }
        hf_index_table_free(&index->snapshot);
        pthread_rwlock_unlock(&hf_fresh_lock);
    }
}

/* --- walks --- */

static void see(struct hf_fresh_index *index, uint64_t dir, uint64_t name)
{
    const struct hf_index_entry entry = {.dir = dir, .name = name, .tag = 1};
    if (hf_index_table_put(&index->seen, &entry) != HF_OK)
        index->pending.lost = true; /* seen at the end: then nothing is taken out */
}

void hf_fresh_walk_begin(void)
{
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++)
        hf_index_table_free(&hf_fresh_indexes[i].seen);
}

void hf_fresh_walk_dir(const struct hf_node *dir)
{
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++) {
        if (judges(&hf_fresh_indexes[i]))
            see(&hf_fresh_indexes[i], hf_fresh_dir_key(&hf_fresh_indexes[i], hf_dir_id(dir)), 0);
    }
}

void hf_fresh_walk_name(const struct hf_node *dir, const char *backing)
{
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        if (judges(index) && (dir->id == HF_TREE_ROOT || (hf_dir_class(dir) == HF_CLASS_ALWAYS) == (i == HF_FRESH_ALWAYS)))
            see(index, hf_fresh_dir_key(index, hf_dir_id(dir)), hf_fresh_name_key(index, hf_dir_id(dir), backing));
    }
}

void hf_fresh_walk_file(const struct hf_node *file)
{
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++) {
        if (judges(&hf_fresh_indexes[i]))
            see(&hf_fresh_indexes[i], 0, hf_fresh_file_key(&hf_fresh_indexes[i], file->content->header.file_id));
    }
}

/* The root's own entry is no name in a directory. */
static bool is_root(const struct hf_fresh_index *index, const struct hf_index_entry *entry)
{
    static const uint8_t nowhere[HF_DIR_ID_LEN];
    return entry->dir == hf_fresh_dir_key(index, nowhere);
}

static int take_out(struct hf_fresh_index *index, bool all, uint64_t *gone)
{
    struct hf_fresh_changes unseen = {0};
    enum hf_result result = HF_OK;
    const uint64_t guard = hf_fresh_file_key(index, hf_fresh_nobody);
    pthread_rwlock_wrlock(&hf_fresh_lock);
    for (size_t i = 0; i < index->table.cap; i++) {
        const struct hf_index_entry *entry = &index->table.slots[i];
        bool shared = entry->dir == 0 && entry->name != 0;
        if (entry->name == 0 || is_root(index, entry) || (shared && entry->name == guard) || hf_index_table_find(&index->seen, entry->dir, entry->name))
            continue;
        if (all || (!shared && hf_index_table_find(&index->seen, entry->dir, 0)))
            change_add(&unseen, entry);
    }
    for (size_t i = 0; i < unseen.len && result == HF_OK && !unseen.lost; i++) {
        *gone += unseen.list[i].dir != 0;
        unseen.list[i].meta = unseen.list[i].content = 0;
        unseen.list[i].tag = 0;
        result = hf_index_table_apply(&index->table, &unseen.list[i]);
    }
    index->rewrite = true;
    pthread_rwlock_unlock(&hf_fresh_lock);
    bool lost = unseen.lost;
    changes_clear(&unseen);
    return lost ? -ENOMEM : -hf_errno(result);
}

int hf_fresh_walk_end(enum hf_fresh_walked walked, uint64_t *ret_gone)
{
    int failed = 0;
    *ret_gone = 0;
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        if (walked != HF_FRESH_WALK_NOTHING && !failed && judges(index))
            failed = index->pending.lost || index->torn ? -ENOMEM : take_out(index, walked == HF_FRESH_WALK_ALL, ret_gone);
        hf_index_table_free(&index->seen);
    }
    return failed;
}
