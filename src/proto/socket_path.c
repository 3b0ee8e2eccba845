/* proto/socket_path.c: see the header. */
#include "proto/socket_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "os/disk.h"
#include "os/file.h"

#include <fcntl.h>

enum hf_result hf_socket_dir(bool make, char out[HF_SOCKET_PATH_MAX], struct hf_error *error)
{
    char dir[HF_SOCKET_PATH_MAX];
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    int len = 0;
    if (runtime && runtime[0] == '/')
        len = snprintf(dir, sizeof dir, "%s/holdfast", runtime);
    else
        len = snprintf(dir, sizeof dir, "/tmp/holdfast-%u", (unsigned)geteuid());
    if (len < 0 || (size_t)len >= sizeof dir)
        return hf_fail(error, HF_TOO_LARGE, "the runtime directory's name is too long for a socket: set XDG_RUNTIME_DIR to a shorter one");
    if (make) {
        int made = hf_disk->mkdirat(AT_FDCWD, dir, 0700);
        if (made < 0 && made != -EEXIST)
            return hf_fail(error, hf_result_from_errno(-made), "%s: the socket's directory cannot be made", dir);
    }
    struct stat st;
    int found = hf_disk->fstatat(AT_FDCWD, dir, &st);
    if (found < 0)
        return hf_fail(error, hf_result_from_errno(-found), "%s: the socket's directory is not there", dir);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
        return hf_fail(error, HF_REFUSED, "%s: not a directory of yours with mode 0700; remove it", dir);
    memcpy(out, dir, (size_t)len + 1);
    return HF_OK;
}

enum hf_result hf_socket_path(const uint8_t vault_id[16], bool make, char out[HF_SOCKET_PATH_MAX], struct hf_error *error)
{
    char dir[HF_SOCKET_PATH_MAX], id[33];
    HF_TRY(hf_socket_dir(make, dir, error));
    hf_hex_encode(vault_id, 16, id);
    int len = snprintf(out, HF_SOCKET_PATH_MAX, "%s/%s.sock", dir, id);
    if (len < 0 || len >= HF_SOCKET_PATH_MAX)
        return hf_fail(error, HF_TOO_LARGE, "%s: too long for a socket's name", dir);
    return HF_OK;
}
