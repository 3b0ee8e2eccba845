"""Tables about access control lists: random ones set, inherited, changed by chmod, and what each user then may. Only where the mount has lists: as root, which mounts with --allow-other."""
import random, shutil, subprocess
from posixkit import *

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
OWNER_TAG, USER, GROUP, NAMED, MASK, OTHER = 1, 2, 4, 8, 16, 32
IDS = [61001, 61002, 61003, 0, 4000000000]
ROUNDS = int(os.environ.get("HF_TEST_ROUNDS", "1"))


def acl(*entries):
    """(tag, permissions[, id])…"""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", e[0], e[1], e[2] if len(e) > 2 else 0xffffffff) for e in entries)


def some_acl(rng):
    """Mostly good ones; now and then one that the kernel must refuse."""
    users = sorted(rng.sample(IDS, rng.choice((0, 0, 1, 2))))
    groups = sorted(rng.sample(IDS, rng.choice((0, 0, 1, 2))))
    entries = [(OWNER_TAG, rng.randrange(8))] + [(USER, rng.randrange(8), u) for u in users] + [(GROUP, rng.randrange(8))] + [(NAMED, rng.randrange(8), g) for g in groups]
    if users or groups or rng.random() < 0.2:
        entries.append((MASK, rng.choice((7, 7, rng.randrange(8)))))
    entries.append((OTHER, rng.randrange(8)))
    if rng.random() < 0.08:
        rng.choice((lambda: entries.pop(rng.randrange(len(entries))), lambda: entries.reverse(), lambda: entries.append((64, 1)), lambda: entries.insert(0, (OWNER_TAG, 9))))()
    return acl(*entries)


def lists(path):
    return tuple(answer(os.getxattr, path, name, follow_symlinks=False) for name in (ACCESS, DEFAULT))


def whole(path):
    return look(path), lists(path), answer(lambda: sorted(n for n in os.listxattr(path, follow_symlinks=False) if n != "security.selinux"))


def may(path):
    """What each user finds."""
    out = []
    for who in USERS:
        with as_user(who):
            out.append("".join("rwx"[i] if os.access(path, m, effective_ids=True) else "-" for i, m in enumerate((os.R_OK, os.W_OK, os.X_OK))))
            if os.path.isdir(path):
                out.append((answer(lambda: len(os.listdir(path))), answer(opened, f"{path}/new", os.O_CREAT | os.O_WRONLY), answer(os.unlink, f"{path}/new")))
            elif not stat.S_ISFIFO(os.lstat(path).st_mode):
                out.append((answer(opened, path, os.O_RDONLY), answer(opened, path, os.O_WRONLY)))
    return out


def made_in(d, rng):
    """Every way to make something in a directory, under some umask."""
    umask, mode = rng.choice((0, 0o022, 0o077, 0o027)), rng.choice((0o666, 0o777, 0o600, 0o640, 0o4755))
    out = []

    def tmpfile():
        fd = os.open(d, os.O_TMPFILE | os.O_RDWR, mode)
        name_for(fd, f"{d}/t")
        os.close(fd)

    old = os.umask(umask)
    for name, do in (("f", lambda: opened(f"{d}/f", os.O_CREAT | os.O_WRONLY, mode)), ("n", lambda: os.mknod(f"{d}/n", mode | stat.S_IFREG)), ("p", lambda: os.mkfifo(f"{d}/p", mode)),
                     ("d", lambda: os.mkdir(f"{d}/d", mode & 0o777)), ("s", lambda: sock(f"{d}/s")), ("l", lambda: os.symlink("x", f"{d}/l")), ("t", tmpfile),
                     ("c", lambda: os.mknod(f"{d}/c", mode | stat.S_IFCHR, os.makedev(1, 3)))):
        out.append((name, answer(do), whole(f"{d}/{name}")))
    os.umask(old)
    return oct(umask), oct(mode), out


@table
def access_lists(d):
    os.chmod(d, 0o777)
    for seed in range(80 * ROUNDS if ROOT else 0):
        rng = random.Random(seed)
        kind = rng.choice(("regular", "regular", "dir", "fifo"))
        path = f"{d}/o"
        make(kind, path, rng.choice((0o644, 0o755, 0o600, 0o2770, 0o6777)), OWNER)
        for step in range(4):
            who = rng.choice(("root", "owner", "owner", "member", "stranger"))
            what = rng.choice(("access", "access", "access", "default", "chmod", "remove", "chown", "again"))
            value, mode = some_acl(rng), rng.choice((0o777, 0o700, 0o070, 0o007, 0o640, 0o2755, 0o1777, 0o4711))
            stamps = age(path) if who == "root" else {}
            with as_user(who):
                if what in ("access", "default"):
                    did = answer(os.setxattr, path, ACCESS if what == "access" else DEFAULT, value)
                elif what == "chmod":
                    did = answer(os.chmod, path, mode)
                elif what == "remove":
                    did = answer(os.removexattr, path, rng.choice((ACCESS, DEFAULT)))
                elif what == "chown":
                    did = answer(os.chown, path, -1, 61001)
                else:
                    did = answer(lambda: os.setxattr(path, ACCESS, os.getxattr(path, ACCESS)))
            yield f"{seed}.{step} {kind} {who} {what}", (did, whole(path), but_time(moved(stamps), what))
        yield f"{seed} {kind} may", may(path)
        remove(path)


def but_time(seen, what):
    """A list that is as it was moves no time of change on some disks, and does on others."""
    return seen if what == "chmod" else tuple(s.replace("c", "") for s in seen)


@table
def default_lists(d):
    os.chmod(d, 0o777)
    for seed in range(60 * ROUNDS if ROOT else 0):
        rng = random.Random(1000 + seed)
        top = f"{d}/t"
        make("dir", top, rng.choice((0o777, 0o755, 0o2777)), OWNER)
        first = answer(os.setxattr, top, DEFAULT, some_acl(rng))
        who = rng.choice(("root", "owner", "member", "stranger"))
        os.chmod(top, 0o2777 if rng.random() < 0.3 else 0o777)
        with as_user(who):
            made = made_in(top, rng)
        yield f"{seed} {who} makes", (first, made)
        deeper = os.path.isdir(f"{top}/d") and made_in(f"{top}/d", rng)
        yield f"{seed} {who} deeper", deeper
        yield f"{seed} may", [may(f"{top}/{name}") for name in ("f", "d") if os.path.lexists(f"{top}/{name}")]
        remove(top)


@table
def lists_of_other_kinds(d):
    good, minimal = acl((1, 7), (2, 5, 61002), (4, 7), (16, 7), (32, 0)), acl((1, 6), (4, 4), (32, 4))
    for kind in TYPES if ROOT else ():
        make(kind, f"{d}/o", owner=OWNER)
        for name in (ACCESS, DEFAULT):
            for what, value in (("good", good), ("minimal", minimal), ("empty", b""), ("no entries", acl()), ("short", good[:-1]), ("version", b"\3" + good[1:]),
                                ("no mask", acl((1, 7), (2, 5, 61002), (4, 7), (32, 0))), ("two masks", acl((1, 7), (4, 7), (16, 7), (16, 7), (32, 0)))):
                for who in USERS:
                    with as_user(who):
                        did = answer(os.setxattr, f"{d}/o", name, value, follow_symlinks=False)
                    yield f"{kind} {name} {what} {who}", (did, whole(f"{d}/o"))
            yield f"{kind} {name} removed", (answer(os.removexattr, f"{d}/o", name, follow_symlinks=False), answer(os.removexattr, f"{d}/o", name, follow_symlinks=False), whole(f"{d}/o"))
        remove(f"{d}/o")
    if ROOT:
        for name in ("system.posix_acl", "system.x", "system."):
            touch(f"{d}/f")
            yield f"{name}", [answer(os.getxattr, f"{d}/f", name), answer(os.setxattr, f"{d}/f", name, b"1"), answer(os.removexattr, f"{d}/f", name)]


@table
def lists_through_changes(d):
    """A list goes where its object goes, and stays what it is."""
    if not ROOT:
        return
    good, fallback = acl((1, 7), (2, 5, 61002), (4, 7), (16, 5), (32, 0)), acl((1, 7), (2, 6, 61003), (4, 5), (8, 7, 61001), (16, 7), (32, 4))
    for kind in ("regular", "dir", "fifo", "char", "socket"):
        make(kind, f"{d}/o", owner=OWNER)
        os.setxattr(f"{d}/o", ACCESS, good)
        if kind == "dir":
            os.setxattr(f"{d}/o", DEFAULT, fallback)
        os.mkdir(f"{d}/sub", 0o777)
        os.rename(f"{d}/o", f"{d}/sub/moved")
        yield f"{kind} renamed", whole(f"{d}/sub/moved")
        os.chown(f"{d}/sub/moved", *STRANGER[:2])
        yield f"{kind} another owner", (whole(f"{d}/sub/moved"), may(f"{d}/sub/moved") if kind != "socket" and kind != "char" else 0)
        if kind != "dir":
            os.link(f"{d}/sub/moved", f"{d}/o2")
            os.chmod(f"{d}/o2", 0o640)
            yield f"{kind} two names", (whole(f"{d}/o2"), whole(f"{d}/sub/moved"))
        make(kind, f"{d}/other", owner=MEMBER)
        renameat2(f"{d}/other", f"{d}/sub/moved", EXCHANGE)
        yield f"{kind} exchanged", (whole(f"{d}/other"), whole(f"{d}/sub/moved"))
        for path in ("sub", "other", "o2"):
            remove(f"{d}/{path}")
    make("regular", f"{d}/f", owner=OWNER)
    os.setxattr(f"{d}/f", ACCESS, good)
    make("dir", f"{d}/e", owner=OWNER)
    os.setxattr(f"{d}/e", DEFAULT, fallback)
    for tool in (["cp", "-a"], ["cp", "--preserve=all", "-r"], ["rsync", "-aA"], ["mv"]):
        if shutil.which(tool[0]):
            for source in ("f", "e"):
                subprocess.run([*tool, f"{d}/{source}", f"{d}/copy"] if tool[0] != "rsync" or source == "f" else [*tool, f"{d}/e/", f"{d}/copy"], check=True, capture_output=True)
                yield f"{tool} {source}", whole(f"{d}/copy")
                subprocess.run(["mv", f"{d}/copy", f"{d}/{source}"], check=True) if tool[0] == "mv" else remove(f"{d}/copy")
    for tool in ("getfacl", "setfacl"):
        yield f"{tool} is here", shutil.which(tool) is not None
    subprocess.run(["setfacl", "-m", "u:61003:rw,g:61001:-", f"{d}/f"], check=True)
    yield "getfacl", subprocess.run(["getfacl", "-cn", "f", "e"], cwd=d, capture_output=True, text=True, check=True).stdout
    subprocess.run(["setfacl", "-b", f"{d}/f"], check=True)
    yield "without", whole(f"{d}/f")


@table
def attributes_of_other_kinds(d):
    """trusted. and security. on everything, user. where disks have it."""
    names = ("trusted.a", "security.a", "user.a", "trusted.", "security.", "strange.a", "trusted." + "n" * 100)
    for kind in TYPES:
        make(kind, f"{d}/o", owner=OWNER)
        for who in USERS:
            for name in names:
                with as_user(who):
                    got = [answer(os.setxattr, f"{d}/o", name, b"1", 2, follow_symlinks=False), answer(os.setxattr, f"{d}/o", name, b"1", 1, follow_symlinks=False),
                           answer(os.setxattr, f"{d}/o", name, b"", 1, follow_symlinks=False), answer(os.setxattr, f"{d}/o", name, b"v" * 300, follow_symlinks=False),
                           answer(os.getxattr, f"{d}/o", name, follow_symlinks=False), answer(lambda: sorted(os.listxattr(f"{d}/o", follow_symlinks=False)))]
                yield f"{kind} {who} {name[:20]}", got
        if kind != "dir":
            os.rename(f"{d}/o", f"{d}/o2")
            os.link(f"{d}/o2", f"{d}/o", follow_symlinks=False)
            yield f"{kind} two names", [whole(f"{d}/{n}")[::2] + (answer(os.getxattr, f"{d}/{n}", "trusted.a", follow_symlinks=False),) for n in ("o", "o2")]
            remove(f"{d}/o2")
        for who in USERS:
            for name in names:
                with as_user(who):
                    got = [answer(os.removexattr, f"{d}/o", name, follow_symlinks=False), answer(os.removexattr, f"{d}/o", name, follow_symlinks=False)]
                yield f"{kind} {who} {name[:20]} removed", got
        remove(f"{d}/o")
