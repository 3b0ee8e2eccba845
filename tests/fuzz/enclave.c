/* The enclave's two conversations, whole (enclave/serve.c and what it calls, the software element behind it, keybag and head on the disk in memory of tests/fault):
 * the supervisor's control channel with the owner's secrets, and the filesystem's key channel.
 *
 * Input: steps, each u8 kind, then VERB: u8 secrets | each u8 length and bytes (its first byte is the kind; length 255: the phrase that was shown last) | u16 length | request;
 * PLAIN, KEYS: u16 length | request; OPEN, REWRAP: u8 which file made so far | u8 place | u8 change | u8 class; CLOCK: u32 ms; RESTART.
 * Whatever comes: each request has one well-formed reply; only a passcode that was set opens [AT-1]; no class key, KEK or device key leaves [CH-6]; the keys of a class that is not
 * there are zeros in memory, and its files do not open [LK-4]; an opened key is the one that was made. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/argon.h"
#include "disk.h"
#include "element/serve.h"
#include "enclave/enclave.h"
#include "format/fileheader.h"
#include "fuzz.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/ipc.h"
#include "proto/fields.h"
#include "proto/keys.h"
#include "requests.h"
#include "standins.h"

enum { STEPS = 24, FILES = 16, PASSCODES = 8, ANSWER_MS = 20000, BIT_COUNT = 8 };
enum step { VERB, PLAIN, KEYS, OPEN, REWRAP, CLOCK, RESTART, STEP_KINDS };
static struct hf_enclave *enclave;
static int control = -1, keys = -1, element_end = -1, element_state = -1;
static pthread_t enclave_thread, element_thread;
static uint8_t reply_bytes[HF_IPC_MAX];

/* What the owner has. */
static struct {
    struct hf_passcode passcodes[PASSCODES]; /* that may open, the newest last */
    unsigned passcode_count;
    uint8_t phrase[32];
    struct {
        uint8_t s[HF_STATIC_LEN], key[32];
    } files[FILES];
    unsigned file_count, good, refused;
} owner;

unsigned fuzz_cost(void)
{
    return 4;
}

static void *run_enclave(void *unused)
{
    (void)hf_enclave_serve(enclave);
    return unused;
}

static void *run_element(void *unused)
{
    (void)hf_element_serve(element_end, element_state, -1);
    return unused;
}

static void pair(int at, int *ret_other)
{
    int ends[2];
    FUZZ_PROMISE(hf_ipc_pair(ends) == HF_OK && dup2(ends[0], at) == at && close(ends[0]) == 0);
    *ret_other = ends[1];
}

static void boot(void)
{
    memset(enclave, 0, sizeof *enclave);
    enclave->timer = -1;
    pair(HF_FD_ENCLAVE_CONTROL, &control);
    pair(HF_FD_ENCLAVE_ELEMENT, &element_end);
    pair(HF_FD_ENCLAVE_KEYS, &keys);
    element_state = disk_open_ino(DISK_STATE); /* before both run: the disk in memory takes one call at a time, as the two make them from then on */
    FUZZ_PROMISE(pthread_create(&element_thread, NULL, run_element, NULL) == 0 && pthread_create(&enclave_thread, NULL, run_enclave, NULL) == 0);
}

static void reserve(void)
{
    for (int fd = HF_FD_ENCLAVE_CONTROL; fd <= HF_FD_ENCLAVE_SECRETS; fd++) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        FUZZ_PROMISE(null >= 0 && (null == fd || dup2(null, fd) == fd));
        if (null != fd)
            (void)close(null);
    }
}

static void down(void)
{
    (void)close(control);
    FUZZ_PROMISE(pthread_join(enclave_thread, NULL) == 0);
    reserve(); /* closes the enclave's ends, so the element comes to its own */
    FUZZ_PROMISE(pthread_join(element_thread, NULL) == 0);
    (void)close(element_end);
    (void)close(keys);
    disk_close_all();
    static const struct hf_enclave none;
    FUZZ_PROMISE(memcmp(enclave, &none, sizeof none) == 0); /* nothing stays */
}

void fuzz_start(void)
{
    struct hf_error error;
    disk_start();
    reserve();
    hf_disk = &disk_ops;
    disk_fix_fd(HF_FD_ENCLAVE_DIR, DISK_OWN);
    enclave = calloc(1, sizeof *enclave);
    FUZZ_PROMISE(enclave && hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
    stderr = fopen("/dev/null", "w"); /* what the programs say of damage */
}

/* --- promises --- */

static bool is_zero(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (bytes[i])
            return false;
    }
    return true;
}

static void never(const uint8_t *reply, size_t len, const uint8_t *key, size_t key_len)
{
    FUZZ_PROMISE(is_zero(key, key_len) || !memmem(reply, len, key, key_len));
}

/* The enclave waits for its next request: its memory stands still. */
static void look_at_memory(const uint8_t *reply, size_t len)
{
    const struct hf_keybag_keys *all[] = {&enclave->user_keys, &enclave->device_keys};
    for (unsigned k = 0; k < 2; k++) {
        FUZZ_PROMISE(all[k]->count <= HF_KEYBAG_KEYS_MAX);
        for (unsigned i = 0; i < all[k]->count; i++) {
            const struct hf_keybag_entry *entry = &all[k]->entries[i];
            FUZZ_PROMISE(entry->class >= HF_CLASS_FIRST && entry->class <= HF_CLASS_LAST);
            FUZZ_PROMISE(enclave->available & HF_CLASS_BIT(entry->class) || is_zero(entry->key.bytes, sizeof entry->key.bytes));
            never(reply, len, entry->key.bytes, sizeof entry->key.bytes);
        }
    }
    FUZZ_PROMISE(enclave->kek_there || is_zero(enclave->kek.bytes, sizeof enclave->kek.bytes));
    FUZZ_PROMISE(!enclave->kek_there || enclave->available & HF_CLASS_BIT(HF_CLASS_COMPLETE));
    FUZZ_PROMISE(enclave->device || !(enclave->available | enclave->meta));
    FUZZ_PROMISE(!enclave->erased || (!enclave->available && is_zero(enclave->device_key.bytes, sizeof enclave->device_key.bytes)));
    never(reply, len, enclave->kek.bytes, sizeof enclave->kek.bytes);
    never(reply, len, enclave->device_key.bytes, sizeof enclave->device_key.bytes);
    FUZZ_PROMISE(is_zero(enclave->in, sizeof enclave->in) && is_zero(enclave->body, sizeof enclave->body) && is_zero(enclave->out, sizeof enclave->out));
}

/* One request, one reply. */
static enum hf_result ask(int socket, struct hf_span request, int secret, struct hf_reader *ret_body)
{
    struct hf_error verdict = {.result = HF_OK};
    size_t len = 0;
    FUZZ_PROMISE(hf_ipc_send(socket, request, &secret, secret >= 0 ? 1 : 0) == HF_OK);
    FUZZ_PROMISE(hf_ipc_recv(socket, reply_bytes, sizeof reply_bytes, &len, NULL, 0, NULL, ANSWER_MS) == HF_OK);
    FUZZ_PROMISE(hf_reply_parse(HF_SPAN(reply_bytes, len), &verdict, ret_body) == HF_OK && !strchr(verdict.text, '\n'));
    while (!is_zero(enclave->out, sizeof enclave->out)) /* it wipes once the reply is away */
        (void)usleep(50);
    /* The channel is in lock step: what it does behind the wipe touches no key. */
    look_at_memory(reply_bytes, len);
    owner.good += verdict.result == HF_OK;
    owner.refused += verdict.result == HF_PROTOCOL;
    return verdict.result;
}

/* --- steps --- */

static void may_open(const uint8_t *bytes, size_t len)
{
    struct hf_passcode *at = &owner.passcodes[owner.passcode_count % PASSCODES];
    if (hf_passcode_normalize(bytes, len, at) == HF_OK)
        owner.passcode_count++;
}

static bool was_set(const uint8_t *bytes, size_t len)
{
    struct hf_passcode given;
    if (hf_passcode_normalize(bytes, len, &given) != HF_OK)
        return false;
    for (unsigned i = 0; i < PASSCODES && i < owner.passcode_count; i++) {
        if (owner.passcodes[i].len == given.len && memcmp(owner.passcodes[i].bytes, given.bytes, given.len) == 0)
            return true;
    }
    return false;
}

static void verb(struct fuzz_bytes *in)
{
    enum { SECRETS = 3 };
    uint8_t secrets[SECRETS][257], shown[256];
    size_t lens[SECRETS] = {0};
    unsigned count = fuzz_u8(in) % (SECRETS + 1);
    int ends[2];
    struct hf_reader body;
    FUZZ_PROMISE(hf_ipc_pair(ends) == HF_OK);
    for (unsigned i = 0; i < count; i++) {
        size_t len = fuzz_u8(in);
        if (len == 255) {
            secrets[i][0] = HF_SECRET_RECOVERY;
            memcpy(secrets[i] + 1, owner.phrase, sizeof owner.phrase);
            lens[i] = 1 + sizeof owner.phrase;
        } else {
            struct fuzz_bytes bytes = fuzz_take(in, len);
            memcpy(secrets[i], bytes.data, bytes.len);
            lens[i] = bytes.len;
        }
        if (lens[i])
            FUZZ_PROMISE(hf_ipc_send(ends[0], HF_SPAN(secrets[i], lens[i]), NULL, 0) == HF_OK);
    }
    FUZZ_PROMISE(shutdown(ends[0], SHUT_WR) == 0); /* nobody is to wait for one that is missing */
    struct fuzz_bytes request = fuzz_take(in, fuzz_u8(in) | (size_t)fuzz_u8(in) << 8);
    if (request.len > 0) {
        unsigned type = request.len > 1 ? request.data[0] | (unsigned)request.data[1] << 8 : 0;
        for (unsigned i = 0; i < count; i++) { /* a verb that fails may have come so far */
            if (lens[i] && (secrets[i][0] == HF_SECRET_NEW_PASSCODE || (type == HF_CTL_CREATE && secrets[i][0] == HF_SECRET_PASSCODE)))
                may_open(secrets[i] + 1, lens[i] - 1);
        }
        enum hf_result result = ask(control, HF_SPAN(request.data, request.len), ends[1], &body);
        if (result == HF_OK && (type == HF_CTL_UNLOCK || type == HF_CTL_PASSCODE || type == HF_CTL_SETTINGS || type == HF_CTL_NEW_RECOVERY))
            FUZZ_PROMISE(count > 0 && lens[0] > 1 && was_set(secrets[0] + 1, lens[0] - 1));
        ssize_t got = recv(ends[0], shown, sizeof shown, MSG_DONTWAIT);
        if (got == 33 && shown[0] == HF_SECRET_RECOVERY)
            memcpy(owner.phrase, shown + 1, 32);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void key_request(struct fuzz_bytes *in)
{
    struct fuzz_bytes request = fuzz_take(in, fuzz_u8(in) | (size_t)fuzz_u8(in) << 8);
    struct hf_reader body;
    if (request.len == 0)
        return;
    enum hf_result result = ask(keys, HF_SPAN(request.data, request.len), -1, &body);
    if (result != HF_OK || request.len < 2 || (request.data[0] | request.data[1] << 8) != HF_KEYS_MAKE)
        return;
    while (hf_reader_left(&body) >= sizeof owner.files[0]) {
        unsigned at = owner.file_count++ % FILES;
        hf_read_bytes(&body, owner.files[at].s, sizeof owner.files[at].s);
        hf_read_bytes(&body, owner.files[at].key, sizeof owner.files[at].key);
    }
    FUZZ_PROMISE(hf_reader_left(&body) == 0);
}

static void on_file(struct fuzz_bytes *in, bool rewrap)
{
    uint8_t message[3 + HF_STATIC_LEN + 1], key[32];
    unsigned which = fuzz_u8(in), at = fuzz_u8(in), with = fuzz_u8(in), class = fuzz_u8(in);
    struct hf_reader body;
    struct hf_file_static s;
    if (owner.file_count == 0)
        return;
    which %= owner.file_count < FILES ? owner.file_count : FILES;
    size_t head = rewrap ? 2 : 3;
    message[0] = (uint8_t)(rewrap ? HF_KEYS_REWRAP : HF_KEYS_OPEN);
    message[1] = HF_KEYS_OPEN >> 8;
    message[2] = 1;
    memcpy(message + head, owner.files[which].s, HF_STATIC_LEN);
    message[head + at % HF_STATIC_LEN] ^= (uint8_t)with;
    bool parses = hf_file_static_parse(message + head, &s) == HF_OK;
    message[head + HF_STATIC_LEN] = (uint8_t)class;
    uint32_t available = enclave->available;
    enum hf_result result = ask(keys, HF_SPAN(message, head + HF_STATIC_LEN + rewrap), -1, &body);
    if (result != HF_OK)
        return;
    if (!rewrap) {
        result = (enum hf_result)hf_read_u8(&body);
        hf_read_bytes(&body, key, sizeof key);
        FUZZ_PROMISE(hf_reader_end(&body) == HF_OK && (result == HF_OK || is_zero(key, sizeof key)));
        if (result != HF_OK)
            return;
        FUZZ_PROMISE(memcmp(key, owner.files[which].key, sizeof key) == 0);
    } else {
        hf_read_bytes(&body, owner.files[which].s, HF_STATIC_LEN); /* the same key, wrapped anew */
        FUZZ_PROMISE(hf_reader_end(&body) == HF_OK);
    }
    FUZZ_PROMISE(parses && available & HF_CLASS_BIT(s.class));
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_bytes in = {data, len};
    struct hf_reader body;
    disk_log->count = 0;
    disk_log->used = 0;
    disk_log->next_ino = DISK_STATE + 1;
    memset(&owner, 0, sizeof owner);
    stand_seed(1);
    stand_ms = 1000;
    disk_now = disk_new();
    boot();
    for (unsigned step = 0; in.len > 0 && step < STEPS; step++) {
        switch ((enum step)(fuzz_u8(&in) % STEP_KINDS)) {
        case VERB: verb(&in); break;
        case PLAIN: {
            struct fuzz_bytes request = fuzz_take(&in, fuzz_u8(&in) | (size_t)fuzz_u8(&in) << 8);
            if (request.len > 0)
                (void)!ask(control, HF_SPAN(request.data, request.len), -1, &body);
            break;
        }
        case KEYS: key_request(&in); break;
        case OPEN: on_file(&in, false); break;
        case REWRAP: on_file(&in, true); break;
        case CLOCK: stand_ms += fuzz_u32(&in) % 100000000; break;
        case RESTART:
            down();
            boot();
            break;
        case STEP_KINDS:
        default: break;
        }
    }
    down();
    disk_free(disk_now);
    return owner.good >= 4 && owner.refused == 0;
}

/* --- seeds --- */

static uint8_t *at;

static void put(const void *bytes, size_t len)
{
    memcpy(at, bytes, len);
    at += len;
}

static void put_message(const struct hf_writer *w)
{
    FUZZ_PROMISE(hf_writer_end(w) == HF_OK);
    put((uint8_t[]){(uint8_t)w->len, (uint8_t)(w->len >> 8)}, 2);
    put(w->data, w->len);
}

static struct hf_writer *begin(uint16_t type)
{
    static uint8_t bytes[1024];
    static struct hf_writer w;
    hf_message_begin(&w, bytes, sizeof bytes, type);
    return &w;
}

static void put_step(enum step step)
{
    *at++ = (uint8_t)step;
}

static void put_secret(uint8_t kind, const char *text)
{
    *at++ = (uint8_t)(1 + strlen(text));
    *at++ = kind;
    put(text, strlen(text));
}

static void put_verb(uint16_t type, const char *passcode, const char *fresh)
{
    put_step(VERB);
    *at++ = fresh ? 2 : 1;
    put_secret(HF_SECRET_PASSCODE, passcode);
    if (fresh)
        put_secret(HF_SECRET_NEW_PASSCODE, fresh);
    struct hf_writer *w = begin(type);
    if (type == HF_CTL_SETTINGS) {
        hf_write_u32(w, HF_SETTING_INACTIVITY);
        hf_write_u32(w, 0);
        hf_write_u32(w, 60);
        hf_write_u32(w, 0);
    }
    put_message(w);
}

static void put_create(const char *passcode)
{
    const struct hf_policy policy = {.attempts = 5, .delay_count = 1, .delay_s = {0}, .grace_s = 10, .inactivity_s = 3600, .screen_lock = HF_CLASS_COMPLETE};
    put_step(VERB);
    *at++ = 1;
    put_secret(HF_SECRET_PASSCODE, passcode);
    struct hf_writer *w = begin(HF_CTL_CREATE);
    hf_policy_write(w, &policy);
    hf_write_u32(w, HF_ARGON_MIN_KIB);
    hf_write_u32(w, 1);
    hf_write_u32(w, HF_ELEMENT_SOFTWARE);
    hf_write_string(w, "");
    hf_write_u8(w, 1);
    hf_write_u8(w, 0);
    hf_write_u32(w, 0);
    hf_write_u8(w, 0);
    put_message(w);
    put_step(RESTART);
    put_step(PLAIN);
    put_message(begin(HF_CTL_START));
}

static void put_recover(bool test, const char *fresh)
{
    put_step(VERB);
    *at++ = test ? 1 : 2;
    *at++ = 255;
    if (!test)
        put_secret(HF_SECRET_NEW_PASSCODE, fresh);
    struct hf_writer *w = begin(HF_CTL_RECOVER);
    write_recover(w, test);
    put_message(w);
}

static void put_plain(uint16_t type, int len, uint32_t value)
{
    struct hf_writer *w = begin(type);
    if (len == 1)
        hf_write_u8(w, (uint8_t)value);
    else if (len == 4)
        hf_write_u32(w, value);
    put_step(PLAIN);
    put_message(w);
}

static void put_make(uint8_t class)
{
    struct hf_writer *w = begin(HF_KEYS_MAKE);
    hf_write_u8(w, class);
    hf_write_u8(w, HF_KIND_REGULAR);
    hf_write_u8(w, 1);
    put_step(KEYS);
    put_message(w);
}

static void put_file(enum step step, uint8_t which, uint8_t class)
{
    put_step(step);
    put((uint8_t[]){which, 0, 0, class}, 4);
}

static void put_head(uint16_t type, uint32_t epoch)
{
    static const uint8_t tips[HF_HEAD_TIPS_LEN];
    struct hf_writer *w = begin(type);
    if (type == HF_KEYS_HEAD_SETTLE || type == HF_KEYS_HEAD_CLOSE)
        hf_write_u32(w, epoch);
    if (type == HF_KEYS_HEAD_SETTLE)
        hf_write_bytes(w, tips, sizeof tips);
    put_step(KEYS);
    put_message(w);
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static const char first[] = "correct horse battery", second[] = "Gr\xc3\xbc\xc3\x9f Gott, staple";
    if (number > 3)
        return 0;
    at = out;
    put_create(first);
    if (number != 3)
        put_verb(HF_CTL_UNLOCK, first, NULL);
    if (number == 0) { /* files of each class, a lock */
        for (uint8_t class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++)
            put_make(class);
        put_file(OPEN, 0, 0);
        put_file(REWRAP, 1, HF_CLASS_AFTER_UNLOCK);
        put_plain(HF_CTL_LOCK, 4, HF_CLASS_BIT(HF_CLASS_COMPLETE) | HF_CLASS_BIT(HF_CLASS_UNLESS_OPEN));
        for (uint8_t file = 0; file < 4; file++)
            put_file(OPEN, file, 0);
        put_plain(HF_CTL_STATUS, 0, 0);
    } else if (number == 1) { /* the keybag anew, each way */
        put_verb(HF_CTL_PASSCODE, first, second);
        put_verb(HF_CTL_UNLOCK, first, NULL);
        put_verb(HF_CTL_SETTINGS, second, NULL);
        put_plain(HF_CTL_ROTATE, 1, 0);
        put_verb(HF_CTL_NEW_RECOVERY, second, NULL);
        put_recover(true, NULL);
        put_recover(false, first);
        put_verb(HF_CTL_UNLOCK, first, NULL);
        put_plain(HF_CTL_ERASE, 1, 0);
        put_plain(HF_CTL_STATUS, 0, 0);
    } else if (number == 2) { /* the head, and a lock by time */
        put_head(HF_KEYS_INFO, 0);
        put_head(HF_KEYS_HEAD_OPEN, 0);
        put_head(HF_KEYS_HEAD_SETTLE, 5);
        put_make(HF_CLASS_COMPLETE);
        put_plain(HF_CTL_LOCK, 4, HF_CLASS_BIT(HF_CLASS_COMPLETE));
        put_step(CLOCK);
        put((uint8_t[]){0, 0, 0x40, 0}, 4);
        put_file(OPEN, 0, 0);
        put_verb(HF_CTL_UNLOCK, first, NULL);
        put_head(HF_KEYS_HEAD_ACCEPT, 0);
        put_head(HF_KEYS_HEAD_CLOSE, 6);
        put_plain(HF_CTL_STATUS, 0, 0);
    } else { /* wrong ones to the limit; the phrase */
        for (unsigned i = 0; i < 6; i++)
            put_verb(HF_CTL_UNLOCK, i == 5 ? first : (char[]){'w', 'r', 'o', 'n', 'g', (char)('0' + i), 0}, NULL);
        put_recover(false, second);
        put_verb(HF_CTL_UNLOCK, second, NULL);
        put_plain(HF_CTL_STATUS, 0, 0);
    }
    return (size_t)(at - out);
}

/* Nothing is sealed: who speaks on these channels may say anything. */
size_t fuzz_mend(uint8_t *data, size_t len)
{
    (void)data;
    return len;
}
