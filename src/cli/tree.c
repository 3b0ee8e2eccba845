/* cli/tree.c: verbs on the mounted tree: protect, export, and check. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct cli_link the_link;

enum hf_result cli_protect(const struct cli_options *options, struct hf_error *error)
{
    enum hf_result worst = HF_OK;
    if (options->word_count == 0)
        return hf_fail(error, HF_USAGE, "protect needs a path");
    for (size_t i = 0; i < options->word_count; i++) {
        const char *path = options->words[i];
        char value[32];
        if (options->class) {
            enum hf_result result = cli_protect_path(path, hf_class_name(options->class), error);
            worst = result != HF_OK ? result : worst;
            continue;
        }
        ssize_t len = lgetxattr(path, "user.holdfast.class", value, sizeof value - 1);
        if (len < 0) {
            worst = hf_fail(error, errno == ENOKEY ? HF_LOCKED : HF_FAILED, "%s: its class cannot be read: %s", path,
                            errno == ENODATA || errno == EOPNOTSUPP ? "not in an open vault" : strerror(errno));
            continue;
        }
        value[len] = '\0';
        (void)printf("%s\t", value);
        cli_show(stdout, path);
        (void)putchar('\n');
    }
    return worst;
}

/* Uses the vault's mount, or opens it on a directory of its own for the time of fn. */
static enum hf_result with_mount(const struct cli_options *options, enum hf_result (*fn)(const struct cli_options *, const char *, struct hf_error *),
                                 struct hf_error *error)
{
    static struct hf_owner_status status;
    char directory[64] = "/tmp/holdfast-view-XXXXXX";
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    if (the_link.living) {
        HF_TRY(cli_status_ask(&the_link, &status, error));
        return fn(options, status.mountpoint, error);
    }
    if (!mkdtemp(directory))
        return hf_fail(error, HF_IO, "%s: %s", directory, strerror(errno));
    enum hf_result result = cli_open_at(&the_link, directory, options, error);
    if (result == HF_OK) {
        struct hf_error late = {.result = HF_OK};
        result = fn(options, directory, error);
        if (cli_close_link(&the_link, true, &late) != HF_OK && result == HF_OK) {
            *error = late;
            result = late.result;
        }
    }
    (void)rmdir(directory);
    return result;
}

static enum hf_result export_from(const struct cli_options *options, const char *mountpoint, struct hf_error *error)
{
    uint64_t done = 0, bad = 0;
    HF_TRY(cli_copy_tree(mountpoint, options->words[1], &done, &bad, error));
    (void)printf("%s: %llu objects exported, %llu could not be read whole\n", options->words[1], (unsigned long long)done, (unsigned long long)bad);
    return bad ? hf_fail(error, HF_DAMAGED, "%llu objects could not be exported whole; they are named above", (unsigned long long)bad) : HF_OK;
}

enum hf_result cli_export(const struct cli_options *options, struct hf_error *error)
{
    if (options->word_count != 2)
        return hf_fail(error, HF_USAGE, "holdfast export VAULT DIR");
    return with_mount(options, export_from, error);
}

static enum hf_result check_at(const struct cli_options *options, const char *mountpoint, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    (void)mountpoint;
    if (options->json)
        (void)printf("{\"findings\":[");
    cli_begin(&the_link, &request, HF_OWN_CHECK);
    enum hf_result result = cli_call(&the_link, &request, -1, options->json, error, &body);
    uint64_t objects = 0, findings = 0;
    if (result == HF_OK) {
        objects = hf_read_u64(&body);
        findings = hf_read_u64(&body);
        result = hf_reader_end(&body);
    }
    if (options->json)
        (void)printf("],\"objects\":%llu,\"damaged\":%llu,\"complete\":%s}\n", (unsigned long long)objects, (unsigned long long)findings,
                     result == HF_OK ? "true" : "false");
    else if (result == HF_OK)
        (void)printf("%llu objects checked, %llu findings\n", (unsigned long long)objects, (unsigned long long)findings);
    if (result == HF_OK && findings)
        return hf_fail(error, HF_DAMAGED, "%s: %llu findings of damage or tampering", options->words[0], (unsigned long long)findings);
    return result;
}

enum hf_result cli_check(const struct cli_options *options, struct hf_error *error)
{
    if (options->word_count != 1)
        return hf_fail(error, HF_USAGE, "holdfast check VAULT");
    return with_mount(options, check_at, error);
}
