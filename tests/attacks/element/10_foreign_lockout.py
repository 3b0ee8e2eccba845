#!/usr/bin/env python3
"""Another user of the TPM fails until its lockout: the vault must open all the same, and its count must not move."""
from attack import *


def lock(tpm):
    """Somebody's object with a password, guessed wrong until the lockout."""
    tpm.tool("tpm2_dictionarylockout", "--setup-parameters", "--max-tries", "3", "--recovery-time", "86400", "--lockout-recovery-time", "86400")
    foreign = Naive(tpm)
    foreign.seal_with_pin("somebody's", name="foreign")
    for _ in range(5):
        foreign.guess_pin("wrong", name="foreign")
    return not foreign.guess_pin("somebody's", name="foreign")


n = Naive()
n.seal_with_pin()
check(lock(n.tpm), "the TPM is in lockout")
falls(not n.guess_pin(PIN), "the owner of the naive vault is locked out by another user's failures")
n.close()

t = Target(limit=5)
t.e.release(os.urandom(32))
check(lock(t.tpm), "the TPM is in lockout")
holds(t.count() == (1, 5), f"the vault's count: {t.count()}")
holds(t.opens() and t.e.ask(DEVICE) == (OK, t.device), f"it opens in the lockout: {t.e.text}")
holds(t.e.release(os.urandom(32))[0] == WRONG and t.count() == (1, 5), "and goes on counting in it")
new = os.urandom(32)
result, slot, secret, blob = t.e.prepare(new)
holds(result == OK and t.e.commit(slot) == OK and t.e.release(new) == (OK, secret), f"and the passcode can be changed: {t.e.text}")
t.close()
close()
