#!/usr/bin/env python3
"""What lies on the disk changed behind the vault's back, many objects in one batch: an error that names the damage, never wrong data, never a crash,
and the rest stays readable. tamper.py BUILD [--long]

Proves [FC-2] [FC-3] [FH-1] [NM-1] [NM-5] [NM-6] [CR-4] [CR-5] as far as the mount shows them."""
import ctypes, json, os, random, shutil, signal, sys, time

from vaultkit import Vault, answer, cat, check, finish, mounted, skip

LONG = "--long" in sys.argv or os.environ.get("HF_LONG") == "1"
ROOT = os.geteuid() == 0
PAGE, HEADER, INLINE, DATA = 4096, 704, 3392, 4064
SIZE = 9000  # page 0, page 1, and 1,544 bytes of page 2
DISK = 2 * PAGE + 32 + SIZE - INLINE - DATA
libc = ctypes.CDLL(None, use_errno=True)
rng = random.Random(3)


def noise(name, n=SIZE):
    return random.Random(name).randbytes(n)


def write(path, data, mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


class Batch:
    """make() in the open vault, spoil() in the closed one, look() in the open one again. An object that is spoiled has its own expectation; all others must be as they were."""

    def __init__(self, vault, name):
        self.vault, self.name, self.top = vault, name, f"{vault.mnt}/{name}"
        self.files, self.links, self.attrs = {}, {}, {}
        self.expected = []
        os.mkdir(self.top)

    def file(self, name, n=SIZE):
        path = f"{self.top}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.files[name] = noise(name, n)
        write(path, self.files[name])
        return name

    def map(self):
        """Plain name to the name on disk, by the inode's number, which the mount shows as it is."""
        by_ino = {}
        for folder, dirs, files in os.walk(self.vault.path):
            if ".holdfast" in dirs:
                dirs.remove(".holdfast")
            for n in dirs + files:
                p = os.path.join(folder, n)
                st = os.lstat(p)
                by_ino.setdefault((st.st_ino), []).append(p)
        self.disk = {}
        for folder, dirs, files in os.walk(self.top):
            for n in dirs + files:
                p = os.path.join(folder, n)
                self.disk[os.path.relpath(p, self.top)] = by_ino[os.lstat(p).st_ino][0]
        self.disk["."] = by_ino[os.lstat(self.top).st_ino][0]

    def expect(self, name, answers=("EIO",), how=None, what="", named=True):
        """how: a function of the plain path whose errno is one of answers; reading, when it is None. named: check must name it (a path, or True for its own)."""
        self.expected.append((name, answers, how, what, name if named is True else named))

    def look(self, found):
        spoiled = set()
        held = [open(f"{self.top}/{n}", "rb") for n in getattr(self, "before", ())]
        for name, answers, how, what, named in self.expected:
            path = f"{self.top}/{name}"
            spoiled.add(name)
            got = answer(how or cat, path)
            good = got in answers
            if not good and not how and "data" in answers:
                good = got == self.files[name]
            shown = f"{len(got)} bytes, {'the right' if got == self.files.get(name) else 'WRONG'} ones" if isinstance(got, bytes) else got
            check(good, f"{self.name}/{name}: {what}: {shown}, not {answers}")
            if named:
                want = os.path.normpath(f"/{self.name}/{named}")
                check(want in found, f"check names {want} ({what})")
        whole = [n for n in self.files if n not in spoiled and not any(n.startswith(s + "/") for s in spoiled)]
        wrong = [n for n in whole if answer(cat, f"{self.top}/{n}") != self.files[n]]
        check(not wrong and (whole or not self.files), f"{self.name}: the rest ({len(whole)} files) stays readable; {len(wrong)} not: {wrong[:5]}")
        extra = {p for p in found if p.startswith(f"/{self.name}/")} - {os.path.normpath(f"/{self.name}/{e[4]}") for e in self.expected if e[4]}
        extra = {p for p in extra if not any(p.startswith(os.path.normpath(f"/{self.name}/{e[0]}")) for e in self.expected)}
        check(not extra, f"{self.name}: check names what was not touched: {sorted(extra)[:5]}")
        for f in held:
            f.close()


def disk_open(path, flags):
    """A long symlink's file has no mode bits for its owner: lent for the moment."""
    try:
        return os.open(path, flags)
    except PermissionError:
        mode = os.stat(path).st_mode & 0o7777
        os.chmod(path, mode | 0o600)
        fd = os.open(path, flags)
        os.chmod(path, mode)
        return fd


def poke(path, at, data):
    fd = disk_open(path, os.O_WRONLY)
    os.pwrite(fd, data, at)
    os.close(fd)


def peek(path, at, n):
    fd = disk_open(path, os.O_RDONLY)
    data = os.pread(fd, n, at)
    os.close(fd)
    return data


def flip(path, at):
    byte = peek(path, at, 1)[0]
    poke(path, at, bytes([byte ^ 1 << rng.randrange(8)]))


class Flips(Batch):
    def make(self):
        head = range(HEADER)
        pages = [HEADER, HEADER + 1, 2000, PAGE - 1] + [PAGE + i for i in range(32)] + [PAGE + 32, 6000, 2 * PAGE - 1] + [2 * PAGE + i for i in range(32)] + [2 * PAGE + 32, DISK - 1]
        self.at = {self.file(f"{n // 100}/{n}"): n for n in list(head) + pages}
        for i in range(20):
            self.file(f"{i}/whole")

    def spoil(self):
        for name, at in self.at.items():
            flip(self.disk[name], at)
            self.expect(name, what=f"byte {at} flipped")


class Lengths(Batch):
    def make(self):
        some = [0, 1, 255, 256, 511, 512, 543, 544, 703, 704, 705, 2000, 4095, 4096, 4097, 4127, 4128, 4129, 8191, 8192, 8193, 8223, 8224, 9000, DISK - 1]
        self.at = {self.file(f"{n // 1000}/{n}"): n for n in (range(DISK) if LONG else some)}
        self.file("whole")
        self.longer = {self.file(f"longer{n}"): n for n in (1, 3000, 4096, 40_000)}
        self.small = {self.file(f"small/{n}", 1000): n for n in (0, 703, 704, 1000, 1703)}
        self.empty = {self.file(f"empty/{n}", 0): n for n in (0, 600, 703)}

    def spoil(self):
        for name, n in {**self.at, **self.small, **self.empty}.items():
            os.truncate(self.disk[name], n)
            self.expect(name, what=f"cut to {n} bytes")
        for name, n in self.longer.items():
            os.truncate(self.disk[name], DISK + n)
            self.expect(name, ("EIO", "data"), what=f"{n} bytes longer", named=False)  # [CR-2]


class Pages(Batch):
    def make(self):
        for n in ("swap", "repeat", "repeat0", "zero1", "zero2", "punch1", "punch2", "punchhead", "across1", "across2", "header1", "header2", "zerohead", "zeroall", "none"):
            self.file(n, 30_000)
        self.file("hole", 0)
        os.truncate(f"{self.top}/hole", 30_000)
        self.files["hole"] = bytes(30_000)
        self.file("gap", 30_000)
        fd = os.open(f"{self.top}/gap", os.O_RDWR)
        libc.fallocate(fd, 3, ctypes.c_long(8000), ctypes.c_long(8000))
        os.close(fd)
        self.files["gap"] = cat(f"{self.top}/gap")

    def spoil(self):
        d = self.disk
        page = lambda name, n: peek(d[name], n * PAGE, PAGE)
        one, two = page("swap", 1), page("swap", 2)
        poke(d["swap"], PAGE, two + one)
        poke(d["repeat"], 3 * PAGE, page("repeat", 2))
        poke(d["repeat0"], PAGE, page("repeat0", 0))
        poke(d["zero1"], PAGE, bytes(PAGE))
        poke(d["zero2"], 2 * PAGE, bytes(32))
        for name, at in (("punch1", PAGE), ("punch2", 3 * PAGE), ("punchhead", 0)):
            fd = os.open(d[name], os.O_RDWR)
            assert libc.fallocate(fd, 3, ctypes.c_long(at), ctypes.c_long(PAGE)) == 0
            os.close(fd)
        one, two = page("across1", 2), page("across2", 2)
        poke(d["across1"], 2 * PAGE, two)
        poke(d["across2"], 2 * PAGE, one)
        one, two = page("header1", 0), page("header2", 0)
        poke(d["header1"], 0, two)
        poke(d["header2"], 0, one)
        poke(d["zerohead"], 0, bytes(HEADER))
        poke(d["zeroall"], 0, bytes(os.path.getsize(d["zeroall"])))
        poke(d["hole"], 2 * PAGE, page("none", 2))
        poke(d["gap"], 3 * PAGE, page("gap", 1))
        for name in self.files:
            if name != "none":
                self.expect(name, what="pages moved, zeroed or punched")


class Names(Batch):
    def make(self):
        long = ["l" * 200 + c for c in "abcde"]
        for n in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "keep"] + long:
            self.file(n, 5000 + len(n))
        for folder in ("x", "y", "z", "p", "q", "r", "s", "t", "u", "v", "w"):
            self.file(f"{folder}/in", 100)
            self.file(f"{folder}/deep/in", 100)
        self.long = long
        os.link(f"{self.top}/k", f"{self.top}/k2")
        self.files["k2"] = self.files["k"]

    def spoil(self):
        d, E = self.disk, self.expect
        exchange = lambda a, b: libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2)
        exchange(d["a"], d["b"])
        E("a", what="under each other's name"), E("b", what="under each other's name")
        exchange(d["c"], d["x/in"])
        E("c", what="from another directory"), E("x/in", what="from another directory")
        altered = os.path.join(os.path.dirname(d["d"]), ("A" if os.path.basename(d["d"])[0] != "A" else "B") + os.path.basename(d["d"])[1:])
        os.rename(d["d"], altered)
        E("d", ("EIO",), what="name altered", named=".")
        os.rename(d["e"], f"{os.path.dirname(d['y/in'])}/{os.path.basename(d['e'])}")
        E("e", ("EIO",), what="moved to another directory", named="y")
        os.link(d["f"], d["g"] + "x")
        E("g", ("EIO", "data"), what="a stranger's name beside it", named=".")
        os.unlink(d["h"])
        os.link(d["i"], d["h"])
        E("h", what="a second name that nobody gave")
        self.before = ["i"]  # in use by its right name
        os.unlink(d["j"])
        write(d["j"], b"plain text " * 100)
        E("j", what="replaced by a plain file")
        exchange(d[self.long[0]], d[self.long[1]])
        E(self.long[0], what="long names"), E(self.long[1], what="long names")
        side = lambda p: os.path.join(os.path.dirname(p), "N" + os.path.basename(p)[1:])
        assert os.path.islink(side(d[self.long[2]]))
        os.unlink(side(d[self.long[2]]))
        E(self.long[2], ("EIO", "ENOENT"), what="a long name's record removed", named=".")
        text = os.readlink(side(d[self.long[3]]))
        os.unlink(side(d[self.long[3]]))
        os.symlink(text[:-3] + ("AAA" if text[-3:] != "AAA" else "BBB"), side(d[self.long[3]]))
        E(self.long[3], ("EIO", "ENOENT"), what="a long name's record altered", named=".")
        # directories
        ls = os.listdir
        os.rename(d["z"], f"{d['p']}/{os.path.basename(d['z'])}")
        E("z", ("EIO",), ls, "directory moved", named="p")
        exchange(d["q"], d["r"])
        E("q", ("EIO",), ls, "directories exchanged"), E("r", ("EIO",), ls, "directories exchanged")
        exchange(d["s/deep"], d["t/deep"])
        E("s/deep", ("EIO", "ENOENT"), ls, "exchanged between two directories"), E("t/deep", ("EIO", "ENOENT"), ls, "exchanged between two directories")
        record = os.readlink(d["u/deep"] + "/.hf")
        for name, text in (("u", record), ("v", None), ("w", os.readlink(d["w"] + "/.hf")[:-1] + "_")):
            os.unlink(d[name] + "/.hf")
            if text:
                os.symlink(text, d[name] + "/.hf")
            E(name, ("EIO",), ls, "record replaced, removed or altered")


class Attributes(Batch):
    def make(self):
        for n in ("mode", "suid", "owner", "group", "xset", "xgone", "xcopied", "xother", "xadd", "keep"):
            self.file(n, 500)
        for n in ("xset", "xgone", "xother"):
            os.setxattr(f"{self.top}/{n}", "user.a", b"value of " + n.encode())
        for n in ("dmode", "downer", "dxset", "dxcopy", "dxnames", "dkeep"):
            self.file(f"{n}/in", 100)
        for x in ("user.a", "user.b"):
            os.setxattr(f"{self.top}/dxnames", x, b"of " + x.encode())
        os.setxattr(f"{self.top}/dxset", "user.a", b"dir")
        for i in range(8):
            os.symlink(f"target {i}" * 5, f"{self.top}/link{i}")
            os.symlink("t" * 3500 + str(i), f"{self.top}/long{i}")

    def spoil(self):
        d, E = self.disk, self.expect
        os.chmod(d["mode"], 0o666)
        os.chmod(d["suid"], 0o4755)
        E("mode"), E("suid")
        os.chmod(d["dmode"], 0o777)
        E("dmode", ("EIO",), os.listdir, "mode")
        if ROOT:
            os.chown(d["owner"], 1000, -1)
            os.chown(d["group"], -1, 1000)
            os.chown(d["downer"], 1000, 1000)
            E("owner"), E("group"), E("downer", ("EIO",), os.listdir, "owner")
        ours = lambda p: [x for x in os.listxattr(p) if x.startswith("user.hf.")]
        get = lambda p: os.getxattr(p, "user.a")
        name = ours(d["xset"])[0]
        value = bytearray(os.getxattr(d["xset"], name))
        value[-1] ^= 1
        os.setxattr(d["xset"], name, bytes(value))
        E("xset", ("EIO",), get, "value altered")
        os.removexattr(d["xgone"], ours(d["xgone"])[0])
        E("xgone", ("EIO",), get, "attribute removed")
        other = ours(d["xother"])[0]
        os.setxattr(d["xcopied"], other, os.getxattr(d["xother"], other))
        E("xcopied", ("EIO",), os.listxattr, "copied from another file")
        os.setxattr(d["xadd"], "user.hf.AAAA", b"junk")
        E("xadd", ("EIO",), os.listxattr, "one added")
        name = ours(d["dxset"])[0]
        os.setxattr(d["dxcopy"], name, os.getxattr(d["dxset"], name))
        E("dxcopy", ("EIO",), os.listxattr, "copied from another directory")
        value = bytearray(os.getxattr(d["dxset"], name))
        value[3] ^= 8
        os.setxattr(d["dxset"], name, bytes(value))
        E("dxset", ("EIO",), get, "a directory's value altered")
        first, second = ours(d["dxnames"])
        values = os.getxattr(d["dxnames"], first), os.getxattr(d["dxnames"], second)
        os.setxattr(d["dxnames"], first, values[1])
        os.setxattr(d["dxnames"], second, values[0])
        E("dxnames", ("EIO",), get, "values under each other's name")
        # symlinks: altered, exchanged, pointed elsewhere, put in a file's place
        def relink(name, text):
            os.unlink(d[name])
            os.symlink(text, d[name])
            E(name, ("EIO",), os.readlink, "target altered")
        texts = [os.readlink(d[f"link{i}"]) for i in range(8)]
        relink("link0", ("A" if texts[0][0] != "A" else "B") + texts[0][1:])
        relink("link1", texts[2])
        relink("link2", texts[1])
        relink("link3", "/etc/passwd")
        relink("link4", texts[4][:-4])
        libc.renameat2(-100, os.fsencode(d["long0"]), -100, os.fsencode(d["long1"]), 2)
        E("long0", ("EIO",), os.readlink, "long symlinks exchanged"), E("long1", ("EIO",), os.readlink, "long symlinks exchanged")
        flip(d["long2"], 3000)
        E("long2", ("EIO",), os.readlink, "a long symlink's byte")
        os.chmod(d["long3"], 0o644)
        E("long3", ("EIO", "EINVAL"), os.readlink, "a long symlink made a file")


class Kinds(Batch):
    """An object of another kind in a name's place: nothing is followed, nothing hangs."""

    def make(self):
        for n in ("link", "dir", "dir2", "keep", "foreign", "foreigndir", "up/in"):
            self.file(n, 6000)
        self.file("folder/in", 10)

    def spoil(self):
        d, E = self.disk, self.expect
        os.unlink(d["link"])
        os.symlink("/etc/passwd", d["link"])
        E("link", ("EIO",), what="a symlink in a file's place")
        for n, source in (("dir", None), ("dir2", d["folder"])):
            os.unlink(d[n])
            os.mkdir(d[n], 0o755)
            if source:
                os.symlink(os.readlink(source + "/.hf"), d[n] + "/.hf")
            E(n, ("EIO",), os.listdir, "a directory in a file's place")
        # From another vault with the same names: its file and its directory.
        os.unlink(d["foreign"])
        with open(self.other.disk["foreign"], "rb") as f:
            write(d["foreign"], f.read())
        E("foreign", ("EIO",), what="a file of another vault")
        os.rename(d["up"], d["up"] + ".away")
        shutil.copytree(self.other.disk["up"], d["up"], symlinks=True)
        E("up", ("EIO",), os.listdir, "a directory of another vault")
        shutil.rmtree(d["up"] + ".away")


def in_a_window(build):
    """After an unclean stop more is believed, but no more than was under way."""
    vault = Vault(build)
    vault.open()
    batch = Batch(vault, "window")
    for n in ("a", "b", "old", "new1", "moved", "keep", "full/in", "full2/in"):
        batch.file(n)
    for n in ("empty", "empty2"):
        os.mkdir(f"{batch.top}/{n}")
    vault.reopen()  # settled: the window knows nothing of these
    os.rename(f"{batch.top}/moved", f"{batch.top}/moved2")
    os.rename(f"{batch.top}/old", f"{batch.top}/old2")
    os.mkdir(f"{batch.top}/fresh")
    batch.map()
    places = {n: batch.disk[n] for n in batch.disk}
    os.kill(min(vault.processes()["fs"]), signal.SIGKILL)
    end = time.time() + 10
    while (vault.processes() or mounted(vault.mnt)) and time.time() < end:
        time.sleep(0.02)
    exchange = lambda a, b: libc.renameat2(-100, os.fsencode(places[a]), -100, os.fsencode(places[b]), 2)
    exchange("a", "b")
    exchange("moved2", "new1")
    os.unlink(places["fresh"] + "/.hf")  # as if the cut had come before it
    os.unlink(places["full"] + "/.hf")
    vault.open()
    report = vault.check(want=None)
    found = {f["path"] for f in json.loads(report.stdout)["findings"]}
    for n in ("a", "b", "moved2", "new1"):
        check(answer(cat, f"{batch.top}/{n}") == "EIO", f"window: {n} under a name it never had: {str(answer(cat, f'{batch.top}/{n}'))[:20]}")
        check(f"/window/{n}" in found, f"window: check names {n}")
    check(answer(cat, f"{batch.top}/old2") == batch.files["old"], "window: a rename that was under way")
    check(answer(os.listdir, f"{batch.top}/fresh") == "ENOENT", "window: a directory without a record, empty, was being made")
    check(answer(os.listdir, f"{batch.top}/full") == "EIO" and "/window/full" in found, "window: one with files is refused")
    check(answer(os.listdir, f"{batch.top}/empty") == [] and answer(cat, f"{batch.top}/full2/in") == batch.files["full2/in"], "window: the others are as they were")
    check(answer(cat, f"{batch.top}/keep") == batch.files["keep"] and len(found) == 5, f"window: the rest: {sorted(found)}")


def main():
    in_a_window(sys.argv[1])
    vault = Vault(sys.argv[1])
    vault.open()
    batches = [kind(vault, kind.__name__.lower()) for kind in (Flips, Lengths, Pages, Names, Attributes, Kinds)]
    for batch in batches:
        batch.make()
    second = Vault(sys.argv[1])
    second.open()
    other = Batch(second, "kinds")
    for n in ("foreign", "up/in"):
        other.file(n, 6000)
    other.map()
    second.close()
    batches[-1].other = other
    check(vault.check(want=None).returncode == 0, "check is clean before")
    for batch in batches:
        batch.map()
    vault.close()
    for batch in batches:
        batch.spoil()
    vault.open()
    report = vault.check(want=None)
    check(report.returncode == 7, f"check: exit {report.returncode}: {report.stderr[:200]}")
    found = {f["path"] for f in json.loads(report.stdout)["findings"]}
    print(f"{sum(len(b.expected) for b in batches)} objects spoiled, {len(found)} paths named")
    for batch in batches:
        batch.look(found)
    check(len(vault.processes()) == 4, "all programs live")
    write(f"{vault.mnt}/new", b"the vault still takes new files")
    vault.reopen()
    check(cat(f"{vault.mnt}/new") == b"the vault still takes new files", "and gives them back")
    again = {f["path"] for f in json.loads(vault.check(want=None).stdout)["findings"]}
    check(again == found, f"the second check says the same: {sorted(again ^ found)[:5]}")
    if not ROOT:
        skip("owners: not root")
    finish()


main()
