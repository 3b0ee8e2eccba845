"""What the end-to-end tests share: counting checks, starting programs with their descriptors, and the messages of src/proto/."""
import array, os, socket, struct, subprocess, sys

OK, FAILED, USAGE, WRONG, DELAYED, GONE, LOCKED, DAMAGED, REFUSED, UNREACHABLE = range(10)
BUSY, PROTOCOL = 15, 16
counts = [0, 0]


def check(good, what):
    counts[not good] += 1
    if not good:
        print("FAILED:", what, flush=True)
    return bool(good)


def finish():
    print(f"{counts[0]} passed, {counts[1]} failed")
    sys.exit(counts[1] != 0)


def pair():
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def start(path, fds, env, **more):
    """The program with fds as its descriptors 3, 4, …"""
    def place():
        high = [os.dup2(os.dup(fd), 60 + i) for i, fd in enumerate(fds)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)

    return subprocess.Popen([path], env=env, preexec_fn=place, pass_fds=tuple(range(3, 3 + len(fds))), stdin=subprocess.DEVNULL, **more)


def environment(state):
    return {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": state, "HOME": state}


def send(channel, kind, body=b"", fds=()):
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    channel.sendmsg([struct.pack("<H", kind) + body], extra)


def reply(channel):
    """(result, body, text); -1 when the channel has ended."""
    try:
        answer = channel.recv(65536)
    except ConnectionError:
        answer = b""
    if len(answer) < 6:
        return -1, b"", "closed"
    tag, result, n = struct.unpack_from("<HHH", answer)
    assert tag == 1, f"no reply: {answer[:8].hex()}"
    return result, answer[6 + n:], answer[6:6 + n].decode(errors="replace")


def ask(channel, kind, body=b"", fds=()):
    send(channel, kind, body, fds)
    return reply(channel)


def string(text):
    return struct.pack("<H", len(text)) + text.encode()
