/* format/acl.h: an access control list as the kernel hands it over: system.posix_acl_access, system.posix_acl_default. Pure: bytes in, bytes out.
 *
 *   version u32 = 2 | entries of 8 bytes: tag u16 | permissions u16 | id u32
 * in the order owner, users, group, groups, mask, others. An access list's owner, mask (without one: group) and others are the mode's nine bits: the mode is what counts,
 * and the stored list is given its bits whenever it is read, so a chmod changes no list. Source: spec/32-acl.md. */
#ifndef HF_FORMAT_ACL_H
#define HF_FORMAT_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"

#define HF_ACL_HEADER_LEN 4u
#define HF_ACL_ENTRY_LEN 8u
#define HF_ACL_MAX 65500u

enum hf_acl_tag { HF_ACL_OWNER = 1, HF_ACL_USER = 2, HF_ACL_GROUP = 4, HF_ACL_NAMED_GROUP = 8, HF_ACL_MASK = 16, HF_ACL_OTHER = 32 };

/* [PA-1] HF_OK: every entry is known, in order, and those that must be there are, once. */
HF_MUST_USE enum hf_result hf_acl_check(struct hf_span acl);
/* The functions below take lists that were checked. */
/* The nine bits it stands for; true: they say all of it. */
bool hf_acl_is_mode(struct hf_span acl, uint32_t *ret_mode);
/* [PA-2] An access list gets the mode's bits. */
void hf_acl_put_mode(uint8_t *acl, size_t len, uint32_t mode);
/* [PA-4] A default list becomes the access list of what is made with this mode, which is narrowed in turn; true: the mode says all of it. */
bool hf_acl_inherit(uint8_t *acl, size_t len, uint32_t *mode);
/* Where an access list can't be kept: the mode without it, that gives nobody more. */
uint32_t hf_acl_mode_without(struct hf_span acl, uint32_t mode);

#endif
