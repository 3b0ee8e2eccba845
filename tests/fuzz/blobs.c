/* The element's own files: the tpm2 part of the keybag, its note, the software element's record; the first byte says which. Mended: their checksums. */
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "crypto/wrap.h"
#include "element/record.h"
#include "element/tpm2_blob.h"
#include "fuzz.h"
#include "os/file.h"
#include "os/secret.h"

enum { BLOB, NOTE, RECORD, KINDS, SUM = 32 };
static int dir;
static char folder[] = "/tmp/hf-fuzz-blobs-XXXXXX";

static void away(void)
{
    (void)unlinkat(dir, "tpm2", 0);
    (void)unlinkat(dir, "element", 0);
    (void)rmdir(folder);
}

void fuzz_start(void)
{
    struct hf_error error;
    FUZZ_PROMISE(hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
    FUZZ_PROMISE(mkdtemp(folder) && (dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0 && atexit(away) == 0);
}

static bool blob(struct hf_span in)
{
    static struct hf_tpm2_blob value;
    static uint8_t again[HF_KEYBAG_ELEMENT_BLOB_MAX];
    size_t len = 0;
    if (hf_tpm2_blob_decode(in, &value) != HF_OK)
        return false;
    enum hf_result result = hf_tpm2_blob_encode(&value, again, sizeof again, &len);
    FUZZ_PROMISE(result == HF_OK && len == in.len && memcmp(again, in.data, len) == 0);
    return true;
}

static void put(const char *name, struct hf_span bytes)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_PROMISE(fd >= 0 && write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len && close(fd) == 0);
}

static size_t get(const char *name, uint8_t *out)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, out, 4096) : -1;
    FUZZ_PROMISE(len > 0 && close(fd) == 0);
    return (size_t)len;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    static uint8_t again[4096];
    static struct hf_tpm2_note note;
    static struct hf_element_record record;
    if (len == 0)
        return false;
    struct hf_span in = HF_SPAN(data + 1, len - 1);
    if (data[0] == BLOB)
        return blob(in);
    if (data[0] == NOTE) {
        put("tpm2", in);
        if (hf_tpm2_note_load(dir, &note) != HF_OK)
            return false;
        FUZZ_PROMISE(hf_tpm2_note_save(dir, &note) == HF_OK);
        FUZZ_PROMISE(get("tpm2", again) == in.len && memcmp(again, in.data, in.len) == 0);
        return true;
    }
    if (data[0] != RECORD)
        return false;
    put("element", in);
    if (hf_element_record_load(dir, &record) != HF_OK)
        return false;
    FUZZ_PROMISE(hf_element_record_save(dir, &record) == HF_OK);
    FUZZ_PROMISE(get("element", again) == in.len && memcmp(again, in.data, in.len) == 0);
    return true;
}

static void sealed(struct hf_tpm2_seal *seal, uint8_t fill)
{
    seal->release.public_len = seal->device.public_len = 78;
    seal->release.private_len = seal->device.private_len = 160;
    memset(seal->release.private, fill, 160);
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static struct hf_tpm2_blob some;
    struct hf_tpm2_note note = {.delay_until_ms = 5, .delay_count = 4, .doing = {.used = true, .handle = 0x01800002}};
    struct hf_element_record record = {.policy = {.attempts = 9, .delay_count = 3, .screen_lock = HF_CLASS_COMPLETE}, .state = HF_ELEMENT_ACTIVE, .slots = {{.used = true}}};
    size_t len = 0;
    memset(&some, 0, sizeof some);
    some.policy = (struct hf_policy){.attempts = 10, .delay_count = 6, .delay_s = {60, 300, 900}};
    some.counter = 0x01800000;
    some.generation_counter = 0x01800001;
    some.head_counter = 0x01800004;
    some.pace_ms = 50;
    some.second = (struct hf_tpm2_pin){.used = true, .handle = 0x01800005};
    some.pin = (struct hf_tpm2_pin){.used = true, .handle = 0x01800002};
    some.seal_count = 1 + number % 2;
    sealed(&some.seals[0], 1);
    if (number == 1) {
        sealed(&some.seals[1], 2);
        some.seals[0].measure.mask = some.seals[1].measure.mask = HF_MEASURE_DEFAULT;
        some.seals[1].measure.value[11][0] = 9;
        some.before = (struct hf_tpm2_pin){.used = true, .handle = 0x01800003};
        memcpy(some.trust_why, "no EK certificate", 18);
    }
    switch (number) {
    case 0: case 1:
        out[0] = BLOB;
        FUZZ_PROMISE(hf_tpm2_blob_encode(&some, out + 1, HF_KEYBAG_ELEMENT_BLOB_MAX, &len) == HF_OK);
        return 1 + len;
    case 2:
        out[0] = NOTE;
        FUZZ_PROMISE(hf_tpm2_note_save(dir, &note) == HF_OK);
        return 1 + get("tpm2", out + 1);
    case 3:
        out[0] = RECORD;
        FUZZ_PROMISE(hf_element_record_save(dir, &record) == HF_OK);
        return 1 + get("element", out + 1);
    default: return 0;
    }
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    data[0] %= KINDS;
    if (data[0] != BLOB && len > 1 + SUM)
        (void)crypto_generichash(data + len - SUM, SUM, data + 1, len - 1 - SUM, NULL, 0);
    return len;
}
