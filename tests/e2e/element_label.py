#!/usr/bin/env python3
"""[EL-13] hardware is true only with proof or by the owner's word. swtpm_setup makes EK certificates of test authorities. element_label.py BUILD"""
import os, shutil, sys, tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *

build = sys.argv[1]
work = tempfile.mkdtemp(prefix="hf-label.")
state_a, roots_a = Swtpm.certified(os.path.join(work, "a"))
state_b, roots_b = Swtpm.certified(os.path.join(work, "b"))


def label(tpm, roots, hardware, trust, word, trusted=False, tcti=None):
    """A fresh vault's label, there and after a restart."""
    state = tempfile.mkdtemp(dir=work)
    if roots is not None:
        os.mkdir(os.path.join(state, "holdfast"), 0o700)
        open(os.path.join(state, "holdfast", "tpm-roots.pem"), "w").write(roots)
    e = Element(build, state, os.urandom(16), tcti or tpm.tcti)
    right = os.urandom(32)
    check(e.hello(True) == OK, f"hello: {e.text}")
    result, secret, device = e.provision(right, policy(10, trusted=trusted))
    check(result == OK and e.release(right) == (OK, secret), f"{word}: used all the same: {e.text}")
    for _ in range(2):
        got = e.status()
        public = got.get("public", {})
        check(got.get("hardware") == hardware and public.get("trust") == trust and word in public.get("trust_why", "?"), f"{trust}, {word}: {got}")
        check(e.again() == OK, f"again: {e.text}")
    new = os.urandom(32)
    check(e.release(right) == (OK, secret), "released")
    result, slot, _, blob = e.prepare(new)
    check(result == OK and e.commit(slot) == OK and e.again(blob) == OK and e.status()["hardware"] == hardware, "the label stays through a change of passcode")
    e.ask(ERASE)
    e.close()
    check("".join(tpm.tool("tpm2_getcap", what)[1] for what in ("handles-transient", "handles-loaded-session")) == "", "[EL-10] nothing stays loaded")


bare = Swtpm()
label(bare, roots_a, False, "none", "no EK certificate")
label(bare, roots_a, True, "owner", "no EK certificate", trusted=True)
a = Swtpm(state_a)
label(a, None, False, "none", "no manufacturers' roots")
label(a, "", False, "none", "no manufacturers' roots")
label(a, roots_b, False, "none", "does not lead to an installed root")
label(a, roots_a, True, "certificate", "")
label(a, roots_b + roots_a, True, "certificate", "")
check(a.tool("tpm2_evictcontrol", "-C", "o", "-c", "0x81010001")[0] == 0, "the endorsement key no longer lies ready: it is made anew")
label(a, roots_a, True, "certificate", "")
label(a, roots_a, True, "certificate", "", trusted=True)

# An emulator with a copy of another TPM's certificate: it cannot open what is made for that certificate's key
status, _ = a.tool("tpm2_nvread", "0x01c00002", "-C", "o", "-o", "certificate")
certificate = open(os.path.join(a.folder, "certificate"), "rb").read()
check(status == 0 and len(certificate) > 500, "setting up: the certificate is public")
check(bare.tool("tpm2_nvdefine", "0x01c00002", "-C", "o", "-s", str(len(certificate)), "-a", "ownerread|ownerwrite|authread")[0] == 0, "setting up")
check(bare.tool("tpm2_nvwrite", "0x01c00002", "-C", "o", "-i", "-", data=certificate)[0] == 0, "setting up")
label(bare, roots_a, False, "none", "does not hold the key of its own EK certificate")
# a certificate that is not for an endorsement key: the authority's own
der = subprocess.run(["openssl", "x509", "-in", os.path.join(work, "a", "authority", "issuercert.pem"), "-outform", "der"], stdout=subprocess.PIPE).stdout
bare.tool("tpm2_nvundefine", "0x01c00002", "-C", "o")
bare.tool("tpm2_nvdefine", "0x01c00002", "-C", "o", "-s", str(len(der)), "-a", "ownerread|ownerwrite|authread")
bare.tool("tpm2_nvwrite", "0x01c00002", "-C", "o", "-i", "-", data=der)
label(bare, roots_a, False, "none", "not one for an endorsement key")
bare.tool("tpm2_nvundefine", "0x01c00002", "-C", "o")
bare.tool("tpm2_nvdefine", "0x01c00002", "-C", "o", "-s", "64", "-a", "ownerread|ownerwrite|authread")
bare.tool("tpm2_nvwrite", "0x01c00002", "-C", "o", "-i", "-", data=os.urandom(64))
label(bare, roots_a, False, "none", "malformed")


# A man in the middle before the true TPM: he changes what it certifies
class Spoiler(Relay):
    code = 0

    def message(self, end):
        data = Relay.message(end)
        if data and getattr(self, "spoil_next", False):
            self.spoil_next = False
            data = data[:60] + bytes([data[60] ^ 1]) + data[61:]
        elif data and data[0] == 0x80 and command_code(data) == self.code:
            self.spoil_next = True
        return data


for code, what in ((0x148, "Certify"), (0x184, "NV_Certify")):
    relay = Spoiler(a)
    relay.code = code
    label(a, roots_a, False, "none", "do not lie in the TPM", tcti=relay.tcti)
    relay.close()
for tpm in (a, bare):
    tpm.close()
shutil.rmtree(work, ignore_errors=True)
close()
