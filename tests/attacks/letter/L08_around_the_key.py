#!/usr/bin/env python3
from book import *
import debugger
from bed import *

row("L8", "the key is only as secure as the protections around it")
v = Sample(env={} if root() else {"HF_TEST_NO_MEMFD_SECRET": "1", "HF_TEST_DUMPABLE": "1"}, kdf="256,3")
v.open()
get(v.path("secret", NAME))

with attack("looks for class keys, KEK and passcode in other programs than the enclave, the vault being open") as a:
    values = {label: found[-1] for label, found in v.secrets("kek", "complete", "after-unlock").items()} | {"passcode": PASS.encode()}
    where = {}
    for program, pid in v.pids().items():
        hits = memory_hits(pid, values) or set()
        if debugger.able:
            hits |= debugger.hidden_hits(pid, values)[0]
        where[program] = hits
    a.works(where["holdfast-enclave"] >= {"kek", "complete"}, f"in the enclave: {sorted(where['holdfast-enclave'])}")
    elsewhere = {p: sorted(h) for p, h in where.items() if h and p != "holdfast-enclave"}
    a.came_out(elsewhere or "passcode" in where["holdfast-enclave"], f"in element, filesystem and supervisor: {elsewhere or 'none'}; the passcode: nowhere")

with attack("waits for Argon2id's memory to be swapped or dumped (its first blocks are a fast hash of the passcode)") as a:
    v.lock()
    p = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    pid, flags = v.pids()["holdfast-enclave"], []
    while p.poll() is None and not flags:
        size = 0
        try:
            for line in open(f"/proc/{pid}/smaps"):
                size = int(line.split()[1]) if line.startswith("Size:") else size
                if line.startswith("VmFlags:") and size >= 250 << 10:
                    flags = line.split()[1:]
        except OSError:
            break
    p.wait()
    a.needs(flags or not root(), "the arena was not seen in time")
    a.needs(flags, "needs root")
    limit = [line.split() for line in open(f"/proc/{pid}/limits") if line.startswith("Max locked memory")][0][3]
    a.works(not {"lo", "dd"} <= set(open("/proc/self/smaps").read().split("VmFlags:")[1].split()), "this program's own memory shows neither flag")
    a.came_out(not {"lo", "dd"} <= set(flags), f"the arena of 256 MiB: VmFlags {' '.join(flags)} (lo: locked, dd: not dumped; locked memory: {limit})")

with attack("looks for passcode, keys and content in what the programs leave outside the vault: state, sockets, logs, temporary files") as a:
    places = [v.state, os.path.join(v.work, "run"), os.path.join(v.vault, ".holdfast")]
    keys = {f"{label} {k[:3].hex()}": k for label, found in v.secrets().items() for k in found if len(k) >= 16 and label != "device-key"}
    keys = {n: k for n, k in keys.items() if not n.startswith("recovery")}
    wanted = {**keys, "passcode": PASS.encode()}
    planted = os.path.join(v.work, "planted")
    os.mkdir(planted)
    put(os.path.join(planted, "log"), b"debug: " + values["kek"])
    a.works(traces_in(planted, wanted), "a key planted in a log is found")
    recent = [os.path.join(base, n) for base, _, names in os.walk("/var/log") for n in names if os.path.getmtime(os.path.join(base, n)) > time.time() - 300] if root() else []
    found = set().union(*(traces_in(p, wanted) for p in places)) | {n for path in recent for n, k in wanted.items() if k in get(path)}
    a.came_out(found, f"found: {sorted(found) or 'none'} of {len(wanted)}")
v.close("--force")
v.clean()
close()
