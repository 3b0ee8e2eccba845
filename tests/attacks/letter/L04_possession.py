#!/usr/bin/env python3
from book import *

row("L4", "when asked for data that is in our possession, we have provided it: a store prints all that it could hand over")
with attack("hands over what a store holds, by `disclose`, and looks for more in it than counts, sizes, times and ciphertext") as a:
    a.not_built("disclose store")
close()
