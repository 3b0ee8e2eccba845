#!/usr/bin/env python3
"""Malformed vaults, made from a sound one, and malformed arguments, through the real command: the right exit status, one clear line, nothing lost, no hang, no program left.
bad.py BUILD  (HF_LONG=1: every shape, length and option; HF_BAD: some of files, places, junk, arguments)

The generators: SHAPES make a bad file of a good one, JUNK what lies between the ciphertext, WORDS and PASSCODES what a person or a program may say. What an attacker does to pages,
names and attributes: tests/e2e/tamper.py. Backup bundles and stores do not exist yet. Proves [IF-1] [IF-5] [IF-8] [KB-5] [KB-6] from outside."""
import hashlib, json, os, random, re, shutil, socket, stat, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from vaultkit import Vault, check, finish, skip

LONG = os.environ.get("HF_LONG") == "1"
ROOT = os.geteuid() == 0
rng = random.Random(5)
DATA = {"a": b"one" * 2000, "dir/b": b"two", "dir/empty": b""}


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def put(path, data, mode=0o600):
    remove(path)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


# --- a bad file in the place of a good one ---

def cut(at):
    return lambda path, good: put(path, good[:int(len(good) * at)])


def flipped(at):
    def spoil(path, good):
        where = min(int(len(good) * at), len(good) - 1)
        put(path, good[:where] + bytes([good[where] ^ 0x55]) + good[where + 1:])
    return spoil


def sparse(size):
    def spoil(path, good):
        put(path, good)
        os.truncate(path, size)
    return spoil


def bound(path, good):
    remove(path)
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # a socket's path is short
    socket.socket(socket.AF_UNIX).bind(os.path.basename(path))
    os.chdir(here)


def other(make):
    def spoil(path, good):
        remove(path)
        make(path)
    return spoil


SHAPES = {
    "missing": lambda path, good: remove(path),
    "empty": lambda path, good: put(path, b""),
    "one byte": lambda path, good: put(path, good[:1]),
    "cut in half": cut(0.5),
    "a byte short": lambda path, good: put(path, good[:-1]),
    "a byte more": lambda path, good: put(path, good + b"\0"),
    "its first byte changed": flipped(0),
    "its last byte changed": flipped(1),
    "noise": lambda path, good: put(path, random.Random(len(good)).randbytes(len(good))),
    "zeros": lambda path, good: put(path, bytes(len(good))),
    "twice itself": lambda path, good: put(path, good + good),
    "3 GB": sparse(3 << 30),
    "text": lambda path, good: put(path, b"this is no file of ours\n"),
    "a FIFO": other(os.mkfifo),
    "a directory": other(os.mkdir),
    "a socket": bound,
    "a link to /etc/passwd": other(lambda path: os.symlink("/etc/passwd", path)),
    "a link to itself": other(lambda path: os.symlink(os.path.basename(path), path)),
    "a link to /dev/zero": other(lambda path: os.symlink("/dev/zero", path)),
}
if ROOT:
    SHAPES["a device"] = other(lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)))
if LONG:
    for i in range(40):
        SHAPES[f"cut at {i}/40"] = cut(i / 40)
        SHAPES[f"changed at {i}/40"] = flipped(i / 40)


# --- the command and what it answers ---

class Answer:
    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds


def ask(v, *words, given=b"", timeout=150):
    """Files, not pipes: what `open` starts lives on."""
    began = time.monotonic()
    out, err = os.path.join(v.work, "out"), os.path.join(v.work, "err")
    with open(out, "wb") as o, open(err, "wb") as e:
        try:
            status = subprocess.run([v.hf, *words], input=given, stdout=o, stderr=e, env=v.env, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            status = "hangs"
    return Answer(status, open(out, "rb").read(), open(err, "rb").read(), time.monotonic() - began)


def one_line(answer, what, wanted):
    """[IF-1] [IF-5] [IF-8]"""
    shown = [w if isinstance(w, str) else repr(w) for w in what]
    good = answer.status in wanted
    if answer.status != 0 and answer.status != "hangs":
        lines = [line for line in answer.err.splitlines() if line.startswith(b"holdfast: ")]
        good = good and len(answer.err.splitlines()) == len(lines) == 1 and answer.err.endswith(b"\n")
    text = answer.err + answer.out
    try:
        text.decode()
    except UnicodeDecodeError:
        good = False
    good = good and not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", text) and b"Sanitizer" not in text
    return check(good, f"{' '.join(shown)[:200]}: exit {answer.status}, not one of {sorted(wanted)}, or not one line: {answer.err[:300]!r}")


def fingerprint(folder):
    found = {}
    for where, dirs, files in os.walk(folder):
        for name in dirs + files:
            path = os.path.join(where, name)
            st = os.lstat(path)
            content = hashlib.sha256(open(path, "rb").read()).hexdigest() if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 20 else None
            found[os.path.relpath(path, folder)] = (stat.S_IFMT(st.st_mode), st.st_size, content)
    return found


def mounted(v):
    return any(line.split()[4] == v.mnt for line in open("/proc/self/mountinfo"))


def ended(v):
    end = time.monotonic() + 60
    while v.processes() and time.monotonic() < end:
        time.sleep(0.05)
    return not v.processes() and not mounted(v)


class Backup:
    """The whole of the vault and the element's state, put back after each case."""

    def __init__(self, v):
        self.v, self.copy = v, os.path.join(v.work, "good")
        os.mkdir(self.copy)
        for name in ("v", "state"):
            subprocess.run(["cp", "-a", os.path.join(v.work, name), self.copy], check=True)

    def back(self):
        for name in ("v", "state"):
            remove(os.path.join(self.v.work, name))
            subprocess.run(["cp", "-a", os.path.join(self.copy, name), self.v.work], check=True)


def sound(v):
    return {name: open(os.path.join(v.mnt, name), "rb").read() for name in DATA} == DATA


# --- the cases ---

def files(v, backup, passcode):
    holdfast = os.path.join(v.path, ".holdfast")
    state = os.path.join(v.work, "state", "holdfast")
    vault_id = os.listdir(state)[0]
    opens = {7}  # damaged, said so
    targets = {
        "keybag": (f"{holdfast}/keybag", opens | {5}),          # 5: there is none, as after an erase
        "head": (f"{holdfast}/head", opens),
        "index": (f"{holdfast}/index", {0, 7}),          # read-only until it is accepted [FR-7]
        "index-always": (f"{holdfast}/index-always", {0, 7}),
        "the element's record": (f"{state}/{vault_id}/element", {5, 7, 9}),
    }
    for name, (path, wanted) in targets.items():
        good = open(path, "rb").read()
        for number, (shape, spoil) in enumerate(SHAPES.items()):
            if not LONG and name != "keybag" and (number + len(name)) % 2:
                continue
            spoil(path, good)
            before = fingerprint(v.path) if shape not in ("3 GB",) else None
            if LONG or number % 4 == 0:
                status = ask(v, "status", v.path, "--json")
                one_line(status, (name, shape, "status"), {0, 1, 5, 7, 9})
                if status.status == 0:
                    check(isinstance(json.loads(status.out), dict), f"{name} {shape}: status is one JSON object")
            answer = ask(v, "open", v.path, v.mnt, "--passcode-fd", "0", given=passcode)
            one_line(answer, (name, shape, "open"), wanted)
            if answer.status == 0:
                check(sound(v), f"{name} {shape}: what is in the vault is there")
                check(ask(v, "close", v.path).status == 0, f"{name} {shape}: it closes")
            elif before is not None:
                check(fingerprint(v.path) == before, f"{name} {shape}: a refusal changes nothing")
            check(ended(v), f"{name} {shape}: no program and no mount is left: {v.processes()}")
            backup.back()
    answer = ask(v, "open", v.path, v.mnt, "--passcode-fd", "0", given=passcode)
    check(answer.status == 0 and sound(v), f"with the good files everything is as it was: {answer.err!r}")
    check(ask(v, "close", v.path).status == 0, "and closes")


def places(v, backup, passcode):
    """The folders themselves."""
    holdfast = os.path.join(v.path, ".holdfast")

    def case(what, wanted, vault=None):
        path = v.path if vault is None else vault
        for verb in (("status", path), ("open", path, v.mnt, "--passcode-fd", "0")):
            one_line(ask(v, *verb, given=passcode), (what, *verb[:1]), wanted)
        check(ended(v), f"{what}: nothing is left running or mounted")

    case("no such vault", {1}, v.work + "/absent")
    case("an empty name", {1, 2}, "")
    case("a file", {1}, v.hf)
    case("a name with a line's end and an escape", {1}, v.work + "/two\nlines\x1b[31m")
    case("a name that is no UTF-8", {1}, os.fsdecode(os.fsencode(v.work) + b"/\xff\xfe"))
    case("a name that is too long", {1, 2}, v.work + "/" + "x" * 300)
    case("a path that is too long", {1, 2}, v.work + "/x" * 2500)
    case("/dev/null", {1}, "/dev/null")
    os.symlink("loop", v.work + "/loop")
    case("a link to itself", {1}, v.work + "/loop")
    for shape in ("missing", "empty", "a FIFO", "a link to /etc/passwd", "a link to itself"):
        SHAPES[shape](holdfast, b"")
        case(f".holdfast is {shape}", {1, 7})
        backup.back()
    moved = v.work + "/elsewhere"
    os.rename(holdfast, moved)
    os.symlink(moved, holdfast)
    case(".holdfast is a link to the true one", {1, 7})
    remove(moved)
    backup.back()
    for mountpoint in ("/nonexistent/x", v.hf, "", "x" * 5000, "/dev/null"):
        one_line(ask(v, "open", v.path, mountpoint, "--passcode-fd", "0", given=passcode), ("open at", mountpoint[:40]), {1, 2})
    check(ended(v), "bad mountpoints: nothing is left")


# What anyone who can write to the disk may leave between the ciphertext. (name, how it is made)
JUNK = [
    (b"\xff\xfe\xfd", lambda p: open(p, "wb").close()), (b"two\nlines", lambda p: open(p, "wb").close()), (b"\x1b[2J", os.mkdir), (b"x" * 255, lambda p: open(p, "wb").close()),
    (b"L" + b"A" * 43, os.mkdir), (b"N" + b"A" * 43, lambda p: os.symlink(b"AAAA", p)), (b"N" + b"B" * 43, lambda p: os.symlink(b"x" * 4000, p)), (b"AAAA", os.mkfifo),
    (b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", lambda p: open(p, "wb").write(bytes(4096))), (b".hf~junk", lambda p: open(p, "wb").write(b"x" * 9999)), (b".unknown", os.mkdir),
    (b"link", lambda p: os.symlink(b"/etc/passwd", p)), (b"loop", lambda p: os.symlink(b"loop", p)), (b"=", lambda p: open(p, "wb").close()),
]


def junk(v, backup, passcode):
    root = os.fsencode(v.path)
    for name, make in JUNK:
        make(os.path.join(root, name))
    if ROOT:
        os.mknod(os.path.join(root, b"device"), stat.S_IFBLK | 0o600, os.makedev(7, 200))
    deep = root
    for _ in range(60):
        deep = os.path.join(deep, b"d" * 20)
        os.mkdir(deep)
    answer = ask(v, "open", v.path, v.mnt, "--passcode-fd", "0", given=passcode)
    one_line(answer, ("junk between the ciphertext", "open"), {0})
    check(answer.status == 0 and sound(v), "what is in the vault is there, junk beside it or not")
    names = set(os.listdir(v.mnt))
    check({"a", "dir"} <= names and not names & {"link", "device", "AAAA"}, f"the listing shows what is in the vault: {sorted(names)[:8]}")
    for form in ([], ["--json"]):
        answer = ask(v, "check", v.path, *form, "--passcode-fd", "0", given=passcode)
        check(answer.status == 7, f"check {form} says that it is damaged: exit {answer.status}")
        text = answer.out.decode()  # UTF-8 whatever the names are
        check(not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text), f"check {form} prints nothing that moves a terminal")
        if form:
            check(len(json.loads(text)["findings"]) >= 1, "check --json is one object, with findings")
    check(ask(v, "close", v.path).status == 0 and ended(v), "it closes")
    backup.back()
    # The owner's own names
    v.open()
    odd = [b"new\nline", b"esc\x1b[31m", b"\xff\xfe", b'quote"back\\', "é€🦉".encode(), b" ", b"-", b"--json", b"x" * 255]
    for name in odd:
        with open(os.path.join(os.fsencode(v.mnt), name), "wb") as f:
            f.write(name)
    for name in odd:
        answer = ask(v, "protect", "--", os.path.join(os.fsencode(v.mnt), name))
        check(answer.status == 0 and len(answer.out.splitlines()) == 1 and answer.out.decode(), f"protect shows {name!r} in one line: {answer.out!r} {answer.err!r}")
    v.reopen()
    check(all(open(os.path.join(os.fsencode(v.mnt), name), "rb").read() == name for name in odd), "odd names are kept as they are")
    answer = ask(v, "export", v.path, v.work + "/exported", "--passcode-fd", "0", given=passcode)
    check(answer.status == 0 and set(os.listdir(os.fsencode(v.work + "/exported"))) >= set(odd), f"and exported: {answer.err!r}")
    v.close()
    backup.back()


VERBS = ("create", "open", "unlock", "lock", "close", "status", "passcode", "settings", "protect", "rotate", "recover", "recovery", "reseal", "erase", "export", "check", "accept", "passphrase")
WORDS = [
    ["--no-such-option"], ["--no-such-option=x"], ["--passcode-fd"], ["--passcode-fd="], ["--passcode-fd=-1"], ["--passcode-fd=99999999999999999999"], ["--passcode-fd=x"], ["--="], ["--" + "x" * 3000],
    ["--two\nlines"], ["--\x1b[31m"], ["-x"], ["--json=yes"], ["--class="], ["--class=none"], ["--grace=-1"], ["--grace=99999999999"], ["--kdf=,"], ["--kdf=64,1,"], ["--delays=,"],
    ["--delays=" + ",".join("1" * 30)], ["--attempts=0x5"], ["--element=magic"], ["--measure=16"], ["--measure=7,7"], ["--predict=7"], ["--words=5"], ["--profile="], ["x"] * 70, ["", ""],
]
PASSCODES = {
    "nothing": b"", "an empty line": b"\n", "no line's end": b"no end", "1,024 bytes": b"p" * 1024 + b"\n", "a megabyte": b"p" * (1 << 20), "no UTF-8": b"\xff\xfe\xfd secret words here\n",
    "a NUL in it": b"correct\0horse battery\n", "control characters": b"\x1b[31m\x07 a b c d e f\n", "another one": b"some other six words are here\n",
}


def arguments(v, passcode):
    before = fingerprint(v.path)
    for verb in VERBS:
        # Options that the verb does not know, or values that it cannot take: refused before anything is done.
        for words in WORDS if LONG or verb == "create" else WORDS[VERBS.index(verb) % 5::5]:
            answer = ask(v, verb, *words, timeout=60)
            one_line(answer, (verb, *words[:2]), {1, 2} if words in (["", ""], ["x"] * 70) else {2})
        if verb not in ("status", "passphrase"):
            one_line(ask(v, verb, timeout=60), (verb, "alone"), {1, 2})
    for words in (["no-such-verb"], ["two\nlines"], ["\x1b[31m"], ["--json"], [""], ["-"]):
        one_line(ask(v, *words), words, {2})
    for what, given in PASSCODES.items():
        answer = ask(v, "open", v.path, v.mnt, "--passcode-fd", "0", given=given)
        one_line(answer, ("a passcode of", what), {1, 2, 3, 4})
        check(ended(v), f"a passcode of {what}: nothing is left")
    for fd in ("77", "1048577", "0x0", " 0", "+0"):
        one_line(ask(v, "open", v.path, v.mnt, "--passcode-fd", fd), ("descriptor", fd), {1, 2})
    noise, cut_words = v.work + "/noise", v.work + "/words"
    put(noise, random.Random(1).randbytes(100_000))
    put(cut_words, b"abandon " * 23)
    for what, path in (("is absent", v.work + "/none"), ("is a directory", v.work), ("is noise", noise), ("has 23 words", cut_words), ("is /dev/zero", "/dev/zero"), ("is empty", "/dev/null")):
        one_line(ask(v, "recover", v.path, "--test", "--recovery-file", path, timeout=60), ("a recovery file that", what), {1, 2, 3, 8})
    check(ended(v) and fingerprint(v.path) == before, "refusals change nothing on the disk")
    answer = ask(v, "open", v.path, v.mnt, "--passcode-fd", "0", given=passcode)
    check(answer.status == 0 and sound(v), f"and the right passcode opens it: {answer.err!r}")
    for verb, *more in (("open", v.path, v.mnt), ("erase", v.path), ("export", v.path, v.mnt), ("create", v.path)):
        one_line(ask(v, verb, *more, "--passcode-fd", "0", given=b"\n") if verb != "erase" else ask(v, verb, *more), (verb, "of an open vault"), {1, 2, 3, 8})
    check(sound(v), "and nothing is lost by that")
    v.close()


def main():
    only = os.environ.get("HF_BAD", "files places junk arguments").split()
    v = Vault(sys.argv[1])
    passcode = v.passcode.encode() + b"\n"
    v.open()
    os.mkdir(f"{v.mnt}/dir")
    for name, data in DATA.items():
        with open(f"{v.mnt}/{name}", "wb") as f:
            f.write(data)
    v.close()
    check(ended(v), "closed")
    backup = Backup(v)
    for part in (files, places, junk, arguments):
        if part.__name__ in only:
            part(v, backup, passcode) if part is not arguments else part(v, passcode)
    if not ROOT:
        skip("devices in the place of files: not root")
    finish()


main()
