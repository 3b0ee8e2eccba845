/* cli/verbs.c: one function for each verb of the owner. */
#include "cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64url.h"
#include "os/file.h"
#include "proto/fields.h"

static struct cli_link the_link;

static enum hf_result vault_word(const struct cli_options *options, size_t count, struct hf_error *error)
{
    if (options->word_count != count)
        return hf_fail(error, HF_USAGE, "%zu words are needed here; see --help", count);
    return HF_OK;
}

/* auto: the TPM where there is one; says which and what that means. The limit's default and the passphrase's floor depend on it [EL-12]. */
static uint32_t resolve_element(const struct cli_options *options, const struct cli_link *link)
{
    bool packaged = link->handed < 0; /* there the device is the system user's to open, not ours */
    if (options->element_kind != HF_ELEMENT_AUTO)
        return options->element_kind;
    if (options->tcti[0] || access("/dev/tpmrm0", packaged ? F_OK : R_OK | W_OK) == 0) {
        (void)fprintf(stderr, "holdfast: element: the TPM (%s); it counts guesses and ends them at the limit\n", options->tcti[0] ? options->tcti : "/dev/tpmrm0");
        return HF_ELEMENT_TPM2;
    }
    (void)fprintf(stderr, "holdfast: element: software (/dev/tpmrm0 %s); nothing limits guesses on a copy of the disk: the passphrase is the protection\n",
                  access("/dev/tpmrm0", F_OK) == 0 ? "may not be used by this user" : "is not there");
    return HF_ELEMENT_SOFTWARE;
}

static void default_policy(const struct cli_options *options, uint32_t kind, struct hf_policy *policy)
{
    static const uint32_t delays[] = {60, 300, 900, 3600, 10800, 28800, 86400};
    *policy = options->policy;
    if (!options->attempts_set)
        policy->attempts = kind == HF_ELEMENT_TPM2 ? 10 : 0;
    if (!options->delays_set) {
        policy->delay_count = kind == HF_ELEMENT_TPM2 ? 6 : 7;
        memcpy(policy->delay_s, delays, policy->delay_count * sizeof delays[0]);
    }
}

static enum hf_result create_at(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    struct hf_policy policy;
    char id[33];
    uint8_t bytes[16];
    HF_TRY(cli_connect(&the_link, options->words[0], true, error));
    if (the_link.living)
        return hf_fail(error, HF_EXISTS, "%s: a vault already, and open", options->words[0]);
    HF_TRY(cli_secret_open(&the_link, true, error));
    uint32_t kind = resolve_element(options, &the_link);
    if (kind == HF_ELEMENT_TPM2 && options->attempts_set && options->policy.attempts == 0)
        return hf_fail(error, HF_USAGE, "--attempts 0: a TPM that counts needs a limit, 1 or more");
    bool measured = options->measure != HF_MEASURE_KEEP, sentence;
    if (measured && kind != HF_ELEMENT_TPM2)
        return hf_fail(error, HF_USAGE, "--measure: only a TPM can hold keys for measured software");
    struct cli_secret *secret = cli_secret_new();
    enum hf_result result = cli_ask("New passcode (Enter alone: six random words)", options->passcode_fd, true, secret, error);
    if (result == HF_OK)
        result = cli_strong_enough(secret, kind, error);
    if (result == HF_OK)
        result = cli_secret_send(the_link.secret, HF_SECRET_PASSCODE, secret->bytes, secret->len, error);
    cli_secret_free(&secret);
    HF_TRY(result);
    HF_TRY(cli_send_sentence(options, measured && options->passcode_fd < 0, the_link.secret, &sentence, error));
    default_policy(options, kind, &policy);
    cli_begin(&the_link, &request, HF_OWN_CREATE);
    hf_write_string(&request, the_link.vault);
    hf_policy_write(&request, &policy);
    hf_write_u32(&request, options->kdf_memory_kib);
    hf_write_u32(&request, options->kdf_passes);
    hf_write_u32(&request, kind);
    hf_write_string(&request, options->tcti);
    hf_write_u8(&request, !options->no_recovery);
    hf_write_u8(&request, options->trust_this_tpm);
    hf_write_u32(&request, measured ? options->measure : 0);
    hf_write_u8(&request, sentence);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    hf_read_bytes(&body, bytes, sizeof bytes);
    uint32_t untouched = hf_read_u32(&body);
    bool may_swap = hf_read_bool(&body);
    if (hf_reader_end(&body) != HF_OK)
        return hf_fail(error, HF_PROTOCOL, "%s: made, but the answer is malformed", the_link.vault);
    if (measured)
        cli_warn_of_measuring(options->measure, untouched);
    if (may_swap) /* [EL-23] */
        (void)fprintf(stderr, "holdfast: warning: %s\n", cli_may_swap);
    hf_hex_encode(bytes, sizeof bytes, id);
    (void)printf("%s: made, with the %s element; vault %s\n", the_link.vault, cli_element_name(kind), id);
    if (options->no_recovery) {
        (void)fprintf(stderr, "holdfast: warning: no recovery phrase: if the passcode or this machine is lost, so is everything\n");
        return HF_OK;
    }
    return cli_take_recovery(the_link.secret, options->recovery_file, error);
}

static enum hf_result and_hang_up(enum hf_result result)
{
    cli_hang_up(&the_link);
    return result;
}

enum hf_result cli_create(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    if (options->no_recovery && options->recovery_file)
        return hf_fail(error, HF_USAGE, "--no-recovery and --recovery-file exclude each other");
    if (options->no_recovery && options->measure != HF_MEASURE_KEEP) /* [EL-20] */
        return hf_fail(error, HF_USAGE, "--measure needs a recovery phrase: firmware that changes unforeseen leaves nothing else; drop --no-recovery");
    if (options->sentence_fd >= 0 && options->measure == HF_MEASURE_KEEP)
        return hf_fail(error, HF_USAGE, "--sentence-fd needs --measure: a sentence proves something only when it is sealed to the software");
    if (options->recovery_file && access(options->recovery_file, F_OK) == 0)
        return hf_fail(error, HF_EXISTS, "%s: exists already; the phrase overwrites nothing", options->recovery_file);
    return and_hang_up(create_at(options, error));
}

static enum hf_result ask_and_send(const char *prompt, int fd, int end, struct hf_error *error)
{
    struct cli_secret *secret = cli_secret_new();
    enum hf_result result = cli_ask(prompt, fd, false, secret, error);
    if (result == HF_OK)
        result = cli_secret_send(end, HF_SECRET_PASSCODE, secret->bytes, secret->len, error);
    cli_secret_free(&secret);
    return result;
}

enum hf_result cli_send_passcode(int fd, int end, struct hf_error *error)
{
    return ask_and_send("Passcode", fd, end, error);
}

static void tell_failures(const struct hf_owner_status *status)
{
    if (status->enclave.failed_since_unlock)
        (void)fprintf(stderr, "holdfast: %u failed tries since the last unlock\n", status->enclave.failed_since_unlock);
}

enum hf_result cli_open_at(struct cli_link *link, const char *mountpoint, const struct cli_options *options, struct hf_error *error)
{
    static struct hf_owner_status status;
    char path[PATH_MAX];
    struct hf_writer request;
    struct hf_reader body;
    struct stat root;
    if (options->wait && options->databases)
        return hf_fail(error, HF_USAGE, "--on-lock wait and --for databases exclude each other");
    if (!realpath(mountpoint, path))
        return hf_fail(error, errno == ENOENT ? HF_NOT_FOUND : HF_FAILED, "%s: %s", mountpoint, strerror(errno));
    bool there = lstat(path, &root) == 0;
    if (there && !S_ISDIR(root.st_mode))
        return hf_fail(error, HF_FAILED, "%s: not a directory", mountpoint);
    if (!there && errno == ENOTCONN && geteuid() != 0) /* root mounts over it */
        return hf_fail(error, HF_BUSY, "%s: a mount stands there whose programs are dead; take it away first: fusermount3 -uz %s", mountpoint, mountpoint);
    if (!options->locked) {
        HF_TRY(cli_show_sentence(link, error));
        HF_TRY(cli_secret_open(link, false, error));
        HF_TRY(cli_send_passcode(options->passcode_fd, link->secret, error));
    }
    cli_begin(link, &request, HF_OWN_OPEN);
    hf_write_string(&request, link->vault);
    hf_write_string(&request, path);
    hf_write_u32(&request, (options->locked ? HF_OPEN_LOCKED : 0) | (options->allow_other ? HF_OPEN_ALLOW_OTHER : 0) | (options->databases ? HF_OPEN_DATABASES : 0) |
                               (options->wait ? HF_OPEN_WAIT : 0) | (options->no_freshness ? HF_OPEN_NO_FRESHNESS : 0));
    HF_TRY(cli_call(link, &request, options->locked ? -1 : link->handed, false, error, &body));
    HF_TRY(cli_status_read(&body, &status, error));
    tell_failures(&status);
    if (geteuid() != 0)
        (void)lstat(path, &root); /* until it has asked once, the kernel takes the root for its own and refuses its owner's chmod */
    if (status.last_stop[0])
        cli_complain("last time this vault was not closed in order: %s", status.last_stop);
    return status.enclave.policy.profile && !options->locked ? cli_layout(path, error) : HF_OK;
}

enum hf_result cli_open(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 2, error));
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    if (the_link.living)
        return hf_fail(error, HF_BUSY, "%s: open already; see holdfast status", options->words[0]);
    HF_TRY(cli_open_at(&the_link, options->words[1], options, error));
    (void)printf("%s: open at %s\n", the_link.vault, options->words[1]);
    (void)fflush(stdout);
    if (options->foreground) {
        struct hf_writer request;
        struct hf_reader body;
        struct hf_error ignored;
        cli_begin(&the_link, &request, HF_OWN_WAIT);
        (void)cli_call(&the_link, &request, -1, false, &ignored, &body);
    }
    cli_hang_up(&the_link);
    return HF_OK;
}

static enum hf_result unlock_at(const struct cli_options *options, struct hf_error *error)
{
    static struct hf_owner_status status;
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(cli_connect_living(&the_link, options->words[0], error));
    HF_TRY(cli_show_sentence(&the_link, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    HF_TRY(cli_send_passcode(options->passcode_fd, the_link.secret, error));
    cli_begin(&the_link, &request, HF_OWN_UNLOCK);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    HF_TRY(cli_status_read(&body, &status, error));
    tell_failures(&status);
    return HF_OK;
}

enum hf_result cli_unlock(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    return and_hang_up(unlock_at(options, error));
}

enum hf_result cli_lock(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(vault_word(options, 1, error));
    HF_TRY(cli_connect_living(&the_link, options->words[0], error));
    cli_begin(&the_link, &request, HF_OWN_LOCK);
    hf_write_u8(&request, options->now);
    return cli_call(&the_link, &request, -1, false, error, &body);
}

enum hf_result cli_close_link(struct cli_link *link, bool force, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    enum { TRIES = 20, PAUSE_US = 100000 };
    enum hf_result result = HF_BUSY;
    /* The kernel tells the filesystem of a closed file a little later than the program that closed it. */
    for (int tries = 0; result == HF_BUSY && tries < TRIES; tries++) {
        if (tries > 0)
            (void)usleep(PAUSE_US);
        cli_begin(link, &request, HF_OWN_CLOSE);
        hf_write_u8(&request, force);
        result = cli_call(link, &request, -1, false, error, &body);
    }
    uint8_t byte[1];
    size_t len = 0;
    /* The supervisor ends now: when it has let go, the vault can be opened again. */
    if (result == HF_OK && hf_ipc_recv(link->socket, byte, sizeof byte, &len, NULL, 0, NULL, 10000) == HF_OK)
        return HF_OK;
    return result;
}

enum hf_result cli_close(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    HF_TRY(cli_connect_living(&the_link, options->words[0], error));
    return cli_close_link(&the_link, options->force, error);
}

struct listing {
    bool json;
    size_t count;
};

/* A vault that closes meanwhile is passed over. */
static enum hf_result list_one(struct cli_link *link, void *arg, struct hf_error *error)
{
    static struct hf_owner_status status;
    struct listing *listing = arg;
    (void)error;
    struct hf_error ignored = {.result = HF_OK};
    if (cli_status_ask(link, &status, &ignored) != HF_OK)
        return HF_OK;
    if (listing->json && listing->count)
        (void)printf(",");
    listing->count++;
    cli_status_print(&status, listing->json);
    return HF_OK;
}

/* All open vaults of the user. */
static enum hf_result list_status(bool json, struct hf_error *error)
{
    struct listing listing = {.json = json};
    if (json)
        (void)printf("{\"vaults\":[");
    HF_TRY(cli_each_living(&the_link, list_one, &listing, error));
    if (json)
        (void)printf("]}\n");
    else if (listing.count == 0)
        (void)printf("no vault is open\n");
    return HF_OK;
}

enum hf_result cli_status(const struct cli_options *options, struct hf_error *error)
{
    static struct hf_owner_status status;
    if (options->word_count == 0)
        return list_status(options->json, error);
    HF_TRY(vault_word(options, 1, error));
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    HF_TRY(cli_status_ask(&the_link, &status, error));
    if (!the_link.living) { /* the programs that answered have ended already */
        status.pid_super = status.pid_enclave = status.pid_element = 0;
    }
    cli_status_print(&status, options->json);
    if (options->json)
        (void)printf("\n");
    cli_hang_up(&the_link);
    return HF_OK;
}

static enum hf_result send_fresh(const char *prompt, const struct cli_options *options, uint32_t kind, int mine, struct hf_error *error)
{
    struct cli_secret *fresh = cli_secret_new();
    enum hf_result result = cli_ask(prompt, options->new_passcode_fd, true, fresh, error);
    if (result == HF_OK)
        result = cli_strong_enough(fresh, kind, error);
    if (result == HF_OK)
        result = cli_secret_send(mine, HF_SECRET_NEW_PASSCODE, fresh->bytes, fresh->len, error);
    cli_secret_free(&fresh);
    return result;
}

static enum hf_result send_new(const struct cli_options *options, uint32_t kind, int mine, struct hf_error *error)
{
    return send_fresh("New passcode (Enter alone: six random words)", options, kind, mine, error);
}

static enum hf_result passcode_at(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    HF_TRY(cli_show_sentence(&the_link, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    HF_TRY(ask_and_send("Old passcode", options->passcode_fd, the_link.secret, error));
    HF_TRY(send_new(options, the_link.element_kind, the_link.secret, error));
    cli_begin(&the_link, &request, HF_OWN_PASSCODE);
    hf_write_string(&request, the_link.vault);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    (void)printf("%s: the passcode is changed\n", the_link.vault);
    return HF_OK;
}

enum hf_result cli_passcode(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    return and_hang_up(passcode_at(options, error));
}

static enum hf_result settings_at(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    HF_TRY(cli_show_sentence(&the_link, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    HF_TRY(ask_and_send("Passcode", options->passcode_fd, the_link.secret, error));
    cli_begin(&the_link, &request, HF_OWN_SETTINGS);
    hf_write_string(&request, the_link.vault);
    hf_write_u32(&request, options->settings);
    hf_write_u32(&request, options->policy.grace_s);
    hf_write_u32(&request, options->policy.inactivity_s);
    hf_write_u32(&request, options->policy.screen_lock);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    (void)printf("%s: the settings are changed\n", the_link.vault);
    return HF_OK;
}

enum hf_result cli_settings(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    if (options->settings == 0)
        return hf_fail(error, HF_USAGE, "say what to change: --grace, --inactivity, --screen-lock; holdfast status shows what is");
    return and_hang_up(settings_at(options, error));
}

static enum hf_result duress_at(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    if (the_link.element_kind == HF_ELEMENT_SOFTWARE)
        return hf_fail(error, HF_USAGE, "%s: its element is software: only a TPM can hold a duress passcode", options->words[0]);
    HF_TRY(cli_show_sentence(&the_link, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    HF_TRY(ask_and_send("Passcode", options->passcode_fd, the_link.secret, error));
    if (!options->remove)
        HF_TRY(send_fresh("Duress passcode, which destroys all keys", options, the_link.element_kind, the_link.secret, error));
    cli_begin(&the_link, &request, HF_OWN_DURESS);
    hf_write_string(&request, the_link.vault);
    hf_write_u8(&request, options->remove);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    if (options->remove)
        (void)printf("%s: there is no duress passcode\n", the_link.vault);
    else
        (void)printf("%s: the duress passcode is set; entered in place of the passcode it destroys all keys, with no question and no way back\n", the_link.vault);
    return HF_OK;
}

enum hf_result cli_duress(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    return and_hang_up(duress_at(options, error));
}

static enum hf_result recover_at(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    uint32_t kind = options->test ? HF_ELEMENT_SOFTWARE : resolve_element(options, &the_link); /* a test makes no element */
    HF_TRY(cli_send_recovery(the_link.secret, options->recovery_file, error));
    bool measured = options->measure != HF_MEASURE_KEEP, sentence = false;
    if (measured && kind != HF_ELEMENT_TPM2)
        return hf_fail(error, HF_USAGE, "--measure: only a TPM can hold keys for measured software");
    if (!options->test) {
        HF_TRY(send_new(options, kind, the_link.secret, error));
        HF_TRY(cli_send_sentence(options, measured && options->new_passcode_fd < 0, the_link.secret, &sentence, error));
    }
    cli_begin(&the_link, &request, HF_OWN_RECOVER);
    hf_write_string(&request, the_link.vault);
    hf_write_u8(&request, options->test);
    hf_write_u32(&request, kind);
    hf_write_string(&request, options->tcti);
    hf_write_u8(&request, options->trust_this_tpm);
    hf_write_u32(&request, options->no_measure ? 0 : options->measure);
    hf_write_u8(&request, sentence);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    if (options->test)
        (void)printf("%s: the recovery phrase opens it\n", the_link.vault);
    else
        (void)printf("%s: recovered; %u new class keys. Open it and run `holdfast rotate` to re-encrypt the files under them\n", the_link.vault,
                     hf_read_u32(&body));
    return HF_OK;
}

enum hf_result cli_recover(const struct cli_options *options, struct hf_error *error)
{
    HF_TRY(vault_word(options, 1, error));
    if (options->no_measure && options->measure != HF_MEASURE_KEEP)
        return hf_fail(error, HF_USAGE, "--measure and --no-measure exclude each other");
    if (options->sentence_fd >= 0 && (options->measure == HF_MEASURE_KEEP || options->test))
        return hf_fail(error, HF_USAGE, "--sentence-fd needs --measure, and a recovery that is not --test");
    return and_hang_up(recover_at(options, error));
}

static enum hf_result replace_at(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(cli_connect(&the_link, options->words[1], false, error));
    HF_TRY(cli_show_sentence(&the_link, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    HF_TRY(cli_send_passcode(options->passcode_fd, the_link.secret, error));
    cli_begin(&the_link, &request, HF_OWN_REPLACE);
    hf_write_string(&request, the_link.vault);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    HF_TRY(cli_take_recovery(the_link.secret, options->recovery_file, error));
    (void)fprintf(stderr, "holdfast: copies and backups made before still open with the old phrase\n");
    return HF_OK;
}

enum hf_result cli_replace(const struct cli_options *options, struct hf_error *error)
{
    if (options->word_count != 2 || strcmp(options->words[0], "replace") != 0)
        return hf_fail(error, HF_USAGE, "holdfast recovery replace VAULT");
    if (options->recovery_file && access(options->recovery_file, F_OK) == 0)
        return hf_fail(error, HF_EXISTS, "%s: exists already; the phrase overwrites nothing", options->recovery_file);
    return and_hang_up(replace_at(options, error));
}

static const char *what_was_done(const struct hf_seal_request *seal)
{
    if (seal->how == HF_SEAL_KEEP)
        return "the sentence is changed";
    if (seal->how == HF_SEAL_PREDICTED)
        return "sealed to the predicted software too, until its first unlock";
    return seal->measure == 0 ? "no longer sealed to measured software" : "sealed to the software that runs now, and to no other";
}

static enum hf_result reseal_at(const struct cli_options *options, const struct hf_seal_request *seal, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    bool sentence;
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    if (the_link.element_kind == HF_ELEMENT_SOFTWARE)
        return hf_fail(error, HF_USAGE, "%s: its element is software: only a TPM can hold keys for measured software", options->words[0]);
    HF_TRY(cli_show_sentence(&the_link, error));
    HF_TRY(cli_secret_open(&the_link, false, error));
    HF_TRY(ask_and_send("Passcode", options->passcode_fd, the_link.secret, error));
    HF_TRY(cli_send_sentence(options, false, the_link.secret, &sentence, error));
    cli_begin(&the_link, &request, HF_OWN_RESEAL);
    hf_write_string(&request, the_link.vault);
    hf_seal_request_write(&request, seal);
    hf_write_u8(&request, sentence ? HF_SENTENCE_NEW : options->no_sentence ? HF_SENTENCE_NONE : HF_SENTENCE_KEPT);
    HF_TRY(cli_call(&the_link, &request, the_link.handed, false, error, &body));
    (void)printf("%s: %s\n", the_link.vault, what_was_done(seal));
    return HF_OK;
}

enum hf_result cli_reseal(const struct cli_options *options, struct hf_error *error)
{
    struct hf_seal_request seal = {.how = HF_SEAL_PRESENT, .measure = options->no_measure ? 0 : options->measure};
    if (options->word_count < 1 || (options->prediction_count == 0 && options->word_count > 1))
        return hf_fail(error, HF_USAGE, "holdfast reseal VAULT [--predict PCR=HEX,...|FILE]; see --help");
    if ((options->prediction_count > 0) + options->no_measure + (options->measure != HF_MEASURE_KEEP) > 1)
        return hf_fail(error, HF_USAGE, "--predict, --measure and --no-measure exclude each other");
    if (options->sentence_fd >= 0 && (options->no_sentence || options->no_measure))
        return hf_fail(error, HF_USAGE, "--sentence-fd excludes --no-sentence and --no-measure");
    bool anew = options->no_measure || options->measure != HF_MEASURE_KEEP;
    if (!anew && (options->sentence_fd >= 0 || options->no_sentence)) /* the sentence alone: a prediction that waits goes on waiting */
        seal.how = HF_SEAL_KEEP;
    if (options->prediction_count > 0) {
        seal.how = HF_SEAL_PREDICTED;
        HF_TRY(cli_prediction(options, &seal.predicted, error));
    }
    return and_hang_up(reseal_at(options, &seal, error));
}

enum hf_result cli_rotate(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(vault_word(options, 1, error));
    HF_TRY(cli_connect_living(&the_link, options->words[0], error));
    cli_begin(&the_link, &request, HF_OWN_ROTATE);
    hf_write_u8(&request, (uint8_t)options->class);
    HF_TRY(cli_call(&the_link, &request, -1, false, error, &body));
    (void)printf("%s: new class keys; %llu files re-encrypted\n", the_link.vault, (unsigned long long)hf_read_u64(&body));
    return HF_OK;
}

enum hf_result cli_erase(const struct cli_options *options, struct hf_error *error)
{
    struct hf_writer request;
    struct hf_reader body;
    HF_TRY(vault_word(options, 1, error));
    if (!options->yes) {
        char answer[16] = "";
        if (!isatty(0))
            return hf_fail(error, HF_USAGE, "erase asks first; without a terminal say --yes");
        (void)printf("Destroy every key of %s, the recovery phrase's included? There is no way back. Type erase: ", options->words[0]);
        (void)fflush(stdout);
        if (!fgets(answer, sizeof answer, stdin) || strcmp(answer, "erase\n") != 0)
            return hf_fail(error, HF_FAILED, "nothing was erased");
    }
    HF_TRY(cli_connect(&the_link, options->words[0], false, error));
    cli_begin(&the_link, &request, HF_OWN_ERASE);
    hf_write_string(&request, the_link.vault);
    HF_TRY(cli_call(&the_link, &request, -1, false, error, &body));
    (void)printf("%s: erased\n", the_link.vault);
    return HF_OK;
}
