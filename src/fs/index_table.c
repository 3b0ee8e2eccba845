#include "fs/index_table.h"

#include <stdlib.h>
#include <string.h>

enum { CAP_MIN = 256, FULL_PERCENT = 80 };

/* Keys are a PRF's output: their bits need no mixing. */
static size_t home(const struct hf_index_table *table, uint64_t dir, uint64_t name)
{
    return (size_t)(((unsigned __int128)(dir ^ name) * table->cap) >> 64);
}

static bool is_free(const struct hf_index_entry *slot)
{
    return slot->dir == 0 && slot->name == 0;
}

static size_t after(const struct hf_index_table *table, size_t at)
{
    return at + 1 == table->cap ? 0 : at + 1;
}

/* The entry's slot, or the free one where it belongs. cap > len. */
static struct hf_index_entry *slot_of(const struct hf_index_table *table, uint64_t dir, uint64_t name)
{
    size_t at = home(table, dir, name);
    while (!is_free(&table->slots[at]) && (table->slots[at].dir != dir || table->slots[at].name != name))
        at = after(table, at);
    return &table->slots[at];
}

static enum hf_result resize(struct hf_index_table *table, size_t cap)
{
    struct hf_index_table fresh = {.cap = cap, .len = table->len};
    fresh.slots = calloc(cap, sizeof *fresh.slots);
    if (!fresh.slots)
        return HF_NO_MEMORY;
    for (size_t i = 0; i < table->cap; i++) {
        if (!is_free(&table->slots[i]))
            *slot_of(&fresh, table->slots[i].dir, table->slots[i].name) = table->slots[i];
    }
    free(table->slots);
    *table = fresh;
    return HF_OK;
}

enum hf_result hf_index_table_reserve(struct hf_index_table *table, size_t len)
{
    if (len > SIZE_MAX / 100 / sizeof *table->slots)
        return HF_TOO_LARGE;
    size_t cap = len * 100 / FULL_PERCENT + CAP_MIN;
    return cap > table->cap ? resize(table, cap) : HF_OK;
}

const struct hf_index_entry *hf_index_table_find(const struct hf_index_table *table, uint64_t dir, uint64_t name)
{
    if (table->cap == 0)
        return NULL;
    const struct hf_index_entry *slot = slot_of(table, dir, name);
    return is_free(slot) ? NULL : slot;
}

bool hf_index_table_has_room(const struct hf_index_table *table, size_t more)
{
    return (table->len + more) * 100 <= table->cap * FULL_PERCENT;
}

enum hf_result hf_index_table_room(struct hf_index_table *table, size_t more)
{
    if (hf_index_table_has_room(table, more) || resize(table, (table->len + more) * 7 / 4 + CAP_MIN) == HF_OK || table->len + more < table->cap)
        return HF_OK;
    return HF_NO_MEMORY;
}

/* What lies behind the hole and may move into it does, so that every probe still finds its entry. */
static void take_away(struct hf_index_table *table, struct hf_index_entry *slot)
{
    size_t hole = (size_t)(slot - table->slots);
    for (size_t at = after(table, hole); !is_free(&table->slots[at]); at = after(table, at)) {
        size_t from = home(table, table->slots[at].dir, table->slots[at].name);
        bool stays = hole < at ? from > hole && from <= at : from > hole || from <= at;
        if (stays)
            continue;
        table->slots[hole] = table->slots[at];
        hole = at;
    }
    memset(&table->slots[hole], 0, sizeof table->slots[hole]);
    table->len--;
}

enum hf_result hf_index_table_put(struct hf_index_table *table, const struct hf_index_entry *entry)
{
    if (is_free(entry))
        return HF_DAMAGED;
    if (!hf_index_entry_removes(entry))
        HF_TRY(hf_index_table_room(table, 1));
    else if (table->cap == 0)
        return HF_OK;
    struct hf_index_entry *slot = slot_of(table, entry->dir, entry->name);
    bool there = !is_free(slot);
    if (!hf_index_entry_removes(entry)) {
        *slot = *entry;
        table->len += !there;
    } else if (there) {
        take_away(table, slot);
    }
    return HF_OK;
}

uint32_t hf_index_table_count(const struct hf_index_table *table, uint64_t dir)
{
    const struct hf_index_entry *count = hf_index_table_find(table, dir, 0);
    return count ? count->meta : 0;
}

enum hf_result hf_index_table_apply(struct hf_index_table *table, const struct hf_index_entry *entry)
{
    if (entry->dir == 0 || entry->name == 0)
        return hf_index_table_put(table, entry);
    bool before = hf_index_table_find(table, entry->dir, entry->name) != NULL, later = !hf_index_entry_removes(entry);
    struct hf_index_entry count = {.dir = entry->dir, .meta = hf_index_table_count(table, entry->dir)};
    if (later && !before)
        count.meta++;
    else if (!later && before && count.meta > 0)
        count.meta--;
    HF_TRY(hf_index_table_put(table, entry));
    return later != before ? hf_index_table_put(table, &count) : HF_OK;
}

enum hf_result hf_index_table_copy(const struct hf_index_table *table, struct hf_index_table *ret)
{
    struct hf_index_table copy = *table;
    copy.slots = malloc(table->cap * sizeof *copy.slots + 1);
    if (!copy.slots)
        return HF_NO_MEMORY;
    if (table->cap > 0)
        memcpy(copy.slots, table->slots, table->cap * sizeof *copy.slots);
    *ret = copy;
    return HF_OK;
}

void hf_index_table_free(struct hf_index_table *table)
{
    free(table->slots);
    memset(table, 0, sizeof *table);
}
