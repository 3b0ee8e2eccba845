#!/usr/bin/env python3
from book import *
import offline
from bed import *

row("A7", "the store's holder: whoever keeps a copy of the vault's folder (a synced or copied one; backups are not there yet)")
v = Sample()
with attack("opens what it holds: as it is, with the right passcode, with the passcode and an element of its own") as a:
    held = v.copy(v.vault)
    bag = offline.Keybag(os.path.join(held, ".holdfast", "keybag"))
    a.works(offline.opens_files(held, bag.with_kek(v.latest("kek"))) >= 2, "with the KEK his tool opens the files in this copy")
    auth, half = bag.stretch(PASS)
    keys = bag.with_secret(os.urandom(32), half) or bag.with_secret(auth, half) or bag.with_device(auth)
    a.came_out(keys, "with the right passcode and S, D of its own making: nothing")
    a.came_out(traces_in(held), f"content, names, attributes in the copy: {sorted(traces_in(held)) or 'none'}")

with attack("changes, swaps and cuts what it holds and gives it back") as a:
    whole = v.copy(v.vault)
    v.open()
    paths = [v.path("secret", NAME), v.path("plain", NAME)]
    a.works(all(get(p) == BODY for p in paths), "untouched, both files read as they were written")
    v.close()
    wrong_data = readable = 0
    one, two = sorted(offline.files_of(v.vault))[:2]
    kept = get(one), get(two)

    def changed(at):
        data = bytearray(kept[0])
        data[at] ^= 1
        return bytes(data), kept[1]

    for first, second in [changed(at) for at in (40, 300, 520, 600, 5000, len(kept[0]) - 1)] + [(kept[1], kept[0]), (kept[0][:4096], kept[1]), (kept[0][:4096] + bytes(len(kept[0]) - 4096), kept[1])]:
        put(one, first)
        put(two, second)
        v.open()
        for p in paths:
            try:
                data = get(p)
                readable += data == BODY
                wrong_data += data != BODY
            except OSError:
                pass
        v.close()
    a.came_out(wrong_data, f"9 changes, 18 reads: {readable} as they were written, {18 - readable - wrong_data} errors, {wrong_data} wrong")
    v.put_back(whole, v.vault)

with attack("gives an older copy of the whole folder back, its .holdfast included", admitted=True) as a:
    old = v.copy(v.vault)
    v.open()
    put(v.path("plain", NAME), b"newer\n" * 100)
    v.close()
    v.put_back(old, v.vault)
    p = v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
    got = "" if p.returncode else get(v.path("plain", NAME))
    a.came_out(got == BODY, f"open: exit {p.returncode}; the older content is {'shown' if got == BODY else 'not shown'}")
    v.close("--force") if v.mounted() else None

with attack("is ordered to hand over a backup: its packs, its index, a repository's passphrase") as a:
    a.not_built("backup list store")
with attack("is asked what it holds (`disclose`)") as a:
    a.not_built("disclose store")
v.clean()
close()
