#include "element/serve.h"

#include "element/element.h"
#include "os/secret.h"
#include "proto/control.h"
#include "proto/fields.h"
#include "proto/message.h"

#pragma GCC poison memcmp strcpy sprintf

enum { MESSAGE_MAX = 12288, BODY_MAX = 8192 };

struct server {
    int socket;
    bool greeted;
    struct hf_element element;
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

static enum hf_result write_status(struct server *server, bool look, struct exchange *x)
{
    struct hf_element_status status;
    HF_TRY(hf_element_status(&server->element, look, &status, &x->error));
    hf_element_status_write(&x->out, &status);
    return HF_OK;
}

static enum hf_result on_hello(struct server *server, struct exchange *x)
{
    uint8_t vault_id[16];
    char tcti[HF_KEYBAG_TCTI_MAX];
    hf_read_bytes(&x->in, vault_id, sizeof vault_id);
    uint32_t kind = hf_read_u32(&x->in);
    hf_read_string(&x->in, tcti, sizeof tcti);
    bool creating = hf_read_bool(&x->in);
    struct hf_span blob = hf_read_view16(&x->in, HF_KEYBAG_ELEMENT_BLOB_MAX);
    if (hf_reader_end(&x->in) != HF_OK || kind > HF_ELEMENT_TPM2 || (kind == HF_ELEMENT_AUTO && !creating))
        return HF_PROTOCOL;
    HF_TRY(hf_element_hello(&server->element, vault_id, kind, tcti, blob, &x->error));
    server->greeted = true;
    if (creating && hf_element_state(&server->element) != HF_ELEMENT_EMPTY)
        return hf_fail(&x->error, HF_EXISTS, "the element already knows this vault");
    hf_write_u32(&x->out, server->element.kind);
    return write_status(server, false, x);
}

static void write_grant(struct exchange *x, const struct hf_grant *grant, bool device)
{
    hf_write_u32(&x->out, grant->slot);
    hf_write_bytes(&x->out, grant->release.bytes, sizeof grant->release.bytes);
    if (device)
        hf_write_bytes(&x->out, grant->device.bytes, sizeof grant->device.bytes);
    hf_write_span16(&x->out, HF_SPAN(grant->blob, grant->blob_len));
}

static enum hf_result on_provision(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_duress_auth duress;
    struct hf_policy policy;
    struct hf_grant grant = {0};
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    hf_read_bytes(&x->in, duress.bytes, sizeof duress.bytes);
    hf_limits_read(&x->in, &policy);
    uint64_t generation = hf_read_u64(&x->in);
    bool trusted = hf_read_bool(&x->in);
    uint32_t measure = hf_read_u32(&x->in);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK || measure >= HF_MEASURE_KEEP
                                ? HF_PROTOCOL
                                : hf_element_provision(&server->element, &auth, &duress, &policy, generation, trusted, measure, &grant, &x->error);
    if (result == HF_OK)
        write_grant(x, &grant, true);
    hf_element_auth_wipe(&auth);
    hf_duress_auth_wipe(&duress);
    hf_wipe(&grant, sizeof grant);
    return result;
}

static enum hf_result on_fresh(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_duress_auth duress;
    struct hf_policy policy;
    struct hf_grant grant = {0};
    char tcti[HF_KEYBAG_TCTI_MAX];
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    hf_read_bytes(&x->in, duress.bytes, sizeof duress.bytes);
    hf_limits_read(&x->in, &policy);
    uint64_t generation = hf_read_u64(&x->in);
    bool trusted = hf_read_bool(&x->in);
    uint32_t measure = hf_read_u32(&x->in);
    uint32_t kind = hf_read_u32(&x->in);
    hf_read_string(&x->in, tcti, sizeof tcti);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK || kind > HF_ELEMENT_TPM2 || measure > HF_MEASURE_KEEP
                                ? HF_PROTOCOL
                                : hf_element_fresh(&server->element, kind, tcti, &auth, &duress, &policy, generation, trusted, measure, &grant, &x->error);
    if (result == HF_OK)
        write_grant(x, &grant, true);
    hf_element_auth_wipe(&auth);
    hf_duress_auth_wipe(&duress);
    hf_wipe(&grant, sizeof grant);
    return result;
}

static enum hf_result on_release(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_duress_auth duress;
    struct hf_release_secret release = {0};
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    hf_read_bytes(&x->in, duress.bytes, sizeof duress.bytes);
    bool whole = hf_reader_end(&x->in) == HF_OK;
    enum hf_result result = whole ? hf_element_release(&server->element, &auth, &duress, &release, &x->error) : HF_PROTOCOL;
    hf_element_auth_wipe(&auth);
    hf_duress_auth_wipe(&duress);
    if (result == HF_OK)
        hf_write_bytes(&x->out, release.bytes, sizeof release.bytes);
    hf_release_secret_wipe(&release);
    if (result == HF_WRONG_PASSCODE || result == HF_DELAYED || result == HF_GONE) {
        enum hf_result told = write_status(server, false, x);
        if (told != HF_OK)
            return told;
        hf_write_u8(&x->out, hf_element_duress(&server->element) ? 1 : 0);
    }
    return result;
}

static enum hf_result on_decoy(struct server *server, struct exchange *x)
{
    struct hf_grant grant = {0};
    enum hf_result result = hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_element_decoy(&server->element, &grant, &x->error);
    if (result == HF_OK)
        write_grant(x, &grant, true);
    hf_wipe(&grant, sizeof grant);
    return result;
}

static enum hf_result on_device(struct server *server, struct exchange *x)
{
    struct hf_device_secret device = {0};
    if (hf_reader_end(&x->in) != HF_OK)
        return HF_PROTOCOL;
    enum hf_result result = hf_element_device(&server->element, &device, &x->error);
    if (result == HF_OK)
        hf_write_bytes(&x->out, device.bytes, sizeof device.bytes);
    hf_device_secret_wipe(&device);
    return result;
}

static enum hf_result on_prepare(struct server *server, struct exchange *x)
{
    struct hf_element_auth auth;
    struct hf_duress_auth duress;
    struct hf_seal_request seal;
    struct hf_grant grant = {0};
    hf_read_bytes(&x->in, auth.bytes, sizeof auth.bytes);
    hf_read_bytes(&x->in, duress.bytes, sizeof duress.bytes);
    hf_seal_request_read(&x->in, &seal);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_element_prepare(&server->element, &auth, &duress, &seal, &grant, &x->error);
    if (result == HF_OK)
        write_grant(x, &grant, false);
    hf_element_auth_wipe(&auth);
    hf_duress_auth_wipe(&duress);
    hf_wipe(&grant, sizeof grant);
    return result;
}

static enum hf_result on_commit(struct server *server, struct exchange *x)
{
    uint32_t slot = hf_read_u32(&x->in);
    return hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_element_commit(&server->element, slot, &x->error);
}

static enum hf_result on_generation(struct server *server, struct exchange *x)
{
    uint8_t op = hf_read_u8(&x->in);
    uint64_t value = hf_read_u64(&x->in);
    if (hf_reader_end(&x->in) != HF_OK || op > 1)
        return HF_PROTOCOL;
    if (op == 1)
        HF_TRY(hf_element_step(&server->element, value, &x->error));
    hf_write_u64(&x->out, hf_element_generation(&server->element));
    return HF_OK;
}

static enum hf_result on_refresh(struct server *server, struct exchange *x)
{
    struct hf_duress_auth duress;
    bool stale = true;
    hf_read_bytes(&x->in, duress.bytes, sizeof duress.bytes);
    enum hf_result result = hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_element_refresh(&server->element, &duress, &stale, &x->error);
    hf_duress_auth_wipe(&duress);
    if (result == HF_OK)
        hf_write_u8(&x->out, stale ? 1 : 0);
    return result;
}

static enum hf_result on_head(struct server *server, struct exchange *x)
{
    uint64_t count = 0;
    bool anew = hf_read_bool(&x->in);
    uint64_t value = hf_read_u64(&x->in);
    HF_TRY(hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_element_step_head(&server->element, value, anew, &count, &x->error));
    hf_write_u64(&x->out, count);
    return HF_OK;
}

static enum hf_result on_status(struct server *server, struct exchange *x)
{
    return hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : write_status(server, true, x);
}

static enum hf_result on_erase(struct server *server, struct exchange *x)
{
    return hf_reader_end(&x->in) != HF_OK ? HF_PROTOCOL : hf_element_erase(&server->element, &x->error);
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
    {HF_EL_DECOY, true, ACTIVE | FINISHED, HF_GONE, on_decoy},
    {HF_EL_REFRESH, true, ACTIVE, HF_GONE, on_refresh},
    {HF_EL_HEAD, true, ACTIVE | FINISHED, HF_GONE, on_head},
};

static enum hf_result dispatch(struct server *server, uint16_t request, struct exchange *x)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const struct rule *rule = &rules[i];
        if (rule->request != request)
            continue;
        if (rule->greeted != server->greeted)
            return HF_PROTOCOL;
        if (!(rule->states & STATE_BIT(hf_element_state(&server->element))))
            return rule->otherwise;
        return rule->handle(server, x);
    }
    return HF_PROTOCOL;
}

static bool serve_one(struct server *server, uint8_t in[MESSAGE_MAX], uint8_t body[BODY_MAX], uint8_t out[MESSAGE_MAX])
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
    hf_writer_init(&x.out, body, BODY_MAX);
    enum hf_result result = dispatch(server, request, &x);
    if (hf_writer_end(&x.out) != HF_OK)
        result = HF_FAILED;
    hf_reply_begin(&reply, out, MESSAGE_MAX, result, x.error.text);
    hf_write_bytes(&reply, body, x.out.len);
    return hf_message_send(server->socket, &reply) == HF_OK;
}

int hf_element_serve(int socket, int root, int roots)
{
    uint8_t in[MESSAGE_MAX], body[BODY_MAX], out[MESSAGE_MAX];
    struct server server = {.socket = socket, .element = {.root = root, .roots = roots, .dir = -1, .software = {.dir = -1}, .tpm2 = {.dir = -1}}};
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
