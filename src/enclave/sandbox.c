#include <stdio.h>
#include <sys/syscall.h>

#include "enclave/enclave.h"
#include "os/sandbox.h"

/* [PR-4] Everything the enclave may ask of the kernel, and why. */
#define ANY(name) {SYS_##name, -1, 0, 0}
static const struct hf_sandbox_rule allowed[] = {
    ANY(recvmsg), ANY(sendmsg), ANY(close),                   /* its channels, and the secret descriptors that come over them */
#ifdef SYS_poll
    ANY(poll),
#endif
    ANY(ppoll),                                               /* waiting for requests */
    ANY(futex), ANY(rt_sigprocmask), ANY(rt_sigreturn), ANY(restart_syscall), /* libc */
    ANY(getrandom), ANY(clock_gettime),                       /* keys, timeouts */
    ANY(timerfd_settime),                                     /* the inactivity limit, by a clock that counts sleep */
    ANY(mmap), ANY(munmap), ANY(mprotect), ANY(madvise), ANY(mlock), ANY(munlock), ANY(brk), ANY(sysinfo), /* Argon2id's arena, malloc */
    ANY(mlock2),                                              /* whether that arena could be locked */
    ANY(openat), ANY(newfstatat), ANY(fstat), ANY(fstatfs), ANY(pread64), ANY(pwrite64), ANY(read), ANY(write), ANY(lseek), ANY(fsync), ANY(fdatasync),
#ifdef SYS_renameat
    ANY(renameat), /* what glibc makes of renameat2 without flags */
#endif
    ANY(renameat2), ANY(unlinkat), ANY(getdents64),           /* keybag and head, in its directory alone (Landlock) */
    ANY(getpid), ANY(gettid), ANY(tgkill), ANY(rt_sigaction), /* abort() */
    ANY(exit), ANY(exit_group),
    /* Packaged mode alone, last: the owner's connections. */
    ANY(accept4), ANY(getsockopt), ANY(setsockopt),
};
enum { PACKAGED_ALONE = 3 };

enum hf_result hf_enclave_confine(struct hf_enclave *e)
{
    static const struct hf_sandbox_path dir = {.fd = HF_FD_ENCLAVE_DIR, .writable = true, .make = true};
    enum hf_result result = hf_sandbox_paths(&dir, 1);
    if (result == HF_UNSUPPORTED)
        (void)snprintf(e->note, sizeof e->note, "this kernel has no Landlock: the enclave is held by seccomp alone");
    else if (result != HF_OK)
        return result;
    return hf_sandbox_allow_only(allowed, sizeof allowed / sizeof allowed[0] - (e->packaged ? 0 : PACKAGED_ALONE));
}
