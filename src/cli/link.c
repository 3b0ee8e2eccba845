/* cli/link.c: finding or starting the vault's supervisor, and one verb at a time to it. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/disk.h"
#include "os/file.h"
#include "proto/socket_path.h"

/* "<vault id> <element kind>": what packaged mode leaves beside a keybag that is not ours to read. */
static void read_id(struct cli_link *link, const char *text, size_t len)
{
    if (len < 35 || text[32] != ' ')
        return;
    for (size_t i = 0; i < 32; i++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, text[i]);
        if (!at || !*at)
            return;
        link->vault_id[i / 2] = (uint8_t)(link->vault_id[i / 2] << 4 | (at - digits));
    }
    link->element_kind = text[33] == '0' + HF_ELEMENT_TPM2 ? HF_ELEMENT_TPM2 : HF_ELEMENT_SOFTWARE;
    link->have_id = true;
}

static void read_public(struct cli_link *link)
{
    static uint8_t bytes[HF_KEYBAG_MAX];
    static struct hf_keybag_view view;
    char path[4200];
    size_t len = 0;
    (void)snprintf(path, sizeof path, "%s/.holdfast", link->vault);
    HF_CLEANUP(fd) int dir = hf_disk->openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0);
    struct stat st, parent;
    link->foreign = dir >= 0 && hf_disk->fstatat(dir, "keybag", &st) == 0 && fstat(dir, &parent) == 0 && st.st_uid != parent.st_uid;
    if (link->foreign && hf_file_read(dir, "id", bytes, sizeof bytes - 1, &len) == HF_OK)
        read_id(link, (const char *)bytes, len);
    if (dir < 0 || link->foreign || hf_file_read(dir, "keybag", bytes, sizeof bytes, &len) != HF_OK)
        return;
    if (hf_keybag_parse(HF_SPAN(bytes, len), &view, NULL) != HF_OK)
        return;
    memcpy(link->vault_id, view.header.vault_id, sizeof link->vault_id);
    link->element_kind = view.header.element_kind;
    link->have_id = true;
}

enum hf_result cli_vault_path(struct cli_link *link, const char *vault, bool may_be_absent, struct hf_error *error)
{
    link->socket = link->secret = link->handed = -1;
    link->child.pidfd = -1;
    if (!vault[0])
        return hf_fail(error, HF_USAGE, "the vault's path is empty");
    if (realpath(vault, link->vault)) {
        read_public(link);
        return HF_OK;
    }
    if (errno != ENOENT || !may_be_absent)
        return hf_fail(error, errno == ENOENT ? HF_NOT_FOUND : HF_FAILED, "%s: %s", vault, strerror(errno));
    char parent[PATH_MAX];
    char copy[PATH_MAX];
    if ((size_t)snprintf(copy, sizeof copy, "%s", vault) >= sizeof copy)
        return hf_fail(error, HF_USAGE, "the vault's path is too long");
    size_t len = strlen(copy);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (slash)
        *slash = '\0';
    if (!realpath(slash ? (copy[0] ? copy : "/") : ".", parent))
        return hf_fail(error, HF_NOT_FOUND, "%s: its parent directory is not there", vault);
    if ((size_t)snprintf(link->vault, sizeof link->vault, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, name) >= sizeof link->vault)
        return hf_fail(error, HF_USAGE, "the vault's path is too long");
    return HF_OK;
}

static bool connect_to(struct cli_link *link, const char *path)
{
    uid_t uid = 0;
    pid_t pid = 0;
    link->living = false;
    if (hf_ipc_connect(path, &link->socket) != HF_OK) {
        link->socket = -1;
        return false;
    }
    if (hf_ipc_peer(link->socket, &uid, &pid) != HF_OK || uid != geteuid())
        hf_cleanup_fd(&link->socket);
    else
        link->living = true;
    return link->living;
}

static bool connect_living(struct cli_link *link)
{
    char path[HF_SOCKET_PATH_MAX];
    return link->have_id && hf_socket_path(link->vault_id, false, path, NULL) == HF_OK && connect_to(link, path);
}

enum hf_result cli_each_living(struct cli_link *link, enum hf_result (*visit)(struct cli_link *link, void *arg, struct hf_error *error), void *arg,
                               struct hf_error *error)
{
    char dir[HF_SOCKET_PATH_MAX], path[2 * HF_SOCKET_PATH_MAX];
    enum hf_result result = hf_socket_dir(false, dir, error);
    if (result == HF_NOT_FOUND)
        return HF_OK; /* nothing was ever opened here */
    DIR *entries = result == HF_OK ? opendir(dir) : NULL;
    for (const struct dirent *entry = NULL; result == HF_OK && entries && (entry = readdir(entries));) {
        size_t len = strlen(entry->d_name);
        if (len != 37 || strcmp(entry->d_name + 32, ".sock") != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        if (connect_to(link, path)) /* else it is one that a killed supervisor left */
            result = visit(link, arg, error);
        hf_cleanup_fd(&link->socket);
    }
    if (entries)
        (void)closedir(entries);
    return result;
}

enum hf_result cli_connect_living(struct cli_link *link, const char *vault, struct hf_error *error)
{
    HF_TRY(cli_vault_path(link, vault, false, error));
    if (connect_living(link))
        return HF_OK;
    return hf_fail(error, HF_NOT_FOUND, "%s: not open; holdfast open it first", vault);
}

enum hf_result cli_connect(struct cli_link *link, const char *vault, bool may_be_absent, struct hf_error *error)
{
    char path[PATH_MAX];
    int pair[2];
    HF_TRY(cli_vault_path(link, vault, may_be_absent, error));
    if (connect_living(link))
        return HF_OK;
    if (hf_process_find("holdfast-super", path, sizeof path) != HF_OK)
        return hf_fail(error, HF_NOT_FOUND, "holdfast-super: not found beside this program; is Holdfast installed whole?");
    if (hf_ipc_pair(pair) != HF_OK)
        return hf_fail(error, HF_FAILED, "no socketpair");
    link->socket = pair[0];
    HF_CLEANUP(fd) int theirs = pair[1];
    const char *const argv[] = {path, NULL};
    enum hf_result result = hf_process_start(path, argv, NULL, HF_FD_SUPER_OWNER, &theirs, 1, &link->child);
    return result == HF_OK ? HF_OK : hf_fail(error, result, "%s: cannot be started: %s", path, hf_result_text(result));
}

void cli_begin(struct cli_link *link, struct hf_writer *writer, uint16_t verb)
{
    hf_message_begin(writer, link->out, sizeof link->out, verb);
}

static void show_acceptance(const char *path, const char *what)
{
    char when[40] = "";
    unsigned long long seconds = 0, changed = 0;
    struct tm broken;
    if (sscanf(what, "%llu %llu", &seconds, &changed) != 2) // NOLINT(cert-err34-c): the filesystem wrote these numbers
        return;
    time_t at = (time_t)seconds;
    if (localtime_r(&at, &broken))
        (void)strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &broken);
    (void)printf("%s  %llu entries  ", when, changed);
    cli_show(stdout, path);
    (void)putchar('\n');
}

static void show_finding(struct hf_reader *reader, bool json)
{
    static char path[4096];
    char what[512];
    static bool first = true;
    unsigned severity = hf_read_u8(reader);
    hf_read_string(reader, path, sizeof path);
    hf_read_string(reader, what, sizeof what);
    if (hf_reader_end(reader) != HF_OK)
        return;
    if (severity == 0) { /* an acceptance: when, how much, what */
        show_acceptance(path, what);
        return;
    }
    if (!json) {
        cli_show(stdout, path);
        (void)fputs(": ", stdout);
        cli_show(stdout, what);
        (void)putchar('\n');
        return;
    }
    (void)printf("%s{\"severity\":%u,\"path\":", first ? "" : ",", severity);
    cli_json_string(path);
    (void)printf(",\"what\":");
    cli_json_string(what);
    (void)printf("}");
    first = false;
}

enum hf_result cli_call(struct cli_link *link, struct hf_writer *request, int secret, bool json, struct hf_error *error, struct hf_reader *ret_body)
{
    enum hf_result result = hf_writer_end(request);
    if (result == HF_OK)
        result = hf_ipc_send(link->socket, hf_writer_span(request), &secret, secret >= 0 ? 1 : 0);
    while (result == HF_OK) {
        size_t len = 0;
        struct hf_reader reader;
        struct hf_error verdict = {.result = HF_OK};
        result = hf_ipc_recv(link->socket, link->in, sizeof link->in, &len, NULL, 0, NULL, -1);
        if (result != HF_OK)
            break;
        hf_reader_init(&reader, HF_SPAN(link->in, len));
        uint16_t type = hf_read_u16(&reader);
        if (type == HF_MSG_PROGRESS) {
            cli_progress_message(&reader);
            continue;
        }
        if (type == HF_FS_FINDING) {
            show_finding(&reader, json);
            continue;
        }
        cli_progress_end();
        result = hf_reply_parse(HF_SPAN(link->in, len), &verdict, ret_body);
        if (result == HF_OK && verdict.result != HF_OK)
            *error = verdict;
        if (result == HF_OK)
            return verdict.result;
    }
    return hf_fail(error, HF_FAILED, "the vault's supervisor does not answer: %s", hf_result_text(result));
}

enum hf_result cli_status_read(struct hf_reader *body, struct hf_owner_status *ret, struct hf_error *error)
{
    memset(ret, 0, sizeof *ret);
    hf_owner_status_read(body, ret);
    if (hf_reader_end(body) != HF_OK)
        return hf_fail(error, HF_PROTOCOL, "the supervisor's status is malformed; are all programs of one version?");
    return HF_OK;
}

enum hf_result cli_status_ask(struct cli_link *link, struct hf_owner_status *ret, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    cli_begin(link, &request, HF_OWN_STATUS);
    hf_write_string(&request, link->vault);
    HF_TRY(cli_call(link, &request, -1, false, error, &body));
    return cli_status_read(&body, ret, error);
}

/* A supervisor that serves nothing ends when this connection does; one that has mounted goes on. */
void cli_hang_up(struct cli_link *link)
{
    hf_cleanup_fd(&link->socket);
    hf_cleanup_fd(&link->secret);
    hf_cleanup_fd(&link->handed);
    hf_cleanup_fd(&link->child.pidfd);
}
