#include "enclave/enclave.h"
#include "proto/fields.h"

#pragma GCC poison memcmp strcpy sprintf

enum { REQUEST_MAX = HF_KEYBAG_ELEMENT_BLOB_MAX + 1024, TIMEOUT_MS = 60000, PROVISION_MS = 300000 /* a chip may make an RSA key meanwhile */ };

/* The peer's verdict as a result; its text goes on. */
static enum hf_result call_within(struct hf_enclave *e, const struct hf_writer *request, int timeout_ms, struct hf_reader *ret_body, struct hf_error *error)
{
    struct hf_error verdict = {0};
    enum hf_result sent = hf_call(HF_FD_ENCLAVE_ELEMENT, request, NULL, 0, e->element_buffer, sizeof e->element_buffer, timeout_ms, &verdict, ret_body);
    if (sent != HF_OK)
        return hf_fail(error, HF_UNREACHABLE, "the element does not answer (%s)", hf_result_text(sent));
    if (verdict.result != HF_OK)
        return hf_fail(error, verdict.result, "%s", verdict.text[0] ? verdict.text : hf_result_text(verdict.result));
    return HF_OK;
}

static enum hf_result call(struct hf_enclave *e, const struct hf_writer *request, struct hf_reader *ret_body, struct hf_error *error)
{
    return call_within(e, request, TIMEOUT_MS, ret_body, error);
}

static enum hf_result finish(struct hf_enclave *e, const struct hf_reader *body, enum hf_result result, struct hf_error *error)
{
    if (result == HF_OK && hf_reader_end(body) != HF_OK)
        result = hf_fail(error, HF_PROTOCOL, "the element's answer is malformed");
    hf_wipe(e->element_buffer, sizeof e->element_buffer);
    return result;
}

enum hf_result hf_link_hello(struct hf_enclave *e, const struct hf_public_header *header, bool creating, uint32_t *ret_kind, struct hf_error *error)
{
    uint8_t bytes[REQUEST_MAX];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_HELLO);
    hf_write_bytes(&writer, header->vault_id, 16);
    hf_write_u32(&writer, header->element_kind);
    hf_write_string(&writer, header->tcti);
    hf_write_u8(&writer, creating ? 1 : 0);
    hf_write_span16(&writer, HF_SPAN(header->element_blob, header->element_blob_len));
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK) {
        *ret_kind = hf_read_u32(&body);
        hf_element_status_read(&body, &e->element);
        e->greeted = true;
    }
    return finish(e, &body, result, error);
}

enum hf_result hf_link_status(struct hf_enclave *e, struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_STATUS);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK)
        hf_element_status_read(&body, &e->element);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_device(struct hf_enclave *e, struct hf_device_secret *ret, struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_DEVICE);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK)
        hf_read_bytes(&body, ret->bytes, sizeof ret->bytes);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_release(struct hf_enclave *e, const struct hf_element_auth *auth, const struct hf_duress_auth *second, struct hf_release_secret *ret,
                               bool *ret_duress, struct hf_error *error)
{
    uint8_t bytes[96];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_RELEASE);
    hf_write_bytes(&writer, auth->bytes, sizeof auth->bytes);
    hf_write_bytes(&writer, second->bytes, sizeof second->bytes);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK) {
        hf_read_bytes(&body, ret->bytes, sizeof ret->bytes);
    } else if (hf_reader_left(&body) > 0) {
        hf_element_status_read(&body, &e->element);
        *ret_duress = hf_read_bool(&body) && !body.failed;
    }
    hf_wipe(bytes, sizeof bytes);
    return finish(e, &body, result, error);
}

static void read_blob(struct hf_reader *body, struct hf_public_header *header)
{
    struct hf_span blob = hf_read_view16(body, sizeof header->element_blob);
    if (blob.len > 0)
        memcpy(header->element_blob, blob.data, blob.len);
    header->element_blob_len = blob.len;
    if (header->element_slot > 1)
        hf_reader_reject(body);
}

static void read_grant(struct hf_reader *body, struct hf_public_header *header, struct hf_release_secret *ret_release, struct hf_device_secret *ret_device)
{
    header->element_slot = hf_read_u32(body);
    hf_read_bytes(body, ret_release->bytes, sizeof ret_release->bytes);
    hf_read_bytes(body, ret_device->bytes, sizeof ret_device->bytes);
    read_blob(body, header);
}

enum hf_result hf_link_provision(struct hf_enclave *e, bool fresh, bool trusted, uint32_t measure, const struct hf_element_auth *auth,
                                 const struct hf_duress_auth *second, struct hf_public_header *header, struct hf_release_secret *ret_release, struct hf_device_secret *ret_device,
                                 struct hf_error *error)
{
    uint8_t bytes[REQUEST_MAX];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, fresh ? HF_EL_FRESH : HF_EL_PROVISION);
    hf_write_bytes(&writer, auth->bytes, sizeof auth->bytes);
    hf_write_bytes(&writer, second->bytes, sizeof second->bytes);
    hf_limits_write(&writer, &header->policy);
    hf_write_u64(&writer, header->generation - 1); /* the header is the next one already */
    hf_write_u8(&writer, trusted ? 1 : 0);
    hf_write_u32(&writer, measure);
    if (fresh) {
        hf_write_u32(&writer, header->element_kind);
        hf_write_string(&writer, header->tcti);
    }
    enum hf_result result = call_within(e, &writer, PROVISION_MS, &body, error);
    if (result == HF_OK)
        read_grant(&body, header, ret_release, ret_device);
    hf_wipe(bytes, sizeof bytes);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_decoy(struct hf_enclave *e, struct hf_public_header *header, struct hf_release_secret *ret_release, struct hf_device_secret *ret_device,
                             struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_DECOY);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK)
        read_grant(&body, header, ret_release, ret_device);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_prepare(struct hf_enclave *e, const struct hf_element_auth *auth, const struct hf_duress_auth *second,
                               const struct hf_seal_request *seal, struct hf_public_header *header, struct hf_release_secret *ret_release, struct hf_error *error)
{
    uint8_t bytes[96 + HF_PCR_COUNT * HF_PCR_LEN];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_PREPARE);
    hf_write_bytes(&writer, auth->bytes, sizeof auth->bytes);
    hf_write_bytes(&writer, second->bytes, sizeof second->bytes);
    hf_seal_request_write(&writer, seal);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK) {
        header->element_slot = hf_read_u32(&body);
        hf_read_bytes(&body, ret_release->bytes, sizeof ret_release->bytes);
        read_blob(&body, header);
    }
    hf_wipe(bytes, sizeof bytes);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_commit(struct hf_enclave *e, uint32_t slot, struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_COMMIT);
    hf_write_u32(&writer, slot);
    return finish(e, &body, call(e, &writer, &body, error), error);
}

enum hf_result hf_link_step(struct hf_enclave *e, uint64_t generation, struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_GENERATION);
    hf_write_u8(&writer, 1);
    hf_write_u64(&writer, generation);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK)
        (void)hf_read_u64(&body);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_refresh(struct hf_enclave *e, const struct hf_duress_auth *second, struct hf_error *error)
{
    uint8_t bytes[64];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_REFRESH);
    hf_write_bytes(&writer, second->bytes, sizeof second->bytes);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK)
        e->element.second_stale = hf_read_bool(&body);
    hf_wipe(bytes, sizeof bytes);
    return finish(e, &body, result, error);
}

enum hf_result hf_link_head(struct hf_enclave *e, uint64_t value, bool anew, struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_HEAD);
    hf_write_u8(&writer, anew ? 1 : 0);
    hf_write_u64(&writer, value);
    enum hf_result result = call(e, &writer, &body, error);
    if (result == HF_OK) {
        e->element.head_count = hf_read_u64(&body);
        e->element.head_counted = true;
    }
    return finish(e, &body, result, error);
}

enum hf_result hf_link_erase(struct hf_enclave *e, struct hf_error *error)
{
    uint8_t bytes[16];
    struct hf_writer writer;
    struct hf_reader body = {0};
    hf_message_begin(&writer, bytes, sizeof bytes, HF_EL_ERASE);
    return finish(e, &body, call(e, &writer, &body, error), error);
}
