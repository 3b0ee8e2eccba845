/* fs/fresh_part.h: inside fresh*.c alone: the two indexes and the changes that wait for their settle. */
#ifndef HF_FS_FRESH_PART_H
#define HF_FS_FRESH_PART_H

#include <pthread.h>

#include "fs/chainfile.h"
#include "fs/fresh.h"
#include "fs/index_table.h"

enum { HF_FRESH_MAIN, HF_FRESH_ALWAYS, HF_FRESH_INDEXES };

struct hf_fresh_changes {
    struct hf_index_entry *list;
    size_t len, cap;
    bool lost; /* one found no memory: the index is to be written anew */
};

struct hf_fresh_index {
    bool loaded;
    uint8_t prf[16];
    struct hf_chain chain;
    struct hf_index_table table;
    bool torn; /* an entry found no room in the table: no settle takes it, nothing is written from it */
    struct hf_fresh_changes pending, taken; /* since the last take; of the settle under way or of one that failed */
    bool rewrite;
    struct hf_index_table snapshot; /* the table at the take, when it is to be written anew, and what the settle adds */
    uint8_t head_tip[HF_INDEX_TIP_LEN];
    struct hf_index_table seen; /* by a walk */
};

extern struct hf_fresh_index hf_fresh_indexes[HF_FRESH_INDEXES];
extern pthread_rwlock_t hf_fresh_lock; /* tables, changes */
extern _Atomic int hf_fresh_now;       /* enum hf_fresh_state */

/* No file has this id: the versions of its entry hold .holdfast/accepted to its length and end. */
extern const uint8_t hf_fresh_nobody[HF_FILE_ID_LEN];

uint64_t hf_fresh_dir_key(const struct hf_fresh_index *index, const uint8_t dir_id[16]);
uint64_t hf_fresh_name_key(const struct hf_fresh_index *index, const uint8_t dir_id[16], const char *backing);
uint64_t hf_fresh_file_key(const struct hf_fresh_index *index, const uint8_t file_id[16]);
/* What an object is: kind 'F' file, 'D' directory, 'L' link, 'O' FIFO, socket or device, 'X' one that is not authentic. */
uint64_t hf_fresh_tag(const struct hf_fresh_index *index, char kind, struct hf_span identity);
uint64_t hf_fresh_file_tag(const struct hf_fresh_index *index, const struct hf_node *file);
uint64_t hf_fresh_other_tag(const struct hf_fresh_index *index, const struct stat *st);
/* Into the table and the changes. */
void hf_fresh_enter(struct hf_fresh_index *index, const struct hf_index_entry *entry, bool taken);

#endif
