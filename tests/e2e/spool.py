#!/usr/bin/env python3
"""Before the first unlock data can arrive: the spool of class unless-open on the real mount, its attackers and its power cuts. spool.py BUILD

Proves [UO-8] [UO-9] [UO-10] [UO-11]."""
import ctypes, glob, hashlib, os, random, shutil, signal, struct, subprocess, sys, time

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")]
from keybag import crc32c
from vaultlib import *

BUILD = sys.argv[1]
LONG = os.environ.get("HF_LONG") == "1"
MARK = b"before-first-unlock"


def unverified(path):
    try:
        return os.getxattr(path, "user.holdfast.unverified") == MARK
    except OSError:
        return False


def gone(path):
    return error_of(os.open, path, os.O_RDONLY) == "ENOKEY"


def drop_box(v, *parts):
    """An always folder with a Maildir's three parts in it, of class unless-open."""
    box = v.protected("Inbox", cls="always")
    for part in parts or ("tmp", "new", "cur"):
        os.mkdir(f"{box}/{part}")
        v.must("protect", "--class", "unless-open", f"{box}/{part}")
    return box


def on_disk(v):
    """Inode number (the mount shows the disk's) -> path on disk."""
    return {os.lstat(p).st_ino: p for folder, _, files in os.walk(v.vault) if ".holdfast" not in folder for p in (os.path.join(folder, f) for f in files)}


def taken_in(v, *paths):
    """The marker goes when the last one is taken in and settled."""
    return within(60, lambda: not os.path.exists(f"{v.vault}/.holdfast/arrived"))


def reboot(v):
    """As after a restart: nobody has unlocked since."""
    v.close()
    v.open("--locked", passcode="")
    check(v.status()["state"] == "before-first-unlock", "before the first unlock")


def delivery():
    v = Vault(BUILD)
    v.open()
    box = drop_box(v)
    check(os.getxattr(f"{box}/new", "user.holdfast.class") == b"unless-open" and os.getxattr(box, "user.holdfast.class") == b"always", "the classes as they were asked for")
    ordinary = put(f"{box}/new/ordinary", BLOCK)
    check(os.getxattr(ordinary, "user.holdfast.class") == b"unless-open" and not unverified(ordinary), "unlocked: a file made there is one of class unless-open like others")
    other = v.protected("Photos", cls="unless-open")
    put(f"{other}/seen", b"x")
    os.mkdir(v.path("plain"))
    reboot(v)
    check(os.listdir(v.mnt) == ["Inbox"] and not os.path.exists(other), "only class always is there, with the drop box in it")
    check(sorted(os.listdir(box)) == ["cur", "new", "tmp"] and os.listdir(f"{box}/new") == ["ordinary"], "the drop box and its names")
    check(gone(ordinary), "what was there before cannot be read")
    # a program's way: exclusive create, write, read back, fsync, link or rename
    fd = os.open(f"{box}/tmp/a", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    check(os.write(fd, BLOCK * 5) == len(BLOCK) * 5 and os.pread(fd, 100, 4090) == (BLOCK * 2)[4090:4190], "[UO-8] the creating descriptor writes and reads")
    check(v.status()["open_unless_open"] == 1, "status counts it")
    os.fsync(fd)
    os.rename(f"{box}/tmp/a", f"{box}/new/a")
    check(error_of(os.open, f"{box}/new/a", os.O_RDONLY) == "ENOKEY", "nobody else opens it")
    os.close(fd)
    check(gone(f"{box}/new/a") and os.stat(f"{box}/new/a").st_size == len(BLOCK) * 5, "[UO-8] after the last close nobody does")
    for name, got in {"O_TRUNC": error_of(os.open, f"{box}/new/a", os.O_WRONLY | os.O_TRUNC), "append": error_of(os.open, f"{box}/new/a", os.O_WRONLY | os.O_APPEND),
                      "truncate": error_of(os.truncate, f"{box}/new/a", 1), "a lower class": error_of(os.setxattr, f"{box}/new/a", "user.holdfast.class", b"always"),
                      "the folder to always": error_of(os.setxattr, f"{box}/cur", "user.holdfast.class", b"always"),
                      "another folder to unless-open": error_of(os.setxattr, f"{box}", "user.holdfast.class", b"unless-open")}.items():
        check(got == "ENOKEY", f"[UO-8] {name}: {got or 'succeeded'}")
    check(error_of(os.open, f"{box}/new/a", os.O_WRONLY | os.O_CREAT | os.O_EXCL) == "EEXIST" and error_of(os.open, f"{box}/new/ordinary", os.O_WRONLY | os.O_CREAT | os.O_EXCL) == "EEXIST",
          "[UO-10] a name that is there is not given twice")
    for n in range(20):
        put(f"{box}/tmp/m{n}", b"message %d" % n * 300)
        os.link(f"{box}/tmp/m{n}", f"{box}/new/m{n}")
        os.unlink(f"{box}/tmp/m{n}")
    os.mkdir(f"{box}/new/sub")
    put(f"{box}/new/sub/deep", b"deeper" * 1000)
    put(f"{box}/new/{'n' * 250}", b"a long name")
    os.unlink(f"{box}/new/m19")
    check(unverified(f"{box}/new/m1") and not unverified(ordinary), "[UO-9] marked as what came before the first unlock")
    check(error_of(os.setxattr, f"{box}/new/m1", "user.holdfast.unverified", b"no") == "EPERM", "[UO-9] which nobody sets")
    keeper = os.open(f"{box}/new/kept", os.O_RDWR | os.O_CREAT)
    os.write(keeper, b"still open at the unlock")
    # what the programs hold: nothing of what has been closed
    secret = os.urandom(64)
    put(f"{box}/new/secret", secret * 2000)
    check(within(10, lambda: not any(memory_hits(pid, {"content": secret}) for pid in v.pids().values())), "[UO-8] closed: no program holds its content")
    # a restart in between
    os.close(keeper)
    reboot(v)
    check(gone(f"{box}/new/kept") and unverified(f"{box}/new/kept"), "after another restart as before")
    keeper = os.open(f"{box}/new/again", os.O_RDWR | os.O_CREAT)
    os.write(keeper, b"open over the unlock")
    v.unlock(passcode="wrong and wrong again", want=3)
    check(gone(f"{box}/new/kept"), "a wrong passcode opens nothing")
    v.unlock()
    check(get(f"{box}/new/a") == BLOCK * 5 and get(f"{box}/new/secret") == secret * 2000, "[UO-9] unlocked: all is there")
    check(all(get(f"{box}/new/m{n}") == b"message %d" % n * 300 for n in range(19)) and get(f"{box}/new/sub/deep") == b"deeper" * 1000 and get(ordinary) == BLOCK, "all of it")
    check(get(f"{box}/new/{'n' * 250}") == b"a long name", "long names")
    os.write(keeper, b", and after")
    os.close(keeper)
    check(get(f"{box}/new/again") == b"open over the unlock, and after", "what was open goes on")
    check(taken_in(v), "[UO-9] taken in")
    check(unverified(f"{box}/new/a") and os.getxattr(f"{box}/new/a", "user.holdfast.class") == b"unless-open", "[UO-9] and still marked")
    v.must("check", v.vault)
    v.lock()
    check(gone(f"{box}/new/a"), "locked like others of its class")
    put(f"{box}/new/later", b"while locked")
    check(not unverified(f"{box}/new/later"), "after the first unlock what arrives is authenticated with a key that it brought")
    v.unlock()
    v.must("rotate", v.vault)
    reboot(v)
    put(f"{box}/new/rotated", b"to the new pair")
    v.unlock()
    check(get(f"{box}/new/rotated") == b"to the new pair" and get(f"{box}/new/a") == BLOCK * 5 and get(f"{box}/new/later") == b"while locked", "also after a rotation")
    check(taken_in(v), "taken in again")
    v.must("protect", "--class", "complete", f"{box}/new/a")
    check(not unverified(f"{box}/new/a") and get(f"{box}/new/a") == BLOCK * 5, "made anew in another class it is the owner's")
    # back to before the first unlock without a restart
    v.must("settings", v.vault, "--inactivity", "1", "--passcode-fd", "0", given=PASS)
    v.lock()
    check(within(20, lambda: v.status()["state"] == "before-first-unlock"), "inactivity leads back to before the first unlock")
    put(f"{box}/new/inactive", b"after the inactivity limit")
    check(unverified(f"{box}/new/inactive") and gone(f"{box}/new/inactive"), "[UO-8] there the spool is again")
    v.unlock()
    check(get(f"{box}/new/inactive") == b"after the inactivity limit" and taken_in(v), "and is taken in")
    v.must("check", v.vault)
    v.close()
    v.clean()


def programs():
    """The drop box programs: procmail, cp, a logger."""
    v = Vault(BUILD)
    v.open()
    box = drop_box(v)
    reboot(v)
    mda = shutil.copyfile(shutil.which("procmail"), os.path.join(v.work, "procmail"))
    os.chmod(mda, 0o755)
    mails = [f"From: a@example.org\nTo: b@example.org\nSubject: {n}\n\n" + f"line {n}\n" * (10 + n * 50) for n in range(6)]
    for n, mail in enumerate(mails):
        p = subprocess.run([mda, "-p", "-m", f"DEFAULT={box}/", os.devnull], input=mail, text=True, capture_output=True)
        check(p.returncode == 0, f"[UO-8] procmail delivers mail {n} before the first unlock: exit {p.returncode} {p.stderr.strip()}")
    check(len(os.listdir(f"{box}/new")) == 6 and all(gone(f"{box}/new/{n}") for n in os.listdir(f"{box}/new")), "which nobody can read")
    card = os.path.join(v.work, "card")
    os.makedirs(f"{card}/DCIM/100")
    for n in range(6):
        put(f"{card}/DCIM/100/IMG_{n:04}.JPG", os.urandom(150_000 + n))
    p = subprocess.run(["cp", "-a", f"{card}/DCIM", f"{box}/cur"], capture_output=True, text=True)
    check(p.returncode == 0, f"[UO-8] a camera's import: {p.stderr.strip()}")
    p = subprocess.run([sys.executable, "-c", "import os, sys\nfd = os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)\n"
                        "for n in range(100):\n    os.write(fd, b'%d 52.52 13.40\\n' % n)\n    n % 20 or os.fsync(fd)\n", f"{box}/cur/log"], capture_output=True, text=True)
    check(p.returncode == 0, f"[UO-8] a location logger: {p.stderr.strip()}")
    v.unlock()
    check(sorted(get(f"{box}/new/{n}").decode() for n in os.listdir(f"{box}/new")) == sorted(mails), "[UO-9] each message is whole")
    check(subprocess.run(["diff", "-r", f"{card}/DCIM", f"{box}/cur/DCIM"]).returncode == 0, "[UO-9] the photos are the card's")
    check(len(get(f"{box}/cur/log").splitlines()) == 100, "[UO-9] the log is whole")
    check(taken_in(v), "taken in")
    v.must("check", v.vault)
    v.close()
    v.clean()


def attackers():
    """Whoever has the disk, without D: each object that is touched is an error, no other one is."""
    v = Vault(BUILD)
    v.open()
    box = drop_box(v, "new")
    good = put(f"{box}/new/ordinary", b"was there before")
    reboot(v)
    names = ("good", "flipped-s", "flipped-m", "flipped-d", "longer", "cut", "swap1", "swap2", "replaced", "empty", "class", "unmarked", "removed", "replayed")
    contents = {n: os.urandom(9000) + n.encode() for n in names}
    for n in names:
        put(f"{box}/new/{n}", contents[n])
    inode = {n: os.stat(f"{box}/new/{n}").st_ino for n in names}
    v.close()
    disk = on_disk(v)
    where = {n: disk[inode[n]] for n in names}
    folder = os.path.dirname(where["good"])
    older = open(where["replayed"], "rb").read()

    def alter(name, at, value=None):
        with open(where[name], "r+b") as f:
            f.seek(at)
            old = f.read(1)
            f.seek(at)
            f.write(value if value is not None else bytes([old[0] ^ 1]))

    alter("flipped-s", 60)                                  # the wrap
    alter("flipped-m", 300)                                 # a name slot
    alter("flipped-d", 600)                                 # the sealed part
    alter("class", 11, b"\x04")                             # unless-open to always
    alter("unmarked", 12, b"\x00")                          # the unverified flag
    with open(where["longer"], "ab") as f:
        f.write(os.urandom(1 << 20))
    os.truncate(where["cut"], 4096)
    os.truncate(where["empty"], 0)
    a, b = open(where["swap1"], "rb").read(), open(where["swap2"], "rb").read()
    for n, data in (("swap1", b), ("swap2", a), ("replaced", open(where["good"], "rb").read())):
        with open(where[n], "r+b") as f:
            f.write(data)
    os.unlink(where["removed"])
    # planted: no name of ours, the greatest length, a copy of a good file, a name out of a long one's side record, a record's temporary name
    for name, data in (("A" * 24, os.urandom(100)), ("B" * 255, b""), (os.path.basename(where["good"])[::-1], open(where["good"], "rb").read()), ("L" + "c" * 43, b"x" * 5000)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    os.symlink("x" * 4000, os.path.join(folder, "N" + "c" * 43))
    v.open("--locked", passcode="")
    put(f"{box}/new/after", b"goes on arriving")
    check(gone(f"{box}/new/good") and gone(f"{box}/new/after"), "[UO-10] the rest goes on")
    v.unlock()
    check(get(f"{box}/new/good") == contents["good"] and get(f"{box}/new/after") == b"goes on arriving" and get(good) == b"was there before", "[UO-10] what was not touched is whole")
    for n in ("flipped-s", "flipped-m", "flipped-d", "cut", "swap1", "swap2", "replaced", "empty", "class", "unmarked", "removed"):
        check(error_of(get, f"{box}/new/{n}") in ("EIO", "ENOENT") and (n == "removed" or error_of(get, f"{box}/new/{n}") == "EIO"), f"[UO-10] {n}: {error_of(get, f'{box}/new/{n}') or 'read'}")
    check(error_of(get, f"{box}/new/longer") in ("", "EIO") and (error_of(get, f"{box}/new/longer") or get(f"{box}/new/longer") == contents["longer"]), "[UO-10] a longer one is an error or what it was")
    listed = set(error_names(f"{box}/new"))
    check(not any(n.startswith(("A" * 24, "B" * 24)) for n in listed), "[UO-10] what was planted has no name")
    p = v.run("check", v.vault)
    check(p.returncode == 7 and all(n in p.stdout for n in ("flipped-s", "flipped-m", "swap1", "replaced", "unmarked")), f"[UO-10] check names each: {p.stdout[:600]}")
    check(os.path.exists(f"{v.vault}/.holdfast/arrived"), "what could not be taken in is left")
    # put back as it was before it was taken in
    check(get(f"{box}/new/replayed") == contents["replayed"], "taken in")
    put(f"{box}/new/replayed", b"the owner's own words")
    v.close()
    with open(where["replayed"], "wb") as f:
        f.write(older)
    v.open()
    check(error_of(get, f"{box}/new/replayed") == "EIO", f"[UO-10] put back as it came: {error_of(get, f'{box}/new/replayed') or 'read'}")
    check(get(f"{box}/new/good") == contents["good"], "no other one")
    v.close("--force")
    v.clean()


def error_names(path):
    """What a listing gives before it ends with an error."""
    p = subprocess.run(["ls", "-f", path], capture_output=True, text=True)
    return p.stdout.split()


class Keybag:
    """The file's parts, as an attacker who knows the format takes them apart (src/format/keybag.h, src/crypto/wrap.h)."""

    def __init__(self, path):
        self.path, self.whole = path, open(path, "rb").read()
        self.parts, at = [], 0
        for _ in range(4):
            n = struct.unpack_from("<I", self.whole, at)[0]
            self.parts.append(self.whole[at + 4:at + 4 + n])
            at += 4 + n
        self.mac = self.whole[at:at + 32]
        self.macced = self.whole[:at]
        assert self.parts[0].startswith(b"HFKEYBAG") and len(self.whole) == at + 36
        delays = struct.unpack_from("<I", self.parts[0], 84)[0]
        self.public_at = 88 + 4 * delays + 16

    @staticmethod
    def kdf(context, key, info, n):
        return hashlib.blake2b(info, digest_size=n, key=key, salt=struct.pack("<H", context).ljust(16, b"\0"), person=b"holdfast-kdf-v1\0").digest()

    def device_key(self, folder):
        """D lies in the software element's state in the clear: found by trying."""
        for name in glob.glob(f"{folder}/**", recursive=True):
            data = open(name, "rb").read() if os.path.isfile(name) else b""
            for at in range(len(data) - 31):
                key = self.kdf(2, data[at:at + 32], self.parts[0][12:28], 32)
                if self.kdf(3, key, self.macced, 32) == self.mac:
                    return key
        return None

    def put_public(self, public, device_key=None):
        """Another public half; the checksum made right, and with the device key section and MAC as well."""
        parts, sodium = list(self.parts), ctypes.CDLL("libsodium.so.23")
        parts[0] = parts[0][:self.public_at] + public + parts[0][self.public_at + 32:]
        if device_key:
            nonce, n = parts[1][:24], len(parts[1]) - 24 - 16 - 32
            derived, plain, sealed = self.kdf(4, device_key, nonce, 64), ctypes.create_string_buffer(n), ctypes.create_string_buffer(n + 16)
            u64 = ctypes.c_ulonglong
            assert sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(plain, None, None, parts[1][24:-32], u64(n + 16), self.parts[0], u64(len(self.parts[0])), nonce, derived[:32]) == 0
            assert sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, None, plain, u64(n), parts[0], u64(len(parts[0])), None, nonce, derived[:32]) == 0
            parts[1] = nonce + sealed.raw + derived[32:]
        macced = b"".join(struct.pack("<I", len(p)) + p for p in parts)
        whole = macced + (self.kdf(3, device_key, macced, 32) if device_key else self.mac)
        self.write(whole + struct.pack("<I", crc32c(whole)))

    def write(self, data):
        with open(self.path, "wb") as f:
            f.write(data)


def public_half():
    """The key that what arrives goes to, swapped on the disk by someone without D and by someone with it."""
    v = Vault(BUILD)
    v.open()
    box = drop_box(v, "new")
    v.close()
    keybag, mine = Keybag(f"{v.vault}/.holdfast/keybag"), bytes([9]) + bytes(31)
    keybag.put_public(mine)
    p = v.run("open", v.vault, v.mnt, "--locked")
    check(p.returncode == 7 and not v.mounted(), f"[UO-11] another key in the header, without D: exit {p.returncode} {p.stderr.strip()}")
    keybag.write(keybag.whole)
    v.open("--locked", passcode="")
    keybag.put_public(mine)
    put(f"{box}/new/one", b"under the key that was checked")
    v.unlock(want=7)
    check(gone(f"{box}/new/one"), "[UO-11] put there while the vault is open: found at the unlock")
    keybag.write(keybag.whole)
    v.unlock()
    check(get(f"{box}/new/one") == b"under the key that was checked" and taken_in(v), "[UO-11] and what arrived meanwhile went to the right one")
    v.close()
    # D in hand (the software element's state lies beside the vault): the swap is believed until the unlock
    key = keybag.device_key(v.env["XDG_STATE_HOME"])
    check(key is not None, "D is found where the software element keeps it")
    keybag.put_public(mine, key)
    v.open("--locked", passcode="")
    put(f"{box}/new/two", b"read by whoever has D")
    keybag.write(keybag.whole)  # and hidden again before the owner comes
    p = v.run("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    check(p.returncode == 7 and "unless-open" in p.stderr, f"[UO-11] with D: believed, and found at the unlock though it was put right before: exit {p.returncode} {p.stderr.strip()}")
    check(v.status()["state"] == "before-first-unlock", "nothing was opened")
    v.close()
    v.open()
    check(error_of(get, f"{box}/new/two") == "EIO" and get(f"{box}/new/one") == b"under the key that was checked", "[UO-11] what went to the other key is an error, the rest is there")
    v.close()
    v.clean()


def cuts():
    """Killed while data arrives and while it is taken in: what was synced is there, nothing is unreadable."""
    v = Vault(BUILD)
    v.open()
    box = drop_box(v)
    v.close()
    rng = random.Random(5)
    acknowledged = {}
    writer = """import os, sys
box, turn = sys.argv[1:]
for n in range(10**6):
    data = (b'%s %d ' % (turn.encode(), n)) * (n % 7 * 300 + 1)
    fd = os.open(f'{box}/tmp/{turn}.{n}', os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    os.rename(f'{box}/tmp/{turn}.{n}', f'{box}/new/{turn}.{n}')
    d = os.open(f'{box}/new', os.O_RDONLY)
    os.fsync(d)
    os.close(d)
    print(n, flush=True)
"""
    turns = 30 if LONG else 6
    for turn in range(turns):
        v.open("--locked", passcode="")
        p = subprocess.Popen([sys.executable, "-c", writer, box, str(turn)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = [p.stdout.readline() for _ in range(rng.randrange(1, 12))]
        pids = list(v.pids().values())
        for pid in rng.sample(pids, len(pids)) if turn % 2 else [v.pids()["holdfast-fs"]]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        p.wait(60)
        lines += p.stdout.read().split("\n")
        acknowledged[turn] = [int(line) for line in lines if line.strip()]
        check(within(30, lambda: not v.running()), "all of it is gone")
        while v.mounted():
            subprocess.run(["umount", "-l", v.mnt], capture_output=True)
        if turn % 3 == 2: # and killed while it is taken in
            v.open("--locked", passcode="")
            q = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
            time.sleep(rng.random() * 0.6)
            for pid in v.running():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            q.wait(60)
            check(within(30, lambda: not v.running()), "killed at the unlock")
            while v.mounted():
                subprocess.run(["umount", "-l", v.mnt], capture_output=True)
    v.open()
    for turn, ns in acknowledged.items():
        for n in ns:
            want = (b"%d %d " % (turn, n)) * (n % 7 * 300 + 1)
            got = error_of(get, f"{box}/new/{turn}.{n}") or get(f"{box}/new/{turn}.{n}")
            check(got == want, f"[UO-9] turn {turn} message {n}: {got if isinstance(got, str) else 'other content'}")
    for part in ("tmp", "new", "cur"):
        for name in os.listdir(f"{box}/{part}"):
            check(error_of(get, f"{box}/{part}/{name}") == "", f"readable: {part}/{name}: {error_of(get, f'{box}/{part}/{name}')}")
    check(taken_in(v), "taken in")
    v.must("check", v.vault)
    v.close()
    v.clean()
    print(f"{turns} kills, {sum(map(len, acknowledged.values()))} acknowledged messages", flush=True)


def forgotten():
    """Back before the first unlock no program holds a key or a name of anything but class always. [PR-3] is off, or nothing could be read."""
    v, log = telling_vault(BUILD, create=("--grace", "0"))
    box, plain = drop_box(v, "new"), v.path("plain")
    os.mkdir(plain)
    marker = b"<<words of a file that is there after the unlock>>"
    for n in range(40):
        put(f"{plain}/{n}", marker * (n + 1))
    v.must("rotate", v.vault)  # earlier generations as well
    for where in (v.protected("secret"), v.protected("mail", cls="unless-open"), plain):
        put(f"{where}/f", marker * 500)
        get(f"{where}/f")
    held = os.open(f"{plain}/f", os.O_RDWR)
    pages = map_file(held)
    check(pages[0] == marker[0] and resident(pages) > 0, "cached")
    pages.close()

    def values():
        found = {"marker": marker}
        lines = open(log).read().splitlines()
        files = {n for n, line in enumerate(lines) if line.startswith("file-key")}
        for line in (line for n, line in enumerate(lines) if n not in sorted(files)[10:-10]):  # a sample: the scan takes its time
            label, _, value = line.rpartition(" ")
            if label.startswith(("meta-key-", "name-key-", "file-key-", "class-key")) and not label.endswith("always"):
                found[f"{label} {value[:8]}"] = bytes.fromhex(value)
        return found

    def scan():
        return {(program, hit) for pid, program in v.running().items() for hit in memory_hits(pid, values()) or ()}

    before = {hit.split()[0] for _, hit in scan()}
    for kind in ("meta-key-complete", "meta-key-unless-open", "meta-key-after-unlock", "name-key-after-unlock", "marker"):
        check(kind in before, f"unlocked: {kind} can be found (else the scan shows nothing)")
    for n in range(30):  # and changes that have not been settled
        put(f"{plain}/late{n}", marker)
        os.rename(f"{plain}/{n}", f"{plain}/renamed{n}")
    v.must("settings", v.vault, "--inactivity", "1", "--passcode-fd", "0", given=PASS)
    v.must("lock", v.vault)
    check(within(20, lambda: v.status()["state"] == "before-first-unlock"), "inactivity leads back to before the first unlock")
    left = scan()
    check(not left, f"then nothing of them is in any program: {sorted(left)[:6]}")
    check(error_of(os.pread, held, 10, 0) == "ENOKEY" and error_of(os.fchmod, held, 0o600) == "ENOKEY", "what was open is closed")
    put(f"{box}/new/arrived", b"meanwhile")
    os.sync()
    v.unlock()
    check(all(get(f"{plain}/late{n}") == marker and get(f"{plain}/renamed{n}") == marker * (n + 1) for n in range(30)), "after the unlock every change is there")
    check(os.pread(held, 10, 0) == marker[:10] and get(f"{box}/new/arrived") == b"meanwhile", "what is open reads again")
    v.must("check", v.vault)
    os.close(held)
    v.close()
    v.open()
    v.must("check", v.vault)
    v.close()
    v.clean()
    shutil.rmtree(os.path.dirname(log))


for part in sys.argv[2:] or ("delivery", "programs", "attackers", "public_half", "forgotten", "cuts"):
    began = time.monotonic()
    globals()[part]()
    print(f"{part}: {time.monotonic() - began:.1f} s", flush=True)
finish()
