#!/usr/bin/env python3
"""[PR-4] The running enclave, held to its sandbox: system calls that are injected into it (ptrace, as root: none of the same user could) to reach another file,
a socket or a program are refused or kill it. What it calls by itself: enclave_syscalls.py. enclave_sandbox.py BUILD"""
import ctypes, os, platform, re, shutil, signal, subprocess, sys, tempfile

import programs
from programs import ask, check, finish, skip

if os.geteuid() != 0 or platform.machine() != "x86_64":
    skip("needs root (to trace a program that nobody else may) and x86-64 (whose registers it sets)")
    finish()
build = os.path.join(os.path.abspath(sys.argv[1]), "src")
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASS = "correct horse battery staple otter lamp"
OWN_STATUS = 0x0106
work = tempfile.mkdtemp()
state, vault = os.path.join(work, "state"), os.path.join(work, "vault")
os.mkdir(state, 0o700)
env = programs.environment(state)
made = subprocess.run([os.path.join(build, "holdfast"), "create", vault, "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0"], env=env, input=PASS + "\n",
                      capture_output=True, text=True)
check(made.returncode == 0, f"create: {made.stderr}")


class Running:
    """A supervisor of ours whose vault is started; `enclave` is its enclave's pid."""
    def __init__(self):
        self.end, theirs = programs.pair()
        self.process = programs.start(os.path.join(build, "holdfast-super"), [theirs.fileno()], env)
        theirs.close()
        self.end.settimeout(60)
        result = ask(self.end, OWN_STATUS, programs.string(vault))
        check(result[0] == 0, f"the vault starts: {result[2]}")
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        (self.enclave,) = [int(pid) for pid in children if os.readlink(f"/proc/{pid}/exe").endswith("holdfast-enclave")]

    def close(self):
        self.end.close()
        self.process.wait(20)


# [PR-4] what the filter permits, as its source says it; bare mode leaves out the last line
source = open(os.path.join(root, "src", "enclave", "sandbox.c")).read()
bare, packaged = source[:source.index("hf_enclave_confine")].split("/* Packaged mode alone")
permitted = set(re.findall(r"ANY\((\w+)\)", bare)) - {"name"}
check(45 > len(permitted) > 20 and not permitted & {"socket", "connect", "execve", "clone", "fork", "open", "ptrace", "bind", "sendto"}, f"the list: {sorted(permitted)}")

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
PEEK, POKE, CONT, GETREGS, SETREGS, ATTACH, DETACH = 2, 5, 7, 12, 13, 16, 17
REGISTERS = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split()


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


def ptrace(request, pid, address=0, data=0):
    ctypes.set_errno(0)
    result = libc.ptrace(request, pid, address, data)
    if ctypes.get_errno():
        raise OSError(ctypes.get_errno(), f"ptrace {request}")
    return result


def inject(number, *arguments, text=b""):
    """The result of one system call made by a fresh enclave, or the signal that it dies of. An argument "text" points to the text."""
    v = Running()
    pid = v.enclave
    ptrace(ATTACH, pid)
    os.waitpid(pid, 0x40000000)  # __WALL
    registers = Registers()
    ptrace(GETREGS, pid, 0, ctypes.addressof(registers))
    maps = [(int(a, 16), int(b, 16), mode, name) for a, b, mode, name in re.findall(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", open(f"/proc/{pid}/maps").read())]
    data = next(a for a, b, mode, name in maps if mode.startswith("rw") and "libc" in name)
    code = next(a for a, b, mode, name in maps if mode.startswith("r-x") and "libc" in name)
    for at in range(0, len(text) + 1, 8):
        ptrace(POKE, pid, data + at, int.from_bytes((text + b"\0" * 16)[at:at + 8], "little"))
    ptrace(POKE, pid, code, int.from_bytes(b"\x0f\x05\xcc\x90\x90\x90\x90\x90", "little"))  # syscall; int3
    registers.rip, registers.rax, registers.orig_rax = code, number, 2 ** 64 - 1
    for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments):
        setattr(registers, name, data if value == "text" else value & (2 ** 64 - 1))
    ptrace(SETREGS, pid, 0, ctypes.addressof(registers))
    ptrace(CONT, pid)
    _, status = os.waitpid(pid, 0x40000000)
    outcome = None
    if os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTRAP:
        ptrace(GETREGS, pid, 0, ctypes.addressof(registers))
        outcome = ctypes.c_longlong(registers.rax).value
    elif os.WIFSTOPPED(status):
        outcome = signal.Signals(os.WSTOPSIG(status)).name
    elif os.WIFSIGNALED(status):
        outcome = signal.Signals(os.WTERMSIG(status)).name
    if os.WIFSTOPPED(status):  # the tracer buries first
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0x40000000)
    v.close()
    return outcome


AT_FDCWD, DIR, EACCES = -100, 6, 13
open(os.path.join(vault, "secret"), "w").close()
openat = 257
check(inject(39) > 1, "getpid, permitted, is answered: the injection works")
check(inject(openat, DIR, "text", 0, text=b"keybag") > 2, "its own keybag opens")
for directory, path in ((AT_FDCWD, b"/etc/passwd"), (AT_FDCWD, state.encode()), (AT_FDCWD, b"/proc/self/mem"), (DIR, b".."), (DIR, b"../secret"), (AT_FDCWD, b"/dev/null")):
    flags = 0o200000 if path in (b"..", state.encode()) else 0  # O_DIRECTORY
    got = inject(openat, directory, "text", flags, text=path)
    check(got == -EACCES, f"openat {path} is refused: {got}")
check(inject(openat, AT_FDCWD, "text", 0o101, 0o600, text=os.path.join(work, "new").encode()) == -EACCES and not os.path.exists(os.path.join(work, "new")), "nothing is made elsewhere")
check(inject(263, AT_FDCWD, "text", 0, text=os.path.join(vault, "secret").encode()) == -EACCES and os.path.exists(os.path.join(vault, "secret")), "unlinkat outside is refused")
forbidden = {"socket(AF_UNIX)": (41, 1, 1, 0), "socket(AF_INET)": (41, 2, 1, 0), "connect": (42, 5, 0, 0), "bind": (49, 5, 0, 0), "accept4": (288, 3, 0, 0, 0), "execve": (59, "text", 0, 0), "fork": (57,),
             "clone": (56, 17, 0, 0, 0), "ptrace": (101, 16, os.getpid(), 0, 0), "process_vm_readv": (310, os.getpid(), 0, 0, 0, 0), "open": (2, "text", 0, 0), "io_uring_setup": (425, 1, 0),
             "memfd_create": (319, "text", 0), "prctl(PR_SET_DUMPABLE)": (157, 4, 1, 0, 0, 0), "kill": (62, 1, 0), "pidfd_getfd": (438, 3, 0, 0)}
for name, (number, *arguments) in forbidden.items():
    got = inject(number, *arguments, text=b"/bin/sh")
    check(got == "SIGSYS", f"{name} kills the enclave: {got}")
check(subprocess.run([os.path.join(build, "holdfast"), "erase", vault, "--yes"], env=env, stdout=subprocess.DEVNULL).returncode == 0, "the vault is still whole enough to erase")
shutil.rmtree(work)
finish()
