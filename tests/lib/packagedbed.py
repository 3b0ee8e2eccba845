"""Packaged mode for tests: the system user `holdfast` with enclave and element behind activated sockets, and two plain users, an owner and a stranger. As root alone, with
systemd-socket-activate; one such test at a time. Makes the users that are missing, and removes them at the end."""
import atexit, fcntl, os, pwd, resource, shutil, subprocess, sys, tempfile, time

from verdict import check

activate = shutil.which("systemd-socket-activate")
alone = open("/run/holdfast-test-users.lock", "w")
fcntl.flock(alone, fcntl.LOCK_EX)  # their users are the machine's
build = os.path.join(os.path.abspath(sys.argv[1]), "src")
PASS, OTHER = "correct horse battery staple otter lamp", "seven brass kettles under a wide river"
made_users = []
atexit.register(lambda: [subprocess.run(["userdel", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for name in made_users])


def user(name):
    try:
        return pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True)
        made_users.append(name)
        return pwd.getpwnam(name)


holdfast, owner, stranger = user("holdfast"), user("hf-test-owner"), user("hf-test-other")
work = tempfile.mkdtemp()
os.chmod(work, 0o755)
bin, sockets, state = (os.path.join(work, d) for d in ("bin", "sockets", "state"))
os.mkdir(bin)
for program in ("holdfast", "holdfast-super", "holdfast-fs", "holdfast-enclave", "holdfast-element"):
    shutil.copy(os.path.join(build, program), bin)
    os.chmod(os.path.join(bin, program), 0o711 if program in ("holdfast-enclave", "holdfast-element") else 0o755)
for path, of, mode in ((sockets, holdfast, 0o755), (state, holdfast, 0o700)):
    os.mkdir(path)
    os.chown(path, of.pw_uid, of.pw_gid)
    os.chmod(path, mode)
homes = {}
for person in (owner, stranger):
    homes[person.pw_name] = home = os.path.join(work, person.pw_name)
    os.mkdir(home, 0o700)
    os.mkdir(os.path.join(home, "run"), 0o700)
    for path in (home, os.path.join(home, "run")):
        os.chown(path, person.pw_uid, person.pw_gid)


def as_user(person, words, **more):
    env = {"PATH": "/usr/bin:/bin", "HOME": homes.get(person.pw_name, "/"), "XDG_RUNTIME_DIR": homes.get(person.pw_name, "/") + "/run", "HF_TEST_SOCKETS": sockets}
    return subprocess.run(words, env=env, user=person.pw_uid, group=person.pw_gid, extra_groups=[], capture_output=True, text=True, timeout=60, **more)


def run(want, person, *words, input=None):
    done = as_user(person, [os.path.join(bin, "holdfast"), *words], input=input)
    check(done.returncode == want, f"{person.pw_name}: {words}: exit {done.returncode}, not {want}: {done.stdout}{done.stderr}")
    return done


def serve(program, mode):
    """As the .socket units do it, but for the service manager's user."""
    def prepare():
        hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    words = ["setpriv", f"--reuid={holdfast.pw_uid}", f"--regid={holdfast.pw_gid}", "--clear-groups", activate, "--accept", "--seqpacket", "-l", f"{sockets}/{program}.sock", "-E", f"HF_TEST_SOCKETS={sockets}", "-E", f"STATE_DIRECTORY={state}",
             f"{bin}/holdfast-{program}", "--packaged"]
    service = subprocess.Popen(words, preexec_fn=prepare, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=open(os.path.join(work, program + ".log"), "w"))
    until = time.monotonic() + 10
    while time.monotonic() < until and not os.path.exists(f"{sockets}/{program}.sock"):
        time.sleep(0.05)
    os.chmod(f"{sockets}/{program}.sock", mode)
    return service


def running(name):
    pids = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/exe") == os.path.join(bin, name):
                pids.append(int(pid))
        except OSError:
            pass
    return pids


def uid_of(pid):
    return os.stat(f"/proc/{pid}/mem").st_uid if pid else None
