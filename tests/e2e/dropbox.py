#!/usr/bin/env python3
"""A drop box in practice: a mail delivery agent (procmail), a camera's import (cp) and a location logger write into folders of class unless-open of a locked vault. dropbox.py BUILD"""
import os, shutil, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
LOGGER = """import os, sys, time
fd = os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
for n in range(200):
    os.write(fd, b'%d 52.52%03d 13.40%03d\\n' % (n, n, n))
    os.fsync(fd) if n % 20 == 0 else time.sleep(0.002)
"""


def mail(n):
    return f"From: a@example.org\nTo: b@example.org\nSubject: {n}\nMessage-Id: <{n}@example.org>\n\n" + f"line {n}\n" * (10 + n * 50)


def deliver(program, maildir, n):
    """As a mail server calls it: the message on standard input."""
    return subprocess.run([program, "-p", "-m", f"DEFAULT={maildir}/", os.devnull], input=mail(n), text=True, capture_output=True)


v = Vault(BUILD, create=("--profile", "personal"))
v.open()
check(os.getxattr(v.path("Photos"), "user.holdfast.class") == b"unless-open" and os.getxattr(v.path("Location"), "user.holdfast.class") == b"unless-open", "the personal profile's folders for what arrives")
box = v.protected("Mail", cls="unless-open")
for part in ("tmp", "new", "cur"):
    os.mkdir(f"{box}/{part}")
card = os.path.join(v.work, "card")
os.makedirs(f"{card}/DCIM/100")
for n in range(12):
    with open(f"{card}/DCIM/100/IMG_{n:04}.JPG", "wb") as f:
        f.write(os.urandom(200_000 + 1_000 * n))
v.lock()
# A copy without its set-group-id bit: the kernel keeps other groups out of a mount without --allow-other.
mda = shutil.copyfile(shutil.which("procmail"), os.path.join(v.work, "procmail"))
os.chmod(mda, 0o755)
for n in range(10):
    p = deliver(mda, box, n)
    check(p.returncode == 0, f"mail {n} is delivered into a locked vault: exit {p.returncode} {p.stderr.strip()}")
check(len(os.listdir(f"{box}/new")) == 10, f"ten messages: {os.listdir(f'{box}/new')[:2]}")
check(all(error_of(lambda n=n: open(f"{box}/new/{n}").close()) == "ENOKEY" for n in os.listdir(f"{box}/new")), "which nobody can read while it is locked")
p = subprocess.run(["cp", "-a", f"{card}/DCIM", v.path("Photos")], capture_output=True, text=True)
check(p.returncode == 0, f"the camera's import: {p.stderr.strip()}")
check(error_of(lambda: open(v.path("Photos/DCIM/100/IMG_0003.JPG"), "rb").close()) == "ENOKEY", "no photo can be read while it is locked")
logger = subprocess.Popen([sys.executable, "-c", LOGGER, v.path("Location", "today")], stderr=subprocess.PIPE, text=True)
check(within(20, lambda: os.path.exists(v.path("Location", "today"))), "the logger's file is there")
within(20, lambda: v.status()["open_unless_open"] > 0 or logger.poll() is not None)
check(logger.wait(60) == 0, f"the location logger: {logger.stderr.read().strip()}")
check(error_of(lambda: open(v.path("Location", "today")).close()) == "ENOKEY", "its file is closed after it")
v.unlock()
got = sorted(open(f"{box}/new/{n}").read() for n in os.listdir(f"{box}/new"))
check(got == sorted(mail(n) for n in range(10)), "unlocked: each message is whole")
check(subprocess.run(["diff", "-r", f"{card}/DCIM", v.path("Photos", "DCIM")]).returncode == 0, "unlocked: the photos are the card's")
lines = open(v.path("Location", "today")).read().splitlines()
check(len(lines) == 200 and lines[199] == "199 52.52199 13.40199", f"unlocked: the log is whole: {len(lines)} lines")
v.must("check", v.vault)
v.close()
v.clean()
finish()
