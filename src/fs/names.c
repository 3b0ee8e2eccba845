#include "fs/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64url.h"
#include "base/writer.h"
#include "crypto/kdf.h"
#include "crypto/siv.h"
#include "fs/keyring.h"
#include "fs/lend.h"
#include "keys/wipe.h"
#include "os/disk.h"

enum { SHORT_MAX = 175, NAME_MAX_LEN = 255, LONG_LEN = 44 };

static size_t padded(size_t len)
{
    size_t up = (len + 15) / 16 * 16;
    return len <= SHORT_MAX && up > SHORT_MAX ? SHORT_MAX : up;
}

bool hf_name_is_long(const char *backing)
{
    return backing[0] == 'L' && strlen(backing) == LONG_LEN;
}

bool hf_name_is_ours(const char *backing)
{
    return backing[0] == '.' || (backing[0] == 'N' && strlen(backing) == LONG_LEN);
}

static enum hf_result encode_with(const struct hf_name_key *key, const uint8_t dir_id[16], const char *name, char *out, char *side)
{
    size_t len = strlen(name);
    uint8_t plain[256] = {0}, sealed[256 + HF_SIV_TAG_LEN];
    if (side)
        side[0] = '\0';
    if (len == 0 || len > NAME_MAX_LEN)
        return HF_TOO_LARGE;
    memcpy(plain, name, len);
    size_t wide = padded(len);
    enum hf_result result = hf_siv_seal(key->bytes, HF_SPAN(dir_id, 16), HF_SPAN(plain, wide), sealed);
    hf_wipe(plain, sizeof plain);
    HF_TRY(result);
    if (len <= SHORT_MAX) {
        hf_base64url_encode(sealed, wide + HF_SIV_TAG_LEN, out);
        return HF_OK;
    }
    uint8_t hash[32];
    struct hf_span info[] = {HF_SPAN(dir_id, 16), HF_SPAN(name, len)};
    hf_kdf(HF_KDF_LONG_NAME, key->bytes, info, 2, hash, sizeof hash);
    out[0] = 'L';
    hf_base64url_encode(hash, sizeof hash, out + 1);
    if (side)
        hf_base64url_encode(sealed, wide + HF_SIV_TAG_LEN, side);
    return HF_OK;
}

enum hf_result hf_name_encode(unsigned class, uint32_t generation, const uint8_t dir_id[16], const char *name, char out[HF_BACKING_MAX], char side[400])
{
    struct hf_name_key key;
    HF_TRY(hf_keyring_name(class, generation, &key));
    enum hf_result result = encode_with(&key, dir_id, name, out, side);
    hf_name_key_wipe(&key);
    return result;
}

static bool is_padding(const uint8_t *bytes, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

/* A name has one form on the disk: another padding is refused though its seal fits. */
enum hf_result hf_name_decode(unsigned class, uint32_t generation, const uint8_t dir_id[16], int dir_fd, const char *backing, char out[256])
{
    char text[400];
    uint8_t sealed[256 + HF_SIV_TAG_LEN], plain[257] = {0};
    size_t len = 0;
    struct hf_name_key key;
    bool is_long = hf_name_is_long(backing);
    const char *source = backing;
    if (is_long) {
        char record[LONG_LEN + 1];
        memcpy(record, backing, sizeof record);
        record[0] = 'N';
        ssize_t got = hf_readlink_lent(dir_fd, record, text, sizeof text - 1);
        if (got < 0)
            return HF_DAMAGED;
        text[got] = '\0';
        source = text;
    }
    HF_TRY(hf_keyring_name(class, generation, &key));
    enum hf_result result = hf_base64url_decode(source, strlen(source), sealed, sizeof sealed, &len);
    if (result == HF_OK)
        result = len > HF_SIV_TAG_LEN ? hf_siv_open(key.bytes, HF_SPAN(dir_id, 16), HF_SPAN(sealed, len), plain) : HF_DAMAGED;
    size_t name_len = strnlen((const char *)plain, sizeof plain);
    bool sound = result == HF_OK && name_len > 0 && name_len <= NAME_MAX_LEN && (name_len > SHORT_MAX) == is_long && !memchr(plain, '/', name_len) &&
                 is_padding(plain + name_len, len - HF_SIV_TAG_LEN - name_len) && len - HF_SIV_TAG_LEN == padded(name_len) &&
                 strcmp((const char *)plain, ".") != 0 && strcmp((const char *)plain, "..") != 0;
    if (sound && is_long) { /* the record may be another name's */
        char again[HF_BACKING_MAX];
        sound = encode_with(&key, dir_id, (const char *)plain, again, NULL) == HF_OK && strcmp(again, backing) == 0;
    }
    hf_name_key_wipe(&key);
    if (sound)
        memcpy(out, plain, 256);
    hf_wipe(plain, sizeof plain);
    return sound ? HF_OK : result == HF_NO_MEMORY ? HF_NO_MEMORY : HF_DAMAGED;
}

/* --- link targets --- */

static enum hf_result link_key(unsigned class, uint32_t generation, uint8_t out[64])
{
    struct hf_name_key key;
    HF_TRY(hf_keyring_name(class, generation, &key));
    hf_kdf(HF_KDF_SYMLINK_KEY, key.bytes, NULL, 0, out, 64);
    hf_name_key_wipe(&key);
    return HF_OK;
}

static struct hf_span link_aad(const uint8_t dir_id[16], const char *name, uint8_t aad[16 + 256])
{
    size_t len = strlen(name);
    memcpy(aad, dir_id, 16);
    memcpy(aad + 16, name, len);
    return HF_SPAN(aad, 16 + len);
}

enum hf_result hf_link_seal(unsigned class, uint32_t generation, const uint8_t dir_id[16], const char *name, const char *target, char out[4096])
{
    uint8_t key[64], aad[16 + 256], sealed[HF_LINK_MAX + HF_SIV_TAG_LEN];
    size_t len = strlen(target);
    if (len == 0 || len > HF_LINK_MAX)
        return HF_TOO_LARGE;
    HF_TRY(link_key(class, generation, key));
    enum hf_result result = hf_siv_seal(key, link_aad(dir_id, name, aad), HF_SPAN(target, len), sealed);
    hf_wipe(key, sizeof key);
    HF_TRY(result);
    hf_base64url_encode(sealed, len + HF_SIV_TAG_LEN, out);
    return HF_OK;
}

enum hf_result hf_link_open(unsigned class, uint32_t generation, const uint8_t dir_id[16], const char *name, const char *text, size_t text_len, char out[4096])
{
    uint8_t key[64], aad[16 + 256], sealed[HF_LINK_MAX + HF_SIV_TAG_LEN];
    size_t len = 0;
    HF_TRY(hf_base64url_decode(text, text_len, sealed, sizeof sealed, &len));
    if (len <= HF_SIV_TAG_LEN)
        return HF_DAMAGED;
    HF_TRY(link_key(class, generation, key));
    enum hf_result result = hf_siv_open(key, link_aad(dir_id, name, aad), HF_SPAN(sealed, len), (uint8_t *)out);
    hf_wipe(key, sizeof key);
    HF_TRY(result);
    out[len - HF_SIV_TAG_LEN] = '\0';
    return strlen(out) == len - HF_SIV_TAG_LEN ? HF_OK : HF_DAMAGED;
}

/* --- authentication under the metadata key --- */

static enum hf_result meta_kdf(unsigned class, uint32_t generation, enum hf_kdf_context context, const struct hf_span *info, size_t count, uint8_t out[16])
{
    struct hf_meta_key key;
    HF_TRY(hf_keyring_meta(class, generation, &key));
    hf_kdf(context, key.bytes, info, count, out, 16);
    hf_meta_key_wipe(&key);
    return HF_OK;
}

enum hf_result hf_name_slot(unsigned class, uint32_t generation, const uint8_t dir_id[16], const uint8_t file_id[16], const char *name, uint8_t out[16])
{
    struct hf_span info[] = {HF_SPAN(dir_id, 16), HF_SPAN(file_id, 16), HF_SPAN(name, strlen(name))};
    return meta_kdf(class, generation, HF_KDF_NAME_SLOT, info, 3, out);
}

static struct hf_span attributes(uint32_t mode, uint32_t uid, uint32_t gid, uint8_t out[12])
{
    struct hf_writer writer;
    hf_writer_init(&writer, out, 12);
    hf_write_u32(&writer, mode);
    hf_write_u32(&writer, uid);
    hf_write_u32(&writer, gid);
    return hf_writer_span(&writer);
}

enum hf_result hf_attr_mac(unsigned class, uint32_t generation, const uint8_t file_id[16], uint32_t mode, uint32_t uid, uint32_t gid, uint8_t out[16])
{
    uint8_t bytes[12];
    struct hf_span info[] = {HF_SPAN(file_id, 16), attributes(mode, uid, gid, bytes)};
    return meta_kdf(class, generation, HF_KDF_ATTR_MAC, info, 2, out);
}

enum hf_result hf_evidence_tag(unsigned class, uint32_t generation, const uint8_t file_id[16], uint8_t kind, const uint8_t value[16], uint32_t epoch, uint8_t out[16])
{
    uint8_t bytes[4] = {(uint8_t)epoch, (uint8_t)(epoch >> 8), (uint8_t)(epoch >> 16), (uint8_t)(epoch >> 24)};
    struct hf_span info[] = {HF_SPAN(file_id, 16), HF_SPAN(&kind, 1), HF_SPAN(value, 16), HF_SPAN_OF(bytes)};
    return meta_kdf(class, generation, HF_KDF_EVIDENCE, info, 4, out);
}

enum hf_result hf_dir_mac(const struct hf_dir_record *record, unsigned mac_class, uint32_t mac_generation, const uint8_t parent_id[16], uint32_t mode, uint32_t uid, uint32_t gid,
                          const uint8_t digest[32], const char *name, uint8_t out[16])
{
    uint8_t macced[HF_DIR_RECORD_MACCED_LEN], bytes[12];
    hf_dir_record_macced(record, macced);
    struct hf_span info[] = {HF_SPAN_OF(macced), HF_SPAN(parent_id, 16), attributes(mode, uid, gid, bytes), HF_SPAN(digest, record->flags & HF_DIR_ATTRIBUTES ? 32 : 0),
                             HF_SPAN(name, strlen(name))};
    return meta_kdf(mac_class, mac_generation, HF_KDF_DIR_MAC, info, 5, out);
}
