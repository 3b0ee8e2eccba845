#!/usr/bin/env python3
"""An older keybag put back; every byte of the public header changed: refused (exit 7) with no try spent, though the passcode is right."""
import subprocess
from attack import *
from keybag import crc32c

hf = os.path.join(os.path.abspath(build), "src", "holdfast")
tpm = Swtpm()
work = tempfile.mkdtemp(prefix="hf-old.")
env = {"PATH": "/usr/bin:/bin", "HOME": work, "XDG_STATE_HOME": work + "/state", "XDG_RUNTIME_DIR": work + "/run"}
for folder in ("state", "run"):
    os.mkdir(os.path.join(work, folder), 0o700)
vault = os.path.join(work, "vault")
bag = os.path.join(vault, ".holdfast", "keybag")
number = 0


def attempt(pin):
    """A try that changes the generation when it is right."""
    global number, text
    number += 1
    done = subprocess.run([hf, "recovery", "replace", vault, "--passcode-fd", "0", "--recovery-file", f"{work}/phrase{number}"], env=env, input=f"{pin}\n".encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode("latin-1")
    check(all(c == "\n" or " " <= c <= "~" for c in text), f"a message prints what the file says, unchecked: {text!r}")
    return done.returncode


def failed():
    return json.loads(subprocess.run([hf, "status", vault, "--json"], env=env, stdout=subprocess.PIPE).stdout)["element"]["failed"]


made = subprocess.run([hf, "create", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--delays", "0", "--kdf", "64,1", "--recovery-file", f"{work}/phrase", "--passcode-fd", "0"],
                      env=env, input=f"{PIN}\n".encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
check(made.returncode == 0, f"setting up: {made.stdout.decode()}")
first = open(bag, "rb").read()
check(attempt(PIN) == 0 and attempt(WRONG_PIN) == 3, "setting up: it opens, and counts")
check(attempt(PIN) == 0, "and opens")
good = open(bag, "rb").read()
check(crc32c(good[:-4]) == int.from_bytes(good[-4:], "little"), "setting up: the attacker can make a checksum")
state = work + "/state"
copy = work + "/copy"
open(bag, "wb").write(first)
for pin in (PIN, WRONG_PIN):
    holds(attempt(pin) == 7, f"an older keybag: {text}")
(header,) = struct.unpack_from("<I", good, 0)
check(200 < header < len(good), f"the public header has {header} bytes")
for at in range(4, 4 + header):
    bad = bytearray(good)
    bad[at] ^= 1 << at % 8
    bad[-4:] = crc32c(bytes(bad[:-4])).to_bytes(4, "little")
    open(bag, "wb").write(bad)
    result = attempt(PIN)
    # a flipped element kind or TPM address leads elsewhere (another element: 9; no element at all: 7)
    holds(result in (7, 9, 2, 5) and result not in (0, 3), f"byte {at} of the header: exit {result}: {text}")
open(bag, "wb").write(good)
holds(failed() == 0 and attempt(PIN) == 0, f"no try was spent by all that, and the true one opens: {text}")
tpm.close()
shutil.rmtree(work, ignore_errors=True)
close()
