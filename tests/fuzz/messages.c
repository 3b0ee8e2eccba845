/* proto/: what the programs tell each other: replies, the statuses of element, enclave and supervisor, requests for a seal; the first byte says which.
 * What is accepted is written as the same bytes. */
#include "fuzz.h"
#include "proto/message.h"
#include "proto/owner.h"

enum { REPLY, ELEMENT, SEAL, ENCLAVE, OWNER, KINDS };
static uint8_t again[FUZZ_MAX];
static struct hf_owner_status status;

void fuzz_start(void)
{
}

static bool reply(struct hf_span in)
{
    struct hf_error verdict = {.result = HF_OK};
    struct hf_reader body;
    struct hf_writer writer;
    if (hf_reply_parse(in, &verdict, &body) != HF_OK)
        return false;
    FUZZ_PROMISE(verdict.result < HF_RESULT_COUNT && memchr(verdict.text, 0, sizeof verdict.text));
    FUZZ_PROMISE(hf_result_text(verdict.result) && hf_result_exit_code(verdict.result) < 10);
    hf_reply_begin(&writer, again, sizeof again, verdict.result, verdict.text);
    FUZZ_PROMISE(writer.len + hf_reader_left(&body) == in.len && memcmp(again, in.data, writer.len) == 0);
    return true;
}

bool fuzz_one(const uint8_t *data, size_t len)
{
    struct hf_reader reader;
    struct hf_writer writer;
    struct hf_seal_request seal;
    if (len == 0)
        return false;
    struct hf_span in = HF_SPAN(data + 1, len - 1);
    hf_reader_init(&reader, in);
    hf_writer_init(&writer, again, sizeof again);
    switch (data[0]) {
    case REPLY: return reply(in);
    case ELEMENT: hf_element_status_read(&reader, &status.enclave.element); break;
    case SEAL: hf_seal_request_read(&reader, &seal); break;
    case ENCLAVE: hf_enclave_status_read(&reader, &status.enclave); break;
    case OWNER: hf_owner_status_read(&reader, &status); break;
    default: return false;
    }
    if (hf_reader_end(&reader) != HF_OK)
        return false;
    if (data[0] == ELEMENT)
        hf_element_status_write(&writer, &status.enclave.element);
    else if (data[0] == SEAL)
        hf_seal_request_write(&writer, &seal);
    else if (data[0] == ENCLAVE)
        hf_enclave_status_write(&writer, &status.enclave);
    else
        hf_owner_status_write(&writer, &status);
    FUZZ_PROMISE(hf_writer_end(&writer) == HF_OK && writer.len == in.len && memcmp(again, in.data, in.len) == 0);
    return true;
}

size_t fuzz_seed(unsigned number, uint8_t *out)
{
    struct hf_writer writer;
    struct hf_seal_request seal = {.how = (uint8_t)(number % 3), .measure = number % 3 == HF_SEAL_PRESENT ? HF_MEASURE_DEFAULT : HF_MEASURE_KEEP};
    seal.predicted.mask = number % 3 == HF_SEAL_PREDICTED ? HF_PCR_BIT(7) : 0;
    memset(&status, 0, sizeof status);
    status.state = HF_STATE_LOCKED;
    memcpy(status.mountpoint, "/home/someone/private", 22);
    status.enclave.policy = (struct hf_policy){.attempts = 10, .delay_count = 2, .delay_s = {60, 300}, .screen_lock = HF_CLASS_COMPLETE};
    status.enclave.element = (struct hf_element_status){.kind = HF_ELEMENT_TPM2, .state = HF_ELEMENT_ACTIVE, .vendor = "IBM SW", .public_json = "{\"nv_pin\":\"0x1800000\"}", .fit = HF_FIT_IN_FORCE, .pcrs = 1u << 7};
    hf_writer_init(&writer, out + 1, FUZZ_MAX - 1);
    switch (number) {
    case 0: out[0] = REPLY; hf_reply_begin(&writer, out + 1, FUZZ_MAX - 1, HF_LOCKED, "vault: locked; unlock it first"); hf_write_u32(&writer, 5); break;
    case 1: out[0] = ELEMENT; hf_element_status_write(&writer, &status.enclave.element); break;
    case 2: case 3: case 4: out[0] = SEAL; hf_seal_request_write(&writer, &seal); break;
    case 5: out[0] = ENCLAVE; hf_enclave_status_write(&writer, &status.enclave); break;
    case 6: out[0] = OWNER; hf_owner_status_write(&writer, &status); break;
    default: return 0;
    }
    return 1 + writer.len;
}

size_t fuzz_mend(uint8_t *data, size_t len)
{
    if (len > 0)
        data[0] %= KINDS;
    return len;
}
