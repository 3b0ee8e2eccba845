/* Packaged mode: the enclave's connection says whose vault it is; each owner's state lies apart. Source: spec/60-processes.md [PK-4]. */
#include "proto/packaged.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "element/serve.h"
#include "os/disk.h"
#include "os/file.h"
#include "proto/message.h"

#pragma GCC poison memcmp strcpy sprintf

enum { WAIT_MS = 30000 };

enum hf_result hf_element_attach(int *ret_roots, struct hf_error *error)
{
    uint8_t bytes[16], answer[512];
    size_t len = 0;
    uid_t uid = 0;
    pid_t pid = 0;
    char state[4096];
    struct hf_reader reader;
    struct hf_writer reply;
    const char *base = getenv("STATE_DIRECTORY");
    HF_TRY(hf_ipc_peer(HF_FD_ELEMENT_ENCLAVE, &uid, &pid));
    if (uid != geteuid())
        return hf_fail(error, HF_REFUSED, "called by user %u: only the enclave of this user is served", (unsigned)uid);
    HF_TRY(hf_ipc_recv(HF_FD_ELEMENT_ENCLAVE, bytes, sizeof bytes, &len, NULL, 0, NULL, WAIT_MS));
    hf_reader_init(&reader, HF_SPAN(bytes, len));
    uint16_t type = hf_read_u16(&reader);
    uint32_t owner = hf_read_u32(&reader);
    if (hf_reader_end(&reader) != HF_OK || type != HF_PKG_OWNER || !base || base[0] != '/')
        return hf_fail(error, HF_PROTOCOL, "no owner was named, or no STATE_DIRECTORY");
    int cut = snprintf(state, sizeof state, "%s/%u", base, (unsigned)owner);
    if (cut < 0 || (size_t)cut >= sizeof state || setenv("XDG_STATE_HOME", state, 1) < 0)
        return HF_TOO_LARGE;
    int roots = hf_disk->openat(AT_FDCWD, base, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    if (roots < 0)
        return hf_fail(error, hf_result_from_errno(-roots), "%s: cannot be opened", base);
    *ret_roots = roots;
    hf_reply_begin(&reply, answer, sizeof answer, HF_OK, "");
    hf_write_u32(&reply, (uint32_t)getpid());
    return hf_message_send(HF_FD_ELEMENT_ENCLAVE, &reply);
}
