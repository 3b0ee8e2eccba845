"""What the attack scripts share: a Holdfast vault's element to attack, and the naive constructions that are known to fall.

A script attacks both: an attack that cannot break what is known to be broken proves nothing. The attacker here is root on the machine: he uses the TPM as he
likes (tpm2-tools), has every file of the vault and the element, and may run another version of any program. He does not know the passcode. PIN and A are
both an index's or object's authorisation value; the naive ones take the PIN itself."""
import os, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from element import *

build = sys.argv[1]
PIN, WRONG_PIN = "314159", "000000"
SEALED = b"thirty-two bytes of naive secret"


def sealed(blob):
    """The sealed objects in a keybag's blob (src/element/tpm2_blob.h): {name: (TPM2B_PUBLIC, TPM2B_PRIVATE)}."""
    (delays,) = struct.unpack_from("<I", blob, 12)
    at = 16 + 4 * delays + 34 + 3 * 4 + 8 + 8 + 4 + 4 * 77 + 1
    (pcrs,) = struct.unpack_from("<H", blob, at)
    at += 2 + 32 * bin(pcrs).count("1")
    pieces = []
    for _ in range(4):
        (length,) = struct.unpack_from("<H", blob, at)
        pieces.append(blob[at + 2:at + 2 + length])
        at += 2 + length
    return {"release": tuple(pieces[:2]), "device": tuple(pieces[2:])}


def holds(good, what):
    check(good, f"Holdfast fell: {what}")


def falls(good, what):
    check(good, f"the naive construction stood, so this attack proves nothing: {what}")


class Target:
    """A vault's element on a TPM of its own, with the passcode's A (right), S (secret) and D (device) for the judge to compare."""

    def __init__(self, limit=5, answer=None, measure=0):
        self.tpm = Swtpm()
        self.relay = Relay(self.tpm, answer)
        self.state = tempfile.mkdtemp(prefix="hf-attack.")
        self.e = Element(build, self.state, os.urandom(16), self.relay.tcti)
        self.right = os.urandom(32)
        check(self.e.hello(True) == OK, f"setting up: {self.e.text}")
        result, self.secret, self.device = self.e.provision(self.right, policy(limit, measure=measure))
        check(result == OK and self.e.release(self.right) == (OK, self.secret), f"setting up: {self.e.text}")
        self.public = self.e.status()["public"]
        self.pin, self.counter, self.generation = (self.public[key] for key in ("nv_pin", "nv_counter", "nv_generation"))

    def opens(self):
        return self.e.release(self.right) == (OK, self.secret)

    def count(self):
        """pinCount and pinLimit as the TPM itself says them, read by the owner."""
        status, text = self.tpm.tool("tpm2_nvread", self.pin, "-C", "o", "-s", "8", "-o", "count")
        if status:
            return None
        data = open(os.path.join(self.tpm.folder, "count"), "rb").read()
        return int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big")

    def exhaust(self):
        for _ in range(self.e.status()["limit"] + 1):
            result = self.e.release(os.urandom(32))[0]
        holds(result == GONE, "guesses go on behind the limit")

    def tool(self, *words, data=None):
        status, _ = self.tpm.tool(*words, data=data)
        self.tpm.tool("tpm2_flushcontext", "-t")
        return status == 0

    def storage_key(self):
        """The vault's SRK, made by the attacker: it is no secret. Leaves it in the file `srk`."""
        open(os.path.join(self.tpm.folder, "unique"), "wb").write((b"\x20\x00" + bytes(128)) * 2)  # TPMS_ECC_POINT as it lies in memory
        good = self.tool("tpm2_createprimary", "-C", "o", "-G", "ecc256:aes128cfb", "-u", "unique", "-c", "srk", "-a",
                         "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt")
        self.tpm.tool("tpm2_readpublic", "-c", "srk", "-n", "name")
        self.tpm.tool("tpm2_flushcontext", "-t")
        return good and open(os.path.join(self.tpm.folder, "name"), "rb").read().hex() == self.public["srk_name"]

    def unseal(self, which, session=None, blob=None):
        """The attacker loads S ("release") or D ("device") out of a keybag's blob and asks for it; the bytes or None."""
        public, private = sealed(blob or self.e.blob)[which]
        for name, content in (("pub", public), ("priv", private)):
            open(os.path.join(self.tpm.folder, name), "wb").write(content)
        if os.path.exists(os.path.join(self.tpm.folder, "out")):
            os.unlink(os.path.join(self.tpm.folder, "out"))
        if not self.tool("tpm2_load", "-C", "srk", "-u", "pub", "-r", "priv", "-c", "object"):
            return None
        if not self.tool("tpm2_unseal", "-c", "object", *(["-p", f"session:{session}"] if session else []), "-o", "out"):
            return None
        return open(os.path.join(self.tpm.folder, "out"), "rb").read()

    def session(self, *commands, name="session"):
        good = self.tool("tpm2_startauthsession", "--policy-session", "-S", name)
        return good and all(self.tool(*command, "-S", name) for command in commands)

    def end_sessions(self):
        for kind in ("-l", "-s"):
            self.tpm.tool("tpm2_flushcontext", kind)

    def close(self):
        self.e.close()
        self.relay.close()
        self.tpm.close()
        shutil.rmtree(self.state, ignore_errors=True)


class Naive:
    """Constructions of other systems, made with tpm2-tools: S sealed under the storage key, opened by `guess`."""

    def __init__(self, tpm=None):
        self.tpm = tpm or Swtpm()
        self.run("tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", "srk")

    def tool(self, *words, data=None):
        status, self.text = self.tpm.tool(*words, data=data)
        self.tpm.tool("tpm2_flushcontext", "-t")
        return status == 0

    def run(self, *words, data=None):
        if not self.tool(*words, data=data):
            raise RuntimeError(f"{' '.join(words)}: {self.text}")

    def seal(self, *how, name="sealed"):
        self.run("tpm2_create", "-C", "srk", "-i", "-", "-u", name + ".pub", "-r", name + ".priv", *how, data=SEALED)

    def unseal(self, *how, name="sealed"):
        good = self.tool("tpm2_load", "-C", "srk", "-u", name + ".pub", "-r", name + ".priv", "-c", name)
        good = good and self.tool("tpm2_unseal", "-c", name, *how, "-o", "out")
        self.tpm.tool("tpm2_flushcontext", "-l")
        return good and open(os.path.join(self.tpm.folder, "out"), "rb").read() == SEALED

    # a PIN on the object itself; guesses counted by the TPM's one lockout for all its users
    def seal_with_pin(self, pin=PIN, name="sealed"):
        self.seal("-p", pin, "-a", "fixedtpm|fixedparent|userwithauth", name=name)

    def guess_pin(self, pin, name="sealed"):
        return self.unseal("-p", pin, name=name)

    # a PIN_FAIL index that may be written by whom `attributes` says, and S under PolicySecret(index)
    INDEX = "0x01500020"

    def define_index(self, attributes, pin=PIN, policy_file=None):
        self.run("tpm2_nvdefine", self.INDEX, "-C", "o", "-s", "8", "-p", pin, "-a", attributes + "|no_da|nt=pinfail", *(["-L", policy_file] if policy_file else []))

    def write_index(self, count, limit, auth="o", *more):
        return self.tool("tpm2_nvwrite", self.INDEX, "-C", auth, *more, "-i", "-", data=count.to_bytes(4, "big") + limit.to_bytes(4, "big"))

    def index_count(self):
        self.run("tpm2_nvread", self.INDEX, "-C", "o", "-s", "8", "-o", "count")
        return int.from_bytes(open(os.path.join(self.tpm.folder, "count"), "rb").read()[:4], "big")

    def session(self, kind, *commands):
        """Runs policy commands in a session, which stays in the file `session`."""
        self.run("tpm2_startauthsession", *(["--policy-session"] if kind == "policy" else []), "-S", "session")
        return all(self.tool(*command, "-S", "session") for command in commands)

    def end_session(self):
        self.tpm.tool("tpm2_flushcontext", "session")
        for kind in ("-l", "-s"):
            self.tpm.tool("tpm2_flushcontext", kind)

    def seal_under_index(self):
        good = self.session("trial", ("tpm2_policysecret", "-c", self.INDEX, "-L", "digest", PIN))
        if not good:
            raise RuntimeError(self.text)
        self.end_session()
        self.seal("-L", "digest", "-a", "fixedtpm|fixedparent|noda|adminwithpolicy")

    def guess_index(self, pin):
        good = self.session("policy", ("tpm2_policysecret", "-c", self.INDEX, pin)) and self.unseal("-p", "session:session")
        self.end_session()
        return good

    def close(self):
        self.tpm.close()
