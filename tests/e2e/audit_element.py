#!/usr/bin/env python3
"""tools/audit-element says yes to the true construction and no, with the reason, to each spoiled one. audit_element.py BUILD"""
import os, subprocess, sys

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(root, "tests", "attacks", "element"))
from attack import *


def audit(t, word, word_code=None, **changes):
    """word: "yes", or what the reason must say."""
    got = t.e.status()
    element = {"kind": "tpm2", "limit": got["limit"], **(t.public | changes)}
    done = subprocess.run([os.path.join(root, "tools", "audit-element")], input=json.dumps({"element": element}).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={"PATH": "/usr/bin:/bin", "TPM2TOOLS_TCTI": t.tpm.tcti, "TSS2_LOG": "all+NONE", "HOME": t.tpm.folder})
    text = done.stdout.decode()
    check(done.returncode == ((0 if word.startswith("yes") else 1) if word_code is None else word_code) and word in text, f"{word}: exit {done.returncode}: {text}")


def flipped(text, at=20):
    return text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1:]


t = Target(limit=5)
audit(t, "yes: 0 of 5")
t.e.release(os.urandom(32))
audit(t, "yes: 1 of 5")
audit(t, "not a TPM", kind="software")
audit(t, "gate is open", gate_value="ffffffffffffffff")
audit(t, "another branch", gate_key=flipped(t.public["gate_key"]))
audit(t, "another branch", gate_value=flipped(t.public["gate_value"], 3))
audit(t, "S: its policy", sealed_public=flipped(t.public["sealed_public"], 30))
audit(t, "S: it may leave", sealed_public=flipped(t.public["sealed_public"], 19))
audit(t, "D: its policy", sealed_device_public=flipped(t.public["sealed_device_public"], 30))
audit(t, "storage key", srk_name=flipped(t.public["srk_name"]))
audit(t, "limit is not 6", limit=6)
audit(t, "no index", nv_pin="0x01800001")
new = os.urandom(32)
check(t.e.release(t.right) == (OK, t.secret), "released")
result, slot, _, _ = t.e.prepare(new)
check(result == OK and t.e.commit(slot) == OK, f"a change of passcode: {t.e.text}")
t.public = t.e.status()["public"]
t.pin = t.public["nv_pin"]
audit(t, "yes: 0 of 5")
digest = t.tpm.tool("tpm2_nvreadpublic", t.pin)[1].split("authorization policy: ")[1].split()[0]
open(os.path.join(t.tpm.folder, "digest"), "wb").write(bytes.fromhex(digest))
t.tool("tpm2_nvundefine", t.pin, "-C", "o")
audit(t, "no index")
t.tool("tpm2_nvdefine", t.pin, "-C", "o", "-s", "8", "-p", "mine", "-a", "policywrite|ownerread|ownerwrite|no_da|nt=pinfail", "-L", "digest")
t.tool("tpm2_nvwrite", t.pin, "-C", "o", "-i", "-", data=bytes(4) + (5).to_bytes(4, "big"))
audit(t, "is another one, or its attributes let somebody write it")
t.tool("tpm2_nvundefine", t.counter, "-C", "o")
audit(t, "C: the TPM has no index")
t.tpm.tool("tpm2_clear", "-c", "p")
audit(t, "storage key")
t.close()

# [EL-14] sealed to measured software, in force and predicted
t = Target(limit=5, measure=1 << 7 | 1 << 11)
t.tpm.tool("tpm2_pcrextend", f"11:sha256={'33' * 32}")
result, slot, _, _ = t.e.prepare(t.right, 1, 1 << 7 | 1 << 11)
check(result == REFUSED, f"not under other software: {t.e.text}")
audit(t, "nothing was ever measured")
t.tpm.restart()
t.tpm.tool("tpm2_pcrextend", f"7:sha256={'11' * 32}")
t.e.close()
t.e.start()
t.right = os.urandom(32)
check(t.e.hello() == OK and t.e.provision(t.right, policy(5, measure=KEEP), fresh=True)[0] == OK, f"sealed to what runs: {t.e.text}")
t.public = t.e.status()["public"]
audit(t, "yes: 0 of 5")
audit(t, "the software that runs is what it is sealed to", word_code=0)
for which in ("S", "D"):
    key = "sealed_public" if which == "S" else "sealed_device_public"
    audit(t, f"{which}: its policy", **{key: flipped(t.public[key], 30)})
audit(t, "S: its policy", pcrs={**t.public["pcrs"], "7": "44" * 32})
audit(t, "S: its policy", measured=False)
audit(t, "PCR above 15", pcrs={"16": "44" * 32})
result, slot, _, blob = t.e.prepare(t.right, 2, predicted={11: bytes.fromhex("55" * 32)})
check(result == OK and t.e.commit(slot) == OK, f"a prediction: {t.e.text}")
t.public = t.e.status()["public"]
audit(t, "yes: 0 of 5")
audit(t, "S (predicted): its policy", sealed_public_predicted=flipped(t.public["sealed_public_predicted"], 30))
audit(t, "D (predicted): its policy", pcrs_predicted={**t.public["pcrs_predicted"], "11": "66" * 32})
t.tpm.tool("tpm2_pcrextend", f"11:sha256={'33' * 32}")
audit(t, "OTHER software runs now", word_code=0)
t.close()
close()
