#!/usr/bin/env python3
"""One file under random reads, writes, mappings, truncations, holes and copies, held against a copy in memory after each step; many seeds. fsx.py BUILD [SEED]
HF_LONG=1: for minutes."""
import mmap, os, random, sys, time

from posixkit import KEEP_SIZE, PUNCH, ZERO, fallocate
from vaultkit import Vault, check, finish

LIMIT = 300_000
EDGES = (0, 1, 3391, 3392, 3393, 4095, 4096, 4097, 7455, 7456, 7457, 8192, 65536, 131072, 262144)


class File:
    def __init__(self, path, seed):
        self.rng, self.path, self.model, self.log = random.Random(seed), path, bytearray(), []
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)

    def place(self, limit):
        r = self.rng
        return min(limit, max(0, r.choice(EDGES) + r.randrange(-3, 4)) if r.random() < 0.4 else r.randrange(limit + 1))

    def put(self, at, data):
        if data and at > len(self.model):
            self.model += bytes(at - len(self.model))
        self.model[at:at + len(data)] = data

    def write(self):
        at, n = self.place(LIMIT), self.rng.choice((1, 17, 4096, self.rng.randrange(1, 40_000)))
        data = self.rng.randbytes(n)
        os.pwrite(self.fd, data, at)
        self.put(at, data)

    def append(self):
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        data = self.rng.randbytes(self.rng.randrange(1, 9000))
        os.write(fd, data)
        os.close(fd)
        self.put(len(self.model), data)

    def truncate(self):
        n = self.place(LIMIT)
        os.ftruncate(self.fd, n)
        self.model = self.model[:n] + bytes(max(0, n - len(self.model)))

    def hole(self, mode):
        at, n = self.place(LIMIT), self.rng.randrange(1, 60_000)
        fallocate(self.fd, mode, at, n)
        end = at + n if not mode & KEEP_SIZE else min(at + n, len(self.model))
        if end > at:
            self.put(at, bytes(end - at))

    def punch(self):
        self.hole(PUNCH | KEEP_SIZE)

    def zero(self):
        self.hole(ZERO)

    def grow(self):
        at, n = self.place(LIMIT), self.rng.randrange(1, 60_000)
        fallocate(self.fd, 0, at, n)
        self.model += bytes(max(0, at + n - len(self.model)))

    def map(self):
        if not self.model:
            return
        with mmap.mmap(self.fd, len(self.model)) as m:
            at = self.place(len(self.model) - 1)
            data = self.rng.randbytes(min(self.rng.randrange(1, 20_000), len(self.model) - at))
            m[at:at + len(data)] = data
            self.put(at, data)
            if self.rng.random() < 0.5:
                m.flush()
            back = self.place(len(self.model) - 1)
            assert m[back:back + 5000] == self.model[back:back + 5000], "a mapping shows something else"

    def copy(self):
        if not self.model:
            return
        source, target = self.place(len(self.model) - 1), self.place(LIMIT)
        n = min(self.rng.randrange(1, 50_000), len(self.model) - source, max(1, abs(source - target)))
        if source == target:
            return
        done = os.copy_file_range(self.fd, self.fd, n, source, target)
        self.put(target, bytes(self.model[source:source + done]))

    def sync(self):
        self.rng.choice((os.fsync, os.fdatasync))(self.fd)

    def reopen(self):
        os.close(self.fd)
        if self.rng.random() < 0.3:  # its cached pages go
            fd = os.open(self.path, os.O_RDONLY)
            os.fsync(fd)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)
        self.fd = os.open(self.path, os.O_RDWR)

    def holes(self):
        """What is called a hole is zero, and the data between is all there is."""
        at, end = 0, len(self.model)
        while at < end:
            try:
                data = os.lseek(self.fd, at, os.SEEK_DATA)
            except OSError:
                data = end
            assert not any(self.model[at:data]), f"data called a hole at {at}"
            at = os.lseek(self.fd, data, os.SEEK_HOLE) if data < end else end

    def look(self):
        assert os.fstat(self.fd).st_size == len(self.model), f"size {os.fstat(self.fd).st_size}, not {len(self.model)}"
        at = self.place(LIMIT)
        assert os.pread(self.fd, 30_000, at) == self.model[at:at + 30_000], f"other bytes behind {at}"

    def run(self, steps):
        does = [self.write] * 5 + [self.truncate, self.truncate, self.punch, self.punch, self.zero, self.grow, self.map, self.map, self.copy, self.append, self.sync, self.reopen, self.holes]
        for i in range(steps):
            do = self.rng.choice(does)
            self.log.append(do.__name__)
            do()
            self.look()
        assert os.pread(self.fd, LIMIT * 4, 0) == self.model, "other bytes at the end"
        os.close(self.fd)


def main():
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    until = time.monotonic() + (240 if os.environ.get("HF_LONG") else 8)
    vault = Vault(sys.argv[1])
    vault.open()
    print("fsx from seed", first)
    kept, seed = {}, first
    while seed < first + 3 or time.monotonic() < until:
        file = File(f"{vault.mnt}/fsx{seed % 40}", seed)
        try:
            file.run(250)
            good = True
        except (AssertionError, OSError) as e:
            good = False
            print(f"seed {seed} after {len(file.log)} steps: {e}\n    {file.log[-12:]}")
        if not check(good, f"seed {seed}"):
            break
        kept[file.path] = bytes(file.model)
        seed += 1
    vault.reopen()
    wrong = [path for path, model in kept.items() if open(path, "rb").read() != model]
    check(not wrong, f"after close and open: {wrong}")
    check(vault.check(want=None).returncode == 0, "check")
    finish()


if __name__ == "__main__":
    main()
