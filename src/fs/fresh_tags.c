/* The freshness index's keys and tags: under the index's own PRF key, so that the disk shows neither names nor what they stand for. Source: spec/36-freshness.md [FR-1]. */
#include <string.h>

#include "crypto/prf.h"
#include "fs/fresh_part.h"
#include "fs/node.h"

enum domain { DIR_KEY = 1, NAME_KEY, TAG };

static uint64_t prf(const struct hf_fresh_index *index, enum domain domain, const struct hf_span *pieces, unsigned count)
{
    uint64_t out[2];
    hf_prf(index->prf, (uint8_t)domain, pieces, count, out);
    return out[0] ? out[0] : 1; /* 0 has a meaning of its own */
}

uint64_t hf_fresh_dir_key(const struct hf_fresh_index *index, const uint8_t dir_id[16])
{
    return prf(index, DIR_KEY, &HF_SPAN(dir_id, 16), 1);
}

uint64_t hf_fresh_name_key(const struct hf_fresh_index *index, const uint8_t dir_id[16], const char *backing)
{
    struct hf_span pieces[] = {HF_SPAN(dir_id, 16), HF_SPAN(backing, strlen(backing))};
    return prf(index, NAME_KEY, pieces, 2);
}

uint64_t hf_fresh_tag(const struct hf_fresh_index *index, char kind, struct hf_span identity)
{
    struct hf_span pieces[] = {HF_SPAN(&kind, 1), identity};
    return prf(index, TAG, pieces, 2);
}

uint64_t hf_fresh_file_key(const struct hf_fresh_index *index, const uint8_t file_id[16])
{
    return hf_fresh_tag(index, 'F', HF_SPAN(file_id, 16));
}

uint64_t hf_fresh_file_tag(const struct hf_fresh_index *index, const struct hf_node *file)
{
    return hf_fresh_file_key(index, file->content->header.file_id);
}

uint64_t hf_fresh_other_tag(const struct hf_fresh_index *index, const struct stat *st)
{
    const uint64_t values[] = {st->st_mode & S_IFMT, S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? (uint64_t)st->st_rdev : 0};
    uint8_t bytes[16];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(values[i / 8] >> (8 * (i % 8)));
    return hf_fresh_tag(index, 'O', HF_SPAN_OF(bytes));
}
