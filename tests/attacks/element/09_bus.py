#!/usr/bin/env python3
"""Someone listens on the TPM's bus during an unlock."""
from attack import *

n = Naive()
bus = Relay(n.tpm)
n.seal_with_pin()
os.symlink(n.tpm.path + ".ctrl", bus.path + ".ctrl")
bus.tpm = type("End", (), {"path": n.tpm.path})
path, n.tpm.path = n.tpm.path, bus.path
falls(n.guess_pin(PIN), "the naive vault opens with its PIN")
n.tpm.path = path
log = bytes(bus.log)
falls(log.find(SEALED) >= 0, "the secret is on the bus in the clear (the session is not salted, so the PIN can be guessed from its HMAC as well)")
bus.close()
n.close()

t = Target(limit=5)
for _ in range(3):
    t.e.release(t.right)
wrong = os.urandom(32)
t.e.release(wrong)
log = bytes(t.relay.log)
for what, value in (("A", t.right), ("a wrong A", wrong), ("S", t.secret), ("D", t.device)):
    for form in (value, value[::-1], value.hex().encode()):
        holds(not any(log.find(form[at:at + 12]) >= 0 for at in range(0, len(form) - 12)), f"{what} on the bus")
t.close()

# A man in the middle who answers with a storage key of his own: the Name is pinned, so no session is salted to it before A is used
t = Target(limit=5)
other = Swtpm()
mine = type("End", (), {"path": other.path})
t.relay.tpm, true = mine, t.relay.tpm
start = len(t.relay.log)
result, secret = t.e.release(t.right)
holds(result not in (OK, WRONG) and bytes(t.relay.log[start:]).find(b"\x00\x00\x01\x51") < 0, f"another TPM behind the wire: {result}")
t.relay.tpm = true
time.sleep(0.3)
holds(t.e.status()["state"] == ACTIVE and t.opens(), f"and with the true one it opens: {t.e.text}")
other.close()
t.close()
close()
