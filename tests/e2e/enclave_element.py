#!/usr/bin/env python3
"""The enclave beside an element that fails, tells half or too much, or dies, at each of its answers in each verb; and verbs with bodies that they do not take.
It refuses, goes on, and what is on the disk opens afterwards with the true element: by the old passcode, or the new one. enclave_element.py BUILD

HF_LONG=1: every kind of lie at every answer; else one failure and one lie each."""
import os, shutil, struct, sys, tempfile, threading

from programs import GONE, LOCKED, OK, PROTOCOL, Pair, ask, check, environment, finish, pair, start

build = os.path.join(os.path.abspath(sys.argv[1]), "src")
START, CREATE, UNLOCK, LOCK, PASSCODE, RECOVER, NEW_RECOVERY, ROTATE, ERASE, STATUS, SETTINGS, RESEAL, SENTENCE = range(0x0201, 0x020E)
INFO, CLASS_KEYS, MAKE, OPEN, REWRAP, HEAD_OPEN, HEAD_SETTLE, HEAD_CLOSE = range(0x0301, 0x0309)
BUSY = 15
PASS, OTHER = b"correct horse battery staple otter lamp", b"seven brass kettles under a wide river"
work = tempfile.mkdtemp()


class Between(Pair):
    """Element and enclave with us between them: from the verb on, the answer number `at` is changed as `lie` says."""

    def __init__(self, folder, state, lie=None, at=0):
        self.control, a = pair()
        mine, b = pair()
        ours, to_element = pair()
        self.keys, c = pair()
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.element = start(os.path.join(build, "holdfast-element"), [b.fileno()], environment(state))
        self.enclave = start(os.path.join(build, "holdfast-enclave"), [a.fileno(), to_element.fileno(), c.fileno(), fd], environment(state))
        for end in (a, b, c, to_element):
            end.close()
        os.close(fd)
        for end in (self.control, self.keys):
            end.settimeout(60)
        self.lie, self.at, self.begun, self.answers = lie, at, False, []
        self.thread = threading.Thread(target=self.pass_on, args=(mine, ours), daemon=True)
        self.thread.start()

    def pass_on(self, element, enclave):
        while True:
            try:
                request = enclave.recv(65536)
                if not request:
                    break
                element.send(request)
                answer = element.recv(65536)
                if self.begun:
                    self.answers.append(struct.unpack_from("<H", request)[0])
                    if self.lie and len(self.answers) - 1 == self.at:
                        answer = self.changed(answer)
                if answer is None:
                    break
                enclave.send(answer)
            except OSError:
                break
        element.close()
        enclave.close()

    def changed(self, answer):
        n = struct.unpack_from("<HHH", answer)[2]
        body = answer[6 + n:]
        if self.lie == "fails":
            return struct.pack("<HHH", 1, BUSY, 4) + b"busy"
        if self.lie == "dies":
            return None
        return answer[:6 + n] + (body[:-1] if self.lie == "short" and body else body + b"\0")

    def close(self):
        super().close()
        self.thread.join(20)


def fresh(name):
    folder, state = os.path.join(work, name), os.path.join(work, name + "-state")
    os.mkdir(folder, 0o700)
    os.mkdir(state, 0o700)
    return folder, state


policy = struct.pack("<II", 0, 0) + struct.pack("<IIII", 0, 0, 0, 1)
create = policy + struct.pack("<IIIHBBIB", 65536, 1, 1, 0, 1, 0, 0, 0)
recover = struct.pack("<BIHBIB", 0, 1, 0, 0, 0x10000, 0)
seal = struct.pack("<BI", 1, 0x10000) + struct.pack("<I", 0)
good, good_state = fresh("good")
v = Between(good, good_state)
result, _, text, phrase = v.secret(CREATE, create, b"\1" + PASS)
check(result == OK, f"create: {result} {text}")
v.close()

# --- bodies that no verb takes: refused, and the vault goes on ---
v = Between(good, good_state)
for kind, name in ((MAKE, "make"), (OPEN, "open"), (CLASS_KEYS, "class keys"), (INFO, "info"), (REWRAP, "rewrap"), (HEAD_OPEN, "head")):
    check(ask(v.keys, kind)[0] == LOCKED, f"{name} before the start")
check(ask(v.keys, 0x0310)[0] == PROTOCOL, "an unknown request before the start")
for kind in (LOCK, ROTATE):
    check(ask(v.control, kind, bytes(4))[0] == PROTOCOL, f"{kind:#x} before the start")
check(ask(v.control, START)[0] == OK and v.secret(UNLOCK, b"", b"\1" + PASS)[0] == OK, "started and unlocked")
made = ask(v.keys, MAKE, struct.pack("<BBB", 1, 1, 1))[1]
opened = made[:256]
bodies = {
    (v.control, START): (b"\0",), (v.control, STATUS): (b"\0",), (v.control, LOCK): (b"", bytes(3), bytes(5)), (v.control, ROTATE): (b"", b"\5", b"\0\0"), (v.control, ERASE): (b"", b"\2", b"\0\0"),
    (v.keys, INFO): (b"\0",), (v.keys, CLASS_KEYS): (b"", bytes(5), struct.pack("<BI", 5, 0), struct.pack("<BIB", 1, 0, 0)),
    (v.keys, MAKE): (b"", struct.pack("<BBB", 1, 1, 0), struct.pack("<BBB", 1, 1, 65), struct.pack("<BBB", 1, 0, 1), struct.pack("<BBB", 1, 9, 1), struct.pack("<BBBB", 1, 1, 1, 0)),
    (v.keys, OPEN): (b"", b"\0", b"\1", b"\1" + bytes(255), b"\1" + bytes(257), b"\xff" + bytes(256)), (v.keys, REWRAP): (b"", opened, opened + b"\0", opened + b"\5", opened + b"\1\0"),
    (v.keys, HEAD_OPEN): (b"\0",), (v.keys, HEAD_SETTLE): (b"", bytes(67), bytes(69)), (v.keys, HEAD_CLOSE): (b"", bytes(5)),
}
for (channel, kind), wrong in bodies.items():
    for body in wrong:
        got = ask(channel, kind, body)[0]
        check(got == PROTOCOL, f"{kind:#x} with {len(body)} bytes: {got}")
for kind, wrong in {UNLOCK: (b"\0",), PASSCODE: (b"\0",), NEW_RECOVERY: (b"\0",), SENTENCE: (b"\0",), CREATE: (create,), SETTINGS: (b"", struct.pack("<IIII", 0, 0, 0, 0), struct.pack("<IIII", 8, 0, 0, 0), struct.pack("<IIII", 4, 0, 0, 9)),
                    RESEAL: (b"", seal, seal + b"\3", struct.pack("<BI", 0, 0x10000) + bytes(4) + b"\0"), RECOVER: (b"", recover[:-1], recover + b"\0", struct.pack("<BIHBIB", 0, 9, 0, 0, 0x10000, 0), struct.pack("<BIHBIB", 1, 1, 0, 0, 1, 1))}.items():
    for body in wrong:
        got = v.secret(kind, body, b"\1" + PASS)[0]
        check(got == PROTOCOL, f"{kind:#x} with {len(body)} bytes and a secret: {got}")
for kind, sent in ((UNLOCK, ()), (UNLOCK, (b"\1",)), (UNLOCK, (b"\2" + PASS,)), (UNLOCK, (b"\1" + b"x" * 5000,)), (PASSCODE, (b"\1" + PASS,)), (PASSCODE, (b"\1" + PASS, b"\1" + OTHER)), (NEW_RECOVERY, (phrase,))):
    got = v.secret(kind, b"", *sent)[0]
    check(got not in (OK, -1), f"{kind:#x} with secrets {[len(s) for s in sent]}: {got}")
got = v.secret(RECOVER, recover, b"\3" + os.urandom(31), b"\2" + OTHER)[0]
check(got == PROTOCOL, f"a phrase of another length: {got}")
for kind, body in ((UNLOCK, b""), (CREATE, create), (PASSCODE, b"")):
    check(ask(v.control, kind, body)[0] == PROTOCOL, f"{kind:#x} without its descriptor")
check(ask(v.control, STATUS, fds=[v.control.fileno()])[0] == PROTOCOL and ask(v.keys, INFO, fds=[v.control.fileno()])[0] == PROTOCOL, "a descriptor where none belongs")
result, body, text = ask(v.keys, INFO)
check(result == OK and struct.unpack_from("<II", body, 16) == (0b11110, 0b11110), f"nothing of that changed anything: {body[16:].hex()}")
check(ask(v.keys, OPEN, b"\1" + opened)[1] == b"\0" + made[256:288], "and its files open")
for at, new in ((9, 2), (9, 9), (8, 2), (32, 9)):  # format, class and generation of a header
    spoilt = bytearray(opened)
    spoilt[at] = new
    check(ask(v.keys, OPEN, b"\1" + bytes(spoilt))[1][:1] not in (b"\0", b""), f"a header with byte {at} = {new}")
    check(ask(v.keys, REWRAP, bytes(spoilt) + b"\3")[0] not in (OK, -1), f"nor is it wrapped anew: byte {at} = {new}")
for cls in (2, 3, 4):
    result, body, text = ask(v.keys, REWRAP, opened + bytes([cls]))
    check(result == OK and ask(v.keys, OPEN, b"\1" + body)[1] == b"\0" + made[256:288], f"wrapped for class {cls} it opens: {result} {text}")
check(ask(v.control, LOCK, struct.pack("<I", 0b110))[0] == OK, "lock")
check(ask(v.keys, CLASS_KEYS, struct.pack("<BI", 1, 9))[0] not in (OK, -1) and ask(v.keys, REWRAP, opened + b"\1")[0] == LOCKED and ask(v.keys, REWRAP, opened + b"\3")[0] == LOCKED, "locked: no wrap of class complete")
check(ask(v.control, ROTATE, b"\0")[0] == LOCKED, "locked: no rotation")
check(ask(v.control, LOCK, struct.pack("<I", 0b1110))[0] == OK and ask(v.keys, CLASS_KEYS, struct.pack("<BI", 3, 0))[0] == LOCKED, "back to before the first unlock")
v.close()

# --- every answer of the element changed ---
VERBS = {
    "start": (False, lambda v: ask(v.control, START)[0]),
    "unlock": (True, lambda v: v.secret(UNLOCK, b"", b"\1" + PASS)[0]),
    "passcode": (True, lambda v: v.secret(PASSCODE, b"", b"\1" + PASS, b"\2" + OTHER)[0]),
    "recovery replace": (True, lambda v: v.secret(NEW_RECOVERY, b"", b"\1" + PASS)[0]),
    "settings": (True, lambda v: v.secret(SETTINGS, struct.pack("<IIII", 7, 3, 60, 3), b"\1" + PASS)[0]),
    "rotate": (True, lambda v: (v.secret(UNLOCK, b"", b"\1" + PASS), begin(v), ask(v.control, ROTATE, b"\0")[0])[2]),
    "recover": (False, lambda v: v.secret(RECOVER, recover, phrase, b"\2" + OTHER)[0]),
    "recover, started": (True, lambda v: v.secret(RECOVER, recover, phrase, b"\2" + OTHER)[0]),
    "status": (True, lambda v: ask(v.control, STATUS)[0]),
    "erase": (False, lambda v: ask(v.control, ERASE, b"\0")[0]),
}


def begin(v):
    v.answers.clear()
    v.begun = True


def one(name, lie, at, number):
    started, verb = VERBS[name]
    folder, state = (os.path.join(work, f"{number}{end}") for end in ("", "-state"))
    shutil.copytree(good, folder)
    shutil.copytree(good_state, state)
    v = Between(folder, state, lie, at)
    if started:
        check(ask(v.control, START)[0] == OK, f"{name}: starts")
    if name != "rotate":
        begin(v)
    result = verb(v)
    reached = len(v.answers) > at
    if lie is None:
        check(result == OK, f"{name}: {result}")
    elif reached:
        check(result != OK, f"{name}, answer {at} of {[hex(a) for a in v.answers]}: {lie}, and all is well")
        check(lie == "dies" or ask(v.control, STATUS)[0] != -1, f"{name}, answer {at} {lie}: the enclave goes on")
    answers = len(v.answers)
    v.close()
    if lie and reached:
        v = Between(folder, state)
        result, _, text = ask(v.control, START)
        erased = name == "erase" and result in (GONE, 7)  # the element had done it
        opens = [v.secret(UNLOCK, b"", b"\1" + word)[0] for word in (PASS, OTHER)] if result == OK else []
        if name.startswith("recover,") or name == "recover": # what it begins with throws the element's old part away: the phrase goes on opening
            opens.append(v.secret(RECOVER, recover, phrase, b"\2" + OTHER)[0])
        check(erased or OK in opens, f"{name}, answer {at} {lie}: afterwards the start gives {result} {text}, passcodes {opens}")
        v.close()
    shutil.rmtree(folder)
    shutil.rmtree(state)
    return answers


count = cases = 0
for name in VERBS:
    answers = one(name, None, 0, f"true-{len(name)}")
    check(answers > 0, f"{name} asks the element")
    for at in range(answers):
        lies = ("fails", "short", "long", "dies") if os.environ.get("HF_LONG") else ("fails", ("short", "long", "dies")[(at + count) % 3])
        for lie in lies:
            one(name, lie, at, cases)
            cases += 1
    count += answers
print(f"figure: answers of the element changed, one by one = {cases} cases")

# a creation: what the element does not give is not made
for at in range(3):
    for lie in ("fails", "short"):
        folder, state = fresh(f"create-{at}-{lie}")
        v = Between(folder, state, lie, at)
        begin(v)
        result, _, text, shown = v.secret(CREATE, create, b"\1" + PASS)
        if len(v.answers) > at:
            check(result not in (OK, -1) and shown == b"", f"create, answer {at} {lie}: {result} {text}")
            check(ask(v.control, STATUS)[0] != -1, f"create, answer {at} {lie}: the enclave goes on")
        v.close()
shutil.rmtree(work)
finish()
