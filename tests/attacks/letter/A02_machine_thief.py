#!/usr/bin/env python3
from book import *
import hashlib, shutil
import attack as tools
from element import DEVICE, OK

row("A2", "the thief with the machine: the whole disk, a boot of his choice, the TPM at hand, hours")
A = lambda guess: hashlib.blake2b(guess.encode(), digest_size=32).digest()  # stands for Argon2id, which costs him time and is no limit


def by_hand(t, auth):
    """One guess with tpm2-tools alone: no program of Holdfast, none of its delays. The secret S, or None."""
    t.session(("tpm2_policysecret", "-c", t.pin, "hex:" + auth.hex()))
    secret = t.unseal("release", "session")
    t.end_sessions()
    return secret


with attack("guesses a passcode of four digits with his own TPM tools, whatever Holdfast would make him wait") as a:
    t = tools.Target(limit=10)
    t.storage_key()
    a.works(by_hand(t, t.right) == t.secret, "his tools unseal S with the right passcode")
    counted = [by_hand(t, A(f"{n:04d}")) for n in range(10)]
    a.came_out(any(counted), f"ten guesses: {sum(x is not None for x in counted)} right")
    a.came_out(t.count()[0] != 10, f"the TPM counted {t.count()[0]}")
    a.came_out(by_hand(t, t.right) is not None, "the right passcode after them: refused by the TPM")
    t.tpm.restart()
    a.came_out(by_hand(t, t.right) is not None or t.opens(), "the same after another boot")

with attack("resets the lockout as the owner and as the platform, then goes on") as a:
    n = tools.Naive()
    n.tool("tpm2_dictionarylockout", "--setup-parameters", "--max-tries", "3", "--recovery-time", "86400", "--lockout-recovery-time", "86400")
    n.seal_with_pin()
    for _ in range(4):
        n.guess_pin(tools.WRONG_PIN)
    shut = not n.guess_pin(tools.PIN)
    n.tool("tpm2_dictionarylockout", "--clear-lockout")
    a.works(shut and n.guess_pin(tools.PIN), "a secret under the TPM's common lockout opens again after DictionaryAttackLockReset")
    n.close()
    t.tool("tpm2_dictionarylockout", "--clear-lockout")
    zero = bytes(4) + (1000).to_bytes(4, "big")
    wrote = [t.tool("tpm2_nvwrite", t.pin, "-C", who, "-i", "-", data=zero) for who in ("o", "p")]
    a.came_out(any(wrote) or by_hand(t, t.right), f"lockout cleared, the count written as owner and platform: {wrote}; the right passcode: refused")
    t.close()

with attack("keeps a machine with a virtual or emulated TPM and puts the TPM's own state back", admitted=True) as a:
    t = tools.Target(limit=3)
    t.tpm.stop()
    kept = t.tpm.state + ".kept"
    shutil.copytree(t.tpm.state, kept)
    t.tpm.start()
    t.exhaust()
    spent = t.opens()
    t.tpm.stop(9)
    shutil.rmtree(t.tpm.state)
    shutil.copytree(kept, t.tpm.state)
    t.tpm.start()
    t.e.again()
    a.came_out(not spent and t.opens(), f"after the limit: {'opens' if spent else 'shut'}; after the host put the TPM's state back: {'opens' if t.opens() else 'shut'}")
    t.close()

with attack("boots software of his own on a machine that measures its boot, with the right passcode") as a:
    t = tools.Target(limit=5, measure=1 << 11)
    t.storage_key()
    a.works(t.opens(), "under the measured software it opens")
    t.tpm.tool("tpm2_pcrextend", "11:sha256=" + "5a" * 32)  # what another image measures
    t.e.again()
    result, secret = t.e.release(t.right)
    a.came_out(secret, f"Holdfast's element: exit {result}")
    t.session(("tpm2_policypcr", "-l", "sha256:11"), ("tpm2_policysecret", "-c", t.pin, "hex:" + t.right.hex()))
    a.came_out(t.unseal("release", "session"), "S with his own tools: refused")
    t.end_sessions()
    t.tpm.tool("tpm2_pcrreset", "11")
    a.came_out(t.opens(), "after TPM2_PCR_Reset of that register: refused")
    t.tpm.restart()
    t.e.again()
    a.works(t.opens(), "and back under the measured software")
    t.close()

with attack("listens on the TPM's bus while the owner unlocks") as a:
    t = tools.Target(limit=5)
    start = len(t.relay.log)
    a.works(t.opens(), "an unlock went over the bus")
    log = bytes(t.relay.log[start:])
    a.works(bytes.fromhex(t.public["nv_pin_name"]) in log, f"the log has it: P's Name is in its {len(log)} bytes")
    a.came_out(t.right in log or t.secret in log or t.device in log, "A, S and D in the log: none")
    t.close()

with attack("clears the TPM, or undefines the index P") as a:
    t = tools.Target(limit=5)
    a.works(t.opens(), "before it opens")
    a.works(t.tool("tpm2_nvundefine", t.pin, "-C", "o"), "whoever has the TPM can destroy P: that destroys, and opens nothing")
    a.came_out(t.opens() or t.e.ask(DEVICE)[0] == OK, "S and D: gone, for him too")
    t.close()
close()
