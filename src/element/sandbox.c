#include "element/sandbox.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "os/disk.h"
#include "os/file.h"
#include "os/sandbox.h"

enum { DEVICES = 10 };

/* Everything the element may ask of the kernel, and why. */
#define ANY(name) {SYS_##name, -1, 0, 0}
static const struct hf_sandbox_rule allowed[] = {
    ANY(recvmsg), ANY(sendmsg), ANY(close),                   /* its channel */
#ifdef SYS_poll
    ANY(poll),
#endif
    ANY(ppoll),
    {SYS_socket, 0, UINT32_MAX, AF_UNIX}, ANY(connect), ANY(sendto), /* an emulated TPM's socket; no network */
    ANY(futex), ANY(rt_sigprocmask), ANY(rt_sigreturn), ANY(restart_syscall),
    ANY(getrandom), ANY(clock_gettime), ANY(getpid),          /* nonces, delays, OpenSSL's check for a fork */
    {SYS_mmap, 2, PROT_EXEC, 0}, {SYS_mprotect, 2, PROT_EXEC, 0}, ANY(munmap), ANY(madvise), ANY(brk),
    ANY(openat), ANY(newfstatat), ANY(fstat), ANY(fstatfs), ANY(fcntl), ANY(pread64), ANY(pwrite64), ANY(read), ANY(write), ANY(lseek), ANY(fsync),
    ANY(fdatasync), ANY(mkdirat), ANY(flock), ANY(unlinkat),
#ifdef SYS_renameat
    ANY(renameat), /* what glibc makes of renameat2 without flags */
#endif
    ANY(renameat2),                                           /* its record in the state directory, the TPM's device (Landlock) */
    ANY(gettid), ANY(tgkill), ANY(rt_sigaction),              /* abort() */
    ANY(exit), ANY(exit_group),
};

enum hf_result hf_element_confine(int root, int roots)
{
    struct hf_sandbox_path paths[DEVICES + 2];
    size_t count = 0;
    if (root >= 0)
        paths[count++] = (struct hf_sandbox_path){.fd = root, .writable = true, .make = true};
    size_t opened = count;
    if (roots >= 0) {
        int fd = hf_disk->openat(roots, "tpm-roots.pem", O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
        if (fd >= 0)
            paths[count++] = (struct hf_sandbox_path){.fd = fd};
    }
    for (int i = 0; i < DEVICES; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "/dev/tpmrm%d", i);
        int fd = hf_disk->openat(AT_FDCWD, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
        if (fd >= 0)
            paths[count++] = (struct hf_sandbox_path){.fd = fd, .writable = true};
    }
    enum hf_result result = hf_sandbox_paths(paths, count);
    for (size_t i = opened; i < count; i++)
        hf_cleanup_fd(&paths[i].fd);
    if (result != HF_OK && result != HF_UNSUPPORTED)
        return result;
    return hf_sandbox_allow_only(allowed, sizeof allowed / sizeof allowed[0]);
}
