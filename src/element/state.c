#include "element/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>

#include "base/base64url.h"
#include "base/cleanup.h"
#include "os/disk.h"
#include "os/file.h"

static enum hf_result open_below(int *dir, const char *name)
{
    int below = -1;
    HF_TRY(hf_dir_open(*dir, name, true, &below));
    hf_cleanup_fd(dir);
    *dir = below;
    return HF_OK;
}

/* The base must be an absolute path that exists ($XDG_STATE_HOME), or $HOME/.local/state, made when it is missing. */
enum hf_result hf_state_open(int *ret_root)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    bool given = state && state[0] == '/';
    const char *base = given ? state : home;
    if (!base || base[0] != '/')
        return HF_NOT_FOUND;
    HF_CLEANUP(fd) int dir = hf_disk->openat(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0);
    if (dir == -ENOENT && given) {
        int made = hf_disk->mkdirat(AT_FDCWD, base, 0700);
        dir = made < 0 ? made : hf_disk->openat(AT_FDCWD, base, O_RDONLY | O_DIRECTORY, 0);
    }
    if (dir < 0)
        return hf_result_from_errno(-dir);
    if (!given) {
        HF_TRY(open_below(&dir, ".local"));
        HF_TRY(open_below(&dir, "state"));
    }
    HF_TRY(open_below(&dir, "holdfast"));
    *ret_root = hf_steal_fd(&dir);
    return HF_OK;
}

enum hf_result hf_state_vault(int root, const uint8_t vault_id[16], int *ret_dir, struct hf_error *error)
{
    char name[33];
    HF_CLEANUP(fd) int dir = -1;
    hf_hex_encode(vault_id, 16, name);
    enum hf_result result = root < 0 ? HF_NOT_FOUND : hf_dir_open(root, name, true, &dir);
    if (result != HF_OK)
        return hf_fail(error, HF_UNREACHABLE, "the element's state directory can't be opened (%s); check XDG_STATE_HOME and HOME", hf_result_text(result));
    if (flock(dir, LOCK_EX | LOCK_NB) < 0)
        return hf_fail(error, HF_BUSY, "another element serves this vault; close the vault there first");
    *ret_dir = hf_steal_fd(&dir);
    return HF_OK;
}
