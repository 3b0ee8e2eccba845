/* fs/sandbox.c: what the filesystem gives up. A deny-list, since libfuse and libcrypto are large: no program, no network, no other process, no mount. */
#include "fs/sandbox.h"

#include <stdio.h>
#include <sys/syscall.h>

#include "os/sandbox.h"
#include "proto/message.h"

static const int denied[] = {
    SYS_execve, SYS_execveat,                                                                           /* programs */
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_open, SYS_pidfd_getfd, /* other processes */
    SYS_pidfd_send_signal, SYS_process_madvise, SYS_setns, SYS_unshare,
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4, /* network and sockets: those it has are enough */
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick,
    SYS_mount_setattr, SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_name_to_handle_at, SYS_open_by_handle_at, SYS_fanotify_init, SYS_fanotify_mark,
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, /* the kernel's large doors */
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_syslog, SYS_acct, SYS_vhangup,
    SYS_add_key, SYS_request_key, SYS_keyctl, SYS_personality,
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_capset, /* identity */
    SYS_sethostname, SYS_setdomainname, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex,
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
#ifdef SYS_iopl
    SYS_iopl, SYS_ioperm, SYS_modify_ldt,
#endif
};

enum hf_result hf_fs_confine(void)
{
    static const struct hf_sandbox_path root = {.fd = HF_FD_FS_ROOT, .writable = true, .make = true};
    enum hf_result result = hf_sandbox_paths(&root, 1);
    if (result == HF_UNSUPPORTED)
        (void)fprintf(stderr, "holdfast-fs: this kernel has no Landlock: the filesystem is held by seccomp alone\n");
    else if (result != HF_OK)
        return result;
    return hf_sandbox_deny(denied, sizeof denied / sizeof denied[0]);
}
