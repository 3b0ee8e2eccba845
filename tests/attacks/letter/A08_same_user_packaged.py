#!/usr/bin/env python3
from book import *
import os, shutil, subprocess, sys, time

row("A8", "a malicious program of the same user, packaged mode (enclave and element are another user's)")
MARK = "the spare key is under the third stone"
if root() and shutil.which("systemd-socket-activate"):
    from packagedbed import *
    services = [serve("element", 0o600), serve("enclave", 0o666)]
    home = homes[owner.pw_name]
    vault, mounted = os.path.join(home, "vault"), os.path.join(home, "mounted")
    shell = lambda script: as_user(owner, ["sh", "-c", script])
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    run(0, owner, "create", vault, "--element", "software", "--kdf", "64,1", "--attempts", "9", "--delays", "0", "--no-recovery", "--passcode-fd", "0", input=PASS + "\n")
    shell(f"mkdir -m 700 {mounted}")
    run(0, owner, "open", vault, mounted, "--passcode-fd", "0", input=PASS + "\n")
    shell(f"echo {MARK} >{mounted}/note")
    bag = os.path.join(vault, ".holdfast", "keybag")
    record = [os.path.join(base, n) for base, _, names in os.walk(state) for n in names if n == "element"]
else:
    services = []


def needs(a):
    a.needs(services, "needs root and systemd-socket-activate")


with attack("takes the element's state and the keybag, and guesses elsewhere") as a:
    needs(a)
    own = os.path.join(home, "own")
    shell(f"echo mine >{own}")
    a.works(as_user(owner, ["cat", own]).stdout == "mine\n", "it reads what is its user's")
    got = [path for path in (bag, *record) if as_user(owner, ["cat", path]).returncode == 0]
    a.works(record, "there is a record to be taken")
    a.came_out(got, f"of keybag and record it reads: {got or 'neither'}")

with attack("looks into the enclave and the element, traces them, kills them") as a:
    needs(a)
    TRACE = "import ctypes,sys\nl=ctypes.CDLL(None)\nsys.exit(l.ptrace(16,int(sys.argv[1]),0,0)!=0)"
    PEEK = "import os,sys\nos.open('/proc/%s/mem' % sys.argv[1], os.O_RDONLY)"

    def ways(pid):
        return [name for name, words in (("memory", [python, "-c", PEEK, str(pid)]), ("ptrace", [python, "-c", TRACE, str(pid)]), ("kill", ["kill", "-9", str(pid)])) if as_user(owner, words).returncode == 0]

    victim = subprocess.Popen(["sleep", "100"], user=owner.pw_uid, group=owner.pw_gid, extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    a.works(ways(victim.pid) == ["memory", "ptrace", "kill"], "all three work on a program of its user's")
    victim.wait()
    pids = {name: running(name) for name in ("holdfast-enclave", "holdfast-element")}
    found = {name: ways(pid) for name, each in pids.items() for pid in each}
    a.came_out(len(found) != 2 or any(found.values()), f"enclave and element: {[w for ws in found.values() for w in ws] or 'none of the three'}")

with attack("stands in the supervisor's place and takes the passcode from the command") as a:
    needs(a)
    fake = os.path.join(home, "fake")
    shell(f"mkdir {fake} && cp {bin}/holdfast {fake}")
    # bare mode's way: it answers that secrets go by the pair; packaged mode's: it names a socket that it serves itself
    script = f"""#!{python}
import os, socket, struct
l = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); l.bind('\\0' + 'f' * 32); l.listen()
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=3)
s.recv(65536)
name = b'f' * 32
s.send(struct.pack('<HHHH', 1, 0, 0, len(name)) + name)
l.settimeout(10)
try:
    c, _ = l.accept(); c.settimeout(5); got = c.recv(4096)
except OSError:
    got = b'nothing'
open('{fake}/got', 'wb').write(got)
"""
    with open(os.path.join(fake, "holdfast-super"), "w") as out:
        out.write(script)
    os.chmod(os.path.join(fake, "holdfast-super"), 0o755)
    run(0, owner, "close", vault)
    done = as_user(owner, [os.path.join(fake, "holdfast"), "passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0"], input=PASS + "\n" + OTHER + "\n")
    until = time.monotonic() + 15
    while time.monotonic() < until and not os.path.exists(os.path.join(fake, "got")):
        time.sleep(0.05)
    got = open(os.path.join(fake, "got"), "rb").read() if os.path.exists(os.path.join(fake, "got")) else None
    a.works(got is not None, "the command started it and connected to the socket that it named")
    a.came_out(got and PASS.encode() in got, f"it got {len(got or b'')} bytes; the command: exit {done.returncode}, {done.stderr.strip()[:70]}")

with attack("draws a false prompt: a script in the command's place", admitted=True) as a:
    needs(a)
    with open(os.path.join(fake, "prompt"), "w") as out:
        out.write(f"#!/bin/sh\nread -r line; echo \"$line\" >{home}/told; echo \"$line\" | exec {bin}/holdfast \"$@\"\n")
    os.chmod(os.path.join(fake, "prompt"), 0o755)
    done = as_user(owner, [os.path.join(fake, "prompt"), "open", vault, mounted, "--passcode-fd", "0"], input=PASS + "\n")
    a.came_out(PASS in open(os.path.join(home, "told")).read(), f"the passcode is the script's, and the vault opened (exit {done.returncode}): Linux has no trusted prompt")

with attack("reads the open vault's files", admitted=True) as a:
    needs(a)
    a.came_out(MARK in shell(f"cat {mounted}/note").stdout, "read while unlocked")

if services:
    run(0, owner, "close", vault, "--force")
    for service in services:
        service.terminate()
        service.wait(10)
    subprocess.run(["rm", "-rf", work])
close()
