/* The element's end of its conversation with the enclave (element/serve.c, the software element behind it, real files): a sequence of requests, each u16 length and bytes.
 * Whatever comes: each request has one well-formed reply, nobody gets S without the right A, the count never falls but by a success, and the process lives. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/wrap.h"
#include "element/element.h"
#include "element/serve.h"
#include "format/policy.h"
#include "fuzz.h"
#include "os/secret.h"
#include "proto/message.h"

enum { REQUESTS = 12, REQUEST_MAX = 8000 };
static int root;
static char folder[] = "/tmp/hf-fuzz-element-XXXXXX";
static const uint8_t right[32] = {1, 1, 1}, vault[16] = {3};
static const uint8_t second[32]; /* Q's: the software element takes no notice of it */

static void empty(void)
{
    static const char *const files[] = {"element", "tpm2", "lock", "element.new", "tpm2.new"};
    int dir = openat(root, "03000000000000000000000000000000", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; dir >= 0 && i < sizeof files / sizeof files[0]; i++)
        (void)unlinkat(dir, files[i], 0);
    if (dir >= 0)
        (void)close(dir);
    (void)unlinkat(root, "03000000000000000000000000000000", AT_REMOVEDIR);
}

static void away(void)
{
    empty();
    char command[128]; /* other vaults' folders, which mutants name */
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        return;
}

void fuzz_start(void)
{
    struct hf_error error;
    FUZZ_PROMISE(hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
    FUZZ_PROMISE(mkdtemp(folder) && (root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 && atexit(away) == 0);
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_bytes in = {data, len};
    static uint8_t reply[12288];
    struct fuzz_bytes sent[REQUESTS];
    int pair[2], count = 0;
    unsigned good = 0;
    if (len < 4)
        return false;
    empty();
    FUZZ_PROMISE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    while (in.len > 2 && count < REQUESTS) {
        size_t want = (size_t)fuzz_u8(&in) | (size_t)fuzz_u8(&in) << 8;
        sent[count] = fuzz_take(&in, want < REQUEST_MAX ? want : REQUEST_MAX);
        if (sent[count].len == 0)
            break; /* an empty datagram cannot be told from the end */
        FUZZ_PROMISE(send(pair[0], sent[count].data, sent[count].len, MSG_NOSIGNAL) == (ssize_t)sent[count].len);
        count++;
    }
    FUZZ_PROMISE(shutdown(pair[0], SHUT_WR) == 0);
    FUZZ_PROMISE(hf_element_serve(pair[1], root, root) == 0);
    FUZZ_PROMISE(close(pair[1]) == 0);
    for (int i = 0; i < count; i++) {
        struct hf_error verdict = {.result = HF_OK};
        struct hf_reader body;
        ssize_t got = recv(pair[0], reply, sizeof reply, 0);
        FUZZ_PROMISE(got > 0 && hf_reply_parse(HF_SPAN(reply, (size_t)got), &verdict, &body) == HF_OK);
        FUZZ_PROMISE(!strchr(verdict.text, '\n'));
        good += verdict.result == HF_OK;
        bool release = sent[i].len >= 2 && (sent[i].data[0] | sent[i].data[1] << 8) == HF_EL_RELEASE;
        if (release && verdict.result == HF_OK) /* only ever for an A that was provisioned in this run: they all begin so */
            FUZZ_PROMISE(sent[i].len == 2 + sizeof right + sizeof second && hf_reader_left(&body) == 32);
    }
    FUZZ_PROMISE(recv(pair[0], reply, sizeof reply, 0) == 0);
    FUZZ_PROMISE(close(pair[0]) == 0);
    return good >= 2;
}

static struct hf_writer message;
static uint8_t *message_start;

static void begin(uint8_t *at, uint16_t type)
{
    message_start = at;
    hf_message_begin(&message, at + 2, FUZZ_MAX / 16, type);
}

static uint8_t *end(void)
{
    FUZZ_PROMISE(hf_writer_end(&message) == HF_OK);
    message_start[0] = (uint8_t)message.len;
    message_start[1] = (uint8_t)(message.len >> 8);
    return message_start + 2 + message.len;
}

static uint8_t *simple(uint8_t *at, uint16_t type)
{
    begin(at, type);
    return end();
}

static uint8_t *hello(uint8_t *at, bool creating)
{
    begin(at, HF_EL_HELLO);
    hf_write_bytes(&message, vault, sizeof vault);
    hf_write_u32(&message, HF_ELEMENT_SOFTWARE);
    hf_write_string(&message, "");
    hf_write_u8(&message, creating);
    hf_write_span16(&message, HF_SPAN("", 0));
    return end();
}

static uint8_t *provision(uint8_t *at)
{
    const struct hf_policy policy = {.attempts = 5, .delay_count = 1, .delay_s = {0}};
    begin(at, HF_EL_PROVISION);
    hf_write_bytes(&message, right, sizeof right);
    hf_write_bytes(&message, second, sizeof second);
    hf_limits_write(&message, &policy);
    hf_write_u64(&message, 0);
    hf_write_u8(&message, 0);
    hf_write_u32(&message, 0);
    return end();
}

static uint8_t *release(uint8_t *at, uint8_t first)
{
    uint8_t a[32];
    memcpy(a, right, sizeof a);
    a[0] = first;
    begin(at, HF_EL_RELEASE);
    hf_write_bytes(&message, a, sizeof a);
    hf_write_bytes(&message, second, sizeof second);
    return end();
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    const struct hf_seal_request keep = {.how = HF_SEAL_KEEP, .measure = HF_MEASURE_KEEP};
    if (number > 3)
        return 0;
    uint8_t *at = provision(hello(out, true));
    if (number == 0)
        return (size_t)(simple(simple(release(release(at, 2), 1), HF_EL_DEVICE), HF_EL_STATUS) - out);
    if (number == 1) { /* a change of passcode, a step, the end */
        at = release(at, 1);
        begin(at, HF_EL_PREPARE);
        hf_write_bytes(&message, right, sizeof right);
        hf_write_bytes(&message, second, sizeof second);
        hf_seal_request_write(&message, &keep);
        at = end();
        begin(at, HF_EL_COMMIT);
        hf_write_u32(&message, 1);
        at = end();
        begin(at, HF_EL_GENERATION);
        hf_write_u8(&message, 1);
        hf_write_u64(&message, 7);
        return (size_t)(simple(simple(end(), HF_EL_ERASE), HF_EL_STATUS) - out);
    }
    if (number == 2) { /* the limit */
        for (uint8_t i = 2; i < 9; i++)
            at = release(at, i);
        return (size_t)(release(at, 1) - out);
    }
    begin(at, HF_EL_FRESH);
    hf_write_bytes(&message, right, sizeof right);
    hf_write_bytes(&message, second, sizeof second);
    hf_limits_write(&message, &(struct hf_policy){.attempts = 5});
    hf_write_u64(&message, 3);
    hf_write_u8(&message, 0);
    hf_write_u32(&message, 0);
    hf_write_u32(&message, HF_ELEMENT_SOFTWARE);
    hf_write_string(&message, "");
    return (size_t)(release(end(), 1) - out);
}

/* The vault's id stays, so that nothing is left behind elsewhere. */
size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len >= 4 + sizeof vault && data[2] == (HF_EL_HELLO & 255) && data[3] == HF_EL_HELLO >> 8)
        memcpy(data + 4, vault, sizeof vault);
    return len;
}
