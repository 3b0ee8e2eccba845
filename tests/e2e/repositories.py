#!/usr/bin/env python3
"""A large git repository and a Debian package on a real mount: thousands of commits by fast-import, `git gc` (also killed with SIGKILL), `git fsck`, a clone that is equal file
by file; a package built by dpkg-buildpackage, byte for byte the one that a plain disk gives. repositories.py BUILD (HF_LONG=1: ten times the commits, more kills)"""
import hashlib, os, pathlib, random, shutil, signal, subprocess, sys, time

from vaultkit import Vault, check, finish

BUILD = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
COMMITS, FILES, KILLS = (30000, 3000, 12) if LONG else (3000, 400, 3)


def run(*words, cwd, want=0, **more):
    env = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", HOME=cwd, LC_ALL="C.UTF-8", SOURCE_DATE_EPOCH="1000000000")
    r = subprocess.run(words, cwd=cwd, capture_output=True, env=env, timeout=1500, **more)
    if want is not None and r.returncode != want:
        check(False, f"{' '.join(words)}: exit {r.returncode}: {r.stdout[-500:]}{r.stderr[-1500:]}")
    return r


def history(seed):
    """A history for git fast-import: files in folders grow, change, go away; a tag now and then."""
    rng, alive = random.Random(seed), {}
    for n in range(1, COMMITS + 1):
        yield b"commit refs/heads/main\ncommitter A <a@b> %d +0000\ndata 8\nc%06d\n\n" % (1_000_000_000 + n, n)
        for _ in range(3):
            name = rng.randrange(FILES)
            path = b"d%d/s%d/f%d" % (name % 7, name % 31, name)
            if name in alive and rng.random() < 0.05:
                del alive[name]
                yield b"D %s\n" % path
                continue
            alive[name] = alive.get(name, b"")[-3000:] + rng.randbytes(rng.randrange(1, 60)).hex().encode() + b"\n"
            yield b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(alive[name]), alive[name])
        yield b"\n"
        if n % 500 == 0:
            yield b"tag v%d\nfrom refs/heads/main\ntagger A <a@b> %d +0000\ndata 1\nt\n" % (n, 1_000_000_000 + n)


def tree(top):
    """Every file's name, mode and content."""
    found = {}
    for at, dirs, files in os.walk(top):
        if ".git" in dirs:
            dirs.remove(".git")
        for name in files:
            path = os.path.join(at, name)
            found[os.path.relpath(path, top)] = (os.lstat(path).st_mode, hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest())
    return found


def fsck(repo, what):
    r = run("git", "fsck", "--full", "--strict", "--no-dangling", cwd=repo, want=None)
    check(r.returncode == 0 and not r.stdout.strip(), f"{what}: git fsck: exit {r.returncode} {r.stdout[-300:]}{r.stderr[-300:]}")


def remove_locks(repo):
    """What git says itself that one has to take away after a process was killed."""
    for lock in [*pathlib.Path(repo, ".git").rglob("*.lock"), *pathlib.Path(repo, ".git").glob("gc.pid")]:
        lock.unlink()


def git():
    v = Vault(BUILD)
    v.open()
    stream, began = b"".join(history(1)), time.monotonic()
    for repo in (f"{v.mnt}/repo", f"{v.plain}/repo"):
        os.mkdir(repo)
        run("git", "init", "-q", "-b", "main", cwd=repo)
        run("git", "fast-import", "--quiet", f"--max-pack-size={'4m' if LONG else '1m'}", cwd=repo, input=stream)
        run("git", "checkout", "-q", "-f", "main", cwd=repo)
    ours, plain = f"{v.mnt}/repo", f"{v.plain}/repo"
    head = run("git", "rev-parse", "HEAD", cwd=plain).stdout
    check(run("git", "rev-parse", "HEAD", cwd=ours).stdout == head and len(head) > 40, "the history on the mount is the one on a plain disk")
    check(tree(ours) == tree(plain) and len(tree(ours)) > FILES // 2, "the checkout is equal file by file")
    fsck(ours, "as imported")
    in_the_middle, rng = 0, random.Random(2)
    for n in range(KILLS):
        gc = subprocess.Popen(["git", "gc", "--quiet", "--prune=now", *(("--aggressive",) if n % 2 else ())], cwd=ours, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", HOME=v.plain), start_new_session=True)
        time.sleep(rng.uniform(0.05, 1.0 + n % 3))
        in_the_middle += gc.poll() is None
        try:
            os.killpg(gc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass # it was done
        gc.wait()
        remove_locks(ours)
        if n % 2:
            v.reopen()
        fsck(ours, f"gc killed, {n + 1}")
    check(in_the_middle > 0, f"git gc was killed in its middle: {in_the_middle} of {KILLS} times")
    run("git", "gc", "--quiet", "--prune=now", "--aggressive", cwd=ours)
    fsck(ours, "after git gc")
    packs = list(pathlib.Path(ours, ".git/objects/pack").glob("*.pack"))
    check(len(packs) == 1, f"git gc leaves one pack: {len(packs)}")
    v.reopen()
    check(run("git", "status", "--porcelain", cwd=ours).stdout == b"", "nothing is changed after the vault was closed and opened")
    run("git", "clone", "-q", "--no-hardlinks", ours, f"{v.mnt}/copy", cwd=v.mnt)
    check(tree(f"{v.mnt}/copy") == tree(plain), "a clone is equal file by file")
    run("git", "clone", "-q", "--local", ours, f"{v.mnt}/linked", cwd=v.mnt)  # its packs are hard links
    shutil.rmtree(f"{v.mnt}/copy")
    shutil.rmtree(ours)
    v.reopen()
    fsck(f"{v.mnt}/linked", "a clone by hard links, the first repository gone")
    check(run("git", "rev-list", "--count", "HEAD", cwd=f"{v.mnt}/linked").stdout.strip() == b"%d" % COMMITS, "every commit is there")
    v.check()
    print(f"git: {COMMITS} commits, {len(tree(plain))} files, gc killed {in_the_middle} times, {time.monotonic() - began:.0f} s")
    v.tidy()


SOURCE = {
    "debian/control": "Source: holdfast-probe\nMaintainer: A <a@example.org>\nSection: misc\nPriority: optional\nStandards-Version: 4.6.2\nRules-Requires-Root: no\n\n"
                      "Package: holdfast-probe\nArchitecture: any\nDepends: ${shlibs:Depends}\nDescription: a program, a link and a few files\n For a test.\n",
    "debian/changelog": "holdfast-probe (1.2) unstable; urgency=low\n\n  * Made.\n\n -- A <a@example.org>  Sun, 09 Sep 2001 01:46:40 +0000\n",
    "debian/source/format": "3.0 (native)\n",
    "debian/rules": """#!/usr/bin/make -f
top = debian/holdfast-probe
build build-arch:
\t$(MAKE) -j4 probe
build-indep:
binary-indep:
clean:
\trm -rf probe *.o $(top) debian/files debian/substvars
binary: binary-arch
binary-arch: build
\tinstall -D -m 0755 probe $(top)/usr/bin/probe
\tstrip $(top)/usr/bin/probe
\tln -s probe $(top)/usr/bin/probe-link
\tmkdir -p $(top)/usr/share/probe
\tfor n in $$(seq 1 150); do seq $$n $$((n + 500)) >$(top)/usr/share/probe/file-$$n; done
\tln $(top)/usr/share/probe/file-1 $(top)/usr/share/probe/same-as-1
\tmkdir -p $(top)/DEBIAN
\tdpkg-shlibdeps -Tdebian/substvars $(top)/usr/bin/probe
\tdpkg-gencontrol -Tdebian/substvars -P$(top)
\t(cd $(top) && find usr -type f | LC_ALL=C sort | xargs md5sum) >$(top)/DEBIAN/md5sums
\tdpkg-deb --root-owner-group --build $(top) ..
""",
    "Makefile": "probe: $(patsubst %.c,%.o,$(sort $(wildcard *.c)))\n\t$(CC) -O1 -o $@ $^\n%.o: %.c\n\t$(CC) -O1 -c -o $@ $<\n",
    "main.c": "#include <stdio.h>\nint part0(void); int part39(void);\nint main(void) { printf(\"%d\\n\", part0() + part39()); return 0; }\n",
}


def build_package(top):
    """The package built below top; the .deb's path."""
    source = os.path.join(top, "holdfast-probe-1.2")
    for name, text in [*SOURCE.items(), *((f"part{n}.c", f"int part{n}(void);\nint part{n}(void) {{ return {n}; }}\n") for n in range(40))]:
        path = pathlib.Path(source, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.chmod(f"{source}/debian/rules", 0o755)
    run("dpkg-buildpackage", "-d", "-us", "-uc", cwd=source)
    debs = list(pathlib.Path(top).glob("*.deb"))
    return str(debs[0]) if len(debs) == 1 else None


def debian():
    v = Vault(BUILD)
    v.open()
    began = time.monotonic()
    os.umask(0o022)
    ours, plain = build_package(v.mnt), build_package(v.plain)
    if check(ours and plain, f"a package is built: {ours}, {plain}"):
        v.reopen()
        data = pathlib.Path(ours).read_bytes()
        check(data == pathlib.Path(plain).read_bytes() and len(data) > 5000, "the package is byte for byte the one from a plain disk")
        check(run("dpkg-deb", "-I", ours, cwd=v.mnt).returncode == 0, "dpkg-deb reads it")
        run("dpkg-deb", "-x", ours, f"{v.mnt}/unpacked", cwd=v.mnt)
        check(run(f"{v.mnt}/unpacked/usr/bin/probe-link", cwd=v.mnt).stdout == b"39\n", "its program runs from the mount")
        run("dpkg-deb", "-e", ours, f"{v.mnt}/unpacked/DEBIAN", cwd=v.mnt)
        check(run("md5sum", "-c", "--quiet", "DEBIAN/md5sums", cwd=f"{v.mnt}/unpacked").returncode == 0, "its files have their sums")
        st = os.stat(f"{v.mnt}/unpacked/usr/share/probe/same-as-1")
        check(st.st_nlink == 2 and st.st_ino == os.stat(f"{v.mnt}/unpacked/usr/share/probe/file-1").st_ino, "hard links are hard links")
        for made in pathlib.Path(v.mnt).glob("*.dsc"):
            run("dpkg-source", "-x", "--no-check", str(made), "again", cwd=v.mnt)
        check({name: seen for name, seen in tree(f"{v.mnt}/holdfast-probe-1.2").items() if name.endswith(".c") or name in SOURCE}.items() <= tree(f"{v.mnt}/again").items(),
              "the source package unpacks to the same source")
    v.check()
    print(f"Debian package: {time.monotonic() - began:.0f} s")
    v.tidy()


git()
debian()
finish()
