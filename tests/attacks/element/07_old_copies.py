#!/usr/bin/env python3
"""The sealed objects and the keybag restored from a copy of the disk: after a passcode change, after erase."""
from attack import *

n = Naive()
n.seal_with_pin("271828", name="old")  # the vault's first PIN; a copy of the disk is made
n.seal_with_pin(PIN, name="new")       # then the PIN is changed, and the old object's file erased on the disk
falls(n.guess_pin("271828", name="old"), "the copy opens with the old PIN, for ever")
n.close()

t = Target(limit=5)
t.storage_key()
copy, old_right, old_state = t.e.blob, t.right, tempfile.mkdtemp(prefix="hf-copy.")
shutil.copytree(t.state, old_state, dirs_exist_ok=True)
new = os.urandom(32)
result, slot, fresh, blob = t.e.prepare(new)
check(result == OK and t.e.commit(slot) == OK and t.e.step(2) == OK, f"the passcode changes: {t.e.text}")
shutil.rmtree(t.state)
shutil.copytree(old_state, t.state)
for auth in (old_right, new):
    t.e.again(copy)
    result, secret = t.e.release(auth)
    holds(result not in (OK, WRONG), f"the copy after a change: {result}")
    holds(t.e.ask(DEVICE)[0] != OK, "D out of the copy")
right = "hex:" + old_right.hex()
t.session(("tpm2_policysecret", "-c", t.pin, right))
holds(t.unseal("release", "session", copy) is None, "the old S with the attacker's own tools")
t.end_sessions()
holds(t.e.again(blob) == OK and t.e.release(new) == (OK, fresh) and t.e.status()["failed"] == 0, "and the true keybag opens, no try was spent")

copy = t.e.blob
pin, counter, limit = t.e.status()["public"]["nv_pin"], t.counter, (5).to_bytes(4, "big")
shutil.copytree(t.state, old_state, dirs_exist_ok=True)
check(t.e.ask(ERASE)[0] == OK, "erase")
shutil.rmtree(t.state)
shutil.copytree(old_state, t.state)
t.e.again(copy)
holds(t.e.release(new)[0] == GONE and t.e.ask(DEVICE)[0] == GONE, "the copy after erase, the element's files restored too")
holds(t.unseal("release", None, copy) is None and t.unseal("device", None, copy) is None, "S and D with the attacker's own tools")
# D hangs on P's limit: an index that he makes at P's handle has another Name
check(t.tool("tpm2_nvdefine", pin, "-C", "o", "-s", "8", "-a", "ownerwrite|ownerread|no_da") and t.tool("tpm2_nvwrite", pin, "-C", "o", "-i", "-", data=bytes(4) + limit), "an index in P's place")
t.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
check(t.tool("tpm2_policynv", pin, "-C", "o", "eq", "-i", "-", "--offset", "4", "-S", "session", data=limit), "with P's limit in it")
holds(t.unseal("device", "session", copy) is None, "D through it")
t.end_sessions()
shutil.rmtree(old_state)
t.close()
close()
