#!/usr/bin/env python3
"""A special version: whoever holds a maker's key decides later what unseals (PolicyAuthorize); registers that anybody may reset (PCR 16, 23)."""
from attack import *

n = Naive()
n.run("tpm2_createprimary", "-C", "n", "-G", "ecc", "-c", "maker", "-a", "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth")
n.run("tpm2_readpublic", "-c", "maker", "-n", "maker.name", "-o", "maker.pub")
n.session("trial", ("tpm2_policyauthorize", "-n", "maker.name", "-L", "authorized"))
n.end_session()
n.seal("-L", "authorized", "-a", "fixedtpm|fixedparent|noda|adminwithpolicy")
# Long after, ordered to: the maker signs "no passcode, this command only", and the TPM obeys
n.session("trial", ("tpm2_policycommandcode", "TPM2_CC_Unseal", "-L", "special"))
n.end_session()
n.run("tpm2_sign", "-c", "maker", "-g", "sha256", "-o", "signature", "-f", "tss", "special")
n.run("tpm2_loadexternal", "-C", "o", "-u", "maker.pub", "-c", "maker.loaded", "-n", "maker.name")
n.run("tpm2_verifysignature", "-c", "maker.loaded", "-g", "sha256", "-m", "special", "-s", "signature", "-t", "ticket")
good = n.session("policy", ("tpm2_policycommandcode", "TPM2_CC_Unseal"), ("tpm2_policyauthorize", "-n", "maker.name", "-i", "special", "-t", "ticket"))
falls(good and n.unseal("-p", "session:session"), f"the maker's signature opens the vault without its passcode: {n.text}")
n.end_session()
for register in ("16", "23"):
    n.session("trial", ("tpm2_policypcr", "-l", f"sha256:{register}", "-L", "measured"))
    n.end_session()
    n.seal("-L", "measured", "-a", "fixedtpm|fixedparent|noda|adminwithpolicy", name=f"pcr{register}")
    n.run("tpm2_pcrextend", f"{register}:sha256={'11' * 32}")
    n.session("policy", ("tpm2_policypcr", "-l", f"sha256:{register}"))
    check(not n.unseal("-p", "session:session", name=f"pcr{register}"), "another software ran: the register holds it off")
    n.end_session()
    n.run("tpm2_pcrreset", register)
    n.session("policy", ("tpm2_policypcr", "-l", f"sha256:{register}"))
    falls(n.unseal("-p", "session:session", name=f"pcr{register}"), f"PCR {register} is reset by the other software itself")
    n.end_session()
n.close()

# Holdfast: S's policy is PolicySecret(P) and nothing else, recomputed here from the public parts alone
import hashlib

t = Target(limit=5)


def extended(digest, code, name):
    return hashlib.sha256(hashlib.sha256(digest + code.to_bytes(4, "big") + name).digest()).digest()


policy_of_s = extended(bytes(32), 0x151, bytes.fromhex(t.public["nv_pin_name"]))
public = bytes.fromhex(t.public["sealed_public"])
holds(public[10:12] == b"\x00\x20" and public[12:44] == policy_of_s, "S's policy has another branch than PolicySecret(P)")
holds(int.from_bytes(public[6:10], "big") == 0x492, f"S's attributes are not fixedtpm, fixedparent, adminwithpolicy, noda: {public[6:10].hex()}")
t.storage_key()
for commands in ((("tpm2_policycommandcode", "TPM2_CC_Unseal"),), (("tpm2_policypcr", "-l", "sha256:16"),), (("tpm2_policyauthvalue",),), (("tpm2_policypassword",),)):
    t.session(*commands)
    holds(t.unseal("release", "session") is None, f"S through {commands[0][0]}")
    t.end_sessions()
holds(t.opens(), "and it opens with its passcode")
t.close()
close()
