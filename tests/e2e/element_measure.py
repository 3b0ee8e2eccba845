#!/usr/bin/env python3
"""Measured software: the element, then every program, against a real swtpm whose PCRs tpm2_pcrextend changes. element_measure.py BUILD; HF_LONG=1: every flip, 200 kills"""
import hashlib, os, random, shutil, signal, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "attacks", "element"))
from element import *

build = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
work = tempfile.mkdtemp(prefix="hf-e2e-measure.")
hf = os.path.join(os.path.abspath(build), "src", "holdfast")
MANY, MASK = 1_000_000, 1 << 7 | 1 << 11
KEEP_SEALS, PRESENT, PREDICTED = range(3)
UNMEASURED, IN_FORCE, NEXT, NONE = range(4)
POLICY_PCR, POLICY_SECRET, PCR_READ = 0x17F, 0x151, 0x17E
FIRMWARE = b"\x11" * 32


def pcr_after(*digests):
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def image(n):
    """What software n measures into PCR 11."""
    return hashlib.sha256(b"image %d" % n).digest()


def extend(tpm, pcr, digest):
    check(tpm.tool("tpm2_pcrextend", f"{pcr}:sha256={digest.hex()}")[0] == 0, "tpm2_pcrextend")


def boot(tpm, n, firmware=FIRMWARE):
    """The machine starts again, and software n measures itself."""
    tpm.restart()
    extend(tpm, 7, firmware)
    extend(tpm, 11, image(n))


def machine(n=0):
    tpm = Swtpm()
    extend(tpm, 7, FIRMWARE)
    extend(tpm, 11, image(n))
    return tpm


def fresh(tpm, limits, tcti=None):
    e = Element(build, tempfile.mkdtemp(dir=work), os.urandom(16), tcti or tpm.tcti)
    right = os.urandom(32)
    check(e.hello(True) == OK, f"hello: {e.text}")
    result, secret, device = e.provision(right, limits)
    check(result == OK, f"provision: {result} {e.text}")
    return e, right, secret, device


def indices(tpm):
    return sum("0x" in line for line in tpm.tool("tpm2_getcap", "handles-nv-index")[1].splitlines())


def count_of(tpm, e):
    tpm.tool("tpm2_nvread", e.status()["public"]["nv_pin"], "-C", "o", "-s", "8", "-o", "count")
    return int.from_bytes(open(os.path.join(tpm.folder, "count"), "rb").read()[:4], "big")


def commands(relay, code):
    """How many commands of this code are in the relay's log since the last call."""
    log, found, at = bytes(relay.log), 0, 0
    while at + 10 <= len(log):
        tag, size, word = struct.unpack_from(">HII", log, at)
        found += tag in (0x8001, 0x8002) and word == code
        at += max(size, 10)
    relay.log.clear()
    return found


def reseal(e, auth, how, measure=KEEP, predicted=None):
    """As the enclave does it: S', or None."""
    result, slot, secret, blob = e.prepare(auth, how, measure, predicted)
    if result != OK:
        return None
    e.blob = blob
    check(e.commit(slot) == OK, f"commit: {e.text}")
    return secret


def other_software():
    """[EL-14] other software gets nothing and spends no try, whatever the wire says; the TPM never sees A."""
    tpm = machine()
    relay = Relay(tpm)
    e, right, secret, device = fresh(tpm, policy(10, measure=MASK), relay.tcti)
    check(commands(relay, PCR_READ) > 0, "the log is understood")
    check(e.release(right) == (OK, secret) and e.ask(DEVICE) == (OK, device), f"the software it was sealed to: {e.text}")
    check(commands(relay, POLICY_SECRET) == 1, "one try on the bus")
    got = e.status()
    check(got["fit"] == IN_FORCE and got["pcrs"] == MASK and got["untouched"] == 0 and not got["predicted"], f"status: {got}")
    check(got["public"]["pcrs"] == {"7": pcr_after(FIRMWARE).hex(), "11": pcr_after(image(0)).hex()} and got["public"]["software"] == "in-force", f"status: {got['public']}")
    check(e.release(os.urandom(32))[0] == WRONG and count_of(tpm, e) == 1, "a wrong one under it counts")
    read_before = []
    relay.change = lambda reply: (read_before.append(reply), reply)[1]
    e.again()
    e.status()
    relay.change = None
    true_read = max((r for r in read_before if pcr_after(image(0)) in r), key=len, default=b"")
    check(true_read, "what the TPM says of its PCRs was seen")
    for what, spoil in (("PCR 11", lambda: extend(tpm, 11, image(9))), ("another image", lambda: boot(tpm, 1)), ("other firmware", lambda: boot(tpm, 0, b"\x12" * 32)),
                        ("nothing measured", tpm.restart)):
        spoil()
        commands(relay, 0)
        for n in range(12):  # more than the limit
            result = e.release(right if n % 2 else os.urandom(32))[0]
            check(result == REFUSED and "recover" in e.text and "no try" in e.text and "PCR" in e.text, f"{what}: {result} {e.text}")
        check(e.ask(DEVICE)[0] == REFUSED, f"{what}: no D: {e.text}")
        check(commands(relay, POLICY_SECRET) == 0, f"{what}: A was not used")
        got = e.status()
        check(got["fit"] == NONE and got["failed"] == 1 and count_of(tpm, e) == 1, f"{what}: status {got}")
        # a wire that says that all is well: the TPM compares our literal values itself, in front of PolicySecret
        relay.answer = lambda command: true_read if command_code(command) == PCR_READ else None
        check(e.again() == OK and e.status()["fit"] == IN_FORCE, f"{what}: the lie is told")
        commands(relay, 0)
        check(e.release(right)[0] == REFUSED and e.release(os.urandom(32))[0] == REFUSED and e.ask(DEVICE)[0] == REFUSED, f"{what}: a lie opens nothing: {e.text}")
        check(commands(relay, POLICY_SECRET) == 0, f"{what}: and A is not used")
        relay.answer = None
        check(count_of(tpm, e) == 1, f"{what}: no try was spent")
    boot(tpm, 0)
    check(e.again() == OK and e.release(right) == (OK, secret) and e.status()["since"] == 1, f"the true one again: {e.text}")
    # 0x99D at the very end: refused, and told what to do
    relay.answer = lambda command: refusal(0x99D) if command_code(command) == 0x15E else None
    check(e.release(right)[0] == REFUSED and "recover" in e.text, f"0x99D: {e.text}")
    relay.answer = lambda command: refusal(0x128) if command_code(command) == 0x15E else None
    check(e.release(right)[0] == REFUSED, f"PCRs that change in the middle: {e.text}")
    relay.answer = None
    # a lie when it is made: what is sealed to values that are not there is not taken, and nothing stays of it
    liar = Element(build, tempfile.mkdtemp(dir=work), os.urandom(16), relay.tcti)
    before = indices(tpm)
    check(liar.hello(True) == OK, "hello")
    relay.change = lambda reply: reply.replace(pcr_after(image(0)), pcr_after(image(5)))
    check(liar.provision(os.urandom(32), policy(10, measure=MASK))[0] == REFUSED and indices(tpm) == before, f"made for other software by a lie: {liar.text}")
    relay.change = None
    relay.answer = lambda command: bytes.fromhex("8001000000180000000000000005") + b"\0" * 10 if command_code(command) == PCR_READ else None
    check(liar.provision(os.urandom(32), policy(10, measure=MASK))[0] != OK and indices(tpm) == before, f"no values: {liar.text}")
    relay.answer = None
    liar.close()
    e.close()
    relay.close()
    tpm.close()


def by_hand():
    """[EL-14] the sealed objects themselves, asked with tpm2-tools by whoever has the disk and even the passcode's A: not without the PCRs."""
    sys.argv[1:] = [build]
    import attack
    tpm = machine()
    t = attack.Target.__new__(attack.Target)
    t.tpm, t.relay, t.state = tpm, Relay(tpm), tempfile.mkdtemp(dir=work)
    t.e, t.right, t.secret, t.device = fresh(tpm, policy(10, measure=MASK), t.relay.tcti)
    t.public = t.e.status()["public"]
    t.pin = t.public["nv_pin"]
    check(t.storage_key(), "the storage key is no secret")
    secret_of_p = ("tpm2_policysecret", "-c", t.pin, "hex:" + t.right.hex())
    limit = ("tpm2_policynv", "-C", "o", "-i", "-", "--offset", "4", t.pin, "eq")

    def asks(*names, which="release"):
        words = {"pcr": ("tpm2_policypcr", "-l", "sha256:7,11"), "secret": secret_of_p}
        good = t.session(*(words[n] for n in names)) and t.unseal(which, "session") == (t.secret if which == "release" else t.device)
        t.end_sessions()
        return good

    check(asks("pcr", "secret"), "PolicyPCR, then PolicySecret(P): the construction itself")
    check(not asks("secret") and not asks("secret", "pcr"), "without the PCRs, or the other way round: nothing")
    for spoil in (lambda: extend(tpm, 11, image(3)), lambda: boot(tpm, 3)):
        spoil()
        t.storage_key()
        check(not asks("pcr", "secret"), "under other software: nothing, with the right passcode too")
        check(not asks("pcr", which="device"), "nor D")
    t.e.close()
    t.relay.close()
    tpm.close()


def next_software():
    """[EL-18] [EL-19] both seals until the first unlock under the next software; then the old one opens nothing, copied blobs among them."""
    tpm = machine()
    e, right, secret, device = fresh(tpm, policy(MANY, measure=MASK))
    e.again()
    check(e.prepare(right, PREDICTED, predicted={11: pcr_after(image(1))})[0] != OK, "not before a RELEASE of this process")
    check(e.release(right) == (OK, secret), "released")
    for predicted, word in (({4: image(1)}, "not sealed to PCR 4"), ({11: pcr_after(image(0))}, "already"), ({7: pcr_after(FIRMWARE), 11: pcr_after(image(0))}, "already")):
        result = e.prepare(right, PREDICTED, predicted=predicted)[0]
        check(result == USAGE and word in e.text, f"prediction {sorted(predicted)}: {result} {e.text}")
    check(indices(tpm) == 3 and e.release(right) == (OK, secret), "and nothing of it stays")
    first = e.blob
    second = reseal(e, right, PREDICTED, predicted={11: pcr_after(image(1))})
    check(second and second != secret, f"sealed to the next: {e.text}")
    both = e.blob
    for n in range(2):  # the old one, as long as it likes
        boot(tpm, 0)
        check(e.again() == OK and e.release(right) == (OK, second) and e.ask(DEVICE) == (OK, device), f"the old software still opens: {e.text}")
        got = e.status()
        check(got["fit"] == IN_FORCE and got["predicted"] and got["public"]["reseal_pending"] and got["public"]["pcrs_predicted"]["11"] == pcr_after(image(1)).hex(), f"status: {got}")
    new = os.urandom(32)  # a change of passcode keeps both
    result, slot, third, blob = e.prepare(new)
    check(result == OK and e.commit(slot) == OK, f"change of passcode: {e.text}")
    both = e.blob = blob
    boot(tpm, 1)
    check(e.again() == OK and e.status()["fit"] == NEXT and e.release(right)[0] == WRONG and e.release(new) == (OK, third) and e.ask(DEVICE) == (OK, device), f"the next software opens: {e.text}")
    boot(tpm, 2)
    check(e.again() == OK and e.release(new)[0] == REFUSED, "a third does not")
    boot(tpm, 1)
    check(e.again() == OK and e.release(new) == (OK, third), "the next again")
    last = reseal(e, new, PRESENT)  # what the first unlock does
    got = e.status()
    check(last and got["fit"] == IN_FORCE and not got["predicted"] and indices(tpm) == 3, f"settled: {e.text} {got}")
    settled = e.blob
    for n, blob, what in ((0, settled, "the old software"), (0, both, "the old software with the old blob"), (0, first, "and the first"), (1, both, "the new software with the old blob"),
                          (1, first, "and the first")):
        boot(tpm, n)
        result = (e.again(blob), e.release(new)[0], e.release(right)[0], e.ask(DEVICE)[0])
        check(OK not in result[1:] and WRONG not in result, f"{what}: {result} {e.text}")
    boot(tpm, 1)
    check(e.again(settled) == OK and e.release(new) == (OK, last) and count_of(tpm, e) == 0, f"the new one opens: {e.text}")
    # a prediction that is taken back opens nothing
    check(reseal(e, new, PREDICTED, predicted={11: pcr_after(image(2))}), "a prediction")
    withdrawn = e.blob
    final = reseal(e, new, PRESENT)
    kept = e.blob
    boot(tpm, 2)
    check(e.again(withdrawn) == OK and e.release(new)[0] == DAMAGED and e.again(kept) == OK and e.release(new)[0] == REFUSED, f"taken back: {e.text}")
    boot(tpm, 1)
    check(e.again(kept) == OK and e.release(new) == (OK, final), "and the present one stays")
    # other PCRs, none, and again some
    check(reseal(e, new, PRESENT, measure=1 << 4) and e.status()["pcrs"] == 1 << 4 and e.status()["untouched"] == 1 << 4, f"other PCRs: {e.text}")
    extend(tpm, 11, image(7))
    check(e.release(new)[0] == OK and reseal(e, new, PRESENT, measure=0) and e.status()["fit"] == UNMEASURED, f"no longer measured: {e.text}")
    extend(tpm, 4, image(7))
    check(e.release(new)[0] == OK and e.prepare(new, PREDICTED, predicted={4: image(1)})[0] == USAGE, "nothing to predict then")
    check(reseal(e, new, PRESENT, measure=0xffff) and e.status()["pcrs"] == 0xffff and len(e.status()["public"]["pcrs"]) == 16, f"all sixteen: {e.text}")
    check(reseal(e, new, PREDICTED, predicted={n: image(n) for n in range(16)}) and len(e.blob) < 4096, f"and all of them predicted: {e.text}")
    check(e.again() == OK and e.release(new)[0] == OK, "which still opens")
    # FRESH: kept, ended, taken
    again = os.urandom(32)
    for measure, mask in ((KEEP, 0xffff), (MASK, MASK), (0, 0), (KEEP, 0)):
        result, secret, _ = e.provision(again, policy(10, measure=measure), fresh=True)
        check(result == OK and e.status()["pcrs"] == mask and e.release(again) == (OK, secret) and indices(tpm) == 3, f"FRESH with {measure:#x}: {e.text}")
    e.close()
    tpm.close()


def bring_up(tpm, e, blob, cutter, n):
    """After a cut: the TPM (and what it measured) comes back, the element starts, the enclave finishes what was to be done."""
    cutter.left = 0
    e.process.wait(10)
    e.end.close()
    if cutter.both:
        tpm.process.wait(10)
        tpm.process = None
        tpm.start()
        extend(tpm, 7, FIRMWARE)
        extend(tpm, 11, image(n))
    e.blob = blob
    e.start()
    if check(e.hello() == OK, f"hello after a cut: {e.text}"):
        slot = int.from_bytes(blob[4:8], "little")
        if e.status()["slot"] != slot:
            check(e.commit(slot) == OK, f"finished: {e.text}")


def open_(e, auth):
    """RELEASE; on a loaded machine swtpm may not take the next connection yet."""
    for _ in range(20):
        answer = e.release(auth)
        if answer[0] != UNREACHABLE:
            break
        time.sleep(0.2)
    return answer


def cuts():
    """[EL-18] [EL-19] a power cut before every command of a reseal and of what the first unlock does: one working state, three indices."""
    tpm = machine()
    cutter = Cutter(tpm)
    relay = Relay(tpm, cutter)
    e, right, secret, device = fresh(tpm, policy(MANY, measure=MASK), relay.tcti)
    made = {"reseal": 0, "settle": 0}
    n = 0
    for kind in ("reseal", "settle"):
        how, predicted = (PREDICTED, {11: pcr_after(image(n + 1))}) if kind == "reseal" else (PRESENT, None)
        if kind == "settle":
            boot(tpm, n + 1)
            n += 1
            e.again()
        for phase in ("prepare", "commit"):
            for at in range(1, 200, 1 if LONG else 3):
                check(open_(e, right) == (OK, secret), f"{kind}, {phase} {at}: released: {e.text}")
                old = e.blob
                cutter.arm(e, at if phase == "prepare" else 10 ** 6, at % 3 == 0)
                try:
                    result, slot, fresh_secret, blob = e.prepare(right, how, KEEP, predicted)
                    if phase == "commit" and check(result == OK, f"prepare: {e.text}"):
                        cutter.arm(e, at, at % 3 == 1)
                        e.commit(slot)
                except (ConnectionError, OSError):
                    pass
                if not cutter.hit:
                    break
                made[kind] += 1
                bring_up(tpm, e, old if phase == "prepare" else blob, cutter, n)  # the keybag's rename lies between the two
                if phase == "commit":
                    secret = fresh_secret
                check(open_(e, right) == (OK, secret) and e.ask(DEVICE) == (OK, device), f"{kind}: cut {at} in {phase}: opens: {e.text}")
                check(indices(tpm) == 3, f"{kind}: cut {at} in {phase}: {indices(tpm)} indices")
                got = e.status()
                check(got["predicted"] == ((phase == "commit") == (kind == "reseal")), f"{kind}: cut {at} in {phase}: {got}")
                if phase == "commit":  # back to where it began, for the next cut
                    if kind == "reseal":
                        secret = reseal(e, right, PRESENT)
                    else:
                        secret = reseal(e, right, PREDICTED, predicted={11: pcr_after(image(n + 1))})
                        n += 1
                        boot(tpm, n)
                        e.again()
                elif e.status()["fit"] == NONE:
                    check(False, "lost")
            cutter.left = 0
            if phase == "prepare":  # undone: the keybag was not renamed
                e.kill()
                e.start()
                check(e.hello() == OK and e.commit(int.from_bytes(e.blob[4:8], "little")) == OK and indices(tpm) == 3, f"prepared and dropped: {e.text}")
            else:
                e.blob, secret = blob, fresh_secret
    check(min(made.values()) > (40 if LONG else 13), f"cuts: {made}")
    check(e.again() == OK and open_(e, right) == (OK, secret) and not e.status()["predicted"], f"at the end: {e.text}")
    print(f"power cuts: {made['reseal']} in reseal --predict, {made['settle']} in the first unlock after")
    e.close()
    relay.close()
    tpm.close()


def malformed():
    """[EL-22] every byte of the blob flipped (every bit: tests/unit/test_measure.c), requests that are none: refused, and no try spent."""
    tpm = machine()
    e, right, secret, device = fresh(tpm, policy(10, measure=MASK))
    secret = reseal(e, right, PREDICTED, predicted={11: pcr_after(image(1))})
    good, refused = e.blob, 0
    for at in range(0, len(good), 1 if LONG else 23):
        e.close()
        e.start()
        if e.hello(blob=good[:at] + bytes([good[at] ^ 1 << random.randrange(8)]) + good[at + 1:]) != OK:
            refused += 1
            continue
        e.ask(DEVICE)
        result, got = e.release(right)
        check(result != WRONG and (result != OK or got == secret), f"blob byte {at}: {result} {e.text}")
    for cut in [*range(0, 8), *range(8, len(good), 97), len(good) - 1]:
        e.close()
        e.start()
        check(e.hello(blob=good[:cut]) == (DAMAGED if cut else OK), f"blob cut at {cut}: {e.text}")
    check(e.again(good) == OK and e.release(right) == (OK, secret) and e.status()["since"] == 0, "after all that the count is untouched")
    whole = right + struct.pack("<BI", PREDICTED, KEEP) + values({11: image(1)})
    for body in (whole[:32], whole[:33], whole[:-1], whole + b"\0", right + struct.pack("<BIH", 3, KEEP, 0), right + struct.pack("<BIH", PREDICTED, KEEP, 0),
                 right + struct.pack("<BIH", KEEP_SEALS, 1, 0), right + struct.pack("<BIH", PRESENT, KEEP + 1, 0), right + struct.pack("<BI", PRESENT, KEEP) + values({7: image(1)}),
                 right + struct.pack("<BIH", PREDICTED, KEEP, 0xffff)):
        check(e.ask(PREPARE, body)[0] == PROTOCOL, f"a seal that is none ({len(body)} bytes): {e.text}")
    check(e.release(right) == (OK, secret) and indices(tpm) == 3, "nothing was changed")
    e.close()
    new = Element(build, tempfile.mkdtemp(dir=work), os.urandom(16), tpm.tcti)
    check(new.hello(True) == OK, "hello")
    for measure in (KEEP, KEEP | 7, 1 << 16 | 1, 1 << 23, 2 ** 32 - 1):
        check(new.provision(os.urandom(32), policy(10, measure=measure))[0] == PROTOCOL, f"[EL-17] PROVISION with PCRs {measure:#x}")
    check(new.provision(os.urandom(32), policy(10))[0] == OK, f"and without: {new.text}")
    new.close()
    soft = Element(build, tempfile.mkdtemp(dir=work), os.urandom(16), "", kind=SOFTWARE)
    check(soft.hello(True) == OK and soft.provision(right, policy(10, measure=MASK))[0] == UNSUPPORTED and soft.provision(right, policy(10))[0] == OK, f"software: {soft.text}")
    check(soft.release(right)[0] == OK and soft.prepare(right, PRESENT)[0] == UNSUPPORTED and soft.prepare(right)[0] == OK, f"software: {soft.text}")
    soft.close()
    tpm.close()


class Owner:
    """An owner at the command line, with a machine of their own."""

    def __init__(self):
        self.home = tempfile.mkdtemp(dir=work)
        self.env = {"PATH": "/usr/bin:/bin", "HOME": self.home, "XDG_STATE_HOME": self.home + "/state", "XDG_RUNTIME_DIR": self.home + "/run"}
        for folder in ("state", "run"):
            os.mkdir(os.path.join(self.home, folder), 0o700)
        self.vault, self.phrase = self.home + "/vault", self.home + "/phrase"
        self.bag = self.vault + "/.holdfast/keybag"
        self.tpm, self.text = machine(), ""

    def run(self, *words, lines=()):
        done = subprocess.run([hf, *words], env=self.env, input="".join(line + "\n" for line in lines).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        self.text = done.stdout.decode(errors="replace")
        return done.returncode

    def expect(self, code, *words, lines=(), says=""):
        got = self.run(*words, lines=lines)
        return check(got == code and says in self.text, f"exit {got}, not {code} ({says}): {' '.join(words)}\n{self.text}")

    def create(self, code, *more, lines=("314159",), says=""):
        return self.expect(code, "create", self.vault, "--element", "tpm2", "--tcti", self.tpm.tcti, "--kdf", "64,1", "--delays", "0", "--passcode-fd", "0", *more, lines=lines, says=says)

    def reseal(self, code, *more, lines=("314159",), says=""):
        return self.expect(code, "reseal", self.vault, "--passcode-fd", "0", *more, lines=lines, says=says)

    def judged(self, code, passcode="314159", says=""):
        """`passcode` changed to itself: a try like any other, and the first unlock of what is predicted."""
        return self.expect(code, "passcode", self.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=(passcode, passcode), says=says)

    def element(self):
        return json.loads(self.text)["element"] if self.expect(0, "status", self.vault, "--json") else {}

    def close(self):
        self.tpm.close()
        check(not family(self), f"left running: {family(self)}")


def family(owner):
    """The owner's programs, told by their environment."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if f"XDG_STATE_HOME={owner.home}/state\0".encode() in open(f"/proc/{pid}/environ", "rb").read() + b"\0":
                found.setdefault(open(f"/proc/{pid}/comm").read().strip(), int(pid))
        except OSError:
            pass
    return found


def commands_line():
    """The verbs: what is refused before anything is made, the sentence, prediction from words and files, status, recovery."""
    o = Owner()
    phrase = ("--recovery-file", o.phrase)
    o.create(2, "--measure", "--no-recovery", says="recovery phrase")  # [EL-20]
    for pcrs in ("16", "23", "7,16", "7,7", "", "x", "7,", "-1", "7 11"):  # [EL-17]
        o.create(2, f"--measure={pcrs}", *phrase, says="measure")
    o.create(2, "--sentence-fd", "0", *phrase, says="--measure")
    o.expect(2, "create", o.vault, "--element", "software", "--measure", "--passcode-fd", "0", *phrase, lines=["correct horse battery staple otter lamp"], says="TPM")
    for bad in ("", "a" * 160, "a\tb", "\x1b[31mred"):
        o.create(2, "--measure", "--sentence-fd", "0", *phrase, lines=("314159", bad), says="sentence")
    check(not os.path.exists(o.vault) and not os.path.exists(o.phrase) and indices(o.tpm) == 0, "nothing is left of any of these")
    o.create(0, "--measure", "--sentence-fd", "0", *phrase, lines=("314159", "The otter sleeps at déjà vu"), says="sealed to PCR 7, 11")
    check("before you change firmware" in o.text and "warning" not in o.text and "otter" not in o.text, f"creation warns of firmware, and keeps the sentence to itself: {o.text}")
    check(b"otter" not in open(o.bag, "rb").read(), "[EL-21] the keybag does not show the sentence")
    o.judged(0, says="Your sentence: The otter sleeps at déjà vu\n")
    o.judged(3, "271828", says="The otter")
    o.reseal(3, lines=("271828",))
    got = o.element()
    check(got["measured"] and got["pcrs"]["11"] == pcr_after(image(0)).hex() and set(got["pcrs"]) == {"7", "11"} and got["software"] == "in-force" and not got["reseal_pending"]
          and got["failed"] == 2, f"status: {got}")
    o.expect(0, "status", o.vault, says="measured: sealed to PCR 7, 11")
    for prediction, says in (("11=12", "64"), ("11", "No such file"), ("16=" + "ab" * 32, "0 to 15"), ("4=" + "ab" * 32, "not sealed to PCR 4"), ("11=" + "ab" * 32 + ",11=" + "cd" * 32, "twice"),
                             ("11=" + pcr_after(image(0)).hex(), "already"), (o.home + "/nowhere", "No such file"), (o.home, "directory"), ("/dev/null", "names no PCR"), ("/dev/zero", "too long"),
                             (o.bag, "prediction")):
        o.reseal(2 if says not in ("No such file", "directory") else 1, "--predict", prediction, says=says)
    o.reseal(2, "--predict", "11=" + "ab" * 32, "--measure", says="exclude")
    o.reseal(2, "extra", says="reseal VAULT")
    check(o.element()["reseal_pending"] is False and o.element()["generation"] == got["generation"], "nothing of that changed anything")
    # other software: exit 8 before the passcode is asked for, no try spent, the sentence unseen; recovery is tested all the same
    o.judged(0)
    before = o.element()
    boot(o.tpm, 1)
    o.judged(8, says="PCR 11 differs")
    check("otter" not in o.text and "recover" in o.text and o.text.count("\n") == 1 and o.text.startswith("holdfast: "), f"one line: {o.text}")
    o.reseal(8)
    o.expect(8, "recovery", "replace", o.vault, "--passcode-fd", "0", "--recovery-file", o.phrase + ".x", lines=["314159"])
    os.mkdir(o.home + "/mnt")
    o.expect(8, "open", o.vault, o.home + "/mnt", "--passcode-fd", "0", lines=["314159"])
    o.expect(8, "open", o.vault, o.home + "/mnt", "--locked")
    now = o.element()
    check(now["software"] == "other" and now["failed"] == before["failed"] == 0, f"status says so: {now}")
    o.expect(0, "status", o.vault, says="OTHER software")
    o.expect(0, "recover", o.vault, "--test", *phrase)
    # a prediction from a file as systemd-measure prints it, and its life
    boot(o.tpm, 0)
    with open(o.home + "/next", "w") as file:
        file.write(f"# the next image\n11:sha256={pcr_after(image(1)).hex().upper()}\n")
    o.reseal(0, "--predict", o.home + "/next", says="until its first unlock")
    old_bag = open(o.bag, "rb").read()
    check(o.element()["reseal_pending"] is True, "pending")
    o.expect(0, "status", o.vault, says="reseal pending")
    o.judged(0)
    o.reseal(0, "--sentence-fd", "0", lines=("314159", "A new sentence"), says="sentence")
    check(o.element()["reseal_pending"] is True, "a new sentence leaves the prediction alone")
    boot(o.tpm, 1)
    check(o.element()["software"] == "predicted", "the next software runs")
    o.judged(3, "271828", says="A new sentence")
    check(o.element()["reseal_pending"] is True, "a wrong passcode settles nothing")
    pin = o.element()["nv_pin_name"]
    o.expect(0, "recovery", "replace", o.vault, "--passcode-fd", "0", "--recovery-file", o.phrase + ".2", lines=["314159"], says="A new sentence")
    got = o.element()
    check(not got["reseal_pending"] and got["nv_pin_name"] != pin and got["software"] == "in-force" and got["failed"] == 0 and indices(o.tpm) == 3, f"settled, P is another: {got}")
    for n, bag in ((0, None), (0, old_bag), (1, old_bag)):
        boot(o.tpm, n)
        kept = open(o.bag, "rb").read()
        open(o.bag, "wb").write(bag or kept)
        code = o.run("passcode", o.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=["314159", "271828"])
        check(code == (7 if bag else 8), f"software {n}, {'old' if bag else 'present'} keybag: exit {code} {o.text}")
        open(o.bag, "wb").write(kept)
    boot(o.tpm, 1)
    check(o.element()["failed"] == 0, "no try was spent by any of it")
    o.judged(0, says="A new sentence")
    # several PCRs in one word, behind one another, and without the sentence
    both = f"7={pcr_after(b'%032d' % 1).hex()},11={pcr_after(image(2)).hex()}"
    o.reseal(0, "--predict", both, "--no-sentence")
    o.reseal(0, "--predict", *both.split(","))
    boot(o.tpm, 2, b"%032d" % 1)
    o.judged(0)
    check("sentence" not in o.text and not o.element()["reseal_pending"], f"settled by a change of passcode, without a sentence: {o.text}")
    # [EL-19] the present one again, a prediction taken back by it
    o.reseal(0, "--predict", "11=" + pcr_after(image(3)).hex())
    o.reseal(0, says="to no other")
    boot(o.tpm, 3, b"%032d" % 1)
    o.judged(8)
    # recovery under software that nobody predicted: measuring goes on, ends, begins
    recover = ("recover", o.vault, "--element", "tpm2", "--tcti", o.tpm.tcti, "--recovery-file", o.phrase + ".2", "--new-passcode-fd", "0")
    o.expect(2, *recover, "--sentence-fd", "0", lines=["577215", "x"])
    o.expect(2, *recover, "--measure", "--no-measure", lines=["577215"])
    o.expect(0, *recover, lines=["577215"])
    got = o.element()
    check(got["measured"] and got["software"] == "in-force" and got["pcrs"]["11"] == pcr_after(image(3)).hex(), f"kept: {got}")
    o.judged(0, "577215")
    o.expect(0, *recover, "--no-measure", lines=["314159"])
    check(not o.element()["measured"], "ended")
    boot(o.tpm, 4)
    o.judged(0)
    o.reseal(2, says="--measure")
    o.reseal(2, "--sentence-fd", "0", lines=("314159", "no place for it"))
    o.expect(0, *recover, "--measure=11,0", "--sentence-fd", "0", lines=["314159", "Back again"], )
    check(set(o.element()["pcrs"]) == {"0", "11"}, "begun anew, with other PCRs")
    o.judged(0, says="Back again")
    o.reseal(0, "--no-measure")
    o.judged(0)
    check("Back again" not in o.text, "a vault that is not measured has no sentence")
    o.reseal(0, "--measure", "--sentence-fd", "0", lines=("314159", "And again"))
    o.judged(0, says="And again")
    o.reseal(0, "--measure=0,4", "--no-sentence")
    o.judged(0)
    # the keybag's flips
    good = open(o.bag, "rb").read()
    for at in range(0, len(good), 7 if LONG else 151):
        open(o.bag, "wb").write(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1:])
        code = o.run("reseal", o.vault, "--passcode-fd", "0", lines=["314159"])
        check(code == 7, f"keybag with bit {at % 8} of byte {at} flipped: exit {code}: {o.text}")
    open(o.bag, "wb").write(good)
    check(o.element()["failed"] == 0, "none of that spent a try")
    o.expect(0, "erase", o.vault, "--yes")
    o.close()


def asked():
    """[EL-21] without --sentence-fd the sentence is asked for on the terminal, seen as it is typed; Enter alone: none. And a terminal is asked after the sentence was shown."""
    import pty, select
    o = Owner()

    def talk(*words, say):
        pid, end = pty.fork()
        if pid == 0:
            os.execve(hf, [hf, *words], o.env)
        seen, at, until = b"", 0, time.monotonic() + 60
        while time.monotonic() < until:
            if say and say[0][0] in seen[at:]:
                at = len(seen)
                os.write(end, say.pop(0)[1].encode() + b"\n")
            if not select.select([end], [], [], 0.1)[0]:
                continue
            try:
                more = os.read(end, 4096)
            except OSError:
                break
            if not more:
                break
            seen += more
        os.close(end)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode(errors="replace")

    for n, sentence in enumerate(("The otter sleeps", "")):
        code, seen = talk("create", o.vault, "--element", "tpm2", "--tcti", o.tpm.tcti, "--kdf", "64,1", "--measure", "--recovery-file", f"{o.phrase}.{n}",
                          say=[(b"New passcode", "314159"), (b"same again", "314159"), (b"sentence of yours", sentence)])
        check(code == 0 and "314159" not in seen and (sentence in seen), f"create on a terminal: {code} {seen}")
        code, seen = talk("passcode", o.vault, say=[(b"Old passcode", "314159"), (b"New passcode", "314159"), (b"same again", "314159")])
        shown, question = seen.find("Your sentence: The otter sleeps"), seen.find("Old passcode")
        check(code == 0 and (0 <= shown < question if sentence else shown < 0 <= question), f"passcode on a terminal: {code} {seen}")
        o.expect(0, "erase", o.vault, "--yes")
        shutil.rmtree(o.vault)
    o.close()


def no_room():
    """[EL-19] when the first unlock can't settle, the owner gets in all the same, and the next one tries again."""
    o = Owner()
    o.create(0, "--measure", "--recovery-file", o.phrase)
    o.reseal(0, "--predict", "11=" + pcr_after(image(1)).hex())
    boot(o.tpm, 1)
    n = 0
    for size in ("1024", "8"):
        while o.tpm.tool("tpm2_nvdefine", f"{0x01500000 + n:#x}", "-C", "o", "-s", size)[0] == 0:
            n += 1
    os.mkdir(o.home + "/mnt")
    if os.path.exists("/dev/fuse"):
        o.expect(0, "open", o.vault, o.home + "/mnt", "--passcode-fd", "0", lines=["314159"])
        o.expect(0, "status", o.vault, says="still stands")
        check(o.element()["reseal_pending"] is True, "still pending")
        o.expect(0, "close", o.vault)
    o.expect(0, "recovery", "replace", o.vault, "--passcode-fd", "0", "--recovery-file", o.phrase + ".2", lines=["314159"])
    check(o.element()["reseal_pending"] is True, "and the phrase can be replaced meanwhile")
    boot(o.tpm, 0)
    o.expect(0, "recovery", "replace", o.vault, "--passcode-fd", "0", "--recovery-file", o.phrase + ".3", lines=["314159"])
    boot(o.tpm, 1)
    for at in range(n):
        o.tpm.tool("tpm2_nvundefine", f"{0x01500000 + at:#x}", "-C", "o")
    o.judged(0)
    check(o.element()["reseal_pending"] is False and indices(o.tpm) == 3, "settled when there is room")
    o.close()


def kills():
    """[EL-18] [EL-19] kill -9 of a random program at a random instant of a reseal or of the first unlock after: the passcode opens, one state stands, nothing is left in the TPM."""
    o = Owner()
    o.create(0, "--measure", "--recovery-file", o.phrase, "--attempts", "1000")
    began = time.monotonic()
    o.reseal(0, "--predict", "11=" + pcr_after(image(1)).hex())
    whole = time.monotonic() - began
    random.seed(5)
    n = killed = both = settled = rounds = 0
    enough, hard = time.monotonic() + (480 if LONG else 20), time.monotonic() + (540 if LONG else 150)  # a loaded machine does fewer, but never too few
    while not (killed >= 5 and both and settled and (rounds >= (200 if LONG else 14) or time.monotonic() > enough)) and time.monotonic() < hard:
        rounds += 1
        pending = o.element().get("reseal_pending")
        if pending and rounds % 2:  # the first unlock under the next software is cut
            n += 1
            boot(o.tpm, n)
            words, lines = ("passcode", o.vault, "--passcode-fd", "0", "--new-passcode-fd", "0"), "314159\n314159\n"
        else:
            words, lines = ("reseal", o.vault, "--passcode-fd", "0", "--predict", "11=" + pcr_after(image(n + 1)).hex()), "314159\n"
        process = subprocess.Popen([hf, *words], env=o.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process.stdin.write(lines.encode())
        process.stdin.close()
        time.sleep(random.random() * whole * 1.3)
        victims = family(o)
        if victims:
            try:
                handle = os.pidfd_open(victims[random.choice(sorted(victims))])
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                os.close(handle)
                killed += 1
            except OSError:
                pass
        process.wait(60)
        for _ in range(200):  # whatever lives on without its parent ends by itself
            if not family(o):
                break
            time.sleep(0.05)
        got = o.element()
        check(got.get("software") in ("in-force", "predicted") and got["pin_state"] == "whole", f"round {rounds}: {got}")
        check(indices(o.tpm) == 3, f"round {rounds}: {indices(o.tpm)} indices")
        both += got.get("reseal_pending", False)
        settled += got.get("software") == "in-force" and words[0] == "passcode"
        check(o.expect(0, "recovery", "replace", o.vault, "--passcode-fd", "0", "--recovery-file", f"{o.phrase}.{rounds}", lines=["314159"]), f"round {rounds}: the passcode opens")
        if not o.element()["reseal_pending"] and n > 0:  # then the software before opens nothing
            boot(o.tpm, n - 1)
            check(o.run("passcode", o.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=["314159", "271828"]) == 8, f"round {rounds}: the software before: {o.text}")
            boot(o.tpm, n)
    check(killed >= 5 and both and settled, f"{killed} killed in {rounds} rounds, {both} pending, {settled} settled: too few to prove anything")
    print(f"kills {killed} in {rounds} rounds; pending after {both}, settled {settled}")
    o.close()


try:
    for part in (other_software, by_hand, next_software, malformed, cuts, commands_line, asked, no_room, kills):
        began = time.monotonic()
        part()
        print(f"  {part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
finally:
    shutil.rmtree(work, ignore_errors=True)
close()
