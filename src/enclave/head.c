#include <stdlib.h>

#include "enclave/enclave.h"
#include "os/clock.h"
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

enum hf_result hf_head_create(const struct hf_device_key *key, const uint8_t vault_id[16], uint64_t count)
{
    struct hf_head head = {.state = HF_HEAD_FRESH, .count = count};
    memcpy(head.vault_id, vault_id, 16);
    return save(key, &head);
}

enum hf_result hf_head_adopt(const struct hf_device_key *key, const uint8_t vault_id[16], uint64_t count)
{
    struct hf_head head;
    HF_TRY(load(NULL, vault_id, &head)); /* the old MAC's key is gone: believed once, at recovery */
    if (head.state == HF_HEAD_CLOSED)
        head.state = HF_HEAD_OPEN;
    head.count = count;
    return save(key, &head);
}

enum hf_result hf_head_keep(const struct hf_device_key *key, const uint8_t vault_id[16])
{
    struct hf_head head;
    HF_TRY(load(NULL, vault_id, &head));
    return save(key, &head);
}

/* --- the element's count --- */

static bool is_counted(const struct hf_enclave *e)
{
    return e->header.element_kind == HF_ELEMENT_TPM2;
}

static uint64_t pause_ms(void)
{
    return hf_clock_span_ms("HF_TEST_HEAD_MS", 3600000);
}

/* [FR-13] The head first, the counter after it: what is cut in between is a head one ahead, which the next step catches up with. A head that is older
 * than the counter takes no step before it is accepted. */
static enum hf_result save_stepped(struct hf_enclave *e, struct hf_head *head, bool accept, struct hf_error *error)
{
    HF_TRY(hf_link_status(e, error));
    if (accept && head->count < e->element.head_count)
        head->count = e->element.head_count;
    if (e->element.head_counted && head->count == e->element.head_count)
        head->count++;
    HF_TRY(save(&e->device_key, head));
    HF_TRY(hf_link_head(e, head->count, accept, error));
    e->head_stepped_ms = hf_clock_ms();
    if (head->count == e->element.head_count || !accept)
        return HF_OK;
    head->count = e->element.head_count; /* a counter that was made again stands higher */
    return save(&e->device_key, head);
}

/* A step that can't be made now is made later: it keeps nobody from closing. */
static enum hf_result save_stepped_if_it_can_be(struct hf_enclave *e, struct hf_head *head)
{
    struct hf_error later;
    if (is_counted(e) && !e->head_older && save_stepped(e, head, false, &later) == HF_OK)
        return HF_OK;
    return save(&e->device_key, head);
}

void hf_head_unlocked(struct hf_enclave *e)
{
    struct hf_head head;
    if (!e->head_open || !is_counted(e) || e->head_older || hf_clock_ms() - e->head_stepped_ms < pause_ms())
        return;
    if (load(&e->device_key, e->header.vault_id, &head) == HF_OK)
        (void)!save_stepped_if_it_can_be(e, &head);
}

/* [FR-12] */
static enum hf_result judge_age(struct hf_enclave *e, const struct hf_head *head, uint8_t *ret_age, struct hf_error *error)
{
    *ret_age = HF_HEAD_NEWEST;
    if (!is_counted(e))
        return HF_OK;
    HF_TRY(hf_link_status(e, error));
    if (!e->element.head_counted)
        *ret_age = HF_HEAD_UNCOUNTED;
    else if (head->count < e->element.head_count)
        *ret_age = HF_HEAD_OLDER;
    else if (head->count > e->element.head_count) /* cut between the head and its step */
        HF_TRY(hf_link_head(e, head->count, false, error));
    return HF_OK;
}

static enum hf_result on_open(struct hf_enclave *e, struct hf_head *head, struct hf_exchange *x)
{
    uint32_t found = head->state;
    uint8_t age;
    HF_TRY(judge_age(e, head, &age, &x->error));
    e->head_older = age != HF_HEAD_NEWEST;
    e->head_open = true;
    e->head_stepped_ms = hf_clock_ms();
    head->state = HF_HEAD_OPEN;
    HF_TRY(found == HF_HEAD_OPEN ? save_stepped_if_it_can_be(e, head) : save(&e->device_key, head)); /* [FR-14] */
    hf_write_u32(&x->out, head->settled);
    hf_write_u8(&x->out, (uint8_t)found);
    hf_write_bytes(&x->out, head->tips, sizeof head->tips);
    hf_write_u8(&x->out, age);
    return HF_OK;
}

/* The owner's passcode was judged before the filesystem was told to accept [FR-9]; here it can be seen that the vault is unlocked. */
static enum hf_result on_accept(struct hf_enclave *e, struct hf_head *head, struct hf_exchange *x)
{
    if (!(e->available & HF_CLASS_BIT(HF_CLASS_COMPLETE)))
        return HF_LOCKED;
    if (is_counted(e))
        HF_TRY(save_stepped(e, head, true, &x->error));
    e->head_older = false;
    return HF_OK;
}

enum hf_result hf_head_request(struct hf_enclave *e, uint16_t request, struct hf_exchange *x)
{
    struct hf_head head;
    uint8_t tips[HF_HEAD_TIPS_LEN];
    bool moves = request == HF_KEYS_HEAD_SETTLE || request == HF_KEYS_HEAD_CLOSE;
    uint32_t epoch = moves ? hf_read_u32(&x->in) : 0;
    if (request == HF_KEYS_HEAD_SETTLE)
        hf_read_bytes(&x->in, tips, sizeof tips);
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    if (!e->device)
        return HF_LOCKED;
    enum hf_result result = load(&e->device_key, e->header.vault_id, &head);
    if (result != HF_OK)
        return hf_fail(&x->error, result, "head (.holdfast/head): %s", hf_result_text(result));
    if (request == HF_KEYS_HEAD_OPEN)
        return on_open(e, &head, x);
    if (head.state != HF_HEAD_OPEN)
        return HF_PROTOCOL;
    if (request == HF_KEYS_HEAD_ACCEPT)
        return on_accept(e, &head, x);
    if (request == HF_KEYS_HEAD_SETTLE ? epoch <= head.settled : epoch < head.settled)
        return HF_PROTOCOL;
    head.settled = epoch;
    if (request == HF_KEYS_HEAD_SETTLE)
        memcpy(head.tips, tips, sizeof head.tips);
    if (request == HF_KEYS_HEAD_SETTLE)
        return save(&e->device_key, &head);
    head.state = HF_HEAD_CLOSED;
    return save_stepped_if_it_can_be(e, &head);
}
