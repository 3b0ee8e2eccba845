#!/usr/bin/env python3
"""The owner, the platform, the index's own authorisation or a policy writes P anew: count zero."""
from attack import *

n = Naive()
n.define_index("ownerwrite|ownerread")
n.write_index(0, 5)
n.seal_under_index()
falls(n.guess_index(PIN), "the naive vault opens with its PIN")
for _ in range(5):
    n.guess_index(WRONG_PIN)
check(not n.guess_index(PIN), "at its limit the naive one is shut")
falls(n.write_index(0, 5) and n.guess_index(PIN), "the owner writes {0, 5} and guesses on")
n.close()

t = Target(limit=5)
for _ in range(3):
    t.e.release(os.urandom(32))
zero = bytes(4) + (1000).to_bytes(4, "big")
right = "hex:" + t.right.hex()
for words in (("-C", "o"), ("-C", "p"), ("-C", t.pin, "-P", right), ("-C", t.pin)):
    holds(not t.tool("tpm2_nvwrite", t.pin, *words, "-i", "-", data=zero), f"tpm2_nvwrite {' '.join(words)}")
for commands in ((), (("tpm2_policycommandcode", "TPM2_CC_NV_Write"),),
                 (("tpm2_policynv", t.counter, "-C", t.counter, "eq", "-i", "-"), ("tpm2_policycommandcode", "TPM2_CC_NV_Write")),
                 (("tpm2_policysecret", "-c", t.pin, right),), (("tpm2_policysecret", "-c", "o"),)):
    t.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
    for command in commands:
        t.tool(*command, "-S", "session", data=bytes.fromhex(t.public["gate_value"]))
    holds(not t.tool("tpm2_nvwrite", t.pin, "-C", t.pin, "-P", "session:session", "-i", "-", data=zero), f"a policy of {[c[0] for c in commands]}")
    t.tool("tpm2_flushcontext", "session")
    t.tool("tpm2_flushcontext", "-s")
for words in (("tpm2_nvincrement", t.pin, "-C", "o"), ("tpm2_nvsetbits", t.pin, "-C", "o", "-i", "1"), ("tpm2_nvwritelock", t.pin, "-C", "o"),
              ("tpm2_changeauth", "-c", t.pin, "mine"), ("tpm2_changeauth", "-c", t.pin, "-p", right, "mine")):
    holds(not t.tool(*words), " ".join(words[:1]))
count = t.count()
holds(count is not None and count[0] >= 3 or t.opens(), f"the count went down: {count}")
t.close()

t = Target(limit=5)
t.exhaust()
holds(not t.tool("tpm2_nvwrite", t.pin, "-C", "o", "-i", "-", data=zero) and t.count() == (5, 5) and not t.opens(), "after the limit")
t.close()
close()
