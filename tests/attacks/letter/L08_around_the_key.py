#!/usr/bin/env python3
from book import *
import resource
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



def arena(v):
    """The kernel's flags of Argon2id's memory while a passcode is judged (lo: locked, dd: not dumped); empty when this user can't see them."""
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
    check(p.wait() == 0, "the unlock that was looked at")
    return flags


own = open("/proc/self/smaps").read().split("VmFlags:")[1].split("\n")[0].split()
with attack("waits for Argon2id's memory (its first blocks are a fast hash of the passcode) to be dumped, or swapped out where the programs may lock it (root, packaged mode)") as a:
    v.lock()
    flags = arena(v)
    a.needs("lo" in flags or root(), "needs root, or a limit on locked memory that takes the whole of it")
    a.works(not {"lo", "dd"} <= set(own), "this program's own memory shows neither flag")
    a.came_out(not {"lo", "dd"} <= set(flags), f"its 256 MiB: VmFlags {' '.join(flags)} (lo: locked, dd: not dumped)")

resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))  # as Debian gives it to users
with attack("the same in bare mode, where a plain user may lock 8 MiB, on a machine that swaps", admitted=True) as a:
    plain = Sample(user=65534 if root() else None, kdf="256,3", fill=False, recovery=False, env={"HF_TEST_SWAPS": "1", "HF_TEST_NO_MEMFD_SECRET": "1", "HF_TEST_DUMPABLE": "1"})
    plain.open()
    plain.lock()
    flags = arena(plain)
    a.came_out(flags and "lo" not in flags, f"its 256 MiB: VmFlags {' '.join(flags) or 'not seen'}: it may reach swap, and there a passphrase is worth its bits at the speed of a fast hash")
    a.never("dd" not in flags, f"dumped: {'no' if 'dd' in flags else 'yes'}")
    import element
    tpm = element.Swtpm()
    os.chmod(tpm.folder, 0o711), os.chmod(tpm.path, 0o666)
    p = plain.run("create", os.path.join(plain.work, "short"), "--element", "tpm2", "--tcti", tpm.tcti, "--kdf", "256,3", "--no-recovery", "--passcode-fd", "0", given="314159")
    a.never(p.returncode != 8, f"a code of six digits with a TPM: refused there (exit {p.returncode})")
    plain.clean()

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
