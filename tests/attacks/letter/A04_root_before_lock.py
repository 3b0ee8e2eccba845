#!/usr/bin/env python3
from book import *
import debugger, offline, special
from bed import *

row("A4", "root before the lock (what is possible, and what is not)")
user = 65534 if root() else None
v = Sample(user=user, recovery=True)
v.open()
v.as_owner(lambda: put(os.path.join(v.secret, "more"), BODY))
keys = v.secrets("kek", "complete")

with attack("takes the class keys out of the enclave's memory: by /proc/PID/mem, and by running code in it", admitted=True) as a:
    a.needs(debugger.able, "needs root and x86-64")
    values = {label: found[-1] for label, found in keys.items()}
    pid = v.pids()["holdfast-enclave"]
    plainly = memory_hits(pid, values) or set()
    a.works("rw-s" in open(f"/proc/{pid}/maps").read(), "the enclave's secrets lie in memfd_secret memory")
    hidden, size = debugger.hidden_hits(pid, values)
    a.never(plainly, f"by /proc/PID/mem: {sorted(plainly) or 'none'}")
    a.came_out(hidden, f"by code that the debugger runs in it: {sorted(hidden)} in {size // 1024} KiB of hidden memory")
    a.came_out(offline.Keybag(v.bag).with_kek(values["kek"]), "and with that KEK his own tool opens the keybag")

with attack("reads the mounted files in the owner's name", admitted=True) as a:
    path = os.path.join(v.secret, NAME)
    as_root = "" if user is None else error_of(get, path)
    out = subprocess.run([*v.command("")[:-2], "cat", path], capture_output=True).stdout
    a.came_out(MARK in out, f"as root itself: {as_root or 'read'} (another user's mount); as root that becomes the owner: a file of class complete is read")

with attack("takes the passcode or the recovery phrase out of memory, the vault being open") as a:
    a.needs(debugger.able, "needs root and x86-64")
    values = {"passcode": PASS.encode(), "phrase": v.secrets("recovery-secret")["recovery-secret"][-1]}
    v.lock()
    p = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    seen = set()
    while p.poll() is None:
        pid = v.pids().get("holdfast-enclave")
        try:
            hits, _ = debugger.hidden_hits(pid, values)
            seen |= hits
        except (OSError, debugger.Died, StopIteration):
            pass
    p.wait()
    a.works("passcode" in seen, "while it is judged, the same search finds the passcode in the enclave")
    found = set()
    for program, pid in v.pids().items():
        found |= (memory_hits(pid, values) or set()) | debugger.hidden_hits(pid, values)[0]
    a.came_out(found, f"afterwards, in all programs: {sorted(found) or 'none'}")

with attack("replaces the enclave and waits for the owner's next passcode (no measured boot)", admitted=True) as a:
    v.close("--force")
    special.build("holdfast-enclave", special.TELLTALE, v.bin)
    for name in os.listdir(v.bin):
        os.chmod(os.path.join(v.bin, name), 0o755)
    v.open()
    told = os.path.join(v.vault, ".holdfast", "told")
    a.came_out(os.path.exists(told) and get(told) == PASS.encode(), "the replaced enclave wrote down what the owner typed")
v.clean()
close()
