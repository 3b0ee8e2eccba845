#!/usr/bin/env python3
from book import *
import element
from bed import *

row("L6", "the potential to unlock any phone in someone's physical possession")
LIMIT = 4
tpm = element.Swtpm()
v = Sample(tpm=tpm, attempts=LIMIT)
vault, state = v.copy(v.vault), v.copy(v.state)
soft = Sample(attempts=LIMIT, fill=False)
soft_state = soft.copy(soft.state)


def spent(v):
    return [v.tries(wrong(n)) for n in range(LIMIT)]


with attack("root puts the disk back as it was before the guesses, and guesses on") as a:
    codes = spent(soft)
    shut = soft.tries(PASS)
    soft.put_back(soft_state, soft.state)
    a.works(shut == 5 and soft.tries(PASS) == 0, f"with the software element the count goes with the disk: shut (exit {shut}), then open again")
    codes = spent(v)
    a.works(codes[:-1] == [3] * (LIMIT - 1), f"the guesses are judged: exits {codes}")
    v.put_back(vault, v.vault)
    v.put_back(state, v.state)
    code = v.tries(PASS)
    a.came_out(code == 0, f"with the TPM: limit {LIMIT} reached, disk put back, the right passcode: exit {code}")
soft.clean()

with attack("root restarts the machine and the TPM, cuts its power, resets and changes the lockout, removes the element's state") as a:
    codes = {}
    tpm.restart()
    codes["restart"] = v.tries(PASS)
    tpm.stop(9)
    tpm.start()
    codes["power cut"] = v.tries(PASS)
    reset = tpm.tool("tpm2_dictionarylockout", "--clear-lockout")[0] == 0
    codes["lockout reset"] = v.tries(PASS)
    tpm.tool("tpm2_dictionarylockout", "--setup-parameters", "--max-tries", "1000", "--recovery-time", "0", "--lockout-recovery-time", "0")
    codes["lockout parameters"] = v.tries(PASS)
    shutil.rmtree(v.state)
    os.mkdir(v.state, 0o700)
    codes["state removed"] = v.tries(PASS)
    a.works(reset, "the TPM obeys root in all of it")
    fresh = Sample(tpm=tpm, attempts=LIMIT, fill=False)
    a.works(fresh.tries(PASS) == 0, "and serves a fresh vault")
    fresh.clean()
    a.came_out(0 in codes.values(), f"the right passcode after each: exits {codes}")

with attack("the owner's phrase opens what the limit shut (so it is a limit and not a loss)", admitted=True) as a:
    p = v.run("recover", v.vault, "--element", "tpm2", "--tcti", tpm.tcti, "--recovery-file", v.phrase, "--new-passcode-fd", "0", given=OTHER)
    a.came_out(p.returncode == 0 and v.tries(OTHER) == 0, f"recover: exit {p.returncode}; whoever finds the phrase opens the vault")
v.clean()
close()
