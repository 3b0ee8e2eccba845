"""Vaults to attack: real ones on a real mount (tests/e2e/vaultlib.py), filled with marks that an attacker can look for."""
import os, secrets, shutil, subprocess, sys, tempfile

from vaultlib import *
from book import BUILD

MARK = b"the spare key is under the third stone " + secrets.token_hex(8).encode()  # of this run alone
NAME = "surgery on tuesday " + secrets.token_hex(4)
ATTRIBUTE = b"with doctor winter " + secrets.token_hex(8).encode()
TARGET = "letters to anna " + secrets.token_hex(4)
TRACES = {"content": MARK, "name": NAME.encode(), "attribute": ATTRIBUTE, "link target": TARGET.encode()}
BODY = (MARK + b"\n") * 300


def write_marks(folder):
    """Content, name, attribute and link target with the marks in them, on the disk."""
    path = put(os.path.join(folder, NAME), BODY)
    os.setxattr(path, "user.note", ATTRIBUTE)
    os.symlink(TARGET, os.path.join(folder, "link"))
    os.sync()
    return path


def traces_in(folder, also=()):
    """Which marks lie in the bytes, names, link targets and attributes of everything below folder."""
    found = set()
    wanted = {**TRACES, **dict(also)}

    def look(data):
        found.update(name for name, value in wanted.items() if value in data)

    for base, folders, names in os.walk(folder):
        for name in folders + names:
            path = os.path.join(base, name)
            look(os.fsencode(name))
            try:
                if os.path.islink(path):
                    look(os.fsencode(os.readlink(path)))
                elif os.path.isfile(path):
                    look(get(path))
                for attribute in os.listxattr(path, follow_symlinks=False):
                    look(attribute.encode() + os.getxattr(path, attribute, follow_symlinks=False))
            except OSError:
                pass
    return found


class Sample(Vault):
    """A vault with marks in a folder `secret` (class complete) and one `plain`; log: the secrets that its programs had (a test build tells them), for the judge."""

    def __init__(self, tpm=None, attempts=0, recovery=True, fill=True, user=None, env=(), delays="0", more=(), kdf="64,1"):
        self.log_dir = tempfile.mkdtemp(prefix="hf-letter-")
        self.log = os.path.join(self.log_dir, "secrets")
        if user is not None:
            os.chown(self.log_dir, user, user)
        element = ("--element", "tpm2", "--tcti", tpm.tcti) if tpm else ()
        limit = ("--attempts", str(attempts)) if attempts or not tpm else ("--attempts", "10")
        super().__init__(BUILD, kdf=kdf, user=user, recovery=recovery, create=(*element, *limit, "--delays", delays, *more), env={"HF_TEST_SECRET_LOG": self.log, **dict(env)})
        self.state, self.bag = os.path.join(self.work, "state"), os.path.join(self.vault, ".holdfast", "keybag")
        if fill:
            self.open()
            self.secret = self.path("secret")
            self.as_owner(lambda: [os.mkdir(self.path(name)) for name in ("secret", "plain")])
            self.must("protect", "--class", "complete", self.secret)
            self.as_owner(lambda: [write_marks(self.path(name)) for name in ("secret", "plain")])
            self.close()

    def as_owner(self, fn):
        """fn in the owner's name: another user's mount is closed even to root."""
        if self.user is None:
            return fn()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.setgroups([])
                os.setresgid(self.user, self.user, self.user)
                os.setresuid(self.user, self.user, self.user)
                fn()
                status = 0
            finally:
                os._exit(status)
        return check(os.waitpid(pid, 0)[1] == 0, "what the owner does")

    def secrets(self, *labels):
        """{label: [values]} of what the programs noted."""
        found = {}
        for line in open(self.log):
            label, _, value = line.strip().rpartition(" ")
            if not labels or label in labels:
                found.setdefault(label, []).append(bytes.fromhex(value))
        return found

    def latest(self, label):
        return self.secrets(label)[label][-1]

    def tries(self, passcode):
        """One try of the owner's way in, with the vault closed; the exit status."""
        p = self.run("open", self.vault, self.mnt, "--passcode-fd", "0", given=passcode)
        if p.returncode == 0:
            self.close()
        return p.returncode

    def failed(self):
        return self.status()["element"]["failed"]

    def copy(self, what):
        """A thief's copy of the vault, or of the state that lies beside it."""
        where = tempfile.mkdtemp(prefix="hf-letter-", dir=self.work)
        shutil.copytree(what, where, symlinks=True, dirs_exist_ok=True)
        return where

    def put_back(self, copy, what):
        shutil.rmtree(what)
        shutil.copytree(copy, what, symlinks=True)

    def clean(self, pid=None):
        super().clean(pid)
        if pid is None or pid == os.getpid():
            shutil.rmtree(self.log_dir, ignore_errors=True)


def wrong(n):
    return f"wrong guess number {n} of somebody"


def sleeper(prefix=(), **more):
    """An ordinary program that nothing protects, for counter-trials: it has started and rests."""
    p = subprocess.Popen([*prefix, "sleep", "100"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    atexit.register(p.kill)

    def rests():
        with open(f"/proc/{p.pid}/stat") as stat, open(f"/proc/{p.pid}/maps") as maps:
            return stat.read().rsplit(")", 1)[1].split()[0] == "S" and "libc" in maps.read()

    check(within(20, lambda: os.readlink(f"/proc/{p.pid}/exe").endswith("sleep") and rests()), "another program rests")
    return p
