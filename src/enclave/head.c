#include "enclave/enclave.h"
#include "os/file.h"
#include "proto/keys.h"

#pragma GCC poison memcmp strcpy sprintf

static enum hf_result save(const struct hf_device_key *key, struct hf_head *head)
{
    uint8_t bytes[HF_HEAD_LEN];
    struct hf_span macced = HF_SPAN(bytes, HF_HEAD_MACCED_LEN);
    hf_head_encode(head, bytes);
    hf_kdf(HF_KDF_HEAD_MAC, key->bytes, &macced, 1, head->mac, sizeof head->mac);
    hf_head_encode(head, bytes);
    return hf_file_replace(HF_FD_ENCLAVE_DIR, "head", HF_SPAN_OF(bytes));
}

static enum hf_result load(const struct hf_device_key *key, const uint8_t vault_id[16], struct hf_head *ret)
{
    uint8_t bytes[HF_HEAD_LEN], mac[32];
    size_t len = 0;
    struct hf_span macced = HF_SPAN(bytes, HF_HEAD_MACCED_LEN);
    enum hf_result result = hf_file_read(HF_FD_ENCLAVE_DIR, "head", bytes, sizeof bytes, &len);
    HF_TRY(result == HF_NOT_FOUND || result == HF_TOO_LARGE ? HF_DAMAGED : result); /* a vault that was made has one, of one length */
    HF_TRY(hf_head_parse(HF_SPAN(bytes, len), ret));
    if (!hf_equal_ct(ret->vault_id, vault_id, 16))
        return HF_DAMAGED;
    if (!key)
        return HF_OK;
    hf_kdf(HF_KDF_HEAD_MAC, key->bytes, &macced, 1, mac, sizeof mac);
    return hf_equal_ct(mac, ret->mac, sizeof mac) ? HF_OK : HF_DAMAGED;
}

enum hf_result hf_head_create(const struct hf_device_key *key, const uint8_t vault_id[16])
{
    struct hf_head head = {.state = HF_HEAD_FRESH};
    memcpy(head.vault_id, vault_id, 16);
    return save(key, &head);
}

enum hf_result hf_head_adopt(const struct hf_device_key *key, const uint8_t vault_id[16])
{
    struct hf_head head;
    HF_TRY(load(NULL, vault_id, &head)); /* the old MAC's key is gone: believed once, at recovery */
    if (head.state == HF_HEAD_CLOSED)
        head.state = HF_HEAD_OPEN;
    return save(key, &head);
}

enum hf_result hf_head_request(struct hf_enclave *e, uint16_t request, struct hf_exchange *x)
{
    struct hf_head head;
    uint8_t tips[HF_HEAD_TIPS_LEN];
    uint32_t epoch = request == HF_KEYS_HEAD_OPEN ? 0 : hf_read_u32(&x->in);
    if (request == HF_KEYS_HEAD_SETTLE)
        hf_read_bytes(&x->in, tips, sizeof tips);
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    if (!e->device)
        return HF_LOCKED;
    enum hf_result result = load(&e->device_key, e->header.vault_id, &head);
    if (result != HF_OK)
        return hf_fail(&x->error, result, "head (.holdfast/head): %s", hf_result_text(result));
    uint32_t found = head.state;
    if (request == HF_KEYS_HEAD_OPEN) {
        head.state = HF_HEAD_OPEN;
        HF_TRY(save(&e->device_key, &head));
        hf_write_u32(&x->out, head.settled);
        hf_write_u8(&x->out, (uint8_t)found);
        hf_write_bytes(&x->out, head.tips, sizeof head.tips);
        return HF_OK;
    }
    if (found != HF_HEAD_OPEN || (request == HF_KEYS_HEAD_SETTLE ? epoch <= head.settled : epoch < head.settled))
        return HF_PROTOCOL;
    head.settled = epoch;
    if (request == HF_KEYS_HEAD_SETTLE)
        memcpy(head.tips, tips, sizeof head.tips);
    if (request == HF_KEYS_HEAD_CLOSE)
        head.state = HF_HEAD_CLOSED;
    return save(&e->device_key, &head);
}
