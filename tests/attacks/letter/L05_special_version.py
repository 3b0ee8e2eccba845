#!/usr/bin/env python3
from book import *
import special
from bed import *
from programs import Pair, ask, OK, PROTOCOL
import struct

row("L5", "a new version of the system, circumventing security features, installed on a recovered machine")
INFO, CLASS_KEYS, MAKE, OPEN = range(0x0301, 0x0305)
START, _, UNLOCK = range(0x0201, 0x0204)
v = Sample()
page = get(next(p for p in __import__("offline").files_of(v.vault)))[:256]

with attack("a special filesystem: asks the true enclave of a locked vault for every class key and every file's key") as a:
    pair = Pair(v.bin, os.path.join(v.vault, ".holdfast"), v.state, XDG_RUNTIME_DIR=v.env["XDG_RUNTIME_DIR"])
    check(ask(pair.control, START)[0] == OK, "the enclave starts")

    def got():
        keys = []
        for cls in (1, 2, 3):
            keys += [f"class {cls}"] if ask(pair.keys, CLASS_KEYS, struct.pack("<BI", cls, 0))[0] == OK else []
            made, body, _ = ask(pair.keys, MAKE, struct.pack("<BBB", cls, 1, 1))
            if cls == 2 and made == OK:  # what arrives before the first unlock is sealed to a public key; the question is who opens it again
                made, body, _ = ask(pair.keys, OPEN, b"\1" + body[:256])
                made = made or body[0]
            keys += [f"a fresh key of class {cls}"] if made == OK else []
        result, body, _ = ask(pair.keys, OPEN, b"\1" + page)
        return keys + (["a file's key"] if result == OK and body[0] == OK else [])

    locked = got()
    refused = [kind for kind in (UNLOCK, 0x0206, 0x0208, 0x0401, 0x0402, 0x0403) if ask(pair.keys, kind)[0] != PROTOCOL]
    check(pair.secret(UNLOCK, b"", b"\1" + PASS.encode())[0] == OK, "the passcode unlocks it")
    a.works(len(got()) >= 5, f"after the owner's passcode the same requests give {len(got())} keys")
    pair.close()
    a.came_out(locked, f"before it: {locked or 'none'}")
    a.came_out(refused, f"the owner's and the element's verbs on its channel: {'answered ' + str(refused) if refused else 'refused'}")

with attack("a special supervisor: asks enclave and element for the unlock without the passcode") as a:
    pair = Pair(v.bin, os.path.join(v.vault, ".holdfast"), v.state, XDG_RUNTIME_DIR=v.env["XDG_RUNTIME_DIR"])
    ask(pair.control, START)
    codes = [pair.secret(UNLOCK, b"")[0], pair.secret(UNLOCK, b"", b"\1")[0], pair.secret(UNLOCK, b"", b"\3" + os.urandom(32))[0], ask(pair.control, UNLOCK)[0], ask(pair.control, 0x0402, os.urandom(32))[0]]
    open_now = ask(pair.keys, CLASS_KEYS, struct.pack("<BI", 1, 0))[0] == OK
    check(pair.secret(UNLOCK, b"", b"\1" + PASS.encode())[0] == OK, "the passcode unlocks it")
    a.works(ask(pair.keys, CLASS_KEYS, struct.pack("<BI", 1, 0))[0] == OK, "by the passcode the class keys come")
    pair.close()
    a.came_out(OK in codes or open_now, f"without it: results {codes}")

with attack("a special enclave that takes any passcode for right, on a locked vault") as a:
    mine = tempfile.mkdtemp(dir=v.work)
    for name in os.listdir(v.bin):
        shutil.copy(os.path.join(v.bin, name), mine)
    # the element's refusal is ignored, and the keybag opened with what is there
    special.build("holdfast-enclave", {"enclave/trial.c": [("    if (result == HF_WRONG_PASSCODE || result == HF_GONE) {\n", "    result = HF_OK;\n    if (result == HF_GONE) {\n")]}, mine)
    run = lambda passcode: subprocess.run([os.path.join(mine, "holdfast"), "passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0"], env=v.env, input=f"{passcode}\n{passcode}\n", capture_output=True, text=True).returncode
    a.works(run(PASS) == 0, "it is a whole enclave: with the right passcode it opens the keybag")
    code = run(wrong(1))
    a.came_out(code == 0, f"with a wrong one: exit {code} (the keybag itself does not open)")
v.clean()
close()
