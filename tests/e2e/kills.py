#!/usr/bin/env python3
"""kill -9 of each program at random instants while threads write: what was acknowledged after an fsync is there, check is clean, the vault opens, no try is lost.
(A kill is no power cut: the disk's cache lives on.) kills.py BUILD [--long] [SEED]

Proves [CR-1] [CR-3] [CR-4] [FC-5] as far as a kill can show them."""
import errno, json, os, random, signal, sys, threading, time

from vaultkit import PROGRAMS, Vault, check, finish, mounted

LONG = "--long" in sys.argv or os.environ.get("HF_LONG") == "1"
SEEDS = [a for a in sys.argv[2:] if a.isdigit()]
SLOTS, THREADS = 12, 3


def noise(seed, n):
    return random.Random(seed).randbytes(n)


def whole(fd, data, at):
    while data:
        n = os.pwrite(fd, data, at)
        data, at = data[n:], at + n


def sync_dir(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def after(old, op):
    """What the slot holds once op is done; None: no file."""
    kind, seed, n, at = op
    if kind in ("replace", "create"):
        return noise(seed, n)
    if kind == "append":
        return old + noise(seed, n)
    if kind == "overwrite":
        return old[:at] + noise(seed, n) + old[at + n:]
    return old[:at] if kind == "truncate" else None


def possible(old, op, seen):
    """Whether a slot may look so while op is under way."""
    new = after(old, op)
    if seen in (old, new):
        return True
    if seen is None or new is None:
        return False
    if op[0] == "create":
        return new.startswith(seen)
    if op[0] == "append":
        return new.startswith(seen) and len(seen) >= len(old)
    if op[0] == "overwrite":
        return len(seen) in (len(old), len(new)) and all(c in (a, b) for a, b, c in zip(old.ljust(len(new), b"\0"), new, seen))
    return False


def perform(folder, name, op):
    kind, seed, n, at = op
    path = f"{folder}/{name}"
    if kind == "unlink":
        os.unlink(path)
        return sync_dir(folder)
    if kind == "replace":
        fd = os.open(path + ".new", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        whole(fd, noise(seed, n), 0)
    elif kind == "create":
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        whole(fd, noise(seed, n), 0)
    else:
        fd = os.open(path, os.O_WRONLY)
        if kind == "truncate":
            os.ftruncate(fd, at)
        else:
            whole(fd, noise(seed, n), os.fstat(fd).st_size if kind == "append" else at)
    os.fsync(fd)
    os.close(fd)
    if kind == "replace":
        os.rename(path + ".new", path)
    if kind in ("replace", "create"):
        sync_dir(folder)


def work(folder, thread, states, log, seed):
    """Until the mount dies. One line before each operation, one after it was acknowledged."""
    rng = random.Random(seed)
    while True:
        slot = rng.randrange(thread, SLOTS, THREADS)
        old = states[slot]
        kind = "create" if old is None else rng.choice(("replace", "replace", "append", "append", "overwrite", "truncate", "unlink"))
        n = rng.choice((1, 100, 3392, 4064, 9000, rng.randrange(40_000)))
        op = [kind, rng.random(), n, rng.randrange(len(old) + 1) if old else 0]
        if kind == "overwrite":
            op[2] = min(n, len(old) - op[3])
        if kind == "append" and len(old) > 400_000:
            continue
        os.write(log, (json.dumps(["begin", slot, op]) + "\n").encode())
        try:
            perform(folder, f"slot{slot}", op)
        except OSError as e:
            os.write(log, (json.dumps(["error", slot, errno.errorcode.get(e.errno, e.errno)]) + "\n").encode())
            return
        states[slot] = after(old, op)
        os.write(log, (json.dumps(["done", slot]) + "\n").encode())


def start_work(vault, states, seed, path):
    pid = os.fork()
    if pid:
        return pid
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
    threads = [threading.Thread(target=work, args=(f"{vault.mnt}/d", t, states, log, seed + t)) for t in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    os._exit(0)


def wait_for(condition, seconds):
    end = time.time() + seconds
    while not condition() and time.time() < end:
        time.sleep(0.02)
    return condition()


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None
    except OSError as e:
        return errno.errorcode[e.errno].encode()


def replay(log, states):
    """The states that were acknowledged, and each slot's operation under way; how many were acknowledged."""
    pending, done = {}, 0
    for line in open(log):
        what, slot, *rest = json.loads(line)
        if what == "begin":
            pending[slot] = rest[0]
        elif what == "done":
            states[slot] = after(states[slot], pending.pop(slot))
            done += 1
    return pending, done


def round_of(vault, program, states, rng, what):
    log = f"{vault.work}/log"
    vault.open()
    processes = vault.processes()
    worker = start_work(vault, list(states), rng.randrange(1 << 40), log)
    time.sleep(rng.uniform(0.01, 0.4))
    os.kill(min(processes[program]), signal.SIGKILL)
    gone = wait_for(lambda: not vault.processes() and not mounted(vault.mnt), 10)
    check(gone, f"{what}: the others end and the mount goes: {vault.processes()} mounted {mounted(vault.mnt)}")
    ended = wait_for(lambda: os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None, 10)
    if not check(ended, f"{what}: the writers get errors and end"):
        os.kill(worker, signal.SIGKILL)
        return None
    os.waitpid(worker, 0)
    pending, done = replay(log, states)
    status = json.loads(vault.run("status", vault.path, "--json", passcode=False).stdout)
    check(status["element"]["failed"] == 0, f"{what}: no try is lost: {status['element']}")
    opened = vault.open(want=None)
    if not check(opened.returncode == 0, f"{what}: it opens again: exit {opened.returncode} {opened.stderr}"):
        return None
    for slot in range(SLOTS):
        seen = read(f"{vault.mnt}/d/slot{slot}")
        good = possible(states[slot], pending[slot], seen) if slot in pending else seen == states[slot]
        describe = lambda s: None if s is None else f"{len(s)} bytes" if len(s) > 20 else s
        check(good, f"{what}: slot {slot}: {describe(seen)}, acknowledged {describe(states[slot])}, under way {pending.get(slot)}")
        states[slot] = seen
    for name in os.listdir(f"{vault.mnt}/d"):
        if name.endswith(".new"):
            os.unlink(f"{vault.mnt}/d/{name}")
    report = vault.check(want=None)
    check(report.returncode == 0, f"{what}: check: exit {report.returncode}: {report.stdout[:300]}")
    vault.close()
    return done


def main():
    seed = int(SEEDS[0]) if SEEDS else random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    rng, total, rounds = random.Random(seed), 0, 0
    vault = Vault(sys.argv[1], "--attempts", "50")
    vault.open()
    os.mkdir(f"{vault.mnt}/d")
    vault.close()
    states = [None] * SLOTS
    for i in range(200 if LONG else 10):
        for program in PROGRAMS:
            done = round_of(vault, program, states, rng, f"round {i}, {program} killed")
            if done is None:
                finish()
            total, rounds = total + done, rounds + 1
    print(f"{rounds} kills, {total} acknowledged operations")
    right = vault.passcode
    for n in range(2):
        vault.passcode = f"wrong guess number {n}"
        vault.open(want=3)
    status = json.loads(vault.run("status", vault.path, "--json", passcode=False).stdout)
    check(status["element"]["failed"] == 2, f"and none is free: {status['element']['failed']} of 2 counted")
    vault.passcode = right
    vault.open()
    finish()


main()
