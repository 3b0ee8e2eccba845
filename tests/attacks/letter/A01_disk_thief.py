#!/usr/bin/env python3
from book import *
import offline
from bed import *

row("A1", "the thief with the disk")
v = Sample(attempts=9)
bag = offline.Keybag(v.bag)
record = offline.record_of(v.state)

with attack("searches the vault's folder for content, names, attributes and link targets") as a:
    plain = tempfile.mkdtemp(dir=v.work)
    write_marks(plain)
    a.works(traces_in(plain) == set(TRACES), "the same search finds all four kinds in a plain folder")
    v.open()
    found = traces_in(v.mnt)
    a.works(found == set(TRACES), "and in the open vault")
    v.close()
    found = traces_in(v.vault)
    a.came_out(found, f"found of {len(TRACES)} kinds: {sorted(found) or 'none'}")

with attack("reads sizes and the tree's shape off the folder", admitted=True) as a:
    sizes = [os.path.getsize(path) for path in offline.files_of(v.vault)]
    near = [size for size in sizes if abs(size - len(BODY)) < 2 * PAGE]
    a.came_out(len(near) >= 2, f"{len(sizes)} files; {len(near)} of them show a size within two pages of the true one")

with attack("has the vault's folder alone and tells a right passcode from a wrong one") as a:
    both = offline.guess(bag, record, PASS)
    a.works(offline.opens_files(v.vault, both) >= 2, f"with the machine's state beside it his tool opens {offline.opens_files(v.vault, both)} files by the passcode")
    a.works(offline.guess(bag, record, wrong(0)) is None, "and refuses a wrong one")
    right, other = bag.stretch(PASS), bag.stretch(wrong(0))
    # whatever can be made of the passcode alone, tried on everything that lies there
    keys = {label: [half for half in halves] for label, halves in (("right", right), ("wrong", other))}
    made = {label: [k for half in halves for k in (half, offline.kdf(offline.KEK, half, bag.vault, 32), offline.kdf(offline.KEK, half, halves[1] + bag.vault, 32),
                                                  offline.kdf(offline.DEVICE_KEY, half, bag.vault, 32))] for label, halves in keys.items()}
    told = {label: sum(offline.commits(offline.SECTION, k, section) for k in made[label] for section in (bag.user, bag.device)) +
            sum(bag.with_phrase(k) is not None for k in made[label]) for label in made}
    a.came_out(told["right"] != told["wrong"], f"of 8 keys made of it on each sealed part: right {told['right']}, wrong {told['wrong']} fit")

with attack("opens the vault's folder with the right passcode, on a machine of his own") as a:
    stolen = v.copy(v.vault)
    own = {**v.env, "XDG_STATE_HOME": tempfile.mkdtemp(dir=v.work), "XDG_RUNTIME_DIR": tempfile.mkdtemp(dir=v.work)}
    p = subprocess.run([v.hf, "open", stolen, v.mnt, "--passcode-fd", "0"], env=own, input=PASS + "\n", capture_output=True, text=True)
    a.works(v.tries(PASS) == 0, "on the owner's machine the same passcode opens it")
    a.came_out(p.returncode == 0 or v.mounted(), f"exit {p.returncode}: {p.stderr.strip()[:90]}")

with attack("has the whole disk, the software element's state on it, and guesses with his own tool") as a:
    a.works(offline.guess(bag, record, PASS) is not None, "a right guess opens")
    began = time.process_time()
    rounds = 4
    missed = [offline.guess(bag, record, wrong(n)) for n in range(rounds)]
    one = (time.process_time() - began) / rounds
    a.works(not any(missed), "wrong ones do not")
    a.came_out(True, f"{one:.2f} s of one processor and {bag.cost[0] // 1024} MiB a guess here (64 MiB, one pass: the floor that `create` takes); nothing counts them")
    bits = 66  # six words of 11 bits, as `holdfast passphrase` makes them
    a.price(one * 2 ** (bits - 1) / 1000, f"a passphrase of six words ({bits} bits): {one * 2 ** (bits - 1) / 1000 / YEAR:,.0f} years on a thousand such processors")

with attack("the same with a passcode of six digits: refused at creation, so that it is never there to be guessed") as a:
    p = v.run("create", os.path.join(v.work, "weak"), "--element", "software", "--no-recovery", "--passcode-fd", "0", given="314159")
    a.works(v.run("create", os.path.join(v.work, "strong"), "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0", given=PASS).returncode == 0, "a passphrase is taken")
    a.came_out(p.returncode == 0, f"create: exit {p.returncode}: {p.stderr.strip()[:80]}")

with attack("puts an older copy of the vault and of the software element's state back after an erase", admitted=True) as a:
    vault, state = v.copy(v.vault), v.copy(v.state)
    v.must("erase", v.vault, "--yes")
    a.works(v.tries(PASS) == 5, "without the copy the passcode opens nothing any more")
    v.put_back(vault, v.vault)
    p = v.tries(PASS)
    a.never(p == 0, f"the vault's folder alone put back: exit {p}")
    v.put_back(state, v.state)
    p = v.tries(PASS)
    a.came_out(p == 0, f"folder and state put back: exit {p} with the passcode")
v.clean()

import element
tpm = element.Swtpm()
t = Sample(tpm=tpm)
with attack("has the whole disk of a machine with a TPM, and the right passcode, but not the TPM") as a:
    elsewhere = element.Swtpm()
    a.works(t.tries(PASS) == 0, "with its TPM the passcode opens it")
    tpm.stop()
    if os.path.exists(tpm.path):
        os.unlink(tpm.path)
    os.symlink(elsewhere.path, tpm.path)  # the thief's own TPM answers at the name
    p = t.run("open", t.vault, t.mnt, "--passcode-fd", "0", given=PASS)
    a.came_out(p.returncode == 0, f"exit {p.returncode}: {p.stderr.strip()[:100]}")
    b = offline.Keybag(t.bag)
    auth, half = b.stretch(PASS)
    a.came_out(b.with_secret(auth, half) is not None, "his own tool has A and B of the passcode, and S lies in the chip")
    os.unlink(tpm.path)
    tpm.start()
t.clean()
close()
