"""What a workload did and what of it a disk may show after a power cut: the operations with their places in the disk's log, the names after each, each file's
versions. An operation that had ended by the cut, and that a barrier followed, is there; one that had begun may be there, whole or in part."""
import ctypes, os, stat

PAGE = 4096
CLASSES = (b"complete", b"after-unlock", b"always")
libc = ctypes.CDLL(None, use_errno=True)


def noise(rng, n):
    return rng.randbytes(n)


class Object:
    """A file. Each version is what it was after operation `at`; floors are the operations up to which an fsync promised it."""

    def __init__(self, number, at, mode):
        self.number, self.versions, self.modes, self.xattrs, self.floors = number, [(at, b"")], [(at, mode)], [(at, {})], []
        self.linked = False
        self.replaced = None # the operation that put it over another file: whoever sees that sees the file

    def content(self):
        return self.versions[-1][1]


def window(history, floor, ceiling):
    """The values that may be there: the one that was promised (or the first) and all later ones that had begun."""
    start = max([i for i, (at, _) in enumerate(history) if at <= floor], default=0)
    return [value for i, (at, value) in enumerate(history) if i >= start and (at <= ceiling or i == start)]


def may_hold(seen, versions):
    """Each byte from some version, the length between the shortest and the longest."""
    if seen in versions:
        return True
    shortest, longest = min(map(len, versions)), max(map(len, versions))
    if not shortest <= len(seen) <= longest:
        return False
    for at in range(0, len(seen), PAGE):
        part = seen[at:at + PAGE]
        if any(v[at:at + len(part)] == part for v in versions):
            continue
        if not all(any(i + at < len(v) and v[i + at] == c for v in versions) for i, c in enumerate(part)):
            return False
    return True


class Scenario:
    """Performs operations below `root` and keeps the record. position(): the length of the disk's log."""

    def __init__(self, root, position, rng):
        self.root, self.position, self.rng = root, position, rng
        self.ops = []                 # (what, log position before, after)
        self.names = [{}]             # after each operation: path -> Object, "dir", or ("link", target)
        self.between = {}             # operation -> further namespaces that it passes through
        self.synced = []              # operations that promise all names up to them
        self.objects = 0

    # --- the record ---
    def op(self, what, act, change, between=()):
        """One operation: `act` does it, `change` tells the record."""
        before = self.position()
        act()
        now = dict(self.names[-1])
        change(now)
        self.names.append(now)
        self.ops.append((what, before, self.position()))
        if between:
            self.between[len(self.ops)] = list(between)

    @property
    def at(self):
        return len(self.ops) + 1

    def files(self):
        return [p for p, o in self.names[-1].items() if isinstance(o, Object)]

    def dirs(self):
        return [""] + [p for p, o in self.names[-1].items() if o == "dir"]

    def path(self, p):
        return os.path.join(self.root, p)

    def fresh(self):
        self.objects += 1
        return os.path.join(self.rng.choice(self.dirs()), f"n{self.objects}" + "x" * self.rng.choice((0, 0, 3, 170, 200)))

    # --- operations ---
    def create(self, p=None):
        p = p or self.fresh()
        mode = self.rng.choice((0o600, 0o640, 0o400))
        made = Object(self.objects, self.at, mode)
        self.op(f"create {p}", lambda: os.close(os.open(self.path(p), os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)), lambda n: n.__setitem__(p, made))
        return p

    def write(self, p, at, data):
        file = self.names[-1][p]
        old = file.content()
        new = old[:at].ljust(at, b"\0") + data + old[at + len(data):]

        def act():
            fd = os.open(self.path(p), os.O_WRONLY)
            done = 0
            while done < len(data):
                done += os.pwrite(fd, data[done:], at + done)
            os.close(fd)
        if at > len(old): # the gap may be there without the data
            file.versions.append((self.at, old.ljust(at + len(data), b"\0")))
        file.versions.append((self.at, new))
        self.op(f"write {p} at {at} {len(data)}", act, lambda n: None)

    def truncate(self, p, size):
        file = self.names[-1][p]
        file.versions.append((self.at, file.content()[:size].ljust(size, b"\0")))
        self.op(f"truncate {p} from {len(file.versions[-2][1])} to {size}", lambda: os.truncate(self.path(p), size), lambda n: None)

    def fsync(self, p):
        file = self.names[-1][p]

        def act():
            fd = os.open(self.path(p), os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        file.floors.append(self.at)
        self.op(f"fsync {p}", act, lambda n: None)

    def promise(self, what, act, contents=True):
        """All names, and the contents too, are durable when it has ended."""
        self.synced.append(self.at)
        for file in {id(o): o for o in self.names[-1].values() if isinstance(o, Object)}.values() if contents else ():
            file.floors.append(self.at)
        self.op(what, act, lambda n: None)

    def sync_dir(self, p):
        def act():
            fd = os.open(self.path(p), os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)
        self.promise(f"fsync directory {p or '/'}", act, contents=False)

    def chmod(self, p):
        file, mode = self.names[-1][p], self.rng.choice((0o600, 0o644, 0o700, 0o440))
        file.modes.append((self.at, mode))
        self.op(f"chmod {p} {mode:o}", lambda: os.chmod(self.path(p), mode), lambda n: None)

    def setxattr(self, p):
        file, name = self.names[-1][p], self.rng.choice(("user.a", "user.b"))
        value = None if name in file.xattrs[-1][1] and self.rng.random() < 0.3 else noise(self.rng, self.rng.choice((1, 30, 900)))
        after = {**file.xattrs[-1][1], name: value}
        if value is None:
            del after[name]
        file.xattrs.append((self.at, after))
        act = (lambda: os.removexattr(self.path(p), name)) if value is None else (lambda: os.setxattr(self.path(p), name, value))
        self.op(f"setxattr {p} {name} {value is not None}", act, lambda n: None)

    def quietly(self, what, act):
        """An operation that changes nothing that the verdict compares; what it leaves must be readable all the same."""
        self.op(what, act, lambda n: None)

    def chmods(self, p):
        """More changes than evidence has room for."""
        for _ in range(40):
            self.chmod(p)

    def set_class(self, p):
        value = self.rng.choice(CLASSES)
        if not self.names[-1][p].linked: # one with several names is refused
            self.quietly(f"class of {p} {value.decode()}", lambda: os.setxattr(self.path(p), "user.holdfast.class", value))

    def touch_dir(self, p):
        mode, value = self.rng.choice((0o700, 0o750, 0o755)), noise(self.rng, self.rng.choice((1, 300)))
        self.quietly(f"chmod directory {p} {mode:o}", lambda: os.chmod(self.path(p), mode))
        self.quietly(f"setxattr directory {p}", lambda: os.setxattr(self.path(p), "user.d", value))

    def exchange(self, p, q):
        def act():
            if libc.renameat2(-100, os.fsencode(self.path(p)), -100, os.fsencode(self.path(q)), 2) != 0:
                raise OSError(ctypes.get_errno(), f"exchange {p} {q}")
        self.op(f"exchange {p} {q}", act, lambda n: n.update({p: n[q], q: n[p]}))

    def mkdir(self):
        p = self.fresh()
        self.op(f"mkdir {p}", lambda: os.mkdir(self.path(p), 0o700), lambda n: n.__setitem__(p, "dir"))

    def rmdir(self, p):
        self.op(f"rmdir {p}", lambda: os.rmdir(self.path(p)), lambda n: n.pop(p))

    def symlink(self):
        p, target = self.fresh(), "t" * self.rng.choice((1, 40, 1500, 3000))
        self.op(f"symlink {p}", lambda: os.symlink(target, self.path(p)), lambda n: n.__setitem__(p, ("link", target)))

    def link(self, p):
        q = self.fresh()
        self.names[-1][p].linked = True
        self.op(f"link {p} {q}", lambda: os.link(self.path(p), self.path(q)), lambda n: n.__setitem__(q, n[p]))

    def unlink(self, p):
        self.op(f"unlink {p}", lambda: os.unlink(self.path(p)), lambda n: n.pop(p))

    def rename(self, p, q):
        def change(n):
            if n.get(q) is not None and n.get(q) is n[p] and n[q] != "dir":
                return # two names of one file: nothing happens
            moved = {x: n.pop(x) for x in list(n) if x == p or x.startswith(p + "/")}
            n.update({q + x[len(p):]: o for x, o in moved.items()})
        now, between = self.names[-1], []
        if isinstance(now[p], tuple): # a link is made anew, then the old one goes
            between = [{**now, q: now[p]}]
        elif now[p] == "dir" and now.get(q) == "dir": # the one it replaces goes first
            between = [{x: o for x, o in now.items() if x != q}]
        if isinstance(now[p], Object) and isinstance(now.get(q), Object) and now[p] is not now[q] and now[p].replaced is None:
            now[p].replaced = self.at
        self.op(f"rename {p} {q}", lambda: os.rename(self.path(p), self.path(q)), change, between)

    def replace(self, p):
        """As editors do: a fresh file, synced or not, renamed over."""
        q = self.create()
        self.write(q, 0, noise(self.rng, self.rng.choice((10, 3392, 5000, 30000))))
        if self.rng.random() < 0.7:
            self.fsync(q)
        self.rename(q, p)

    def step(self):
        rng, files, now = self.rng, self.files(), self.names[-1]
        if len(files) < 6:
            p = self.create()
            if rng.random() < 0.8:
                self.write(p, 0, noise(rng, rng.choice((1, 100, 3392, 3393, 9000, rng.randrange(40000)))))
            return
        p = rng.choice(files)
        size = len(now[p].content())
        links = [x for x, o in now.items() if isinstance(o, tuple)]
        dirs = self.dirs()[1:]
        empty = [d for d in dirs if not any(x.startswith(d + "/") for x in now)]
        kind = rng.choices(("write", "append", "truncate", "fsync", "create", "replace", "chmod", "setxattr", "mkdir", "rmdir", "symlink", "link", "unlink", "rename",
                            "rename_over", "rename_dir", "rename_link", "sync_dir", "gap", "chmods", "set_class", "touch_dir", "exchange"),
                           (8, 8, 5, 8, 4, 6, 3, 4, 2, 1, 1, 3, 4, 6, 4, 4, 1, 5, 1, 0.4, 2, 2, 2))[0]
        n = rng.choice((1, 100, 700, 3392, 4064, 9000, rng.randrange(40000)))
        if kind == "write" and size:
            at = rng.randrange(size)
            self.write(p, at, noise(rng, min(n, size - at)))
        elif kind == "append" and size < 300_000:
            for _ in range(rng.choice((1, 1, 4))):
                self.write(p, len(now[p].content()), noise(rng, n))
        elif kind == "gap" and size < 300_000:
            self.write(p, size + rng.randrange(1, 30000), noise(rng, n))
        elif kind == "truncate":
            self.truncate(p, rng.choice((0, rng.randrange(size + 1), rng.randrange(size + 1), size + rng.randrange(9000))))
        elif kind in ("fsync", "replace", "chmod", "chmods", "setxattr", "set_class", "link"):
            getattr(self, kind)(p)
        elif kind == "create":
            q = self.create()
            self.write(q, 0, noise(rng, n))
            if rng.random() < 0.4:
                self.fsync(q)
        elif kind == "mkdir" and len(dirs) < 6 or kind == "symlink" and len(links) < 5:
            getattr(self, kind)()
        elif kind == "rmdir" and empty:
            self.rmdir(rng.choice(empty))
        elif kind == "unlink" and len(files) > 8:
            self.unlink(p)
        elif kind == "rename":
            self.rename(p, self.fresh())
        elif kind == "rename_over":
            self.rename(p, rng.choice(files))
        elif kind == "touch_dir" and dirs:
            self.touch_dir(rng.choice(dirs))
        elif kind == "exchange":
            self.exchange(p, rng.choice(files))
        elif kind == "rename_link" and links:
            self.rename(rng.choice(links), self.fresh())
        elif kind == "rename_dir" and dirs:
            d = rng.choice(dirs)
            others = [e for e in self.dirs() if e != d and not e.startswith(d + "/")]
            target = rng.choice([e for e in empty if e in others] or [None])
            if target is None or rng.random() < 0.6:
                self.objects += 1
                target = os.path.join(rng.choice(others), f"n{self.objects}")
            self.rename(d, target)
        elif kind == "sync_dir":
            self.sync_dir(rng.choice(self.dirs()))

    # --- the verdict ---
    def judge(self, seen, cut):
        """What is wrong with the tree `seen` (path -> what see() returns) after a cut at log position `cut`: a list of texts."""
        floor = max([i for i, (_, _, after) in enumerate(self.ops, 1) if after <= cut and i in self.synced], default=0)
        ceiling = max([i for i, (_, before, _) in enumerate(self.ops, 1) if before <= cut], default=0)
        done = max([i for i, (_, _, after) in enumerate(self.ops, 1) if after <= cut], default=0)
        wrong = [f"{p}: {s[1]}" for p, s in seen.items() if s[0] == "error"]
        best = None
        for at in range(ceiling, floor - 1, -1):
            for names in (self.names[at], *self.between.get(at, ())):
                problems = self.compare(seen, names, at, ceiling, done)
                if best is None or len(problems) < len(best[1]):
                    best = (at, problems)
                if not problems:
                    return wrong
        return wrong + [f"no moment from operation {floor} to {ceiling} has these names; nearest {best[0]} ({self.ops[best[0] - 1][0] if best[0] else 'start'})"] + best[1]

    def compare(self, seen, names, at, ceiling, done):
        problems = [f"{p}: there, and should not be" for p in seen if p not in names]
        for p, thing in names.items():
            if p not in seen:
                lost = isinstance(thing, Object) and not any(f <= done for f in thing.floors) and (thing.replaced is None or at < thing.replaced)
                if not lost: # a create whose first page never came
                    problems.append(f"{p}: absent")
            elif isinstance(thing, Object):
                problems += [f"{p}: {x}" for x in self.file_problems(thing, seen[p], ceiling, done)]
            elif thing == "dir" and seen[p][0] != "dir" or isinstance(thing, tuple) and seen[p] != thing:
                problems.append(f"{p}: {seen[p][:1]}, not {thing[:1]}")
        return problems

    def file_problems(self, file, seen, ceiling, done):
        if seen[0] == "error":
            return []
        if seen[0] != "file":
            return [f"{seen[0]}, not a file"]
        promised = max([f for f in file.floors if f <= done], default=0)
        versions, problems = window(file.versions, promised, ceiling), []
        if not promised:
            versions.append(b"")
        if not may_hold(seen[1], versions):
            problems.append(f"content of {len(seen[1])} bytes is none of its versions {[len(v) for v in versions]}")
        if seen[2] not in window(file.modes, promised, ceiling):
            problems.append(f"mode {seen[2]:o}, not of {[oct(m) for m in window(file.modes, promised, ceiling)]}")
        allowed = window(file.xattrs, promised, ceiling)
        if any(seen[3].get(n) not in [a.get(n) for a in allowed] for n in {*seen[3], *(n for a in allowed for n in a)}):
            problems.append(f"extended attributes {sorted(seen[3])}, not of {[sorted(a) for a in allowed]}")
        return problems


def see(root):
    """The whole tree: path -> ("dir",), ("link", target), ("file", bytes, mode, xattrs) or ("error", text)."""
    seen = {}

    def walk(at):
        for name in sorted(os.listdir(os.path.join(root, at))):
            p = os.path.join(at, name)
            full = os.path.join(root, p)
            try:
                st = os.lstat(full)
                if stat.S_ISDIR(st.st_mode):
                    for n in os.listxattr(full):
                        os.getxattr(full, n)
                    seen[p] = ("dir",)
                    walk(p)
                elif stat.S_ISLNK(st.st_mode):
                    seen[p] = ("link", os.readlink(full))
                else:
                    with open(full, "rb") as f:
                        data = f.read()
                    seen[p] = ("file", data, stat.S_IMODE(st.st_mode), {n: os.getxattr(full, n) for n in os.listxattr(full)})
            except OSError as e:
                seen[p] = ("error", f"{e.strerror} at {e.filename or p}")
    walk("")
    return seen
