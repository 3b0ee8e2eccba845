#!/usr/bin/env python3
from book import *
import element, offline
from bed import *

row("L11", "brute force, trying thousands or millions of combinations with the speed of a modern computer")

with attack("a code of six digits before a TPM: thousands of combinations through the programs, and with the attacker's own TPM client") as a:
    tpm = element.Swtpm()
    v = Sample(tpm=tpm, attempts=10, fill=False)
    a.works(v.tries(PASS) == 0, "the right one opens")
    public, auth = v.status()["element"], offline.Keybag(v.bag).stretch(PASS)[0]

    def own_client():
        tpm.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
        done = tpm.tool("tpm2_policysecret", "-S", "session", "-c", public["nv_pin"], "hex:" + auth.hex())[0]
        tpm.tool("tpm2_flushcontext", "session")
        return done == 0

    a.works(own_client(), "and so does its A, given to tpm2_policysecret")
    codes = [v.tries(f"{n:06d}") for n in range(12)]
    judged = codes.count(3) + (5 in codes)
    a.came_out(judged > 10, f"12 of a million tried: {judged} judged, exits {sorted(set(codes))}")
    code = v.tries(PASS)
    a.came_out(code == 0, f"then the right one: exit {code}")
    a.came_out(own_client(), "and its A by tpm2_policysecret: refused")
    v.clean()

with attack("the software element: the passphrase by a copied disk, at the cost that `create` chooses on this machine by itself") as a:
    v = Sample(fill=False, kdf="auto")
    bag, record = offline.Keybag(v.bag), offline.record_of(v.state)
    began = time.process_time()
    opened = offline.guess(bag, record, PASS)
    one = time.process_time() - began
    a.works(opened, "the right guess opens")
    a.came_out(one < 0.3, f"Argon2id {bag.cost[0] // 1024} MiB, {bag.cost[1]} passes: {one:.2f} s of a processor a guess; {86400 / one:,.0f} guesses a day and processor")
    a.price(one * 2 ** 63 / 1000, f"the weakest passphrase that `create` takes (64 bits): {one * 2 ** 63 / 1000 / YEAR:,.0f} years on a thousand processors")
    v.clean()

with attack("weak passphrases are offered at creation: digits, a word, a word with a year") as a:
    v = Sample(fill=False)
    codes = {}
    for n, weak in enumerate(("314159265358979", "password", "Summer2024!!", "correct horse", "qwertyuiop12345")):
        codes[weak] = v.run("create", os.path.join(v.work, f"weak{n}"), "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0", given=weak).returncode
    made = v.run("passphrase").stdout.strip()
    a.works(v.run("create", os.path.join(v.work, "strong"), "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0", given=made).returncode == 0, "a generated one is taken")
    a.came_out(0 in codes.values(), f"exits {sorted(set(codes.values()))} for {len(codes)} of them")
    v.clean()
close()
