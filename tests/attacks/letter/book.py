"""The attack book of the letter: what every script here shares. A script states one demand or one attacker and tries; what came out decides the verdict.

    row("L2", "the demand")
    with attack("what is tried") as a:
        a.works(found_without_protection, "the counter-trial")   # the same method where it must succeed
        a.came_out(found, "what the attacker has in the end")    # found: the secret, a free guess, wrong data …
        a.never(found, "…")                                      # the same, where `admitted` does not cover it
    close()

refused              the attacker got nothing, and the counter-trial shows that the method works
made costly          the attacker gets it for a price that was measured here and is above a floor (price())
openly not prevented the attacker got it, and the script says so from the start (admitted=True): THREATS.md must say it too
not built            the part that the demand speaks of is not there yet: the program was asked for it (neither passed nor failed)
GOT THROUGH          the attacker got it, and nothing admits that: a defect
PROVES NOTHING       the counter-trial failed, or the script did: counts as failed
skipped              this user cannot try it (it needs root, or this processor's instructions): said and counted"""
import contextlib, json, os, subprocess, sys, traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
BUILD = os.path.abspath(sys.argv[1])
for folder in ("e2e", "lib", "attacks/element"):
    sys.path.insert(0, os.path.join(ROOT, "tests", folder))
import verdict

REFUSED, COSTLY, OPENLY, NOT_BUILT = "refused", "made costly", "openly not prevented", "not built"
THROUGH, NOTHING, SKIPPED = "GOT THROUGH", "PROVES NOTHING", "skipped"
YEAR = 365.25 * 86400
PRICE_FLOOR_YEARS = 1000  # with a thousand machines that do nothing else
the_row, the_demand, attacks = None, None, []


def row(name, demand):
    global the_row, the_demand
    the_row, the_demand = name, demand
    print(f"{name}: {demand}", flush=True)


class Skip(Exception):
    pass


class Attack:
    def __init__(self, tried, admitted):
        self.tried, self.admitted = tried, admitted
        self.trials, self.outcomes, self.years, self.missing, self.reason = [], [], None, None, None
        self.beyond = False

    def works(self, good, how):
        """The counter-trial: the same method where nothing protects. Without one that succeeds a refusal proves nothing."""
        self.trials.append((bool(good), how))
        return good

    def came_out(self, got, text):
        self.outcomes.append((bool(got), text))
        return got

    def never(self, got, text):
        """What even an admitted attack must not give."""
        self.beyond |= bool(got)
        return self.came_out(got, text)

    def price(self, seconds, text):
        """What the secret costs: seconds of a thousand machines like this one."""
        self.years = seconds / YEAR
        self.outcomes.append((True, text))

    def not_built(self, verb):
        """Asks the command for the part; not built as long as it does not know the verb."""
        done = subprocess.run([os.path.join(BUILD, "src", "holdfast"), *verb.split()], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.missing = done.returncode == 2 and "no such verb" in done.stderr
        self.outcomes.append((not self.missing, f"`holdfast {verb}`: {'no such verb' if self.missing else 'is there now: this attack has to be written'}"))

    @staticmethod
    def needs(able, what):
        if not able:
            raise Skip(what)

    def verdict(self):
        if self.reason:
            return self.reason
        if self.missing:
            return NOT_BUILT
        if not self.outcomes or not all(good for good, _ in self.trials):
            return NOTHING
        if not any(got for got, _ in self.outcomes):
            return REFUSED if self.trials else NOTHING
        if self.beyond:
            return THROUGH
        if self.years is not None:
            return COSTLY if self.years >= PRICE_FLOOR_YEARS else THROUGH
        return OPENLY if self.admitted else THROUGH


@contextlib.contextmanager
def attack(tried, admitted=False):
    a = Attack(tried, admitted)
    try:
        yield a
    except Skip as why:
        a.reason = SKIPPED
        a.outcomes = [(False, str(why))]
    except Exception:
        traceback.print_exc()
        a.reason = NOTHING
        a.outcomes.append((False, traceback.format_exc().strip().splitlines()[-1]))
    finished(a)


def finished(a):
    said = a.verdict()
    attacks.append((said, a))
    print(f"  tried: {a.tried}")
    for good, how in a.trials:
        print(f"    {'method works' if good else 'METHOD FAILED'}: {how}")
    for _, text in a.outcomes:
        print(f"    came out: {text}")
    print(f"    verdict: {said}", flush=True)
    if os.environ.get("HF_ATTACK_LOG"):
        line = json.dumps({"row": the_row, "demand": the_demand, "tried": a.tried, "out": "; ".join(text for _, text in a.outcomes), "verdict": said,
                           "method": "; ".join(how for _, how in a.trials)}, ensure_ascii=False)
        with open(os.environ["HF_ATTACK_LOG"], "a") as out:
            out.write(line + "\n")


def root():
    return os.geteuid() == 0


def close():
    """The closing line: an attack is passed when its verdict stands, failed when it got through or proves nothing; what the setting up checked counts too."""
    element = sys.modules.get("element")
    passed = verdict.passed + (element.passed if element else 0)
    failed = verdict.failed + (element.failed if element else 0)
    count = lambda *kinds: sum(said in kinds for said, _ in attacks)
    print(f"{passed + count(REFUSED, COSTLY, OPENLY)} passed, {failed + count(THROUGH, NOTHING)} failed, {count(SKIPPED)} skipped, {count(NOT_BUILT)} not built")
    sys.exit(failed + count(THROUGH, NOTHING) != 0 or not attacks)
