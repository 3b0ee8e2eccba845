#!/usr/bin/env python3
"""Packaged mode with a real system user: enclave and element run as `holdfast` from activated sockets, the rest as a plain owner. packaged.py BUILD"""
import json, os, shutil, socket, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import element
import programs
from programs import check, finish, skip

activate = shutil.which("systemd-socket-activate")
if os.geteuid() != 0 or not activate:
    skip("needs root (for users of its own) and systemd-socket-activate")
    finish()
from packagedbed import *

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def cannot_read(path, what):
    done = as_user(owner, ["cat", path])
    check(done.returncode != 0 and "Permission denied" in done.stderr, f"{what} is unreadable for its owner's programs: {done.stdout[:40]!r}{done.stderr}")


services = [serve("element", 0o600), serve("enclave", 0o666)]
try:
    vault = os.path.join(homes[owner.pw_name], "vault")
    phrase = os.path.join(homes[owner.pw_name], "phrase")
    run(0, owner, "create", vault, "--element", "software", "--kdf", "64,1", "--attempts", "5", "--recovery-file", phrase, "--passcode-fd", "0", input=PASS + "\n")

    # [PK-1] whose files they are, and who can read them
    keys = os.path.join(vault, ".holdfast")
    for name in ("keybag", "head"):
        st = os.stat(os.path.join(keys, name))
        check(st.st_uid == holdfast.pw_uid and st.st_mode & 0o777 == 0o600, f"{name} belongs to holdfast: {st}")
        cannot_read(os.path.join(keys, name), name)
    records = [os.path.join(d, f) for d, _, files in os.walk(state) for f in files]
    check(len(records) == 1 and f"/{owner.pw_uid}/" in records[0], f"the element's state lies apart by owner: {records}")
    cannot_read(records[0], "the element's record")
    cannot_read(os.path.join(bin, "holdfast-enclave"), "the enclave's program")

    # every verb of a closed vault goes on as in bare mode
    now = json.loads(run(0, owner, "status", vault, "--json").stdout)
    check(now["state"] == "closed" and now["element"]["limit"] == 5, f"status: {now}")
    change = ("passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0")
    run(3, owner, *change, input="not the right passcode at all\n" + OTHER + "\n")
    run(0, owner, *change, input=PASS + "\n" + OTHER + "\n")
    run(3, owner, *change, input=PASS + "\n" + OTHER + "\n")
    check(json.loads(run(0, owner, "status", vault, "--json").stdout)["element"]["failed"] == 1, "tries are counted")
    run(0, owner, "recover", vault, "--test", "--recovery-file", phrase)
    run(0, owner, "recover", vault, "--recovery-file", phrase, "--new-passcode-fd", "0", input=PASS + "\n")
    run(0, owner, *change, input=PASS + "\n" + OTHER + "\n")

    # the running enclave and element are of another user
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = {"PATH": "/usr/bin:/bin", "HOME": homes[owner.pw_name], "XDG_RUNTIME_DIR": homes[owner.pw_name] + "/run", "HF_TEST_SOCKETS": sockets}
    supervisor = subprocess.Popen([os.path.join(bin, "holdfast-super")], env=env, user=owner.pw_uid, group=owner.pw_gid, extra_groups=[], stdin=subprocess.DEVNULL,
                                  preexec_fn=lambda: os.dup2(os.dup(theirs.fileno()), 3, inheritable=True), pass_fds=(3,))
    theirs.close()
    ours.settimeout(20)
    result, body, text = programs.ask(ours, 0x010E, programs.string(vault) + b"\0")
    (n,) = struct.unpack_from("<H", body) if body else (0,)
    name = body[2:2 + n]
    check(result == 0 and n == 32, f"where secrets go: {text} {body}")
    check(programs.ask(ours, 0x0106, programs.string(vault))[0] == 0, "STATUS starts the vault")
    pids = {p: running(p) for p in ("holdfast-super", "holdfast-enclave", "holdfast-element")}
    uids = [uid_of((pids[p] or [0])[0]) for p in pids]
    check(uids == [owner.pw_uid, 0, 0], f"non-dumpable enclave and element, the supervisor the owner's: {pids} {uids}")
    for p in ("holdfast-enclave", "holdfast-element"):
        check(f"Uid:\t{holdfast.pw_uid}\t" in open(f"/proc/{pids[p][0]}/status").read(), f"{p} runs as holdfast")
        done = as_user(owner, ["cat", f"/proc/{pids[p][0]}/maps"])
        check(done.returncode != 0, f"{p} cannot be looked into")
        done = as_user(owner, ["kill", "-9", str(pids[p][0])])
        check(done.returncode != 0, f"{p} cannot be killed by the owner's programs")

    # [PK-3] a secret's connection of somebody else is not taken: the owner's, made later, is
    connect = "import socket,sys,time; s=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET); s.connect(b'\\0'+sys.argv[1].encode()); s.send(b'\\1'+sys.argv[2].encode()); print('sent',flush=True); time.sleep(30)"
    def connected(person, passcode):
        p = subprocess.Popen(["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable, "-c", connect, name.decode(), passcode], user=person.pw_uid, group=person.pw_gid, extra_groups=[],
                             stdout=subprocess.PIPE, text=True)
        p.stdout.readline()
        return p
    squatters = [connected(stranger, "a stranger's guess, thirty long")]
    result, _, text = programs.ask(ours, 0x0109, programs.string(vault))
    check(result == programs.PROTOCOL, f"a stranger's secret is taken: {result} {text}")
    for p in squatters:
        p.kill()
        p.wait()
    ours.close()
    supervisor.wait(20)
    check(json.loads(run(0, owner, "status", vault, "--json").stdout)["element"]["failed"] == 0, "and no try was spent on it")

    # [PK-3] an enclave is not lent somebody else's directory, nor holdfast's own
    for person, path in ((stranger, keys), (stranger, state), (owner, state)):
        end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = os.fork()
        if child == 0:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            os.setgroups([])
            os.setgid(person.pw_gid)
            os.setuid(person.pw_uid)
            end.settimeout(20)
            end.connect(f"{sockets}/enclave.sock")
            end.recv(4096)
            result, _, text = programs.ask(end, 0x0602, b"", [a.fileno(), folder])
            os._exit(0 if result == programs.REFUSED and "not its caller's own" in text else 1)
        check(os.waitpid(child, 0)[1] == 0, f"{person.pw_name} lends {path}")

    # [PK-4] nobody but the enclave's user reaches the element; not even root is served
    done = as_user(owner, [sys.executable if os.access(sys.executable, os.X_OK) and not sys.executable.startswith("/root") else "/usr/bin/python3", "-c",
                           f"import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect('{sockets}/element.sock')"])
    check(done.returncode != 0 and "PermissionError" in done.stderr, f"the element's socket: {done.stderr[-200:]}")
    end = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end.settimeout(20)
    end.connect(f"{sockets}/element.sock")
    check(programs.ask(end, 0x0603, struct.pack("<I", owner.pw_uid))[0] == -1, "root at the element's socket")
    end.close()

    # [PK-2] what takes the passcode must run as holdfast: an enclave's socket that the owner serves, and then nothing is sent
    fake = os.path.join(work, "fake")
    os.mkdir(fake)
    os.chown(fake, owner.pw_uid, owner.pw_gid)
    script = f"""import os, socket, struct
l = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); l.bind('\\0' + 'f' * 32); l.listen()
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=3)
m = s.recv(65536)
s.send(struct.pack('<HHHH', 1, 0, 0, 32) + b'f' * 32)
c, _ = l.accept(); c.settimeout(5)
try:
    got = c.recv(4096)
except OSError:
    got = b'nothing'
open('{fake}/got', 'wb').write(got)
"""
    python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
    with open(os.path.join(fake, "super.py"), "w") as out:
        out.write(script)
    lie = os.path.join(fake, "holdfast-super")
    with open(lie, "w") as out:
        out.write(f"#!{python}\n{script}")
    os.chmod(lie, 0o755)
    shutil.copy(os.path.join(bin, "holdfast"), fake)
    done = as_user(owner, [os.path.join(fake, "holdfast"), *change], input=OTHER + "\n" + PASS + "\n")
    check(done.returncode == 8 and "nothing was sent" in done.stderr, f"a false supervisor: {done.returncode} {done.stderr}")
    time.sleep(0.3)
    got = open(os.path.join(fake, "got"), "rb").read() if os.path.exists(os.path.join(fake, "got")) else None
    check(got == b"", f"what it got: {got}")

    # the vault in use: the owner's filesystem over the keys of another user
    mounted = os.path.join(homes[owner.pw_name], "mounted")
    shell = lambda script: as_user(owner, ["sh", "-c", script])
    shell(f"mkdir -m 700 {mounted}")
    run(3, owner, "open", vault, mounted, "--passcode-fd", "0", input="not the right passcode at all\n")
    run(0, owner, "open", vault, mounted, "--passcode-fd", "0", input=OTHER + "\n")
    now = json.loads(run(0, owner, "status", vault, "--json").stdout)
    check(now["state"] == "unlocked" and now["classes"]["complete"], f"open: {now}")
    users = {p: open(f"/proc/{pid}/status").read().split("Uid:\t")[1].split()[0] for p, pid in now["pids"].items()}
    check(users == {p: str((holdfast if p in ("holdfast-enclave", "holdfast-element") else owner).pw_uid) for p in users} and len(users) == 4, f"whose programs: {users}")
    check([now["pids"][p] for p in ("holdfast-enclave", "holdfast-element")] == running("holdfast-enclave") + running("holdfast-element"), f"and the system's: {now['pids']}")
    check(shell(f"mkdir {mounted}/c && {bin}/holdfast protect {mounted}/c --class complete && echo kept > {mounted}/c/file").returncode == 0, "a protected file is written")
    for name in ("keybag", "head"):
        cannot_read(os.path.join(keys, name), f"{name} of the open vault")
    run(0, owner, "lock", vault, "--now")
    now = json.loads(run(0, owner, "status", vault, "--json").stdout)
    check(now["state"] == "locked" and not now["classes"]["complete"], f"locked: {now}")
    check(shell(f"cat {mounted}/c/file").returncode != 0, "its file is not there")
    run(3, owner, "unlock", vault, "--passcode-fd", "0", input="the wrong words, thirty and more\n")
    run(0, owner, "unlock", vault, "--passcode-fd", "0", input=OTHER + "\n")
    check(shell(f"cat {mounted}/c/file").stdout == "kept\n", "and back after the unlock")
    run(0, owner, "close", vault)
    check(mounted not in open("/proc/mounts").read(), "closed")
    run(0, owner, "open", vault, mounted, "--passcode-fd", "0", input=OTHER + "\n")
    check(shell(f"cat {mounted}/c/file").stdout == "kept\n", "and after another opening")
    for pid in running("holdfast-enclave"):
        os.kill(pid, 9)
    until = time.monotonic() + 10
    while time.monotonic() < until and mounted in open("/proc/mounts").read():
        time.sleep(0.05)
    check(mounted not in open("/proc/mounts").read(), "the enclave's death takes the mount away")

    # the same with a TPM, which holdfast alone reaches
    tpm = element.Swtpm()
    for path, mode in ((tpm.folder, 0o711), (tpm.path, 0o600)):
        os.chmod(path, mode)
    os.chown(tpm.path, holdfast.pw_uid, holdfast.pw_gid)
    check(shell(f"{sys.executable if os.access(sys.executable, os.X_OK) and not sys.executable.startswith('/root') else '/usr/bin/python3'} -c \"import socket; socket.socket(socket.AF_UNIX).connect('{tpm.path}')\"").returncode != 0,
          "the owner does not reach the TPM")
    second, pin = vault + "-tpm", ("--passcode-fd", "0")
    run(8, owner, "create", second, "--element", "tpm2", "--tcti", tpm.tcti, "--kdf", "64,1", "--no-recovery", *pin, input="31415\n")
    check(not os.path.exists(second), "nothing is left of it")
    made = run(0, owner, "create", second, "--tcti", tpm.tcti, "--kdf", "64,1", "--delays", "0", "--recovery-file", phrase + "2", *pin, input="314159\n")
    check("tpm2 element" in made.stdout, f"auto takes the TPM: {made.stdout}")
    now = json.loads(run(0, owner, "status", second, "--json").stdout)["element"]
    check(now["kind"] == "tpm2" and now["limit"] == 10 and now["hardware"] is False and now["trust"] == "none", f"status: {now}")
    run(3, owner, "open", second, mounted, *pin, input="271828\n")
    run(0, owner, "open", second, mounted, *pin, input="314159\n")
    check(shell(f"echo kept > {mounted}/file").returncode == 0, "a file is written")
    run(0, owner, "close", second)
    run(0, owner, "passcode", second, "--passcode-fd", "0", "--new-passcode-fd", "0", input="314159\n161803\n")
    run(3, owner, "open", second, mounted, *pin, input="314159\n")
    # over to the software element and back: the floor for a passcode goes along
    recover = ("recover", second, "--recovery-file", phrase + "2", "--new-passcode-fd", "0")
    run(8, owner, *recover, "--element", "software", input="161803\n")
    run(0, owner, *recover, "--element", "software", input=PASS + "\n")
    run(8, owner, "passcode", second, "--passcode-fd", "0", "--new-passcode-fd", "0", input=PASS + "\n161803\n")
    run(0, owner, *recover, "--element", "tpm2", "--tcti", tpm.tcti, input="161803\n")
    run(0, owner, "passcode", second, "--passcode-fd", "0", "--new-passcode-fd", "0", input="161803\n271828\n")
    run(0, owner, "open", second, mounted, *pin, input="271828\n")
    check(shell(f"cat {mounted}/file").stdout == "kept\n", "the file is there")
    run(0, owner, "close", second)
    for n in range(9):
        run(3, owner, "open", second, mounted, *pin, input=f"00000{n}\n")
    now = json.loads(run(0, owner, "status", second, "--json").stdout)["element"]
    check(now["failed"] == 9, f"nine counted: {now}")
    check(as_user(owner, [os.path.join(bin, "holdfast"), "open", second, mounted, *pin], input="000009\n").returncode in (3, 5), "the tenth is the last")
    run(5, owner, "open", second, mounted, *pin, input="271828\n")
    run(0, owner, "erase", second, "--yes")
    # measured software: the sentence goes by the enclave's own socket, to its owner alone [EL-21]
    tpm.tool("tpm2_pcrextend", f"11:sha256={'11' * 32}")
    measured = vault + "-measured"
    run(0, owner, "create", measured, "--element", "tpm2", "--tcti", tpm.tcti, "--kdf", "64,1", "--delays", "0", "--measure", "--sentence-fd", "0", "--recovery-file", phrase + "3", *pin, input="314159\nThe otter sleeps\n")
    asked = run(0, owner, "reseal", measured, "--predict", f"11={'ab' * 32}", *pin, input="314159\n")
    check("Your sentence: The otter sleeps" in asked.stderr, f"the sentence is shown: {asked.stderr}")
    now = json.loads(run(0, owner, "status", measured, "--json").stdout)["element"]
    check(now["measured"] and now["reseal_pending"] and now["software"] == "in-force", f"status: {now}")
    tpm.tool("tpm2_pcrextend", f"11:sha256={'11' * 32}")
    run(8, owner, "passcode", measured, *pin, "--new-passcode-fd", "0", input="314159\n161803\n")
    run(0, owner, "recover", measured, "--element", "tpm2", "--tcti", tpm.tcti, "--recovery-file", phrase + "3", "--new-passcode-fd", "0", input="161803\n")
    asked = run(0, owner, "passcode", measured, *pin, "--new-passcode-fd", "0", input="161803\n314159\n")
    check("Your sentence: The otter sleeps" in asked.stderr, f"and kept by a recovery: {asked.stderr}")
    run(0, owner, "erase", measured, "--yes")
    tpm.close()

    # roots of the machine's administrator, which the owner cannot write: a TPM with a certificate is hardware then
    folder = tempfile.mkdtemp(prefix="hf-certified.")
    certified, pem = element.Swtpm.certified(folder)
    tpm = element.Swtpm(certified)
    os.chmod(tpm.folder, 0o711)
    os.chown(tpm.path, holdfast.pw_uid, holdfast.pw_gid)
    cannot_write = as_user(owner, ["sh", "-c", f"echo > {state}/tpm-roots.pem"])
    check(cannot_write.returncode != 0, "the owner installs no roots")
    for roots in ("", pem):
        third = vault + "-certified" + str(len(roots))
        if roots:
            open(os.path.join(state, "tpm-roots.pem"), "w").write(roots)
        run(0, owner, "create", third, "--element", "tpm2", "--tcti", tpm.tcti, "--kdf", "64,1", "--no-recovery", *pin, input="314159\n")
        now = json.loads(run(0, owner, "status", third, "--json").stdout)["element"]
        check(now["hardware"] is bool(roots), f"hardware with {len(roots)} bytes of roots: {now}")
        run(0, owner, "erase", third, "--yes")
    tpm.close()
    shutil.rmtree(folder)

    # erase; then the programs of the vault end
    run(0, owner, "erase", vault, "--yes")
    check(not os.path.exists(os.path.join(keys, "keybag")), "the keybag is gone")
    until = time.monotonic() + 10
    while time.monotonic() < until and (running("holdfast-enclave") or running("holdfast-element")):
        time.sleep(0.05)
    check(not running("holdfast-enclave") and not running("holdfast-element"), "no enclave or element is left")
    services[1].terminate()
    services[1].wait(10)
    run(9, owner, "create", vault + "2", "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0", input=PASS + "\n")
finally:
    for service in services:
        service.terminate()
        service.wait(10)

# the installed units: what the script lays out is what systemd can read
layout = os.path.join(work, "layout")
done = subprocess.run([os.path.join(root, "tools", "install-packaged.sh"), "--destdir", layout, os.path.abspath(sys.argv[1])], capture_output=True, text=True)
check(done.returncode == 0, f"install-packaged.sh: {done.stderr}")
for unit in ("holdfast-enclave.socket", "holdfast-element.socket", "holdfast-enclave@.service", "holdfast-element@.service"):
    path = os.path.join(layout, "usr/lib/systemd/system", unit)
    text = open(path).read() if os.path.exists(path) else "@"
    check("@" not in text, f"{unit} is laid out")
    if unit.endswith("service"):
        program = text.split("ExecStart=")[1].split()[0]
        check(os.path.exists(layout + program), f"{unit} starts what is installed: {program}")
shutil.rmtree(work)
finish()
