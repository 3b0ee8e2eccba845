#include "element/tpm2_tcti.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/span.h"
#include "os/file.h"
#include "os/stream.h"

#pragma GCC poison memcmp strcpy sprintf

enum { HEADER_LEN = 10 };

static struct hf_tcti *ours(TSS2_TCTI_CONTEXT *context)
{
    return (struct hf_tcti *)(void *)context;
}

static TSS2_RC verdict(struct hf_tcti *tcti, enum hf_result result)
{
    if (result == HF_OK)
        return TSS2_RC_SUCCESS;
    tcti->broken = result;
    return TSS2_TCTI_RC_IO_ERROR;
}

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    struct hf_tcti *tcti = ours(context);
    if (tcti->broken != HF_OK)
        return TSS2_TCTI_RC_IO_ERROR;
    return verdict(tcti, hf_stream_write(tcti->fd, HF_SPAN(command, size), tcti->wait_ms));
}

static size_t announced(const uint8_t *response)
{
    return (size_t)response[2] << 24 | (size_t)response[3] << 16 | (size_t)response[4] << 8 | response[5];
}

/* A device gives a response whole, a socket as it comes. */
static enum hf_result receive_whole(struct hf_tcti *tcti, uint8_t *response, size_t cap, size_t *ret_len)
{
    size_t len = 0, want = HEADER_LEN;
    if (cap < HEADER_LEN)
        return HF_TOO_LARGE;
    while (len < want) {
        size_t got = 0;
        HF_TRY(hf_stream_read(tcti->fd, response + len, cap - len, tcti->wait_ms, &got));
        len += got;
        if (len >= HEADER_LEN)
            want = announced(response);
        if (want < HEADER_LEN || want > cap)
            return HF_PROTOCOL;
    }
    if (len != want)
        return HF_PROTOCOL;
    *ret_len = len;
    return HF_OK;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    struct hf_tcti *tcti = ours(context);
    (void)timeout; /* our limit holds whatever the caller would wait */
    if (!response) {
        *size = HF_TPM_MESSAGE_MAX;
        return TSS2_RC_SUCCESS;
    }
    if (tcti->broken != HF_OK)
        return TSS2_TCTI_RC_IO_ERROR;
    return verdict(tcti, receive_whole(tcti, response, *size, size));
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *context)
{
    (void)context;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *count)
{
    (void)context;
    (void)handles;
    (void)count;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    (void)context;
    return locality == 0 ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static void finalize(TSS2_TCTI_CONTEXT *context)
{
    hf_tcti_close(ours(context));
}

/* What follows stem in text; NULL when text begins otherwise. */
static const char *after(const char *text, const char *stem)
{
    while (*stem) {
        if (*text++ != *stem++)
            return NULL;
    }
    return text;
}

/* "/dev/tpmrm" and one digit: the kernel's resource managers, which keep the TPM's users apart. */
static bool is_resource_manager(const char *path)
{
    const char *digit = after(path, "/dev/tpmrm");
    return digit && digit[0] >= '0' && digit[0] <= '9' && digit[1] == '\0';
}

/* It may come out of a file, and goes into messages. */
static bool is_printable(const char *text)
{
    while (*text > ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

static enum hf_result connect_to(const char *conf, struct hf_tcti *tcti, struct hf_error *error)
{
    const char *device = after(conf, "device:");
    const char *path = device ? device : after(conf, "swtpm:path=");
    enum hf_result result;
    if (!is_printable(conf))
        path = NULL;
    if (path && device && is_resource_manager(path)) {
        tcti->shared = true;
        result = hf_stream_device(path, &tcti->fd);
    } else if (!device && path && path[0] == '/') {
        result = hf_stream_connect(path, &tcti->fd);
    } else {
        return hf_fail(error, HF_USAGE, "--tcti: device:/dev/tpmrmN or swtpm:path=/ABSOLUTE are understood, nothing else");
    }
    if (result == HF_DENIED)
        return hf_fail(error, HF_UNREACHABLE, "%s: no permission to use the TPM; its device belongs to group tss", path);
    if (result != HF_OK)
        return hf_fail(error, HF_UNREACHABLE, "%s: the TPM can't be reached (%s)", path, hf_result_text(result));
    return HF_OK;
}

enum hf_result hf_tcti_open(const char *conf, struct hf_tcti *ret, struct hf_error *error)
{
    struct hf_tcti tcti = {
        .common = {.magic = 0x48464853544350u, .version = 1, .transmit = transmit, .receive = receive, .finalize = finalize, .cancel = cancel,
                   .getPollHandles = poll_handles, .setLocality = set_locality},
        .fd = -1,
        .wait_ms = HF_TCTI_WAIT_MS,
    };
    HF_TRY(connect_to(conf[0] ? conf : HF_TCTI_DEFAULT, &tcti, error));
    *ret = tcti;
    return HF_OK;
}

void hf_tcti_close(struct hf_tcti *tcti)
{
    hf_cleanup_fd(&tcti->fd);
    tcti->fd = -1;
}

enum hf_result hf_tcti_flush(struct hf_tcti *tcti, uint32_t handle)
{
    const uint8_t command[14] = {0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x65, (uint8_t)(handle >> 24), (uint8_t)(handle >> 16), (uint8_t)(handle >> 8),
                                 (uint8_t)handle};
    uint8_t response[HEADER_LEN];
    size_t len = 0;
    HF_TRY(hf_stream_write(tcti->fd, HF_SPAN_OF(command), tcti->wait_ms));
    return receive_whole(tcti, response, sizeof response, &len);
}
