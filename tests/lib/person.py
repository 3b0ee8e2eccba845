"""For tests of the duress passcode: an owner with a vault of the TPM element and a duress passcode."""
import json, os, subprocess, time

from element import Relay, check
from measured import Owner, family

REAL, DURESS, WRONG_ONE = "314159", "271828", "141421"


def count_of(tpm, handle):
    """pinCount and pinLimit as anybody reads them."""
    out = os.path.join(tpm.folder, "pin")
    check(tpm.tool("tpm2_nvread", handle, "-C", "o", "-s", "8", "-o", out)[0] == 0, f"tpm2_nvread {handle}")
    data = open(out, "rb").read()
    return int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")


class Person(Owner):
    """One with a vault and a duress passcode."""

    def __init__(self, build, folder, *more, duress=True, relayed=False):
        super().__init__(build, folder)
        self.relay = Relay(self.tpm) if relayed else self.tpm
        self.mnt = os.path.join(self.home, "mnt")
        os.mkdir(self.mnt)
        self.expect(0, "create", self.vault, "--element", "tpm2", "--tcti", self.relay.tcti, "--kdf", "64,1", "--delays", "0", "--recovery-file", self.phrase, "--passcode-fd", "0", *more, lines=(REAL,))
        if duress:
            self.set(0)

    def set(self, code, passcode=REAL, duress=DURESS, says=""):
        return self.expect(code, "duress", self.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=(passcode, duress), says=says)

    def status(self):
        return json.loads(self.text) if self.expect(0, "status", self.vault, "--json") else {}

    def unlock(self, passcode, code):
        return self.expect(code, "unlock", self.vault, "--passcode-fd", "0", lines=(passcode,))

    def open(self, code=0, passcode=REAL, *more):
        return self.expect(code, "open", self.vault, self.mnt, "--passcode-fd", "0", *more, lines=(passcode,))

    def nothing_opens(self, what):
        self.judged(3, REAL)
        check(self.run("recover", self.vault, "--test", "--recovery-file", self.phrase) in (3, 5), f"{what}: the phrase: {self.text}")

    def close(self):
        self.run("close", self.vault, "--force")
        for _ in range(100):
            if not family(self):
                break
            time.sleep(0.05)
        subprocess.run(["umount", "-l", self.mnt], capture_output=True)
        if self.relay is not self.tpm:
            self.relay.close()
        super().close()
