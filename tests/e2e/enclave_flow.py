#!/usr/bin/env python3
"""Element and enclave as real processes over their socketpairs: a vault's life without a filesystem. enclave_flow.py BUILD"""
import os, shutil, struct, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from keybag import summed
from programs import DAMAGED, GONE, LOCKED, OK, PROTOCOL, REFUSED, WRONG, Pair, ask, check, finish

build = os.path.join(os.path.abspath(sys.argv[1]), "src")
START, CREATE, UNLOCK, LOCK, PASSCODE, RECOVER, NEW_RECOVERY, ROTATE, ERASE, STATUS, SETTINGS = range(0x0201, 0x020C)
INFO, CLASS_KEYS, MAKE, OPEN, REWRAP, HEAD_OPEN, HEAD_SETTLE, HEAD_CLOSE = range(0x0301, 0x0309)
PASS, OTHER = b"correct horse battery staple otter lamp", b"seven brass kettles under a wide river"


class Vault(Pair):
    def __init__(self, folder, state):
        super().__init__(build, folder, state)

    def ask(self, channel, kind, body=b"", fds=()):
        return ask(channel, kind, body, fds)

    def unlock(self, passcode):
        return self.secret(UNLOCK, b"", b"\1" + passcode)[0]

    def failures(self):
        _, body, _ = self.ask(self.control, STATUS)
        at = 1 + 16 + 8
        _, delays = struct.unpack_from("<II", body, at)
        at += 8 + 4 * delays + 16 + 1 + 12 + 8 + 1 + 4 + 4 + 2
        (n,) = struct.unpack_from("<H", body, at)
        return struct.unpack_from("<I", body, at + 2 + n)[0]


work = tempfile.mkdtemp()
folder, state = os.path.join(work, "keys"), os.path.join(work, "state")
os.mkdir(folder, 0o700)
os.mkdir(state, 0o700)
bag = os.path.join(folder, "keybag")
policy = struct.pack("<II", 0, 0) + struct.pack("<IIII", 0, 0, 0, 1)
create = policy + struct.pack("<IIIHBBIB", 65536, 1, 1, 0, 1, 0, 0, 0)

v = Vault(folder, state)
check(v.secret(CREATE, create, b"\1" + b"12345678901234567890")[0] == REFUSED, "digits alone are refused with the software element")
result, body, text, phrase = v.secret(CREATE, create, b"\1" + PASS)
check(result == OK, f"create: {result} {text}")
check(len(phrase) == 33 and phrase[0] == 3, "the recovery secret comes once")
v.close()

# what cannot be made durable is not made: no phrase is shown for it, the enclave goes on answering, nothing stays in the element
broken = os.path.join(work, "broken")
os.mkdir(broken, 0o700)
os.mkdir(os.path.join(broken, "keybag.new"))
known = set(os.listdir(os.path.join(state, "holdfast")))
v = Vault(broken, state)
result, _, text, shown = v.secret(CREATE, create, b"\1" + PASS)
check(result not in (OK, -1) and shown == b"", f"a create that cannot be written: {result} {text}, {len(shown)} bytes of a phrase")
check(v.ask(v.control, STATUS)[0] == OK and v.ask(v.control, START)[0] == GONE, "the enclave is usable after it")
v.close()
(record,) = set(os.listdir(os.path.join(state, "holdfast"))) - known
element = open(os.path.join(state, "holdfast", record, "element"), "rb").read()
check(element.count(b"\0") > len(element) // 2, "and the element has forgotten it")
os.rmdir(os.path.join(broken, "keybag.new"))
v = Vault(broken, state)
check(v.secret(CREATE, create, b"\1" + PASS)[0] == OK, "then it can be made")
v.close()

v = Vault(folder, state)
result, _, text = v.ask(v.control, START)
check(result == OK, f"start: {result} {text}")
check(v.ask(v.keys, MAKE, struct.pack("<BBB", 3, 1, 2))[0] == LOCKED, "no key before the first unlock")
check(v.ask(v.keys, MAKE, struct.pack("<BBB", 4, 1, 2))[0] == OK, "but for class always")
check(v.unlock(b"not the right one at all") == WRONG, "a wrong passcode")
check(v.failures() == 1, "is counted")
check(v.unlock(b"not the right one at all") == WRONG and v.failures() == 1, "[AT-3] the same one again is not")
check(v.unlock(PASS) == OK and v.failures() == 0, "the right one opens and clears the count")
headers = {}
for cls in (1, 3):
    result, body, text = v.ask(v.keys, MAKE, struct.pack("<BBB", cls, 1, 2))
    check(result == OK and len(body) == 2 * 288, f"make {cls}: {result} {text}")
    headers[cls] = (body[:256], body[256:288])
    result, body, _ = v.ask(v.keys, OPEN, b"\1" + headers[cls][0])
    check(result == OK and body == b"\0" + headers[cls][1], "open gives the same key")
def still_opens(what):
    for cls in (1, 3):
        result, body, _ = v.ask(v.keys, OPEN, b"\1" + headers[cls][0])
        check(result == OK and body == b"\0" + headers[cls][1], f"{what}: class {cls}")
    check(v.ask(v.keys, MAKE, struct.pack("<BBB", 4, 1, 2))[0] == OK, f"{what}: class always")


# a verb that fails at the disk leaves the enclave as it was, and can be asked again
os.mkdir(bag + ".new")
check(v.ask(v.control, ROTATE, b"\0")[0] not in (OK, -1), "a rotation that cannot be written")
still_opens("after it")
check(v.secret(PASSCODE, b"", b"\1" + PASS, b"\2" + OTHER)[0] not in (OK, -1), "a passcode that cannot be written")
still_opens("after it")
os.rmdir(bag + ".new")
check(v.ask(v.control, ROTATE, b"\0")[0] == OK, "the rotation again")
still_opens("after the rotation")
check(v.unlock(PASS) == OK, "the passcode is the old one")
bad = 0
for at in range(256):
    flipped = bytearray(headers[3][0])
    flipped[at] ^= 1
    result, body, _ = v.ask(v.keys, OPEN, b"\1" + bytes(flipped))
    bad += result == OK and body[0] == OK
check(bad == 0, f"flipped header bytes that opened: {bad}")
check(v.ask(v.control, LOCK, struct.pack("<I", 1 << 1))[0] == OK, "lock")
check(v.ask(v.keys, OPEN, b"\1" + headers[1][0])[1][:1] == bytes([LOCKED]), "class complete is locked")
check(v.ask(v.keys, OPEN, b"\1" + headers[3][0])[1][:1] == b"\0", "after-unlock is not")
# [CH-1] nothing that the table does not list, on neither channel; no verb of one channel on the other
for channel, kind in ((v.keys, UNLOCK), (v.keys, STATUS), (v.control, MAKE), (v.control, 0x0299), (v.keys, 0x0399)):
    check(v.ask(channel, kind)[0] == PROTOCOL, f"{kind:#x} is refused")
# [FR-6] [CR-1] the head goes forward alone, and only the enclave's own is believed
head = os.path.join(folder, "head")
check(v.ask(v.keys, HEAD_SETTLE, struct.pack("<I", 1) + bytes(64))[0] == PROTOCOL, "no settle before the head is open")
result, body, text = v.ask(v.keys, HEAD_OPEN)
check(result == OK and struct.unpack_from("<IB", body) == (0, 1), f"a new head: {result} {text}")
check(v.ask(v.keys, HEAD_SETTLE, struct.pack("<I", 7) + b"t" * 64)[0] == OK, "a settle")
for epoch in (7, 6, 0):
    check(v.ask(v.keys, HEAD_SETTLE, struct.pack("<I", epoch) + b"u" * 64)[0] == PROTOCOL, f"epoch {epoch} does not follow 7")
check(v.ask(v.keys, HEAD_CLOSE, struct.pack("<I", 6))[0] == PROTOCOL and v.ask(v.keys, HEAD_CLOSE, struct.pack("<I", 8))[0] == OK, "it closes behind its last settle")
good_head = open(head, "rb").read()
for at in range(len(good_head)):
    open(head, "wb").write(good_head[:at] + bytes([good_head[at] ^ 1]) + good_head[at + 1:])
    result, _, text = v.ask(v.keys, HEAD_OPEN)
    check(result == DAMAGED, f"head, byte {at}: {result} {text}")
open(head, "wb").write(good_head)
result, body, text = v.ask(v.keys, HEAD_OPEN)
check(result == OK and struct.unpack_from("<IB", body) == (8, 3) and body[5:] == b"t" * 64 + b"\0", f"the true one opens: {result} {text}")

old = open(bag, "rb").read()
check(v.secret(PASSCODE, b"", b"\1" + PASS, b"\2" + OTHER)[0] == OK, "the passcode changes")
v.close()

v = Vault(folder, state)
check(v.ask(v.control, START)[0] == OK, "start after the change")
check(v.unlock(PASS) == WRONG, "the old passcode is refused")
check(v.unlock(OTHER) == OK, "the new one opens")
check(v.ask(v.keys, OPEN, b"\1" + headers[3][0])[1][:1] == b"\0", "an old file opens")
before_rotation = open(bag, "rb").read()
check(v.ask(v.control, ROTATE, b"\0")[0] == OK, "a rotation, which leaves the element's slot as it is")
v.close()

# [KB-3] the older keybag, [KB-2] any flipped byte: refused at the start, and no try is spent
good = open(bag, "rb").read()
check(summed(good) == good, "the checksum is what this test takes it for")
wrong = [(old, "older"), (before_rotation, "older, of the same slot")] + [(summed(good[:i] + bytes([good[i] ^ 0x40]) + good[i + 1:]), f"byte {i}, summed again") for i in range(10, len(good) - 4, 89)] + [(good[:i] + bytes([good[i] ^ 0x40]) + good[i + 1:], f"byte {i}") for i in range(0, len(good), 97)] + [(good[:n], f"cut {n}") for n in range(0, len(good), 301)]
for content, what in wrong:
    open(bag, "wb").write(content)
    v = Vault(folder, state)
    result, _, text = v.ask(v.control, START)
    check(result == DAMAGED, f"keybag, {what}: {result} {text}")
    check(v.unlock(OTHER) != OK, f"keybag, {what}: opened")
    v.close()
open(bag, "wb").write(good)
v = Vault(folder, state)
v.ask(v.control, START)
check(v.failures() == 0, "none of that spent a try")
test = struct.pack("<BIHBIB", 1, 1, 0, 0, 0x10000, 0)
check(v.secret(RECOVER, test, phrase)[0] == OK, "the phrase opens")
check(v.secret(RECOVER, test, b"\3" + os.urandom(32))[0] != OK, "another does not")
again = struct.pack("<BIHBIB", 0, 1, 0, 0, 0x10000, 0)
check(v.unlock(OTHER) == OK, "unlocked for the recovery that fails")
os.mkdir(bag + ".new")
check(v.secret(RECOVER, again, phrase, b"\2" + PASS)[0] not in (OK, -1), "a recovery that cannot be written")
still_opens("after it")
os.rmdir(bag + ".new")
check(v.secret(RECOVER, again, phrase, b"\2" + PASS)[0] == OK, "recover")
v.close()
v = Vault(folder, state)
check(v.ask(v.control, START)[0] == OK and v.unlock(OTHER) == WRONG and v.unlock(PASS) == OK, "the recovered vault has the new passcode alone")
check(v.ask(v.keys, OPEN, b"\1" + headers[3][0])[1][:1] == b"\0", "and its old files")
# [LK-4] the inactivity limit is the enclave's own: nobody tells it
check(v.secret(SETTINGS, struct.pack("<IIII", 2, 0, 1, 0), b"\1" + PASS)[0] == OK, "a limit of one second")
check(v.ask(v.control, LOCK, struct.pack("<I", 0b110))[0] == OK, "locked, it runs")
until = time.monotonic() + 20
while (late := v.ask(v.keys, MAKE, struct.pack("<BBB", 3, 1, 1))[0]) == OK and time.monotonic() < until:
    time.sleep(0.05)
check(late == LOCKED and v.ask(v.keys, CLASS_KEYS, struct.pack("<BI", 3, 0))[0] == LOCKED, f"then class after-unlock is gone too: {late}")
check(v.ask(v.keys, MAKE, struct.pack("<BBB", 4, 1, 1))[0] == OK, "and class always is not")
check(v.ask(v.control, ERASE, b"\0")[0] == OK, "erase")
check(not os.path.exists(bag), "the keybag is gone")
v.close()
open(bag, "wb").write(good)
v = Vault(folder, state)
check(v.ask(v.control, START)[0] in (GONE, DAMAGED) and v.unlock(PASS) != OK, "a keybag put back after erase opens nothing")
v.close()
shutil.rmtree(work)
finish()
