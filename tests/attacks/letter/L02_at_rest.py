#!/usr/bin/env python3
from book import *
import random
import offline
from bed import *

row("L2", "those who want to access it, steal it, and use it without our knowledge or permission")
v = Sample(fill=False)
v.open()
random.seed(16)
names = {f"file {n}": random.randbytes(size) for n, size in enumerate((100, 5000, 20000, 70000))}
for name, data in names.items():
    put(v.path(name), data)
v.close()
kept = v.copy(v.vault)


def shown():
    """(names with wrong data, errors) of the whole vault now."""
    v.open()
    wrong_data = errors = 0
    try:
        for name, data in names.items():
            try:
                wrong_data += get(v.path(name)) != data
            except OSError:
                errors += 1
    finally:
        v.close()
    return wrong_data, errors


with attack("changes one random byte of the vault's files, again and again") as a:
    plain = os.path.join(v.work, "plain")
    put(plain, names["file 2"])
    data = bytearray(get(plain))
    data[777] ^= 4
    put(plain, bytes(data))
    a.works(get(plain) != names["file 2"], "in a plain file the same change is wrong data, unseen")
    a.works(shown() == (0, 0), "untouched, all is read")
    bad = unseen = missed = 0
    for n in range(40 if os.environ.get("HF_LONG") else 12):
        for path in random.sample(sorted(offline.files_of(v.vault)), 3):
            data = bytearray(get(path))
            data[random.randrange(len(data))] ^= 1 << random.randrange(8)
            put(path, bytes(data))
        wrong_data, errors = shown()
        bad, missed = bad + wrong_data, missed + (errors == 0)
        v.put_back(kept, v.vault)
    a.came_out(bad, f"wrong data shown: {bad} times; rounds of three changes without any error at reads: {missed} (bytes that are read at no read, such as a spare header field)")

with attack("swaps, cuts, zeroes, doubles and puts back files while the vault is closed") as a:
    files = sorted(offline.files_of(v.vault), key=os.path.getsize)
    small, large = files[0], files[-1]
    v.open()
    put(v.path("file 3"), names["file 3"][::-1])
    v.close()
    newer = v.copy(v.vault)
    truth, names["file 3"] = names["file 3"], names["file 3"][::-1]
    old = next(p for p in offline.files_of(kept) if os.path.basename(p) == os.path.basename(large))

    def cut(path, at):
        data = get(path)
        put(path, data[:at])

    ways = {"swapped": lambda: (os.rename(small, small + "x"), os.rename(large, small), os.rename(small + "x", large)), "cut at a page": lambda: cut(large, 8192), "a page zeroed": lambda: put(large, get(large)[:4096] + bytes(4096) + get(large)[8192:]),
            "two pages swapped": lambda: put(large, (d := get(large))[:4096] + d[8192:12288] + d[4096:8192] + d[12288:]), "an older file put back": lambda: shutil.copy2(old, large), "another's content": lambda: put(large, get(files[1])), "removed": lambda: os.unlink(large)}
    a.works(shown() == (0, 0), "before, all is read")
    results = {}
    for what, do in ways.items():
        do()
        results[what] = shown()
        v.put_back(newer, v.vault)
    names["file 3"] = truth
    unseen = [what for what, (wrong_data, errors) in results.items() if wrong_data or not errors]
    a.came_out(unseen, f"{len(ways)} ways: {len(ways) - len(unseen)} are errors at the read; wrong data or unseen: {unseen or 'none'}")
    v.put_back(kept, v.vault)

with attack("puts a single page of a file back to an older version of itself", admitted=True) as a:
    path = next(p for p in offline.files_of(v.vault) if os.path.getsize(p) == max(map(os.path.getsize, offline.files_of(v.vault))))
    v.open()
    fd = os.open(v.path("file 3"), os.O_RDWR)
    os.pwrite(fd, b"A" * PAGE, 9 * PAGE)
    os.close(fd)
    v.close()
    first = get(path)
    v.open()
    fd = os.open(v.path("file 3"), os.O_RDWR)
    os.pwrite(fd, b"B" * PAGE, 9 * PAGE)
    os.close(fd)
    v.close()
    second = bytearray(get(path))
    differing = [at for at in range(4096, len(second), 4096) if second[at:at + 4096] != first[at:at + 4096]]
    for at in differing:
        second[at:at + 4096] = first[at:at + 4096]
    put(path, bytes(second))
    v.open()
    got = error_of(get, v.path("file 3"))
    stale = not got and b"AAAA" in get(v.path("file 3"))
    a.came_out(stale, f"{len(differing)} page(s) put back: {got or ('the older page is shown' if stale else 'the newer page is shown')}")
    v.close()
v.clean()
close()
