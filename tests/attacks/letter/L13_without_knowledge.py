#!/usr/bin/env python3
from book import *
from bed import *

row("L13", "surveillance software to intercept messages, access health records, track locations, without your knowledge")
v = Sample(fill=False, recovery=False, more=("--profile", "personal"))
v.open()
folders = ("Conversations", "Health", "Finance", "Location")
for name in folders:
    put(v.path(name, "today"), BODY)
SPY = "import sys\nfor p in sys.argv[1:]:\n try:\n  d=open(p,'rb').read()\n  print(p.split('/')[-2] if sys.stdin.readline().strip().encode() in d else '')\n except OSError: print('')"


def spy():
    out = subprocess.run([sys.executable, "-c", SPY, *(v.path(n, "today") for n in folders)], input=(MARK.decode() + "\n") * 4, capture_output=True, text=True).stdout
    return [n for n in out.split() if n]


with attack("a program of the user's that nobody allowed reads messages, health, finance and places while the vault is open", admitted=True) as a:
    got = spy()
    a.came_out(got, f"it reads {', '.join(got) or 'nothing'}")

with attack("the same program while the vault is locked; and what it kept open") as a:
    held = [os.open(v.path(n, "today"), os.O_RDONLY) for n in folders if n != "Location"]
    a.works(all(os.pread(fd, 10, 0) for fd in held), "before the lock its descriptors read")
    v.lock()
    got = spy() + [str(fd) for fd in held if not error_of(os.pread, fd, 10, 0)]
    a.came_out(got, f"locked: {got or 'nothing, by name or by descriptor'}")
    for fd in held:
        os.close(fd)

with attack("guesses at night: is the owner told?") as a:
    for n in range(3):
        v.unlock(wrong(n), want=3)
    p = v.run("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    a.works(p.returncode == 0, "the owner unlocks in the morning")
    a.came_out("3 failed tries" not in p.stdout + p.stderr, f"the unlock says: {(p.stdout + p.stderr).strip().splitlines()[-1][:80]}")

with attack("reads a marked folder without the owner's consent to this program") as a:
    a.not_built("consent vault list")
with attack("alters the record of unlocks, consents and updates") as a:
    a.not_built("record vault --verify")
v.close()
v.clean()
close()
