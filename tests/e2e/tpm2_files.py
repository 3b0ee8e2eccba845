#!/usr/bin/env python3
"""A vault of the TPM element with files on a real mount, compared byte by byte: the limit, and that nothing takes it back; recovery; measured software. tpm2_files.py BUILD

The vault and the element's state lie on a disk of their own (as root an ext4 image, else a folder), so that an image of it can be put back."""
import atexit, hashlib, os, random, shutil, stat, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *

hf = os.path.join(os.path.abspath(sys.argv[1]), "src", "holdfast")
work = tempfile.mkdtemp(prefix="hf-tpm2-files.")
disk, image, mnt, run_dir = (os.path.join(work, n) for n in ("disk", "image", "mnt", "run"))
vault, phrase = os.path.join(disk, "vault"), os.path.join(work, "phrase")
env = {"PATH": "/usr/bin:/bin", "HOME": work, "XDG_STATE_HOME": os.path.join(disk, "state"), "XDG_RUNTIME_DIR": run_dir}
PIN, NEW = "314159", "271828"
text = ""


def quiet(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=60).returncode == 0


class Disk:
    """What a thief copies: an ext4 image where this user may mount one, else a folder."""

    def __init__(self):
        self.device = None
        for folder in (disk, mnt, run_dir):
            os.mkdir(folder, 0o700)
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        self.real = os.geteuid() == 0 and self.attach(True)
        if not self.real:
            print("no loop device for this user: a copied folder stands for the disk's image")

    def attach(self, fresh=False):
        done = subprocess.run(["losetup", "-f", "--show", image], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.device = done.stdout.decode().strip()
        if done.returncode or not self.device:
            self.device = None
            return False
        if (not fresh or quiet("mkfs.ext4", "-q", self.device)) and quiet("mount", "-t", "ext4", self.device, disk):
            return True
        self.detach()
        return False

    def detach(self):
        for _ in range(50):
            if not os.path.ismount(disk) or quiet("umount", disk):
                break
            time.sleep(0.1)
        if self.device:
            quiet("losetup", "-d", self.device)
            self.device = None

    def save(self, name):
        if self.real:
            self.detach()
            shutil.copy(image, os.path.join(work, name))
            check(self.attach(), "the disk comes back")
        else:
            check(quiet("cp", "-a", disk, os.path.join(work, name)), "the folder is copied")

    def restore(self, name):
        if self.real:
            self.detach()
            shutil.copy(os.path.join(work, name), image)
            check(self.attach(), "the disk comes back")
        else:
            shutil.rmtree(disk)
            check(quiet("cp", "-a", os.path.join(work, name), disk), "the folder comes back")


def run(*words, lines=()):
    global text
    done = subprocess.run([hf, *words], env=env, input="".join(line + "\n" for line in lines).encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=200)
    text = done.stdout.decode(errors="replace")
    return done.returncode


def expect(code, *words, lines=(), says=""):
    got = run(*words, lines=lines)
    return check(got == code and says in text, f"exit {got}, not {code} ({says}): {' '.join(words)}\n{text}")


def open_(code=0, pin=PIN, *more, says=""):
    good = expect(code, "open", vault, mnt, "--passcode-fd", "0", *more, lines=[pin], says=says)
    check(os.path.ismount(mnt) == (code == 0), "mounted" if code else "not mounted")
    return good


def close_():
    return expect(0, "close", vault)


def status():
    return json.loads(text) if expect(0, "status", vault, "--json") else {"element": {}}


def recover(*more, pin=NEW, code=0):
    return expect(code, "recover", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--recovery-file", phrase, "--new-passcode-fd", "0", *more, lines=[pin])


def see(folder):
    """Everything below: {path: (kind and mode, bytes or target, attributes, size)}."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(base, name)
            st = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(st.st_mode) else open(path, "rb").read() if stat.S_ISREG(st.st_mode) else None
            names = [n for n in os.listxattr(path, follow_symlinks=False) if n.startswith("user.") and n != "user.holdfast.class"] if not stat.S_ISLNK(st.st_mode) else []
            found[os.path.relpath(path, folder)] = (st.st_mode, content, {n: os.getxattr(path, n) for n in names}, st.st_size if stat.S_ISREG(st.st_mode) else 0, st.st_nlink)
    return found


def fill():
    """Files of every class and shape; what the mount shows of them is compared with what was written."""
    random.seed(11)
    wanted = {}
    for folder, cls in (("plain", None), ("complete", "complete"), ("always", "always"), ("plain/deep/er", None)):
        os.makedirs(os.path.join(mnt, folder), exist_ok=True)
        if cls:
            expect(0, "protect", "--class", cls, os.path.join(mnt, folder))
        for name, size in (("empty", 0), ("one", 1), ("page less one", 4095), ("page", 4096), ("page and one", 4097), ("some", 70001), ("a" * 255, 12), ("Grüße \n 目", 333)):
            wanted[os.path.join(folder, name)] = random.randbytes(size)
    wanted["plain/large"] = random.randbytes(3 << 20)
    for path, content in wanted.items():
        with open(os.path.join(mnt, path), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    with open(os.path.join(mnt, "plain/sparse"), "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    wanted["plain/sparse"] = bytes(1 << 20) + b"end"
    os.symlink("../complete/one", os.path.join(mnt, "plain/link"))
    os.link(os.path.join(mnt, "plain/some"), os.path.join(mnt, "plain/some again"))
    wanted["plain/some again"] = wanted["plain/some"]
    os.chmod(os.path.join(mnt, "plain/one"), 0o640)
    os.setxattr(os.path.join(mnt, "plain/one"), "user.note", b"kept")
    for path, content in wanted.items():
        check(open(os.path.join(mnt, path), "rb").read() == content, f"{path!r} reads as it was written")
    return see(mnt)


def same(what):
    now = see(mnt)
    differing = [path for path in sorted(set(now) | set(files)) if now.get(path) != files.get(path)]
    check(not differing, f"{what}: differ or miss: {differing[:5]}")


def write_more(name):
    with open(os.path.join(mnt, "complete", name), "wb") as file:
        file.write(os.urandom(20000))
        os.fsync(file.fileno())
    files.clear()
    files.update(see(mnt))


def leave():
    quiet("env", *(f"{k}={v}" for k, v in env.items()), hf, "close", vault, "--force")
    for _ in range(50):
        if not os.path.ismount(mnt) or quiet("umount", "-l", mnt):
            break
        time.sleep(0.1)
    store.detach()
    tpm.close()
    shutil.rmtree(work, ignore_errors=True)


def limit():
    """10 failures, then the right passcode: 5; and nothing takes that back."""
    expect(0, "create", vault, "--element", "tpm2", "--tcti", tpm.tcti, "--kdf", "64,1", "--delays", "0", "--passcode-fd", "0", "--recovery-file", phrase, lines=[PIN])
    open_()
    files.update(fill())
    expect(0, "lock", "--now", vault)
    expect(3, "unlock", vault, "--passcode-fd", "0", lines=["000001"])
    expect(0, "unlock", vault, "--passcode-fd", "0", lines=[PIN], says="1 failed tries since")
    same("after a lock")
    close_()
    open_()
    same("after a close")
    close_()
    store.save("before")
    for n in range(1, 5):
        open_(3, f"00001{n}")
        check(status()["element"]["failed"] == n, f"{n} are counted")
    open_(0, PIN, "--locked")
    for n in range(5, 10):
        expect(3, "unlock", vault, "--passcode-fd", "0", lines=[f"00001{n}"])
    expect(5, "unlock", vault, "--passcode-fd", "0", lines=["000020"])
    expect(5, "unlock", vault, "--passcode-fd", "0", lines=[PIN], says="limit")
    expect(0, "close", vault)
    open_(5)
    check(status()["element"]["finished"] is True, "status says that it is finished")
    tpm.restart()
    open_(5)
    store.restore("before")
    open_(5)
    check(status()["element"]["failed"] == 10, "a restored disk has the TPM's count")
    check(tpm.tool("tpm2_dictionarylockout", "--clear-lockout")[0] == 0, "DictionaryAttackLockReset itself works")
    open_(5)
    store.restore("before")
    tpm.restart()
    open_(5)
    open_(5, "000099")


def recovery():
    """The phrase: a new element and passcode, all data there; after TPM2_Clear, and on another machine."""
    global tpm
    recover("--test")
    recover()
    open_(3, PIN)
    open_(0, NEW)
    same("after the recovery")
    for cls in ("complete", "always", "after-unlock"):
        expect(0, "rotate", vault, "--class", cls)
    same("after rotation to the new class keys")
    expect(0, "check", vault, "--passcode-fd", "0", lines=[NEW])
    close_()
    open_(0, NEW)
    same("after rotation and a close")
    write_more("written since")
    close_()
    check(tpm.tool("tpm2_clear", "-c", "p")[0] == 0, "TPM2_Clear")
    open_(9, NEW)
    recover(pin=PIN)
    open_(0)
    same("after TPM2_Clear and the phrase")
    close_()
    tpm.close()  # this machine is gone, its disk was copied to another
    open_(9)
    tpm = Swtpm()
    shutil.rmtree(os.path.join(disk, "state"))
    recover()
    open_(0, NEW)
    same("on another machine, without the first one's state")
    write_more("and there")
    close_()


def digest(n):
    return hashlib.sha256(b"image %d" % n).digest()


def boot(n):
    """The machine starts again, with software n."""
    tpm.restart()
    for pcr in (7, 11):
        check(tpm.tool("tpm2_pcrextend", f"{pcr}:sha256={digest(n).hex()}")[0] == 0, "tpm2_pcrextend")


def prediction(n):
    return ",".join(f"{pcr}={hashlib.sha256(bytes(32) + digest(n)).hexdigest()}" for pcr in (7, 11))


def measured():
    """[EL-14] [EL-19] [EL-21] a mount and its files through an update of the software, foreseen and not."""
    boot(0)
    expect(0, "reseal", vault, "--measure", "--sentence-fd", "0", "--passcode-fd", "0", lines=[NEW, "The otter sleeps"])
    open_(0, NEW, says="Your sentence: The otter sleeps")
    same("sealed to what runs")
    expect(0, "reseal", vault, "--predict", prediction(1), "--passcode-fd", "0", lines=[NEW])  # while unlocked
    same("while it is sealed to the next too")
    expect(0, "lock", "--now", vault)
    expect(0, "unlock", vault, "--passcode-fd", "0", lines=[NEW], says="Your sentence: The otter sleeps")
    expect(0, "rotate", vault, "--class", "complete")
    same("class keys rotated meanwhile")
    close_()
    old = open(os.path.join(vault, ".holdfast", "keybag"), "rb").read()
    boot(0)
    open_(0, NEW)
    same("the old software still opens")
    close_()
    boot(2)
    open_(8, NEW, says="PCR 7, 11 differs")
    open_(8, NEW, "--locked")
    boot(1)
    for n in range(3):
        open_(3, f"00003{n}", says="The otter")
    open_(0, NEW, says="3 failed tries")
    same("the next software opens")
    check(status()["element"]["reseal_pending"] is False, "and that settles it")
    write_more("under the next")
    expect(0, "lock", "--now", vault)
    expect(0, "unlock", vault, "--passcode-fd", "0", lines=[NEW])
    same("with the new keys in place")
    expect(0, "passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0", lines=[NEW, PIN])
    close_()
    new = open(os.path.join(vault, ".holdfast", "keybag"), "rb").read()
    for n, bag in ((0, new), (0, old), (1, old)):
        boot(n)
        open(os.path.join(vault, ".holdfast", "keybag"), "wb").write(bag)
        for pin in (PIN, NEW):
            code = run("open", vault, mnt, "--passcode-fd", "0", lines=[pin])
            check(code == (8 if bag is new else 7) and not os.path.ismount(mnt), f"software {n}, {'new' if bag is new else 'old'} keybag: exit {code}: {text}")
    open(os.path.join(vault, ".holdfast", "keybag"), "wb").write(new)
    boot(1)
    check(status()["element"]["failed"] == 0, "none of it was a try")
    open_(0)
    same("the new software, the new keybag")
    expect(0, "export", vault, os.path.join(work, "out"), "--passcode-fd", "0", lines=[PIN])
    close_()
    boot(3)  # nobody foresaw this
    open_(8)
    recover()
    open_(0, NEW, says="The otter")
    same("after firmware that nobody foresaw, and the phrase")
    close_()
    boot(1)
    open_(8, NEW)
    boot(3)
    open_(0, NEW)
    same("at the end")
    expect(0, "check", vault, "--passcode-fd", "0", lines=[NEW])
    close_()


tpm, files = Swtpm(), {}
store = Disk()
atexit.register(leave)
for part in (limit, recovery, measured):
    began = time.monotonic()
    part()
    print(f"  {part.__name__}: {time.monotonic() - began:.1f} s, {len(files)} names", flush=True)
close()
