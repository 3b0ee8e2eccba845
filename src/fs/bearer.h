/* fs/bearer.h: inside the tree alone: an object's extended attributes on disk, sealed.
 *
 * `user.hf.` + base64url(SIV(name)) = SIV(1 byte || value; AAD: object id || name). A file's are bound to its header and a directory's to its record by a digest of what is
 * on disk. Symlinks, FIFOs, sockets and devices can have no attribute `user.`: theirs begin with `trusted.hf.`, and `trusted.hf` itself holds what there is no header for:
 * class u8 || key generation u32 || a random id 16. Nothing binds those to the object. Source: spec/31-names.md [NM-6] [NM-9] [NM-10]. */
#ifndef HF_FS_BEARER_H
#define HF_FS_BEARER_H

#include "crypto/siv.h"
#include "fs/node.h"

enum hf_bearer_kind { HF_BEARER_FILE, HF_BEARER_DIR, HF_BEARER_OTHER };

struct hf_bearer {
    enum hf_bearer_kind kind;
    struct hf_node *node; /* NULL: it is being made */
    int fd;               /* OTHER: its directory's */
    const char *name;     /* OTHER: on disk, in that directory */
    bool none;            /* it has no attributes, and the key was not asked for */
    uint8_t id[16];
    uint8_t key[HF_SIV_KEY_LEN];
};

/* An object whose attributes are in use until hf_bearer_close; hf_ns held (to write: exclusively), a file's lock is taken. */
HF_MUST_USE int hf_bearer_open(struct hf_node *node, bool to_write, struct hf_bearer *ret);
void hf_bearer_close(struct hf_bearer *bearer);
/* The length, -ENODATA, -ERANGE, -EIO (not authentic). cap 0 asks for the length. */
ssize_t hf_bearer_get(const struct hf_bearer *bearer, const char *name, void *value, size_t cap);
ssize_t hf_bearer_list(const struct hf_bearer *bearer, char *out, size_t cap);
/* value.data NULL removes. flags: XATTR_CREATE, XATTR_REPLACE. */
HF_MUST_USE int hf_bearer_set(struct hf_bearer *bearer, const char *name, struct hf_span value, int flags);

/* While the object is made, before the header or the record that vouches for it is written: a file (its lock held, content there), a directory, something else. */
HF_MUST_USE int hf_bearer_birth_file(struct hf_node *file, const char *name, struct hf_span value);
HF_MUST_USE int hf_bearer_birth_dir(int fd, const struct hf_dir_record *record, const char *name, struct hf_span value);
HF_MUST_USE int hf_bearer_birth_other(struct hf_node *dir, int dir_fd, const char *backing, const char *name, struct hf_span value);
/* The digest of what a directory has on disk; zeros: nothing. */
HF_MUST_USE int hf_bearer_dir_digest(int fd, const uint8_t dir_id[16], uint8_t ret[32]);

/* --- for xattrs.c --- */

#define HF_BEARER_OTHER_ID "trusted.hf"
/* Id and key of one whose node (content there), or directory and name, is set. make_in: where there is none yet, one is made for this directory's class; NULL: none. */
void hf_bearer_key_of_file(struct hf_bearer *bearer);
HF_MUST_USE int hf_bearer_key_of_other(struct hf_bearer *bearer, struct hf_node *make_in);
/* Of what is on disk, with `name` (as the disk has it) changed to value (value.data NULL: removed; name NULL: nothing changed). Zeros when nothing is there. */
HF_MUST_USE int hf_bearer_digest(const struct hf_bearer *bearer, const char *name, struct hf_span value, uint8_t out[32]);
/* -EIO when the attributes on disk are not those of the header or the record. */
HF_MUST_USE int hf_bearer_check(const struct hf_bearer *bearer);

#endif
