/* The freshness index's meaning: what an entry says of a name, checks, and the tree's own changes. Source: spec/36-freshness.md [FR-1] [FR-2] [FR-3] [FR-8]. */
#include "fs/fresh.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fs/files.h"
#include "fs/fresh_part.h"
#include "fs/keyring.h"
#include "fs/settle.h"
#include "fs/sync.h"
#include "keys/wipe.h"
#include "os/disk.h"

static _Thread_local char why[200];
static _Thread_local bool believes;
static atomic_bool told; /* the log has its line */
static uint64_t believed;

/* --- what failed --- */

static int stale(const char *what)
{
    (void)snprintf(why, sizeof why, "%s", what);
    if (!atomic_exchange(&told, true))
        (void)fprintf(stderr, "holdfast-fs: something in the vault is not as it was last written: `holdfast check` names it\n"); /* no name: the log is plaintext */
    return -EIO;
}

static int stale_version(const char *part, uint32_t seen, uint32_t expected)
{
    char text[200];
    bool older = (int32_t)(seen - expected) < 0;
    (void)snprintf(text, sizeof text, "%s version seen: %u, expected: %u; probably %s", part, seen, expected,
                   older ? "put back from a backup or by a sync tool, or rolled back by someone" : "written by another copy of this vault");
    return stale(text);
}

const char *hf_fresh_why(void)
{
    return why[0] ? why : NULL;
}

void hf_fresh_forget_why(void)
{
    why[0] = '\0';
}

/* --- finding --- */

enum hf_fresh_state hf_fresh_state(void)
{
    return (enum hf_fresh_state)atomic_load_explicit(&hf_fresh_now, memory_order_relaxed);
}

bool hf_fresh_frozen(void)
{
    enum hf_fresh_state state = hf_fresh_state();
    return hf_sync_has_failed() || (state != HF_FRESH_SOUND && state != HF_FRESH_OFF && !believes);
}

uint64_t hf_fresh_believed(void)
{
    return believed;
}

void hf_fresh_believe(bool on)
{
    believes = on;
}

/* A name's place in an index, and its entry. */
struct spot {
    struct hf_fresh_index *index; /* NULL: no index judges it */
    struct hf_index_entry entry;  /* dir and name at least */
    bool there;
};

static void look(struct hf_fresh_index *index, uint64_t dir, uint64_t name, struct spot *ret)
{
    pthread_rwlock_rdlock(&hf_fresh_lock);
    const struct hf_index_entry *entry = hf_index_table_find(&index->table, dir, name);
    *ret = (struct spot){.index = index, .entry = {.dir = dir, .name = name}, .there = entry != NULL};
    if (entry)
        ret->entry = *entry;
    pthread_rwlock_unlock(&hf_fresh_lock);
}

static bool spot_in(const struct hf_node *dir, const char *backing, bool always, struct spot *ret)
{
    struct hf_fresh_index *index = &hf_fresh_indexes[always || hf_dir_class(dir) == HF_CLASS_ALWAYS ? HF_FRESH_ALWAYS : HF_FRESH_MAIN];
    memset(ret, 0, sizeof *ret);
    if (hf_fresh_state() != HF_FRESH_SOUND || !index->loaded)
        return false;
    look(index, hf_fresh_dir_key(index, hf_dir_id(dir)), hf_fresh_name_key(index, hf_dir_id(dir), backing), ret);
    return true;
}

/* Where it is, of the root's two; else where it would be. False: not judged. */
static bool spot_of(const struct hf_node *dir, const char *backing, struct spot *ret)
{
    bool main = spot_in(dir, backing, false, ret);
    if (dir->id != HF_TREE_ROOT || ret->there)
        return main;
    struct spot other;
    if (spot_in(dir, backing, true, &other) && other.there) {
        *ret = other;
        return true;
    }
    return main;
}

/* An unknown name that is to be entered: the root has two indexes for it. */
static int choose(struct hf_node *dir, const char *backing, struct spot *spot)
{
    bool always = false;
    int failed = dir && !spot->there ? hf_place_is_always(dir, dir->fd, backing, &always) : 0;
    if (always)
        (void)spot_in(dir, backing, true, spot);
    return failed;
}

/* The root's own: it has no directory. */
static bool spot_of_node(const struct hf_node *node, struct spot *ret)
{
    static const uint8_t nowhere[HF_DIR_ID_LEN];
    struct hf_fresh_index *index = &hf_fresh_indexes[HF_FRESH_ALWAYS];
    if (node->parent)
        return spot_of(node->parent, node->name, ret);
    memset(ret, 0, sizeof *ret);
    if (node->id != HF_TREE_ROOT || hf_fresh_state() != HF_FRESH_SOUND || !index->loaded)
        return false;
    look(index, hf_fresh_dir_key(index, nowhere), hf_fresh_name_key(index, nowhere, "/"), ret);
    return true;
}

static bool is_shared(const struct hf_index_entry *entry)
{
    return entry->meta == 0 && entry->content == 0;
}

static bool is_later(uint32_t seen, uint32_t expected)
{
    return (int32_t)(seen - expected) >= 0;
}

/* --- names --- */

/* The root's names under `always` that this plain name could have on disk. */
static bool find_always(struct hf_node *dir, const char *plain, struct spot *ret)
{
    struct hf_place other;
    for (uint32_t g = dir->id == HF_TREE_ROOT ? hf_keyring_generation(HF_CLASS_ALWAYS) : 0; g > 0; g--) {
        if (hf_place_always(dir, plain, g, &other) == 0 && spot_in(dir, other.backing, true, ret) && ret->there)
            return true;
    }
    return false;
}

/* FIFOs, sockets and devices: what stat shows is all there is of them. */
static bool has_no_proof(const struct stat *st)
{
    return !S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode);
}

int hf_fresh_lookup(struct hf_node *dir, const char *plain, const struct hf_place *place)
{
    struct spot spot;
    if (hf_fresh_state() != HF_FRESH_SOUND || hf_unclean || believes)
        return 0;
    bool judged = spot_of(dir, place->backing, &spot);
    if (place->exists) {
        if (judged && !spot.there)
            return stale("a name that the vault does not have: probably restored, or added by someone");
        if (judged && has_no_proof(&place->st) && spot.entry.tag != hf_fresh_other_tag(spot.index, &place->st))
            return stale("another kind of object, or another device, has this name");
        return 0;
    }
    bool missing = (judged && spot.there) || find_always(dir, plain, &spot);
    return missing ? stale("a name that the vault has is missing: removed by someone, or not restored") : 0;
}

enum hf_fresh_known hf_fresh_knows(struct hf_node *dir, const char *backing)
{
    struct spot spot;
    if (hf_unclean || !spot_of(dir, backing, &spot))
        return HF_FRESH_NOT_JUDGED;
    return spot.there ? HF_FRESH_KNOWN : HF_FRESH_UNKNOWN;
}

bool hf_fresh_is_new(struct hf_node *dir, const char *backing)
{
    struct spot spot;
    return spot_of(dir, backing, &spot) && !spot.there;
}

static uint32_t count_in(const struct hf_fresh_index *index, const struct hf_node *dir)
{
    if (!index->loaded)
        return 0;
    uint64_t key = hf_fresh_dir_key(index, hf_dir_id(dir));
    pthread_rwlock_rdlock(&hf_fresh_lock);
    uint32_t count = hf_index_table_count(&index->table, key);
    pthread_rwlock_unlock(&hf_fresh_lock);
    return count;
}

int hf_fresh_listed(struct hf_node *dir, uint32_t known)
{
    char text[100];
    uint32_t count = 0;
    if (hf_fresh_state() != HF_FRESH_SOUND || hf_unclean || believes)
        return 0;
    if (dir->id == HF_TREE_ROOT || hf_dir_class(dir) != HF_CLASS_ALWAYS)
        count = count_in(&hf_fresh_indexes[HF_FRESH_MAIN], dir);
    if (dir->id == HF_TREE_ROOT || hf_dir_class(dir) == HF_CLASS_ALWAYS)
        count += count_in(&hf_fresh_indexes[HF_FRESH_ALWAYS], dir);
    if (known >= count)
        return 0;
    (void)snprintf(text, sizeof text, "%u of its %u names are missing: removed by someone, or not restored", count - known, count);
    return stale(text);
}

/* --- files --- */

static void enter(struct spot *spot, uint32_t meta, uint32_t content, uint64_t the_tag, bool taken)
{
    believed += believes; /* one thread alone, with hf_ns */
    spot->entry.meta = meta;
    spot->entry.content = content;
    spot->entry.tag = the_tag;
    hf_fresh_enter(spot->index, &spot->entry, taken);
}

/* The versions' entry: the name's own, or the one that all names of the file share. */
static void versions_of(const struct spot *name, struct spot *ret)
{
    *ret = *name;
    if (name->there && is_shared(&name->entry))
        look(name->index, 0, name->entry.tag, ret);
}

static struct timespec time_of(uint64_t ns)
{
    int64_t signed_ns = (int64_t)ns, sec = signed_ns / 1000000000, rest = signed_ns % 1000000000;
    return (struct timespec){.tv_sec = rest < 0 ? sec - 1 : sec, .tv_nsec = rest < 0 ? rest + 1000000000 : rest};
}

void hf_fresh_ctime(const struct hf_node *file, struct stat *st)
{
    struct spot name, versions;
    uint64_t shown = file->ctime_shown, touched = file->ctime_touched, now = hf_time_ns(&st->st_ctim);
    if (atomic_load_explicit(&file->ctime_moved, memory_order_relaxed))
        return;
    if (touched == 0 && file->parent && spot_of(file->parent, file->name, &name) && name.there) {
        versions_of(&name, &versions);
        shown = versions.entry.shown;
        touched = versions.entry.touched;
    }
    if (touched != 0 && touched == now)
        st->st_ctim = time_of(shown);
}

static void keep_ctime(const struct hf_node *file, struct hf_index_entry *entry)
{
    bool moved = atomic_load_explicit(&file->ctime_moved, memory_order_relaxed);
    if (moved || file->ctime_touched != 0) {
        entry->shown = moved ? 0 : file->ctime_shown;
        entry->touched = moved ? 0 : file->ctime_touched;
    }
}

static void put_versions(struct spot *name, const struct hf_node *file, bool shared, uint32_t content, bool taken)
{
    uint64_t the_tag = hf_fresh_file_tag(name->index, file);
    uint32_t meta = (uint32_t)file->content->meta.version;
    if (meta == 0 && content == 0)
        meta = 1; /* 0 and 0 has a meaning of its own */
    if (shared) {
        struct spot common;
        look(name->index, 0, the_tag, &common);
        keep_ctime(file, &common.entry);
        enter(&common, meta, content, the_tag, taken);
        name->entry.shown = name->entry.touched = 0;
        enter(name, 0, 0, the_tag, taken);
    } else {
        keep_ctime(file, &name->entry);
        enter(name, meta, content, the_tag, taken);
    }
}

/* Where the disk cannot say, it has: what the names share serves one name as well. */
static bool has_more_names(const struct hf_node *file)
{
    struct stat st;
    return file->fd >= 0 && (hf_disk->fstat(file->fd, &st) != 0 || st.st_nlink > 1);
}

/* After an unclean stop: a change of class gives a name of the root its other form on disk, and the disk may have that without the header that belongs to it. */
static bool had_other_form(const struct hf_node *file, uint32_t *ret_content)
{
    struct hf_node *dir = file->parent;
    struct hf_place place;
    struct spot name, versions;
    char plain[256];
    bool had = false;
    if (!hf_unclean || dir->id != HF_TREE_ROOT || hf_dir_plain(dir, dir->fd, file->name, plain) != 0)
        return false;
    for (int always = 0; always < 2 && !had; always++) {
        if (hf_place_make(dir, plain, always, &place) != 0 || !spot_in(dir, place.backing, always, &name) || !name.there ||
            name.entry.tag != hf_fresh_file_tag(name.index, file))
            continue;
        versions_of(&name, &versions);
        had = versions.there && versions.entry.meta == (uint32_t)file->content->meta.version;
        *ret_content = versions.entry.content;
    }
    hf_wipe(plain, sizeof plain);
    return had;
}

int hf_fresh_bind(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN])
{
    struct spot name, versions;
    if (!file->parent || !spot_of_node(file, &name))
        return 0;
    uint32_t meta = (uint32_t)file->content->meta.version;
    bool window = hf_unclean && file->content->in_window;
    uint32_t content = (uint32_t)file->content->version;
    if (!name.there || name.entry.tag != hf_fresh_file_tag(name.index, file)) {
        /* Made, renamed or put in another's place since the last settle before an unclean stop. */
        if (believes || window || (hf_unclean && file->evidence && hf_evidence_has(file, HF_EVIDENCE_NAME, slot)) || had_other_form(file, &content)) {
            int failed = choose(file->parent, file->name, &name);
            if (!failed)
                put_versions(&name, file, has_more_names(file), content, false);
            return failed;
        }
        return stale(name.there ? "another file than the one that had this name: probably put there by someone, or restored"
                                : "a name that the vault does not have: probably restored, or added by someone");
    }
    versions_of(&name, &versions);
    if (file->content->version == 0 && versions.there) /* what unsealing is to find */
        file->content->version = versions.entry.content;
    if (versions.there && versions.entry.meta == meta)
        return 0;
    if (believes || (versions.there ? window && is_later(meta, versions.entry.meta) : hf_unclean)) {
        enter(&versions, meta, versions.there ? versions.entry.content : (uint32_t)file->content->version, name.entry.tag, false);
        return 0;
    }
    return versions.there ? stale_version("its header's", meta, versions.entry.meta) : stale("the index has no versions of this file with several names");
}

int hf_fresh_open(struct hf_node *file, uint64_t before)
{
    struct spot name, versions;
    if (!file->parent || !spot_of_node(file, &name) || !name.there)
        return 0;
    uint32_t content = (uint32_t)file->content->version;
    versions_of(&name, &versions);
    if (!versions.there)
        return 0; /* hf_fresh_bind has judged that */
    uint32_t expected = before ? (uint32_t)before : versions.entry.content;
    if (content == expected)
        return 0;
    bool unknown = hf_unclean && expected == 0; /* its name was entered by evidence alone */
    if (believes || unknown || (hf_unclean && file->content->in_window && is_later(content, expected))) {
        enter(&versions, versions.entry.meta, content, name.entry.tag, false);
        return 0;
    }
    return stale_version("its content's", content, expected);
}

void hf_fresh_put_file(struct hf_node *file, struct hf_node *dir, const char *backing, bool always)
{
    struct spot name, common;
    if (!spot_in(dir, backing, always, &name))
        return;
    look(name.index, 0, hf_fresh_file_key(name.index, file->content->header.file_id), &common);
    dir->dir.changes++;
    name.entry.shown = name.entry.touched = 0; /* another file's, if any */
    put_versions(&name, file, common.there || has_more_names(file), (uint32_t)file->content->version, false);
}

void hf_fresh_before_link(struct hf_node *file)
{
    struct spot name;
    if (!file->parent || !spot_of_node(file, &name) || !name.there || is_shared(&name.entry))
        return;
    put_versions(&name, file, true, (uint32_t)file->content->version, false);
}

/* What all names of a file share, in each index that has some of them. */
static void note_shared(const struct hf_node *file, bool taken)
{
    const struct hf_content *content = file->content;
    for (size_t i = 0; i < HF_FRESH_INDEXES; i++) {
        struct hf_fresh_index *index = &hf_fresh_indexes[i];
        struct spot common;
        if (!index->loaded)
            continue;
        look(index, 0, hf_fresh_file_key(index, content->header.file_id), &common);
        if (!common.there)
            continue;
        keep_ctime(file, &common.entry);
        enter(&common, (uint32_t)content->meta.version, (uint32_t)content->version, common.entry.tag, taken);
    }
}

static void note(struct hf_node *file, bool taken)
{
    struct spot name = {0}, common;
    if (hf_fresh_state() != HF_FRESH_SOUND || !file->content || !file->bound || file->unlinked)
        return;
    bool known = file->parent && spot_of_node(file, &name) && name.there;
    if (!known || (is_shared(&name.entry) && (file->fd < 0 || has_more_names(file)))) {
        if (known && taken) /* it may be so since the take alone */
            enter(&name, 0, 0, name.entry.tag, true);
        note_shared(file, taken);
        return;
    }
    bool was_shared = is_shared(&name.entry);
    put_versions(&name, file, false, (uint32_t)file->content->version, taken);
    if (was_shared) { /* it has this name alone again */
        look(name.index, 0, hf_fresh_file_key(name.index, file->content->header.file_id), &common);
        if (common.there)
            enter(&common, 0, 0, 0, taken);
    }
}

void hf_fresh_note(struct hf_node *file)
{
    note(file, false);
}

void hf_fresh_settled(struct hf_node *file)
{
    note(file, true);
}

/* --- directories, links, the rest --- */

int hf_fresh_dir(struct hf_node *dir)
{
    struct spot spot;
    const struct hf_dir_record *record = &dir->dir.record;
    if (!spot_of_node(dir, &spot))
        return 0;
    uint64_t the_tag = hf_fresh_tag(spot.index, 'D', HF_SPAN_OF(record->dir_id));
    bool same = spot.there && spot.entry.tag == the_tag;
    if (same && spot.entry.meta == record->version)
        return 0;
    bool window = hf_unclean && record->epoch > hf_settled && (!same || is_later(record->version, spot.entry.meta));
    if (believes || window || (dir->id == HF_TREE_ROOT && !spot.there)) {
        int failed = choose(dir->parent, dir->name, &spot);
        if (failed)
            return failed;
        enter(&spot, record->version, 0, hf_fresh_tag(spot.index, 'D', HF_SPAN_OF(record->dir_id)), false);
        return 0;
    }
    if (same)
        return stale_version("the directory's", record->version, spot.entry.meta);
    return stale(spot.there ? "another directory than the one that had this name" : "a directory that the vault does not have: probably restored, or added by someone");
}

void hf_fresh_put_dir(struct hf_node *node, struct hf_node *dir, const char *backing, bool always)
{
    struct spot spot;
    if (!spot_in(dir, backing, always, &spot))
        return;
    dir->dir.changes++;
    enter(&spot, node->dir.record.version, 0, hf_fresh_tag(spot.index, 'D', HF_SPAN_OF(node->dir.record.dir_id)), false);
}

void hf_fresh_dir_moved_on(struct hf_node *dir)
{
    struct spot spot;
    if (spot_of_node(dir, &spot) && spot.there && spot.entry.tag == hf_fresh_tag(spot.index, 'D', HF_SPAN_OF(dir->dir.record.dir_id)))
        enter(&spot, dir->dir.record.version, 0, spot.entry.tag, false);
}

int hf_fresh_link(struct hf_node *dir, const char *backing, const char *text, size_t len)
{
    struct spot spot;
    if (!spot_of(dir, backing, &spot) || (spot.there && spot.entry.tag == hf_fresh_tag(spot.index, 'L', HF_SPAN(text, len))))
        return 0;
    if (believes || hf_unclean) {
        int failed = choose(dir, backing, &spot);
        if (!failed)
            enter(&spot, 0, 0, hf_fresh_tag(spot.index, 'L', HF_SPAN(text, len)), false);
        return failed;
    }
    return stale(spot.there ? "another link than the one that had this name: probably put back or put there by someone"
                            : "a name that the vault does not have: probably restored, or added by someone");
}

void hf_fresh_put_link(struct hf_node *dir, const char *backing, bool always, const char *text, size_t len)
{
    struct spot spot;
    if (!spot_in(dir, backing, always, &spot))
        return;
    dir->dir.changes++;
    enter(&spot, 0, 0, hf_fresh_tag(spot.index, 'L', HF_SPAN(text, len)), false);
}

void hf_fresh_put_other(struct hf_node *dir, const char *backing, bool always, const struct stat *st)
{
    struct spot spot;
    if (!spot_in(dir, backing, always, &spot))
        return;
    dir->dir.changes++;
    enter(&spot, 0, 0, hf_fresh_other_tag(spot.index, st), false);
}

int hf_fresh_believe_other(struct hf_node *dir, const char *backing, const struct stat *st)
{
    struct spot spot;
    if (!spot_of(dir, backing, &spot) || (spot.there && spot.entry.tag == hf_fresh_other_tag(spot.index, st)))
        return 0;
    int failed = choose(dir, backing, &spot);
    if (!failed)
        enter(&spot, 0, 0, hf_fresh_other_tag(spot.index, st), false);
    return failed;
}

void hf_fresh_remove_missing(struct hf_node *dir, const char *plain)
{
    struct hf_place place;
    struct spot spot;
    bool there = hf_place_make(dir, plain, false, &place) == 0 && spot_of(dir, place.backing, &spot) && spot.there;
    if (there || find_always(dir, plain, &spot))
        enter(&spot, 0, 0, 0, false);
}

int hf_fresh_believe_name(struct hf_node *dir, const char *backing)
{
    struct spot spot;
    if (!spot_of(dir, backing, &spot) || spot.there)
        return 0;
    int failed = choose(dir, backing, &spot);
    if (!failed)
        enter(&spot, 0, 0, hf_fresh_tag(spot.index, 'X', HF_SPAN(NULL, 0)), false);
    return failed;
}

bool hf_fresh_is_always(struct hf_node *dir, const char *backing)
{
    struct spot spot;
    return spot_of(dir, backing, &spot) && spot.there && spot.index == &hf_fresh_indexes[HF_FRESH_ALWAYS];
}

void hf_fresh_remove(struct hf_node *dir, const char *backing)
{
    struct spot spot;
    if (!spot_of(dir, backing, &spot) || !spot.there)
        return;
    dir->dir.changes++;
    enter(&spot, 0, 0, 0, false);
}
