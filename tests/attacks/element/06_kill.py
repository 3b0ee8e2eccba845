#!/usr/bin/env python3
"""kill -9 of every program (command line, supervisor, enclave, element) at random instants during tries: never answered but uncounted."""
import random, signal, subprocess, time
from attack import *

hf = os.path.join(os.path.abspath(build), "src", "holdfast")
tpm = Swtpm()
work = tempfile.mkdtemp(prefix="hf-kill.")
env = {"PATH": "/usr/bin:/bin", "HOME": work, "XDG_STATE_HOME": work + "/state", "XDG_RUNTIME_DIR": work + "/run"}
for folder in ("state", "run"):
    os.mkdir(os.path.join(work, folder), 0o700)
vault = os.path.join(work, "vault")


def start(*words, lines):
    done = subprocess.Popen([hf, *words], env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done.stdin.write("".join(line + "\n" for line in lines).encode())
    done.stdin.close()
    return done


def ours(pid):
    return f"XDG_STATE_HOME={work}/state\0".encode() in open(f"/proc/{pid}/environ", "rb").read() + b"\0"


def family():
    """Our programs: those with this vault's state directory in their environment."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if ours(pid):
                found.setdefault(open(f"/proc/{pid}/comm").read().strip(), int(pid))
        except OSError:
            pass
    return found


check(start("create", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--attempts", "100000", "--delays", "0", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0",
            lines=["314159"]).wait() == 0, "setting up")
random.seed(3)
began = time.monotonic()
check(start("passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=["wrong!", "271828"]).wait() == 3, "a try takes its time")
whole = time.monotonic() - began
answers, killed = 1, 0
by_name = {}
n = 0
end = time.monotonic() + (270 if os.environ.get("HF_LONG") else 90)  # a loaded machine does fewer
while killed < 200 and time.monotonic() < end:
    n += 1
    attempt = start("passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=[f"{n:06d}", "271828"])
    time.sleep(random.random() * whole * 1.7)
    victims = family()
    victims.pop("swtpm", None)
    if victims:
        name = random.choice(sorted(victims))
        try:
            handle = os.pidfd_open(victims[name])
            if ours(victims[name]):  # and so is what the handle names: a number may have passed on before, not since
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                killed += 1
                by_name[name] = by_name.get(name, 0) + 1
            os.close(handle)
        except OSError:
            pass
    answers += attempt.wait() in (3, 5)
for _ in range(100):  # whatever lives on without its parent ends by itself
    if not family():
        break
    time.sleep(0.05)
check(not family(), f"left running: {family()}")
for _ in range(100):  # not root: the enclave and element are not to be seen, but answer for themselves until they have ended
    status = subprocess.run([hf, "status", vault, "--json"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if status.returncode == 0:
        break
    time.sleep(0.05)
element = json.loads(status.stdout)["element"] if status.returncode == 0 else {"failed": -1}
holds(element["failed"] >= answers, f"answered {answers}, counted {element['failed']}")
seen = 3 if os.geteuid() == 0 else 2  # a plain user can't see the enclave and the element, and so not pick them
check(killed > 30 and answers > 5 and len(by_name) >= seen, f"{killed} killed ({by_name}), {answers} answered: too few to prove anything")
holds(start("passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=["314159", "271828"]).wait() == 0, "the right one still opens")
print(f"killed {by_name}, answered {answers}, counted {element['failed']}")
tpm.close()
shutil.rmtree(work, ignore_errors=True)
close()
