/* fs/tree.h: the filesystem's logic without FUSE: what each request does to the tree on disk. serve.c maps FUSE to it one to one; tests call it directly.
 *
 * Objects are named by node ids (1 is the root), which live until hf_tree_forget takes back every count that an entry gave.
 * The contract of each function is the system call's of its name: 0 (or a count, or an offset), else a negative errno. All functions are thread-safe;
 * none keeps a pointer that it was given. What is locked answers -ENOKEY, what is not authentic -EIO. Permissions are the kernel's to check.
 * Source: spec/30-file.md, spec/31-names.md, spec/35-crash.md. */
#ifndef HF_FS_TREE_H
#define HF_FS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

#include "base/result.h"

#define HF_TREE_ROOT 1u

/* Each entry that is given counts one for hf_tree_forget. attr is as stat shows it: plain size, the backing file's st_ino. */
struct hf_entry {
    uint64_t id;
    uint64_t generation;
    struct stat attr;
};

struct hf_caller { /* whose request it is; modes come without the umask taken off, which counts where the directory has no default list [PA-4] */
    uid_t uid;
    gid_t gid;
    mode_t umask;
};

/* How the tree reaches the kernel's caches; serve.c sets it. Called without any lock of the tree held, never from a thread that serves requests. */
struct hf_tree_kernel {
    void (*inval_node)(uint64_t id);                          /* attributes and pages; waits for the write-back of dirty pages */
    void (*inval_entry)(uint64_t parent, const char *name);
    void (*inval_all_entries)(void);                          /* returns after, where the kernel can (6.16), else does nothing */
    void (*keys_are_back)(void);                              /* before the first invalidation of an unlock: requests that waited hold pages; may be NULL */
    bool has_inval_all;
    void (*lock_again)(void); /* hf_tree_lock_again is to be called soon, by another thread; NULL: never */
    bool writeback; /* the kernel keeps writes back: it, not the disk, knows the size and times of files that are open for writing */
    /* A settle is due before its time: whoever waits for hf_tree_settle_due_ms looks again. */
    void (*settle_now)(void);
    /* Puts a file's content into the kernel's cache, as if it had read it. Unlike the others it is called by a thread that serves an open, with the file's
     * lock held: nobody has the file open, so no request holds one of its pages, and none can until this open is answered. */
    void (*store)(uint64_t id, const void *data, size_t len);
};

/* Opens the vault's root (a directory descriptor, kept). nodes: the shared node map of proto/mount.h or NULL. HEAD_OPEN has not been sent yet: this does it.
 * no_freshness: for measuring alone; the vault is read-only after it until everything is accepted. error gets the line for a person. */
HF_MUST_USE enum hf_result hf_tree_start(int root_fd, void *nodes, const struct hf_tree_kernel *kernel, bool no_freshness, struct hf_error *error);

/* True when the name keys of all classes are there: a name that is not found then does not exist, and the kernel may remember that.
 * (While it is false an entry may be hidden; UNLOCK has nothing to take back then.) Cheap: asked at each failed lookup. */
bool hf_tree_names_complete(void);

int hf_tree_lookup(uint64_t parent, const char *name, struct hf_entry *ret);
void hf_tree_forget(uint64_t id, uint64_t count);
int hf_tree_getattr(uint64_t id, struct stat *ret);
/* False: the kernel must ask again before it uses what it was just told. [CH-20] With write-back it asks before each write, and this stops writes into its
 * cache to an open file that is locked. */
bool hf_tree_attr_keeps(uint64_t id);

#define HF_SET_MODE 1u
#define HF_SET_UID 2u
#define HF_SET_GID 4u
#define HF_SET_SIZE 8u
#define HF_SET_ATIME 16u
#define HF_SET_MTIME 32u
/* 0 is a chown to -1, -1, or comes before a write that takes privileges away itself: the time of change follows, nothing else. */
/* Times may hold UTIME_NOW in tv_nsec. */
int hf_tree_setattr(uint64_t id, const struct stat *attr, unsigned set, struct stat *ret);

/* [NM-8] Before a write or a change of size: the file's capabilities go, and with set_id (the caller may not keep them) its set-id bits. 1 when something
 * went. A new owner takes them away in hf_tree_setattr. */
int hf_tree_lose_privileges(uint64_t id, bool set_id);

int hf_tree_readlink(uint64_t id, char out[4096]); /* NUL-terminated */
int hf_tree_mknod(uint64_t parent, const char *name, mode_t mode, dev_t rdev, const struct hf_caller *caller, struct hf_entry *ret); /* regular files too */
int hf_tree_mkdir(uint64_t parent, const char *name, mode_t mode, const struct hf_caller *caller, struct hf_entry *ret);
int hf_tree_symlink(uint64_t parent, const char *name, const char *target, const struct hf_caller *caller, struct hf_entry *ret);
int hf_tree_unlink(uint64_t parent, const char *name);
int hf_tree_rmdir(uint64_t parent, const char *name);
int hf_tree_rename(uint64_t parent, const char *name, uint64_t new_parent, const char *new_name, unsigned flags); /* RENAME_NOREPLACE, RENAME_EXCHANGE */
int hf_tree_link(uint64_t id, uint64_t new_parent, const char *new_name, struct hf_entry *ret);

/* What the kernel calls a file that is to have no name (O_TMPFILE); hf_tree_link may give it one. */
#define HF_TMPFILE_NAME "/"

/* An opened file counts one for hf_tree_release. Reads and writes name the node alone; the kernel has checked the access mode. */
int hf_tree_create(uint64_t parent, const char *name, mode_t mode, int flags, const struct hf_caller *caller, struct hf_entry *ret);
int hf_tree_open(uint64_t id, int flags); /* O_TRUNC is honoured */
void hf_tree_release(uint64_t id);
ssize_t hf_tree_read(uint64_t id, uint64_t offset, size_t len, uint8_t *out); /* len <= HF_MAX_IO; short only at the end */
ssize_t hf_tree_write(uint64_t id, uint64_t offset, const uint8_t *data, size_t len);
int hf_tree_fsync(uint64_t id, bool data_only);
int hf_tree_fsyncdir(uint64_t id);
int hf_tree_fallocate(uint64_t id, int mode, uint64_t offset, uint64_t len);
int64_t hf_tree_seek(uint64_t id, uint64_t offset, int whence); /* SEEK_DATA, SEEK_HOLE */

/* Calls fill for each entry behind offset until it returns false (that entry was not taken) or the directory ends. `.` and `..` are among them.
 * plus: attr is whole and an entry other than `.` and `..` counts one for forget when fill took it; else attr holds st_ino and the type alone and id is 0. */
typedef bool (*hf_tree_fill)(void *arg, const char *name, const struct hf_entry *entry, uint64_t next_offset);
int hf_tree_readdir(uint64_t id, uint64_t offset, bool plus, hf_tree_fill fill, void *arg);
int hf_tree_statfs(struct statvfs *ret);

/* cap 0 asks for the length. user.holdfast.class is virtual. */
ssize_t hf_tree_getxattr(uint64_t id, const char *name, void *value, size_t cap);
ssize_t hf_tree_listxattr(uint64_t id, char *list, size_t cap);
int hf_tree_setxattr(uint64_t id, const char *name, const void *value, size_t len, int flags);
/* In flags: with system.posix_acl_access the set-group-id bit goes (the caller may not keep it). */
#define HF_XATTR_KILL_SGID (1 << 30)
int hf_tree_removexattr(uint64_t id, const char *name);

/* What the kernel has kept back comes now. Never from a thread that serves requests. */
void hf_tree_write_back(void);
/* Everything of the epoch becomes durable, the head is advanced. */
int hf_tree_settle(void);
/* Milliseconds until a settle is due, -1 when nothing is dirty. */
int hf_tree_settle_due_ms(void);

/* Phases of proto/mount.h LOCK: drain (settle until nothing of the classes is pending, invalidate); then refuse (programs get no further, the rest is settled) and drop
 * (keys, plaintext; invalidate again). */
int hf_tree_lock_drain(uint32_t mask);
void hf_tree_lock_refuse(uint32_t mask);
int hf_tree_lock_drop(uint32_t mask);
/* With write-back, after hf_serve_wakes: what a long write has put into the kernel's cache since the drop goes as well. */
void hf_tree_lock_again(void);
int hf_tree_unlock(void);
/* Settles for the last time and closes the head. */
int hf_tree_close(void);
/* Every key and plaintext goes, every later call answers -EIO; invalidates all nodes. */
void hf_tree_die(void);

struct hf_tree_counts {
    uint32_t open, open_unless_open;
    uint32_t oldest_s; /* for how long the oldest of class unless-open has been open */
    uint64_t nodes, dirty;
    uint8_t freshness; /* proto/mount.h HF_FRESHNESS_* */
};
void hf_tree_counts(struct hf_tree_counts *ret);

/* Makes an hf_tree_check, hf_tree_rotate or hf_tree_take_in that runs in another thread end soon, with -EINTR; nothing when none runs. */
void hf_tree_stop(void);
/* Re-keys every file of the class (0: all) to the current generation. progress may be NULL. -EIO: some could not be, the rest is done. */
int hf_tree_rotate(unsigned class, void (*progress)(void *arg, uint64_t done, const char *what), void *arg, uint64_t *ret_files);
/* [UO-8] Files that came before the first unlock wait to be taken in, and can be. */
bool hf_tree_arrivals_due(void);
/* Takes them in. -EINTR: stopped, the rest is still due. */
int hf_tree_take_in(void);
/* Reads and authenticates everything reachable. finding is called for each damage with its plain path. Findings of what is locked are none. */
int hf_tree_check(void (*finding)(void *arg, const char *path, const char *what), void *arg, uint64_t *ret_objects, uint64_t *ret_findings);

#endif
