#!/usr/bin/env python3
"""Measured software: the element against a real swtpm whose PCRs tpm2_pcrextend changes. element_measure.py BUILD; HF_LONG=1: every flip"""
import os, random, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "attacks", "element"))
from element import *
from measured import *

build = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
work = tempfile.mkdtemp(prefix="hf-e2e-measure.")
MANY, MASK = 1_000_000, 1 << 7 | 1 << 11
KEEP_SEALS, PRESENT, PREDICTED = range(3)
UNMEASURED, IN_FORCE, NEXT, NONE = range(4)
POLICY_PCR, POLICY_SECRET, PCR_READ = 0x17F, 0x151, 0x17E


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
    e, right, secret, device = fresh(build, work, tpm, policy(10, measure=MASK), relay.tcti)
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
    t.e, t.right, t.secret, t.device = fresh(build, work, tpm, policy(10, measure=MASK), t.relay.tcti)
    t.public = t.e.status()["public"]
    t.pin = t.public["nv_pin"]
    check(t.storage_key(), "the storage key is no secret")
    secret_of_p = ("tpm2_policysecret", "-c", t.pin, "hex:" + t.right.hex())

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
    e, right, secret, device = fresh(build, work, tpm, policy(MANY, measure=MASK))
    e.again()
    check(e.prepare(right, PREDICTED, predicted={11: pcr_after(image(1))})[0] != OK, "not before a RELEASE of this process")
    check(e.release(right) == (OK, secret), "released")
    for predicted, word in (({4: image(1)}, "not sealed to PCR 4"), ({11: pcr_after(image(0))}, "already"), ({7: pcr_after(FIRMWARE), 11: pcr_after(image(0))}, "already")):
        result = e.prepare(right, PREDICTED, predicted=predicted)[0]
        check(result == USAGE and word in e.text, f"prediction {sorted(predicted)}: {result} {e.text}")
    check(indices(tpm) == WHOLE and e.release(right) == (OK, secret), "and nothing of it stays")
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
    check(last and got["fit"] == IN_FORCE and not got["predicted"] and indices(tpm) == WHOLE, f"settled: {e.text} {got}")
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
        check(result == OK and e.status()["pcrs"] == mask and e.release(again) == (OK, secret) and indices(tpm) == WHOLE, f"FRESH with {measure:#x}: {e.text}")
    e.close()
    tpm.close()


def bring_up(tpm, e, blob, cutter, n):
    """After a cut: the TPM (and what it measured) comes back, the element starts, the enclave finishes what was to be done."""
    cutter.power_on()
    if cutter.both:
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
    """[EL-18] [EL-19] a power cut before every command of a reseal and of what the first unlock does: one working state, five indices."""
    tpm = machine()
    cutter = Cutter(tpm)
    relay = Relay(tpm, cutter)
    e, right, secret, device = fresh(build, work, tpm, policy(MANY, measure=MASK), relay.tcti)
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
                check(indices(tpm) == WHOLE, f"{kind}: cut {at} in {phase}: {indices(tpm)} indices")
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
                check(e.hello() == OK and e.commit(int.from_bytes(e.blob[4:8], "little")) == OK and indices(tpm) == WHOLE, f"prepared and dropped: {e.text}")
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
    e, right, secret, device = fresh(build, work, tpm, policy(10, measure=MASK))
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
    whole = right + NO_SECOND + struct.pack("<BI", PREDICTED, KEEP) + values({11: image(1)})
    for body in (whole[:64], whole[:65], whole[:-1], whole + b"\0", right + NO_SECOND + struct.pack("<BIH", 3, KEEP, 0), right + NO_SECOND + struct.pack("<BIH", PREDICTED, KEEP, 0),
                 right + NO_SECOND + struct.pack("<BIH", KEEP_SEALS, 1, 0), right + NO_SECOND + struct.pack("<BIH", PRESENT, KEEP + 1, 0), right + NO_SECOND + struct.pack("<BI", PRESENT, KEEP) + values({7: image(1)}),
                 right + NO_SECOND + struct.pack("<BIH", PREDICTED, KEEP, 0xffff)):
        check(e.ask(PREPARE, body)[0] == PROTOCOL, f"a seal that is none ({len(body)} bytes): {e.text}")
    check(e.release(right) == (OK, secret) and indices(tpm) == WHOLE, "nothing was changed")
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


run_parts((other_software, by_hand, next_software, malformed, cuts), work)
