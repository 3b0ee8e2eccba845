#!/usr/bin/env python3
from book import *
import socket, threading
from bed import *

row("L3", "we have even put that data out of our own reach")


def life():
    """create, open, write, lock, wrong and right unlock, rotate, status, check, passcode, close, recover --test, erase."""
    v = Sample()
    v.open()
    v.lock()
    v.unlock(wrong(1), want=3)
    v.unlock()
    v.must("rotate", v.vault, timeout=120)
    v.status()
    v.must("check", v.vault)
    v.close()
    v.must("passcode", v.vault, "--passcode-fd", "0", "--new-passcode-fd", "0", given=PASS + "\n" + OTHER)
    v.must("recover", v.vault, "--test", "--recovery-file", v.phrase)
    v.must("erase", v.vault, "--yes")
    v.clean()


with attack("a vault's whole life in a network namespace where every packet to anywhere is caught: does anything call home?") as a:
    a.needs(root(), "needs root")
    libc.unshare(0x40000000)  # CLONE_NEWNET
    for words in ("link set lo up", "route add default dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.settimeout(0.3)
    packets, stop = [], threading.Event()

    def listen():
        while not stop.is_set():
            try:
                packets.append(wire.recv(2000))
            except OSError:
                pass

    catcher = threading.Thread(target=listen)
    catcher.start()
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"telemetry", ("192.0.2.1", 53))
    a.works(within(5, lambda: any(b"telemetry" in p for p in packets)), "a packet that this test sends to 192.0.2.1 is caught")
    time.sleep(0.2)
    packets.clear()
    life()
    time.sleep(0.2)
    stop.set()
    catcher.join()
    a.came_out(packets, f"packets sent by twelve verbs and all programs: {len(packets)}")

with attack("looks for a name or address to call, or a key to escrow to, in the programs") as a:
    import re
    pattern = re.compile(rb"https?://[a-z0-9.-]+\.[a-z]{2,}|BEGIN (?:PUBLIC KEY|CERTIFICATE|RSA|EC)|getaddrinfo|res_query|curl_easy")
    programs = [os.path.join(BUILD, "src", n) for n in ("holdfast", "holdfast-super", "holdfast-enclave", "holdfast-element", "holdfast-fs")]
    curl = next((p for p in ("/usr/bin/git", "/usr/bin/apt-get", "/usr/bin/ssh", "/usr/bin/curl") if os.path.exists(p)), sys.executable)
    a.works(pattern.search(get(os.path.realpath(curl))) or pattern.search(get(sys.executable)), "the search finds such in other programs of this machine")

    def imports(path):
        return subprocess.run(["nm", "-D", "--undefined-only", path], capture_output=True, text=True).stdout

    found = {os.path.basename(p): sorted({m.group().decode() for m in pattern.finditer(get(p))}) for p in programs}
    found = {p: what for p, what in found.items() if what}
    calls = {os.path.basename(p): [c for c in ("getaddrinfo", "gethostbyname", "inet_pton", "inet_addr") if f" {c}" in imports(p)] for p in programs}
    a.came_out(any(found.values()) or any(calls.values()), f"addresses, public keys, certificates, name look-ups: {found or 'none'}{'' if not any(calls.values()) else calls}")

with attack("asks the backup's store for what the maker could read") as a:
    a.not_built("backup run store")
close()
