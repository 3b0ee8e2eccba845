#!/usr/bin/env python3
# runs alone: an erasing's time
"""Erase on a mounted, busy vault, and killed at any instant [ER-1] [ER-2] [ER-3]. erase.py BUILD (HF_LONG=1: hundreds of kills)"""
import os, random, shutil, signal, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
SEED = int(os.environ.get("HF_SEED") or random.randrange(1 << 32))


def hidden(v):
    return os.path.join(v.vault, ".holdfast")


def state_copy(v, name):
    """The keys' files and the element's, as a thief with an older copy of the disk has them."""
    where = os.path.join(v.work, name)
    shutil.copytree(hidden(v), where)
    return where


def gone(v, what):
    check(within(10, lambda: not v.mounted() and not v.running()), f"{what}: left: {v.running()}")
    p = v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
    check(p.returncode == 5, f"{what}: the passcode opens nothing: exit {p.returncode} {p.stderr.strip()}")
    check(v.status()["state"] == "erased", f"{what}: status says {v.status()['state']}")
    left = [n for n in os.listdir(hidden(v)) if n in ("keybag", "keybag.new", "erase")]
    check(not left, f"{what}: left in .holdfast: {left}")
    p = v.run("recover", v.vault, "--test", "--recovery-file", v.phrase)
    check(p.returncode == 5, f"{what}: the phrase opens nothing: exit {p.returncode} {p.stderr.strip()}")


def busy(erase_while=None):
    """Under fio, a check and an unlock: erased at once, and what an older copy holds is useless on this machine."""
    v = Vault(BUILD, kdf="256,4", recovery=True)
    v.open()
    c = v.protected("secret")
    put(f"{c}/a")
    held = os.open(f"{c}/a", os.O_RDWR)
    mapped = map_file(held)
    mapped[0:5] = b"dirty"
    copy = state_copy(v, "copy")
    load = subprocess.Popen(["fio", "--name=load", f"--directory={c}", "--size=16m", "--numjobs=2", "--rw=randrw", "--bs=8k", "--time_based", "--runtime=60", "--fsync=16"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    check(within(20, lambda: len(os.listdir(c)) >= 3), "fio has begun")
    others = [v.start("check", v.vault, "--passcode-fd", "0", given=PASS)]
    if erase_while == "unlock":
        v.lock()
        others.append(v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS))
        check(within(5, lambda: v.status()["under_way"] == "unlock"), "an unlock is under way")
    began = time.monotonic()
    v.must("erase", v.vault, "--yes")
    took = time.monotonic() - began
    check(took < 2 and not v.mounted(), f"erased in {took:.2f} s, the mount is gone with it")
    check(error_of(os.pread, held, 10, 0) and fault_signal(mapped) == signal.SIGBUS, "descriptor and mapping are dead")
    check(load.wait(20) != 0, "fio fails")
    ended = [p.wait(20) for p in others]
    check(ended[-1] != 0 or not erase_while, f"and an unlock that was under way: {ended}")
    os.close(held)
    mapped.close()
    gone(v, "busy" if not erase_while else "busy, " + erase_while)
    for name in os.listdir(copy): # the older keybag put back: the element has nothing for it
        if os.path.isfile(os.path.join(copy, name)):
            shutil.copy(os.path.join(copy, name), hidden(v))
    p = v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
    check(p.returncode in (5, 9), f"an older keybag put back opens nothing by the passcode: exit {p.returncode} {p.stderr.strip()}")
    print(f"erase under fio{' and ' + erase_while if erase_while else ''}: {took * 1000:.0f} ms")
    v.clean()


def not_to_be_stopped():
    """A program that stands still, one that dies, a keybag that is damaged, an element that has lost its state: the keybags go all the same."""
    for how in ("enclave dies", "element dies", "filesystem stands still", "enclave stands still"):
        v = Vault(BUILD, recovery=True)
        v.open()
        put(os.path.join(v.protected("secret"), "a"))
        pids = v.pids()
        stopped = [pids["holdfast-fs"]] if how == "filesystem stands still" else [pids["holdfast-enclave"]]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        p = v.start("erase", v.vault, "--yes")
        # the request is on its way to an enclave that does not answer: its death, or another's, must not lose it
        if how != "filesystem stands still":
            check(within(5, lambda: os.path.exists(os.path.join(hidden(v), "erase"))), f"{how}: the intent is on the disk")
        if how == "enclave stands still":
            status = v.start("status", v.vault) # and a signal that ends the supervisor
            os.kill(pids["holdfast-super"], signal.SIGTERM)
            status.wait(20)
        elif "dies" in how:
            os.kill(pids["holdfast-element" if "element" in how else "holdfast-enclave"], signal.SIGKILL)
        check(p.wait(20) == 0, f"{how}: erase exits {p.returncode} {p.stderr.read().strip()}")
        gone(v, how)
        v.clean()
    v = Vault(BUILD, recovery=True)
    bag = os.path.join(hidden(v), "keybag")
    data = bytearray(open(bag, "rb").read())
    data[40] ^= 1
    open(bag, "wb").write(data)
    v.must("erase", v.vault, "--yes", want=9)
    check(not os.path.exists(bag) and not os.path.exists(os.path.join(hidden(v), "erase")), "a damaged keybag goes too, and the owner is told that the element could not be")
    v.clean()


def killed(rounds):
    """kill -9 of each program, of all, of the command, at a random instant: erased when it said so, and else erased or whole."""
    rng = random.Random(SEED)
    ends = {}
    for n in range(rounds):
        v = Vault(BUILD, recovery=True)
        v.open()
        c = v.protected("secret")
        a = put(f"{c}/a", BLOCK * 4)
        fd = os.open(a, os.O_RDWR)
        os.fsync(fd)
        dir_fd = os.open(c, os.O_RDONLY)
        os.fsync(dir_fd)
        pids = v.pids()
        victims = rng.choice((["holdfast-super"], ["holdfast-enclave"], ["holdfast-element"], ["holdfast-fs"], list(pids), ["command"], ["holdfast-super", "command"]))
        delay = rng.uniform(0, 0.06)
        p = v.start("erase", v.vault, "--yes")
        time.sleep(delay)
        for victim in victims:
            try:
                os.kill(p.pid if victim == "command" else pids[victim], signal.SIGKILL)
            except ProcessLookupError:
                pass
        told = p.wait(30)
        os.close(fd)
        os.close(dir_fd)
        what = f"round {n}: {'+'.join(victims)} killed after {delay * 1000:.0f} ms, told {told}"
        check(within(10, lambda: not v.mounted() and not v.running()) or "command" in victims, f"{what}: left: {v.running()}")
        if v.mounted() and victims == ["command"]: # it never came to ask
            check(told != 0 and open(a, "rb").read() == BLOCK * 4, f"{what}: still open, and whole")
            v.close()
        p = v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
        if p.returncode == 0:
            check(told != 0 and open(a, "rb").read() == BLOCK * 4, f"{what}: not begun, so whole")
            v.must("check", v.vault)
            ends["whole"] = ends.get("whole", 0) + 1
            v.close()
        else:
            gone(v, what)
            ends["erased"] = ends.get("erased", 0) + 1
        v.clean()
    check(ends.get("erased", 0) > 0, f"some of them were erased: {ends}")
    print(f"{rounds} kills during an erase: {ends} (seed {SEED})")


for part in sys.argv[2:] or ("busy", "busy_unlocking", "not_to_be_stopped", "killed"):
    began = time.monotonic()
    if part == "busy_unlocking":
        busy("unlock")
    elif part == "killed":
        killed(200 if LONG else 6)
    else:
        globals()[part]()
    print(f"{part}: {time.monotonic() - began:.1f} s", flush=True)
finish()
