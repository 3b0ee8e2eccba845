#!/usr/bin/env python3
"""Measured software: every program, against a real swtpm whose PCRs tpm2_pcrextend changes. measure_verbs.py BUILD; HF_LONG=1: 200 kills"""
import os, random, shutil, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *
from measured import *

build = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
work = tempfile.mkdtemp(prefix="hf-e2e-measure.")


def commands_line():
    """The verbs: what is refused before anything is made, the sentence, prediction from words and files, status, recovery."""
    o = Owner(build, work)
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
    check(not got["reseal_pending"] and got["nv_pin_name"] != pin and got["software"] == "in-force" and got["failed"] == 0 and indices(o.tpm) == WHOLE, f"settled, P is another: {got}")
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
    o = Owner(build, work)

    def talk(*words, say):
        pid, end = pty.fork()
        if pid == 0:
            os.execve(o.hf, [o.hf, *words], o.env)
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
    o = Owner(build, work)
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
    check(o.element()["reseal_pending"] is False and indices(o.tpm) == WHOLE, "settled when there is room")
    o.close()


def kills():
    """[EL-18] [EL-19] kill -9 of a random program at a random instant of a reseal or of the first unlock after: the passcode opens, one state stands, nothing is left in the TPM."""
    o = Owner(build, work)
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
        process = subprocess.Popen([o.hf, *words], env=o.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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
        check(indices(o.tpm) == WHOLE, f"round {rounds}: {indices(o.tpm)} indices")
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


root = os.geteuid() == 0
if not root:
    skip("kills: a plain user cannot tell which programs are the vault's")
run_parts((commands_line, asked, no_room, *([kills] if root else [])), work)
