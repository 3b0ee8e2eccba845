#!/usr/bin/env python3
"""Files with more names than their header has place for: through a kill, a close, and with their record spoiled on the disk. names.py BUILD

[CR-12] [CR-13] [CR-14]"""
import os, shutil, signal, sys

from posixkit import EXCHANGE, answer, name_for, renameat2
from vaultkit import Vault, check, finish

MANY = 2000 if os.environ.get("HF_LONG") else 120


def cat(path):
    with open(path, "rb") as f:
        return f.read()


def read_all(top, names, want):
    return [n for n in names if answer(cat, f"{top}/{n}") != want]


def kill(vault):
    pid = vault.processes()["fs"][0]
    os.kill(pid, signal.SIGKILL)
    vault.run("close", vault.path, "--force", passcode=False, want=None)


def make(vault, top):
    os.mkdir(top)
    with open(f"{top}/n0", "wb") as f:
        f.write(b"many names")
    for i in range(1, MANY):
        os.link(f"{top}/n{i - 1}", f"{top}/n{i}")
    os.symlink("the target", f"{top}/s0")
    for i in range(1, 20):
        os.link(f"{top}/s0", f"{top}/s{i}", follow_symlinks=False)
    os.symlink("other", f"{top}/x")
    renameat2(f"{top}/x", f"{top}/s3", EXCHANGE)
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(fd, b"named late")
    name_for(fd, f"{top}/late")
    os.close(fd)


def through_stops(vault):
    top = f"{vault.mnt}/d"
    make(vault, top)
    for stop, how in ((kill, "kill"), (Vault.close, "close"), (kill, "second kill")):
        fd = os.open(top, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        os.sync()
        stop(vault)
        vault.open()
        names = [f"n{i}" for i in range(MANY) if os.path.lexists(f"{top}/n{i}")]
        check(len(names) == os.stat(f"{top}/{names[0]}").st_nlink and not read_all(top, names, b"many names"), f"{how}: all names open")
        check(os.readlink(f"{top}/s3") == "other" and os.readlink(f"{top}/x") == "the target" and os.readlink(f"{top}/s19") == "the target", f"{how}: links")
        check(cat(f"{top}/late") == b"named late", f"{how}: named late")
        for name in names[::3]:  # goes on changing in the new window
            os.rename(f"{top}/{name}", f"{top}/{name}.r")
            os.rename(f"{top}/{name}.r", f"{top}/{name}")
        os.unlink(f"{top}/{names[-1]}")
        check(vault.check(want=None).returncode == 0, f"{how}: check")


def spoiled(vault):
    """Without its record a file keeps the names that its header says; the others are errors. Nothing opens under a name that the record alone says."""
    top, records = f"{vault.mnt}/d", f"{vault.path}/.holdfast/links"
    vault.close()
    found = sorted(os.listdir(records))
    check(len(found) == 2, f"a record for each, and none left over: {found}")
    shutil.copytree(records, f"{vault.work}/records")
    for what in ("flipped", "gone"):
        for name in found:
            if what == "gone":
                os.unlink(f"{records}/{name}")
                continue
            with open(f"{records}/{name}", "r+b") as f:
                f.seek(5)
                byte = f.read(1)[0]
                f.seek(5)
                f.write(bytes([byte ^ 1]))
        vault.open()
        answers = [answer(cat, f"{top}/{n}") for n in sorted(os.listdir(top)) if n.startswith("n")]
        check(set(answers) == {b"many names", "EIO"} and answers.count(b"many names") <= 9, f"{what}: names of the header open, others are errors ({answers.count(b'many names')} open)")
        check(vault.check(want=None).returncode != 0, f"{what}: check says so")
        vault.close()
        shutil.rmtree(records)
        shutil.copytree(f"{vault.work}/records", records)
    vault.open()
    check(vault.check(want=None).returncode == 0, "put back: all is well")
    for name in os.listdir(top):
        os.unlink(f"{top}/{name}")
    vault.close()
    check(os.listdir(records) == [], "removed files leave no record")


def main():
    vault = Vault(sys.argv[1])
    vault.open()
    through_stops(vault)
    spoiled(vault)
    finish()


main()
