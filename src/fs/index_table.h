/* fs/index_table.h: the freshness index in memory: one flat table, linear probing, 48 bytes a slot, between 57 and 80 of 100 slots in use when it has grown.
 *
 * Not thread-safe: fresh.c holds its lock. Entries are those of format/indexlog.h. */
#ifndef HF_FS_INDEX_TABLE_H
#define HF_FS_INDEX_TABLE_H

#include <stddef.h>

#include "format/indexlog.h"

struct hf_index_table {
    struct hf_index_entry *slots;
    size_t cap, len;
};

/* Room for len entries without growing. */
HF_MUST_USE enum hf_result hf_index_table_reserve(struct hf_index_table *table, size_t len);
/* Room for so many more, all in all; without memory the table gets fuller first: slower, not wrong. */
HF_MUST_USE enum hf_result hf_index_table_room(struct hf_index_table *table, size_t more);
bool hf_index_table_has_room(const struct hf_index_table *table, size_t more);
/* NULL: not there. Valid until the next change. */
const struct hf_index_entry *hf_index_table_find(const struct hf_index_table *table, uint64_t dir, uint64_t name);
/* Sets the entry as it is, or takes it away when it says so. Refuses one that names nothing (HF_DAMAGED). */
HF_MUST_USE enum hf_result hf_index_table_put(struct hf_index_table *table, const struct hf_index_entry *entry);
/* As put, and counts names in their directory's entry. */
HF_MUST_USE enum hf_result hf_index_table_apply(struct hf_index_table *table, const struct hf_index_entry *entry);
uint32_t hf_index_table_count(const struct hf_index_table *table, uint64_t dir);
HF_MUST_USE enum hf_result hf_index_table_copy(const struct hf_index_table *table, struct hf_index_table *ret);
void hf_index_table_free(struct hf_index_table *table);

#endif
