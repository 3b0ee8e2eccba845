#!/usr/bin/env python3
from book import *
import attack as tools
import offline
from bed import *

row("A5", "the maker with all signing keys")
v = Sample()
bag, kek = offline.Keybag(v.bag), v.latest("kek")
programs = [get(os.path.join(BUILD, "src", name)) for name in ("holdfast", "holdfast-super", "holdfast-enclave", "holdfast-element", "holdfast-fs")]


def master_keys(blobs, step=1):
    """How many of all 32-byte pieces of the blobs open a part of the vault: as KEK, as device key, as S or D without more, as a class key of a file."""
    first = next(offline.files_of(v.vault))
    wrap = get(first)[40:144]
    salt = lambda context: dict(digest_size=64, salt=context.to_bytes(2, "little") + bytes(14), person=b"holdfast-kdf-v1\0")
    section, file = salt(offline.SECTION), salt(offline.FILE_WRAP)
    sealed = [(bag.user[:24], bag.user[-32:], section), (bag.device[:24], bag.device[-32:], section), (wrap[:24], wrap[-32:], file)]
    blake = __import__("hashlib").blake2b
    hits = tried = 0
    for blob in blobs:
        for at in range(0, len(blob) - 31, step):
            key = blob[at:at + 32]
            tried += 1
            for nonce, commitment, how in sealed:
                hits += blake(nonce, key=key, **how).digest()[32:] == commitment
    return hits, tried


with attack("looks for a master key: 32-byte pieces of every program (at each eighth byte), of the keybag and of the published specification, each tried as the key of every sealed part") as a:
    planted = os.urandom(100) + kek + os.urandom(100)
    a.works(master_keys([planted])[0] == 1, "a blob with the true KEK in it is found out")
    hits, tried = master_keys([blob[blob.find(b"\0" * 8, 4096):] for blob in programs], step=8)
    rest, more = master_keys([bag.data])
    sources = [get(os.path.join(base, name)) for base, _, names in os.walk(os.path.join(ROOT, "spec")) for name in names]
    also, last = master_keys(sources, step=4)
    a.came_out(hits + rest + also, f"{tried + more + last:,} pieces tried: {hits + rest + also} fit")

with attack("signs, with a key of his own, what the TPM should release (PolicySigned, PolicyAuthorize) and what the limit should be") as a:
    n = tools.Naive()
    n.run("tpm2_createprimary", "-C", "n", "-G", "ecc", "-c", "maker", "-a", "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth")
    n.run("tpm2_readpublic", "-c", "maker", "-n", "maker.name", "-o", "maker.pub")

    def signed(x, sealed_policy=None):
        """A session in which the maker's signature stands for a policy of his own; x: whose TPM."""
        x.session("trial", ("tpm2_policycommandcode", "TPM2_CC_Unseal", "-L", "special")) if x is n else None
        x.tool("tpm2_sign", "-c", "maker", "-g", "sha256", "-o", "signature", "-f", "tss", "special")
        x.tool("tpm2_loadexternal", "-C", "o", "-u", "maker.pub", "-c", "loaded", "-n", "maker.name")
        x.tool("tpm2_verifysignature", "-c", "loaded", "-g", "sha256", "-m", "special", "-s", "signature", "-t", "ticket")
        return ("tpm2_policycommandcode", "TPM2_CC_Unseal"), ("tpm2_policyauthorize", "-n", "maker.name", "-i", "special", "-t", "ticket")

    n.session("trial", ("tpm2_policyauthorize", "-n", "maker.name", "-L", "authorized"))
    n.end_session()
    n.seal("-L", "authorized", "-a", "fixedtpm|fixedparent|noda|adminwithpolicy")
    commands = signed(n)
    n.end_session()
    a.works(n.session("policy", *commands) and n.unseal("-p", "session:session"), "a vault whose policy names a maker's key opens by the maker's signature, without its passcode")
    n.end_session()
    n.close()
    t = tools.Target(limit=5)
    t.storage_key()
    t.tool("tpm2_createprimary", "-C", "n", "-G", "ecc", "-c", "maker", "-a", "sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth")
    t.tool("tpm2_readpublic", "-c", "maker", "-n", "maker.name", "-o", "maker.pub")
    t.tool("tpm2_startauthsession", "-S", "session")
    t.tool("tpm2_policycommandcode", "TPM2_CC_Unseal", "-S", "session", "-L", "special")
    t.end_sessions()
    made = t.session(*signed(t))
    a.works(made, "the same session stands on the vault's TPM")
    a.came_out(t.unseal("release", "session"), "S by it: refused")
    t.end_sessions()
    zero = bytes(4) + (1000).to_bytes(4, "big")
    t.tool("tpm2_startauthsession", "--policy-session", "-S", "session")
    t.tool("tpm2_policycommandcode", "TPM2_CC_NV_Write", "-S", "session")
    a.came_out(t.tool("tpm2_nvwrite", t.pin, "-C", t.pin, "-P", "session:session", "-i", "-", data=zero), "the limit written by it: refused")
    a.works(t.opens(), "and the passcode opens it still")
    t.close()

with attack("ships a signed update that everybody gets, or that one device gets") as a:
    a.not_built("update install bundle")
v.clean()
close()
