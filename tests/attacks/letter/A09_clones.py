#!/usr/bin/env python3
from book import *
import concurrent.futures, os, time
import attack as tools
import offline
from element import Element, OK, WRONG, GONE
from bed import *

row("A9", "someone who clones machine and disk a thousand times")
LONG = bool(os.environ.get("HF_LONG"))
CLONES, CHIP_CLONES = (64, 1000) if LONG else (6, 40)

with attack("software element with a limit of 3: each clone of the disk has its own count") as a:
    v = Sample(attempts=3)
    true = [v.tries(wrong(n)) for n in range(4)]
    fresh = Sample(attempts=3)

    def clone(n):
        vault, state, run, mnt = (tempfile.mkdtemp(prefix=f"clone{n}-{what}-", dir=fresh.work) for what in ("vault", "state", "run", "mnt"))
        shutil.copytree(fresh.vault, vault, symlinks=True, dirs_exist_ok=True)
        shutil.copytree(fresh.state, state, dirs_exist_ok=True)
        env = {**fresh.env, "XDG_STATE_HOME": state, "XDG_RUNTIME_DIR": run}
        return [subprocess.run([fresh.hf, "passcode", vault, "--passcode-fd", "0", "--new-passcode-fd", "0"], env=env, input=f"{wrong(10 * n + i)}\n{OTHER}\n", capture_output=True, text=True).returncode for i in range(2)]

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        codes = [code for each in pool.map(clone, range(CLONES)) for code in each]
    took = time.monotonic() - began
    judged = codes.count(3)
    a.works(true.count(5) >= 1, f"one machine alone stops after its limit: exits {true}")
    a.works(judged > 3, f"{CLONES} clones judged {judged} guesses in {took:.1f} s with whole programs")
    bag, record = offline.Keybag(fresh.bag), offline.record_of(fresh.state)
    began = time.process_time()
    for n in range(3):
        offline.guess(bag, record, wrong(n))
    one = (time.process_time() - began) / 3
    a.came_out(True, f"no limit holds clones; a guess costs {one:.2f} s of a processor and {bag.cost[0] // 1024} MiB ({1000 / one:,.0f} guesses a second on a thousand clones of one processor)")
    a.price(one * 2 ** 65 / 1000, f"a passphrase of six words: {one * 2 ** 65 / 1000 / YEAR:,.0f} years on a thousand clones; 1 GiB and three passes, what `create` takes where memory allows, costs some fifty times that")
    v.clean()
    fresh.clean()

with attack("TPM with a limit of 10: clones of disk and element state, all before the one chip") as a:
    t = tools.Target(limit=10)
    a.works(t.opens(), "the first of them opens with the right passcode")
    results = []
    for n in range(CHIP_CLONES):
        state = os.path.join(t.state, f"clone{n}")
        os.mkdir(state)
        clone_of = Element(BUILD, state, t.e.vault, t.relay.tcti, t.e.blob)
        results.append(clone_of.release(os.urandom(32))[0] if clone_of.hello() == OK else None)
        clone_of.close()
        shutil.rmtree(state)
    judged = results.count(WRONG) + (GONE in results)
    a.came_out(judged > 10, f"{CHIP_CLONES} clones, one guess each: {judged} judged, {results.count(GONE)} told that it is over")
    a.came_out(t.opens(), "and the right passcode after them: refused")
    t.close()
close()
