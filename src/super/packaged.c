/* super/packaged.c: the enclave of packaged mode: which vaults have it, reaching it, letting it into .holdfast. Source: spec/60-processes.md. */
#include "proto/packaged.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/base64url.h"
#include "os/disk.h"
#include "os/file.h"
#include "super/super.h"

enum { WAIT_MS = 30000 };

static enum hf_result reach_enclave(struct hf_super *super, struct hf_error *error)
{
    char path[128];
    uint8_t hello[128];
    size_t len = 0;
    uid_t uid = 0;
    pid_t pid = 0;
    struct hf_reader reader;
    const struct passwd *user = getpwnam(HF_PACKAGED_USER); // NOLINT(concurrency-mt-unsafe): the undertaker asks for no user
    if (!user || !hf_packaged_socket("enclave", path, sizeof path) || hf_ipc_connect(path, &super->packaged_socket) != HF_OK)
        return hf_fail(error, HF_UNREACHABLE, "holdfast-enclave.socket can't be reached: is the packaged Holdfast installed and its sockets started?");
    /* A listening socket has the user that began to listen: the service manager, or holdfast. */
    if (hf_ipc_peer(super->packaged_socket, &uid, &pid) != HF_OK || (uid != 0 && uid != user->pw_uid))
        return hf_fail(error, HF_REFUSED, "%s: served by user %u, not by %s", path, (unsigned)uid, HF_PACKAGED_USER);
    HF_TRY(hf_ipc_recv(super->packaged_socket, hello, sizeof hello, &len, NULL, 0, NULL, WAIT_MS));
    hf_reader_init(&reader, HF_SPAN(hello, len));
    uint16_t type = hf_read_u16(&reader);
    hf_read_string(&reader, super->secrets_name, sizeof super->secrets_name);
    super->packaged_pids[0] = hf_read_u32(&reader);
    super->packaged_uid = hf_read_u32(&reader);
    return type == HF_PKG_HELLO ? hf_reader_end(&reader) : HF_PROTOCOL;
}

void hf_packaged_hang_up(struct hf_super *super)
{
    hf_cleanup_fd(&super->packaged_socket);
    super->secrets_name[0] = '\0';
    super->packaged_pids[0] = super->packaged_pids[1] = 0;
}

enum hf_result hf_packaged_choose(struct hf_super *super, bool creating, struct hf_error *error)
{
    char path[128];
    struct stat st, dir;
    if (super->secrets_name[0])
        return HF_OK; /* reached before */
    if (creating)
        super->packaged = hf_packaged_socket("enclave", path, sizeof path) && access(path, F_OK) == 0;
    else
        super->packaged = fstat(super->dir_fd, &dir) == 0 && fstatat(super->dir_fd, "keybag", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_uid != dir.st_uid;
    if (!super->packaged)
        return HF_OK;
    enum hf_result result = reach_enclave(super, error);
    if (result != HF_OK) {
        hf_packaged_hang_up(super);
        if (error->result == HF_OK)
            (void)hf_fail(error, HF_UNREACHABLE, "the packaged enclave does not answer: %s", hf_result_text(result));
    }
    return result;
}

/* [PK-1] The owner's directory with one more user in it: POSIX ACL as the kernel's attribute has it (linux/posix_acl_xattr.h). */
enum hf_result hf_packaged_let_in(struct hf_super *super, struct hf_error *error)
{
    enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, MASK = 16, OTHER = 32, RWX = 7, NOBODY = -1 };
    const struct {
        uint16_t tag, rights;
        int64_t id;
    } entries[] = {{USER_OBJ, RWX, NOBODY}, {USER, RWX, super->packaged_uid}, {GROUP_OBJ, 0, NOBODY}, {MASK, RWX, NOBODY}, {OTHER, 0, NOBODY}};
    uint8_t bytes[64];
    struct hf_writer acl;
    hf_writer_init(&acl, bytes, sizeof bytes);
    hf_write_u32(&acl, 2);
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        hf_write_u16(&acl, entries[i].tag);
        hf_write_u16(&acl, entries[i].rights);
        hf_write_u32(&acl, (uint32_t)entries[i].id);
    }
    HF_TRY(hf_writer_end(&acl));
    if (fsetxattr(super->dir_fd, "system.posix_acl_access", bytes, acl.len, 0) < 0)
        return hf_fail(error, HF_UNSUPPORTED, "%s/.holdfast: no access control lists on this filesystem (%s)", super->vault, strerror(errno));
    return HF_OK;
}

/* The keybag is not ours to read: what finds the vault's socket and says how strong a passcode must be is kept beside it. Public. */
enum hf_result hf_packaged_note_id(struct hf_super *super, const uint8_t id[16], uint32_t element_kind)
{
    char hex[33], text[64];
    hf_hex_encode(id, 16, hex);
    int len = snprintf(text, sizeof text, "%s %u\n", hex, element_kind);
    return hf_file_replace(super->dir_fd, "id", HF_SPAN(text, (size_t)len));
}

enum hf_result hf_packaged_attach(struct hf_super *super, int keys_end, struct hf_error *error)
{
    uint8_t bytes[16], answer[512];
    struct hf_writer request;
    struct hf_reader body;
    struct hf_error verdict = {.result = HF_OK};
    const int fds[] = {keys_end, super->dir_fd};
    hf_message_begin(&request, bytes, sizeof bytes, HF_PKG_ATTACH);
    HF_TRY(hf_call(super->packaged_socket, &request, fds, 2, answer, sizeof answer, WAIT_MS, &verdict, &body));
    if (verdict.result != HF_OK) {
        *error = verdict;
        return verdict.result;
    }
    super->packaged_pids[1] = hf_read_u32(&body);
    return hf_reader_end(&body);
}
