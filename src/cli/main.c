/* cli/main.c: the table of verbs. */
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const struct verb {
    const char *name;
    const char *options; /* as cli_parse wants them */
    enum hf_result (*run)(const struct cli_options *options, struct hf_error *error);
} verbs[] = {
    {"create", " pinentry element= tcti= attempts= delays= grace= inactivity= screen-lock= kdf= profile= no-recovery trust-this-tpm recovery-file= passcode-fd= measure? sentence-fd= ", cli_create},
    {"open", " pinentry passcode-fd= locked foreground allow-other on-lock= for= no-freshness ", cli_open},
    {"unlock", " pinentry passcode-fd= ", cli_unlock},
    {"lock", " now ", cli_lock},
    {"close", " force ", cli_close},
    {"status", " json ", cli_status},
    {"passcode", " pinentry passcode-fd= new-passcode-fd= ", cli_passcode},
    {"settings", " pinentry passcode-fd= grace= inactivity= screen-lock= ", cli_settings},
    {"duress", " pinentry remove passcode-fd= new-passcode-fd= ", cli_duress},
    {"protect", " class= ", cli_protect},
    {"rotate", " class= ", cli_rotate},
    {"recover", " pinentry test recovery-file= new-passcode-fd= element= tcti= trust-this-tpm measure? no-measure sentence-fd= ", cli_recover},
    {"recovery", " pinentry passcode-fd= recovery-file= ", cli_replace},
    {"reseal", " pinentry passcode-fd= predict= measure? no-measure sentence-fd= no-sentence ", cli_reseal},
    {"erase", " yes ", cli_erase},
    {"export", " pinentry passcode-fd= ", cli_export},
    {"check", " pinentry json passcode-fd= ", cli_check},
    {"accept", " pinentry all list passcode-fd= ", cli_accept},
    {"passphrase", " words= ", NULL},
};

int main(int argc, char **argv)
{
    static struct cli_options options;
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc >= 2 && strcmp(argv[1], "--version") == 0)
        return printf("holdfast %s\n", HF_VERSION) < 0;
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0))
        return cli_help(argc >= 3 ? argv[2] : NULL) ? 0 : 2;
    for (size_t i = 0; argc >= 2 && i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        int parsed = cli_parse(argc - 2, argv + 2, verbs[i].options, &options);
        if (parsed)
            return parsed;
        if (options.help)
            return cli_help(verbs[i].name) ? 0 : 2;
        if (!verbs[i].run) {
            if (options.word_count == 0)
                return cli_passphrase(&options);
            (void)fprintf(stderr, "holdfast: passphrase takes no words\n");
            return 2;
        }
        struct hf_error error = {.result = HF_OK};
        cli_use_pinentry(options.pinentry);
        enum hf_result result = verbs[i].run(&options, &error);
        if (result != HF_OK) /* [IF-5] */
            cli_complain("%s", error.result != HF_OK ? error.text : hf_result_text(result));
        if (fflush(stdout) != 0 && result == HF_OK)
            result = HF_IO;
        return hf_result_exit_code(result);
    }
    if (argc >= 2)
        cli_complain("%s: no such verb; see holdfast --help", argv[1]);
    else
        (void)cli_help(NULL);
    return 2;
}
