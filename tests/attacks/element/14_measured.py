#!/usr/bin/env python3
"""Other software on a measured machine: it burns the owner's tries, and after an update the software before is put back with its old sealed blob and the right passcode."""
import hashlib
from attack import *

OLD, NEW = b"\x0a" * 32, b"\x0b" * 32
PCR = 11


def boot(tpm, software):
    tpm.restart()
    tpm.tool("tpm2_pcrextend", f"{PCR}:sha256={software.hex()}")


def value(software):
    return hashlib.sha256(bytes(32) + software).digest()


class Measured(Naive):
    """S sealed under a PIN_FAIL index and a PCR, in the order that `order` says."""

    def policy(self, order, pin):
        steps = {"pcr": ("tpm2_policypcr", "-l", f"sha256:{PCR}"), "pin": ("tpm2_policysecret", "-c", self.INDEX, pin)}
        return [steps[name] for name in order]

    def seal_measured(self, order, name="sealed"):
        self.session("trial", *(command + ("-L", "digest") for command in self.policy(order, PIN)))
        self.end_session()
        self.seal("-L", "digest", "-a", "fixedtpm|fixedparent|noda|adminwithpolicy", name=name)

    def boot(self, software):
        boot(self.tpm, software)
        self.tool("tpm2_dictionarylockout", "--clear-lockout")  # each start without a shutdown counts there
        self.run("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "srk")  # a saved context does not outlive a restart

    def guess(self, order, pin, name="sealed"):
        good = self.session("policy", *self.policy(order, pin)) and self.unseal("-p", "session:session", name=name)
        self.end_session()
        return good


n = Measured()
n.boot(OLD)
n.define_index("ownerwrite|ownerread|authread")
n.write_index(0, 5)
# naive: the passcode first, the software after
n.seal_measured(("pin", "pcr"))
check(n.guess(("pin", "pcr"), PIN), f"the naive one works at all: {n.text}")
n.boot(b"\x66" * 32)
for _ in range(5):
    n.guess(("pin", "pcr"), WRONG_PIN)
n.boot(OLD)
falls(not n.guess(("pin", "pcr"), PIN), "other software spent all tries: the owner is locked out")
# naive: sealed to the next software too, the old blob deleted after its first unlock; a copy of it is kept by the thief
n.write_index(0, 5)
n.seal_measured(("pcr", "pin"), name="old")
n.boot(NEW)
n.seal_measured(("pcr", "pin"), name="new")
check(n.guess(("pcr", "pin"), PIN, name="new"), f"the new software opens: {n.text}")
n.boot(OLD)
falls(n.guess(("pcr", "pin"), PIN, name="old"), f"the version with the flaw opens for ever with a copy of its blob: {n.text}")
n.close()

# Holdfast
t = Target(limit=5)
boot(t.tpm, OLD)
t.e.close()
t.e.start()
check(t.e.hello() == OK, f"hello: {t.e.text}")
result, t.secret, t.device = t.e.provision(t.right, policy(5, measure=1 << PCR), fresh=True)
check(result == OK and t.opens(), f"setting up: {t.e.text}")
t.pin = t.e.status()["public"]["nv_pin"]
boot(t.tpm, b"\x66" * 32)
for _ in range(8):
    holds(t.e.release(os.urandom(32))[0] == REFUSED, "other software got a verdict")
holds(t.count() == (0, 5), f"other software spent tries: {t.count()}")
boot(t.tpm, OLD)
holds(t.opens(), "the owner is locked out")
result, slot, secret, blob = t.e.prepare(t.right, 2, predicted={PCR: value(NEW)})
check(result == OK and t.e.commit(slot) == OK, f"sealed to the next: {t.e.text}")
stolen = t.e.blob = blob
boot(t.tpm, NEW)
check(t.e.again() == OK and t.e.release(t.right) == (OK, secret), f"the next software opens: {t.e.text}")
result, slot, secret, blob = t.e.prepare(t.right, 1)
check(result == OK and t.e.commit(slot) == OK, f"its first unlock: {t.e.text}")
t.e.blob = blob
pin = t.e.status()["public"]["nv_pin"]
boot(t.tpm, OLD)
t.storage_key()
old_pin = t.pin
good = t.session(("tpm2_policypcr", "-l", f"sha256:{PCR}"), ("tpm2_policysecret", "-c", pin, "hex:" + t.right.hex()))
holds(good and t.unseal("release", "session", stolen) is None, "the old blob opens by the present P")
t.end_sessions()
holds(t.tpm.tool("tpm2_nvreadpublic", old_pin)[0] != 0, "the P that the old blob is sealed to is still there")
holds(t.e.again(stolen) == OK and t.e.release(t.right)[0] not in (OK, WRONG), f"the software before opens its old blob: {t.e.text}")
holds(t.e.again(blob) == OK and t.e.release(t.right)[0] == REFUSED, f"the software before opens the present blob: {t.e.text}")
boot(t.tpm, NEW)
holds(t.e.again(blob) == OK and t.e.release(t.right) == (OK, secret), f"and the new one opens: {t.e.text}")
t.close()
close()
