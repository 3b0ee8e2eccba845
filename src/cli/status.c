/* cli/status.c: what a vault says about itself, for people and as one JSON object [IF-3]. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/base64url.h"

static const char *state_name(unsigned state)
{
    static const char *const names[] = {"closed", "before-first-unlock", "unlocked", "locking", "locked", "erased"};
    return state < sizeof names / sizeof names[0] ? names[state] : "unknown";
}

const char *cli_element_name(uint32_t kind)
{
    return kind == HF_ELEMENT_TPM2 ? "tpm2" : kind == HF_ELEMENT_SOFTWARE ? "software" : "none";
}

static const char *verb_name(unsigned verb)
{
    static const char *const names[] = {"create", "open", "unlock", "lock", "close", "status", "passcode", "recover", "recovery", "rotate", "erase", "check", "wait", "secrets", "settings", "reseal", "sentence", "accept"};
    unsigned at = verb - HF_OWN_CREATE;
    return at < sizeof names / sizeof names[0] ? names[at] : "unknown";
}

static const char *freshness_name(unsigned freshness)
{
    static const char *const names[] = {"sound", "lost", "older", "untended", "off"};
    return freshness < sizeof names / sizeof names[0] ? names[freshness] : "unknown";
}

static const char *freshness_text(unsigned freshness)
{
    switch (freshness) {
    case HF_FRESHNESS_LOST: return "its index is missing or damaged (was the vault copied or restored in part?)";
    case HF_FRESHNESS_OLDER: return "its index and its head are of different times (one was put back, or restored alone)";
    case HF_FRESHNESS_UNTENDED: return "it was open with --no-freshness";
    default: return NULL;
    }
}

static void print_json(const struct hf_owner_status *status)
{
    const struct hf_enclave_status *enclave = &status->enclave;
    const struct hf_element_status *element = &enclave->element;
    const struct hf_policy *policy = &enclave->policy;
    char id[33];
    hf_hex_encode(enclave->vault_id, 16, id);
    (void)printf("{\"vault\":");
    cli_json_string(status->vault);
    (void)printf(",\"vault_id\":\"%s\",\"state\":\"%s\",\"mountpoint\":", id, state_name(status->state));
    if (status->mountpoint[0])
        cli_json_string(status->mountpoint);
    else
        (void)printf("null");
    (void)printf(",\"element\":{\"kind\":\"%s\",\"hardware\":%s,\"vendor\":", cli_element_name(element->kind), element->hardware ? "true" : "false");
    cli_json_string(element->vendor);
    (void)printf(",\"failed\":%u,\"limit\":%u,\"retry_after_s\":%u,\"erase\":%s,\"finished\":%s,\"generation\":%llu", element->failed, element->limit,
                 element->retry_after_s, element->erases ? "true" : "false", element->state == HF_ELEMENT_FINISHED ? "true" : "false",
                 (unsigned long long)element->generation);
    size_t len = strlen(element->public_json); /* an object's text: its fields become ours */
    if (len > 2 && element->public_json[0] == '{' && element->public_json[len - 1] == '}')
        (void)printf(",%.*s", (int)(len - 2), element->public_json + 1);
    (void)printf("},\"classes\":{");
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        (void)printf("%s\"%s\":%s", class > HF_CLASS_FIRST ? "," : "", hf_class_name(class), enclave->available & HF_CLASS_BIT(class) ? "true" : "false");
    (void)printf("},\"open_unless_open\":%u,\"open_unless_open_since_s\":%u,\"failed_since_unlock\":%u,\"settings\":{\"attempts\":%u,\"delays\":[", status->open_unless_open, status->unless_open_s,
                 enclave->failed_since_unlock, policy->attempts);
    for (uint32_t i = 0; i < policy->delay_count && i < HF_KEYBAG_DELAYS_MAX; i++)
        (void)printf("%s%u", i ? "," : "", policy->delay_s[i]);
    (void)printf("],\"grace_s\":%u,\"inactivity_s\":%u,\"screen_lock\":\"%s\",\"profile\":\"%s\",\"recovery\":%s,\"kdf_memory_kib\":%u,\"kdf_passes\":%u,\"kdf_lanes\":%u}",
                 policy->grace_s, policy->inactivity_s, policy->screen_lock ? hf_class_name(policy->screen_lock) : "none", policy->profile ? "personal" : "plain", enclave->has_recovery ? "true" : "false",
                 enclave->kdf_memory_kib, enclave->kdf_passes, enclave->kdf_lanes);
    const uint32_t pids[] = {status->pid_super, status->pid_enclave, status->pid_element, status->pid_fs};
    static const char *const programs[] = {"holdfast-super", "holdfast-enclave", "holdfast-element", "holdfast-fs"};
    bool any = false;
    (void)printf(",\"pids\":{");
    for (size_t i = 0; i < 4; i++) {
        if (pids[i]) {
            (void)printf("%s\"%s\":%u", any ? "," : "", programs[i], pids[i]);
            any = true;
        }
    }
    static const char *const memory[] = {"none", "memfd_secret", "mlock"};
    (void)printf("},\"since_s\":%u,\"triggers\":{\"screen\":%s,\"suspend\":%s,\"note\":", status->since_s, status->watches & HF_WATCHES_SCREEN ? "true" : "false",
                 status->watches & HF_WATCHES_SUSPEND ? "true" : "false");
    cli_json_string(status->bus_note);
    (void)printf("},\"last_stop\":");
    if (status->last_stop[0])
        cli_json_string(status->last_stop);
    else
        (void)printf("null");
    (void)printf(",\"grace_left_s\":%u,\"generation\":%llu,\"secret_memory\":\"%s\",\"kdf_may_swap\":%s,\"note\":", status->grace_left_s, (unsigned long long)enclave->generation,
                 memory[enclave->secret_memory < 3 ? enclave->secret_memory : 0], enclave->kdf_may_swap ? "true" : "false");
    cli_json_string(enclave->note);
    if (status->under_way)
        (void)printf(",\"under_way\":\"%s\"", verb_name(status->under_way));
    else
        (void)printf(",\"under_way\":null");
    (void)printf(",\"freshness\":\"%s\"", freshness_name(status->freshness));
    (void)printf(",\"version\":\"%s\",\"enclave_sha256\":", HF_VERSION);
    if (status->enclave_sha256[0])
        cli_json_string(status->enclave_sha256);
    else
        (void)printf("null");
    (void)printf("}");
}

/* The element's public parts say why it is called hardware. */
static const char *trust_words(const struct hf_element_status *element)
{
    if (!element->hardware)
        return " (emulated or unverified: not known to be hardware)";
    return strstr(element->public_json, "\"trust\":\"certificate\"") ? " (EK certificate verified)" : " (hardware by its owner's word)";
}

static void print_measured(const struct hf_element_status *element)
{
    static const char *const fits[] = {"not known", "what it is sealed to", "the predicted one: the next unlock completes it", "OTHER software: the passcode does not open it"};
    char list[64];
    if (element->pcrs == 0)
        return;
    hf_pcr_list_print(element->pcrs, list, sizeof list);
    (void)printf("measured: sealed to PCR %s; what runs now is %s\n", list, fits[element->fit <= HF_FIT_NONE ? element->fit : 0]);
    if (element->predicted)
        (void)printf("reseal pending: two seals stand, until the predicted software's first unlock\n");
    hf_pcr_list_print(element->untouched_pcrs, list, sizeof list);
    if (element->untouched_pcrs)
        (void)printf("warning: nothing was measured into PCR %s\n", list);
}

const char cli_may_swap[] = "Argon2id's memory cannot be locked and this machine swaps: who gets a page of it from there guesses fast; raise the limit (ulimit -l), or encrypt the swap";

static void print_note(const char *what, const char *text)
{
    if (!text[0])
        return;
    (void)fputs(what, stdout);
    cli_show(stdout, text);
    (void)putchar('\n');
}

static void print_human(const struct hf_owner_status *status)
{
    const struct hf_enclave_status *enclave = &status->enclave;
    const struct hf_element_status *element = &enclave->element;
    const struct hf_policy *policy = &enclave->policy;
    cli_show(stdout, status->vault);
    (void)printf(": %s", state_name(status->state));
    if (status->mountpoint[0]) {
        (void)printf(", at ");
        cli_show(stdout, status->mountpoint);
        (void)printf(", for %u s", status->since_s);
    }
    if (status->state == HF_STATE_LOCKING)
        (void)printf(", %u s of grace left", status->grace_left_s);
    bool locked = status->state == HF_STATE_LOCKED || status->state == HF_STATE_BEFORE_FIRST_UNLOCK;
    if (locked && status->open_unless_open)
        (void)printf(", %u files of class unless-open still open, the oldest for %u s", status->open_unless_open, status->unless_open_s);
    if (status->under_way)
        (void)printf(" (%s is under way)", verb_name(status->under_way));
    (void)printf("\n");
    if (freshness_text(status->freshness))
        (void)printf("freshness: read-only: %s; look at it, then `holdfast accept %s --all`\n", freshness_text(status->freshness), status->vault);
    else if (status->freshness == HF_FRESHNESS_OFF)
        (void)printf("freshness: off (--no-freshness): for measuring alone\n");
    if (element->kind == HF_ELEMENT_TPM2) {
        (void)printf("element: guesses counted by ");
        cli_show(stdout, element->vendor[0] ? element->vendor : "TPM");
        (void)printf("%s\n", trust_words(element));
    } else if (element->kind == HF_ELEMENT_SOFTWARE)
        (void)printf("element: software: %s; strength = passphrase x Argon2id\n", element->limit ? "the limit holds against this program only" : "no guess limit");
    print_measured(element);
    (void)printf("tries: %u failed", element->failed);
    if (element->limit)
        (void)printf(" of %u", element->limit);
    if (element->retry_after_s)
        (void)printf(", the next in %u s", element->retry_after_s);
    if (element->state == HF_ELEMENT_FINISHED)
        (void)printf(", the limit is reached: only the recovery phrase opens it");
    (void)printf("\nclasses:");
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
        (void)printf(" %s %s%s", hf_class_name(class), enclave->available & HF_CLASS_BIT(class) ? "yes" : "no", class < HF_CLASS_LAST ? "," : "\n");
    (void)printf("recovery phrase: %s; Argon2id %u MiB, %u passes\n", enclave->has_recovery ? "yes" : "none", enclave->kdf_memory_kib / 1024, enclave->kdf_passes);
    static const char *const touches[] = {"nothing", "class complete", "", "all but class always"};
    (void)printf("lock: grace %u s; the screen's lock takes %s; back to before the first unlock after %u s locked%s\n", policy->grace_s,
                 touches[policy->screen_lock < 4 ? policy->screen_lock : 0], policy->inactivity_s, policy->inactivity_s ? "" : " (never)");
    print_note("note: ", status->bus_note);
    print_note("note: last time it was not closed in order: ", status->last_stop);
    print_note("note: ", enclave->note);
    print_note("warning: ", enclave->kdf_may_swap ? cli_may_swap : "");
}

void cli_status_print(const struct hf_owner_status *status, bool json)
{
    if (json)
        print_json(status);
    else
        print_human(status);
}
