/* fs/chainfile.h: a file of sealed records, each chained to the one before: the freshness index's and the record of what was accepted. Format: format/indexlog.h.
 *
 * Appending is staged: hf_chain_append writes behind the committed end, hf_chain_commit makes that the end, and an append before it starts again from the committed one.
 * None of these syncs, but for hf_chain_rewrite. Not thread-safe. Source: spec/36-freshness.md [FR-4] [FR-5]. */
#ifndef HF_FS_CHAINFILE_H
#define HF_FS_CHAINFILE_H

#include <stdbool.h>
#include <sys/types.h>

#include "format/indexlog.h"
#include "keys/index_key.h"

struct hf_chain_end {
    off_t at;
    uint64_t number; /* of the next record */
    uint8_t tip[HF_INDEX_TIP_LEN];
};

struct hf_chain {
    int dir, fd; /* fd -1: no file yet */
    const char *name;
    unsigned class;
    struct hf_index_keys *keys; /* in the secret arena; NULL: nothing loaded or made */
    uint8_t file_id[16];
    struct hf_chain_end committed, staged;
    off_t base_end; /* where the base ended */
};

typedef enum hf_result (*hf_chain_visit)(void *arg, bool base, struct hf_span plain);

/* Reads up to the record with that tip (NULL: to the end) and calls visit for each; what lies behind it is cut off at the next append (closed: nothing may).
 * HF_NOT_FOUND: no file; HF_DAMAGED: not authentic up to there; HF_GONE: authentic, but the tip is not in it (the file is older than the tip);
 * HF_EXISTS: there is more behind it though the vault was closed (the tip is older than the file); HF_LOCKED. On failure the chain holds nothing. */
HF_MUST_USE enum hf_result hf_chain_load(struct hf_chain *chain, int dir, const char *name, unsigned class, const uint8_t tip[HF_INDEX_TIP_LEN],
                                         bool closed, hf_chain_visit visit, void *arg);
/* Keys for a file that is not there yet: hf_chain_rewrite makes it. */
HF_MUST_USE enum hf_result hf_chain_new(struct hf_chain *chain, int dir, const char *name, unsigned class);
/* One record of at most HF_INDEX_RECORD_MAX bytes. */
HF_MUST_USE enum hf_result hf_chain_append(struct hf_chain *chain, struct hf_span plain);
/* Appends after this go on from the committed end again. */
void hf_chain_unstage(struct hf_chain *chain);
void hf_chain_commit(struct hf_chain *chain);
/* A new file in the old one's place, durably; its base records come from next (a span of length 0 ends them; records is their number). Committed when it returns HF_OK. */
HF_MUST_USE enum hf_result hf_chain_rewrite(struct hf_chain *chain, const uint8_t continues[HF_INDEX_TIP_LEN], uint32_t records,
                                            struct hf_span (*next)(void *arg), void *arg);
void hf_chain_close(struct hf_chain *chain);

#endif
