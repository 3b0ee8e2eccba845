#!/usr/bin/env python3
"""tools/audit-element says yes to the true construction and no, with the reason, to each spoiled one. audit_element.py BUILD"""
import os, subprocess, sys, tempfile

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(root, "tests", "attacks", "element"))
from attack import *


def audit(t, word, **changes):
    """word: "yes", or what the reason must say."""
    got = t.e.status()
    element = {"kind": "tpm2", "limit": got["limit"], **(t.public | changes)}
    done = subprocess.run([os.path.join(root, "tools", "audit-element")], input=json.dumps({"element": element}).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={"PATH": "/usr/bin:/bin", "TPM2TOOLS_TCTI": t.tpm.tcti, "TSS2_LOG": "all+NONE", "HOME": t.tpm.folder})
    text = done.stdout.decode()
    check(done.returncode == (0 if word.startswith("yes") else 1) and word in text, f"{word}: exit {done.returncode}: {text}")


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
close()
