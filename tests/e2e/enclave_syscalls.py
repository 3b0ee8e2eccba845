#!/usr/bin/env python3
"""The enclave stays inside its list of system calls through a whole session, and what is outside the list, or outside its directory, is refused
by the kernel. A tracer is attached after it has closed its doors (as root: it refuses to start under one). enclave_syscalls.py BUILD"""
import ctypes, os, platform, re, shutil, signal, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs
from vaultlib import *

BUILD = sys.argv[1]
START, CREATE, UNLOCK, LOCK, PASSCODE, RECOVER, NEW_RECOVERY, ROTATE, ERASE, STATUS = range(0x0201, 0x020B)
MAKE = 0x0303
source = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/enclave/sandbox.c")).read()
ALLOWED = set(re.findall(r"ANY\((\w+)\),", source))
seen = {}


class Strace:
    """strace on a living process until it is told to stop."""

    def __init__(self, pid):
        self.file = tempfile.NamedTemporaryFile(prefix="hf-e2e-strace-")
        self.p = subprocess.Popen(["strace", "-f", "-o", self.file.name, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        line = self.p.stderr.readline()
        check("attached" in line, f"strace: {line.strip()}")

    def stop(self, what):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGINT)
        self.p.wait(20)
        calls = set()
        for line in open(self.file.name):
            if m := re.match(r"^\d+\s+(?:<\.\.\. )?(\w+)(?:\(| resumed)", line):
                calls.add(m.group(1))
        calls = {"newfstatat" if c == "fstatat64" else c for c in calls}
        seen[what] = calls
        check({"recvmsg", "sendmsg"} <= calls, f"{what}: the trace shows the enclave at work: {sorted(calls)}")
        check(calls <= ALLOWED, f"{what}: system calls outside the list: {sorted(calls - ALLOWED)}")
        check(not any("SIGSYS" in line for line in open(self.file.name)), f"{what}: none was refused")
        self.file.close()


def closed_doors(pid):
    return within(10, lambda: "Seccomp:\t2" in open(f"/proc/{pid}/status").read())


class Pair:
    """Element and enclave alone, so that verbs of a closed vault can be traced from their first system call."""

    def __init__(self, folder, state, **more):
        env = {**programs.environment(state), **more}
        self.control, a = programs.pair()
        to_element, b = programs.pair()
        self.keys, c = programs.pair()
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        src = os.path.join(os.path.abspath(BUILD), "src")
        self.element = programs.start(f"{src}/holdfast-element", [b.fileno()], env)
        self.enclave = programs.start(f"{src}/holdfast-enclave", [a.fileno(), to_element.fileno(), c.fileno(), fd], env)
        for end in (a, b, c, to_element):
            end.close()
        os.close(fd)
        for end in (self.control, self.keys):
            end.settimeout(60)
        check(closed_doors(self.enclave.pid), "the enclave is confined")

    def secret(self, kind, body, *messages):
        ours, theirs = programs.pair()
        ours.settimeout(60)
        for message in messages:
            ours.send(message)
        result, _, text = programs.ask(self.control, kind, body, [theirs.fileno()])
        theirs.close()
        ours.settimeout(0.2)
        try:
            back = ours.recv(4096)
        except OSError:
            back = b""
        ours.close()
        check(result == 0, f"{kind:#x}: {result} {text}")
        return back

    def close(self):
        self.control.close()
        self.keys.close()
        for p in (self.enclave, self.element):
            p.wait(20)


def session():
    """A vault in daily use, all programs real."""
    v = Vault(BUILD, recovery=True)
    v.open()
    v.close()
    v.must("open", v.vault, v.mnt, "--locked")
    trace = Strace(v.pids()["holdfast-enclave"])
    v.unlock("not the right one at all", want=3)
    v.unlock()
    c = v.protected("secret")
    for n in range(100):
        with open(f"{c}/{n}", "wb") as f:
            f.write(b"x" * 5000)
    v.lock()
    v.unlock()
    v.must("rotate", v.vault)
    v.must("passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=PASS + "\n" + OTHER)
    v.must("recovery", "replace", v.vault, "--recovery-file", v.phrase + ".2", "--passcode-fd", "0", given=OTHER)
    v.must("check", v.vault)
    v.close()
    trace.stop("session")
    v.clean()


def closed_vault():
    work = tempfile.mkdtemp(prefix="hf-e2e-")
    folder, state = f"{work}/keys", f"{work}/state"
    os.mkdir(folder, 0o700)
    os.mkdir(state, 0o700)
    policy = struct.pack("<IIIII", 0, 0, 0, 0, 0)
    p = Pair(folder, state)
    trace = Strace(p.enclave.pid)
    phrase = p.secret(CREATE, policy + struct.pack("<IIIHB", 65536, 1, 1, 0, 1), b"\1" + PASS.encode())
    check(len(phrase) == 33, "create gives the recovery secret")
    p.close()
    trace.stop("create")
    p = Pair(folder, state)
    trace = Strace(p.enclave.pid)
    check(programs.ask(p.control, START)[0] == 0, "start")
    p.secret(RECOVER, struct.pack("<BIH", 0, 1, 0), phrase, b"\2" + OTHER.encode())
    check(programs.ask(p.control, ERASE)[0] == 0, "erase")
    p.close()
    trace.stop("recover and erase")
    shutil.rmtree(work)


class Injector:
    """Makes a stopped process do one system call (x86-64)."""
    PEEK, CONT, STEP, ATTACH, DETACH, GETREGS, SETREGS = 1, 7, 9, 16, 17, 12, 13
    RAX, RCX, RDX, RSI, RDI, ORIG, RIP, R10 = 10, 11, 12, 13, 14, 15, 16, 7

    def __init__(self, pid):
        self.pid = pid
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        assert libc.ptrace(self.ATTACH, pid, None, None) == 0
        os.waitpid(pid, 0)
        self.saved = (ctypes.c_ulonglong * 27)()
        assert libc.ptrace(self.GETREGS, pid, None, ctypes.cast(self.saved, ctypes.c_void_p)) == 0
        maps = [line.split() for line in open(f"/proc/{pid}/maps")]
        # a writable page of the program's own data, for a path; its text for a syscall instruction is where it waits
        self.text = next(int(m[0].split("-")[0], 16) for m in maps if m[1] == "rw-p" and m[-1].endswith("holdfast-enclave"))

    def call(self, number, *args, path=None):
        """The result, or the signal's name when the process died of it."""
        if path is not None:
            with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as mem:
                mem.seek(self.text)
                before = mem.read(len(path) + 1)
                mem.seek(self.text)
                mem.write(path + b"\0")
        regs = (ctypes.c_ulonglong * 27)(*self.saved)
        values = [self.text if a is PATH else a & 0xFFFFFFFFFFFFFFFF for a in args] + [0] * (4 - len(args))
        regs[self.RAX], regs[self.ORIG], regs[self.RIP] = number, 0xFFFFFFFFFFFFFFFF, self.saved[self.RIP] - 2
        regs[self.RDI], regs[self.RSI], regs[self.RDX], regs[self.R10] = values
        libc.ptrace(self.SETREGS, self.pid, None, ctypes.cast(regs, ctypes.c_void_p))
        libc.ptrace(self.STEP, self.pid, None, None)
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        if os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGSYS:
            libc.ptrace(self.CONT, self.pid, None, ctypes.c_void_p(signal.SIGSYS))
            os.waitpid(self.pid, 0)
            return "SIGSYS"
        libc.ptrace(self.GETREGS, self.pid, None, ctypes.cast(regs, ctypes.c_void_p))
        if path is not None:
            with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as mem:
                mem.seek(self.text)
                mem.write(before)
        return ctypes.c_longlong(regs[self.RAX]).value

    def leave(self):
        libc.ptrace(self.SETREGS, self.pid, None, ctypes.cast(self.saved, ctypes.c_void_p))
        libc.ptrace(self.DETACH, self.pid, None, None)


PATH = object()
DIR, AT_FDCWD = 6, -100
OPENAT, SOCKET, EXECVE, FORK, PTRACE, CONNECT, UNLINKAT, RENAMEAT = 257, 41, 59, 57, 101, 42, 263, 264


def injected():
    """What code that runs in the enclave could do, if someone got that far."""
    if platform.machine() != "x86_64":
        skip("system calls are injected on x86-64 alone")
        return
    work = tempfile.mkdtemp(prefix="hf-e2e-")
    folder, state, outside = f"{work}/keys", f"{work}/state", f"{work}/outside"
    for path in (folder, state):
        os.mkdir(path, 0o700)
    open(outside, "w").close()
    open(f"{folder}/keybag", "w").close()

    def fresh():
        p = Pair(folder, state)
        time.sleep(0.05) # until it waits for a request
        return p, Injector(p.enclave.pid)

    p, inject = fresh()
    got = inject.call(OPENAT, DIR, PATH, os.O_RDONLY, 0, path=b"keybag")
    check(isinstance(got, int) and got >= 0, f"a file of .holdfast can be opened (else the refusals show nothing): {got}")
    for what, dirfd, path, flags in (("a file outside, by its path", AT_FDCWD, outside.encode(), os.O_RDONLY), ("through ..", DIR, b"../outside", os.O_RDONLY),
                                     ("/etc/passwd", AT_FDCWD, b"/etc/passwd", os.O_RDONLY), ("/proc/self/mem", AT_FDCWD, b"/proc/self/mem", os.O_RDWR),
                                     ("a new file outside", AT_FDCWD, f"{work}/new".encode(), os.O_WRONLY | os.O_CREAT), ("/dev/null", AT_FDCWD, b"/dev/null", os.O_WRONLY)):
        got = inject.call(OPENAT, dirfd, PATH, flags, 0o600, path=path)
        check(got == -errno.EACCES, f"openat of {what}: {got}, not -EACCES")
    got = inject.call(UNLINKAT, AT_FDCWD, PATH, 0, path=outside.encode())
    check(got == -errno.EACCES and os.path.exists(outside), f"unlinkat outside: {got}")
    inject.leave()
    check(programs.ask(p.control, STATUS)[0] == 0, "the enclave goes on afterwards")
    p.close()
    check(not os.path.exists(f"{work}/new"), "nothing was made outside")
    for what, number, args in (("socket", SOCKET, (1, 1, 0)), ("execve", EXECVE, (0, 0, 0)), ("fork", FORK, ()), ("ptrace", PTRACE, (0, 0, 0, 0)), ("connect", CONNECT, (3, 0, 0))):
        p, inject = fresh()
        got = inject.call(number, *args)
        check(got == "SIGSYS", f"{what} in the enclave: {got}, not its end")
        p.close()
    shutil.rmtree(work)


import errno
if os.geteuid() != 0:
    skip("a tracer on a program that is not dumpable needs root")
else:
    check(len(ALLOWED) > 25 and "recvmsg" in ALLOWED and "socket" not in ALLOWED, "the list is read from src/enclave/sandbox.c")
    for part in sys.argv[2:] or ("session", "closed_vault", "injected"):
        globals()[part]()
    unused = ALLOWED - set().union(*seen.values()) if seen else set()
    print(f"list of {len(ALLOWED)}, {len(ALLOWED - unused)} seen in use; not seen: {' '.join(sorted(unused))}")
finish()
