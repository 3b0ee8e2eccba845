#!/usr/bin/env python3
"""C deleted and made again, several times; an ordinary index holding v at C's handle: does the gate through which P was written open again?"""
from attack import *

# Naive: the gate is an ordinary index that must hold v, and anybody may write it.
n = Naive()
C, V = "0x01500030", (7).to_bytes(8, "big")
GATE = [("tpm2_policynv", C, "-C", C, "eq", "-i", "-"), ("tpm2_policycommandcode", "TPM2_CC_NV_Write")]


def gate(kind, *last):
    n.run("tpm2_startauthsession", *(["--policy-session"] if kind == "policy" else []), "-S", "session")
    good = n.tool(*GATE[0], "-S", "session", data=V) and n.tool(*GATE[1], "-S", "session", *last)
    good = good and (kind == "trial" or n.write_index(0, 5, n.INDEX, "-P", "session:session"))
    n.end_session()
    return good


n.run("tpm2_nvdefine", C, "-C", "o", "-s", "8", "-a", "ownerwrite|ownerread|authread|authwrite|no_da")
n.run("tpm2_nvwrite", C, "-C", "o", "-i", "-", data=V)
check(gate("trial", "-L", "gate"), f"the gate's policy: {n.text}")
n.define_index("policywrite|ownerread", policy_file="gate")
check(gate("policy"), f"the limit is written through the gate: {n.text}")
n.run("tpm2_nvwrite", C, "-C", "o", "-i", "-", data=bytes(8))
n.seal_under_index()
falls(n.guess_index(PIN), "the naive vault opens with its PIN")
for _ in range(5):
    n.guess_index(WRONG_PIN)
check(not gate("policy") and not n.guess_index(PIN), "gate and vault are shut")
n.run("tpm2_nvwrite", C, "-C", "o", "-i", "-", data=V)
falls(gate("policy") and n.guess_index(PIN), "the owner writes v, the gate opens, the count is zero again")
n.close()

t = Target(limit=5)
gate_value = int(t.public["gate_value"], 16)
attributes = "ownerwrite|authwrite|ownerread|authread|no_da|nt=counter"


def policy_of(index):
    return bytes.fromhex(t.tpm.tool("tpm2_nvreadpublic", index)[1].split("authorization policy: ")[1].split()[0])


def value():
    t.tpm.tool("tpm2_nvread", t.counter, "-C", "o", "-s", "8", "-o", "value")
    return int.from_bytes(open(os.path.join(t.tpm.folder, "value"), "rb").read(), "big")


def opens_gate():
    """The gate's one condition that an attacker can try; the one-use key's signature he lacks anyway."""
    t.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
    good = t.tool("tpm2_policynv", t.counter, "-C", t.counter, "eq", "-i", "-", "-S", "session", data=gate_value.to_bytes(8, "big"))
    good = good and t.tool("tpm2_policycommandcode", "TPM2_CC_NV_Write", "-S", "session")
    digest = t.tpm.tool("tpm2_policycommandcode", "TPM2_CC_NV_Write", "-S", "session", "-L", "digest") and open(os.path.join(t.tpm.folder, "digest"), "rb").read() if good else b""
    t.end_sessions()
    return good and (digest == policy_of(t.pin) or t.tool("tpm2_nvwrite", t.pin, "-C", t.pin, "-P", "session:session", "-i", "-", data=bytes(8)))


holds(value() > gate_value and not opens_gate(), "the gate is shut from the start")
open(os.path.join(t.tpm.folder, "c-policy"), "wb").write(policy_of(t.counter))
for again in range(4):
    holds(t.tool("tpm2_nvundefine", t.counter, "-C", "o"), "setting up: the owner may destroy C")
    check(t.tool("tpm2_nvdefine", t.counter, "-C", "o", "-s", "8", "-a", attributes, "-L", "c-policy"), "C defined again")
    holds(not opens_gate(), "a counter that was never stepped")
    check(t.tool("tpm2_nvincrement", t.counter, "-C", "o"), "stepped")
    holds(value() > gate_value, f"C starts at {value()}, v is {gate_value}")
    holds(not opens_gate(), f"the gate opened at round {again}")
for kind in ("ownerwrite|authwrite|ownerread|authread|no_da", "ownerwrite|ownerread|authread|no_da|nt=bits"):
    t.tool("tpm2_nvundefine", t.counter, "-C", "o")
    check(t.tool("tpm2_nvdefine", t.counter, "-C", "o", "-s", "8", "-a", kind, "-L", "c-policy"), "an index of another type at C's handle")
    wrote = t.tool("tpm2_nvwrite", t.counter, "-C", "o", "-i", "-", data=gate_value.to_bytes(8, "big")) or t.tool("tpm2_nvsetbits", t.counter, "-C", "o", "-i", f"{gate_value:#x}")
    check(wrote and value() == gate_value, "it holds v")
    holds(not opens_gate(), f"an index of type {kind} with v opened the gate")
holds(t.opens(), "and the vault itself needs no C to open")
t.exhaust()
holds(not t.opens(), "its limit holds")
t.close()
close()
