#!/usr/bin/env python3
from book import *
import offline
from bed import *

row("A8", "a malicious program of the same user, bare mode (all programs are the owner's)")
user = 65534 if root() else None
as_user = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"] if root() else []
python = [*as_user, "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable, "-c"]
v = Sample(user=user)
PEEK = "import os,sys\nos.open('/proc/%s/mem' % sys.argv[1], os.O_RDONLY)"
TRACE = "import ctypes,sys\nl=ctypes.CDLL(None)\nsys.exit(l.ptrace(16,int(sys.argv[1]),0,0)!=0)"
READV = """import ctypes,os,sys
l=ctypes.CDLL(None); b=ctypes.create_string_buffer(8)
class V(ctypes.Structure): _fields_=[('p',ctypes.c_void_p),('n',ctypes.c_size_t)]
m=[x for x in open('/proc/%s/maps'%sys.argv[1]) if 'rw-p' in x][0].split('-')[0]
sys.exit(l.process_vm_readv(int(sys.argv[1]),ctypes.byref(V(ctypes.addressof(b),8)),1,ctypes.byref(V(int(m,16),8)),1,0)!=8)"""


def ways(pid):
    return [name for name, code in (("/proc/PID/mem", PEEK), ("ptrace", TRACE), ("process_vm_readv", READV)) if subprocess.run([*python, code, str(pid)], stderr=subprocess.DEVNULL).returncode == 0]


with attack("looks into the programs that hold keys: /proc/PID/mem, ptrace, process_vm_readv, gdb") as a:
    v.open()
    own = sleeper(as_user)
    a.works(len(ways(own.pid)) == 3, f"another program of this user: {', '.join(ways(own.pid)) or 'none'} work")
    own.kill()
    own.wait()
    holders = {p: pid for p, pid in v.pids().items() if p != "holdfast-super"}
    found = {p: ways(pid) for p, pid in holders.items()}
    a.came_out(any(found.values()), f"{', '.join(found)}: {[w for ws in found.values() for w in ws] or 'none of them'}")
    dumped = [p for p, pid in holders.items() if "attach" not in (t := subprocess.run([*as_user, "gdb", "-q", "-nx", "-batch", "-p", str(pid), "-ex", "info registers rip"], capture_output=True, text=True,
              stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "HOME": v.work, "DEBUGINFOD_URLS": ""})).stdout.lower() + t.stderr.lower() and "ptrace" not in t.stdout.lower() + t.stderr.lower()]
    a.came_out(dumped, f"gdb attaches to: {dumped or 'none'}")

with attack("preloads a library into the programs that hold keys") as a:
    lib, seen = os.path.join(v.work, "preload.so"), os.path.join(v.work, "seen")
    source = os.path.join(v.work, "preload.c")
    put(source, f'#define _GNU_SOURCE\n#include <stdio.h>\n#include <errno.h>\n__attribute__((constructor)) static void in(void) {{ FILE *f = fopen("{seen}", "a"); if (f) {{ fprintf(f, "%s\\n", program_invocation_short_name); fclose(f); }} }}\n'.encode())
    subprocess.run(["cc", "-shared", "-fPIC", "-o", lib, source], check=True)
    put(seen, b"")
    os.chmod(seen, 0o666)
    v.close()
    v.env |= {"LD_PRELOAD": lib, "LD_LIBRARY_PATH": v.work}
    v.open()
    v.env.pop("LD_PRELOAD"), v.env.pop("LD_LIBRARY_PATH")
    names = set(get(seen).decode().split())
    a.works("holdfast" in names, "it is loaded into the command itself")
    reached = names & {"holdfast-enclave", "holdfast-element", "holdfast-fs"}
    a.came_out(reached, f"of enclave, element and filesystem it reached: {sorted(reached) or 'none'}")

with attack("preloads a library into the owner's command, or stands in its place, and reads the passcode", admitted=True) as a:
    trap = os.path.join(v.work, "trap")
    os.makedirs(trap)
    os.chmod(trap, 0o777)
    v.as_owner(lambda: put(os.path.join(trap, "holdfast"), f'#!/bin/sh\nread -r line\necho "$line" >{trap}/told\necho "$line" | exec {v.hf} "$@"\n'.encode()))
    os.chmod(os.path.join(trap, "holdfast"), 0o755)
    v.close()
    p = subprocess.run([*as_user, "sh", "-c", f'holdfast open "{v.vault}" "{v.mnt}" --passcode-fd 0'], env={**v.env, "PATH": trap + ":" + v.env["PATH"]}, input=PASS + "\n", capture_output=True, text=True)
    a.came_out(get(os.path.join(trap, "told")).decode().strip() == PASS, f"a script named `holdfast` first in PATH: it has the passcode, and the owner's vault opened (exit {p.returncode})")

with attack("reads the open vault's files, as any program of the owner's", admitted=True) as a:
    out = subprocess.run([*as_user, "cat", os.path.join(v.secret, NAME)], capture_output=True).stdout
    a.came_out(MARK in out, "a file of class complete: read while unlocked")
    v.lock()
    out = subprocess.run([*as_user, "cat", os.path.join(v.secret, NAME)], capture_output=True).stdout
    a.never(MARK in out, "while locked: not read")

with attack("asks a program that holds keys for them, in the owner's socket's place and by its verbs") as a:
    import programs
    socket_path = [os.path.join(v.work, "run", "holdfast", n) for n in os.listdir(os.path.join(v.work, "run", "holdfast")) if n.endswith(".sock")][0]
    secrets_now = [k for label, found in v.secrets().items() for k in found if len(k) >= 16]

    def asked():
        got = b""
        for kind in [*range(0x0100, 0x0120), *range(0x0200, 0x0210), *range(0x0300, 0x0310), *range(0x0400, 0x0410), *range(0x0500, 0x0510)]:
            if kind in (0x0104, 0x0105, 0x010B, 0x010D):
                continue  # lock, close, erase are anyone's of this user; wait has no answer
            s = programs.socket.socket(programs.socket.AF_UNIX, programs.socket.SOCK_SEQPACKET)
            s.settimeout(5)
            s.connect(socket_path)
            for body in (b"", programs.string(v.vault)):
                try:
                    programs.send(s, kind, body)
                    got += s.recv(65536)
                except OSError:
                    break
            s.close()
        return got

    answers = asked()
    a.works(v.vault.encode() in answers or b"unlocked" in answers or len(answers) > 500, f"it is answered: {len(answers)} bytes")
    told = [k for k in secrets_now if k in answers]
    a.came_out(told or v.status()["state"] == "unlocked", f"keys in the answers: {len(told)}; the vault is still {v.status()['state']}")

with attack("takes the software element's state and the keybag, which are the owner's files, and guesses elsewhere") as a:
    def stolen():
        try:
            return offline.Keybag(v.bag), offline.record_of(v.state)
        except OSError:
            return None
    bag, record = stolen()
    began = time.process_time()
    keys = offline.guess(bag, record, PASS)
    one = time.process_time() - began
    a.works(keys, "the right passcode opens what it took")
    a.came_out(True, f"{one:.2f} s of a processor a guess at this vault's cost")
    a.price(one * 2 ** 65 / 1000, f"a passphrase of six words: {one * 2 ** 65 / 1000 / YEAR:,.0f} years on a thousand processors")

with attack("opens marked folders without the owner's consent to this program") as a:
    a.not_built("consent vault list")

with attack("erases the vault", admitted=True) as a:
    p = v.run("erase", v.vault, "--yes")
    a.came_out(p.returncode == 0 and v.tries(PASS) == 5, f"erase needs no passcode: exit {p.returncode}")
v.clean()
close()
