#!/usr/bin/env python3
"""The duress passcode with a real swtpm, all programs real: asked after the first refused, erases, looks like a wrong one; what it gives a guesser. duress.py BUILD

Proves [DU-1] [DU-2] [DU-3] [DU-4] [DU-5] [DU-6] [DU-9]."""
import os, pty, select, shutil, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *
from person import *

build = sys.argv[1]
work = tempfile.mkdtemp(prefix="hf-duress.")


def sequence(log):
    """The commands of a bus log, by code, with each answer's code."""
    seen, at = [], 0
    while at + 10 <= len(log):
        length = int.from_bytes(log[at + 2:at + 6], "big")
        seen.append(int.from_bytes(log[at + 6:at + 10], "big"))
        at += length
    return list(zip(seen[::2], seen[1::2]))


def at_the_element():
    """[DU-3] Q is asked after P refused and never before; it counts, beside P and not instead of it; the real one wins."""
    tpm = Swtpm()
    relay = Relay(tpm)
    right, other = os.urandom(32), os.urandom(32)
    e = Element(build, tempfile.mkdtemp(dir=work), os.urandom(16), relay.tcti)
    check(e.hello(True) == OK, "hello")
    result, secret, device = e.provision(right, policy(4), second=other)
    check(result == OK and indices(tpm) == WHOLE, f"provision: {e.text}")
    public = e.status()["public"]
    check(e.decoy()[0] == REFUSED, "no decoy without a try that Q took")
    del relay.log[:]
    check(e.release(right, other) == (OK, secret) and not e.duress, "equal in both: the real one wins")
    asked = [code for code, _ in sequence(bytes(relay.log)) if code == 0x151]
    check(len(asked) == 1, f"and Q is not asked: {len(asked)} PolicySecret")
    del relay.log[:]
    check(e.release(os.urandom(32))[0] == WRONG and not e.duress, "a wrong one")
    answers = [answer for code, answer in sequence(bytes(relay.log)) if code == 0x151]
    check(len(answers) == 2 and all(answer != 0 for answer in answers), f"P refuses, then Q: {answers}")
    check(count_of(tpm, public["nv_pin"]) == (1, 4) and count_of(tpm, public["nv_second"]) == (1, 4), "each has counted it once")
    check(e.status()["stale"], "Q is to be made anew")
    check(e.release(other, other)[0] == WRONG and e.duress, "Q takes its own, whatever it is for P")
    check(count_of(tpm, public["nv_pin"])[0] == 2, "and P has counted that too")
    check(e.release(right)[0] == OK, "without a decoy the vault is whole")
    check(e.decoy()[0] == REFUSED, "and the try is over")
    check(e.refresh(os.urandom(32)) == (OK, True) and e.refresh(other) == (OK, False) and count_of(tpm, public["nv_second"]) == (0, 4), "its own authorisation makes it count from 0")
    check(e.again() == OK and e.refresh(other)[0] == REFUSED and e.release(right)[0] == OK, "but not before a release")

    # an attacker at the TPM guesses at Q alone: as many tries as at P, and nothing of the vault is sealed to it
    for n in range(4):
        done = guess(tpm, public["nv_second"], os.urandom(32))
        check(done != 0, "a guess at Q")
    check(count_of(tpm, public["nv_second"])[0] == 4 and guess(tpm, public["nv_second"], other) != 0, "the fourth was the last: Q says nothing any more, to its own passcode either")
    check(count_of(tpm, public["nv_pin"])[0] == 0 and e.release(right) == (OK, secret), "P neither paid for it nor gained by it")
    check(e.release(other, other)[0] == WRONG and not e.duress, "a Q that was spent erases nothing")
    check(e.release(right) == (OK, secret) and e.status()["stale"], "until it is made anew")
    result, slot, secret, blob = e.prepare(right, second=other)
    e.blob = blob
    check(result == OK and e.commit(slot) == OK and not e.status()["stale"] and indices(tpm) == WHOLE, f"made anew: {e.text}")
    public = e.status()["public"]
    check(tpm.tool("tpm2_nvundefine", public["nv_second"], "-C", "o")[0] == 0 and e.again() == OK and e.status()["stale"], "one that is destroyed shows as stale")
    check(e.release(other, other)[0] == WRONG and not e.duress and e.release(right) == (OK, secret), "and keeps nobody out")
    # [EL-3] a Q of the attacker's making sees nothing of a passcode
    check(tpm.tool("tpm2_nvdefine", public["nv_second"], "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite|no_da|nt=pinfail", "-p", "hex:" + other.hex())[0] == 0, "another Q")
    check(tpm.tool("tpm2_nvwrite", public["nv_second"], "-C", "o", "-i", "-", data=(0).to_bytes(4, "big") + (100).to_bytes(4, "big"))[0] == 0, "with a limit of the attacker's")
    check(e.again() == OK and e.release(other, other)[0] == WRONG and not e.duress, "is not asked")
    check(count_of(tpm, public["nv_second"]) == (0, 100), "and has seen no try")
    check(e.release(right)[0] == OK and e.refresh(other) == (OK, True), "nor is it taken for the vault's own")
    e.close()
    relay.close()
    tpm.close()


def guess(tpm, handle, auth):
    """PolicySecret by hand, as any user of the TPM can: 0 when the TPM takes it."""
    tpm.tool("tpm2_startauthsession", "--policy-session", "-S", "g.ctx")
    done = tpm.tool("tpm2_policysecret", "-S", "g.ctx", "-c", handle, "hex:" + auth.hex())[0]
    tpm.tool("tpm2_flushcontext", "g.ctx")
    return done


def differs(before, after, path=""):
    """The paths at which two JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [p for key in sorted({*before, *after}) for p in differs(before.get(key), after.get(key), f"{path}.{key}")]
    return [] if before == after else [path]


def looks_wrong():
    """[DU-1] [DU-6] On a closed vault: terminal, exit status, status, files and the TPM's indices are those of a wrong passcode."""
    control, erased = Person(build, work, "--attempts", "5", duress=False, relayed=True), Person(build, work, "--attempts", "5", relayed=True)
    control.expect(0, "duress", control.vault, "--remove", "--passcode-fd", "0", lines=(REAL,))  # as whoever has changed anything since the vault was made
    shots = {}
    for who, passcode in ((control, WRONG_ONE), (erased, DURESS)):
        before, size = who.status(), os.path.getsize(who.bag)
        files = sorted(os.listdir(who.vault + "/.holdfast"))
        del who.relay.log[:]
        who.judged(3, passcode)
        said, log = who.text, sequence(bytes(who.relay.log))
        check(os.path.getsize(who.bag) == size and sorted(os.listdir(who.vault + "/.holdfast")) == files, "the keybag is as long as it was, and no file came or went")
        shots[who] = said.replace(who.vault, "VAULT"), differs(before, who.status()), log
        who.judged(3, passcode)
        check("as before" in who.text or "wrong" in who.text, who.text)
    check(shots[control][0] == shots[erased][0], f"said otherwise: {shots[control][0]!r} {shots[erased][0]!r}")
    told = {path.split(".")[-1] for path in set(shots[erased][1]) - set(shots[control][1])}
    check(told <= {"gate_value", "gate_key", "nv_pin_name", "sealed_public", "sealed_device_public", "keybag_sha256"}, f"the status differs more than the Names do: {told}")
    check(erased.status()["element"]["failed"] == control.status()["element"]["failed"] == 2, "the count goes on where it was")
    check(erased.status()["state"] == control.status()["state"] == "closed" and indices(erased.tpm) == indices(control.tpm) == WHOLE, "no index more or less")
    one, other = shots[control][2], shots[erased][2]
    ends = [next(i for i, (code, answer) in enumerate(log) if code == 0x151 and i > first) for log in (one, other) for first in [next(i for i, (code, _) in enumerate(log) if code == 0x151)]]
    check([code for code, _ in one[:ends[0]]] == [code for code, _ in other[:ends[1]]] and one[ends[0]][1] != 0 and other[ends[1]][1] == 0, "the bus shows nothing else up to Q's own verdict")
    erased.nothing_opens("erased")
    for n in range(10):  # and the limit comes as it would
        code = erased.run("passcode", erased.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=(f"00000{n}", REAL))
        if code == 5:
            break
    check(code == 5 and n == 1, f"the limit after {n + 4} tries: exit {code} {erased.text}")
    check("the last" in erased.text and erased.status()["element"]["finished"], erased.text)
    control.judged(0, REAL)
    control.close()
    erased.close()


def copies():
    """[DU-6] What was copied before is as useless as after an erase: the old keybag with the old state; the phrase alone opens an older copy of the keybag, as THREATS says."""
    p = Person(build, work)
    old = tempfile.mkdtemp(dir=work)
    shutil.copytree(p.vault + "/.holdfast", old + "/bag")
    shutil.copytree(p.home + "/state", old + "/state")
    p.judged(3, DURESS)
    shutil.rmtree(p.vault + "/.holdfast")
    shutil.copytree(old + "/bag", p.vault + "/.holdfast")
    shutil.rmtree(p.home + "/state")
    shutil.copytree(old + "/state", p.home + "/state")
    p.judged(7, REAL)
    p.judged(7, DURESS)
    p.expect(0, "recover", p.vault, "--test", "--recovery-file", p.phrase)
    p.close()


def setting():
    """[DU-1] [DU-2] [DU-5] [DU-9] Set and taken away by the passcode alone; kept through changes; never near the passcode."""
    p = Person(build, work, duress=False)
    p.set(3, passcode=WRONG_ONE)
    check(p.status()["element"]["failed"] == 1, "a wrong passcode at `duress` is a try")
    for near in (REAL, "314158", "3141599", "341159"):
        p.set(8, duress=near, says="one slip")
    p.set(8, duress="31415", says="")
    p.set(2, duress="")
    p.set(2, duress="9" * 2000)
    p.expect(2, "duress", p.vault, "--remove", "extra", lines=(REAL,))
    p.expect(2, "duress", lines=(REAL,))
    p.judged(0, REAL)
    p.set(0, duress="271828")
    p.set(0, duress="ünïcödé")
    size = os.path.getsize(p.bag)
    p.expect(0, "duress", p.vault, "--remove", "--passcode-fd", "0", lines=(REAL,))
    said = p.text
    check(os.path.getsize(p.bag) == size, "the keybag is as long with one as without")
    p.expect(0, "duress", p.vault, "--remove", "--passcode-fd", "0", lines=(REAL,))
    check(p.text == said, "taken away when there is none: the same answer")
    p.judged(3, "ünïcödé")
    p.judged(0, REAL)  # what was taken away erases nothing

    # kept through a change of passcode, a new phrase, settings; the real one wins where they become equal
    p.set(0)
    p.expect(0, "passcode", p.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=(REAL, DURESS))
    p.judged(0, DURESS)
    p.judged(3, REAL)
    p.expect(0, "passcode", p.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=(DURESS, REAL))
    os.unlink(p.phrase)
    p.expect(0, "recovery", "replace", p.vault, "--passcode-fd", "0", "--recovery-file", p.phrase, lines=(REAL,))
    p.expect(0, "settings", p.vault, "--grace", "0", "--passcode-fd", "0", lines=(REAL,))
    p.open()
    p.expect(0, "rotate", p.vault)
    p.expect(0, "close", p.vault)
    p.judged(3, DURESS)
    p.nothing_opens("after all that it still erases")
    p.close()

    # a recovery makes everything anew, and has none
    p = Person(build, work)
    p.expect(0, "recover", p.vault, "--element", "tpm2", "--tcti", p.relay.tcti, "--recovery-file", p.phrase, "--new-passcode-fd", "0", lines=(REAL,))
    p.judged(3, DURESS)
    p.judged(0, REAL)
    # with the software element there is none to set
    p.expect(0, "recover", p.vault, "--element", "software", "--recovery-file", p.phrase, "--new-passcode-fd", "0", lines=("correct horse battery staple otter",))
    p.set(2, passcode="correct horse battery staple otter", says="only a TPM")
    p.close()


def renewed():
    """[DU-4] Q's own count never tells and never locks out: it is as new after each unlock, and not rewritten when nothing was counted."""
    p = Person(build, work)
    first, bag = p.element(), open(p.bag, "rb").read()
    p.open()
    p.expect(0, "close", p.vault)
    for round in range(2):
        for n in range(2):
            p.judged(3, f"55555{n}")
        got = p.element()
        check(count_of(p.tpm, got["nv_second"]) == (2, 10) == count_of(p.tpm, got["nv_pin"]), "both have counted two")
        p.open()
        p.expect(0, "close", p.vault)
        after = p.element()
        check(after["nv_second"] == got["nv_second"] and after["nv_pin_name"] == first["nv_pin_name"] and open(p.bag, "rb").read() == bag and count_of(p.tpm, after["nv_second"]) == (0, 10) and indices(p.tpm) == WHOLE, "as new after the unlock, and the keybag is the one it was: older copies of it stay good")
    check(p.tpm.tool("tpm2_nvundefine", p.element()["nv_second"], "-C", "o")[0] == 0, "another program destroys Q")
    p.judged(3, DURESS)
    p.open()
    check(open(p.bag, "rb").read() != bag, "the indices are others, and so is the keybag")
    check(p.tpm.tool("tpm2_nvreadpublic", p.element()["nv_second"])[0] == 0, "the unlock makes it again")
    p.expect(0, "close", p.vault)
    p.judged(3, DURESS)
    p.nothing_opens("which erases")
    p.close()


def on_a_terminal():
    """[IF-2] typed twice without echo; two that differ change nothing; what is typed at the wrong prompt is a try like any other."""
    p = Person(build, work, duress=False)

    def typed(*lines):
        pid, person = pty.fork()
        if pid == 0:
            os.execve(p.hf, [p.hf, "duress", p.vault], p.env)
        shown, left = "", list(lines)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not select.select([person], [], [], 0.1)[0]:
                continue
            try:
                shown += os.read(person, 65536).decode(errors="replace")
            except OSError:
                break
            if left and shown.rstrip(" ").endswith(":"):
                os.write(person, left.pop(0).encode() + b"\n")
                shown += "\n"
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(person)
        check(DURESS not in shown and REAL not in shown, f"echoed: {shown!r}")
        return code, shown

    code, shown = typed(REAL, DURESS, "271829")
    check(code == 2 and "not the same" in shown, f"two that differ: {code} {shown!r}")
    p.judged(3, DURESS)
    p.judged(0, REAL)
    code, shown = typed(REAL, DURESS, DURESS)
    check(code == 0 and "destroys all keys" in shown, f"set on a terminal: {code} {shown!r}")
    code, shown = typed(DURESS, "161803", "161803")
    check(code == 3 and "wrong passcode" in shown, f"the duress passcode at the first question: {code} {shown!r}")
    p.nothing_opens("it erased")
    p.close()


def measured():
    """A measured vault keeps its sentence and its seals, and under other software neither is asked."""
    from measured import boot
    p = Person(build, work, "--measure=7,11")
    boot(p.tpm, 5)
    p.judged(8, DURESS)
    boot(p.tpm, 0)
    p.judged(0, REAL)
    p.judged(3, DURESS)
    got = p.element()
    check(got["measured"] and got["software"] == "in-force" and got["failed"] == 1, f"measured: {got}")
    p.nothing_opens("measured")
    p.close()


run_parts((at_the_element, looks_wrong, setting, renewed, copies, on_a_terminal, measured), work)
