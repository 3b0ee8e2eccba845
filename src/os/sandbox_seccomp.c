#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/file.h"
#include "os/sandbox.h"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#define X32_BIT 0x40000000u /* the x32 calls have this bit: another way to the same kernel code, past every number below */
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "os/sandbox_seccomp.c: say here which AUDIT_ARCH_ this machine is"
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "os/sandbox_seccomp.c: the halves of an argument are the other way round here"
#endif

struct program {
    struct sock_filter code[BPF_MAXINSNS];
    size_t len;
    bool too_long;
};

/* Not on the heap: giving it back could take a system call that the new filter kills. Installed from one thread, at start. */
static struct program filter_program;

static void emit(struct program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
    if (program->len == BPF_MAXINSNS) {
        program->too_long = true;
        return;
    }
    program->code[program->len++] = (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = value};
}

static void emit_load(struct program *program, size_t offset)
{
    emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Skips `skip` instructions unless the loaded word equals value. */
static void emit_unless_equal(struct program *program, uint32_t value, uint8_t skip)
{
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}

static void emit_return(struct program *program, uint32_t action)
{
    emit(program, BPF_RET | BPF_K, action, 0, 0);
}

/* Leaves the call's number loaded; another architecture's calls kill. */
static void emit_start(struct program *program)
{
    memset(program, 0, sizeof *program);
    emit_load(program, offsetof(struct seccomp_data, arch));
    emit(program, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
    emit_load(program, offsetof(struct seccomp_data, nr));
#ifdef X32_BIT
    emit(program, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
#endif
}

static enum hf_result install(struct program *program)
{
    if (program->too_long)
        return HF_TOO_LARGE;
    struct sock_fprog filter = {.len = (unsigned short)program->len, .filter = program->code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return hf_result_from_errno(errno);
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
    if (result < 0)
        return hf_result_from_errno(errno);
    /* Positive: the thread that could not be brought along. */
    return result == 0 ? HF_OK : HF_FAILED;
}

static void emit_rule(struct program *program, const struct hf_sandbox_rule *rule)
{
    emit_load(program, offsetof(struct seccomp_data, nr));
    if (rule->arg < 0) {
        emit_unless_equal(program, (uint32_t)rule->syscall, 1);
    } else {
        size_t low = offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (size_t)rule->arg;
        emit_unless_equal(program, (uint32_t)rule->syscall, 7);
        emit_load(program, low);
        emit(program, BPF_ALU | BPF_AND | BPF_K, (uint32_t)rule->mask, 0, 0);
        emit_unless_equal(program, (uint32_t)rule->equals, 4);
        emit_load(program, low + sizeof(uint32_t));
        emit(program, BPF_ALU | BPF_AND | BPF_K, (uint32_t)(rule->mask >> 32), 0, 0);
        emit_unless_equal(program, (uint32_t)(rule->equals >> 32), 1);
    }
    emit_return(program, SECCOMP_RET_ALLOW);
}

enum hf_result hf_sandbox_allow_only(const struct hf_sandbox_rule *rules, size_t count)
{
    struct program *program = &filter_program;
    emit_start(program);
    for (size_t i = 0; i < count; i++) {
        /* A rule that can't match, or matches more than it says, is a slip in the caller's table. */
        HF_ASSERT(rules[i].arg <= 5 && (rules[i].arg < 0 || (rules[i].equals & ~rules[i].mask) == 0));
        emit_rule(program, &rules[i]);
    }
    emit_return(program, SECCOMP_RET_KILL_PROCESS);
    return install(program);
}

enum hf_result hf_sandbox_deny(const int *syscalls, size_t count)
{
    struct program *program = &filter_program;
    emit_start(program);
    for (size_t i = 0; i < count; i++) {
        emit_unless_equal(program, (uint32_t)syscalls[i], 1);
        emit_return(program, SECCOMP_RET_ERRNO | EPERM);
    }
    emit_return(program, SECCOMP_RET_ALLOW);
    return install(program);
}
