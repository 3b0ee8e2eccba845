#!/usr/bin/env python3
"""Each system call with each kind of object, permission and error, done on a plain folder and on the mount: the answers must be the same, one check each.
As root also as other users, on a mount with --allow-other. posix.py BUILD [TABLE…]"""
import os, sys

from posixkit import ROOT, remove, tables
import acltables, nametables, permtables, timetables  # they register their tables
import verdict
from vaultkit import Vault, check, finish, skip

SHOWN = 12


def run(function, top):
    d = f"{top}/{function.__name__}"
    os.mkdir(d, 0o755)
    os.chmod(d, 0o755)
    out = {}
    for what, got in function(d):
        if what in out:
            raise RuntimeError(f"{function.__name__}: {what} twice")
        out[what] = got
    remove(d)
    return out


def main():
    os.umask(0o022)
    wanted = sys.argv[2:]
    vault = Vault(sys.argv[1])
    vault.open(*(["--allow-other"] if ROOT else []))
    for folder in (vault.work, vault.plain, vault.mnt):
        os.chmod(folder, 0o755)
    for function in tables:
        if wanted and function.__name__ not in wanted:
            continue
        plain, mount = run(function, vault.plain), run(function, vault.mnt)
        bad = [what for what in plain if plain[what] != mount.get(what)]
        verdict.passed, verdict.failed = verdict.passed + len(plain) - len(bad), verdict.failed + len(bad)
        check(plain.keys() == mount.keys(), f"{function.__name__}: the same questions on both")
        print(f"{function.__name__}: {len(plain)} answers, {len(bad)} differ", flush=True)
        for what in bad[:SHOWN]:
            print(f"    {what}\n        plain {str(plain[what])[:300]}\n        mount {str(mount.get(what))[:300]}")
    if not ROOT:
        skip("other users, owners, devices: not root")
    if not wanted:
        vault.close()
        vault.open()
        found = vault.check(want=None)
        check(found.returncode == 0, f"check afterwards: exit {found.returncode} {found.stdout[:500]}")
    finish()


main()
