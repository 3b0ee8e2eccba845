#include "keymachine.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "element/serve.h"
#include "enclave/enclave.h"
#include "os/disk.h"
#include "os/file.h"
#include "os/ipc.h"
#include "os/random.h"
#include "proto/keys.h"
#include "requests.h"

enum { ANSWER_MS = 30000, CAP = 24576 };

static int control = -1, keys = -1;
static uint8_t answer[CAP];

void key_machine_reserve(void)
{
    for (int fd = 3; fd <= 9; fd++)
        (void)dup2(open("/dev/null", O_RDONLY | O_CLOEXEC), fd);
}

struct element_fds {
    int socket, state;
};

static void *run_element(void *arg)
{
    const struct element_fds *fds = arg;
    (void)hf_element_serve(fds->socket, fds->state, -1);
    return NULL;
}

static void *run_enclave(void *arg)
{
    (void)hf_enclave_serve(arg);
    return NULL;
}

static void pair(int at, int *ret_other)
{
    int ends[2];
    if (hf_ipc_pair(ends) != HF_OK || dup2(ends[0], at) != at)
        abort();
    (void)close(ends[0]);
    *ret_other = ends[1];
}

void key_machine_boot(void)
{
    static struct element_fds element;
    pthread_t thread;
    struct hf_enclave *e = calloc(1, sizeof *e);
    if (!e)
        abort();
    e->timer = -1;
    hf_random(e->cache_key, sizeof e->cache_key);
    pair(HF_FD_ENCLAVE_CONTROL, &control);
    pair(HF_FD_ENCLAVE_ELEMENT, &element.socket);
    element.state = disk_open_ino(DISK_STATE); /* before both run: the disk in memory takes one call at a time, as the two programs make them from then on */
    pair(HF_FD_ENCLAVE_KEYS, &keys);
    disk_fix_fd(HF_FD_ENCLAVE_DIR, DISK_OWN);
    if (pthread_create(&thread, NULL, run_element, &element) != 0 || pthread_create(&thread, NULL, run_enclave, e) != 0)
        abort();
}

/* The verdict; no answer at all is one that no verb gives. */
static enum hf_result ask(int socket, const struct hf_writer *request, int fd, struct hf_reader *ret_body)
{
    struct hf_error verdict = {.result = HF_OK};
    enum hf_result sent = hf_call(socket, request, &fd, fd >= 0 ? 1 : 0, answer, sizeof answer, ANSWER_MS, &verdict, ret_body);
    return sent == HF_OK ? verdict.result : HF_CLOSED;
}

/* A verb with secrets; the phrase that comes back, if one is wanted. */
static enum hf_result verb(const struct hf_writer *request, const uint8_t *kinds, const void *const *secrets, const size_t *lens, unsigned count, uint8_t *ret_phrase)
{
    int ends[2];
    uint8_t message[256];
    struct hf_reader body;
    if (hf_ipc_pair(ends) != HF_OK)
        abort();
    for (unsigned i = 0; i < count; i++) {
        message[0] = kinds[i];
        memcpy(message + 1, secrets[i], lens[i]);
        if (hf_ipc_send(ends[0], HF_SPAN(message, 1 + lens[i]), NULL, 0) != HF_OK)
            abort();
    }
    enum hf_result result = ask(control, request, ends[1], &body);
    (void)close(ends[1]);
    if (result == HF_OK && ret_phrase) {
        size_t len = 0;
        result = hf_ipc_recv(ends[0], message, sizeof message, &len, NULL, 0, NULL, ANSWER_MS);
        if (result == HF_OK && (len != 33 || message[0] != HF_SECRET_RECOVERY))
            result = HF_PROTOCOL;
        if (result == HF_OK)
            memcpy(ret_phrase, message + 1, 32);
    }
    (void)close(ends[0]);
    return result;
}

static enum hf_result with_passcodes(const struct hf_writer *request, const char *first, const char *second, uint8_t *ret_phrase)
{
    static const uint8_t kinds[] = {HF_SECRET_PASSCODE, HF_SECRET_NEW_PASSCODE};
    const void *secrets[] = {first, second};
    const size_t lens[] = {strlen(first), second ? strlen(second) : 0};
    return verb(request, kinds, secrets, lens, second ? 2 : 1, ret_phrase);
}

static struct hf_writer *start_request(uint16_t type)
{
    static struct hf_writer writer;
    static uint8_t bytes[1024];
    hf_message_begin(&writer, bytes, sizeof bytes, type);
    return &writer;
}

static enum hf_result plain(const struct hf_writer *request)
{
    struct hf_reader body;
    return ask(control, request, -1, &body);
}

enum hf_result key_start(void)
{
    return plain(start_request(HF_CTL_START));
}

enum hf_result key_create(const char *passcode, uint32_t attempts, uint8_t ret_phrase[32])
{
    struct hf_policy policy = {.attempts = attempts, .delay_count = 2, .delay_s = {60, 300}, .grace_s = 10};
    struct hf_writer *w = start_request(HF_CTL_CREATE);
    hf_policy_write(w, &policy);
    hf_write_u32(w, 65536);
    hf_write_u32(w, 3);
    hf_write_u32(w, HF_ELEMENT_SOFTWARE);
    hf_write_string(w, "");
    hf_write_u8(w, 1); /* recovery */
    hf_write_u8(w, 0);
    hf_write_u32(w, 0);
    hf_write_u8(w, 0);
    return with_passcodes(w, passcode, NULL, ret_phrase);
}

enum hf_result key_unlock(const char *passcode)
{
    return with_passcodes(start_request(HF_CTL_UNLOCK), passcode, NULL, NULL);
}

enum hf_result key_passcode(const char *old, const char *fresh)
{
    return with_passcodes(start_request(HF_CTL_PASSCODE), old, fresh, NULL);
}

enum hf_result key_new_phrase(const char *passcode, uint8_t ret_phrase[32])
{
    return with_passcodes(start_request(HF_CTL_NEW_RECOVERY), passcode, NULL, ret_phrase);
}

enum hf_result key_settings(const char *passcode, uint32_t grace_s)
{
    struct hf_writer *w = start_request(HF_CTL_SETTINGS);
    hf_write_u32(w, HF_SETTING_GRACE);
    hf_write_u32(w, grace_s);
    hf_write_u32(w, 0);
    hf_write_u32(w, 0);
    return with_passcodes(w, passcode, NULL, NULL);
}

enum hf_result key_rotate(void)
{
    struct hf_writer *w = start_request(HF_CTL_ROTATE);
    hf_write_u8(w, 0);
    return plain(w);
}

static enum hf_result recover(bool test, const uint8_t phrase[32], const char *fresh)
{
    static const uint8_t kinds[] = {HF_SECRET_RECOVERY, HF_SECRET_NEW_PASSCODE};
    const void *secrets[] = {phrase, fresh};
    const size_t lens[] = {32, fresh ? strlen(fresh) : 0};
    struct hf_writer *w = start_request(HF_CTL_RECOVER);
    write_recover(w, test);
    return verb(w, kinds, secrets, lens, fresh ? 2 : 1, NULL);
}

enum hf_result key_recover(const uint8_t phrase[32], const char *fresh)
{
    return recover(false, phrase, fresh);
}

enum hf_result key_recover_test(const uint8_t phrase[32])
{
    return recover(true, phrase, NULL);
}

enum hf_result key_erase(bool even_without_element)
{
    struct hf_writer *w = start_request(HF_CTL_ERASE);
    hf_write_u8(w, even_without_element);
    return plain(w);
}

enum hf_result key_status(struct hf_enclave_status *ret)
{
    struct hf_reader body;
    enum hf_result result = ask(control, start_request(HF_CTL_STATUS), -1, &body);
    if (result == HF_OK)
        hf_enclave_status_read(&body, ret);
    return result;
}

enum hf_result key_head_open(uint32_t *ret_settled)
{
    struct hf_reader body;
    enum hf_result result = ask(keys, start_request(HF_KEYS_HEAD_OPEN), -1, &body);
    if (result == HF_OK)
        *ret_settled = hf_read_u32(&body);
    return result;
}

enum hf_result key_head_settle(uint32_t epoch)
{
    static const uint8_t tips[HF_HEAD_TIPS_LEN];
    struct hf_reader body;
    struct hf_writer *w = start_request(HF_KEYS_HEAD_SETTLE);
    hf_write_u32(w, epoch);
    hf_write_bytes(w, tips, sizeof tips);
    return ask(keys, w, -1, &body);
}

enum hf_result key_file_make(unsigned class, struct key_file *ret)
{
    struct hf_reader body;
    struct hf_writer *w = start_request(HF_KEYS_MAKE);
    hf_write_u8(w, (uint8_t)class);
    hf_write_u8(w, HF_KIND_REGULAR);
    hf_write_u8(w, 1);
    enum hf_result result = ask(keys, w, -1, &body);
    if (result == HF_OK) {
        hf_read_bytes(&body, ret->s, sizeof ret->s);
        hf_read_bytes(&body, ret->key, sizeof ret->key);
        result = hf_reader_end(&body);
    }
    return result;
}

enum hf_result key_file_open(const struct key_file *file)
{
    uint8_t key[32];
    struct hf_reader body;
    struct hf_writer *w = start_request(HF_KEYS_OPEN);
    hf_write_u8(w, 1);
    hf_write_bytes(w, file->s, sizeof file->s);
    enum hf_result result = ask(keys, w, -1, &body);
    if (result != HF_OK)
        return result;
    result = (enum hf_result)hf_read_u8(&body);
    hf_read_bytes(&body, key, sizeof key);
    return result == HF_OK && memcmp(key, file->key, sizeof key) != 0 ? HF_DAMAGED : result;
}

static const char mark[] = "erase";

enum hf_result key_erase_mark(bool set)
{
    return set ? hf_file_replace(HF_FD_ENCLAVE_DIR, mark, HF_SPAN(mark, sizeof mark)) : hf_file_remove(HF_FD_ENCLAVE_DIR, mark, false);
}

bool key_erase_is_marked(void)
{
    struct stat st;
    return hf_disk->fstatat(HF_FD_ENCLAVE_DIR, mark, &st) == 0;
}
