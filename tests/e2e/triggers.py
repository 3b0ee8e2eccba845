#!/usr/bin/env python3
# runs alone: times of a suspend and of the inactivity limit
"""What locks a vault beside the verb: the screen's lock, a suspend, inactivity, on a private bus with a logind of its own [LK-1]…[LK-8]. triggers.py BUILD"""
import os, signal, subprocess, sys, threading, time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")]
from logind import Bus
from vaultlib import *

BUILD = sys.argv[1]


def becomes(v, state, seconds=10):
    got = within(seconds, lambda: v.status()["state"] == state)
    return check(got, f"the state becomes {state}: {v.status()['state']}")


def stays(v, state, seconds=0.4):
    time.sleep(seconds)
    return check(v.status()["state"] == state, f"the state stays {state}: {v.status()['state']}")


def sees(v, screen, suspend, why):
    ok = within(10, lambda: (lambda t: (t["screen"], t["suspend"]) == (screen, suspend))(v.status()["triggers"]))
    return check(ok, f"{why}: {v.status()['triggers']}")


def vault(bus, *create, more=()):
    v = Vault(BUILD, env={"DBUS_SYSTEM_BUS_ADDRESS": bus.address}, create=create)
    v.open(*more)
    return v


def locked(v, path, what):
    check(error_of(os.stat, path) == "ENOKEY", f"{what}: a complete file answers ENOKEY: {error_of(os.stat, path) or 'succeeds'}")


def screen():
    """[LK-1] the screen's lock, its grace, whose session, who says so; Unlock opens nothing."""
    bus = Bus(BUILD)
    v = vault(bus, "--grace", "1")
    sees(v, True, True, "the bus is watched")
    a = put(os.path.join(v.protected("secret"), "a"))
    bus.tell("lock", 2)
    stays(v, "unlocked")
    for forged in (["emit", "/org/freedesktop/login1/session/_31", "org.freedesktop.login1.Session", "Lock"],
                   ["emit", "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "PrepareForSleep", "b", "true"]):
        done = subprocess.run(["busctl", "--address=" + bus.address, *forged], capture_output=True, text=True)
        check(done.returncode == 0, f"busctl: {done.stderr}")
    stays(v, "unlocked")
    bus.tell("lock", 1)
    becomes(v, "locking")
    bus.tell("unlock", 1)
    check(v.status()["state"] in ("locking", "locked"), "an Unlock signal does not cancel the grace")
    becomes(v, "locked")
    locked(v, a, "screen lock")
    bus.tell("unlock", 1)
    stays(v, "locked")
    now = v.status()
    check(now["since_s"] < 5 and now["classes"] == {"complete": False, "unless-open": False, "after-unlock": True, "always": True}, f"status per class and since when: {now['classes']} {now['since_s']}")
    v.unlock()
    bus.tell("hint", 1) # a desktop that locks by itself
    becomes(v, "locked")
    v.unlock()
    bus.tell("lock", 3) # a session of which nobody knows whose it is
    becomes(v, "locked")
    v.unlock()
    # the policy [LK-7]
    v.must("settings", v.vault, "--screen-lock", "none", "--passcode-fd", "0", given=OTHER, want=3)
    check(v.status()["settings"]["screen_lock"] == "complete", "a wrong passcode changes no setting")
    v.must("settings", v.vault, "--screen-lock", "none", "--passcode-fd", "0", given=PASS)
    bus.tell("lock", 1)
    stays(v, "unlocked")
    before = v.status()["generation"]
    v.must("settings", v.vault, "--screen-lock", "after-unlock", "--grace", "0", "--passcode-fd", "0", given=PASS)
    check(v.status()["generation"] == before + 1, "a settings' change is a new generation")
    put(v.path("plain"))
    bus.tell("lock", 1)
    becomes(v, "before-first-unlock")
    check("plain" not in os.listdir(v.mnt), "and after-unlock's names are hidden")
    v.unlock()
    v.close()
    kept = v.status()["settings"]
    check((kept["screen_lock"], kept["grace_s"]) == ("after-unlock", 0), f"settings outlive the close: {kept}")
    v.must("settings", v.vault, "--inactivity", "77", "--passcode-fd", "0", given=PASS)
    check(v.status()["settings"]["inactivity_s"] == 77, "and can be changed while it is closed")
    for words in (("settings", v.vault), ("settings", v.vault, "--screen-lock", "always"), ("settings", v.vault, "--grace", "x"), ("settings",), ("create", v.vault + "2", "--screen-lock", "unless-open")):
        v.must(*words, want=2)
    v.clean()
    bus.end()


def suspend():
    """[LK-2] before the machine sleeps the keys are gone: under load, with mappings dirty, without waiting for a grace."""
    bus = Bus(BUILD)
    v = vault(bus, "--grace", "600")
    sees(v, True, True, "an inhibitor is held")
    check(bus.held() == 1, "one inhibitor is out")
    c = v.protected("secret")
    fds = [os.open(f"{c}/{n}", os.O_RDWR | os.O_CREAT) for n in range(20)]
    for fd in fds:
        os.pwrite(fd, BLOCK * 4, 0)
    mapped = map_file(fds[0])
    mapped[PAGE:PAGE + 5] = b"dirty"
    acked, refused, stop = {}, set(), False

    def write(fd):
        n = 0
        while not stop:
            try:
                os.pwrite(fd, n.to_bytes(8, "little") * 512, 2 * PAGE)
                acked[fd] = n
            except OSError as e:
                refused.add(errno.errorcode[e.errno])
                time.sleep(0.001)
            n += 1

    writers = [threading.Thread(target=write, args=(fd,)) for fd in fds[1:]]
    for t in writers:
        t.start()
    within(5, lambda: len(acked) == len(fds) - 1)
    ms, left = bus.sleep()
    check(left == 0 and ms < 4500, f"ready to sleep after {ms} ms, {left} inhibitors out")
    check(v.status()["state"] == "locked", "locked, grace or not, when logind goes on")
    locked(v, f"{c}/0", "suspended")
    unlock = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    time.sleep(0.3)
    check(unlock.poll() is None and v.status()["state"] == "locked", "nothing is unlocked while the machine is about to sleep")
    bus.tell("wake")
    check(unlock.wait(30) == 0, "after the wake it is")
    check(within(10, lambda: bus.held() == 1), "and a new inhibitor is held")
    stop = True
    for t in writers:
        t.join()
    check(refused <= {"ENOKEY"}, f"writers see ENOKEY and nothing else: {refused}")
    wrong = [fd for fd in acked if os.pread(fd, 8, 2 * PAGE) != acked[fd].to_bytes(8, "little")]
    check(not wrong and mapped[PAGE:PAGE + 5] == b"dirty", f"nothing that was acknowledged is lost: {wrong}")
    print(f"suspend: ready after {ms} ms with 20 files under load")
    for fd in fds:
        os.close(fd)
    mapped.close()
    v.must("check", v.vault)
    # while locked, and before the first unlock
    v.lock()
    ms, left = bus.sleep()
    check(left == 0 and v.status()["state"] == "locked", f"suspended while locked: {ms} ms")
    bus.tell("wake")
    v.close()
    v.must("open", v.vault, v.mnt, "--locked")
    sees(v, True, True, "an inhibitor is held before the first unlock")
    ms, left = bus.sleep()
    check(left == 0 and v.status()["state"] == "before-first-unlock", f"suspended before the first unlock: {ms} ms")
    bus.tell("wake")
    v.unlock()
    # during an unlock: the keys that it brings are gone before the sleep as well
    check(within(10, lambda: bus.held() == 1), "held again")
    v.lock()
    unlock = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    within(5, lambda: v.status()["under_way"] == "unlock")
    ms, left = bus.sleep()
    check(left == 0 and not v.status()["classes"]["complete"], f"a suspend during an unlock ends without keys: {ms} ms")
    check(unlock.wait(30) in (0, 6), "and the unlock is told")
    bus.tell("wake")
    v.clean()
    bus.end()


def gathered():
    """[LK-2] with --for databases, where the kernel holds back writes: they are home before the machine sleeps."""
    bus = Bus(BUILD)
    v = vault(bus, "--grace", "600", more=("--for", "databases"))
    sees(v, True, True, "an inhibitor is held")
    c = v.protected("secret")
    fds = [os.open(f"{c}/{n}", os.O_RDWR | os.O_CREAT) for n in range(20)]
    data = os.urandom(4 << 20)
    for fd in fds:
        os.pwrite(fd, data, 0)
    ms, left = bus.sleep()
    check(left == 0 and ms < 4500 and v.status()["state"] == "locked", f"80 MB held back: ready after {ms} ms, {v.status()['state']}")
    check(all(error_of(os.pread, fd, 8, 0) == "ENOKEY" and error_of(os.pwrite, fd, BLOCK, 0) == "ENOKEY" for fd in fds), "and locked")
    bus.tell("wake")
    v.unlock()
    check(all(os.pread(fd, len(data), 0) == data for fd in fds), "nothing is lost")
    for fd in fds:
        os.close(fd)
    print(f"gathered: 80 MB home in {ms} ms")
    v.clean()
    bus.end()


def cannot_write():
    """[LK-3] what can't be written in time is refused and noted; the keys go all the same. A filesystem that stands still is one whose disk does."""
    bus = Bus(BUILD)
    v = vault(bus)
    sees(v, True, True, "an inhibitor is held")
    c = v.protected("secret")
    fd = os.open(f"{c}/a", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, BLOCK * 4, 0)
    os.fsync(fd)
    mapped = map_file(fd)
    mapped[0:5] = b"dirty"
    pids = v.pids()
    os.kill(pids["holdfast-fs"], signal.SIGSTOP)
    ms, left = bus.sleep()
    check(left == 0 and ms < 5000, f"a filesystem that stands still: ready after {ms} ms, {left} inhibitors out")
    check(not v.running() or set(v.running().values()) == {"holdfast"}, f"no program with a key is left: {v.running()}")
    for name, fn in {"read": lambda: os.pread(fd, 8, 0), "write": lambda: os.pwrite(fd, BLOCK, PAGE), "msync": lambda: mapped.flush()}.items():
        check(error_of(fn) in ("EIO", "ENOTCONN"), f"{name} is refused: {error_of(fn) or 'succeeded'}")
    os.close(fd)
    mapped.close()
    check(within(5, lambda: not v.mounted()), "the mount is gone")
    bus.tell("wake")
    told = v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
    check(told.returncode == 0 and "not closed in order" in told.stderr and "not confirmed" in told.stderr, f"the next open says so: {told.stderr}")
    check("not confirmed" in v.status()["last_stop"], f"and status: {v.status()['last_stop']}")
    check(open(f"{c}/a", "rb").read(16) in (BLOCK[:16], b"dirty" + BLOCK[5:16]), "what was fsynced is there")
    v.must("check", v.vault)
    v.close()
    v.open()
    check(v.status()["last_stop"] is None, "it is told once")
    # a line that somebody wrote there cannot do harm
    v.close()
    open(os.path.join(v.vault, ".holdfast", "last-stop"), "wb").write(b"\x1b[31m\"\n" * 500)
    v.open()
    check(v.status()["last_stop"] is None, "a note that is too long is none")
    v.clean()
    bus.end()


def bus_goes():
    """[LK-8] no bus is a note, not an error; one that comes, goes, or gets another logind is followed."""
    bus = Bus(BUILD, start=False)
    v = vault(bus)
    t = v.status()["triggers"]
    check(not t["screen"] and not t["suspend"] and "no system bus" in t["note"], f"no bus: {t}")
    a = put(os.path.join(v.protected("secret"), "a"))
    bus.start()
    sees(v, True, True, "a bus that comes is found")
    bus.stop_logind()
    sees(v, False, False, "logind goes")
    check("no logind" in v.status()["triggers"]["note"], "and is missed")
    bus.start_logind()
    sees(v, True, True, "and comes")
    bus.stop()
    sees(v, False, False, "the bus goes")
    v.lock()
    v.unlock()
    bus.start()
    check(within(20, lambda: v.status()["triggers"]["suspend"]), "and comes")
    ms, left = bus.sleep()
    check(left == 0 and v.status()["state"] == "locked", "and works")
    locked(v, a, "after all that")
    bus.stop() # the wake is never told: nobody waits for it for ever
    v.unlock()
    v.close()
    check(within(5, lambda: not v.running()), f"nothing is left: {v.running()}")
    v.clean()
    bus.end()


def inactivity():
    """[LK-4] locked for too long: back to before the first unlock, also when nobody could act meanwhile (a suspend, here programs that are stopped)."""
    v = Vault(BUILD, create=("--inactivity", "2", "--grace", "0"))
    v.open()
    a = put(os.path.join(v.protected("secret"), "a"))
    plain = os.open(put(v.path("plain"), BLOCK * 64), os.O_RDWR)
    os.fsync(plain)
    v.must("lock", v.vault)
    began = time.monotonic()
    check(os.pread(plain, 4, 0) == BLOCK[:4], "after-unlock is there while locked")
    becomes(v, "before-first-unlock", 10)
    took = time.monotonic() - began
    check(1.5 < took < 4, f"after two seconds: {took:.2f}")
    check(error_of(os.pread, plain, 4, 0) == "ENOKEY" and os.listdir(v.mnt) == [], "an open descriptor is locked too, names are hidden")
    check(not any(v.status()["classes"][c] for c in ("complete", "unless-open", "after-unlock")), f"the enclave has none: {v.status()['classes']}")
    v.unlock()
    check(os.pread(plain, 4, 0) == BLOCK[:4] and os.stat(a).st_size == len(BLOCK), "and back")
    time.sleep(2.5)
    check(v.status()["state"] == "unlocked", "it counts from a lock, not from an unlock")
    # a long suspend: nobody runs; then the filesystem wakes first, and the supervisor, which would send the lock, last
    v.must("lock", v.vault)
    pids = v.pids()
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    os.posix_fadvise(plain, 0, 0, os.POSIX_FADV_DONTNEED)
    results = []
    readers = [threading.Thread(target=lambda: results.append(error_of(os.pread, plain, 4, 100 * 1024)))]
    for t in readers:
        t.start()
    time.sleep(2.6)
    for name in ("holdfast-fs", "holdfast-enclave", "holdfast-element"):
        os.kill(pids[name], signal.SIGCONT)
    for t in readers:
        t.join(10)
    got = error_of(os.stat, v.path("absent-name"))
    check(results == ["ENOKEY"] and got == "ENOKEY", f"after the limit no request is served before the eviction: read {results}, lookup {got or 'succeeded'}")
    os.kill(pids["holdfast-super"], signal.SIGCONT)
    becomes(v, "before-first-unlock", 5)
    v.unlock()
    check(os.pread(plain, 4, 100 * 1024) == BLOCK[:4], "and back again")
    os.close(plain)
    v.close()
    v.clean()


for part in sys.argv[2:] or ("screen", "suspend", "gathered", "cannot_write", "bus_goes", "inactivity"):
    began = time.monotonic()
    globals()[part]()
    print(f"{part}: {time.monotonic() - began:.1f} s", flush=True)
finish()
