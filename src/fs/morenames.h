/* fs/morenames.h: inside the tree alone: the slots of a file's names that have no place in its header: `.holdfast/links/ID.NUMBER`, a list of 16-byte slots.
 *
 * The header names the record, how many of its slots are current and how many old, and a digest. Each settle that changed the list writes a new record, durable before the header
 * that names it; the one before goes after the settle. What is not in a record yet has evidence. Source: spec/35-crash.md [CR-12] [CR-13].
 * All functions: label is there, node's lock held exclusively. */
#ifndef HF_FS_MORENAMES_H
#define HF_FS_MORENAMES_H

#include "fs/node.h"

#define HF_NAMES_MAX 65000u /* ext4's own limit of links */

struct hf_more { /* in struct hf_content; one allocation */
    uint32_t current, old, cap;
    bool dirty; /* differs from the record */
    uint32_t obsolete; /* the record to remove after the settle; 0: none */
    uint8_t slots[][HF_SLOT_LEN];
};

/* In memory, with room for one more. -EIO: the record is not what the header says; its names are not proven then. */
HF_MUST_USE int hf_more_room(struct hf_node *file);
/* Current, or old in an open window. */
bool hf_more_has(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]);
void hf_more_add(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]); /* after hf_more_room */
bool hf_more_drop(struct hf_node *file, const uint8_t slot[HF_SLOT_LEN]); /* becomes an old one */
/* Before the header: what fits goes there, the rest into a new record. */
HF_MUST_USE int hf_more_store(struct hf_node *file);
void hf_more_settled(struct hf_node *file);
/* Replaces all names' slots, those of the header too. */
HF_MUST_USE int hf_more_replace(struct hf_node *file, const uint8_t (*slots)[HF_SLOT_LEN], uint32_t count);
/* `.holdfast/links`, opened; the caller closes. */
HF_MUST_USE int hf_more_records(bool make);
/* The last name is gone. */
void hf_more_remove(struct hf_node *file);

#endif
