/* format/keybag.h, the plaintext of a section: who holds a key, or a program with a flaw, can seal anything. */
#include "format/keybag.h"
#include "fuzz.h"

void fuzz_start(void)
{
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    static struct hf_keybag_keys keys;
    static uint8_t again[HF_KEYBAG_KEYS_ENCODED_MAX];
    size_t again_len = 0;
    if (hf_keybag_keys_decode(HF_SPAN(data, len), &keys) != HF_OK)
        return false;
    FUZZ_PROMISE(hf_keybag_keys_encode(&keys, again, sizeof again, &again_len) == HF_OK);
    FUZZ_PROMISE(again_len == len && memcmp(again, data, len) == 0);
    return true;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    static struct hf_keybag_keys keys;
    size_t len = 0;
    if (number > 3)
        return 0;
    memset(&keys, 0, sizeof keys);
    keys.count = number == 3 ? HF_KEYBAG_KEYS_MAX : number * 2;
    for (uint32_t i = 0; i < keys.count; i++) {
        keys.entries[i].class = (uint8_t)(HF_CLASS_FIRST + i % 4);
        keys.entries[i].generation = 1 + i / 4;
    }
    keys.policy = (struct hf_policy){.delay_count = number, .screen_lock = HF_CLASS_AFTER_UNLOCK};
    if (number == 2)
        memcpy(keys.sentence, "Gr\xc3\xbc\xc3\x9f Gott", 12);
    FUZZ_PROMISE(hf_keybag_keys_encode(&keys, out, HF_KEYBAG_KEYS_ENCODED_MAX, &len) == HF_OK);
    return len;
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    (void)data;
    return len;
}
