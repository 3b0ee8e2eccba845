#!/usr/bin/env python3
"""A whole vault put back, its head included, is noticed by the TPM's counter: real swtpm, real mounts. Nothing else is called old: kills at any instant, copies, a TPM that
does not answer, recovery. freshness_tpm2.py BUILD (HF_LONG=1: more kills)

Proves [FR-12] [FR-13] [FR-14]."""
import errno, json, os, random, shutil, signal, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *
from measured import Owner, family
from verdict import mounted

build = sys.argv[1]
work = tempfile.mkdtemp(prefix="hf-fresh-tpm2.")
LONG = bool(os.environ.get("HF_LONG"))
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))
PIN = "314159"
INCREMENT, REFUSED_RC = 0x134, 0x922  # TPM_RC_RETRY


class Vault(Owner):
    def __init__(self, relayed=False):
        super().__init__(build, work)
        self.relay = Relay(self.tpm) if relayed else self.tpm
        self.mnt = os.path.join(self.home, "mnt")
        os.mkdir(self.mnt)
        self.expect(0, "create", self.vault, "--element", "tpm2", "--tcti", self.relay.tcti, "--kdf", "64,1", "--delays", "0", "--grace", "0", "--recovery-file", self.phrase, "--passcode-fd", "0",
                    lines=(PIN,))

    def open(self, vault=None, *more):
        return self.expect(0, "open", vault or self.vault, self.mnt, "--passcode-fd", "0", *more, lines=(PIN,))

    def shut(self, vault=None):
        return self.expect(0, "close", vault or self.vault)

    def freshness(self, vault=None):
        return json.loads(self.text)["freshness"] if self.expect(0, "status", vault or self.vault, "--json") else None

    def steps(self):
        """H's value."""
        out = os.path.join(self.home, "h")
        check(self.tpm.tool("tpm2_nvread", self.element()["nv_head"], "-C", "o", "-s", "8", "-o", out)[0] == 0, "tpm2_nvread")
        return int.from_bytes(open(out, "rb").read(), "big")

    def write(self, name, data):
        with open(os.path.join(self.mnt, name), "wb") as f:
            f.write(data)

    def read(self, name):
        with open(os.path.join(self.mnt, name), "rb") as f:
            return f.read()

    def keep(self, name):
        """All that a thief or a backup has: the vault and the element's state."""
        where = os.path.join(self.home, name)
        os.mkdir(where)
        check(os.system(f"cp -a '{self.vault}' '{where}/vault' && cp -a '{self.home}/state' '{where}/state'") == 0, "cp")
        return where

    def put_back(self, where):
        shutil.rmtree(self.vault)
        shutil.rmtree(self.home + "/state")
        check(os.system(f"cp -a '{where}/vault' '{self.vault}' && cp -a '{where}/state' '{self.home}/state'") == 0, "cp")

    def kill(self):
        for pid in family(self).values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for _ in range(200):
            if not family(self):
                break
            time.sleep(0.02)
        while mounted(self.mnt):
            if subprocess.run(["umount", "-l", self.mnt], capture_output=True).returncode:
                subprocess.run(["fusermount3", "-uz", self.mnt], capture_output=True)
            time.sleep(0.02)

    def finish(self):
        self.run("close", self.vault, "--force")
        for _ in range(100):
            if not family(self):
                break
            time.sleep(0.05)
        self.kill()
        if self.relay is not self.tpm:
            self.relay.close()
        self.close()


def fails_with(number, function, *args):
    try:
        function(*args)
    except OSError as e:
        return e.errno == number
    return False


def put_back():
    """[FR-12] Read-only, and readable; by the passcode alone it is taken for the newest; a restored backup goes the same way."""
    v = Vault()
    v.open()
    v.write("a", b"first" * 100)
    v.shut()
    old = v.keep("old")
    before = v.steps()
    v.open()
    check(v.freshness() == "sound", "opened in order")
    v.write("a", b"second" * 100)
    v.shut()
    check(v.steps() == before + 1, "one step a session [FR-14]")
    v.open()
    check(v.freshness() == "sound" and v.read("a") == b"second" * 100, "and again")
    v.shut()
    v.put_back(old)
    for more in ((), ("--locked",)):
        if more:
            v.expect(0, "open", v.vault, v.mnt, "--locked")
            v.expect(0, "unlock", v.vault, "--passcode-fd", "0", lines=(PIN,))
        else:
            v.open()
            check("older than the TPM counts" in v.text and "accept" in v.text, f"said at the open: {v.text!r}")
        check(v.freshness() == "older", f"put back as a whole: {v.freshness()}")
        check(v.read("a") == b"first" * 100, "it stays readable")
        check(fails_with(errno.EROFS, v.write, "a", b"x") and fails_with(errno.EROFS, os.mkdir, v.mnt + "/d"), "and read-only")
        v.shut()
    v.open()
    count = v.steps()
    v.expect(3, "accept", v.vault, "--all", "--passcode-fd", "0", lines=("000000",))
    check(v.freshness() == "older", "a wrong passcode accepts nothing")
    v.expect(0, "accept", v.vault, "--all", "--passcode-fd", "0", lines=(PIN,))
    check(v.freshness() == "sound" and v.steps() == count + 1, "accepted")
    v.write("a", b"third")
    v.shut()
    v.open()
    check(v.freshness() == "sound" and v.read("a") == b"third", "and for good")
    v.expect(0, "accept", v.vault, "--list")
    v.shut()
    v.put_back(old)
    v.open()
    check(v.freshness() == "older", "the same copy again")
    v.kill()
    v.open()
    check(v.freshness() == "older", "a stop without a close accepts nothing")
    v.finish()


def copies():
    """A copy that nobody changed beside the true one is as good; where both were changed, one is older. What lies within a session is told from then on."""
    v = Vault()
    v.open()
    v.write("a", b"first")
    v.shut()
    twin = v.home + "/twin"
    check(os.system(f"cp -a '{v.vault}' '{twin}'") == 0, "cp")
    v.open(twin)
    check(v.freshness(twin) == "sound", "a foreign copy, opened in place of the true one")
    v.write("a", b"in the copy")
    v.shut(twin)
    v.open()
    check(v.freshness() == "older" and v.read("a") == b"first", "the true one is then the older")
    v.expect(0, "accept", v.vault, "--all", "--passcode-fd", "0", lines=(PIN,))
    v.write("a", b"second")
    v.expect(0, "lock", v.vault, "--now")
    v.expect(0, "unlock", v.vault, "--passcode-fd", "0", lines=(PIN,))
    middle = v.keep("middle")
    v.write("a", b"third")
    os.sync()
    v.kill()
    v.open()
    check(v.freshness() == "sound" and v.read("a") in (b"second", b"third", b""), "a stop without a close is no older head")
    v.shut()
    v.put_back(middle)
    v.open()
    check(v.freshness() == "older", "a copy from the middle of a session that ended without a close")
    v.finish()


def counter_gone():
    """[FR-13] Another user of the TPM destroys H, or puts an index of its own there: read-only, nothing lost; `accept` makes it anew."""
    v = Vault()
    v.open()
    v.write("a", b"first")
    v.shut()
    h = v.element()["nv_head"]
    check(v.tpm.tool("tpm2_nvundefine", h, "-C", "o")[0] == 0, "tpm2_nvundefine")
    v.open()
    check("counter of .holdfast/head is gone" in v.text and v.freshness() == "older" and v.read("a") == b"first", f"H is gone: {v.text}")
    v.expect(0, "accept", v.vault, "--all", "--passcode-fd", "0", lines=(PIN,))
    check(v.freshness() == "sound" and v.element()["nv_head"] == h and v.steps() > 0, "made anew at its handle")
    v.write("a", b"second")
    v.shut()
    v.open()
    check(v.freshness() == "sound", "and counts on")
    v.shut()
    check(v.tpm.tool("tpm2_nvundefine", h, "-C", "o")[0] == 0 and v.tpm.tool("tpm2_nvdefine", h, "-C", "o", "-s", "8")[0] == 0, "another index there")
    v.open()
    check(v.freshness() == "older" and v.read("a") == b"second", "an index of somebody else's is not believed")
    check(v.run("accept", v.vault, "--all", "--passcode-fd", "0", lines=(PIN,)) != 0, f"and not destroyed for it: {v.text}")
    check(v.tpm.tool("tpm2_nvreadpublic", h)[0] == 0, "it is still there")
    check(v.tpm.tool("tpm2_nvundefine", h, "-C", "o")[0] == 0, "its owner takes it away")
    v.expect(0, "accept", v.vault, "--all", "--passcode-fd", "0", lines=(PIN,))
    v.shut()
    v.open()
    check(v.freshness() == "sound", "free again, and counted")
    v.shut()
    v.expect(0, "recover", v.vault, "--element", "tpm2", "--tcti", v.relay.tcti, "--recovery-file", v.phrase, "--new-passcode-fd", "0", lines=(PIN,))
    v.open()
    check(v.freshness() == "sound", "a recovery has a counter of its own")
    v.finish()


def steps_cut():
    """[FR-13] [FR-14] A TPM that refuses the step, or is gone: the close goes on, and the next open catches up. How often H is stepped."""
    v = Vault(True)
    v.open()
    v.write("a", b"first")
    steps = v.steps()
    v.relay.answer = lambda command: refusal(REFUSED_RC) if command_code(command) == INCREMENT else None
    v.shut()
    v.relay.answer = None
    check(v.steps() == steps, "not stepped")
    v.open()
    check(v.freshness() == "sound" and v.steps() == steps + 1, "a head that is one ahead is the newest, and H follows")
    v.tpm.stop()
    code = v.run("close", v.vault)
    check(code == 0, f"a close without a TPM: {v.text}")
    v.tpm.start()
    v.open()
    check(v.freshness() == "sound", "is no older head")
    steps = v.steps()
    for _ in range(4):
        v.expect(0, "lock", v.vault, "--now")
        v.expect(0, "unlock", v.vault, "--passcode-fd", "0", lines=(PIN,))
    check(v.steps() == steps, "unlocks within an hour step nothing")
    v.shut()
    check(v.steps() == steps + 1, "the close steps once")
    v.env["HF_TEST_HEAD_MS"] = "0"
    v.open()
    for _ in range(2):
        v.expect(0, "lock", v.vault, "--now")
        v.expect(0, "unlock", v.vault, "--passcode-fd", "0", lines=(PIN,))
    check(v.steps() == steps + 3, "and an unlock once the hour is over")
    v.finish()


def killed():
    """kill -9 of all programs, or of these and the TPM, at any instant of open, unlock and close: never called old."""
    rng = random.Random(SEED)
    v = Vault()
    v.env["HF_TEST_HEAD_MS"] = "0"
    v.open()
    v.write("a", b"0")
    v.shut()
    for n in range(40 if LONG else 6):
        words, lines = ("open", v.vault, v.mnt, "--passcode-fd", "0"), PIN
        if n % 3:
            v.open()
            v.write("a", b"%d" % n)
            words, lines = (("close", v.vault), "") if n % 3 == 1 else (("unlock", v.vault, "--passcode-fd", "0"), PIN)
            if n % 3 == 2:
                v.expect(0, "lock", v.vault, "--now")
        child = subprocess.Popen([v.hf, *words], env=v.env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        child.stdin.write(lines.encode() + b"\n")
        child.stdin.close()
        time.sleep(rng.random() * (0.4 if n % 3 == 1 else 1.2))
        v.kill()
        if n % 2:
            v.tpm.restart()
        child.wait(30)
        v.kill()
        v.open()
        check(v.freshness() == "sound" and v.read("a").isdigit(), f"kill {n} ({words[0]}): {v.freshness()}")
        v.shut()
    print(f"kills: HF_SEED={SEED}")
    v.finish()


def software():
    """What is not prevented: with the software element a whole vault with the element's state put back is not noticed, as THREATS says."""
    v = Vault()
    v.expect(0, "recover", v.vault, "--element", "software", "--recovery-file", v.phrase, "--new-passcode-fd", "0", lines=("correct horse battery staple otter",))
    globals()["PIN"] = "correct horse battery staple otter"
    try:
        v.open()
        v.write("a", b"first")
        v.shut()
        old = v.keep("old")
        v.open()
        v.write("a", b"second")
        v.shut()
        v.put_back(old)
        v.open()
        check(v.freshness() == "sound" and v.read("a") == b"first", "software: THREATS lists what goes unnoticed")
        v.finish()
    finally:
        globals()["PIN"] = "314159"


run_parts((put_back, copies, counter_gone, steps_cut, killed, software), work)
