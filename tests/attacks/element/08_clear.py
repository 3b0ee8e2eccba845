#!/usr/bin/env python3
"""TPM2_Clear: everything is gone, nothing comes free."""
from attack import *

t = Target(limit=5)
for _ in range(2):
    t.e.release(os.urandom(32))
start = len(t.relay.log)
holds(t.tool("tpm2_clear", "-c", "p"), "setting up: the TPM is cleared")
result, secret = t.e.release(t.right)
holds(result == UNREACHABLE and "recover" in t.e.text, f"after TPM2_Clear: {result} {t.e.text}")
holds(t.e.ask(DEVICE)[0] != OK and t.e.again() == OK and t.e.status()["state"] == EMPTY, "D, and after a restart")
holds(bytes(t.relay.log[start:]).find(b"\x00\x00\x01\x51") < 0, "the passcode was used on a cleared TPM")
t.storage_key()
holds(t.unseal("release") is None and t.unseal("device") is None, "the old objects under the new seed")
t.close()
close()
