#!/usr/bin/env python3
"""The CLI with the TPM element on a closed vault, all programs and swtpm real. cli_tpm2.py BUILD"""
import json, os, resource, shutil, subprocess, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *

hf = os.path.join(os.path.abspath(sys.argv[1]), "src", "holdfast")
work = tempfile.mkdtemp(prefix="hf-cli.")
secrets = os.path.join(work, "secrets")
env = {"PATH": "/usr/bin:/bin", "HOME": work, "XDG_STATE_HOME": work + "/state", "XDG_RUNTIME_DIR": work + "/run", "HF_TEST_SECRET_LOG": secrets}
for folder in ("state", "run"):
    os.mkdir(os.path.join(work, folder), 0o700)
open(secrets, "w").close()
vault, phrase = os.path.join(work, "vault"), os.path.join(work, "phrase")
bag = os.path.join(vault, ".holdfast", "keybag")
text = ""


def run(*words, lines=()):
    global text
    done = subprocess.run([hf, *words], env=env, input="".join(line + "\n" for line in lines).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    text = done.stdout.decode(errors="replace")
    return done.returncode


def expect(code, *words, lines=()):
    got = run(*words, lines=lines)
    return check(got == code, f"exit {got}, not {code}: {' '.join(words)}\n{text}")


def change(code, old, new):
    """`passcode` is a try like any other."""
    return expect(code, "passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=(old, new))


def status():
    return json.loads(text) if expect(0, "status", vault, "--json") else {"element": {}}


tpm = Swtpm()
relay = Relay(tpm)
cheap = ["--kdf", "64,1", "--delays", "0", "--passcode-fd", "0"]
# [EL-12] six digits: with an element that counts
expect(8, "create", vault, "--element", "software", "--no-recovery", *cheap, lines=["314159"])
expect(8, "create", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--no-recovery", *cheap, lines=["31415"])
expect(2, "create", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--attempts", "0", *cheap, lines=["314159"])
expect(9, "create", vault, "--element", "tpm2", "--tcti", f"swtpm:path={work}/nobody", *cheap, lines=["314159"])
expect(2, "create", vault, "--element", "tpm2", "--tcti", "mssim", *cheap, lines=["314159"])
# [EL-16] where the machine swaps and nothing can be locked, six digits are not enough with a TPM either; [EL-23] a passphrase is taken, and its owner told
new = ["create", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--no-recovery", *cheap]
WARNING = "warning: Argon2id's memory cannot be locked and this machine swaps"


def unlocked(pin, *words, mib=8):
    """As a plain user who may lock so much (0: as whoever runs this, with the right to lock anything), on a machine that swaps."""
    command = [hf, *words]
    if os.geteuid() == 0 and mib:
        command = ["setpriv", "--bounding-set", "-ipc_lock", *command]
    done = subprocess.run(command, env=env | {"HF_TEST_SWAPS": "1"}, input=pin.encode() + b"\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          preexec_fn=lambda: mib and resource.setrlimit(resource.RLIMIT_MEMLOCK, (mib << 20, mib << 20)))
    return done.returncode, done.stdout.decode()


code, said = unlocked("314159", *new)
check(code == 8 and "swap" in said, f"six digits and swap: exit {code}: {said}")
check(not os.path.exists(bag), "nothing is left of a refused creation")
code, said = unlocked("correct horse battery staple", *new)
check(code == 0 and [WARNING in line for line in said.splitlines()].count(True) == 1, f"a passphrase and swap: exit {code}: {said}")
code, said = unlocked("", "status", vault)
check(code == 0 and WARNING in said, f"status warns as well: {said}")
code, said = unlocked("", "status", vault, "--json")
check(code == 0 and json.loads(said)["kdf_may_swap"] is True, f"and in JSON: {said}")
with open("/proc/self/status") as f:
    may_lock_all = int(next(line for line in f if line.startswith("CapEff")).split()[1], 16) >> 14 & 1 # CAP_IPC_LOCK
hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
if may_lock_all or hard == resource.RLIM_INFINITY or hard >= 80 << 20:
    code, said = unlocked("", "status", vault, "--json", mib=0 if may_lock_all else 80) # its 64 MiB and the arena of keys
    check(code == 0 and json.loads(said)["kdf_may_swap"] is False, f"where the whole can be locked: no warning: {said}")
expect(0, "erase", vault, "--yes")
shutil.rmtree(vault)
expect(0, "create", vault, "--tcti", relay.tcti, "--recovery-file", phrase, *cheap, lines=["314159"])
check("element: the TPM" in text and "tpm2 element" in text, f"auto says what it took: {text}")
got = status()["element"]
check(got["kind"] == "tpm2" and got["hardware"] is False and got["trust"] == "none" and "EK" in got["trust_why"] and got["limit"] == 10 and got["erase"] is True and got["pin_state"] == "whole", f"status: {got}")
check(all(got.get(key) for key in ("nv_pin", "nv_counter", "nv_pin_name", "srk_name", "nv_generation", "gate_value", "gate_key")), f"public parts: {sorted(got)}")
expect(0, "status", vault)
check("unverified" in text, f"an emulated TPM is not called hardware: {text}")

# a bus log of 20 unlocks (each a passcode judged, S released) and some wrong ones
for n in range(20):
    expect(0, "recovery", "replace", vault, "--passcode-fd", "0", "--recovery-file", f"{phrase}.{n}", lines=["314159"])
phrase = f"{phrase}.19"
change(3, "271828", "999999")
check(status()["element"]["failed"] == 1, "a wrong one is counted by the TPM")
change(0, "314159", "161803")
change(3, "314159", "161803")
log = bytes(relay.log)
noted = [line.split(" ") for line in open(secrets).read().splitlines()]
kinds = {line[0] for line in noted}
check({"passcode", "element-auth", "release-secret"} <= kinds, f"the test knows what to look for: {kinds}")
clear = {" ".join(line[:-1]) for line in noted if len(line[-1]) >= 12 and any(log.find(bytes.fromhex(line[-1])[at:at + 16]) >= 0 for at in (0, 8, 16) if len(line[-1]) > 2 * at)}
check(len(log) > 200000 and not clear, f"in the clear on the bus: {clear} ({len(log)} bytes)")

# an older keybag; flipped bits: refused before a try is spent
older = open(bag, "rb").read()
expect(0, "recovery", "replace", vault, "--passcode-fd", "0", "--recovery-file", f"{phrase}.new", lines=["161803"])
phrase += ".new"
good = open(bag, "rb").read()
open(bag, "wb").write(older)
change(7, "161803", "888888")
check("older" in text, f"an older keybag: {text}")
for at in range(0, len(good), 61):
    open(bag, "wb").write(good[:at] + bytes([good[at] ^ (1 << at % 8)]) + good[at + 1:])
    got = run("passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=["161803", "888888"])
    check(got == 7 and "byte" not in text.split(":")[0], f"keybag with bit {at % 8} of byte {at} flipped: exit {got}: {text}")
open(bag, "wb").write(good)
check(status()["element"]["failed"] == 0, "none of that spent a try")

# P replaced, TPM gone, the limit, recovery to a new element, erase
tpm.stop()
change(9, "161803", "777777")
expect(9, "status", vault, "--json")
tpm.start()
for n in range(9):
    change(3, f"00000{n}", "777777")
change(5, "000009", "777777")
change(5, "161803", "777777")
tpm.restart()
change(5, "161803", "777777")
tpm.tool("tpm2_dictionarylockout", "--clear-lockout")
change(5, "161803", "777777")
check(status()["element"]["finished"] is True, "status says that it is finished")
expect(0, "recover", vault, "--test", "--recovery-file", phrase)
expect(0, "recover", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--trust-this-tpm", "--recovery-file", phrase, "--new-passcode-fd", "0", lines=["577215"])
got = status()["element"]
check(got["hardware"] is True and got["trust"] == "owner", f"the owner's word: {got}")
expect(0, "status", vault)
check("owner's word" in text, f"and status says whose word it is: {text}")
change(3, "161803", "777777")
change(0, "577215", "662607")
check(sum("0x" in line for line in tpm.tool("tpm2_getcap", "handles-nv-index")[1].splitlines()) == WHOLE, "five indices a vault, none left over")
saved = open(bag, "rb").read()
saved_head = open(os.path.join(vault, ".holdfast", "head"), "rb").read()
tpm.tool("tpm2_nvundefine", status()["element"]["nv_pin"], "-C", "o")
change(7, "662607", "777777")
check("0x" in text and "recover" in text, f"P destroyed by another user of the TPM: {text}")
expect(0, "recover", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--recovery-file", phrase, "--new-passcode-fd", "0", lines=["577215"])
saved = open(bag, "rb").read()
tpm.stop()  # the TPM is lost: the software element takes over, with a passphrase that can stand alone
strong = subprocess.run([hf, "passphrase"], env=env, stdout=subprocess.PIPE).stdout.decode().strip()
expect(8, "recover", vault, "--element", "software", "--recovery-file", phrase, "--new-passcode-fd", "0", lines=["577215"])
expect(0, "recover", vault, "--element", "software", "--recovery-file", phrase, "--new-passcode-fd", "0", lines=[strong])
change(0, strong, strong + " x")
tpm.start()
expect(0, "recover", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--recovery-file", phrase, "--new-passcode-fd", "0", lines=["299792"])
change(0, "299792", "577215")
saved = open(bag, "rb").read()
expect(0, "erase", vault, "--yes")
check(not os.path.exists(bag), "the keybag is gone")
os.makedirs(os.path.dirname(bag), exist_ok=True)
open(bag, "wb").write(saved)
open(os.path.join(vault, ".holdfast", "head"), "wb").write(saved_head)
change(5, "577215", "777777")
check(not any(name.startswith("holdfast-") for name in os.listdir(work + "/run")), "nothing runs on")
relay.close()
tpm.close()
shutil.rmtree(work, ignore_errors=True)
close()
