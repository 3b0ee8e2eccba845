/* The command: its arguments (first byte 0: the verb's options, then arguments that end in NUL), and what it prints of a status that the supervisor sends (1: JSON, 2: for
 * people). JSON must be JSON and UTF-8 whatever the names are; a refusal one line. Proves [IF-8]. */
#include <unistd.h>

#include "cli/cli.h"
#include "fuzz.h"

enum { ARGUMENTS, JSON, PEOPLE, MODES, ARGS_MAX = 80 };
/* All options that there are, of both kinds. */
static const char *const allowed[] = {
    " pinentry element= tcti= attempts= delays= grace= inactivity= screen-lock= kdf= profile= no-recovery trust-this-tpm recovery-file= passcode-fd= measure? sentence-fd= ",
    " pinentry passcode-fd= new-passcode-fd= predict= measure? no-measure sentence-fd= no-sentence class= words= on-lock= for= ",
    " json now force locked foreground allow-other yes test all list no-freshness "};

void fuzz_start(void)
{
}

/* --- a JSON text, strictly --- */

static const uint8_t *skip_value(const uint8_t *at, unsigned depth);

static const uint8_t *skip_string(const uint8_t *at)
{
    if (*at++ != '"')
        return NULL;
    while (*at != '"') {
        int more = *at < 0x80 ? 0 : *at >= 0xc2 && *at < 0xe0 ? 1 : *at >= 0xe0 && *at < 0xf0 ? 2 : *at >= 0xf0 && *at < 0xf5 ? 3 : -1;
        if (*at < 0x20 || more < 0)
            return NULL;
        if (*at == '\\') {
            at++;
            if (*at == 'u') {
                for (int i = 1; i <= 4; i++)
                    if (!memchr("0123456789abcdef", at[i], 16))
                        return NULL;
                at += 4;
            } else if (!strchr("\"\\", *at) || !*at) {
                return NULL;
            }
        }
        at++;
        for (; more > 0; more--)
            if ((*at++ & 0xc0) != 0x80)
                return NULL;
    }
    return at + 1;
}

static const uint8_t *skip_list(const uint8_t *at, unsigned depth, bool object)
{
    uint8_t end = object ? '}' : ']';
    if (*++at == end)
        return at + 1;
    for (;; at++) {
        if (object && (!(at = skip_string(at)) || *at++ != ':'))
            return NULL;
        if (!(at = skip_value(at, depth + 1)))
            return NULL;
        if (*at == end)
            return at + 1;
        if (*at != ',')
            return NULL;
    }
}

static const uint8_t *skip_value(const uint8_t *at, unsigned depth)
{
    static const char *const words[] = {"true", "false", "null"};
    if (depth > 8)
        return NULL;
    if (*at == '{' || *at == '[')
        return skip_list(at, depth, *at == '{');
    if (*at == '"')
        return skip_string(at);
    for (int i = 0; i < 3; i++)
        if (strncmp((const char *)at, words[i], strlen(words[i])) == 0)
            return at + strlen(words[i]);
    const uint8_t *from = at;
    while (*at >= '0' && *at <= '9')
        at++;
    return at > from ? at : NULL;
}

static bool is_object(const char *text)
{
    const uint8_t *end = text[0] == '{' ? skip_value((const uint8_t *)text, 0) : NULL;
    return end && *end == '\0';
}

/* --- */

static char *caught;
static size_t caught_len;

static void print_status(const struct hf_owner_status *status, bool json)
{
    FILE *out = stdout;
    FUZZ_PROMISE((stdout = open_memstream(&caught, &caught_len)) != NULL);
    cli_status_print(status, json);
    FUZZ_PROMISE(fclose(stdout) == 0);
    stdout = out;
}

static bool show(struct hf_span in, bool json)
{
    static struct hf_owner_status status;
    struct hf_reader reader;
    hf_reader_init(&reader, in);
    hf_owner_status_read(&reader, &status);
    if (hf_reader_end(&reader) != HF_OK)
        return false;
    if (!is_object(status.enclave.element.public_json)) /* the element's word is that it is one */
        memcpy(status.enclave.element.public_json, "{}", 3);
    print_status(&status, json);
    FUZZ_PROMISE(!json || is_object(caught));
    for (size_t i = 0; i < caught_len; i++) /* nothing that a terminal obeys */
        FUZZ_PROMISE((uint8_t)caught[i] >= ' ' || caught[i] == '\n');
    free(caught);
    return true;
}

static bool arguments(const uint8_t *data, size_t len)
{
    static struct cli_options options;
    char *args[ARGS_MAX + 1] = {NULL};
    int count = 0;
    if (len == 0)
        return false;
    const char *options_of = allowed[data[0] % 3];
    char *text = malloc(len);
    FUZZ_PROMISE(text != NULL);
    memcpy(text, data + 1, len - 1);
    text[len - 1] = '\0';
    for (size_t at = 0; at < len - 1 && count < ARGS_MAX; at += strlen(text + at) + 1)
        args[count++] = text + at;
    FILE *err = stderr;
    FUZZ_PROMISE((stderr = open_memstream(&caught, &caught_len)) != NULL);
    int status = cli_parse(count, args, options_of, &options);
    FUZZ_PROMISE(fclose(stderr) == 0);
    stderr = err;
    FUZZ_PROMISE(status == 0 || status == 2);
    FUZZ_PROMISE(status == 0 ? caught_len == 0 : strncmp(caught, "holdfast: ", 10) == 0 && strchr(caught, '\n') == caught + caught_len - 1);
    FUZZ_PROMISE(options.policy.delay_count <= HF_KEYBAG_DELAYS_MAX && options.word_count <= 64 && options.prediction_count <= 16);
    free(caught);
    free(text);
    return status == 0;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    if (len == 0 || data[0] >= MODES)
        return false;
    return data[0] == ARGUMENTS ? arguments(data + 1, len - 1) : show(HF_SPAN(data + 1, len - 1), data[0] == JSON);
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static const struct {
        uint8_t which;
        char text[300];
    } lines[] = {{0, "/v\0--element\0software\0--kdf=64,1\0--delays\0" "60,300,900\0--attempts=10\0--grace\0" "0\0--screen-lock\0none\0--measure\0--profile=personal\0--no-recovery"},
                 {1, "/v\0--predict\0" "7=00\0--passcode-fd\0" "3\0--class=complete\0--words\0" "24\0--on-lock=wait\0--for\0databases\0--\0--not-an-option"},
                 {2, "/v\0/mnt\0--json\0--now\0--force\0--yes\0-"}};
    static struct hf_owner_status status;
    struct hf_writer writer;
    if (number < 3) {
        size_t len = sizeof lines[number].text;
        while (lines[number].text[len - 1] == '\0')
            len--;
        out[0] = ARGUMENTS;
        out[1] = lines[number].which;
        memcpy(out + 2, lines[number].text, len);
        return 2 + len;
    }
    if (number > 5)
        return 0;
    memset(&status, 0, sizeof status);
    status.state = HF_STATE_LOCKED;
    status.pid_fs = 7;
    memcpy(status.mountpoint, "/home/a \"b\"\\\t\n\xff\xc3\xa9\xed\xa0\x80", 21);
    memcpy(status.vault, "/home/v", 8);
    memcpy(status.last_stop, "it died", 8);
    status.enclave.policy = (struct hf_policy){.attempts = 10, .delay_count = 16, .screen_lock = HF_CLASS_COMPLETE};
    status.enclave.element = (struct hf_element_status){.kind = HF_ELEMENT_TPM2, .state = HF_ELEMENT_ACTIVE, .public_json = "{\"nv_pin\":1,\"trust\":\"certificate\"}", .pcrs = 128};
    hf_writer_init(&writer, out + 1, FUZZ_MAX - 1);
    hf_owner_status_write(&writer, &status);
    out[0] = number == 4 ? PEOPLE : JSON;
    return 1 + writer.len;
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 0)
        data[0] %= MODES;
    return len;
}
