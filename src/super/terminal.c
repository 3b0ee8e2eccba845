/* super/terminal.c: standard error, ours and the other programs', is a pipe to ourselves: what comes is passed on to the terminal until the vault is open.
 * After that nothing keeps the terminal (or a pipe that someone reads to its end) open. */
#include "super/super.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "os/file.h"

enum hf_result hf_super_terminal_take(struct hf_super *super)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return HF_FAILED;
    HF_CLEANUP(fd) int write_end = ends[1];
    super->said = ends[0];
    super->terminal = fcntl(2, F_DUPFD_CLOEXEC, 3);
    (void)fcntl(super->said, F_SETFL, O_NONBLOCK);
    return dup2(write_end, 1) < 0 || dup2(write_end, 2) < 0 ? HF_FAILED : HF_OK;
}

void hf_super_terminal_pass(struct hf_super *super)
{
    char text[1024];
    ssize_t got = 0;
    while ((got = read(super->said, text, sizeof text)) > 0) {
        if (super->terminal >= 0 && write(super->terminal, text, (size_t)got) < 0)
            hf_super_terminal_leave(super);
    }
}

void hf_super_terminal_leave(struct hf_super *super)
{
    hf_cleanup_fd(&super->terminal);
    super->terminal = -1;
}
