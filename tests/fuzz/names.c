/* fs/names.h: names and link targets on the disk, decoded with a key that is known here. The first byte: 0 a name as it stands there, 1 the plain bytes behind a seal that fits
 * (who held the key for a while can have made it), 2 a link's text, 3 its plain bytes, 4 a long name's side record. What is accepted encodes to the same. */
#include <errno.h>
#include <sys/stat.h>

#include "base/base64url.h"
#include "crypto/libcrypto.h"
#include "crypto/siv.h"
#include "crypto/wrap.h"
#include "fakering.h"
#include "fs/names.h"
#include "fuzz.h"
#include "os/disk.h"
#include "os/secret.h"

enum { NAME, NAME_SEALED, LINK, LINK_SEALED, SIDE, MODES, CLASS = 3 };
static const uint8_t dir_id[16] = {9, 8, 7};
static char side[500];

/* The directory has one side record, whatever is asked for. */
static ssize_t readlink_side(int dir, const char *name, char *buffer, size_t cap)
{
    (void)dir, (void)name;
    size_t len = strlen(side);
    len = len < cap ? len : cap;
    memcpy(buffer, side, len);
    return len ? (ssize_t)len : -ENOENT;
}

void fuzz_start(void)
{
    static struct hf_disk_ops ops;
    struct hf_error error;
    ops = hf_disk_kernel;
    ops.readlinkat = readlink_side;
    hf_disk = &ops;
    FUZZ_PROMISE(hf_secret_open(0, 1 << 20, &error) == HF_OK && hf_crypto_start() == HF_OK);
}

static void seal(bool link, const uint8_t *plain, size_t len, char *out)
{
    static uint8_t sealed[4096 + HF_SIV_TAG_LEN];
    struct hf_name_key key;
    uint8_t derived[64], aad[16 + 1];
    FUZZ_PROMISE(hf_keyring_name(CLASS, 1, &key) == HF_OK);
    memcpy(aad, dir_id, 16);
    aad[16] = 'n';
    if (link)
        hf_kdf(HF_KDF_SYMLINK_KEY, key.bytes, NULL, 0, derived, 64);
    FUZZ_PROMISE(hf_siv_seal(link ? derived : key.bytes, HF_SPAN(aad, link ? 17 : 16), HF_SPAN(plain, len), sealed) == HF_OK);
    hf_base64url_encode(sealed, len + HF_SIV_TAG_LEN, out);
}

static bool name(const char *backing)
{
    char plain[256], again[HF_BACKING_MAX], again_side[400];
    (void)hf_name_is_ours(backing);
    if (hf_name_decode(CLASS, 1, dir_id, -1, backing, plain) != HF_OK)
        return false;
    FUZZ_PROMISE(strlen(plain) > 0 && strlen(plain) < 256 && !strchr(plain, '/'));
    FUZZ_PROMISE(strcmp(plain, ".") != 0 && strcmp(plain, "..") != 0);
    FUZZ_PROMISE(hf_name_encode(CLASS, 1, dir_id, plain, again, again_side) == HF_OK && strcmp(again, backing) == 0);
    return true;
}

static bool link(const char *text, size_t len)
{
    static char target[4096], again[4096];
    if (hf_link_open(CLASS, 1, dir_id, "n", text, len, target) != HF_OK)
        return false;
    FUZZ_PROMISE(strlen(target) > 0);
    FUZZ_PROMISE(hf_link_seal(CLASS, 1, dir_id, "n", target, again) == HF_OK && strlen(again) == len && memcmp(again, text, len) == 0);
    return true;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    char text[8192] = "";
    if (len < 2)
        return false;
    const uint8_t *bytes = data + 1;
    len--;
    side[0] = '\0';
    switch (data[0]) {
    case NAME:
        memcpy(text, bytes, len < 255 ? len : 255); /* no disk has a longer one */
        return name(text);
    case NAME_SEALED:
        if (len > 175)
            return false; /* its text would be longer than a name on disk can be */
        seal(false, bytes, len, text);
        return name(text);
    case LINK:
        memcpy(text, bytes, len < 4095 ? len : 4095);
        return link(text, strlen(text));
    case LINK_SEALED:
        seal(true, bytes, len < HF_LINK_MAX ? len : HF_LINK_MAX, text);
        return link(text, strlen(text));
    case SIDE: { /* its long name on disk is right for the plain bytes up to a NUL */
        char plain[256] = "", ignored[400];
        memcpy(plain, bytes, len < 255 ? len : 255);
        if (hf_name_encode(CLASS, 1, dir_id, plain, text, ignored) != HF_OK)
            return false;
        seal(false, bytes, len < 272 ? len : 272, side);
        return name(text);
    }
    default: return false;
    }
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static char text[8192], record[400];
    static const char *const names[] = {"a", "a name with blanks", "an exactly sixteen"};
    memset(out, 0, 512);
    if (number < 3) {
        FUZZ_PROMISE(hf_name_encode(CLASS, 1, dir_id, names[number], text, record) == HF_OK);
        out[0] = NAME;
        memcpy(out + 1, text, strlen(text));
        return 1 + strlen(text);
    }
    switch (number) {
    case 3:
        out[0] = NAME_SEALED;
        memcpy(out + 1, "sealed by whoever has the key", 29);
        return 1 + 32;
    case 4:
        FUZZ_PROMISE(hf_link_seal(CLASS, 1, dir_id, "n", "../somewhere/else", text) == HF_OK);
        out[0] = LINK;
        memcpy(out + 1, text, strlen(text));
        return 1 + strlen(text);
    case 5: case 6:
        out[0] = LINK_SEALED;
        memset(out + 1, 't', HF_LINK_MAX);
        return number == 5 ? 20 : 1 + HF_LINK_MAX;
    case 7:
        out[0] = SIDE;
        memset(out + 1, 'l', 200);
        return 1 + 208;
    default: return 0;
    }
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 0)
        data[0] %= MODES;
    return len;
}
