#!/usr/bin/env python3
"""What ordinary programs do with files, each case done twice, on a plain directory and on a mount, and compared: results, errnos, what is there afterwards.
Then a random run of operations against the plain directory, and all of it again after close and open. files.py BUILD [SEED]"""
import hashlib, mmap, os, random, stat, sys

from filekit import *
import datacases, filecases  # they register their cases
from vaultkit import Vault, check, finish, skip


def look(path):
    """What is to be the same on both. A time is compared when it was set to the past."""
    st = os.lstat(path)
    kind = stat.S_IFMT(st.st_mode)
    seen = [oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink]
    seen.append(st.st_mtime_ns if st.st_mtime_ns < 2 * PAST // 1.5 else "now")
    if kind == stat.S_IFREG:
        seen += [st.st_size, get(digest, path) if st.st_size < 1 << 26 else "big"]
    elif kind == stat.S_IFLNK:
        seen += [st.st_size, os.readlink(path)]
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        seen.append(st.st_rdev)
    elif kind == stat.S_IFDIR:
        seen.append(get(lambda: sorted(os.listdir(path))))
    if kind != stat.S_IFLNK:
        seen.append(get(lambda: {n: get(os.getxattr, path, n) for n in sorted(os.listxattr(path)) if n.startswith("user.")}))
    return seen


def snapshot(top):
    top = os.fsencode(top)
    found = {}
    for folder, dirs, files in os.walk(top):
        for name in dirs + files:
            path = os.path.join(folder, name)
            found[path[len(top):]] = get(look, path)
    return found


def compare(plain, mount, what):
    good = check(plain == mount, what)
    if not good and isinstance(plain, dict):
        for key in [k for k in sorted(set(plain) | set(mount), key=repr) if plain.get(k) != mount.get(k)][:8]:
            print("   ", key, "\n      plain:", str(plain.get(key))[:300], "\n      mount:", str(mount.get(key))[:300])
    elif not good:
        for i, (a, b) in enumerate(zip(plain, mount)):
            if a != b:
                print(f"    result {i}: plain {str(a)[:300]} mount {str(b)[:300]}")
    return good


def run_cases(vault):
    for function in cases:
        results = []
        for top in (vault.plain, vault.mnt):
            d = f"{top}/{function.__name__}"
            os.mkdir(d)
            try:
                results.append(function(d))
            except OSError as e:
                results.append([f"stopped at {e} in line {e.__traceback__.tb_next.tb_lineno if e.__traceback__.tb_next else '?'}"])
        compare(results[0], results[1], f"{function.__name__}: results")
        compare(snapshot(f"{vault.plain}/{function.__name__}"), snapshot(f"{vault.mnt}/{function.__name__}"), f"{function.__name__}: what is there")


class Fuzz:
    """A random run of operations, each on both; it ends at the first difference."""

    def __init__(self, tops, seed):
        self.rng, self.tops, self.n = random.Random(seed), tops, 0

    def name(self, depth=2):
        r = self.rng
        parts = [r.choice("aabbcdx") for _ in range(r.randrange(depth + 1))]
        last = r.choice(("f1", "f2", "f3", "g" * 200, "h", "x", "y"))
        return "/".join(parts + [last])

    def step(self):
        r = self.rng
        p, q, at, n, seed = self.name(), self.name(), r.choice((0, 1, 3392, 4064, r.randrange(60_000))), r.choice((1, 100, 4064, r.randrange(30_000))), r.random()
        op = r.choice(("write", "write", "append", "truncate", "punch", "zero", "rename", "rename", "noreplace", "exchange", "link", "unlink", "mkdir", "rmdir", "symlink",
                       "chmod", "utime", "setxattr", "removexattr", "read", "create", "fsync", "mmap", "holdread"))
        mode = r.choice((0o600, 0o644, 0o755, 0o4711))

        def do(top):
            a, b = f"{top}/{p}", f"{top}/{q}"
            if op in ("write", "append", "punch", "zero", "fsync", "mmap"):
                fd = os.open(a, os.O_RDWR | (os.O_CREAT if op == "write" else 0) | (os.O_APPEND if op == "append" else 0), 0o644)
                try:
                    if op == "write":
                        return os.pwrite(fd, noise(n, seed), at)
                    if op == "append":
                        return os.write(fd, noise(n, seed))
                    if op == "fsync":
                        return os.fsync(fd)
                    if op == "mmap":
                        size = os.fstat(fd).st_size
                        if size == 0:
                            return 0
                        with mmap.mmap(fd, size) as m:
                            m[at % size] = 7
                        return None
                    size = os.fstat(fd).st_size
                    if op == "punch" and at + n > size:  # what that does to the times differs from disk to disk
                        return None
                    return fallocate(fd, PUNCH | KEEP_SIZE if op == "punch" else ZERO, at, n)
                finally:
                    os.close(fd)
            if op == "holdread":
                fd = os.open(a, os.O_RDWR)
                try:
                    got = get(os.unlink, a)
                    os.pwrite(fd, b"zz", at)
                    return got, hashlib.sha256(os.pread(fd, 1 << 20, 0)).hexdigest(), os.fstat(fd).st_nlink
                finally:
                    os.close(fd)
            if op == "symlink":
                return os.symlink("t" * (n % 4095 + 1), a)
            if op == "read":
                return hashlib.sha256(cat(a)).hexdigest()
            if op == "chmod":
                return os.chmod(a, mode)
            simple = {"truncate": lambda: os.truncate(a, at), "rename": lambda: os.rename(a, b), "noreplace": lambda: renameat2(a, b, NOREPLACE),
                      "exchange": lambda: renameat2(a, b, EXCHANGE), "link": lambda: os.link(a, b, follow_symlinks=False), "unlink": lambda: os.unlink(a), "mkdir": lambda: os.mkdir(a, mode),
                      "rmdir": lambda: os.rmdir(a), "utime": lambda: os.utime(a, ns=(PAST, PAST + n)), "setxattr": lambda: os.setxattr(a, f"user.{n % 4}", noise(n % 50)),
                      "removexattr": lambda: os.removexattr(a, f"user.{n % 4}"), "create": lambda: os.close(os.open(a, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))}
            return simple[op]()

        self.n += 1
        return f"{self.n}: {op} {p[:20]} {q[:20]} {at} {n}", [get(do, top) for top in self.tops]

    def run(self, steps, every):
        for top in self.tops:
            for a in "abcd":
                os.mkdir(f"{top}/{a}")
        history = []
        for i in range(steps):
            what, (plain, mount) = self.step()
            history.append((what, plain, mount))
            if plain != mount:
                check(False, f"fuzz step {what}: plain {plain} mount {mount}")
                return self.show(history)
            if i % every == every - 1 and not compare(snapshot(self.tops[0]), snapshot(self.tops[1]), f"fuzz: what is there after step {i + 1}"):
                return self.show(history)
        return steps

    def show(self, history):
        for line in history[-40:]:
            print("   ", line)
        return len(history)


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    vault = Vault(sys.argv[1])
    vault.open()
    run_cases(vault)
    if not ROOT:
        skip("owners, devices and trusted attributes: not root")
    print("fuzz seed", seed)
    for i in range(6):
        tops = [f"{top}/fuzz{i}" for top in (vault.plain, vault.mnt)]
        for top in tops:
            os.mkdir(top)
        Fuzz(tops, seed * 1000 + i).run(1500, 250)
    vault.reopen()
    for name in sorted(os.listdir(vault.plain)):
        compare(snapshot(f"{vault.plain}/{name}"), snapshot(f"{vault.mnt}/{name}"), f"{name}: after close and open")
    found = vault.check(want=None)
    check(found.returncode == 0, f"check: exit {found.returncode} {found.stdout[:500]}")
    finish()


main()
