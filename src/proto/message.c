#include "proto/message.h"

#include <string.h>

#pragma GCC poison memcmp strcpy sprintf

void hf_message_begin(struct hf_writer *writer, void *buffer, size_t cap, uint16_t type)
{
    hf_writer_init(writer, buffer, cap);
    hf_write_u16(writer, type);
}

void hf_reply_begin(struct hf_writer *writer, void *buffer, size_t cap, enum hf_result result, const char *text)
{
    struct hf_error cut = {0};
    if (text)
        (void)hf_fail(&cut, result, "%s", text); /* cuts what is too long */
    hf_message_begin(writer, buffer, cap, HF_MSG_REPLY);
    hf_write_u16(writer, (uint16_t)result);
    hf_write_string(writer, cut.text);
}

enum hf_result hf_message_send(int socket, const struct hf_writer *writer)
{
    HF_TRY(hf_writer_end(writer));
    return hf_ipc_send(socket, hf_writer_span(writer), NULL, 0);
}

enum hf_result hf_reply_send(int socket, enum hf_result result, const char *text)
{
    uint8_t buffer[320];
    struct hf_writer writer;
    hf_reply_begin(&writer, buffer, sizeof buffer, result, text);
    return hf_message_send(socket, &writer);
}

enum hf_result hf_reply_parse(struct hf_span message, struct hf_error *ret_verdict, struct hf_reader *ret_body)
{
    struct hf_reader reader;
    struct hf_error verdict = {0};
    hf_reader_init(&reader, message);
    uint16_t type = hf_read_u16(&reader);
    uint16_t result = hf_read_u16(&reader);
    hf_read_string(&reader, verdict.text, sizeof verdict.text);
    if (reader.failed || type != HF_MSG_REPLY || result >= HF_RESULT_COUNT)
        return HF_PROTOCOL;
    verdict.result = (enum hf_result)result;
    *ret_verdict = verdict;
    *ret_body = reader;
    return HF_OK;
}

enum hf_result hf_call(int socket, const struct hf_writer *request, const int *fds, int fd_count, void *buffer, size_t cap, int timeout_ms,
                       struct hf_error *ret_verdict, struct hf_reader *ret_body)
{
    size_t len = 0;
    HF_TRY(hf_writer_end(request));
    HF_TRY(hf_ipc_send(socket, hf_writer_span(request), fds, fd_count));
    HF_TRY(hf_ipc_recv(socket, buffer, cap, &len, NULL, 0, NULL, timeout_ms));
    return hf_reply_parse(HF_SPAN(buffer, len), ret_verdict, ret_body);
}
