#!/usr/bin/env python3
"""[PR-4] The running enclave and filesystem, held to their sandboxes: system calls that are injected into them (ptrace, as root: none of the same user could) to reach
another file, a socket or a program are refused or kill. What it calls by itself: enclave_syscalls.py. enclave_sandbox.py BUILD"""
import os, platform, re, shutil, subprocess, sys, tempfile

import programs
from inject import Injected
from programs import ask, check, finish, skip

if os.geteuid() != 0 or platform.machine() != "x86_64":
    skip("needs root (to trace a program that nobody else may) and x86-64 (whose registers it sets)")
    finish()
build = os.path.join(os.path.abspath(sys.argv[1]), "src")
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASS = "correct horse battery staple otter lamp"
OWN_STATUS = 0x0106
work = tempfile.mkdtemp()
state, vault = os.path.join(work, "state"), os.path.join(work, "vault")
os.mkdir(state, 0o700)
env = programs.environment(state)
made = subprocess.run([os.path.join(build, "holdfast"), "create", vault, "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0"], env=env, input=PASS + "\n",
                      capture_output=True, text=True)
check(made.returncode == 0, f"create: {made.stderr}")


class Running:
    """A supervisor of ours whose vault is started; `enclave` is its enclave's pid."""
    def __init__(self):
        self.end, theirs = programs.pair()
        self.process = programs.start(os.path.join(build, "holdfast-super"), [theirs.fileno()], env)
        theirs.close()
        self.end.settimeout(60)
        result = ask(self.end, OWN_STATUS, programs.string(vault))
        check(result[0] == 0, f"the vault starts: {result[2]}")
        children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        (self.enclave,) = [int(pid) for pid in children if os.readlink(f"/proc/{pid}/exe").endswith("holdfast-enclave")]

    def close(self):
        self.end.close()
        self.process.wait(20)


# [PR-4] what the filter permits, as its source says it; bare mode leaves out the last line
source = open(os.path.join(root, "src", "enclave", "sandbox.c")).read()
bare, packaged = source[:source.index("hf_enclave_confine")].split("/* Packaged mode alone")
permitted = set(re.findall(r"ANY\((\w+)\)", bare)) - {"name"}
check(45 > len(permitted) > 20 and not permitted & {"socket", "connect", "execve", "clone", "fork", "open", "ptrace", "bind", "sendto"}, f"the list: {sorted(permitted)}")

def inject(number, *arguments, text=b""):
    """In a fresh enclave."""
    v = Running()
    enclave = Injected(v.enclave)
    outcome = enclave.call(number, *arguments, text=text)
    enclave.end()
    v.close()
    return outcome


AT_FDCWD, DIR, EACCES = -100, 6, 13
open(os.path.join(vault, "secret"), "w").close()
openat = 257
check(inject(39) > 1, "getpid, permitted, is answered: the injection works")
check(inject(openat, DIR, "text", 0, text=b"keybag") > 2, "its own keybag opens")
for directory, path in ((AT_FDCWD, b"/etc/passwd"), (AT_FDCWD, state.encode()), (AT_FDCWD, b"/proc/self/mem"), (DIR, b".."), (DIR, b"../secret"), (AT_FDCWD, b"/dev/null")):
    flags = 0o200000 if path in (b"..", state.encode()) else 0  # O_DIRECTORY
    got = inject(openat, directory, "text", flags, text=path)
    check(got == -EACCES, f"openat {path} is refused: {got}")
check(inject(openat, AT_FDCWD, "text", 0o101, 0o600, text=os.path.join(work, "new").encode()) == -EACCES and not os.path.exists(os.path.join(work, "new")), "nothing is made elsewhere")
check(inject(263, AT_FDCWD, "text", 0, text=os.path.join(vault, "secret").encode()) == -EACCES and os.path.exists(os.path.join(vault, "secret")), "unlinkat outside is refused")
forbidden = {"socket(AF_UNIX)": (41, 1, 1, 0), "socket(AF_INET)": (41, 2, 1, 0), "connect": (42, 5, 0, 0), "bind": (49, 5, 0, 0), "accept4": (288, 3, 0, 0, 0), "execve": (59, "text", 0, 0), "fork": (57,),
             "clone": (56, 17, 0, 0, 0), "ptrace": (101, 16, os.getpid(), 0, 0), "process_vm_readv": (310, os.getpid(), 0, 0, 0, 0), "open": (2, "text", 0, 0), "io_uring_setup": (425, 1, 0),
             "memfd_create": (319, "text", 0), "prctl(PR_SET_DUMPABLE)": (157, 4, 1, 0, 0, 0), "kill": (62, 1, 0), "pidfd_getfd": (438, 3, 0, 0)}
for name, (number, *arguments) in forbidden.items():
    got = inject(number, *arguments, text=b"/bin/sh")
    check(got == "SIGSYS", f"{name} kills the enclave: {got}")
check(subprocess.run([os.path.join(build, "holdfast"), "erase", vault, "--yes"], env=env, stdout=subprocess.DEVNULL).returncode == 0, "the vault is still whole enough to erase")
shutil.rmtree(work)

# The filesystem lives on with what it is refused: a list of what is denied, and the vault's folder alone.
from vaultlib import Vault, within
v = Vault(sys.argv[1])
v.open()
fs = Injected(v.pids()["holdfast-fs"])
check(fs.call(39) > 1, "getpid, permitted, is answered")
denied = {"socket(AF_UNIX)": (41, 1, 1, 0), "socket(AF_INET)": (41, 2, 1, 0), "connect": (42, 5, 0, 0), "bind": (49, 5, 0, 0), "accept4": (288, 3, 0, 0, 0), "execve": (59, "text", 0, 0), "fork": (57,),
          "ptrace": (101, 16, os.getpid(), 0, 0), "process_vm_readv": (310, os.getpid(), 0, 0, 0, 0), "pidfd_open": (434, os.getpid(), 0), "pidfd_getfd": (438, 3, 0, 0), "mount": (165, 0, 0, 0, 0, 0),
          "unshare": (272, 0x10000000), "setns": (308, 3, 0), "io_uring_setup": (425, 1, 0), "bpf": (321, 0, 0, 0), "perf_event_open": (298, 0, 0, 0, 0, 0), "open_by_handle_at": (304, 3, 0, 0),
          "setuid": (105, 1), "keyctl": (250, 0, 0, 0, 0, 0)}
for name, (number, *arguments) in denied.items():
    got = fs.call(number, *arguments, text=b"/bin/sh")
    check(got == -1, f"{name} is refused to the filesystem: {got}")
for path in (b"/etc/passwd", os.path.join(v.work, "state").encode(), b"/proc/self/mem", b"/dev/null"):
    got = fs.call(openat, AT_FDCWD, "text", 0o200000 if path.endswith(b"state") else 0, text=path)
    check(got == -EACCES, f"openat {path} is refused to the filesystem: {got}")
check(fs.call(openat, AT_FDCWD, "text", 0o101, 0o600, text=os.path.join(v.work, "new").encode()) == -EACCES and not os.path.exists(os.path.join(v.work, "new")), "it makes nothing elsewhere")
fs.end()
check(within(10, lambda: not v.running() and not v.mounted()), f"its death is lock: {v.running()}")
finish()
