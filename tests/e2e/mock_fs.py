#!/usr/bin/env python3
"""Stands in for holdfast-fs in tests of the supervisor: answers proto/mount.h, writes each request to mock.log beside it, and behaves as the files
beside it say: `deaf` (answers nothing), `refuse` (answers LOCK with a failure), `busy` (some files are open). CHECK and ROTATE last until STOP or `done`."""
import os, select, socket, struct, sys, time

here = os.path.dirname(os.path.abspath(sys.argv[0]))
control, keys = socket.socket(fileno=3), socket.socket(fileno=4)
START, LOCK, UNLOCK, SETTLE, STATUS, CHECK, ROTATE, CLOSE, STOP, FINDING = 0x501, 0x502, 0x503, 0x504, 0x505, 0x506, 0x507, 0x508, 0x509, 0x580


def is_set(name):
    return os.path.exists(os.path.join(here, name))


def log(*words):
    with open(os.path.join(here, "mock.log"), "a") as out:
        print(*words, file=out)


def available():
    keys.send(struct.pack("<H", 0x301))
    answer = keys.recv(65536)
    (n,) = struct.unpack_from("<H", answer, 4)
    return struct.unpack_from("<I", answer, 6 + n + 16)[0]


def answer(result=0, body=b""):
    control.send(struct.pack("<HHH", 1, result, 0) + body)


def work(kind, body):
    """Findings until STOP comes or the file `done` is there."""
    n = 0
    while not is_set("done"):
        if kind == CHECK:
            path = b"/file%d" % n + b"x" * 2000
            control.send(struct.pack("<HBH", FINDING, 1, len(path)) + path + struct.pack("<H", 4) + b"what")
            n += 1
        if select.select([control], [], [], 0 if kind == CHECK and is_set("flood") else 0.05)[0]:
            got = control.recv(65536)
            assert got[:2] == struct.pack("<H", STOP), got[:2]
            log("STOP")
            answer(15)
            return
    answer(0, struct.pack("<QQ", 7, 0) if kind == CHECK else struct.pack("<Q", 7))


while True:
    message = control.recv(65536)
    if not message:
        sys.exit()
    (kind,) = struct.unpack_from("<H", message)
    while is_set("deaf"):
        time.sleep(0.05)
    if kind == LOCK:
        mask, phase = struct.unpack_from("<IB", message, 2)
        log("LOCK", mask, phase, available() if phase == 2 else "-")
        answer(1 if is_set("refuse") else 0)
    elif kind == STATUS:
        answer(0, struct.pack("<IIIQQ", is_set("busy"), 3, 7, 0, 0))
    elif kind in (CHECK, ROTATE):
        log("CHECK" if kind == CHECK else "ROTATE")
        work(kind, message[2:])
    elif kind == STOP:
        log("STOP late")
    elif kind in (START, UNLOCK, SETTLE, CLOSE):
        log({START: "START", UNLOCK: "UNLOCK", SETTLE: "SETTLE", CLOSE: "CLOSE"}[kind])
        answer()
    else:
        answer(16)
