#!/usr/bin/env python3
from book import *
import sqlite3, struct, zlib
from bed import *

row("L1", "private conversations, photos, music, notes, calendars, contacts, financial information, health data, even where we have been")
v = Sample(fill=False, more=("--profile", "personal"))
v.open()
png = b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in
                                      ((b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)), (b"tEXt", b"Comment\0" + MARK), (b"IDAT", zlib.compress(bytes(8 * 25))), (b"IEND", b"")))
FILES = {"Photos/beach.png": png, "Music/song.mp3": b"ID3" + MARK * 90, "Calendars/home.ics": b"BEGIN:VCALENDAR\r\nSUMMARY:" + MARK, "Contacts/Anna.vcf": b"BEGIN:VCARD\r\nFN:Anna\r\nNOTE:" + MARK,
         "Location/walk.gpx": b"<gpx>" + MARK + b"</gpx>"}


def write_all(root):
    for name in {os.path.dirname(n) for n in FILES} | {"Conversations", "Notes", "Finance", "Health"}:
        os.makedirs(os.path.join(root, name), exist_ok=True)
    for name, data in FILES.items():
        put(os.path.join(root, name), data)
    mail = b"From: anna@example.org\nTo: me@example.org\nSubject: hello\n\n" + MARK + b"\n"
    for part in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(root, "Conversations/Maildir", part), exist_ok=True)
    mda = shutil.copyfile(shutil.which("procmail"), os.path.join(v.work, "procmail"))
    os.chmod(mda, 0o755)  # without its set-group-id bit: the kernel keeps other groups out of a mount without --allow-other
    done = subprocess.run([mda, "-p", "-m", f"DEFAULT={root}/Conversations/Maildir/", os.devnull], input=mail, env={"PATH": "/usr/bin:/bin", "HOME": v.work}, capture_output=True)
    check(done.returncode == 0, f"procmail delivers: {done.stderr[:200]}")
    git = ["git", "-C", f"{root}/Notes", "-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "core.compression=0"]
    put(f"{root}/Notes/secret.md", MARK)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "notes"]):
        check(subprocess.run([*git, *words], env={"PATH": "/usr/bin:/bin", "HOME": v.work}, capture_output=True).returncode == 0, f"git {words[0]}")
    for path, table in (("Finance/accounts.db", "accounts"), ("Health/pulse.db", "pulse")):
        db = sqlite3.connect(f"{root}/{path}")
        db.execute("pragma journal_mode=wal")
        db.execute(f"create table {table} (at integer, note text)")
        db.executemany(f"insert into {table} values (?, ?)", ((i, MARK.decode()) for i in range(200)))
        db.commit()
        db.close()


def sound(root):
    """What the programs that made it say of it now."""
    bad = [name for name, data in FILES.items() if get(os.path.join(root, name)) != data]
    bad += [] if any(MARK in get(os.path.join(root, "Conversations/Maildir/new", n)) for n in os.listdir(os.path.join(root, "Conversations/Maildir/new"))) else ["mail"]
    bad += [] if subprocess.run(["git", "-C", f"{root}/Notes", "fsck"], env={"PATH": "/usr/bin:/bin", "HOME": v.work}, capture_output=True).returncode == 0 else ["git"]
    for path in ("Finance/accounts.db", "Health/pulse.db"):
        db = sqlite3.connect(f"{root}/{path}")
        bad += [] if db.execute("pragma integrity_check").fetchone()[0] == "ok" else [path]
        db.close()
    return bad


with attack("the nine kinds, written by procmail, git, SQLite and as plain files into the personal profile: looked for on the disk") as a:
    plain = tempfile.mkdtemp(dir=v.work)
    write_all(plain)
    a.works(traces_in(plain) and not sound(plain), "in a plain folder the search finds them, and they are sound")
    write_all(v.mnt)
    v.close()
    v.open()
    damaged = sound(v.mnt)
    a.works(not damaged, f"in the vault, after a close: sound for the same programs ({damaged or 'all'})")
    v.close()
    found = traces_in(v.vault)
    a.came_out(found, f"on the vault's disk: {sorted(found) or 'nothing'}")

with attack("root reads the folders while locked: messages, notes, finance, health (complete), photos and places (unless-open)") as a:
    v.open()
    closed = ("Conversations", "Notes", "Finance", "Health", "Photos", "Location")

    def readable():
        got = []
        for name in closed:
            for base, _, names in os.walk(v.path(name)):
                for n in names:
                    try:
                        got += [name] if MARK in get(os.path.join(base, n)) else []
                    except OSError:
                        pass
        return sorted(set(got))
    a.works(len(readable()) == 6, f"unlocked it reads {', '.join(readable())}")
    v.lock()
    a.came_out(readable(), f"locked: {readable() or 'none'}")

with attack("reads calendars, contacts and music while locked (class after-unlock, for reminders, calls and players)", admitted=True) as a:
    got = [n for n in FILES if n.split("/")[0] in ("Calendars", "Contacts", "Music") and MARK in get(v.path(n))]
    a.came_out(got, f"read: {', '.join(sorted(got)) or 'none'}")

with attack("reads the marked folders with a program that has no consent") as a:
    a.not_built("consent vault list")
v.clean()
close()
