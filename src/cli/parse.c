/* cli/parse.c: options, strictly: unknown ones, empty or overflowing numbers are refused with exit 2 [IF-6]. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int refuse(const char *option, const char *why)
{
    cli_complain("%s: %s; see holdfast --help", option, why);
    return 2;
}

/* Decimal digits alone; *text goes on behind them. */
static bool number(const char **text, uint32_t max, uint32_t *ret)
{
    uint64_t value = 0;
    const char *at = *text;
    if (*at < '0' || *at > '9')
        return false;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
        if (value > max)
            return false;
    }
    *text = at;
    *ret = (uint32_t)value;
    return true;
}

static bool whole(const char *text, uint32_t max, uint32_t *ret)
{
    return number(&text, max, ret) && *text == '\0';
}

static bool delays(const char *text, struct hf_policy *policy)
{
    policy->delay_count = 0;
    do {
        if (policy->delay_count == HF_KEYBAG_DELAYS_MAX || !number(&text, 31536000, &policy->delay_s[policy->delay_count++]))
            return false;
    } while (*text++ == ',');
    return text[-1] == '\0';
}

static bool kdf(const char *text, struct cli_options *ret)
{
    uint32_t mib = 0;
    if (strcmp(text, "auto") == 0)
        return true;
    if (!number(&text, HF_KEYBAG_KDF_MAX_KIB / 1024, &mib) || *text++ != ',' || !whole(text, HF_KEYBAG_KDF_MAX_PASSES, &ret->kdf_passes))
        return false;
    ret->kdf_memory_kib = mib * 1024;
    return ret->kdf_memory_kib >= HF_KEYBAG_KDF_MIN_KIB && ret->kdf_passes >= 1;
}

static bool descriptor(const char *text, int *ret)
{
    uint32_t value = 0;
    if (!whole(text, 1048576, &value))
        return false;
    *ret = (int)value;
    return true;
}

static bool with_value(const char *name, const char *value, struct cli_options *ret)
{
    if (strcmp(name, "passcode-fd") == 0)
        return descriptor(value, &ret->passcode_fd);
    if (strcmp(name, "new-passcode-fd") == 0)
        return descriptor(value, &ret->new_passcode_fd);
    if (strcmp(name, "recovery-file") == 0) {
        ret->recovery_file = value;
        return value[0] != '\0';
    }
    if (strcmp(name, "class") == 0)
        return (ret->class = hf_class_from_name(value)) != 0;
    if (strcmp(name, "sentence-fd") == 0)
        return descriptor(value, &ret->sentence_fd);
    if (strcmp(name, "measure") == 0)
        return hf_pcr_list_parse(value, &ret->measure);
    if (strcmp(name, "predict") == 0) {
        if (ret->prediction_count == sizeof ret->predictions / sizeof ret->predictions[0])
            return false;
        ret->predictions[ret->prediction_count++] = value;
        return value[0] != '\0';
    }
    if (strcmp(name, "element") == 0) {
        ret->element_kind = strcmp(value, "tpm2") == 0 ? HF_ELEMENT_TPM2 : strcmp(value, "software") == 0 ? HF_ELEMENT_SOFTWARE : HF_ELEMENT_AUTO;
        return ret->element_kind != HF_ELEMENT_AUTO || strcmp(value, "auto") == 0;
    }
    if (strcmp(name, "tcti") == 0) {
        ret->tcti = value;
        return strlen(value) < HF_KEYBAG_TCTI_MAX;
    }
    if (strcmp(name, "attempts") == 0) {
        ret->attempts_set = true;
        return whole(value, 1000000, &ret->policy.attempts);
    }
    if (strcmp(name, "delays") == 0) {
        ret->delays_set = true;
        return delays(value, &ret->policy);
    }
    if (strcmp(name, "grace") == 0) {
        ret->settings |= HF_SETTING_GRACE;
        return whole(value, 86400, &ret->policy.grace_s);
    }
    if (strcmp(name, "inactivity") == 0) {
        ret->settings |= HF_SETTING_INACTIVITY;
        return whole(value, 31536000, &ret->policy.inactivity_s);
    }
    if (strcmp(name, "screen-lock") == 0) {
        ret->settings |= HF_SETTING_SCREEN_LOCK;
        ret->policy.screen_lock = hf_class_from_name(value);
        return strcmp(value, "none") == 0 || (ret->policy.screen_lock != 0 && hf_policy_screen_lock_is_sound(ret->policy.screen_lock));
    }
    if (strcmp(name, "on-lock") == 0) {
        ret->wait = strcmp(value, "wait") == 0;
        return ret->wait || strcmp(value, "fail") == 0;
    }
    if (strcmp(name, "kdf") == 0)
        return kdf(value, ret);
    if (strcmp(name, "for") == 0) {
        ret->databases = strcmp(value, "databases") == 0;
        return ret->databases || strcmp(value, "files") == 0;
    }
    if (strcmp(name, "words") == 0)
        return whole(value, 24, &ret->passphrase_words) && ret->passphrase_words >= 6;
    if (strcmp(name, "profile") == 0) {
        ret->policy.profile = strcmp(value, "personal") == 0;
        return ret->policy.profile || strcmp(value, "plain") == 0;
    }
    return false;
}

static bool *flag(const char *name, struct cli_options *ret)
{
    const struct {
        const char *name;
        bool *where;
    } flags[] = {{"json", &ret->json}, {"now", &ret->now}, {"force", &ret->force}, {"locked", &ret->locked}, {"foreground", &ret->foreground},
                 {"allow-other", &ret->allow_other}, {"yes", &ret->yes}, {"test", &ret->test}, {"no-recovery", &ret->no_recovery}, {"trust-this-tpm", &ret->trust_this_tpm},
                 {"pinentry", &ret->pinentry}, {"no-measure", &ret->no_measure}, {"no-sentence", &ret->no_sentence}, {"all", &ret->all}, {"list", &ret->list}, {"remove", &ret->remove}, {"no-freshness", &ret->no_freshness}, {"help", &ret->help}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (strcmp(flags[i].name, name) == 0)
            return flags[i].where;
    }
    return NULL;
}

/* allowed: " name name= name? " with a trailing '=' for those that take a value, '?' for those that may. */
static int permitted(const char *allowed, const char *name)
{
    char key[40];
    (void)snprintf(key, sizeof key, " %.30s ", name);
    if (strcmp(name, "help") == 0 || strstr(allowed, key))
        return 1;
    (void)snprintf(key, sizeof key, " %.30s= ", name);
    if (strstr(allowed, key))
        return 2;
    (void)snprintf(key, sizeof key, " %.30s? ", name);
    return strstr(allowed, key) ? 3 : 0;
}

int cli_parse(int argc, char **argv, const char *allowed, struct cli_options *ret)
{
    bool only_words = false;
    memset(ret, 0, sizeof *ret);
    ret->passcode_fd = ret->new_passcode_fd = ret->sentence_fd = -1;
    ret->measure = HF_MEASURE_KEEP;
    ret->policy.grace_s = 10;
    ret->policy.inactivity_s = 8 * 3600;
    ret->policy.screen_lock = HF_CLASS_COMPLETE;
    ret->passphrase_words = 6;
    ret->tcti = "";
    for (int i = 0; i < argc; i++) {
        if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (ret->word_count == sizeof ret->words / sizeof ret->words[0])
                return refuse(argv[i], "too many words");
            ret->words[ret->word_count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            continue;
        }
        if (strcmp(argv[i], "-h") == 0) {
            ret->help = true;
            continue;
        }
        char name[32];
        const char *value = strchr(argv[i], '=');
        size_t len = value ? (size_t)(value - argv[i]) : strlen(argv[i]);
        if (strncmp(argv[i], "--", 2) != 0 || len - 2 >= sizeof name)
            return refuse(argv[i], "unknown option");
        memcpy(name, argv[i] + 2, len - 2);
        name[len - 2] = '\0';
        int kind = permitted(allowed, name);
        if (kind == 0)
            return refuse(argv[i], "unknown option here");
        if (kind == 1) {
            bool *where = flag(name, ret);
            if (value || !where)
                return refuse(argv[i], "this option takes no value");
            *where = true;
            continue;
        }
        if (kind == 3 && !value) { /* measure alone may have its value left out */
            ret->measure = HF_MEASURE_DEFAULT;
            continue;
        }
        if (value)
            value++;
        else if (i + 1 < argc)
            value = argv[++i];
        else
            return refuse(argv[i], "this option needs a value");
        if (!with_value(name, value, ret))
            return refuse(name, "a value that is not understood or out of range");
    }
    return 0;
}
