#!/usr/bin/env python3
from book import *
import debugger, inject
from bed import *

row("L15", "reach into anyone's device")
user = 65534 if root() else None
v = Sample(user=user, fill=False)
v.open()
pids = v.pids()


def sockets(pid):
    """(listening or bound internet sockets, listening Unix sockets) of a process."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if link.startswith("socket:["):
            inodes.add(link[8:-1])
    internet = [(kind, line.split()[1]) for kind in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "netlink") if os.path.exists(f"/proc/{pid}/net/{kind}")
                for line in open(f"/proc/{pid}/net/{kind}").readlines()[1:] if inodes & set(line.split())]
    unix = [line.split()[7] if len(line.split()) > 7 else "?" for line in open(f"/proc/{pid}/net/unix").readlines()[1:] if line.split()[6] in inodes and int(line.split()[3], 16) & 0x10000]
    return internet, unix


with attack("looks for a socket of any of the programs that can be reached from outside") as a:
    a.needs(root(), "needs root")
    import socket
    mine, unix = socket.socket(), socket.socket(socket.AF_UNIX)
    mine.bind(("127.0.0.1", 0))
    mine.listen()
    unix.bind(os.path.join(v.work, "mine"))
    unix.listen()
    seen = sockets(os.getpid())
    a.works(seen[0] and seen[1], "the same look at this test finds its TCP and its Unix socket")
    found = {p: sockets(pid) for p, pid in pids.items()}
    net = {p: s[0] for p, s in found.items() if s[0]}
    listening = [path for _, paths in found.values() for path in paths]
    own = [path for path in listening if path.startswith(os.path.join(v.work, "run", "holdfast"))]
    a.came_out(net or len(listening) != len(own) or len(own) != 1, f"internet sockets: {net or 'none'}; listening Unix sockets: {len(own)}, the owner's own")

with attack("makes each program that holds keys open a network connection, as an exploit in it would (code run in it by a debugger)") as a:
    a.needs(debugger.able, "needs root and x86-64")

    CALLS = ((41, (2, 1, 0)), (59, (0, 0, 0)))  # socket(AF_INET, SOCK_STREAM), and starting a program

    def ask(pid, number, args):
        """What the call gives in that process, which is of no use afterwards."""
        stopped = inject.Injected(pid)
        got = stopped.call(number, *args)
        stopped.end()
        return f"killed by {got}" if isinstance(got, str) else "done" if got >= 0 else errno.errorcode.get(-got, str(got))

    plain = []
    for call in CALLS:
        plain.append(ask(sleeper().pid, *call))
    a.works(plain == ["done", "EFAULT"], f"in another program: socket {plain[0]}, execve {plain[1]} (it was let through to its bad argument)")
    results = {}
    for program in ("holdfast-fs", "holdfast-element", "holdfast-enclave"):
        results[program] = []
        for call in CALLS:
            if not v.mounted():
                v.open()
            results[program].append(ask(v.pids()[program], *call))
            v.run("close", v.vault, "--force")
            within(5, lambda: not v.running() and not v.mounted())
    got = [p for p, answers in results.items() if answers[0] == "done" or answers[1] == "EFAULT"]
    a.came_out(got, "; ".join(f"{p[9:]}: socket {answers[0]}, execve {answers[1]}" for p, answers in results.items()))
    v.open()

with attack("another user of the machine connects to the owner's socket, reads the mount, the keybag, the state") as a:
    a.needs(root(), "needs root")
    other = ["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable, "-c"]
    owner = [*other[:2], str(user), other[3], str(user), *other[5:]]
    code = """import os,socket,sys
s,m,b,t=sys.argv[1:]; got=[]
def tried(what, fn):
    try: fn(); got.append(what)
    except OSError: pass
tried('socket', lambda: socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(s))
tried('mount', lambda: os.listdir(m)); tried('keybag', lambda: open(b,'rb').read()); tried('state', lambda: os.listdir(t))
print(*got)"""
    path = next(os.path.join(v.work, "run", "holdfast", n) for n in os.listdir(os.path.join(v.work, "run", "holdfast")) if n.endswith(".sock"))
    os.chmod(v.work, 0o755)
    look = lambda who: subprocess.run([*who, code, path, v.mnt, v.bag, v.state], capture_output=True, text=True).stdout.split()
    a.works(look(owner) == ["socket", "mount", "keybag", "state"], "the owner reaches all four")
    got = look(other)
    a.came_out(got, f"another user: {', '.join(got) or 'none'}")
v.close()
v.clean()
close()
