#!/bin/bash
# Real input on the real mount: a copied tree of 20,000 files and more, git, a build, SQLite, a sparse file; after close and open all of it is the same. tree_copy.sh BUILD
set -u
hf=$(cd "$1" && pwd)/src/holdfast
work=$(mktemp -d); v=$work/vault; m=$work/mnt
export XDG_STATE_HOME=$work/state XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$work/state" "$work/run" "$m" "$work/source"
tidy() {
    timeout 20 "$hf" close "$v" --force >/dev/null 2>&1
    mountpoint -q "$m" && umount -l "$m"
    chmod -R u+rwX "$work" 2>/dev/null
    rm -rf "$work"
}
trap tidy EXIT; trap 'exit 1' TERM INT HUP
passed=0; failed=0; skipped=0
good() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $1"; [ -z "${2:-}" ] || head -n 12 "$2"; }
SECONDS=0
step() { echo "$SECONDS s: $1"; }
expect() { # STATUS WHAT COMMAND…
    local want=$1 what=$2 rc; shift 2; "$@" >"$work/out" 2>&1; rc=$?
    if [ $rc = "$want" ]; then good; else bad "$what: exit $rc, not $want" "$work/out"; fi
}
same() { if cmp -s "$2" "$3"; then good; else bad "$1"; diff "$2" "$3" | head -n 12; fi; }
# Mode, owner, mtime, size and links of each object, symlinks' targets, extended attributes. The size of a directory is the disk's own business.
metadata() {
    (cd "$1" && find . -printf '%P\t%y\t%m\t%U:%G\t%T@\t%n\t%l\t' \( -type d -printf '\n' -o -printf '%s\n' \) | LC_ALL=C sort
        python3 -c 'import os
for top, dirs, files in os.walk(b"."):
    for n in dirs + files:
        p = os.path.join(top, n)
        if not os.path.islink(p):
            for x in os.listxattr(p):
                if not x.startswith("user.holdfast."): print(p, x, os.getxattr(p, x))' | LC_ALL=C sort)
}

# --- the tree: what this machine has, and more when it has little ---
src=$work/source
for from in /usr/share/doc /usr/share/zoneinfo /usr/share/perl* /usr/share/man /usr/share/locale /usr/lib/python3* /usr/include /usr/lib/git-core; do
    [ -d "$from" ] && [ "$(find "$src" -type f | wc -l)" -lt 12000 ] && cp -a "$from" "$src/" 2>/dev/null
done
find "$src" -type f | tail -n +19001 | tr '\n' '\0' | xargs -0 -r rm -f
mkdir -p "$src/made"
python3 - "$src/made" 20500 "$(find "$src" -type f | wc -l)" <<'P'
import os, random, socket, sys
top, want, there = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(7)
for i in range(max(1500, want - there)):
    d = f"{top}/{i % 97}/{i % 7}"
    os.makedirs(d, exist_ok=True)
    p = f"{d}/{rng.choice(('a', 'ü', 'space name', 'x' * 200))}{i}"
    with open(p, "wb") as f:
        f.write(rng.randbytes(rng.choice((0, 1, 100, 3392, 3393, 5000, 7456, 7457, 20_000))))
    if i % 50 == 0:
        os.setxattr(p, "user.note", b"n%d" % i)
    os.chmod(p, rng.choice((0o600, 0o644, 0o755, 0o400, 0o4711, 0o2750)))
    if i % 60 == 0:
        os.symlink("t" * rng.randrange(1, 4096), p[:-len(os.path.basename(p))] + f"link{i}")
    if i % 70 == 0:
        os.link(p, f"{d}/hard{i}")
        os.link(p, f"{top}/hard{i}")
    os.utime(p, ns=(10 ** 18, rng.randrange(10 ** 18)))
os.mkfifo(f"{top}/fifo")
os.makedirs(f"{top}/" + "/".join(f"deep{i}" for i in range(60)))
for i in range(0, 97, 5):
    os.utime(f"{top}/{i}", ns=(10 ** 18, 10 ** 18 + i))
P
files=$(find "$src" -type f | wc -l)
[ "$files" -ge 20000 ] && good || bad "only $files files"
metadata "$src" >"$work/want"

step "vault"
p=$("$hf" passphrase)
expect 0 create "$hf" create "$v" --element software --kdf 64,1 --no-recovery --passcode-fd 0 <<<"$p"
expect 0 open "$hf" open "$v" "$m" --passcode-fd 0 <<<"$p"
expect 0 "cp -a" cp -a "$src" "$m/tree"
step "$files files copied"
metadata "$m/tree" >"$work/got"; same "metadata right after the copy" "$work/want" "$work/got"
expect 0 close "$hf" close "$v"
mountpoint -q "$m" && bad "still mounted" || good
expect 0 "open again" "$hf" open "$v" "$m" --passcode-fd 0 <<<"$p"
metadata "$m/tree" >"$work/got"; same "metadata after close and open" "$work/want" "$work/got"
step "diff -r"
find "$src" "$m/tree" -type p -delete # diff would wait for them
expect 0 "diff -r" diff -r --no-dereference "$src" "$m/tree"

step git
# --- git ---
if command -v git >/dev/null; then
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
    git init -q "$work/repo"; cp -a "$src/made/1" "$work/repo/"
    (cd "$work/repo" && for i in 1 2 3 4 5; do echo $i >f$i; git add -A; git -c user.name=t -c user.email=t@example.com commit -qm $i; done)
    expect 0 "git clone" git clone -q "$work/repo" "$m/clone"
    expect 0 "git fsck" git -C "$m/clone" fsck --full --strict
    expect 0 "git gc" git -C "$m/clone" gc -q --aggressive --prune=now
    expect 0 "git fsck after gc" git -C "$m/clone" fsck --full --strict
    expect 0 "git checkout" git -C "$m/clone" checkout -q HEAD~3
    git -C "$m/clone" status --porcelain >"$work/out"; [ -s "$work/out" ] && bad "git status is not clean" "$work/out" || good
else skipped=$((skipped + 1)); echo "skipped: git is not here"; fi

step build
# --- a C project: this one's base layer as a library, and a program that links it ---
if command -v cc >/dev/null && command -v make >/dev/null; then
    mkdir "$m/project"; cp -r src/base "$m/project/"
    printf '%s\n' '#include "base/base64url.h"' '#include <stdio.h>' \
        'int main(void) { char out[9]; hf_base64url_encode((const unsigned char *)"abcdef", 6, out); return puts(out) < 0; }' >"$m/project/main.c"
    printf 'CFLAGS = -O2 -D_GNU_SOURCE -I.\nprog: main.o libbase.a\n\t$(CC) -o $@ $^\nlibbase.a: $(patsubst %%.c,%%.o,$(wildcard base/*.c))\n\tar rcs $@ $^\n' >"$m/project/Makefile"
    expect 0 make make -s -j2 -C "$m/project"
    [ "$("$m/project/prog")" = YWJjZGVm ] && good || bad "what was built does not run"
    expect 0 "make again" make -q -C "$m/project" prog
else skipped=$((skipped + 1)); echo "skipped: no cc and make here"; fi

step sqlite
# --- SQLite, both journal modes ---
cat >"$work/sql.py" <<'P'
import sqlite3, sys, threading
path, mode = sys.argv[1], sys.argv[2]
db = sqlite3.connect(path)
assert db.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
db.execute("create table t(id integer primary key, a text, b blob)")
for r in range(30):
    with db:
        db.executemany("insert into t(a,b) values(?,?)", [(f"row {r} {i}", bytes([i % 256]) * (i * 7)) for i in range(200)])
    with db:
        db.execute("delete from t where id % 7 = ?", (r % 7,))
        db.execute("update t set a = a || 'x' where id % 5 = 0")
    try:
        with db:
            db.execute("delete from t")
            raise KeyError
    except KeyError:
        pass
def other():
    o = sqlite3.connect(path, timeout=30)
    for i in range(50):
        with o:
            o.execute("insert into t(a) values('other')")
    o.close()
threads = [threading.Thread(target=other) for _ in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
assert db.execute("select count(*) from t where a='other'").fetchone()[0] == 100
db.execute("vacuum")
assert db.execute("pragma integrity_check").fetchone()[0] == "ok"
print(db.execute("select count(*), sum(length(a)), sum(length(b)) from t").fetchone())
P
printf 'import sqlite3,sys\ndb=sqlite3.connect(sys.argv[1]);assert db.execute("pragma integrity_check").fetchone()[0]=="ok"\nprint(db.execute("select count(*), sum(length(a)), sum(length(b)) from t").fetchone())\n' >"$work/sqlcheck.py"
for mode in wal delete; do
    expect 0 "sqlite $mode" python3 "$work/sql.py" "$m/$mode.db" $mode; cp "$work/out" "$work/$mode.want"
done

step sparse
# --- a 10 GiB file with three islands ---
cat >"$work/big.py" <<'P'
import os, sys
path, G = sys.argv[1], 1 << 30
if sys.argv[2] == "make":
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    os.ftruncate(fd, 10 * G)
    for at in (0, 5 * G + 123, 10 * G - 4):
        os.pwrite(fd, b"land", at)
    os.fsync(fd)
fd = os.open(path, os.O_RDONLY)
assert os.fstat(fd).st_size == 10 * G and os.fstat(fd).st_blocks < 20000
for at in (0, 5 * G + 123, 10 * G - 4):
    assert os.pread(fd, 4, at) == b"land"
assert not any(os.pread(fd, 1 << 20, 7 * G))
found, at = [], 0
while at < 10 * G:
    try:
        at = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    end = os.lseek(fd, at, os.SEEK_HOLE)
    found.append((at, end))
    at = end
assert len(found) == 3 and all(e - s <= 8192 for s, e in found), found
P
start=$(date +%s)
expect 0 "10 GiB sparse" timeout 60 python3 "$work/big.py" "$m/big" make
expect 0 close "$hf" close "$v"
expect 0 "open the third time" "$hf" open "$v" "$m" --passcode-fd 0 <<<"$p"
expect 0 "10 GiB sparse after open" timeout 60 python3 "$work/big.py" "$m/big" look
echo "10 GiB sparse file, twice: $(($(date +%s) - start)) s"
for mode in wal delete; do expect 0 "sqlite $mode after open" python3 "$work/sqlcheck.py" "$m/$mode.db"; same "sqlite $mode: rows" "$work/out" "$work/$mode.want"; done
[ ! -d "$m/clone" ] || expect 0 "git fsck after open" git -C "$m/clone" fsck --full
step check
expect 0 check timeout 120 "$hf" check "$v" --passcode-fd 0 <<<"$p"
tail -n 1 "$work/out"
expect 0 "rm -r" rm -r "$m/tree"
[ -z "$(find "$m" -mindepth 1 -maxdepth 1 -name "*tree*")" ] && good || bad "the tree is still there"
expect 0 "check after rm" timeout 120 "$hf" check "$v" --passcode-fd 0 <<<"$p"
expect 0 close "$hf" close "$v"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
