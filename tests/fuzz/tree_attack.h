/* tests/fuzz/tree_attack.h: what somebody with the disk and without a key can do to it: bytes, pages, lengths, names, attributes, link targets, modes and owners. */
#ifndef HF_TEST_FUZZ_TREE_ATTACK_H
#define HF_TEST_FUZZ_TREE_ATTACK_H

#include "disk.h"

enum { ATTACK_LEN = 8 };
enum attack { ATTACK_XOR, ATTACK_RAW, ATTACK_LENGTH, ATTACK_SWAP_PAGES, ATTACK_ZERO, ATTACK_COPY_PAGE, ATTACK_XATTR_XOR, ATTACK_XATTR_GONE, ATTACK_XATTR_COPY, ATTACK_TARGET_XOR, ATTACK_TARGET_COPY, ATTACK_NAME_GONE, ATTACK_NAME_SWAP, ATTACK_NAME_ADD, ATTACK_MODE, ATTACK_OWNER, ATTACK_KINDS };

/* One change: u8 kind | u8 inode or entry | u8 another | u8 page | u8 another | u16 place | u8 value. end: the number behind the last inode's. A directory never comes
 * into one of its own, which a disk filesystem does not allow either. */
void attack_change(struct disk *disk, uint32_t end, const uint8_t arg[ATTACK_LEN]);

#endif
