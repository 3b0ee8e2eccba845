/* crypto/: wraps, one-pass wraps of class unless-open, the recovery box: opened with the right key and associated data. None opens unless it is what was sealed:
 * there is no mending here, the seeds alone are accepted. */
#include "crypto/onepass.h"
#include "crypto/recovery.h"
#include "crypto/wrap.h"
#include "fuzz.h"
#include "os/secret.h"

enum { WRAP, ONEPASS, BOX };
static const uint8_t key[32] = {1, 2, 3}, scalar[32] = {77, 1}, vault[16] = {5}, plain[40] = "what is sealed";
static const struct hf_class_key half = {.bytes = {8, 8, 8}};
static const struct hf_recovery_secret secret = {.bytes = {4}};
static uint8_t sealed[3][256];
static size_t lens[3];

void fuzz_start(void)
{
    uint8_t public[32];
    struct hf_file_key file = {.bytes = {6}};
    struct hf_error error;
    FUZZ_PROMISE(hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
    hf_wrap(HF_KDF_INDEX_WRAP, key, HF_SPAN_OF(vault), HF_SPAN_OF(plain), sealed[WRAP]);
    lens[WRAP] = sizeof plain + HF_WRAP_OVERHEAD;
    hf_onepass_public(&half, public);
    FUZZ_PROMISE(hf_onepass_seal_with(scalar, public, HF_SPAN_OF(vault), &file, sealed[ONEPASS]) == HF_OK);
    lens[ONEPASS] = HF_ONEPASS_WRAP_LEN;
    hf_recovery_public(&secret, vault, public);
    FUZZ_PROMISE(hf_recovery_seal(public, HF_SPAN_OF(vault), HF_SPAN_OF(plain), sealed[BOX]) == HF_OK);
    lens[BOX] = sizeof plain + HF_RECOVERY_BOX_OVERHEAD;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    static uint8_t out[FUZZ_MAX];
    struct hf_file_key file = {.bytes = {0}}, nothing = {.bytes = {0}};
    bool good = false;
    if (len == 0)
        return false;
    struct hf_span in = HF_SPAN(data + 1, len - 1);
    unsigned which = data[0] % 3;
    memset(out, 0, 64);
    if (which == WRAP && in.len >= HF_WRAP_OVERHEAD)
        good = hf_unwrap(HF_KDF_INDEX_WRAP, key, HF_SPAN_OF(vault), in, out) == HF_OK;
    else if (which == ONEPASS && in.len == HF_ONEPASS_WRAP_LEN)
        good = hf_onepass_open(&half, HF_SPAN_OF(vault), in.data, &file) == HF_OK;
    else if (which == BOX && in.len >= HF_RECOVERY_BOX_OVERHEAD)
        good = hf_recovery_open(&secret, vault, HF_SPAN_OF(vault), in, out) == HF_OK;
    bool as_sealed = in.len == lens[which] && memcmp(in.data, sealed[which], in.len) == 0;
    FUZZ_PROMISE(good == as_sealed);
    FUZZ_PROMISE(good || (memcmp(&file, &nothing, sizeof file) == 0 && out[0] == 0));
    return good;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    if (number > 2)
        return 0;
    out[0] = (uint8_t)number;
    memcpy(out + 1, sealed[number], lens[number]);
    return 1 + lens[number];
}

/* Every third mutant is made a sound one again, so that the driver sees both verdicts. */
size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 0 && data[len - 1] % 3 == 0)
        return fuzz_seed(data[0] % 3, data);
    return len;
}
