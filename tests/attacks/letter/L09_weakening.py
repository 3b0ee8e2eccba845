#!/usr/bin/env python3
from book import *
import struct
import element, offline
from bed import *
from keybag import summed

row("L9", "remove security features and add new capabilities")


def edited(path, at, value):
    """A keybag with a field of its public header changed (at: behind the length) and the checksum made right."""
    data = bytearray(get(path))
    struct.pack_into("<I", data, 4 + at, value)
    return summed(bytes(data))


COST, ATTEMPTS = 68, 80
for kind in ("software", "TPM"):
    tpm = element.Swtpm() if kind == "TPM" else None
    v = Sample(tpm=tpm, attempts=5, delays="0", fill=False)
    good = get(v.bag)
    with attack(f"{kind}: edits limits, delays and costs in the keybag's header, with a right checksum") as a:
        a.works(edited(v.bag, ATTEMPTS, 5) == good, "the forged file is byte for byte the true one where nothing is changed")
        a.works(v.tries(PASS) == 0, "which opens")
        codes = {}
        fields = 6 if kind == "software" or os.environ.get("HF_LONG") else 2
        for what, at, value in (("limit", ATTEMPTS, 1000000), ("no limit", ATTEMPTS, 0), ("memory", COST, 65536 + 1024), ("passes", COST + 4, 2), ("a delay", ATTEMPTS + 8, 1), ("grace", ATTEMPTS + 8 + 4, 86400))[:fields]:
            put(v.bag, edited(v.bag, at, value))
            codes[what] = v.tries(PASS)
            put(v.bag, good)
        a.came_out(any(code != 7 for code in codes.values()) or v.failed() != 0, f"{len(codes)} fields: exit {sorted(set(codes.values()))}; tries spent: {v.failed()}")

    with attack(f"{kind}: puts back the keybag of before a change of settings") as a:
        a.works(v.run("settings", v.vault, "--grace", "3", "--passcode-fd", "0", given=PASS).returncode == 0 and v.tries(PASS) == 0, "the owner changes a setting with the passcode")
        newer = get(v.bag)
        put(v.bag, good)
        code = v.tries(PASS)
        put(v.bag, newer)
        a.came_out(code != 7 or v.failed() != 0, f"exit {code}, tries spent: {v.failed()}")
        a.works(v.tries(PASS) == 0, "the newer one opens")

    with attack(f"{kind}: changes settings without the passcode, with a wrong one, and as root") as a:
        codes = [v.run("settings", v.vault, "--inactivity", "0", "--passcode-fd", "0", given=g).returncode for g in ("", wrong(1))]
        a.works(v.run("settings", v.vault, "--inactivity", "7000", "--passcode-fd", "0", given=PASS).returncode == 0, "with the right one they change")
        a.came_out(0 in codes or v.status()["settings"]["inactivity_s"] != 7000, f"exits {codes}; the setting stays")

    with attack(f"{kind}: root sets the count of failed tries back", admitted=kind == "software") as a:
        for n in range(4):
            v.tries(wrong(10 + n))
        before = v.failed()
        if kind == "software":
            offline.record_of(v.state).reset()
            a.came_out(v.failed() < before, f"edited in the element's file: {before} -> {v.failed()} (no hardware, no limit)")
        else:
            public = v.status()["element"]
            tries = [tpm.tool("tpm2_nvwrite", public["nv_pin"], "-C", who, "-i", "-", data=bytes(4) + struct.pack(">I", 1000))[0] for who in ("o", "p")]
            a.works(tpm.tool("tpm2_nvread", public["nv_pin"], "-C", "o", "-s", "8", "-o", "count")[0] == 0 and before == 4, f"root reads the count in the TPM: {before}")
            shutil.rmtree(v.state)
            os.mkdir(v.state, 0o700)
            a.came_out(v.failed() < before, f"written as owner and platform: refused ({tries}); the element's state removed: still {v.failed()}")
    v.clean()
close()
