#include "element/serve.h"

#include "element/software.h"
#include "os/secret.h"
#include "proto/control.h"
#include "proto/fields.h"
#include "proto/message.h"

#pragma GCC poison memcmp strcpy sprintf

enum { MESSAGE_MAX = 8192 };

struct server {
    int socket;
    bool greeted;
    uint32_t kind;
    uint32_t failed_before; /* as the last success reported it */
    struct hf_software software;
};

/* One request in, its reply's body out. A handler that returns something else than HF_OK may have put a text into error. */
struct exchange {
    struct hf_reader in;
    struct hf_writer out; /* body alone */
    struct hf_error error;
};

#define STATE_BIT(state) (1u << (state))
enum { EMPTY = STATE_BIT(HF_ELEMENT_EMPTY), ACTIVE = STATE_BIT(HF_ELEMENT_ACTIVE), FINISHED = STATE_BIT(HF_ELEMENT_FINISHED),
       ERASED = STATE_BIT(HF_ELEMENT_ERASED), ANY = EMPTY | ACTIVE | FINISHED | ERASED };

static enum hf_result write_status(struct server *server, struct hf_writer *writer)
{
    struct hf_element_status status = {.kind = server->kind, .public_json = "{}", .vendor = "software"};
    const struct hf_element_record *record = &server->software.record;
    if (server->software.dir >= 0)
        HF_TRY(hf_attempt_delay(&server->software, &status.retry_after_s));
    status.state = record->state;
    status.failed = record->failed;
    status.limit = record->policy.attempts;
    status.erases = record->policy.attempts > 0;
    status.generation = record->generation;
    status.slot = record->slot;
    status.failed_since_success = record->failed_since_success > 0 ? record->failed_since_success : server->failed_before;
    hf_element_status_write(writer, &status);
    return HF_OK;
}

static enum hf_result pick(struct server *server, uint32_t kind, struct hf_error *error)
{
    if (kind != HF_ELEMENT_TPM2) {
        server->kind = HF_ELEMENT_SOFTWARE;
        return HF_OK;
    }
    server->kind = HF_ELEMENT_TPM2;
    return hf_fail(error, HF_UNREACHABLE, "this build has no support for a TPM yet: the element kind tpm2 can't be reached");
}

static enum hf_result on_hello(struct server *server, struct exchange *x)
{
    uint8_t vault_id[16];
    char tcti[HF_KEYBAG_TCTI_MAX];
    hf_read_bytes(&x->in, vault_id, sizeof vault_id);
    uint32_t kind = hf_read_u32(&x->in);
    hf_read_string(&x->in, tcti, sizeof tcti);
    bool creating = hf_read_bool(&x->in);
    (void)hf_read_view16(&x->in, HF_KEYBAG_ELEMENT_BLOB_MAX);
    if (hf_reader_end(&x->in) != HF_OK || kind > HF_ELEMENT_TPM2 || (kind == HF_ELEMENT_AUTO && !creating) || server->greeted)
        return HF_PROTOCOL;
    HF_TRY(hf_software_open(&server->software, vault_id, &x->error));
    server->greeted = true;
    HF_TRY(pick(server, kind, &x->error));
    if (creating && server->software.record.state != HF_ELEMENT_EMPTY)
        return hf_fail(&x->error, HF_EXISTS, "the element already knows this vault");
    hf_write_u32(&x->out, server->kind);
    return write_status(server, &x->out);
}

static enum hf_result provision(struct server *server, struct exchange *x, const struct hf_element_auth *auth, const struct hf_policy *policy)
{
    struct hf_release_secret release = {0};
    enum hf_result result = hf_software_provision(&server->software, auth, policy, &release);
    if (result == HF_OK) {
        hf_write_u32(&x->out, server->software.record.slot);
        hf_write_bytes(&x->out, release.bytes, sizeof release.bytes);
        hf_write_bytes(&x->out, server->software.record.device.bytes, HF_DEVICE_SECRET_LEN);
        hf_write_span16(&x->out, HF_SPAN(NULL, 0));
    }
    hf_release_secret_wipe(&release);
    return result;
}

static enum hf_result on_provision(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_policy policy;
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    hf_limits_read(&x->in, &policy);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : provision(server, x, &auth, &policy);
    hf_element_auth_wipe(&auth);
    return result;
}

static enum hf_result on_fresh(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_policy policy;
    char tcti[HF_KEYBAG_TCTI_MAX];
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    hf_limits_read(&x->in, &policy);
    uint32_t kind = hf_read_u32(&x->in);
    hf_read_string(&x->in, tcti, sizeof tcti);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK || kind > HF_ELEMENT_TPM2 ? HF_PROTOCOL : pick(server, kind, &x->error);
    if (result == HF_OK)
        result = provision(server, x, &auth, &policy);
    hf_element_auth_wipe(&auth);
    return result;
}

static enum hf_result on_release(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_release_secret release = {0};
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_attempt(&server->software, &auth, &release, &server->failed_before);
    if (result == HF_OK)
        hf_write_bytes(&x->out, release.bytes, sizeof release.bytes);
    else if (result == HF_WRONG_PASSCODE || result == HF_DELAYED || result == HF_GONE)
        HF_ASSERT(write_status(server, &x->out) != HF_PROTOCOL);
    hf_element_auth_wipe(&auth);
    hf_release_secret_wipe(&release);
    return result;
}

static enum hf_result on_device(struct server *server, struct exchange *x)
{
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    hf_write_bytes(&x->out, server->software.record.device.bytes, HF_DEVICE_SECRET_LEN);
    return HF_OK;
}

static enum hf_result on_prepare(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_release_secret release = {0};
    uint32_t slot = 0;
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_software_prepare(&server->software, &auth, &slot, &release);
    if (result == HF_OK) {
        hf_write_u32(&x->out, slot);
        hf_write_bytes(&x->out, release.bytes, sizeof release.bytes);
        hf_write_span16(&x->out, HF_SPAN(NULL, 0));
    }
    hf_element_auth_wipe(&auth);
    hf_release_secret_wipe(&release);
    return result;
}

static enum hf_result on_commit(struct server *server, struct exchange *x)
{
    uint32_t slot = hf_read_u32(&x->in);
    return hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_software_commit(&server->software, slot);
}

static enum hf_result on_generation(struct server *server, struct exchange *x)
{
    uint8_t op = hf_read_u8(&x->in);
    uint64_t value = hf_read_u64(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || op > 1)
        return HF_PROTOCOL;
    if (op == 1)
        HF_TRY(hf_software_step(&server->software, value));
    hf_write_u64(&x->out, server->software.record.generation);
    return HF_OK;
}

static enum hf_result on_status(struct server *server, struct exchange *x)
{
    return hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : write_status(server, &x->out);
}

static enum hf_result on_erase(struct server *server, struct exchange *x)
{
    return hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_software_erase(&server->software);
}

/* Which request is answered in which state of the element; a hole refuses. */
static const struct rule {
    enum hf_element_request request;
    bool greeted;
    unsigned states;
    enum hf_result otherwise; /* in another state */
    enum hf_result (*handle)(struct server *server, struct exchange *x);
} rules[] = {
    {HF_EL_HELLO, false, ANY, HF_PROTOCOL, on_hello},
    {HF_EL_PROVISION, true, EMPTY, HF_EXISTS, on_provision},
    {HF_EL_RELEASE, true, ACTIVE | FINISHED | ERASED, HF_UNREACHABLE, on_release},
    {HF_EL_DEVICE, true, ACTIVE | FINISHED, HF_GONE, on_device},
    {HF_EL_PREPARE, true, ACTIVE, HF_GONE, on_prepare},
    {HF_EL_COMMIT, true, ACTIVE, HF_GONE, on_commit},
    {HF_EL_GENERATION, true, ACTIVE | FINISHED, HF_GONE, on_generation},
    {HF_EL_STATUS, true, ANY, HF_PROTOCOL, on_status},
    {HF_EL_ERASE, true, ANY, HF_PROTOCOL, on_erase},
    {HF_EL_FRESH, true, ANY, HF_PROTOCOL, on_fresh},
};

static enum hf_result dispatch(struct server *server, uint16_t request, struct exchange *x)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        if (rule->request != request)
            continue;
        if (rule->greeted != server->greeted)
            return HF_PROTOCOL;
        if (!(rule->states & STATE_BIT(server->software.record.state)))
            return rule->otherwise;
        if (server->greeted && server->kind == HF_ELEMENT_TPM2 && request != HF_EL_FRESH && request != HF_EL_STATUS && request != HF_EL_ERASE)
            return hf_fail(&x->error, HF_UNREACHABLE, "this build has no support for a TPM yet");
        return rule->handle(server, x);
    }
    return HF_PROTOCOL;
}

static bool serve_one(struct server *server, uint8_t in[MESSAGE_MAX], uint8_t body[MESSAGE_MAX], uint8_t out[MESSAGE_MAX])
{
    size_t len = 0;
    struct exchange x = {.error = {0}};
    struct hf_writer reply;
    enum hf_result received = hf_ipc_recv(server->socket, in, MESSAGE_MAX, &len, NULL, 0, NULL, -1);
    if (received == HF_PROTOCOL)
        return hf_reply_send(server->socket, HF_PROTOCOL, "") == HF_OK;
    if (received != HF_OK)
        return false;
    hf_reader_init(&x.in, HF_SPAN(in, len));
    uint16_t request = hf_read_u16(&x.in);
    hf_writer_init(&x.out, body, MESSAGE_MAX / 2);
    enum hf_result result = dispatch(server, request, &x);
    if (hf_writer_end(&x.out) != HF_OK)
        result = HF_FAILED;
    hf_reply_begin(&reply, out, MESSAGE_MAX, result, x.error.text);
    hf_write_bytes(&reply, body, x.out.len);
    return hf_message_send(server->socket, &reply) == HF_OK;
}

int hf_element_serve(int socket)
{
    uint8_t in[MESSAGE_MAX], body[MESSAGE_MAX], out[MESSAGE_MAX];
    struct server server = {.socket = socket, .software = {.dir = -1}};
    bool going = true;
    while (going) {
        going = serve_one(&server, in, body, out);
        hf_wipe(in, sizeof in);
        hf_wipe(body, sizeof body);
        hf_wipe(out, sizeof out);
        hf_secret_wipe_stack();
    }
    hf_wipe(&server, sizeof server);
    return 0;
}
