"""Root's debugger: stops a program (ptrace), lets it run instructions of ours, and so reads memory that /proc/PID/mem does not show (memfd_secret), or makes
system calls in its name. x86-64."""
import ctypes, os, platform, signal, struct

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long
CONT, GETREGS, SETREGS, ATTACH, DETACH = 7, 12, 13, 16, 17
NAMES = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs".split()
WALL = 0x40000000
able = platform.machine() == "x86_64" and os.geteuid() == 0
CHUNK = 4096


class Died(Exception):
    pass


class Debugged:
    def __init__(self, pid):
        self.pid = pid
        self.call(ATTACH)
        self.wait()
        self.kept = self.registers()
        self.mem = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        self.maps = [line.split(maxsplit=5) for line in open(f"/proc/{pid}/maps")]
        spans = [([int(x, 16) for x in m[0].split("-")], m[1], m[5].strip() if len(m) > 5 else "") for m in self.maps]
        self.secret = [span for span, mode, name in spans if "secretmem" in name and "r" in mode]
        self.code = next(span[0] for span, mode, name in spans if "x" in mode and not name.startswith("["))
        plain = [span for span, mode, name in spans if mode.startswith("rw-p") and "secretmem" not in name and span[1] - span[0] >= CHUNK]
        self.scratch = next(span[0] for span in plain if self.readable(span[0]))
        self.kept_code, self.kept_scratch = os.pread(self.mem, 8, self.code), os.pread(self.mem, CHUNK, self.scratch)

    def readable(self, at):
        try:
            return len(os.pread(self.mem, CHUNK, at)) == CHUNK
        except OSError:
            return False

    def call(self, request, data=None):
        if libc.ptrace(request, self.pid, None, data) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def wait(self):
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            raise Died(signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "ended")
        return os.WSTOPSIG(status)

    def registers(self):
        data = (ctypes.c_ulonglong * len(NAMES))()
        self.call(GETREGS, ctypes.addressof(data))
        return dict(zip(NAMES, data))

    def run(self, code, **registers):
        """Runs code (a breakpoint behind it) with these registers; (signal, registers after)."""
        os.pwrite(self.mem, (code + b"\xcc").ljust(8, b"\xcc"), self.code)
        data = (ctypes.c_ulonglong * len(NAMES))(*({**self.kept, "orig_rax": (1 << 64) - 1, "rip": self.code, "eflags": 0x202, **registers}[n] for n in NAMES))
        self.call(SETREGS, ctypes.addressof(data))
        self.call(CONT)
        return self.wait(), self.registers()

    def copy(self, at, length):
        """The program copies its own memory to where we can read it; None where it can't itself."""
        stopped, _ = self.run(b"\xf3\xa4", rdi=self.scratch, rsi=at, rcx=length)  # rep movsb
        return os.pread(self.mem, length, self.scratch) if stopped == signal.SIGTRAP else None

    def secret_memory(self):
        """All of its memfd_secret memory, by its own hand."""
        parts = []
        for start, end in self.secret:
            for at in range(start, end, CHUNK):
                part = self.copy(at, min(CHUNK, end - at))
                parts.append(part or b"")
        return b"".join(parts)

    def syscall(self, number, *args):
        """A system call in the program's name: its result, or raises Died."""
        _, after = self.run(b"\x0f\x05", rax=number, **dict(zip(("rdi", "rsi", "rdx", "r10"), args)))
        return ctypes.c_longlong(after["rax"]).value

    def leave(self):
        os.pwrite(self.mem, self.kept_code, self.code)
        os.pwrite(self.mem, self.kept_scratch, self.scratch)
        data = (ctypes.c_ulonglong * len(NAMES))(*(self.kept[n] for n in NAMES))
        self.call(SETREGS, ctypes.addressof(data))
        self.call(DETACH)
        os.close(self.mem)


def hidden_hits(pid, values):
    """Which of the values (name -> bytes) lie in the program's memfd_secret memory."""
    d = Debugged(pid)
    try:
        memory = d.secret_memory()
    finally:
        d.leave()
    return {name for name, value in values.items() if value in memory}, len(memory)
