#!/usr/bin/env python3
"""Sixteen threads of mixed operations on few shared names of a real mount, the vault locked and unlocked meanwhile: no error that another thread's work does not explain (ESTALE never),
each file read whole as one writer wrote it. races.py BUILD (HF_LONG=1: five minutes)"""
import os, subprocess, sys, time

from vaultkit import Vault, check, finish

BUILD = os.path.abspath(sys.argv[1])
LONG = bool(os.environ.get("HF_LONG"))
THREADS = 16


def run(seconds, seed, *options):
    what = " ".join(options) or "as mounted by default"
    v = Vault(BUILD)
    v.open(*options)
    locked = f"{v.mnt}/locked"
    os.mkdir(locked)
    v.run("protect", "--class", "complete", locked, passcode=False)
    programs = sorted(v.processes()["fs"])
    with open(os.path.join(v.plain, "said"), "w+") as said:
        work = subprocess.Popen([os.path.join(BUILD, "tests", "mixed"), v.mnt, str(THREADS), str(seconds), str(seed), locked], stdout=said)
        locks = 0
        while work.poll() is None:
            time.sleep(1)
            if work.poll() is None:
                v.run("lock", v.path, "--now", passcode=False)
                v.run("unlock", v.path, "--passcode-fd", "0")
                locks += 1
        said.seek(0)
        out = said.read()
    check(work.returncode == 0, f"{what}: {out}")
    check(sorted(v.processes().get("fs", [])) == programs, f"{what}: the filesystem lives")
    end = time.monotonic() + 20  # the kernel may still be giving back what a process had that has ended
    while v.run("close", v.path, passcode=False, want=None).returncode != 0 and time.monotonic() < end:
        time.sleep(0.1)
    v.open(*options)
    v.check()
    print(f"{what}: {THREADS} threads for {seconds} s: {out.strip().splitlines()[-1] if out.strip() else 'nothing'}, {locks} locks")
    v.tidy()


run(300 if LONG else 8, 1)
run(120 if LONG else 4, 2, "--for", "databases")
finish()
