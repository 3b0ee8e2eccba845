#!/usr/bin/env python3
"""What holdfast does on a terminal: the passcode is asked for twice and never echoed, a difference changes nothing, Ctrl-C gives the echo back, the
recovery phrase is shown with its QR code; and `status` of all open vaults. terminal.py BUILD"""
import ctypes, ctypes.util, os, pty, re, select, shutil, signal, subprocess, sys, tempfile, termios, time

import programs
from programs import check, finish

holdfast = os.path.join(os.path.abspath(sys.argv[1]), "src", "holdfast")
work = tempfile.mkdtemp()
env = {**programs.environment(os.path.join(work, "state")), "XDG_RUNTIME_DIR": os.path.join(work, "run"), "TERM": "xterm"}
os.mkdir(os.path.join(work, "run"), 0o700)
vault = os.path.join(work, "vault")
PASS, OTHER = "correct horse battery staple otter lamp", "seven brass kettles under a wide river"


class Terminal:
    """holdfast as the foreground program of a terminal of its own; our end is the person."""
    def __init__(self, *words):
        self.text = ""
        self.pid, self.person = pty.fork()
        if self.pid == 0:
            os.execve(holdfast, [holdfast, *words], env)
        self.plain = self.modes()

    def modes(self):
        return termios.tcgetattr(self.person)[3]

    def read(self, until=None, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end and (until is None or until not in self.text):
            if select.select([self.person], [], [], 0.1)[0]:
                try:
                    got = os.read(self.person, 65536)
                except OSError:
                    return True
                self.text += got.decode(errors="replace")
        return until is not None and until in self.text

    def answer(self, question, line, echo=False):
        check(self.read(question), f"asks {question!r}: {self.text!r}")
        check(bool(self.modes() & termios.ECHO) == echo, f"echo at {question!r}")
        self.text = ""
        os.write(self.person, line.encode())

    def end(self):
        self.read()
        check(self.modes() == self.plain, "the terminal is as before")
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.person)
        return os.waitstatus_to_exitcode(status)


def leaks(terminal):
    return PASS in terminal.text or OTHER in terminal.text


# [IF-2] [IF-7]
create = ("create", vault, "--element", "software", "--kdf", "64,1")
t = Terminal(*create)
t.answer("New passcode", PASS + "\n")
t.answer("The same again", OTHER + "\n")
check(t.end() == 2 and "not the same" in t.text and not leaks(t), f"two that differ: {t.text!r}")
check(not os.path.exists(vault), "and nothing was made")

for how in ("\3", signal.SIGTERM, signal.SIGHUP):
    t = Terminal(*create)
    t.read("New passcode")
    check(not t.modes() & termios.ECHO, "no echo before the end comes")
    os.write(t.person, PASS[:9].encode())
    os.write(t.person, how.encode()) if isinstance(how, str) else os.kill(t.pid, how)
    check(t.end() == 1 and "interrupted; nothing was changed" in t.text and not os.path.exists(vault), f"{how!r} ends the question: {t.text!r}")

t = Terminal(*create)
t.answer("New passcode", "password1234\n")
t.answer("The same again", "password1234\n")
check(t.end() == 8 and "too weak" in t.text, f"a weak one: {t.text!r}")

t = Terminal(*create)
t.answer("New passcode", "\n")
t.read("New passcode")
words = re.search(r"\n +((?:[a-z]+ ){5}[a-z]+)", t.text)
check(words, f"six words are offered: {t.text!r}")
made = words.group(1)
t.text = t.text.split(made)[1]
t.answer("New passcode", made + "\n")
t.answer("The same again", made + "\n")
check(t.end() == 0, f"made: {t.text!r}")
check(made not in t.text, "what was typed is not echoed")
phrase = " ".join(t.text.split("keep it apart.")[1].split("\x1b")[0].split())
check(len(phrase.split()) == 24, f"24 words: {phrase!r}")

# the QR code, read back from the terminal's cells: two modules a character
cells = []
for line in re.findall("\x1b\\[30;47m(.*?)\x1b\\[0m", t.text):
    cells.append([c in "█▀" for c in line])
    cells.append([c in "█▄" for c in line])
qr = ctypes.CDLL(ctypes.util.find_library("qrencode") or "libqrencode.so.4")


class Code(ctypes.Structure):
    _fields_ = [("version", ctypes.c_int), ("width", ctypes.c_int), ("data", ctypes.POINTER(ctypes.c_ubyte))]


qr.QRcode_encodeString8bit.restype = ctypes.POINTER(Code)
code = qr.QRcode_encodeString8bit(phrase.encode(), 0, 0).contents
want = [[bool(code.data[y * code.width + x] & 1) for x in range(code.width)] for y in range(code.width)]
check([row[2:2 + code.width] for row in cells[2:2 + code.width]] == want, "the QR code is the phrase's")
check(not any(any(row[:2]) for row in cells) and not any(cells[0] + cells[1]), "with a quiet zone")

t = Terminal("passcode", vault)
t.answer("Old passcode", made + "\n")
t.answer("New passcode", PASS + "\n")
t.answer("The same again", PASS + "\n")
check(t.end() == 0 and not leaks(t), f"the passcode changes: {t.text!r}")
t = Terminal("recover", vault, "--test")
t.answer("Recovery phrase", phrase + "\n")
check(t.end() == 0 and phrase not in t.text, f"the phrase typed in: {t.text!r}")
t = Terminal("recover", vault, "--test")
t.answer("Recovery phrase", " ".join("notaword" if i == 3 else word for i, word in enumerate(phrase.split())) + "\n")
check(t.end() == 3 and "word 4" in t.text, f"a wrong word is named: {t.text!r}")
t = Terminal("erase", vault)
t.answer("Type erase", "no\n", echo=True)
check(t.end() == 1 and "nothing was erased" in t.text, "erase asks")

run = subprocess.run([holdfast, "status"], env=env, capture_output=True, text=True)
check(run.returncode == 0 and "no vault is open" in run.stdout, f"status without a vault: {run.stdout}{run.stderr}")
run = subprocess.run([holdfast, "status", "--json"], env=env, capture_output=True, text=True)
check(run.returncode == 0 and run.stdout.strip() == '{"vaults":[]}', f"as JSON: {run.stdout}")
run = subprocess.run([holdfast, "unlock", vault], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True)
check(run.returncode == 1, "unlock of a closed vault")
run = subprocess.run([holdfast, "passcode", vault], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True)
check(run.returncode == 2 and "no terminal" in run.stderr, f"without a terminal: {run.stderr}")

# [IF-2] pinentry, asked for or because there is a desktop and no terminal
window = os.path.join(work, "pinentry")
with open(window, "w") as out:
    out.write(f"""#!{sys.executable}
import sys
print("OK Pleased to meet you", flush=True)
answers = {work!r} + "/answers"
for line in sys.stdin:
    open({work!r} + "/asked", "a").write(line)
    if line.startswith("GETPIN"):
        left = open(answers).read().split("\\n")
        open(answers, "w").write("\\n".join(left[1:]))
        print("ERR 83886179 Operation cancelled <Pinentry>" if left[0] == "cancel" else "S INFO\\nD " + left[0] + "\\nOK", flush=True)
    else:
        print("OK", flush=True)
""")
os.chmod(window, 0o755)


def in_window(want, answers, *words, **more):
    open(os.path.join(work, "answers"), "w").write("\n".join(answers) + "\n")
    run = subprocess.run([holdfast, *words], env={**env, "HF_TEST_PINENTRY": window, **more}, capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True)
    check(run.returncode == want, f"{words} with {answers}: {run.returncode} {run.stderr}")
    return run.stderr


STRANGE = "five 100% odd snowmen over \u2603 quietly"
in_window(0, [PASS, STRANGE.replace("%", "%25"), STRANGE.replace("%", "%25")], "passcode", vault, "--pinentry")
in_window(3, [PASS, OTHER, OTHER], "passcode", vault, "--pinentry")
check("cancelled" in in_window(1, ["cancel"], "passcode", vault, "--pinentry"), "a window that is closed")
check("not the same" in in_window(2, [STRANGE.replace("%", "%25"), OTHER, PASS], "passcode", vault, "--pinentry"), "two that differ")
in_window(0, [STRANGE.replace("%", "%25"), OTHER, OTHER], "passcode", vault, DISPLAY=":99")
in_window(2, [OTHER], "passcode", vault)
run = subprocess.run([holdfast, "passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0"], env=env, capture_output=True, text=True, input=OTHER + "\n" + PASS + "\n")
check(run.returncode == 0, f"the passcode from the window is the one from a descriptor: {run.stderr}")
check("SETDESC" in open(os.path.join(work, "asked")).read(), "the window says what it asks for")

# [IF-4] a socket directory that others could have made is refused
os.mkdir(os.path.join(work, "run", "holdfast"), 0o755)
os.chmod(os.path.join(work, "run", "holdfast"), 0o755)
run = subprocess.run([holdfast, "status"], env=env, capture_output=True, text=True)
check(run.returncode == 8 and run.stderr.startswith("holdfast: ") and run.stderr.count("\n") == 1, f"open to others: {run.stderr}")
os.rmdir(os.path.join(work, "run", "holdfast"))
os.symlink(work, os.path.join(work, "run", "holdfast"))
run = subprocess.run([holdfast, "status"], env=env, capture_output=True, text=True)
check(run.returncode == 8, f"a link: {run.stderr}")
shutil.rmtree(work)
finish()
