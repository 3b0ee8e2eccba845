#!/usr/bin/env python3
from book import *
import re
from bed import *

row("L14", "could be used over and over again, on any number of devices")
mine, theirs = Sample(), Sample()  # the attacker's own vault, with all its keys; and the one that he wants
known = mine.run("passphrase").stdout.strip()
mine.must("passcode", mine.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=PASS + "\n" + known)
out = os.path.join(theirs.work, "out")
VERBS = {
    "open": ("open", "V", "M", "--passcode-fd", "0"), "open --locked": ("open", "V", "M", "--locked"), "passcode": ("passcode", "V", "--passcode-fd", "0", "--new-passcode-fd", "0"),
    "recover": ("recover", "V", "--element", "software", "--recovery-file", "P", "--new-passcode-fd", "0"), "recover --test": ("recover", "V", "--test", "--recovery-file", "P"),
    "recovery replace": ("recovery", "replace", "V", "--recovery-file", "N", "--passcode-fd", "0"), "settings": ("settings", "V", "--grace", "0", "--passcode-fd", "0"),
    "export": ("export", "V", "O", "--passcode-fd", "0"), "check": ("check", "V", "--passcode-fd", "0"), "accept": ("accept", "V", "--all", "--passcode-fd", "0"),
    "status": ("status", "V", "--json"), "reseal": ("reseal", "V", "--passcode-fd", "0"), "rotate": ("rotate", "V"), "unlock": ("unlock", "V", "--passcode-fd", "0"), "lock": ("lock", "V"), "close": ("close", "V"),
    "duress": ("duress", "V", "--passcode-fd", "0", "--new-passcode-fd", "0"),
    "protect": ("protect", "--class", "always", "V"),
}
ORDINARY = {"create", "passphrase", "erase"}  # make a vault, make words, destroy


def all_verbs(v, phrase, env):
    """Every verb of the command on v, with the attacker's passcode and phrase: which of them give the marks or open it, and the exits."""
    got, exits = set(), {}
    for name, words in VERBS.items():
        shutil.rmtree(out, ignore_errors=True)
        words = [{"V": v.vault, "M": v.mnt, "P": phrase, "N": out + ".phrase", "O": out}.get(w, w) for w in words]
        p = subprocess.run([v.hf, *words], env=env, input=known + "\n" + OTHER + "\n", capture_output=True, text=True, timeout=60)
        exits[name] = p.returncode
        found = traces_in(v.mnt) | (traces_in(out) if os.path.isdir(out) else set())
        if found or MARK.decode() in p.stdout or (name in ("open", "passcode", "recover", "recover --test", "recovery replace") and p.returncode == 0):
            got.add(name)
        if v.mounted():
            subprocess.run([v.hf, "close", v.vault, "--force"], env=env, capture_output=True)
    return got, exits


with attack("every verb of the command on another's vault, with the attacker's own passcode, phrase and machine state, and with the vault's own") as a:
    told = set(re.findall(r"^holdfast (\w+)", subprocess.run([mine.hf, "--help"], capture_output=True, text=True).stdout, re.M))
    a.works(told - ORDINARY == {name.split()[0] for name in VERBS}, f"all {len(told)} verbs that the command knows are tried or destroy alone: {sorted(told - ORDINARY ^ {n.split()[0] for n in VERBS}) or 'none missing'}")
    own, _ = all_verbs(mine, mine.phrase, mine.env)
    a.works({"open", "export", "passcode"} <= own, f"on his own vault these give content or open: {', '.join(sorted(own))}")
    got, exits = all_verbs(theirs, mine.phrase, theirs.env)
    a.came_out(got, f"on the other's machine: {sorted(got) or 'none of ' + str(len(VERBS))}")
    got, exits = all_verbs(theirs, mine.phrase, {**mine.env, "XDG_RUNTIME_DIR": theirs.env["XDG_RUNTIME_DIR"]})
    a.came_out(got, f"on his own machine: {sorted(got) or 'none of ' + str(len(VERBS))}")
    code = theirs.tries(PASS)
    check(code == 0, f"the owner's passcode opens still: exit {code}")

with attack("gives the other's vault his own keybag, his own element state, his own head") as a:
    kept_vault, kept_state = theirs.copy(theirs.vault), theirs.copy(theirs.state)
    results = {}
    fresh = Sample(fill=False)
    a.works(fresh.tries(PASS) == 0, "where the parts come from they open")
    parts = {"keybag": lambda: shutil.copy(fresh.bag, theirs.bag), "keybag and state": lambda: (shutil.copy(fresh.bag, theirs.bag), theirs.put_back(fresh.copy(fresh.state), theirs.state)),
             "all of .holdfast and state": lambda: (theirs.put_back(fresh.copy(os.path.join(fresh.vault, ".holdfast")), os.path.join(theirs.vault, ".holdfast")), theirs.put_back(fresh.copy(fresh.state), theirs.state))}
    for what, plant in parts.items():
        plant()
        p = theirs.run("open", theirs.vault, theirs.mnt, "--passcode-fd", "0", given=PASS)
        results[what] = (p.returncode, sorted(traces_in(theirs.mnt)) if theirs.mounted() else [])
        theirs.run("close", theirs.vault, "--force")
        theirs.put_back(kept_vault, theirs.vault)
        theirs.put_back(kept_state, theirs.state)
    a.works(theirs.tries(PASS) == 0, "with its own parts it opens")
    a.came_out(any(found for _, found in results.values()), "; ".join(f"{what}: exit {code}, of its files {found or 'nothing'}" for what, (code, found) in results.items()))
    fresh.clean()
mine.clean()
theirs.clean()
close()
