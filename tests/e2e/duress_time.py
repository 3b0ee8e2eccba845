#!/usr/bin/env python3
"""[DU-8] A refused try takes as long as one that erases; runs alone: its verdict is a time. duress_time.py BUILD"""
import os, shutil, statistics, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from element import *
from person import *

build = sys.argv[1]
work = tempfile.mkdtemp(prefix="hf-duress.")


def time_of(p, passcode):
    began = time.monotonic()
    p.judged(3, passcode)
    return time.monotonic() - began


def timing():
    """[DU-8] A refused try takes as long as one that erases."""
    wrong, burned = [], []
    for n in range(3):
        p = Person(build, work)
        wrong += [time_of(p, f"66666{i}") for i in range(2)]
        burned.append(time_of(p, DURESS))
        wrong.append(time_of(p, "777777"))
        p.close()
    a, b = statistics.median(wrong), statistics.median(burned)
    print(f"a wrong one {a * 1000:.0f} ms, the duress passcode {b * 1000:.0f} ms")
    check(abs(a - b) < max(0.35 * a, max(wrong) - min(wrong) + 0.1), f"told by time: wrong {sorted(wrong)}, duress {sorted(burned)}")


try:
    timing()
finally:
    shutil.rmtree(work, ignore_errors=True)
close()
