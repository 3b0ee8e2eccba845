/* tests/unit/fakering.h: the key channel's place taken by keys that follow from numbers: the wrap holds the file key itself. */
#ifndef HF_TESTS_UNIT_FAKERING_H
#define HF_TESTS_UNIT_FAKERING_H

#include <string.h>

#include "crypto/kdf.h"
#include "fs/keyring.h"

static bool ring_locked; /* no class key and no name key */
static unsigned ring_made;

static void ring_bytes(unsigned class, uint32_t generation, unsigned what, uint8_t *out, size_t len)
{
    uint8_t key[32] = {(uint8_t)class, (uint8_t)generation, (uint8_t)what};
    hf_kdf(HF_KDF_NAME_KEY, key, NULL, 0, out, len);
}

enum hf_result hf_keyring_meta(unsigned class, uint32_t generation, struct hf_meta_key *ret)
{
    if (class == HF_CLASS_UNLESS_OPEN)
        return HF_LOCKED;
    ring_bytes(class, generation, 1, ret->bytes, sizeof ret->bytes);
    return HF_OK;
}

enum hf_result hf_keyring_name(unsigned class, uint32_t generation, struct hf_name_key *ret)
{
    if (ring_locked)
        return HF_LOCKED;
    ring_bytes(class, generation, 2, ret->bytes, sizeof ret->bytes);
    return HF_OK;
}

bool hf_keyring_is_open(unsigned class)
{
    (void)class;
    return !ring_locked;
}

bool hf_keyring_is_closing(unsigned class)
{
    (void)class;
    return false;
}

bool hf_keyring_holds(unsigned class)
{
    return hf_keyring_is_open(class);
}

enum hf_result hf_keyring_make(unsigned class, unsigned kind, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct hf_file_static s = {.kind = (uint8_t)kind, .class = (uint8_t)class, .class_generation = 1, .wrap_algorithm = HF_WRAP_CLASS, .wrap_len = 104};
    struct hf_span id = HF_SPAN_OF(s.file_id);
    ring_made++;
    memcpy(s.file_id, &ring_made, sizeof ring_made);
    ring_bytes(ring_made & 255, ring_made >> 8, 3, ret_key->bytes, sizeof ret_key->bytes);
    memcpy(s.wrap, ret_key->bytes, sizeof ret_key->bytes);
    hf_kdf(HF_KDF_FILE_COMMIT, ret_key->bytes, &id, 1, s.commitment, sizeof s.commitment);
    hf_file_static_encode(&s, ret_static);
    return HF_OK;
}

enum hf_result hf_keyring_open(const uint8_t bytes[HF_STATIC_LEN], struct hf_file_key *ret_key)
{
    struct hf_file_static s;
    if (ring_locked)
        return HF_LOCKED;
    HF_TRY(hf_file_static_parse(bytes, &s));
    memcpy(ret_key->bytes, s.wrap, sizeof ret_key->bytes);
    return HF_OK;
}

enum hf_result hf_keyring_rewrap(const uint8_t bytes[HF_STATIC_LEN], unsigned class, uint8_t ret_s[HF_STATIC_LEN])
{
    struct hf_file_static s;
    if (ring_locked)
        return HF_LOCKED;
    HF_TRY(hf_file_static_parse(bytes, &s));
    s.class_generation += s.class == class;
    s.class = (uint8_t)class;
    hf_file_static_encode(&s, ret_s);
    return HF_OK;
}

/* What libcrypto keeps for good is found from the secret arena alone, where the leak checker does not look. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libcrypto";
}

#endif
