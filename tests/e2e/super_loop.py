#!/usr/bin/env python3
# runs alone: times of answers
"""The supervisor serves lock, close, status, the grace timer and the death of programs at once, whatever else is under way. Everything is real but
the filesystem (mock_fs.py). super_loop.py BUILD"""
import atexit, json, os, re, shutil, signal, socket, subprocess, sys, tempfile, time

import programs
from programs import BUSY, OK, PROTOCOL, ask, check, finish, skip

if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
    skip("needs root and /dev/fuse to mount")
    finish()
build = os.path.join(os.path.abspath(sys.argv[1]), "src")
work = tempfile.mkdtemp()
atexit.register(lambda: [os.kill(int(pid), signal.SIGTERM) for pid in subprocess.run(["pgrep", "-f", work + "/bin/holdfast-super"], capture_output=True, text=True).stdout.split()])
bin, state, run, vault, mount = (os.path.join(work, d) for d in ("bin", "state", "run", "vault", "mount"))
for folder in (bin, state, run, mount):
    os.mkdir(folder, 0o700)
for program in ("holdfast", "holdfast-super", "holdfast-enclave", "holdfast-element"):
    shutil.copy(os.path.join(build, program), bin)
shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mock_fs.py"), os.path.join(bin, "holdfast-fs"))
os.chmod(os.path.join(bin, "holdfast-fs"), 0o755)
env = {**programs.environment(state), "XDG_RUNTIME_DIR": run, "HF_TEST_CONFIRM_MS": "6000"}
PASS = "correct horse battery staple otter lamp"


class Command:
    """holdfast with words; the passcode, if any, on descriptor 0."""
    def __init__(self, *words, passcode=None):
        self.began = time.monotonic()
        self.process = subprocess.Popen([os.path.join(bin, "holdfast"), *words] + (["--passcode-fd", "0"] if passcode else []), env=env, text=True,
                                        stdin=subprocess.PIPE if passcode else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if passcode:
            self.process.stdin.write(passcode + "\n")
            self.process.stdin.close()
            self.process.stdin = None

    def end(self):
        self.text = self.process.communicate(timeout=60)[0]
        self.took = time.monotonic() - self.began
        return self.process.returncode


def run_(*words, passcode=None):
    command = Command(*words, passcode=passcode)
    command.end()
    return command


def expect(want, *words, passcode=None):
    command = run_(*words, passcode=passcode)
    check(command.process.returncode == want, f"{words}: exit {command.process.returncode}, not {want}: {command.text}")
    return command


def status():
    command = run_("status", vault, "--json")
    return {**json.loads(command.text), "took": command.took} if command.process.returncode == 0 else {"state": command.text, "took": command.took}


def flag(name, on=True):
    path = os.path.join(bin, name)
    open(path, "w").close() if on else os.path.exists(path) and os.unlink(path)


def log(clear=True):
    path = os.path.join(bin, "mock.log")
    lines = open(path).read().splitlines() if os.path.exists(path) else []
    flag("mock.log", not clear and bool(lines)) if clear else None
    return lines


def wait_for(what, condition, seconds=10):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return check(False, what)


def under_way(verb):
    wait_for(f"{verb} gets under way", lambda: status().get("under_way") == verb)


def open_vault():
    log()
    expect(0, "open", vault, mount, passcode=PASS)
    check(status()["state"] == "unlocked", "open")


def is_over(pids, why):
    """Nothing is left: no mount, no socket, no program."""
    wait_for(f"{why}: the mount is gone", lambda: mount not in open("/proc/mounts").read())
    wait_for(f"{why}: the socket is gone", lambda: not os.listdir(os.path.join(run, "holdfast")))
    wait_for(f"{why}: the programs have ended", lambda: not any(alive(pid) for pid in pids.values()))


def alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def connect():
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.connect(os.path.join(run, "holdfast", os.listdir(os.path.join(run, "holdfast"))[0]))
    end.settimeout(20)
    return end


# An unlock that takes a while: a second or so of Argon2id.
expect(0, "create", vault, "--element", "software", "--kdf", "128,6", "--grace", "1", "--no-recovery", passcode=PASS)
open_vault()
check("START" in log(), "START reaches the filesystem")

# [IF-3]
FIELDS = """vault vault_id mountpoint state element classes open_unless_open open_unless_open_since_s failed_since_unlock grace_left_s generation settings pids secret_memory kdf_may_swap freshness note
under_way version enclave_sha256 since_s triggers last_stop""".split()
now = json.loads(run_("status", vault, "--json").text)
check(set(now) == set(FIELDS), f"the fields of status: {sorted(set(now) ^ set(FIELDS))}")
check({"kind", "hardware", "vendor", "failed", "limit", "retry_after_s", "erase"} <= set(now["element"]) and now["mountpoint"] == mount, "and the element's")
check(set(now["pids"]) == {"holdfast-super", "holdfast-enclave", "holdfast-element", "holdfast-fs"}, "all programs")
listed = json.loads(run_("status", "--json").text)["vaults"]
check([v["vault"] for v in listed] == [vault] and listed[0]["state"] == "unlocked", f"status without a vault: {listed}")

# [CH-8] a lock asked for while an unlock runs: at once at the filesystem, behind the unlock at the enclave, and it wins
unlock = Command("unlock", vault, passcode=PASS)
under_way("unlock")
now = status()
check(now["took"] < 0.5 and now["pids"], f"status during an unlock takes {now['took']:.2f} s")
check(run_("rotate", vault).text.find("unlock is under way") >= 0, "a second long verb is refused by name")
lock = Command("lock", vault, "--now")
wait_for("the filesystem is told at once", lambda: any(line.startswith("LOCK 6 1") for line in log(False)))
check(unlock.process.poll() is None, "while the passcode is still judged")
check((lock.end(), unlock.end()) == (0, 6), f"lock exits {lock.process.returncode}, unlock {unlock.process.returncode}: {unlock.text}")
now = status()
check(now["state"] == "locked" and not now["classes"]["complete"] and now["classes"]["after-unlock"], f"and it ends locked: {now}")
lines = log()
check([line.split()[:3] for line in lines] == [["LOCK", "6", "1"], ["LOCK", "6", "2"]], f"two phases, no UNLOCK: {lines}")
check(int(lines[-1].split()[3]) & 2 == 0, "the enclave had forgotten before the second phase")
print(f"unlock {unlock.took:.2f} s, lock during it {lock.took:.2f} s, status {now['took'] * 1000:.0f} ms")

# the same without --now, and with a wrong passcode
unlock = Command("unlock", vault, passcode=PASS)
under_way("unlock")
expect(0, "lock", vault)
check(unlock.end() == 6 and status()["state"] == "locked", "a lock with grace during an unlock ends locked as well")
unlock = Command("unlock", vault, passcode="a wrong one, thirty chars long")
under_way("unlock")
expect(0, "lock", vault, "--now")
check(unlock.end() == 3 and status()["state"] == "locked", "a wrong passcode and a lock")
expect(0, "unlock", vault, passcode=PASS)
check(status()["state"] == "unlocked" and log()[-1] == "UNLOCK", "a real unlock")

# the grace timer goes off while a check runs, and ends it; only a real unlock cancels it
look = Command("check", vault)
under_way("check")
expect(0, "lock", vault)
began = time.monotonic()
check(status()["state"] == "locking", "the grace runs")
wait_for("the grace ends during a check", lambda: status()["state"] == "locked", 3)
check(time.monotonic() - began < 2, f"in time: {time.monotonic() - began:.2f} s")
check(look.end() == 1 and "stopped by a lock" in look.text and "STOP" in log(), f"the check was stopped: {look.text[:200]}")
expect(0, "unlock", vault, passcode=PASS)
log()
expect(0, "lock", vault)
expect(0, "unlock", vault, passcode=PASS)
check(status()["state"] == "unlocked" and log() == ["UNLOCK"], "an unlock begun in the grace cancels it")
expect(0, "lock", vault)
unlock = Command("unlock", vault, passcode="another wrong one of some length")
check(unlock.end() == 3, "a wrong one does not")
wait_for("locked at the verdict", lambda: status()["state"] == "locked", 1)
expect(0, "unlock", vault, passcode=PASS)

# an owner who asks for a check and does not read holds nothing up
flag("flood")
idle = connect()
programs.send(idle, 0x010C)
under_way("check")
time.sleep(1)
lock = expect(0, "lock", vault, "--now")
check(lock.took < 2 and status()["state"] == "locked", f"lock with an owner who does not read: {lock.took:.2f} s")
idle.close()
flag("flood", False)
expect(0, "unlock", vault, passcode=PASS)

# nor does one whose verb brings a channel on which no secret comes
idle, (ours, theirs) = connect(), programs.pair()
programs.send(idle, 0x0103, b"", [theirs.fileno()])
under_way("unlock")
lock = expect(0, "lock", vault, "--now")
check(lock.took < 5 and status()["state"] == "locked", f"lock beside a verb without its secret: {lock.took:.2f} s")
check(programs.reply(idle)[0] != OK, "which fails")
for end in (idle, ours, theirs):
    end.close()
expect(0, "unlock", vault, passcode=PASS)

# rotate: a lock between its classes
rotate = Command("rotate", vault)
wait_for("rotate reaches the filesystem", lambda: "ROTATE" in log(False))
expect(0, "lock", vault, "--now")
check(rotate.end() in (1, 6), f"rotate ends: {rotate.text}")
expect(0, "unlock", vault, passcode=PASS)
flag("done")
rotate = expect(0, "rotate", vault)
check("28 files" in rotate.text, rotate.text)
expect(0, "check", vault)
flag("done", False)

# [CH-1] [CH-4] the owner's socket carries the owner's verbs and nothing else; what is malformed or not permitted changes nothing
end = connect()
for kind in (0, 1, 0x0100, 0x010F, 0x0201, 0x0203, 0x0204, 0x0301, 0x0303, 0x0403, 0x0502, 0xFFFF):
    check(ask(end, kind)[0] == PROTOCOL, f"{kind:#x} on the owner's socket")
for kind in (0x0101, 0x0102):
    check(ask(end, kind, programs.string(vault), [0])[0] == BUSY, f"{kind:#x} while open")
for kind, body in ((0x0103, b"x"), (0x0104, b""), (0x0104, b"\0\0"), (0x0105, b""), (0x0107, b"\5\0ab"), (0x0109, b""), (0x010A, b"\9"), (0x010B, b"\1\0x"), (0x010C, b"x")):
    check(ask(end, kind, body)[0] == PROTOCOL, f"{kind:#x} with body {body}")
check(ask(end, 0x0103)[0] == PROTOCOL, "unlock without a secret's channel")
check(status()["state"] == "unlocked" and len(set(status()["pids"])) == 4, "and nothing has changed")
end.close()

# [CH-3] no passcode passes through the supervisor: its memory never has one
unlock = Command("unlock", vault, passcode=PASS)
under_way("unlock")
pid = status()["pids"]["holdfast-super"]
seen = {PASS.encode(): 0, mount.encode(): 0}
for _ in range(2):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            low, high = (int(x, 16) for x in re.match(r"([0-9a-f]+)-([0-9a-f]+)", line).groups())
            if " r" in line and "[v" not in line and high - low < 1 << 26:
                memory.seek(low)
                try:
                    content = memory.read(high - low)
                except OSError:
                    continue
                for word in seen:
                    seen[word] += content.count(word)
    unlock.end()
check(seen[mount.encode()] > 0 and seen[PASS.encode()] == 0, f"in the supervisor's memory: {seen}")

# close, by force and in order, during a check; a signal
look_pids = status()["pids"]
look = Command("check", vault)
under_way("check")
expect(0, "close", vault, "--force")
check(look.end() == 1, f"check at a close: {look.text[-200:]}")
is_over(look_pids, "close")
check(log()[-1] == "CLOSE", "the filesystem settled")
open_vault()
pids = status()["pids"]
os.kill(pids["holdfast-super"], signal.SIGTERM)
is_over(pids, "SIGTERM")
check("CLOSE" in log(), "a signal closes in order")

# [CH-9] the death of each program while an unlock runs is told at once
for victim in ("holdfast-element", "holdfast-enclave", "holdfast-fs"):
    open_vault()
    pids = status()["pids"]
    unlock = Command("unlock", vault, passcode=PASS)
    under_way("unlock")
    os.kill(pids[victim], signal.SIGKILL)
    began = time.monotonic()
    told = (1, 9) if victim == "holdfast-element" else (1,) # the enclave may miss its element before the supervisor does
    check(unlock.end() in told and ("ended: the vault was closed" in unlock.text or "does not answer" in unlock.text) and time.monotonic() - began < 1, f"{victim} dies: {unlock.text}")
    is_over(pids, victim + " dies")

# [CH-8] a lock that is not confirmed ends everything: a filesystem that refuses, one that does not answer
for how in ("refuse", "deaf"):
    open_vault()
    pids = status()["pids"]
    flag(how)
    lock = expect(1, "lock", vault, "--now")
    check("not confirmed" in lock.text and lock.took < 8, f"{how}: {lock.took:.1f} s: {lock.text}")
    is_over(pids, how)
    flag(how, False)

# whoever asked for the vault to be opened goes away: it is not opened
opening = Command("open", vault, mount, passcode=PASS)
time.sleep(0.25)
opening.process.kill()
opening.process.communicate()
wait_for("an open without its owner ends", lambda: subprocess.run(["pgrep", "-f", bin + "/holdfast-"], stdout=subprocess.DEVNULL).returncode == 1)
check(mount not in open("/proc/mounts").read(), "and mounts nothing")
shutil.rmtree(work, ignore_errors=True)
finish()
