#!/usr/bin/env python3
"""Crash-state explorer for the freshness index's log and the head [FR-4] [FR-6]: index.py SEED COUNT [RULES].

The log is records in a chain (each tip from the one before, its place and its seal); the head, which the enclave keeps durably, names a tip. A settle appends what changed, has a
barrier, and then the head moves; at times the index is written anew beside the old file, synced, renamed over it, and then the head moves. A settle may fail in between: the next one
writes over what it left. Behind each step every state that a cut may leave is loaded: the chain must lead to the head's tip, and say what was settled with it, or all that a rewrite
under way says. RULES leaves one rule out: dict(barrier=0), dict(sync_new=0), dict(continues=0), dict(over=0)."""
import itertools, random, sys

RULES = dict(barrier=1, sync_new=1, continues=1, over=1)


def tip_of(before, place, seal): return hash((before, place, seal)) & 0xffffffff


class Run:
    def __init__(self, seed, rules):
        self.r, self.rules, self.seals = random.Random(seed), rules, 0
        self.durable = {}                       # file -> {place: (seal, entries)}; entries None: what a base starts from is in `seal`
        self.names = {"index": None}            # durable name -> file
        self.pending = []                       # ("W", file, place, record) and ("ren", file), in their order
        self.head, self.settled = 0, frozenset()
        self.file, self.tip, self.end, self.count = None, 0, 0, 0
        self.memory = frozenset()               # what the running filesystem knows
        self.taken = []                         # changes that no settle has taken in
        self.cuts = self.states = 0
        self.why, self.rewritten = {}, []       # rewritten: what the bases say that were made since the head moved

    # --- the disk ---
    def write(self, file, place, record): self.pending.append(("W", file, place, record)); self.look()

    def sync(self, file):
        """of a file: its data; names so far come with the journal"""
        for op in [op for op in self.pending if op[0] == "ren" or op[1] == file]: self.apply(self.durable, self.names, op); self.pending.remove(op)
        self.look()

    @staticmethod
    def apply(files, names, op):
        if op[0] == "ren": names["index"] = op[1]
        else: files.setdefault(op[1], {})[op[2]] = op[3]

    def look(self):
        """All states of a cut here: names up to a point, any part of the data."""
        self.cuts += 1
        renames, data = [op for op in self.pending if op[0] == "ren"], [op for op in self.pending if op[0] == "W"]
        for n in range(len(renames) + 1):
            for keep in itertools.product((0, 1), repeat=len(data)):
                files, names = {f: dict(p) for f, p in self.durable.items()}, dict(self.names)
                for op in renames[:n]: self.apply(files, names, op)
                for op, there in zip(data, keep):
                    if there: self.apply(files, names, op)
                self.states += 1
                self.judge(files.get(names["index"], {}))

    def judge(self, file):
        said = self.load(file)
        if said is None: return self.bad("the head's tip is not reached")
        if said != self.settled and said not in self.rewritten: self.bad("it says what no settle said")

    def bad(self, what): self.why[what] = self.why.get(what, 0) + 1

    def load(self, file):
        """What it says at the head's tip; None: it never gets there."""
        if self.head == 0 and not file: return frozenset()
        if 0 not in file: return None
        start, base = file[0]
        tip, place, said = tip_of(0, 0, start), 1, frozenset(base)
        reached = said if self.head in (start, tip) else None   # the file continues from there, or begins there
        while place in file and reached is None:
            seal, entries = file[place]
            if seal[0] != tip: break                            # of another chain: what a failed settle left, or an older file's
            tip, said, place = tip_of(tip, place, seal), said | frozenset(entries), place + 1
            if tip == self.head: reached = said
        return reached

    # --- the filesystem ---
    def change(self):
        self.count += 1
        self.memory |= {self.count}
        self.taken.append(self.count)

    def move_head(self, tip, said):
        self.head, self.settled, self.rewritten = tip, said, []
        self.look()

    def append(self, fails):
        said, entries, place, tip = self.memory, list(self.taken), self.end, self.tip
        for part in (entries[:len(entries) // 2], entries[len(entries) // 2:]):
            self.seals += 1
            seal = (tip, self.seals)
            self.write(self.file, place, (seal, tuple(part)))
            tip, place = tip_of(tip, place, seal), place + 1
        if fails == 1: return
        if self.rules["barrier"]: self.sync(self.file)
        if fails == 2: return
        self.move_head(tip, said)
        if not self.rules["barrier"]: self.sync(self.file)
        self.tip, self.end, self.taken = tip, place, []

    def rewrite(self, fails):
        said, name = self.memory, f"file {self.seals + 1}"
        self.seals += 1
        start = self.head if self.rules["continues"] else -self.seals
        self.write(name, 0, (start, tuple(said)))
        if self.rules["sync_new"]: self.sync(name)
        if fails == 1: return
        tip = tip_of(0, 0, start)
        self.rewritten.append(said)
        self.pending.append(("ren", name)); self.look()
        self.sync(name if not self.rules["sync_new"] and self.r.random() < .5 else ".holdfast")
        self.file, self.end = name, 1
        if fails == 2:                                          # the head has still the old tip, from which this file continues
            self.tip = tip
            self.must_rewrite = True
            return
        self.move_head(tip, said)
        self.tip, self.taken, self.must_rewrite = tip, [], False

    must_rewrite = True                                         # there is no file yet

    def settle(self):
        fails = self.r.choice((0, 0, 0, 1, 2))
        if self.must_rewrite or self.r.random() < .3: self.rewrite(fails)
        else:
            if not self.rules["over"]: self.end += self.r.choice((0, 1))   # not where the head's chain ends
            self.append(fails)

    def go(self):
        for _ in range(self.r.randint(4, 9)):
            for _ in range(self.r.randint(1, 3)): self.change()
            self.settle()


def main():
    seed, count, rules = int(sys.argv[1]), int(sys.argv[2]), dict(RULES, **(eval(sys.argv[3]) if len(sys.argv) > 3 else {}))
    cuts = states = bad = 0
    why = {}
    for n in range(count):
        run = Run(seed * 100000 + n, rules)
        run.go()
        cuts, states, bad = cuts + run.cuts, states + run.states, bad + bool(run.why)
        for k, x in run.why.items(): why[k] = why.get(k, 0) + x
    print("index workloads", count, "cuts", cuts, "states", states, "failing workloads", bad, why)


main()
