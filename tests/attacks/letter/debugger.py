"""Root's debugger: stops a program (ptrace), lets it run a few instructions of ours, and goes away. So it reads memory that /proc/PID/mem does not show (memfd_secret):
the program copies it for us. x86-64. System calls in a program's name are tests/e2e/inject.py's."""
import ctypes, os, platform, signal

from inject import ATTACH, CONT, GETREGS, SETREGS, WALL, Registers, ptrace

DETACH, CHUNK = 17, 4096
able = platform.machine() == "x86_64" and os.geteuid() == 0


class Died(Exception):
    pass


class Debugged:
    def __init__(self, pid):
        self.pid = pid
        ptrace(ATTACH, pid)
        self.wait()
        self.kept = Registers()
        ptrace(GETREGS, pid, 0, ctypes.addressof(self.kept))
        self.mem = os.open(f"/proc/{pid}/mem", os.O_RDWR)
        spans = [([int(x, 16) for x in m[0].split("-")], m[1], m[5] if len(m) > 5 else "") for m in (line.split(maxsplit=5) for line in open(f"/proc/{pid}/maps"))]
        self.secret = [span for span, mode, name in spans if "secretmem" in name and "r" in mode]
        self.code = next(span[0] for span, mode, name in spans if "x" in mode and not name.startswith("["))
        self.scratch = next(span[0] for span, mode, name in spans if mode.startswith("rw-p") and span[1] - span[0] >= CHUNK and self.readable(span[0]))
        self.kept_code, self.kept_scratch = os.pread(self.mem, 8, self.code), os.pread(self.mem, CHUNK, self.scratch)
        os.pwrite(self.mem, b"\xf3\xa4\xcc", self.code)  # rep movsb; int3

    def readable(self, at):
        try:
            return len(os.pread(self.mem, CHUNK, at)) == CHUNK
        except OSError:
            return False

    def wait(self):
        _, status = os.waitpid(self.pid, WALL)
        if not os.WIFSTOPPED(status):
            raise Died(self.pid)
        return os.WSTOPSIG(status)

    def copy(self, at, length):
        """The program copies its own memory to where we can read it; None where it can't itself."""
        registers = Registers.from_buffer_copy(self.kept)
        registers.rip, registers.orig_rax, registers.eflags = self.code, 2 ** 64 - 1, 0x202
        registers.rdi, registers.rsi, registers.rcx = self.scratch, at, length
        ptrace(SETREGS, self.pid, 0, ctypes.addressof(registers))
        ptrace(CONT, self.pid)
        return os.pread(self.mem, length, self.scratch) if self.wait() == signal.SIGTRAP else None

    def secret_memory(self):
        """All of its memfd_secret memory, by its own hand."""
        return b"".join(self.copy(at, min(CHUNK, end - at)) or b"" for start, end in self.secret for at in range(start, end, CHUNK))

    def leave(self):
        os.pwrite(self.mem, self.kept_code, self.code)
        os.pwrite(self.mem, self.kept_scratch, self.scratch)
        ptrace(SETREGS, self.pid, 0, ctypes.addressof(self.kept))
        ptrace(DETACH, self.pid)
        os.close(self.mem)


def hidden_hits(pid, values):
    """Which of the values (name -> bytes) lie in the program's memfd_secret memory, and how large that is."""
    d = Debugged(pid)
    try:
        memory = d.secret_memory()
    finally:
        d.leave()
    return {name for name, value in values.items() if value in memory}, len(memory)
