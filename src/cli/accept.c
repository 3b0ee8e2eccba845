/* cli/accept.c: the owner takes what is on disk for what it shall be; and lists what was taken so. Source: spec/36-freshness.md [FR-9]. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cli_link the_link;

/* The path below the mountpoint. Its last name need not be there, or may not be looked at: only what is above it is resolved. */
static enum hf_result below(const char *path, const char *mountpoint, char out[PATH_MAX], struct hf_error *error)
{
    char copy[PATH_MAX], parent[PATH_MAX], whole[2 * PATH_MAX];
    size_t len = strlen(path), root = strlen(mountpoint);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof copy)
        return hf_fail(error, HF_USAGE, "%.100s: not a path", path);
    memcpy(copy, path, len);
    copy[len] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || name[0] == '\0')
        return hf_fail(error, HF_USAGE, "%s: name the object itself, or --all for the whole vault", path);
    if (slash)
        *slash = '\0';
    if (!realpath(slash ? (copy[0] ? copy : "/") : ".", parent))
        return hf_fail(error, errno == EIO ? HF_DAMAGED : HF_NOT_FOUND, "%s: what is above it cannot be looked at (%s)", path, strerror(errno));
    (void)snprintf(whole, sizeof whole, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name);
    if (strncmp(whole, mountpoint, root) != 0 || whole[root] != '/' || strlen(whole) >= PATH_MAX)
        return hf_fail(error, HF_USAGE, "%s: not below the vault's mountpoint %s", path, mountpoint);
    memcpy(out, whole + root + 1, strlen(whole + root + 1) + 1);
    return HF_OK;
}

static enum hf_result accept_at(const struct cli_options *options, struct hf_error *error)
{
    static char paths[sizeof options->words / sizeof options->words[0]][PATH_MAX];
    static struct hf_owner_status status;
    struct hf_writer request;
    struct hf_reader body;
    size_t count = options->word_count - 1;
    HF_TRY(cli_connect_living(&the_link, options->words[0], error));
    HF_TRY(cli_status_ask(&the_link, &status, error));
    for (size_t i = 0; i < count; i++)
        HF_TRY(below(options->words[1 + i], status.mountpoint, paths[i], error));
    if (!options->list) {
        HF_TRY(cli_secret_open(&the_link, false, error));
        HF_TRY(cli_send_passcode(options->passcode_fd, the_link.secret, error));
    }
    cli_begin(&the_link, &request, HF_OWN_ACCEPT);
    hf_write_u8(&request, options->list ? HF_ACCEPT_LIST : options->all ? HF_ACCEPT_ALL : HF_ACCEPT_PATHS);
    hf_write_u16(&request, (uint16_t)count);
    for (size_t i = 0; i < count; i++)
        hf_write_string(&request, paths[i]);
    if (hf_writer_end(&request) != HF_OK || request.len > HF_CLI_VERB_MAX)
        return hf_fail(error, HF_TOO_LARGE, "too many or too long paths for one time; accept some of them, or the directory they are in");
    HF_TRY(cli_call(&the_link, &request, options->list ? -1 : the_link.handed, false, error, &body));
    uint64_t changed = hf_read_u64(&body);
    uint64_t findings = hf_read_u64(&body);
    if (hf_reader_end(&body) != HF_OK)
        return hf_fail(error, HF_PROTOCOL, "the supervisor's answer is malformed");
    if (!options->list)
        (void)printf("%s: accepted; %llu entries of the index are others now\n", options->words[0], (unsigned long long)changed);
    return findings ? hf_fail(error, HF_DAMAGED, "%s: %llu could not be accepted as asked; they are named above", options->words[0], (unsigned long long)findings) : HF_OK;
}

enum hf_result cli_accept(const struct cli_options *options, struct hf_error *error)
{
    bool paths = options->word_count > 1;
    if (options->word_count < 1 || paths + options->all + options->list != 1)
        return hf_fail(error, HF_USAGE, "holdfast accept VAULT PATH... | --all | --list");
    enum hf_result result = accept_at(options, error);
    cli_hang_up(&the_link);
    return result;
}
