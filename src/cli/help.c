/* cli/help.c: what --help says. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *verb, *usage, *text;
} helps[] = {
    {"create", "create VAULT [--element tpm2|software|auto] [--tcti CONF] [--attempts N] [--delays S,S,...] [--grace S] [--inactivity S]\n"
               "       [--screen-lock none|complete|after-unlock] [--kdf auto|MIB,PASSES] [--profile plain|personal] [--no-recovery | --recovery-file FILE] [--passcode-fd N] [--trust-this-tpm]\n"
               "       [--measure[=PCRS]] [--sentence-fd N]",
     "Makes a vault in an absent or empty directory and shows its recovery phrase, this once. Without a TPM a strong passphrase is needed."},
    {"open", "open VAULT MOUNTPOINT [--passcode-fd N] [--locked] [--foreground] [--allow-other] [--on-lock fail|wait] [--for files|databases] [--no-freshness]",
     "Starts the programs, unlocks and mounts. --locked: before the first unlock. --foreground: waits until it is closed. --on-lock wait: what needs class complete while locked waits for the unlock.\n"
     "--for databases: the kernel gathers small writes until fsync or some seconds; faster for databases, slower for many small files.\n"
     "--no-freshness is for measuring alone: what was put back is not noticed, and the vault is read-only after it until `accept --all`."},
    {"unlock", "unlock VAULT [--passcode-fd N]", "Unlocks an open vault."},
    {"lock", "lock VAULT [--now]", "Takes the keys of class complete away after the grace period, or at once with --now."},
    {"close", "close VAULT [--force]", "Unmounts and stops everything. --force: also when files are in use; they fail from then on."},
    {"status", "status [VAULT] [--json]", "What the vault is and how strong it really is; without VAULT, all open vaults of yours."},
    {"passcode", "passcode VAULT [--passcode-fd N --new-passcode-fd M]", "Changes the passcode. N and M may be the same descriptor: one line each."},
    {"settings", "settings VAULT [--grace S] [--inactivity S] [--screen-lock none|complete|after-unlock] [--passcode-fd N]", "Changes what a lock does; needs the passcode."},
    {"duress", "duress VAULT [--remove] [--passcode-fd N --new-passcode-fd M]",
     "Sets a second passcode (line of M) that, entered in place of the first at any verb, destroys all keys and is answered as a wrong one. Needs a TPM. --remove: takes it away."},
    {"protect", "protect [--class complete|unless-open|after-unlock|always] PATH...", "Sets the class of files, and of directories with all that is in them, in an open vault; without --class shows it."},
    {"rotate", "rotate VAULT [--class C]", "Makes new class keys and re-encrypts the files under them. The vault must be open and unlocked."},
    {"recover", "recover VAULT [--test] [--recovery-file FILE] [--new-passcode-fd M] [--element KIND] [--tcti CONF] [--trust-this-tpm]\n"
                "       [--measure[=PCRS] | --no-measure] [--sentence-fd N]",
     "With the recovery phrase: a new element, a new passcode and new class keys. --test: only tries whether the phrase opens the vault."},
    {"recovery", "recovery replace VAULT [--passcode-fd N] [--recovery-file FILE]", "Makes a new recovery phrase. Copies made before keep the old one."},
    {"reseal", "reseal VAULT [--predict PCR=HEX,...|FILE] [--measure[=PCRS] | --no-measure] [--sentence-fd N | --no-sentence] [--passcode-fd N]",
     "Seals a measured vault anew: --predict: for the software that comes next too, until its first unlock; else to what runs now. Changes the sentence."},
    {"erase", "erase VAULT [--yes]", "Destroys all keys at once, the recovery keybag included. Needs no passcode. There is no way back."},
    {"export", "export VAULT DIR [--passcode-fd N]", "Copies everything as plain files. Exit 7 when something could not be read; the rest is there."},
    {"check", "check VAULT [--json] [--passcode-fd N]", "Authenticates everything that can be and names damage by path. Exit 7 when there is some."},
    {"accept", "accept VAULT PATH... | --all | --list [--passcode-fd N]",
     "Takes files, names and directories that are not as the vault last saw them (check names them) for good as they are now, by the passcode. --list: what was accepted so far."},
    {"passphrase", "passphrase [--words N]", "Prints a passphrase of N (6 to 24) random words, 11 bits each."},
};

bool cli_help(const char *verb)
{
    if (!verb)
        (void)printf("holdfast: phone-grade data protection\n\n");
    bool found = !verb;
    for (size_t i = 0; i < sizeof helps / sizeof helps[0]; i++) {
        if (verb && strcmp(verb, helps[i].verb) != 0)
            continue;
        found = true;
        (void)printf("holdfast %s\n    %s\n", helps[i].usage, helps[i].text);
    }
    if (!found)
        cli_complain("%s: no such verb", verb);
    if (found)
        (void)printf("\nPasscodes come from the terminal, from pinentry (--pinentry, or with a desktop and no terminal), or from --passcode-fd N (one line), never from the command line or the environment.\n"
                     "Exit: 0 done, 1 failed, 2 usage, 3 wrong passcode, 4 in a delay, 5 erased or limit reached, 6 locked, 7 tampered or damaged,\n"
                     "8 refused by policy, 9 the element cannot be reached.\n");
    return found;
}
