#!/usr/bin/env python3
from book import *

row("L12", "asked to hack our own users: an update that some get and others do not see")
with attack("an update with k-1 signers; with the same signature k times; signed and not in the public log") as a:
    a.not_built("update verify bundle")
with attack("a log that shows one user another tree than all others") as a:
    a.not_built("update verify bundle")
with attack("an update with valid signatures on a locked machine") as a:
    a.not_built("update install bundle")
close()
