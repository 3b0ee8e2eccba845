#!/usr/bin/env python3
"""SQLite and PostgreSQL on a real mount, killed with SIGKILL while they commit, then started again: what they said was committed is there, balances agree, every page is
sound, before and after the vault was closed. databases.py BUILD (HF_LONG=1: pgbench for five minutes, more kills)"""
import os, pathlib, pwd, re, signal, sqlite3, subprocess, sys, tempfile, time

from vaultkit import Vault, check, finish

BUILD = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
ROOT = os.geteuid() == 0
SQLITE_WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA synchronous=FULL")
n = db.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
while True:
    n += 1
    db.execute("BEGIN")
    db.execute("INSERT INTO t VALUES (?, ?)", (n, str(n) * 200))
    db.execute("UPDATE sums SET total = total + ?, rows = rows + 1", (n,))
    db.execute("DELETE FROM t WHERE n % 7 = 0 AND n > 0 AND n < ? - 50 AND n % 2 = 0", (n,))
    db.execute("COMMIT")
    print(n, flush=True)
"""


def wait_for(seconds, fn, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if fn():
            return True
        time.sleep(0.05)
    return check(False, f"in time: {what}")


# --- SQLite ---

def sqlite_killed(path, script, said_path):
    """One writer, killed in the middle; the number of the last transaction that it said was committed."""
    with open(said_path, "wb") as said:
        writer = subprocess.Popen([sys.executable, script, path], stdout=said)
    wait_for(120, lambda: os.path.getsize(said_path) > 300 or writer.poll() is not None, "SQLite commits")
    check(writer.poll() is None, "SQLite's writer was at work when it was killed")
    writer.kill()
    writer.wait()
    whole = pathlib.Path(said_path).read_text().rpartition("\n")[0]
    return int(whole.split()[-1]) if whole else 0


def sqlite_sound(path, last, what):
    db = sqlite3.connect(path)
    check(db.execute("PRAGMA integrity_check").fetchone() == ("ok",), f"{what}: integrity_check")
    top, = db.execute("SELECT max(n) FROM t").fetchone()
    total, rows = db.execute("SELECT total, rows FROM sums").fetchone()
    check(top in (last, last + 1), f"{what}: the last committed transaction is {last}, in the database {top}")
    check((total, rows) == (top * (top + 1) // 2, top), f"{what}: the sums agree with transaction {top}: {total}, {rows}")
    check(all(text == str(n) * 200 for n, text in db.execute("SELECT n, s FROM t")), f"{what}: each row is what was written")
    db.close()


def sqlite():
    v = Vault(BUILD)
    v.open()
    script = os.path.join(v.plain, "writer.py")
    pathlib.Path(script).write_text(SQLITE_WRITER)
    commits = 0
    for mode in ("DELETE", "WAL", "TRUNCATE", "PERSIST")[: 4 if LONG else 2]:
        path = f"{v.mnt}/{mode}.db"
        db = sqlite3.connect(path)
        check(db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0].upper() == mode, f"journal mode {mode}")
        db.executescript("CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT); CREATE INDEX i ON t (s); CREATE TABLE sums (total, rows); INSERT INTO sums VALUES (0, 0);")
        db.commit()
        db.close()
        for n in range(20 if LONG else 2):
            last = sqlite_killed(path, script, os.path.join(v.plain, f"{mode}.{n}"))
            if n % 2:
                v.close()
                v.open(*(("--for", "databases") if n % 4 == 1 else ()))
            sqlite_sound(path, last, f"SQLite {mode}, kill {n + 1}")
        commits += last
    v.check()
    print(f"SQLite: {commits} transactions, killed {(20 if LONG else 2)} times in each journal mode")
    v.tidy()


# --- PostgreSQL ---

def postgres_programs():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return str(found[-1].parent) if found else None


class Postgres:
    """A cluster in a folder, its socket in another one; run as `postgres` where the test is root, whom PostgreSQL refuses."""

    def __init__(self, bin_dir, data, sockets):
        self.bin, self.data, self.sockets = bin_dir, data, sockets
        self.as_user = ["runuser", "-u", "postgres", "--"] if ROOT else []
        self.env = dict(os.environ, PGHOST=sockets, PGDATABASE="postgres", PGUSER="bench", LC_ALL="C", HOME="/tmp")

    def command(self, *words):
        return [*self.as_user, f"{self.bin}/{words[0]}" if os.path.exists(f"{self.bin}/{words[0]}") else words[0], *words[1:]]

    def run(self, *words, timeout=300, want=0):
        r = subprocess.run(self.command(*words), env=self.env, capture_output=True, text=True, timeout=timeout, cwd="/")
        if want is not None and r.returncode != want:
            raise RuntimeError(f"{words}: exit {r.returncode}: {r.stdout[-500:]}{r.stderr[-1500:]}")
        return r

    def start(self):
        try:
            self.start_once()
        except RuntimeError as e:
            raise RuntimeError(f"{e}\n{pathlib.Path(self.sockets, 'log').read_text()[-2000:]}") from None

    def start_once(self):
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "250", "-l", f"{self.sockets}/log", "-o", f"-k {self.sockets} -c listen_addresses=''", "start")

    def processes(self):
        """The postmaster first, then its children."""
        try:
            master = int(pathlib.Path(self.data, "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return []
        found = [master]
        for entry in os.listdir("/proc"):
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text() if entry.isdigit() else ""
            except OSError:
                continue
            if stat and int(stat[stat.rindex(")") + 2:].split()[1]) == master:
                found.append(int(entry))
        return found

    def kill(self):
        killed = self.processes()
        for pid in killed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(60, lambda: not any(os.path.exists(f"/proc/{pid}") for pid in killed), "PostgreSQL is dead and init has taken notice")

    def ask(self, sql):
        return self.run("psql", "-XAtqc", sql).stdout.strip()

    def count(self):
        return int(self.ask("SELECT count(*) FROM pgbench_history"))

    def sound(self, at_least, at_most, what):
        sums = [self.ask(f"SELECT coalesce(sum({column}), 0) FROM {table}") for table, column in
                (("pgbench_accounts", "abalance"), ("pgbench_tellers", "tbalance"), ("pgbench_branches", "bbalance"), ("pgbench_history", "delta"))]
        check(len(set(sums)) == 1, f"{what}: the balances agree: {sums}")
        rows = self.count()
        check(at_least <= rows <= at_most, f"{what}: {at_least} transactions were committed, at most {at_most}; in the database {rows}")
        r = self.run("pg_amcheck", "--install-missing", "--heapallindexed", "-j", "2", "postgres", want=None)
        check(r.returncode == 0, f"{what}: pg_amcheck: {r.stdout[-400:]}{r.stderr[-400:]}")
        r = self.run("pg_dump", "-f", "/dev/null", "postgres", want=None)
        check(r.returncode == 0, f"{what}: pg_dump: {r.stderr[-400:]}")
        return rows

    def stopped_and_sound(self, what):
        self.run("pg_ctl", "-D", self.data, "-w", "-t", "250", "-m", "fast", "stop")
        r = self.run("pg_checksums", "--check", "-D", self.data, want=None)
        check(r.returncode == 0 and re.search(r"Bad checksums: +0\b", r.stdout), f"{what}: pg_checksums: {r.stdout[-300:]}{r.stderr[-300:]}")


def bench(pg, seconds, clients, cut):
    """pgbench, the database killed in its middle when cut; (committed at least, at most)."""
    before = pg.count()
    run = subprocess.Popen(pg.command("pgbench", "-c", str(clients), "-j", "2", "-T", str(seconds), "-n"), env=pg.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")
    if cut:
        time.sleep(seconds / 2)
        wait_for(120, lambda: run.poll() is not None or pg.count() > before + 20, "pgbench commits")
        check(run.poll() is None, "pgbench was at work when the database was killed")
        pg.kill()
    out = run.communicate(timeout=seconds + 300)[0]
    done = re.search(r"number of transactions actually processed: (\d+)", out)
    check(done is not None and (cut or run.returncode == 0), f"pgbench: {out[-600:]}")
    done = int(done[1]) if done else 0
    return before + done, before + done + (clients if cut else 0)


def postgres():
    bin_dir = postgres_programs()
    v = Vault(BUILD)
    sharing = ("--allow-other",) if ROOT else ()
    v.open(*sharing)
    data, sockets = f"{v.mnt}/pg", tempfile.mkdtemp(prefix="hf-pg-")  # not in v.work: a socket's path may have 107 bytes
    os.mkdir(data, 0o700)
    if ROOT:
        owner = pwd.getpwnam("postgres")
        os.chmod(v.work, 0o711)
        os.chmod(v.mnt, 0o755)
        for folder in (data, sockets):
            os.chown(folder, owner.pw_uid, owner.pw_gid)
    pg = Postgres(bin_dir, data, sockets)
    try:
        pg.run("initdb", "-D", data, "-U", "bench", "-A", "trust", "-k", "--no-instructions", "-E", "UTF8", "--locale=C")
        pg.start()
        pg.run("pgbench", "-i", "-q", "-s", "10" if LONG else "2")
        total, kills, began = 0, 4 if LONG else 2, time.monotonic()
        for n in range(kills):
            least, most = bench(pg, 75 if LONG else 6, 8 if LONG else 4, cut=True)
            if n % 2:  # what it starts from comes from the disk
                v.close()
                v.open(*sharing, *(("--for", "databases") if n % 4 == 1 else ()))
            pg.start()
            total = pg.sound(least, most, f"PostgreSQL, kill {n + 1}")
        pg.sound(*bench(pg, 2, 4, cut=False), "PostgreSQL, after the last")
        pg.stopped_and_sound("PostgreSQL")
        v.check()
        print(f"PostgreSQL: {total} transactions, killed {kills} times within {time.monotonic() - began:.0f} s")
    finally:
        pg.kill()
        v.tidy()
        subprocess.run(["rm", "-rf", sockets])


sqlite()
postgres()
finish()
