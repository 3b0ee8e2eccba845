#include <errno.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/file.h"
#include "os/sandbox.h"

/* From the kernel's stable interface (Documentation/userspace-api/landlock.rst), here in whole because distributions'
 * headers are older than the kernels they run on. Numbers are the same on every architecture. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ruleset {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_AND_MAKE (((1ULL << 13) - 1) & ~((1ULL << 4) - 1)) /* bits 4…12 */
#define FS_REFER (1ULL << 13)                                        /* ABI 2: rename and link between directories */
#define FS_TRUNCATE (1ULL << 14)                                     /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15)                                    /* ABI 5 */
#define NET_BIND_AND_CONNECT_TCP 3ULL                                /* ABI 4 */
#define SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS 3ULL                      /* ABI 6 */

/* Everything the kernel can take away. */
static struct ruleset all_rights(long abi)
{
    struct ruleset rights = {
        .handled_fs = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_AND_MAKE,
    };
    if (abi >= 2)
        rights.handled_fs |= FS_REFER;
    if (abi >= 3)
        rights.handled_fs |= FS_TRUNCATE;
    if (abi >= 4)
        rights.handled_net = NET_BIND_AND_CONNECT_TCP;
    if (abi >= 5)
        rights.handled_fs |= FS_IOCTL_DEV;
    if (abi >= 6)
        rights.scoped = SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS;
    return rights;
}

static enum hf_result add_path(int ruleset, uint64_t handled_fs, const struct hf_sandbox_path *path)
{
    struct stat st;
    if (fstat(path->fd, &st) < 0)
        return hf_result_from_errno(errno);
    uint64_t allowed = FS_READ_FILE | FS_READ_DIR;
    if (path->writable)
        allowed |= FS_WRITE_FILE | FS_TRUNCATE;
    if (path->make)
        allowed |= FS_REMOVE_AND_MAKE | FS_REFER;
    /* Only a directory can carry the rights of directories. */
    if (!S_ISDIR(st.st_mode))
        allowed &= FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE;
    struct path_rule rule = {.allowed = allowed & handled_fs, .parent_fd = path->fd};
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
        return hf_result_from_errno(errno);
    return HF_OK;
}

static enum hf_result restrict_self(int ruleset, uint64_t handled_fs, const struct hf_sandbox_path *paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        HF_TRY(add_path(ruleset, handled_fs, &paths[i]));
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        return hf_result_from_errno(errno);
    return HF_OK;
}

enum hf_result hf_sandbox_paths(const struct hf_sandbox_path *paths, size_t count)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    if (abi < 1)
        return HF_UNSUPPORTED;
    struct ruleset rights = all_rights(abi);
    long ruleset = syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
    if (ruleset < 0)
        return hf_result_from_errno(errno);
    enum hf_result result = restrict_self((int)ruleset, rights.handled_fs, paths, count);
    (void)close((int)ruleset);
    return result;
}
