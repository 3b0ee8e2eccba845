"""For tests of measured software: an emulated TPM's boots, what they measure, and an owner at the command line of a machine of their own."""
import hashlib, json, os, subprocess, tempfile

from element import Swtpm, check

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


class Owner:
    """An owner at the command line, with a machine of their own."""

    def __init__(self, build, folder):
        self.hf = os.path.join(os.path.abspath(build), "src", "holdfast")
        self.home = tempfile.mkdtemp(dir=folder)
        self.env = {"PATH": "/usr/bin:/bin", "HOME": self.home, "XDG_STATE_HOME": self.home + "/state", "XDG_RUNTIME_DIR": self.home + "/run"}
        for folder in ("state", "run"):
            os.mkdir(os.path.join(self.home, folder), 0o700)
        self.vault, self.phrase = self.home + "/vault", self.home + "/phrase"
        self.bag = self.vault + "/.holdfast/keybag"
        self.tpm, self.text = machine(), ""

    def run(self, *words, lines=()):
        done = subprocess.run([self.hf, *words], env=self.env, input="".join(line + "\n" for line in lines).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
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
