"""What the tests of single programs share: starting programs with their descriptors, and the messages of src/proto/."""
import array, os, socket, struct, subprocess

from verdict import check, finish, skip  # its users' as well

OK, FAILED, USAGE, WRONG, DELAYED, GONE, LOCKED, DAMAGED, REFUSED, UNREACHABLE = range(10)
BUSY, PROTOCOL = 15, 16


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
    try:
        send(channel, kind, body, fds)
    except ConnectionError:
        return -1, b"", "closed"
    return reply(channel)


def string(text):
    return struct.pack("<H", len(text)) + text.encode()


class Pair:
    """Element and enclave alone on the .holdfast directory `folder`; build: where the programs lie."""

    def __init__(self, build, folder, state, **more):
        env = {**environment(state), **more}
        self.control, a = pair()
        to_element, b = pair()
        self.keys, c = pair()
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.element = start(os.path.join(build, "holdfast-element"), [b.fileno()], env)
        self.enclave = start(os.path.join(build, "holdfast-enclave"), [a.fileno(), to_element.fileno(), c.fileno(), fd], env)
        for end in (a, b, c, to_element):
            end.close()
        os.close(fd)
        for end in (self.control, self.keys):
            end.settimeout(60)

    def secret(self, kind, body, *messages):
        """A verb with its secrets: result, reply, text, and what came back on the secret's channel."""
        ours, theirs = pair()
        ours.settimeout(60)
        for message in messages:
            ours.send(message)
        result, answer, text = ask(self.control, kind, body, [theirs.fileno()])
        theirs.close()
        ours.settimeout(0.2)
        try:
            back = ours.recv(4096)
        except OSError:
            back = b""
        ours.close()
        return result, answer, text, back

    def close(self):
        self.control.close()
        self.keys.close()
        for p in (self.enclave, self.element):
            p.wait(20)
