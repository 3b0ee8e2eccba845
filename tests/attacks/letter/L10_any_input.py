#!/usr/bin/env python3
from book import *
import pty, socket
import programs
from bed import *

row("L10", "allowing a passcode to be input electronically")
v = Sample(attempts=0, recovery=False)
v.open()
v.lock()
socket_path = next(os.path.join(v.work, "run", "holdfast", n) for n in os.listdir(os.path.join(v.work, "run", "holdfast")) if n.endswith(".sock"))


def typed(passcode):
    """By a program at a terminal."""
    pid, end = pty.fork()
    if pid == 0:
        os.execve(v.hf, [v.hf, "unlock", v.vault], v.env)
    seen = b""
    sent = False
    while True:
        try:
            part = os.read(end, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
        if not sent and seen.rstrip().endswith(b":"):
            os.write(end, passcode.encode() + b"\n")
            sent = True
    os.close(end)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def spoken(passcode):
    """By a program of the attacker's that speaks the owner's socket itself: no command of Holdfast."""
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(30)
    s.connect(socket_path)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.send(b"\1" + passcode.encode())
    result = programs.ask(s, 0x0103, b"", [theirs.fileno()])[0]
    for end in (s, ours, theirs):
        end.close()
    return result


def piped(passcode):
    return v.run("unlock", v.vault, "--passcode-fd", "0", given=passcode).returncode


def from_file(passcode):
    with open(put(os.path.join(v.work, "guess"), passcode.encode() + b"\n")) as f:
        return subprocess.run([v.hf, "unlock", v.vault, "--passcode-fd", "0"], env=v.env, stdin=f, capture_output=True).returncode


with attack("types by a program at a terminal, pipes, gives a file, speaks the owner's socket itself: is any way not counted, or quicker?") as a:
    counted, times = {}, {}
    for n, (name, way) in enumerate((("terminal", typed), ("pipe", piped), ("file", from_file), ("socket", spoken))):
        right = way(PASS)
        a.works(right == 0, f"{name}: the right passcode unlocks by it")
        v.lock()
        before = v.failed()
        began = time.monotonic()
        code = way(wrong(n))
        times[name] = time.monotonic() - began
        counted[name] = (code, v.failed() - before)
        check(code == 3, f"{name}: a wrong one: exit {code}")
    a.came_out(any(counts != (3, 1) for counts in counted.values()), "each wrong try judged and counted once: " + ", ".join(f"{name} {times[name]:.2f} s" for name in counted))

with attack("asks the answer and dies before it can be counted: kill -9 of command and enclave in the middle of a try") as a:
    v.unlock()
    v.close()
    a.works(v.tries(wrong(50)) == 3 and v.failed() >= 1, "a try that is left alone is counted")
    answered = 0
    before = v.failed()
    for n in range(12):
        p = v.start("open", v.vault, v.mnt, "--passcode-fd", "0", given=wrong(100 + n))
        time.sleep(0.02 * n)
        for pid, program in v.running().items():
            if program in ("holdfast-enclave", "holdfast-element"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        answered += p.wait() == 3
        within(5, lambda: not v.running())
    a.came_out(v.failed() - before < answered, f"12 tries cut short at 0 to 220 ms: answered {answered}, counted {v.failed() - before}")
v.clean()
close()
