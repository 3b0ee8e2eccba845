/* super/channel.c: requests to the enclave and the filesystem, one at a time on each channel, and their replies. */
#include "super/super.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "os/clock.h"
#include "os/file.h"

void hf_job_request(struct hf_job *job, uint16_t type)
{
    job->gives_secret = false;
    hf_message_begin(&job->request, job->request_bytes, sizeof job->request_bytes, type);
}

static void send_first(struct hf_channel *channel)
{
    struct hf_job *job = channel->queue[0];
    enum hf_result result = hf_writer_end(&job->request);
    if (result == HF_OK)
        result = hf_ipc_send(channel->socket, hf_writer_span(&job->request), &job->secret, job->gives_secret ? 1 : 0);
    if (job->gives_secret) {
        hf_cleanup_fd(&job->secret);
    }
    uint64_t now = hf_clock_ms();
    if (result != HF_OK)
        channel->deadline_ms = now; /* the next turn finds it late */
    else
        channel->deadline_ms = job->timeout_ms > 0 ? now + (uint64_t)job->timeout_ms : 0;
}

void hf_job_ask(struct hf_super *super, struct hf_job *job, enum hf_channel_name name, int timeout_ms, hf_step then)
{
    struct hf_channel *channel = &super->channels[name];
    HF_ASSERT(!job->then && channel->count < sizeof channel->queue / sizeof channel->queue[0]);
    job->then = then;
    job->timeout_ms = timeout_ms;
    channel->queue[channel->count++] = job;
    if (channel->count == 1)
        send_first(channel);
}

bool hf_channel_idle(const struct hf_super *super, enum hf_channel_name name)
{
    return super->channels[name].socket >= 0 && super->channels[name].count == 0;
}

static void go_on(struct hf_super *super, struct hf_job *job, struct hf_answer *answer)
{
    hf_step then = job->then;
    job->then = NULL;
    job->relay = false;
    then(super, job, answer);
}

/* What came is no reply, or nothing comes any more. Of an open vault this is the end. */
static void fail(struct hf_super *super, struct hf_channel *channel, const char *why)
{
    struct hf_error error = {.result = HF_OK};
    struct hf_job *failed[sizeof channel->queue / sizeof channel->queue[0]];
    size_t count = channel->count;
    memcpy(failed, channel->queue, sizeof failed);
    (void)hf_fail(&error, HF_FAILED, "%s does not answer: %s", channel->program, why);
    if (super->mounted) {
        hf_super_bury(super, error.text);
        return;
    }
    channel->count = 0;
    channel->deadline_ms = 0;
    hf_cleanup_fd(&channel->socket);
    for (size_t i = 0; i < count; i++) {
        struct hf_answer answer = {.verdict = error};
        hf_reader_init(&answer.body, HF_SPAN(super->in, 0));
        go_on(super, failed[i], &answer);
    }
}

/* Sends what is held to its owner; keeps it while there is no room. An owner who has gone is not told and does not stop the work. */
static void relay(struct hf_super *super, struct hf_job *job)
{
    int socket = job->connection >= 0 ? super->connections[job->connection] : -1;
    if (socket >= 0 && send(socket, super->in, super->held_len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EAGAIN && !job->stopped)
        return;
    super->held_len = 0;
}

static struct hf_job *asked_now(const struct hf_super *super, enum hf_channel_name name)
{
    return super->channels[name].count ? super->channels[name].queue[0] : NULL;
}

int hf_relay_waits_for(const struct hf_super *super)
{
    const struct hf_job *job = asked_now(super, HF_CHANNEL_FS);
    return super->held_len && job && job->connection >= 0 ? super->connections[job->connection] : -1;
}

void hf_relay_retry(struct hf_super *super)
{
    struct hf_job *job = asked_now(super, HF_CHANNEL_FS);
    if (job && super->held_len)
        relay(super, job);
    else
        super->held_len = 0;
}

void hf_channel_read(struct hf_super *super, enum hf_channel_name name)
{
    struct hf_channel *channel = &super->channels[name];
    struct hf_job *job = asked_now(super, name);
    struct hf_answer answer = {.verdict = {.result = HF_OK}};
    size_t len = 0;
    enum hf_result got = hf_ipc_recv(channel->socket, super->in, sizeof super->in, &len, NULL, 0, NULL, 0);
    if (got == HF_BUSY)
        return;
    if (got != HF_OK || !job) {
        fail(super, channel, hf_result_text(got == HF_OK ? HF_PROTOCOL : got));
        return;
    }
    unsigned type = len >= 2 ? super->in[0] | (unsigned)super->in[1] << 8 : 0;
    if (job->relay && (type == HF_MSG_PROGRESS || type == HF_FS_FINDING)) {
        super->held_len = len;
        relay(super, job);
        return;
    }
    if (hf_reply_parse(HF_SPAN(super->in, len), &answer.verdict, &answer.body) != HF_OK) {
        fail(super, channel, hf_result_text(HF_PROTOCOL));
        return;
    }
    channel->count--;
    memmove(&channel->queue[0], &channel->queue[1], channel->count * sizeof channel->queue[0]);
    channel->deadline_ms = 0;
    if (channel->count)
        send_first(channel);
    go_on(super, job, &answer);
}

void hf_channel_check_deadlines(struct hf_super *super)
{
    for (size_t i = 0; i < HF_CHANNEL_COUNT && !super->exiting; i++) {
        if (super->channels[i].deadline_ms && hf_clock_ms() >= super->channels[i].deadline_ms)
            fail(super, &super->channels[i], "too late");
    }
}

uint64_t hf_channel_next_deadline(const struct hf_super *super)
{
    uint64_t next = 0;
    for (size_t i = 0; i < HF_CHANNEL_COUNT; i++) {
        uint64_t at = super->channels[i].deadline_ms;
        next = at && (!next || at < next) ? at : next;
    }
    return next;
}

void hf_super_stop_work(struct hf_super *super)
{
    struct hf_job *job = asked_now(super, HF_CHANNEL_FS);
    uint8_t bytes[2];
    struct hf_writer stop;
    if (!job || !job->relay || job->stopped)
        return;
    job->stopped = true; /* and an owner who has stopped reading must not hold up what comes */
    super->held_len = 0;
    hf_message_begin(&stop, bytes, sizeof bytes, HF_FS_STOP);
    if (hf_message_send(super->channels[HF_CHANNEL_FS].socket, &stop) != HF_OK)
        super->channels[HF_CHANNEL_FS].deadline_ms = hf_clock_ms();
}
