/* format/keybag.h, the file: what is parsed encodes to the same bytes. Mended: the checksum. Proves [KB-5] beyond the unit tests' cases. */
#include "format/keybag.h"
#include "fuzz.h"

enum { TAIL = 36 };

void fuzz_start(void)
{
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    struct hf_keybag_view view;
    struct hf_error error = {.result = HF_OK};
    static uint8_t header[16384], again[FUZZ_MAX];
    size_t header_len = 0, again_len = 0;
    enum hf_result result = hf_keybag_parse(HF_SPAN(data, len), &view, &error);
    if (result != HF_OK) {
        FUZZ_PROMISE(result == HF_DAMAGED && error.text[0] && !strchr(error.text, '\n'));
        return false;
    }
    FUZZ_PROMISE(hf_keybag_header_encode(&view.header, header, sizeof header, &header_len) == HF_OK);
    FUZZ_PROMISE(header_len == view.header_bytes.len && memcmp(header, view.header_bytes.data, header_len) == 0);
    FUZZ_PROMISE(hf_keybag_assemble(view.header_bytes, view.device_section, view.user_section, view.recovery_box, again, sizeof again, &again_len) == HF_OK);
    FUZZ_PROMISE(again_len == view.macced.len && hf_keybag_finish(again, sizeof again, again_len, view.mac, &again_len) == HF_OK);
    FUZZ_PROMISE(again_len == len && memcmp(again, data, len) == 0);
    return true;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    struct hf_public_header header = {.generation = 1, .kdf_memory_kib = HF_KEYBAG_KDF_MIN_KIB, .kdf_passes = 1, .kdf_lanes = 1, .element_kind = HF_ELEMENT_SOFTWARE};
    static uint8_t header_bytes[16384], section[3000];
    const uint8_t mac[32] = {1};
    size_t header_len = 0, len = 0;
    if (number > 3)
        return 0;
    header.policy = (struct hf_policy){.attempts = 10, .delay_count = number * 5, .delay_s = {60, 300}, .grace_s = 10, .screen_lock = HF_CLASS_COMPLETE, .profile = number & 1};
    header.has_recovery = number & 1;
    if (number >= 2) {
        header.element_kind = HF_ELEMENT_TPM2;
        memcpy(header.tcti, "device:/dev/tpmrm0", 19);
        header.element_blob_len = number == 2 ? 300 : sizeof header.element_blob;
    }
    size_t section_len = number == 3 ? sizeof section : 80;
    FUZZ_PROMISE(hf_keybag_header_encode(&header, header_bytes, sizeof header_bytes, &header_len) == HF_OK);
    struct hf_span sealed = HF_SPAN(section, section_len), box = HF_SPAN(section, header.has_recovery ? section_len : 0);
    FUZZ_PROMISE(hf_keybag_assemble(HF_SPAN(header_bytes, header_len), sealed, sealed, box, out, FUZZ_MAX, &len) == HF_OK);
    FUZZ_PROMISE(hf_keybag_finish(out, FUZZ_MAX, len, mac, &len) == HF_OK);
    return len;
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    uint8_t mac[32];
    size_t ret = len;
    if (len < TAIL || len > HF_KEYBAG_MAX)
        return len;
    memcpy(mac, data + len - TAIL, sizeof mac);
    return hf_keybag_finish(data, len, len - TAIL, mac, &ret) == HF_OK ? ret : len;
}
