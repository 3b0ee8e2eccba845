#!/usr/bin/env python3
from book import *
import element, special
from bed import *

row("A6", "the maker with the signing keys and the recovered machine")


def spend(v, most):
    """Wrong passcodes by the programs in the vault's folder; how many were judged."""
    judged = 0
    for n in range(most):
        code = v.tries(wrong(n))
        judged += code in (3, 5)
        if code == 5:
            break
    return judged


soft = Sample(attempts=3, delays="3600")
with attack("a special version, built from these sources without count, delays and limit, on a machine with the software element", admitted=True) as a:
    true = [soft.tries(wrong(n)) for n in range(4)]
    kept = open(soft.bag, "rb").read()
    v = Sample(attempts=3, delays="3600")
    special.build("holdfast-element", special.FREE_GUESSES, v.bin)
    codes = [v.tries(wrong(n)) for n in range(8)]
    right = v.tries(PASS)
    a.came_out(codes == [3] * 8 and right == 0, f"the true version: exits {true}; the special one: {codes.count(3)} of 8 guesses judged and uncounted, then the right one: exit {right}. What is left is Argon2id (see A1, A9)")
    v.clean()
soft.clean()

with attack("the same special version on a machine with a TPM, locked") as a:
    tpm = element.Swtpm()
    v = Sample(tpm=tpm, attempts=5, delays="3600")
    special.build("holdfast-element", special.FREE_GUESSES, v.bin)
    a.works(v.tries(PASS) == 0, "it is a whole Holdfast: the right passcode opens with it")
    judged = spend(v, 12)
    a.came_out(judged != 5, f"{judged} guesses judged of 12, no delay held it; the TPM's limit is 5")
    code = v.tries(PASS)
    a.came_out(code == 0, f"then the right passcode: exit {code}")
    for name in ("holdfast-element",):
        shutil.copy(os.path.join(BUILD, "src", name), v.bin)
    code = v.tries(PASS)
    a.came_out(code == 0, f"with the true version put back: exit {code}")
    v.clean()

with attack("installs it on a locked vault with measured software, and asks for the right passcode") as a:
    tpm = element.Swtpm()
    tpm.tool("tpm2_pcrextend", "11:sha256=" + "11" * 32)
    v = Sample(tpm=tpm, more=("--measure=11",))
    a.works(v.tries(PASS) == 0, "under the measured software it opens")
    special.build("holdfast-element", special.FREE_GUESSES, v.bin)
    tpm.restart()
    tpm.tool("tpm2_pcrextend", "11:sha256=" + "22" * 32)  # the other image's measurement
    code = v.tries(PASS)
    a.came_out(code == 0, f"the right passcode under the special image: exit {code}")
    a.came_out(v.status()["element"]["failed"] != 0, "tries spent: none")
    v.clean()

with attack("installs it by the update mechanism, with every signature valid") as a:
    a.not_built("update install bundle")
close()
