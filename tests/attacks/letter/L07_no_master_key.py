#!/usr/bin/env python3
from book import *
import offline
from bed import *

row("L7", "the equivalent of a master key, capable of opening hundreds of millions of locks")
first, second = Sample(), Sample()  # the same passcode, on the same machine, one after the other
bags = [offline.Keybag(v.bag) for v in (first, second)]
records = [offline.record_of(v.state) for v in (first, second)]


def all_keys(v, bag, record):
    """Every secret that was ever there in this vault's life, and what the passcode makes."""
    found = [k for values in v.secrets().values() for k in values if len(k) in (32, 64)]
    return sorted({k[at:at + 32] for k in found for at in (0, len(k) - 32)} | {*bag.stretch(PASS), record.device, record.release(bag.stretch(PASS)[0])})


def opened(keys, v, bag):
    """What of a vault any of the keys opens, each tried in each place."""
    parts = set()
    for k in keys:
        parts |= {"user section"} if bag.with_kek(k) else set()
        parts |= {"device section"} if bag.with_device(k) or offline.commits(offline.SECTION, k, bag.device) else set()
        parts |= {"recovery box"} if bag.with_phrase(k) else set()
        parts |= {"a file"} if offline.opens_files(v.vault, {"k": k}) else set()
        parts |= {"S and B together"} if bag.with_secret(k, bag.stretch(PASS)[1]) else set()
    return parts


with attack("opens one vault with every secret of another that has the same passcode, each key tried in each place") as a:
    halves = [bag.stretch(PASS) for bag in bags]
    for bag, half in zip(bags, halves):
        bag.stretch = lambda passcode, half=half: half  # Argon2id once is enough
    keys = [all_keys(v, bag, record) for v, bag, record in zip((first, second), bags, records)]
    own = opened(keys[0], first, bags[0])
    a.works(own >= {"user section", "device section", "recovery box", "a file"}, f"the vault's own {len(keys[0])} secrets open: {', '.join(sorted(own))}")
    foreign = opened(keys[0], second, bags[1])
    a.came_out(foreign, f"tried on the other vault: {sorted(foreign) or 'nothing'}")

with attack("looks for what two vaults with one passcode have in common: salts, keys, sealed parts, records") as a:
    def pieces(data):
        return {data[at:at + 16] for at in range(len(data) - 15)} - {bytes(16)}
    a.works(pieces(bags[0].data) & pieces(bags[0].data[100:]), "the comparison finds 16 equal bytes in one keybag and a part of it")
    shared = {piece for piece in pieces(bags[0].data[16:]) & pieces(bags[1].data[16:]) if len(set(piece)) > 8}
    a.came_out(shared or set(keys[0]) & set(keys[1]), f"random-looking 16-byte pieces in both keybags, behind the format's mark: {len(shared)}; secrets in both: {len(set(keys[0]) & set(keys[1]))}")
first.clean()
second.clean()
close()
