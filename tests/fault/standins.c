/* What stands in for the enclave under the tree: keys that follow from numbers, the head in the disk's log. */
#include "standins.h"

#include <string.h>

#include "crypto/kdf.h"
#include "crypto/wrap.h"
#include "disk.h"
#include "format/head.h"
#include "fs/keyring.h"
#include "os/random.h"

/* --- keys --- */

uint32_t stand_generation[HF_CLASS_LAST + 1] = {0, 1, 1, 1, 1};

static void bytes_of(unsigned class, uint64_t number, unsigned what, uint8_t *out, size_t len)
{
    uint8_t key[32] = {(uint8_t)class, (uint8_t)what};
    memcpy(key + 2, &number, sizeof number);
    hf_kdf(HF_KDF_NAME_KEY, key, NULL, 0, out, len);
}

enum hf_result hf_keyring_refresh(void)
{
    return HF_OK;
}

bool hf_keyring_has_name(unsigned class)
{
    (void)class;
    return true;
}

bool hf_keyring_is_open(unsigned class)
{
    (void)class;
    return true;
}

bool hf_keyring_is_closing(unsigned class)
{
    (void)class;
    return false;
}

bool hf_keyring_holds(unsigned class)
{
    (void)class;
    return true;
}

void hf_keyring_closing(uint32_t mask)
{
    (void)mask;
}

uint32_t hf_keyring_generation(unsigned class)
{
    return stand_generation[class];
}

enum hf_result hf_keyring_meta(unsigned class, uint32_t generation, struct hf_meta_key *ret)
{
    if (class < HF_CLASS_FIRST || class > HF_CLASS_LAST || generation == 0 || generation > stand_generation[class])
        return HF_DAMAGED;
    bytes_of(class, generation, 1, ret->bytes, sizeof ret->bytes);
    return HF_OK;
}

enum hf_result hf_keyring_name(unsigned class, uint32_t generation, struct hf_name_key *ret)
{
    if (class < HF_CLASS_FIRST || class > HF_CLASS_LAST || generation == 0 || generation > stand_generation[class])
        return HF_DAMAGED;
    bytes_of(class, generation, 2, ret->bytes, sizeof ret->bytes);
    return HF_OK;
}

/* The wrap holds the file key itself. */
enum hf_result hf_keyring_make(unsigned class, unsigned kind, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct hf_file_static s = {.kind = (uint8_t)kind, .class = (uint8_t)class, .class_generation = stand_generation[class], .wrap_algorithm = HF_WRAP_CLASS, .wrap_len = 104};
    struct hf_span id = HF_SPAN_OF(s.file_id);
    hf_random(s.file_id, sizeof s.file_id);
    uint64_t number;
    hf_random(&number, sizeof number);
    bytes_of(0, number, 3, ret_key->bytes, sizeof ret_key->bytes);
    memcpy(s.wrap, ret_key->bytes, sizeof ret_key->bytes);
    hf_kdf(HF_KDF_FILE_COMMIT, ret_key->bytes, &id, 1, s.commitment, sizeof s.commitment);
    hf_file_static_encode(&s, ret_static);
    return HF_OK;
}

enum hf_result hf_keyring_open(const uint8_t bytes[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct hf_file_static s;
    HF_TRY(hf_file_static_parse(bytes, &s));
    memcpy(ret_key->bytes, s.wrap, sizeof ret_key->bytes);
    return HF_OK;
}

enum hf_result hf_keyring_rewrap(const uint8_t bytes[HF_STATIC_LEN], unsigned class, uint8_t ret_s[HF_STATIC_LEN])
{
    struct hf_file_static s;
    HF_TRY(hf_file_static_parse(bytes, &s));
    s.class_generation = stand_generation[class];
    s.class = (uint8_t)class;
    hf_file_static_encode(&s, ret_s);
    return HF_OK;
}

void hf_keyring_drop(uint32_t mask)
{
    (void)mask;
}

void hf_keyring_drop_meta(void)
{
}

void hf_keyring_drop_all(void)
{
}

/* --- the head, which the enclave keeps durably --- */

enum hf_result hf_keyring_head_accept(void)
{
    return HF_OK;
}

enum hf_result hf_keyring_head_open(uint32_t *ret_settled, uint8_t *ret_state, uint8_t ret_tips[2 * HF_INDEX_TIP_LEN], uint8_t *ret_age)
{
    *ret_age = 0;
    memcpy(ret_tips, disk_now->head_tips, sizeof disk_now->head_tips);
    *ret_settled = disk_now->head_settled;
    *ret_state = (uint8_t)disk_now->head_state;
    disk_head(disk_now->head_settled, HF_HEAD_OPEN, ret_tips);
    return HF_OK;
}

enum hf_result hf_keyring_head_settle(uint32_t epoch, const uint8_t tips[2 * HF_INDEX_TIP_LEN])
{
    disk_head(epoch, HF_HEAD_OPEN, tips);
    return HF_OK;
}

enum hf_result hf_keyring_head_close(uint32_t epoch)
{
    disk_head(epoch, HF_HEAD_CLOSED, disk_now->head_tips);
    return HF_OK;
}
