#!/usr/bin/env python3
"""The software element as a real process: counting, delays, limit, kill -9 at random instants. element_attempts.py BUILD"""
import os, random, shutil, signal, struct, sys, tempfile, time

from programs import DELAYED, GONE, OK, PROTOCOL, WRONG, ask, check, environment, finish, pair, start

program = os.path.join(sys.argv[1], "src", "holdfast-element")
HELLO, PROVISION, RELEASE, DEVICE, PREPARE, COMMIT, GENERATION, STATUS, ERASE, FRESH = range(0x0401, 0x040B)
NO_SECOND = bytes(32)  # what only a TPM takes notice of


class Element:
    def __init__(self, state, vault):
        self.end, child = pair()
        self.process = start(program, [child.fileno()], environment(state))
        child.close()
        self.end.settimeout(20)
        self.vault = vault

    def ask(self, kind, body=b""):
        result, body, _ = ask(self.end, kind, body)
        if result < 0:
            raise ConnectionError("closed")
        return result, body

    def hello(self, creating=False):
        return self.ask(HELLO, self.vault + struct.pack("<IHBH", 1, 0, creating, 0))

    def close(self):
        self.end.close()
        self.process.wait(10)


def status(body):
    kind, state, hardware, n = struct.unpack_from("<IBBH", body)
    failed, limit, retry, erases, generation, slot, since = struct.unpack_from("<IIIBQII", body, 8 + n)
    return {"state": state, "failed": failed, "limit": limit, "retry": retry, "generation": generation, "slot": slot, "since": since}


def policy(attempts, delays):
    return struct.pack("<II", attempts, len(delays)) + b"".join(struct.pack("<I", d) for d in delays) + struct.pack("<QBI", 0, 0, 0)


def fresh(attempts, delays):
    state, vault, right = tempfile.mkdtemp(), os.urandom(16), os.urandom(32)
    e = Element(state, vault)
    check(e.hello(True)[0] == OK, "hello")
    result, body = e.ask(PROVISION, right + NO_SECOND + policy(attempts, delays))
    check(result == OK, f"provision: {result}")
    return state, vault, right, e, body[4:36]


# [AT-4] the limit: after the third failure nothing, the right one included, also after a restart
state, vault, right, e, secret = fresh(3, [])
check(e.ask(RELEASE, right + NO_SECOND) == (OK, secret), "the right one gives S")
for n in range(3):
    result, _ = e.ask(RELEASE, os.urandom(32) + NO_SECOND)
    check(result in (WRONG, GONE), f"wrong try {n}: {result}")
check(e.ask(RELEASE, right + NO_SECOND)[0] == GONE, "the right one after the limit")
check(e.ask(DEVICE)[0] == OK, "D stays")
e.close()
e = Element(state, vault)
e.hello()
check(e.ask(RELEASE, right + NO_SECOND)[0] == GONE, "after a restart")
check(e.ask(ERASE)[0] == OK, "erase")
check(e.ask(DEVICE)[0] != OK, "D is gone after erase")
e.close()
shutil.rmtree(state)

# [AT-2] a delay refuses unjudged and uncounted, and [AT-6] a restart of the element does not shorten it
state, vault, right, e, secret = fresh(0, [2])
for n in range(4):
    check(e.ask(RELEASE, os.urandom(32) + NO_SECOND)[0] == WRONG, "counts to four")
result, body = e.ask(RELEASE, right + NO_SECOND)
check(result == DELAYED, f"in the delay: {result}")
before = status(e.ask(STATUS)[1])
check(before["failed"] == 4 and before["retry"] >= 1, f"not counted: {before}")
e.close()
e = Element(state, vault)
e.hello()
check(e.ask(RELEASE, right + NO_SECOND)[0] == DELAYED, "still in the delay after a restart")
time.sleep(2.2)
check(e.ask(RELEASE, right + NO_SECOND) == (OK, secret), "after the delay")
check(status(e.ask(STATUS)[1])["failed"] == 0, "success clears the count")
e.close()
shutil.rmtree(state)

# [AT-1] kill -9 at random instants: the count is never below the number of answers given
state, vault, right, e, secret = fresh(0, [])
answers = 20
began = time.monotonic()
for n in range(answers): # how long one takes here and now: the kills come in the time of a few
    check(e.ask(RELEASE, os.urandom(32) + NO_SECOND)[0] == WRONG, "a wrong one")
few = 8 * (time.monotonic() - began) / answers
random.seed(1)
for _ in range(200):
    try:
        if e.process.poll() is not None:
            raise ConnectionError
        pid = e.process.pid
        child = os.fork()
        if child == 0:
            time.sleep(random.random() * few)
            os.kill(pid, signal.SIGKILL)
            os._exit(0)
        while True:
            if e.ask(RELEASE, os.urandom(32) + NO_SECOND)[0] == WRONG:
                answers += 1
    except (ConnectionError, OSError):
        pass
    os.waitpid(child, 0)
    e.close()
    e = Element(state, vault)
    if e.hello()[0] != OK:
        check(False, "the state is readable after a kill")
        break
count = status(e.ask(STATUS)[1])["failed"]
check(count >= answers > 50, f"counted {count}, answered {answers}")
check(e.ask(RELEASE, right + NO_SECOND) == (OK, secret), "the right one still opens")
e.close()

# malformed messages change nothing
e = Element(state, vault)
check(e.ask(RELEASE, right + NO_SECOND)[0] != OK, "nothing before HELLO")
e.hello()
for body in (b"", b"\0" * 31, b"\0" * 33, os.urandom(4000)):
    check(e.ask(RELEASE, body)[0] == PROTOCOL, "a body of the wrong length")
check(e.ask(0x0999)[0] == PROTOCOL, "an unknown request")
check(e.ask(COMMIT, struct.pack("<I", 1))[0] != OK, "no commit without a prepared slot")
check(e.ask(PREPARE, os.urandom(32) + NO_SECOND + struct.pack("<BIH", 0, 0x10000, 0))[0] != OK, "no prepare before a release")
check(status(e.ask(STATUS)[1])["failed"] == 0, "and nothing was counted")
e.close()
shutil.rmtree(state)
print(f"kills 200, answers {answers}, counted {count}")
finish()
