#!/usr/bin/env python3
"""[PR-4] The enclave stays inside its list of system calls through a whole session, and opens nothing but files of its directory. (What else it tried would be
refused: enclave_sandbox.py.) A tracer is attached after it has closed its doors (as root: it refuses to start under one). enclave_syscalls.py BUILD"""
import os, re, shutil, signal, struct, subprocess, sys, tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import programs
from vaultlib import *

BUILD = sys.argv[1]
START, CREATE, UNLOCK, LOCK, PASSCODE, RECOVER, NEW_RECOVERY, ROTATE, ERASE, STATUS = range(0x0201, 0x020B)
MAKE = 0x0303
source = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../src/enclave/sandbox.c")).read()
ALLOWED = set(re.findall(r"ANY\((\w+)\),", source[:source.index("/* Packaged mode alone")]))
seen = {}


class Strace:
    """strace on a living process until it is told to stop."""

    def __init__(self, pid):
        self.file = tempfile.NamedTemporaryFile(prefix="hf-e2e-strace-")
        self.p = subprocess.Popen(["strace", "-f", "-o", self.file.name, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
        line = self.p.stderr.readline()
        check("attached" in line, f"strace: {line.strip()}")

    def stop(self, what):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGINT)
        self.p.wait(20)
        calls = set()
        for line in open(self.file.name):
            if m := re.match(r"^\d+\s+(?:<\.\.\. )?(\w+)(?:\(| resumed)", line):
                calls.add(m.group(1))
        calls = {"newfstatat" if c == "fstatat64" else c for c in calls}
        seen[what] = calls
        check({"recvmsg", "sendmsg"} <= calls, f"{what}: the trace shows the enclave at work: {sorted(calls)}")
        check(calls <= ALLOWED, f"{what}: system calls outside the list: {sorted(calls - ALLOWED)}")
        paths = set(re.findall(r'openat\((\d+|AT_FDCWD), "([^"]*)"', open(self.file.name).read()))
        check(all(fd == "6" and "/" not in path for fd, path in paths), f"{what}: files it opened: {paths}")
        check(not any("SIGSYS" in line for line in open(self.file.name)), f"{what}: none was refused")
        self.file.close()


def closed_doors(pid):
    return within(10, lambda: "Seccomp:\t2" in open(f"/proc/{pid}/status").read())


def started(folder, state):
    """Element and enclave alone, confined, so that a closed vault's verbs can be traced from their first system call."""
    p = programs.Pair(os.path.join(os.path.abspath(BUILD), "src"), folder, state)
    check(closed_doors(p.enclave.pid), "the enclave is confined")
    return p


def secret(p, kind, body, *messages):
    result, _, text, back = p.secret(kind, body, *messages)
    check(result == 0, f"{kind:#x}: {result} {text}")
    return back


def session():
    """A vault in daily use, all programs real."""
    v = Vault(BUILD, recovery=True)
    v.open()
    v.close()
    v.must("open", v.vault, v.mnt, "--locked")
    trace = Strace(v.pids()["holdfast-enclave"])
    v.unlock("not the right one at all", want=3)
    v.unlock()
    c = v.protected("secret")
    for n in range(100):
        with open(f"{c}/{n}", "wb") as f:
            f.write(b"x" * 5000)
    v.lock()
    v.unlock()
    v.must("rotate", v.vault)
    v.must("passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=PASS + "\n" + OTHER)
    v.must("recovery", "replace", v.vault, "--recovery-file", v.phrase + ".2", "--passcode-fd", "0", given=OTHER)
    v.must("check", v.vault)
    v.close()
    trace.stop("session")
    v.clean()


def closed_vault():
    work = tempfile.mkdtemp(prefix="hf-e2e-")
    folder, state = f"{work}/keys", f"{work}/state"
    os.mkdir(folder, 0o700)
    os.mkdir(state, 0o700)
    policy = struct.pack("<IIIIII", 0, 0, 0, 0, 0, 1)
    p = started(folder, state)
    trace = Strace(p.enclave.pid)
    phrase = secret(p, CREATE, policy + struct.pack("<IIIHBBIB", 65536, 1, 1, 0, 1, 0, 0, 0), b"\1" + PASS.encode())
    check(len(phrase) == 33, "create gives the recovery secret")
    p.close()
    trace.stop("create")
    p = started(folder, state)
    trace = Strace(p.enclave.pid)
    check(programs.ask(p.control, START)[0] == 0, "start")
    secret(p, RECOVER, struct.pack("<BIHBIB", 0, 1, 0, 0, 0x10000, 0), phrase, b"\2" + OTHER.encode())
    check(programs.ask(p.control, ERASE, b"\0")[0] == 0, "erase")
    p.close()
    trace.stop("recover and erase")
    shutil.rmtree(work)


if os.geteuid() != 0:
    skip("a tracer on a program that is not dumpable needs root")
else:
    check(len(ALLOWED) > 25 and "recvmsg" in ALLOWED and "socket" not in ALLOWED, "the list is read from src/enclave/sandbox.c")
    for part in sys.argv[2:] or ("session", "closed_vault"):
        globals()[part]()
    unused = ALLOWED - set().union(*seen.values()) if seen else set()
    print(f"list of {len(ALLOWED)}, {len(ALLOWED - unused)} seen in use; not seen: {' '.join(sorted(unused))}")
finish()
