#!/usr/bin/env python3
"""The verbs that change keys, classes or the whole vault, on a real mount with real files. verbs.py BUILD"""
import os, random, shutil, signal, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
USER = 65534
THIRD = "ninety blue lanterns over the quiet harbour"


def fill(where, seed=1, count=40):
    """Files of many sizes, folders, symlinks, attributes, a sparse file; {relative path: bytes}."""
    rng, made = random.Random(seed), {}
    os.makedirs(f"{where}/sub/deeper", exist_ok=True)
    for i in range(count):
        path = f"{where}/{('', 'sub/', 'sub/deeper/')[i % 3]}f{i}"
        made[os.path.relpath(path, where)] = data = rng.randbytes(rng.choice((0, 1, 100, 4000, 4096, 5000, 70000, 1 << 20)))
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, (0o600, 0o644, 0o755)[i % 3])
        os.utime(path, ns=(10**18 + i, 10**18 + 2 * i))
    os.setxattr(f"{where}/f0", "user.note", b"kept")
    os.symlink("../f0", f"{where}/sub/link")
    os.symlink("x" * 4000, f"{where}/sub/long-link")
    with open(f"{where}/sparse", "wb") as f:
        f.truncate(10 << 20)
        f.seek(5 << 20)
        f.write(b"middle")
    made["sparse"] = bytes(5 << 20) + b"middle" + bytes((5 << 20) - 6)
    return made


def wrong(where, made):
    bad = []
    for path, data in made.items():
        try:
            with open(os.path.join(where, path), "rb") as f:
                if f.read() != data:
                    bad.append(path)
        except OSError as e:
            bad.append(f"{path}: {e.strerror}")
    return bad


def intact(what, where, made):
    bad = wrong(where, made)
    check(not bad, f"{what}: {len(bad)} of {len(made)} files are not as they were: {bad[:4]}")


def keys():
    """recover, recovery replace, rotate, passcode: files stay readable, old secrets stop working."""
    v = Vault(BUILD, recovery=True)
    v.open()
    c = v.protected("secret")
    made = {os.path.join("secret", k): d for k, d in fill(c).items()} | {os.path.join("plain", k): d for k, d in fill(v.path("plain"), 2).items()}
    fd = os.open(f"{c}/f3", os.O_RDWR)
    out = v.must("rotate", v.vault, timeout=120)
    files = len(made) + 2 # and each long symlink
    check(f"{files} files" in out, f"rotate says how many files it re-keyed ({files}): {out.strip()}")
    intact("after rotate", v.mnt, made)
    check(os.pread(fd, 10, 0) == made["secret/f3"][:10] and os.pwrite(fd, b"new", 0) == 3, "a descriptor that was open goes on after rotate")
    made["secret/f3"] = b"new" + made["secret/f3"][3:]
    os.fsync(fd)
    os.close(fd)
    out = v.must("rotate", v.vault, "--class", "complete")
    check(f"{len(made) // 2 + 1} files" in out, f"rotate of one class: {out.strip()}")
    check("; 0 files" in v.must("rotate", v.vault, "--class", "always"), "rotate of a class without files")
    v.lock()
    v.must("rotate", v.vault, want=6)
    v.unlock()
    intact("after rotate, lock and unlock", v.mnt, made)
    v.must("passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=PASS + "\n" + OTHER)
    intact("after a change of the passcode while open", v.mnt, made)
    v.lock()
    v.unlock(PASS, want=3)
    v.unlock(OTHER)
    v.lock()
    v.must("passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=OTHER + "\n" + PASS)
    check(error_of(os.listdir, c) == "ENOKEY", "a change of the passcode while locked unlocks nothing")
    v.unlock(PASS)
    v.must("recovery", "replace", v.vault, "--recovery-file", v.phrase + ".2", "--passcode-fd", "0", given=PASS)
    v.must("recover", v.vault, "--test", "--recovery-file", v.phrase + ".2")
    p = v.run("recover", v.vault, "--test", "--recovery-file", v.phrase)
    check(p.returncode == 3, f"the replaced phrase opens nothing any more: exit {p.returncode} {p.stderr.strip()}")
    intact("after recovery replace", v.mnt, made)
    v.must("check", v.vault)
    v.close()
    v.must("recover", v.vault, "--recovery-file", v.phrase + ".2", "--new-passcode-fd", "0", given=THIRD)
    v.open(passcode=PASS, want=3)
    v.open(passcode=THIRD)
    intact("after recover", v.mnt, made)
    out = v.must("rotate", v.vault)
    check(f"{files} files" in out, f"rotate after recover: {out.strip()}")
    v.close()
    v.open(passcode=THIRD)
    intact("after recover, rotate, close and open", v.mnt, made)
    v.must("check", v.vault)
    v.close()
    v.clean()


def times():
    """A file's time of change is its data's: what Holdfast writes for itself (headers, classes, keys, the cut of what was kept ready) does not move it."""
    v = Vault(BUILD)
    v.open()
    path, then = v.path("file"), 10**18

    def stays(what):
        there = [os.lstat(os.path.join(b, n)).st_mtime_ns for b, _, names in os.walk(v.vault) for n in names if ".holdfast" not in b and not os.path.islink(os.path.join(b, n))]
        check(then in there, f"{what}: the time moved: {[t - then for t in there]}") # on the disk: the kernel would show what it remembers

    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 90000)
    os.ftruncate(fd, 50001)
    os.utime(fd, ns=(then, then))
    stays("utime")
    os.fsync(fd)
    stays("fsync")
    os.setxattr(fd, "user.x", b"1")
    os.fchmod(fd, 0o600)
    os.link(path, path + "2")
    os.rename(path + "2", path + "3")
    os.unlink(path + "3")
    os.close(fd)
    stays("attributes and names")
    for what, words in (("raise", ("protect", "--class", "complete", path)), ("lower", ("protect", "--class", "after-unlock", path)), ("rotate", ("rotate", v.vault)), ("lock", ("lock", "--now", v.vault))):
        v.must(*words)
        stays(what)
    v.unlock()
    for size in (70000, 200000, 3):
        with open(path, "r+b") as f:
            f.truncate(size)
            f.seek(size // 2)
            f.write(b"y")
        os.utime(path, ns=(then, then))
    time.sleep(5.5)
    stays("settle")
    v.close()
    stays("close")
    v.open()
    check(os.stat(path).st_mtime_ns == then, "and it is shown")
    v.close()
    v.clean()


def raise_and_lower():
    """[FC-9] A raised file has a fresh key and fresh ciphertext in a fresh file; a lowered one keeps both."""
    v = Vault(BUILD)
    v.open()
    path = v.path("file")
    with open(path, "wb") as f:
        f.write(b"content" * 10000)
    os.link(path, v.path("second"))
    v.must("rotate", v.vault)
    v.must("protect", "--class", "complete", path)
    check(os.path.samefile(path, v.path("second")) and os.getxattr(v.path("second"), "user.holdfast.class") == b"complete", "a file of two names changes class under both")
    v.must("protect", "--class", "after-unlock", path)
    os.unlink(v.path("second"))

    def on_disk():
        for n in os.listdir(v.vault):
            where = os.path.join(v.vault, n)
            if n != ".hf" and os.path.isfile(where) and not os.path.islink(where):
                data = open(where, "rb").read()
                return os.stat(where).st_ino, data[224:256], data[8192:] # inode, the key's commitment, pages from the second on
        return None

    before = on_disk()
    v.must("protect", "--class", "complete", path)
    raised = on_disk()
    check(before and raised and all(a != b for a, b in zip(before, raised)), "raised: another file, another key, other ciphertext")
    v.must("protect", "--class", "after-unlock", path)
    lowered = on_disk()
    check(lowered == raised, "lowered: the same file, key and ciphertext")
    v.lock()
    check(open(path, "rb").read() == b"content" * 10000, "lowered: it can be read while locked")
    v.close()
    v.clean()


def erase_busy():
    v = Vault(BUILD, recovery=True)
    v.open()
    fill(v.path("plain"))
    fd = os.open(v.path("plain", "f0"), os.O_RDWR)
    errors, stop = set(), False

    def write():
        n = 0
        while not stop:
            got = error_of(os.pwrite, fd, b"x" * 5000, 5000 * (n % 50))
            errors.add(got)
            n += 1
            if got:
                time.sleep(0.01)

    t = threading.Thread(target=write)
    t.start()
    time.sleep(0.2)
    copy = tempfile.mkdtemp(prefix="hf-e2e-")
    began = time.monotonic()
    v.must("erase", v.vault, "--yes")
    took = time.monotonic() - began
    check(within(5, lambda: not v.mounted() and not v.running()), f"erase while busy: left: {v.running()}")
    stop = True
    t.join()
    check("" in errors and len(errors) > 1, f"the writer wrote and then got errors: {errors}")
    check(error_of(os.pread, fd, 10, 0), "what was open cannot be read")
    os.close(fd)
    v.open(want=5)
    p = v.run("recover", v.vault, "--test", "--recovery-file", v.phrase)
    check(p.returncode == 5, f"nor does the phrase open it: exit {p.returncode} {p.stderr.strip()}")
    check(v.status()["state"] == "erased", "status says erased")
    print(f"erase while busy: {took:.2f} s")
    shutil.rmtree(copy)
    v.clean()


def export():
    v = Vault(BUILD)
    v.open()
    c = v.protected("secret")
    fill(c)
    fill(v.path("plain"), 2)
    reference, out = f"{v.work}/reference", f"{v.work}/out"
    subprocess.run(["cp", "-a", v.mnt, reference], check=True)
    v.must("export", v.vault, out)

    def same(where):
        p = subprocess.run(["diff", "-r", "--no-dereference", reference, where], capture_output=True, text=True)
        check(p.returncode == 0, f"export differs: {p.stdout[:300]} {p.stderr[:300]}")
        for base, _, names in os.walk(reference):
            for name in names:
                a, b = os.lstat(os.path.join(base, name)), os.lstat(os.path.join(where, os.path.relpath(base, reference), name))
                if (a.st_mode, a.st_mtime_ns, a.st_size) != (b.st_mode, b.st_mtime_ns, b.st_size):
                    return check(False, f"export: {name}: mode, time or size differ: {oct(a.st_mode)} {a.st_mtime_ns} {oct(b.st_mode)} {b.st_mtime_ns}")
        return check(os.getxattr(f"{where}/plain/f0", "user.note") == b"kept", "export keeps attributes")

    same(out)
    v.lock()
    p = v.run("export", v.vault, f"{v.work}/out-locked")
    check(p.returncode != 0, "an export of a locked vault says that it is not whole")
    v.close()
    v.must("export", v.vault, f"{v.work}/out2", "--passcode-fd", "0", given=PASS)
    same(f"{v.work}/out2")
    check(within(10, lambda: not v.running()) and not any("holdfast-view" in line for line in open("/proc/self/mountinfo")), "an export of a closed vault leaves nothing")
    # check names damage by path, export goes on with the rest
    v.open()
    with open(v.path("plain", "victim"), "wb") as f:
        f.write(b"v" * 100000)
    v.close()
    biggest = max((os.path.join(b, n) for b, _, names in os.walk(v.vault) for n in names if ".holdfast" not in b and 100000 < os.lstat(os.path.join(b, n)).st_size < 200000))
    with open(biggest, "r+b") as f:
        f.seek(50000)
        byte = f.read(1)
        f.seek(50000)
        f.write(bytes([byte[0] ^ 1]))
    out = v.run("check", v.vault, "--passcode-fd", "0", given=PASS)
    check(out.returncode == 7 and "plain/victim" in out.stdout, f"check names the damage: exit {out.returncode} {out.stdout[:200]}")
    out = v.run("check", v.vault, "--json", "--passcode-fd", "0", given=PASS)
    found = json.loads(out.stdout)
    check(out.returncode == 7 and found["damaged"] >= 1 and found["findings"][0]["path"].endswith("plain/victim") and found["complete"], f"check --json: {out.stdout[:200]}")
    out = v.run("export", v.vault, f"{v.work}/out3", "--passcode-fd", "0", given=PASS)
    check(out.returncode == 7 and "victim" in out.stderr + out.stdout, f"export says what is not whole: exit {out.returncode} {out.stderr[:200]}")
    os.path.exists(f"{v.work}/out3/plain/victim") and os.unlink(f"{v.work}/out3/plain/victim")
    same(f"{v.work}/out3")
    v.clean()


def ways_to_open():
    v = Vault(BUILD)
    p = v.start("open", v.vault, v.mnt, "--foreground", "--passcode-fd", "0", given=PASS)
    check(within(10, v.mounted), "open --foreground mounts")
    check(within(5, lambda: v.run("status", v.vault).returncode == 0) and v.status()["state"] == "unlocked", "and serves")
    check(p.poll() is None, "and stays")
    v.close()
    check(p.wait(10) == 0, f"until the vault is closed: exit {p.returncode}")
    if os.geteuid() != 0:
        skip("--allow-other needs another user")
        v.clean()
        return
    os.chmod(v.work, 0o755)
    os.chmod(v.mnt, 0o755)
    as_other = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
    for more, want in (((), 1), (("--allow-other",), 0)):
        v.open(*more)
        os.chmod(v.mnt, 0o755)
        with open(v.path("shared"), "w") as f:
            f.write("for others")
        os.chmod(v.path("shared"), 0o644)
        with open(v.path("mine"), "w") as f:
            f.write("not for others")
        os.chmod(v.path("mine"), 0o600)
        got = subprocess.run([*as_other, "cat", v.path("shared")], capture_output=True)
        check((got.returncode != 0) == want and (want or got.stdout == b"for others"), f"open {more}: another user reads: {got.returncode} {got.stderr[:100]}")
        check(subprocess.run([*as_other, "cat", v.path("mine")], capture_output=True).returncode != 0, f"open {more}: another user reads no private file")
        v.close()
    status = v.status()
    for field in ("vault_id", "state", "mountpoint", "element", "classes", "open_unless_open", "failed_since_unlock", "settings", "pids", "version", "enclave_sha256"):
        check(field in status, f"status has {field}")
    v.clean()


def protect_full():
    """protect on a directory that is not empty: everything in it gets the class, with fresh keys; cut short, a second run finishes."""
    v = Vault(BUILD)
    v.open()
    where = v.path("papers")
    made = fill(where)
    before = {n: os.lstat(os.path.join(where, n)) for n in ("f0", "f3", "sub", "sub/link", "sub/deeper")}
    os.chmod(f"{where}/sub", 0o750)
    os.setxattr(where, "user.colour", b"blue")
    v.must("protect", "--class", "complete", where)

    def classes(top):
        found = set()
        for base, _, names in os.walk(top):
            for name in (base, *(os.path.join(base, n) for n in names)):
                if not os.path.islink(name):
                    found.add(os.getxattr(name, "user.holdfast.class"))
        return found

    check(classes(where) == {b"complete"}, f"all of it is complete: {classes(where)}")
    intact("after protect", where, made)
    check(sorted(os.listdir(v.mnt)) == ["papers"], f"no other directory is left: {os.listdir(v.mnt)}")
    check(os.stat(f"{where}/sub").st_mode & 0o7777 == 0o750 and os.getxattr(where, "user.colour") == b"blue" and os.getxattr(f"{where}/f0", "user.note") == b"kept", "modes and attributes stay")
    check(os.stat(f"{where}/f3").st_mtime_ns == before["f3"].st_mtime_ns and os.readlink(f"{where}/sub/link") == "../f0", "times and links stay")
    v.lock()
    check(error_of(os.listdir, where) == "ENOKEY", "and locked with the lock")
    v.unlock()
    v.must("protect", "--class", "after-unlock", where)
    check(classes(where) == {b"after-unlock"}, f"and back: {classes(where)}")
    intact("after lowering", where, made)
    # cut short at random moments
    rng = random.Random(3)
    cuts = 0
    for n in range(12):
        cls = ("complete", "after-unlock")[n % 2]
        p = v.start("protect", "--class", cls, where)
        time.sleep(rng.uniform(0.0, 0.05))
        p.send_signal(signal.SIGKILL)
        p.wait()
        cuts += p.returncode == -signal.SIGKILL
        v.must("protect", "--class", cls, where)
        check(classes(where) == {cls.encode()}, f"cut {n}: a second run finishes: {classes(where)}")
        bad = wrong(where, made)
        check(not bad and sorted(os.listdir(v.mnt)) == ["papers"], f"cut {n}: nothing is lost or left: {bad[:3]} {os.listdir(v.mnt)}")
    check(cuts >= 3, f"some runs were cut short: {cuts}")
    v.must("check", v.vault)
    v.close()
    v.open()
    intact("after close and open", where, made)
    v.close()
    v.clean()


for part in sys.argv[2:] or ("keys", "times", "raise_and_lower", "erase_busy", "export", "ways_to_open", "protect_full"):
    globals()[part]()
finish()
