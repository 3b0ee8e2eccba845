#!/usr/bin/env python3
"""P undefined and defined again: with the same public area and an authorisation of the attacker's own, or with OWNERWRITE added."""
from attack import *

def write_once(n):
    """The index may be written while it never was (PolicyNvWritten CLEAR): once."""
    good = n.session("policy", ("tpm2_policynvwritten", "c")) and n.write_index(0, 5, n.INDEX, "-P", "session:session")
    n.end_session()
    return good


n = Naive()
n.session("trial", ("tpm2_policynvwritten", "-L", "once", "c"))
n.end_session()
n.define_index("policywrite|ownerread", policy_file="once")
check(write_once(n), f"written once: {n.text}")
n.seal_under_index()
falls(n.guess_index(PIN), "the naive vault opens with its PIN")
check(not write_once(n) and not n.write_index(0, 5), "nobody writes it a second time")
for _ in range(5):
    n.guess_index(WRONG_PIN)
check(not n.guess_index(PIN), "at its limit the naive one is shut")
n.run("tpm2_nvundefine", n.INDEX, "-C", "o")
n.define_index("policywrite|ownerread", pin="mine", policy_file="once")
write_once(n)
falls(n.guess_index("mine"), "undefined, defined again with the attacker's own PIN: same Name, and it unseals without the passcode")
n.close()


def replaced(how, attributes, written):
    t = Target(limit=5)
    digest = t.tpm.tool("tpm2_nvreadpublic", t.pin)[1].split("authorization policy: ")[1].split()[0]
    open(os.path.join(t.tpm.folder, "digest"), "wb").write(bytes.fromhex(digest))
    holds(t.tool("tpm2_nvundefine", t.pin, "-C", "o"), "setting up: the owner may destroy P")
    check(t.tool("tpm2_nvdefine", t.pin, "-C", "o", "-s", "8", "-p", "hex:" + t.right.hex(), "-a", attributes, "-L", "digest"), f"{how}: defined again")
    wrote = t.tool("tpm2_nvwrite", t.pin, "-C", "o", "-i", "-", data=bytes(4) + (99).to_bytes(4, "big"))
    check(wrote == written, f"{how}: written by its owner: {wrote}")
    name = t.tpm.tool("tpm2_nvreadpublic", t.pin)[1].split("name: ")[1].split()[0]
    holds(name != t.public["nv_pin_name"], f"{how}: it has P's Name again")
    start = len(t.relay.log)
    for _ in range(2):
        result, secret = t.e.release(t.right)
        holds(result != OK, f"{how}: released to the right passcode")
        result, secret = t.e.release(os.urandom(32))
        holds(result not in (OK, WRONG), f"{how}: a passcode was judged by the attacker's index")
    holds(t.e.ask(DEVICE)[0] != OK, f"{how}: D")
    holds(t.e.again() == OK and t.e.release(t.right)[0] in (DAMAGED, GONE), f"{how}: after a restart")
    used = bytes(t.relay.log[start:])
    holds(used.find(b"\x00\x00\x01\x51") < 0, f"{how}: PolicySecret was sent: the passcode was used before P's Name was found right")
    t.close()


replaced("the same public area", "policywrite|ownerread|no_da|nt=pinfail", False)
replaced("OWNERWRITE added", "policywrite|ownerread|ownerwrite|no_da|nt=pinfail", True)
close()
