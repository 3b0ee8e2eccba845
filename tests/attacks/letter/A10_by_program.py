#!/usr/bin/env python3
from book import *
import concurrent.futures, os
from bed import *

row("A10", "someone who feeds passcodes by program")
FED = 40 if os.environ.get("HF_LONG") else 16

with attack("the software element with the default delays: passcodes as fast as a program can") as a:
    free, v = Sample(attempts=0, fill=False), Sample(attempts=0, fill=False, delays="60,300,900,3600,10800,28800")
    def feed(v):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda n: v.tries(wrong(n)), range(FED)))
    without = feed(free)
    a.works(without.count(3) >= 8, f"without delays {without.count(3)} of {FED} are judged (the others met another try under way)")
    codes = feed(v)
    status = v.status()["element"]
    a.came_out(codes.count(3) > 4, f"{codes.count(3)} judged, then {codes.count(4)} answered \"in a delay\" unjudged; counted {status['failed']}, the next in {status['retry_after_s']} s")
    before = status["failed"]
    code = v.tries(PASS)
    a.came_out(code == 0 or v.failed() != before, f"the right one meanwhile: exit {code}, not judged")
    free.clean()

with attack("root shifts the clock: a time namespace in which a day has gone by", admitted=True) as a:
    a.needs(root(), "needs root")
    p = subprocess.run(["unshare", "--time", "--boottime", "86400", *v.command("open", v.vault, v.mnt, "--passcode-fd", "0")], env=v.env, input=wrong(99) + "\n", capture_output=True, text=True)
    a.came_out(p.returncode == 3, f"in the namespace the next guess is judged at once: exit {p.returncode} (delays slow people down; what holds an attacker is the TPM's count, or the cost of a guess)")
v.clean()

with attack("eight programs at once, each with its own passcode: more answers than the count knows") as a:
    v = Sample(attempts=0, fill=False)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda n: v.run("passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=f"{wrong(n)}\n{OTHER}\n").returncode, range(16)))
    answered = codes.count(3)
    a.works(answered >= 4, f"{answered} of 16 were judged")
    a.came_out(v.failed() < answered, f"answered {answered}, counted {v.failed()}")
    v.clean()
close()
