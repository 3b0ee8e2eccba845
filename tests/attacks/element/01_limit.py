#!/usr/bin/env python3
"""Wrong passcodes to the limit, then the right one: at once, after restarts, after DictionaryAttackLockReset."""
from attack import *

n = Naive()
n.tool("tpm2_dictionarylockout", "--setup-parameters", "--max-tries", "5", "--recovery-time", "86400", "--lockout-recovery-time", "86400")
n.seal_with_pin()
falls(n.guess_pin(PIN), "the naive vault opens with its PIN")
for _ in range(6):
    n.guess_pin(WRONG_PIN)
check(not n.guess_pin(PIN), "the lockout holds the naive vault for the moment")
n.tool("tpm2_dictionarylockout", "--clear-lockout")  # lockoutAuth is empty by default
falls(not n.guess_pin("111111") and n.guess_pin(PIN), "root resets the count with DictionaryAttackLockReset, and guesses on")
n.close()

t = Target(limit=5)
t.exhaust()
holds(not t.opens(), "the right one after the limit")
holds(t.tool("tpm2_dictionarylockout", "--clear-lockout") and not t.opens() and t.count() == (5, 5), "DictionaryAttackLockReset")
holds(t.tool("tpm2_dictionarylockout", "--setup-parameters", "--max-tries", "100", "--recovery-time", "0", "--lockout-recovery-time", "0") and not t.opens(), "other lockout parameters")
t.tpm.restart()
holds(not t.opens(), "a restart of the TPM")
t.tpm.stop(9)
t.tpm.start()
holds(not t.opens(), "a power cut of the TPM")
holds(t.e.again() == OK and not t.opens(), "a restart of the element")
shutil.rmtree(t.state)  # another version of the software, a restored disk: the element's own files are not what counts
os.mkdir(t.state)
holds(t.e.again() == OK and not t.opens() and t.e.release(os.urandom(32))[0] == GONE, "the element's files gone")
t.close()
close()
