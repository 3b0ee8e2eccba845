/* cli/cli.h: the owner's command. It holds a passcode in transit, in locked memory, and nothing else. Source: spec/01-interface.md. */
#ifndef HF_CLI_CLI_H
#define HF_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "os/process.h"
#include "proto/message.h"
#include "proto/mount.h"
#include "proto/owner.h"

#define HF_CLI_PASSCODE_MAX 1024
#define HF_CLI_STRENGTH_BITS 64.0
#define HF_CLI_VERB_MAX 8000 /* the supervisor's limit is 8,192 */

struct cli_options {
    const char *words[64]; /* what is no option: the vault, the mountpoint, paths */
    size_t word_count;
    bool help, json, now, force, locked, foreground, allow_other, databases, yes, test, no_recovery, trust_this_tpm, pinentry, all, list, remove, no_freshness;
    int passcode_fd, new_passcode_fd; /* -1: the terminal */
    const char *recovery_file;
    unsigned class; /* 0: none given */
    uint32_t element_kind;
    const char *tcti;
    bool attempts_set, delays_set;
    struct hf_policy policy;
    uint32_t settings; /* HF_SETTING_*: which of the policy were said */
    bool wait;
    uint32_t kdf_memory_kib, kdf_passes;
    uint32_t passphrase_words;
    bool no_measure, no_sentence;
    uint32_t measure;      /* PCRs, or HF_MEASURE_KEEP: not said */
    int sentence_fd;
    const char *predictions[16]; /* as given, with PCR=HEX in them or the name of a file */
    size_t prediction_count;
};

/* A passcode as it was typed, in locked memory. */
struct cli_secret {
    size_t len;
    uint8_t bytes[HF_CLI_PASSCODE_MAX];
};

/* A connection to the vault's supervisor, and the child when this command started it. */
struct cli_link {
    char vault[4096];
    bool foreign; /* the keybag is another user's: packaged */
    bool have_id;
    uint8_t vault_id[16];
    uint32_t element_kind; /* from the public header; AUTO when there is none */
    int socket;
    int secret, handed; /* where secrets go and come from; the end that a verb hands on (-1: none) */
    bool living; /* it served the vault before */
    struct hf_process child;
    uint8_t out[HF_IPC_MAX], in[HF_IPC_MAX];
};

/* line.c: text that may hold anything. Control characters and bytes that are no characters: \xNN for people, \u00NN and \udcNN in JSON [IF-8]. */
void cli_show(FILE *out, const char *text);
/* "holdfast: ", the text as cli_show does, a line's end; on standard error. */
void cli_complain(const char *format, ...) HF_PRINTF(1, 2);
void cli_json_string(const char *text);

/* status.c: [EL-23] for people. */
extern const char cli_may_swap[];

/* parse.c */
int cli_parse(int argc, char **argv, const char *allowed, struct cli_options *ret);
/* help.c */
bool cli_help(const char *verb); /* false: no such verb */

/* link.c */
enum hf_result cli_vault_path(struct cli_link *link, const char *vault, bool may_be_absent, struct hf_error *error);
enum hf_result cli_connect(struct cli_link *link, const char *vault, bool may_be_absent, struct hf_error *error);
/* The living supervisor only: HF_NOT_FOUND when the vault is closed. */
enum hf_result cli_connect_living(struct cli_link *link, const char *vault, struct hf_error *error);
/* Calls visit with a connection to each supervisor of the user's open vaults. */
enum hf_result cli_each_living(struct cli_link *link, enum hf_result (*visit)(struct cli_link *link, void *arg, struct hf_error *error), void *arg,
                               struct hf_error *error);
void cli_begin(struct cli_link *link, struct hf_writer *writer, uint16_t verb);
/* Sends, prints what comes before the reply, returns the verdict. findings: counts what `check` names. */
enum hf_result cli_call(struct cli_link *link, struct hf_writer *request, int secret, bool json, struct hf_error *error, struct hf_reader *ret_body);
/* The status that a reply's body holds; and the one of the link's vault. */
enum hf_result cli_status_read(struct hf_reader *body, struct hf_owner_status *ret, struct hf_error *error);
enum hf_result cli_status_ask(struct cli_link *link, struct hf_owner_status *ret, struct hf_error *error);
void cli_hang_up(struct cli_link *link);

/* progress.c: on a terminal a bar with rate and remaining time, else a plain line now and then; on standard error. */
void cli_progress(const char *what, uint64_t done, uint64_t total); /* total 0: not known */
void cli_progress_message(struct hf_reader *reader);
void cli_progress_end(void);

/* ask.c */
struct cli_secret *cli_secret_new(void);
void cli_secret_free(struct cli_secret **secret);
enum hf_result cli_ask(const char *prompt, int fd, bool twice, struct cli_secret *ret, struct hf_error *error);
/* A line that is no secret to whoever looks on: from fd, or with echo from the terminal (where there is none: empty). May be empty. */
enum hf_result cli_ask_line(const char *prompt, int fd, struct cli_secret *ret, struct hf_error *error);
void cli_use_pinentry(bool asked);
/* measure.c: the owner's sentence and predictions [EL-21] [EL-22] */
/* Before a passcode is asked for: refuses other software than the vault is sealed to, and shows the sentence. */
enum hf_result cli_show_sentence(struct cli_link *link, struct hf_error *error);
/* From --sentence-fd, or asked for on the terminal (Enter: none); *ret_there: one was sent to the enclave. */
enum hf_result cli_send_sentence(const struct cli_options *options, bool ask, int end, bool *ret_there, struct hf_error *error);
enum hf_result cli_prediction(const struct cli_options *options, struct hf_measure *ret, struct hf_error *error);
void cli_warn_of_measuring(uint32_t pcrs, uint32_t untouched);
/* pinentry.c: its window in the terminal's place, when it is asked for or there is a desktop and no terminal. */
bool cli_pinentry_wanted(bool asked);
enum hf_result cli_pinentry(const char *prompt, struct cli_secret *ret, struct hf_error *error);
/* Its window shows this line too; NULL: none. The caller's until the next call. */
void cli_pinentry_sentence(const char *sentence);
enum hf_result cli_strong_enough(const struct cli_secret *secret, uint32_t element_kind, struct hf_error *error);
/* Where the vault's secrets go: a pair of which the verb hands one end on, or (packaged mode) a connection to the enclave [PK-2]. */
enum hf_result cli_secret_open(struct cli_link *link, bool creating, struct hf_error *error);
enum hf_result cli_secret_send(int end, uint8_t kind, const void *bytes, size_t len, struct hf_error *error);

/* verbs.c: asks for the passcode and sends it. */
enum hf_result cli_send_passcode(int fd, int end, struct hf_error *error);

/* phrase.c */
void cli_words(unsigned count, char *out, size_t cap);
enum hf_result cli_take_recovery(int end, const char *file, struct hf_error *error);
enum hf_result cli_send_recovery(int end, const char *file, struct hf_error *error);
int cli_passphrase(const struct cli_options *options);

/* status.c */
void cli_status_print(const struct hf_owner_status *status, bool json);
const char *cli_element_name(uint32_t kind);

/* verbs.c, tree.c */
enum hf_result cli_create(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_open(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_open_at(struct cli_link *link, const char *mountpoint, const struct cli_options *options, struct hf_error *error);
/* The personal profile's folders, in a vault that is empty. */
enum hf_result cli_layout(const char *mountpoint, struct hf_error *error);
enum hf_result cli_unlock(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_lock(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_close(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_close_link(struct cli_link *link, bool force, struct hf_error *error);
enum hf_result cli_status(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_passcode(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_settings(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_recover(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_replace(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_reseal(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_duress(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_rotate(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_erase(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_protect(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_export(const struct cli_options *options, struct hf_error *error);
enum hf_result cli_check(const struct cli_options *options, struct hf_error *error);
/* accept.c */
enum hf_result cli_accept(const struct cli_options *options, struct hf_error *error);
/* protect.c: the path and, for a directory, everything in it gets the class. */
enum hf_result cli_protect_path(const char *path, const char *class, struct hf_error *error);
/* copy.c: attributes, owner, mode, times. */
void cli_copy_metadata(const char *from, const char *to, const struct stat *st);
enum hf_result cli_copy_tree(const char *from, const char *to, uint64_t *ret_done, uint64_t *ret_bad, struct hf_error *error);

#endif
