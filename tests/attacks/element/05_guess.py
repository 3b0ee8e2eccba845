#!/usr/bin/env python3
"""Guesses by every command that takes P's authorisation, through bound sessions, through sessions opened before a passcode change: counted, or no answer."""
from attack import *
from rawtpm import bound_guess

# Naive: a branch for NV_ChangeAuth, so that the passcode can be changed in place. The policy's PolicyAuthValue skips the limit's check.
n = Naive()
n.session("trial", ("tpm2_policyauthvalue",), ("tpm2_policycommandcode", "TPM2_CC_NV_ChangeAuth", "-L", "change"))
n.end_session()
n.define_index("ownerwrite|ownerread", policy_file="change")
n.write_index(0, 5)
n.seal_under_index()
for _ in range(5):
    n.guess_index(WRONG_PIN)
check(not n.guess_index(PIN) and n.index_count() == 5, "at its limit the naive one is shut")


def change(guess):
    good = n.session("policy", ("tpm2_policyauthvalue",), ("tpm2_policycommandcode", "TPM2_CC_NV_ChangeAuth"))
    good = good and n.tool("tpm2_changeauth", "-c", n.INDEX, "-p", f"session:session+{guess}", "found")
    n.end_session()
    return good


tries = [change(f"{guess:06d}") for guess in range(314150, 314162)]
falls(tries == [False] * 9 + [True] + [False] * 2, f"twelve guesses behind the limit, and the right one is told: {tries} {n.text}")
n.close()

# Naive: an ordinary index without lockout. Bound sessions guess its authorisation, which shows that they are built right here.
n = Naive()
n.run("tpm2_nvdefine", "0x01500040", "-C", "o", "-s", "8", "-p", PIN, "-a", "ownerwrite|ownerread|authread|no_da")
n.run("tpm2_nvwrite", "0x01500040", "-C", "o", "-i", "-", data=bytes(8))
name = bytes.fromhex(n.tpm.tool("tpm2_nvreadpublic", "0x01500040")[1].split("name: ")[1].split()[0])
for command in ("secret", "read"):
    answers = [bound_guess(n.tpm.path, 0x01500040, name, guess.encode(), command) for guess in [WRONG_PIN] * 20 + [PIN]]
    falls(all(answers[:20]) and answers[20] == 0, f"twenty guesses through bound sessions, and the right one: {answers[-2:]}")
n.close()

t = Target(limit=1000)
wrong, right = "hex:" + os.urandom(32).hex(), "hex:" + t.right.hex()


def oracle(what, ask):
    """ask(auth): (exit status, output). If right and wrong can be told apart, the wrong one was counted."""
    before = t.count()[0]
    for_wrong = ask(wrong)
    after = t.count()[0]
    for_right = ask(right)
    told = for_wrong[0] != for_right[0] or for_wrong[1].replace(wrong, "") != for_right[1].replace(right, "")
    holds(not told or after == before + 1, f"{what}: a guess was answered and not counted ({before} -> {after})")
    t.end_sessions()
    return told


def plain(*words):
    def ask(auth):
        answer = t.tpm.tool(*(auth if word == "AUTH" else word for word in words))
        t.tpm.tool("tpm2_flushcontext", "-t")
        return answer
    return ask


def in_policy(*words):
    def ask(auth):
        t.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
        answer = t.tpm.tool(*(auth if word == "AUTH" else word for word in words), "-S", "session")
        t.end_sessions()
        return answer[0], ""
    return ask


def bound(command):
    """A session whose key comes from the guess, bound to P."""
    def ask(auth):
        answer = bound_guess(t.tpm.path, int(t.pin, 16), bytes.fromhex(t.public["nv_pin_name"]), bytes.fromhex(auth[4:]), command)
        return answer, ""
    return ask


told = oracle("PolicySecret", in_policy("tpm2_policysecret", "-c", t.pin, "AUTH"))
holds(told, "setting up: PolicySecret is the one way that does tell, and it counts")
oracle("NV_Read", plain("tpm2_nvread", t.pin, "-C", t.pin, "-P", "AUTH", "-s", "8"))
oracle("NV_Write", plain("tpm2_nvwrite", t.pin, "-C", t.pin, "-P", "AUTH", "-i", "/dev/null"))
oracle("NV_Increment", plain("tpm2_nvincrement", t.pin, "-C", t.pin, "-P", "AUTH"))
oracle("NV_SetBits", plain("tpm2_nvsetbits", t.pin, "-C", t.pin, "-P", "AUTH", "-i", "1"))
oracle("NV_ReadLock", plain("tpm2_nvreadlock", t.pin, "-C", t.pin, "-P", "AUTH"))
oracle("NV_WriteLock", plain("tpm2_nvwritelock", t.pin, "-C", t.pin, "-P", "AUTH"))
oracle("NV_ChangeAuth", plain("tpm2_changeauth", "-c", t.pin, "-p", "AUTH", "mine"))
oracle("PolicyNV", in_policy("tpm2_policynv", t.pin, "-C", t.pin, "-P", "AUTH", "eq", "-i", "/dev/null"))
oracle("a bound session, PolicySecret", bound("secret"))
oracle("a bound session, NV_Read", bound("read"))
for branch in ((), (("tpm2_policyauthvalue",), ("tpm2_policycommandcode", "TPM2_CC_NV_ChangeAuth"))):
    def change_auth(auth):
        t.session(*branch)
        answer = t.tpm.tool("tpm2_changeauth", "-c", t.pin, "-p", f"session:session+{auth}", "mine")
        t.end_sessions()
        return answer[0], ""
    oracle(f"NV_ChangeAuth with a policy of {len(branch)}", change_auth)
holds(t.opens(), "P is what it was")

# The sealed objects in the attacker's hands: he makes the storage key, loads S and D
holds(t.storage_key(), "setting up: the attacker's storage key is the vault's")
holds(t.unseal("release") is None, "S without a policy")
t.session()
holds(t.unseal("release", "session") is None, "S with an empty policy")
t.end_sessions()
t.session(("tpm2_policysecret", "-c", "o"))
holds(t.unseal("release", "session") is None, "S with another entity's secret")
t.end_sessions()
t.session(("tpm2_policysecret", "-c", t.pin, right))
holds(t.unseal("release", "session") == t.secret, "setting up: with the right A the attacker's own way works too, so the refusals above mean something")
t.end_sessions()

# A session made good with the old passcode before it was changed
t.session(("tpm2_policysecret", "-c", t.pin, right))
old_blob = t.e.blob
new = os.urandom(32)
result, slot, fresh, blob = t.e.prepare(new)
# The element drops what lies loaded without an owner, but saved sessions are other programs' own: this one survives.
check(result == OK and t.e.commit(slot) == OK, f"the passcode changes: {t.e.text}")
holds(t.unseal("release", "session", blob) is None, "the new S through a session of the old passcode")
holds(t.unseal("device", "session", blob) is None, "D through it")
t.end_sessions()
t.session(("tpm2_policysecret", "-c", t.pin, right))
holds(t.unseal("release", "session", old_blob) is None and t.unseal("release", "session", blob) is None, "the old passcode after the change")
holds(t.e.release(new) == (OK, fresh) and t.e.release(t.right)[0] == WRONG, "the new one alone opens")
t.close()
close()
