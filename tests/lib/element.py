"""For tests: a real swtpm, a recording relay before it, and holdfast-element as a process on its socketpair."""
import atexit, json, os, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time

HELLO, PROVISION, RELEASE, DEVICE, PREPARE, COMMIT, GENERATION, STATUS, ERASE, FRESH, DECOY, HEAD, REFRESH = range(0x0401, 0x040E)
OK, FAILED, USAGE, WRONG, DELAYED, GONE, LOCKED, DAMAGED, REFUSED, UNREACHABLE = range(10)
NO_SPACE, BUSY, PROTOCOL, UNSUPPORTED = 12, 15, 16, 18
AUTO, SOFTWARE, TPM2 = 0, 1, 2
EMPTY, ACTIVE, FINISHED, ERASED = range(4)
WHOLE = 5  # NV indices of a vault: C, G, H, P, Q
NO_SECOND = bytes(32)  # Q's authorisation where a test has no use for it
passed = failed = skipped = 0


def check(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("FAILED:", what, flush=True)
    return good


def skip(what):
    global skipped
    skipped += 1
    print("skipped:", what, flush=True)


def close():
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    raise SystemExit(failed != 0)


def run_parts(parts, work):
    """The parts, or those that the command line names, each with its time; then the folder goes and the verdicts are told."""
    try:
        for part in parts:
            if len(sys.argv) > 2 and part.__name__ not in sys.argv[2:]:
                continue
            began = time.monotonic()
            part()
            print(f"  {part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    close()


class Swtpm:
    """One emulated TPM with its own state; stopped by its process id."""

    @staticmethod
    def certified(folder):
        """The state of a TPM with an EK certificate of a test authority of its own; returns (state, PEM of root and issuer)."""
        state, authority = os.path.join(folder, "state"), os.path.join(folder, "authority")
        os.makedirs(state)
        os.makedirs(authority)
        files = {"localca.conf": f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\nissuercert = {authority}/issuercert.pem\ncertserial = {authority}/certserial\n",
                 "options": "--platform-manufacturer Test\n--platform-version 1\n--platform-model Test\n",
                 "setup.conf": f"create_certs_tool=/usr/bin/swtpm_localca\ncreate_certs_tool_config={folder}/localca.conf\ncreate_certs_tool_options={folder}/options\n"}
        for name, text in files.items():
            open(os.path.join(folder, name), "w").write(text)
        done = subprocess.run(["swtpm_setup", "--tpm2", "--tpmstate", state, "--create-ek-cert", "--config", os.path.join(folder, "setup.conf"), "--overwrite"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": "/usr/bin:/bin", "HOME": folder})
        if done.returncode:
            raise RuntimeError(done.stdout.decode())
        return state, "".join(open(os.path.join(authority, name)).read() for name in ("swtpm-localca-rootca-cert.pem", "issuercert.pem"))

    def __init__(self, state=None):
        self.folder = tempfile.mkdtemp(prefix="hf-tpm.")
        self.state = state or os.path.join(self.folder, "state")
        os.makedirs(self.state, exist_ok=True)
        self.path = os.path.join(self.folder, "s")
        self.process = None
        atexit.register(self.close)  # however the test ends
        self.start()

    def start(self):
        for leftover in (self.path, self.path + ".ctrl"):
            if os.path.exists(leftover):
                os.unlink(leftover)
        self.process = subprocess.Popen(["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", "--server", f"type=unixio,path={self.path}",
                                         "--ctrl", f"type=unixio,path={self.path}.ctrl", "--flags", "startup-clear"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            if os.path.exists(self.path) and os.path.exists(self.path + ".ctrl"):
                return
            time.sleep(0.01)
        raise RuntimeError("swtpm does not start")

    def stop(self, number=signal.SIGTERM):
        if self.process:
            self.process.send_signal(number)
            self.process.wait(10)
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    @property
    def tcti(self):
        return f"swtpm:path={self.path}"

    def tool(self, *words, data=None, cwd=None):
        """A tpm2-tools command; returns (exit status, output)."""
        done = subprocess.run(list(words), input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd or self.folder,
                              env={"PATH": "/usr/bin:/bin:/usr/sbin", "TPM2TOOLS_TCTI": self.tcti, "TSS2_LOG": "all+NO_SECOND", "HOME": self.folder}, timeout=60)
        return done.returncode, done.stdout.decode(errors="replace")

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Relay:
    """Stands between element and TPM on a socket of its own: records everything; `answer(command)` may reply in the TPM's place,
    `change(reply)` make another reply of the TPM's."""

    change = None

    def __init__(self, tpm, answer=None):
        self.folder = tempfile.mkdtemp(prefix="hf-bus.")
        self.path = os.path.join(self.folder, "s")
        self.tpm, self.answer, self.log = tpm, answer, bytearray()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(8)
        threading.Thread(target=self.serve, daemon=True).start()

    @property
    def tcti(self):
        return f"swtpm:path={self.path}"

    @staticmethod
    def message(end):
        data = b""
        while len(data) < 10 or len(data) < struct.unpack(">I", data[2:6])[0]:
            more = end.recv(4096)
            if not more:
                return None
            data += more
        return data

    def serve(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                with near, socket.socket(socket.AF_UNIX) as far:
                    far.connect(self.tpm.path)
                    while True:
                        command = self.message(near)
                        if command is None:
                            break
                        self.log += command
                        reply = self.answer(command) if self.answer else None
                        if reply is None:
                            far.sendall(command)
                            reply = self.message(far)
                            if reply is None:
                                break
                        if self.change:
                            reply = self.change(reply)
                        self.log += reply
                        near.sendall(reply)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def command_code(command):
    return struct.unpack(">I", command[6:10])[0]


def refusal(code):
    return struct.pack(">HII", 0x8001, 10, code)


KEEP = 0x10000


def policy(attempts, delays=(), generation=0, trusted=False, measure=0):
    return struct.pack("<II", attempts, len(delays)) + b"".join(struct.pack("<I", d) for d in delays) + struct.pack("<QBI", generation, trusted, measure)


def parse_status(body):
    kind, state, hardware, n = struct.unpack_from("<IBBH", body)
    vendor = body[8:8 + n].decode()
    failed, limit, retry, erases, generation, slot, since, m = struct.unpack_from("<IIIBQIIH", body, 8 + n)
    at = 8 + n + struct.calcsize("<IIIBQIIH")
    return {"kind": kind, "state": state, "hardware": hardware, "vendor": vendor, "failed": failed, "limit": limit, "retry": retry, "generation": generation,
            "slot": slot, "since": since, "public": json.loads(body[at:at + m].decode()), **dict(zip(("fit", "predicted", "pcrs", "untouched", "head_counted", "head", "stale", "pace"), struct.unpack_from("<BBIIBQBI", body, at + m)))}


def values(pcrs):
    """PCRs with their values, as src/format/measure.h has them."""
    return struct.pack("<H", sum(1 << n for n in pcrs)) + b"".join(pcrs[n] for n in sorted(pcrs))


class Element:
    """holdfast-element, spoken to as the enclave does."""

    def __init__(self, build, state, vault, tcti, blob=b"", kind=TPM2):
        self.program = os.path.join(os.path.abspath(build), "src", "holdfast-element")
        self.state, self.vault, self.tcti, self.blob, self.kind = state, vault, tcti, blob, kind
        self.process, self.text = None, ""
        self.start()

    def start(self):
        self.end, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        env = {"PATH": "/usr/bin:/bin", "XDG_STATE_HOME": self.state, "HOME": self.state}
        env |= {name: value for name, value in os.environ.items() if name.startswith("HF_TEST_")}
        self.process = subprocess.Popen([self.program], env=env, preexec_fn=lambda: os.dup2(child.fileno(), 3, inheritable=True), pass_fds=(3,),
                                        stdin=subprocess.DEVNULL)
        child.close()
        self.end.settimeout(40)

    def ask(self, kind, body=b""):
        self.end.send(struct.pack("<H", kind) + body)
        answer = self.end.recv(65536)
        if len(answer) < 6:
            raise ConnectionError("closed")
        tag, result, length = struct.unpack_from("<HHH", answer)
        assert tag == 1
        self.text = answer[6:6 + length].decode(errors="replace")
        return result, answer[6 + length:]

    def hello(self, creating=False, blob=None):
        tcti = self.tcti.encode()
        blob = self.blob if blob is None else blob
        body = self.vault + struct.pack("<IH", self.kind, len(tcti)) + tcti + struct.pack("<BH", creating, len(blob)) + blob
        return self.ask(HELLO, body)[0]

    def provision(self, auth, limits, fresh=False, second=NO_SECOND):
        extra = struct.pack("<IH", self.kind, len(self.tcti.encode())) + self.tcti.encode() if fresh else b""
        result, body = self.ask(FRESH if fresh else PROVISION, auth + second + limits + extra)
        if result != OK:
            return result, None, None
        self.blob = body[70:70 + struct.unpack_from("<H", body, 68)[0]]
        return result, body[4:36], body[36:68]

    def release(self, auth, second=None):
        """self.duress then says whether Q took it."""
        result, body = self.ask(RELEASE, auth + (second or os.urandom(32)))
        self.duress = result != OK and body[-1:] == b"\1"
        return (OK, body) if result == OK else (result, None)

    def decoy(self):
        result, body = self.ask(DECOY)
        return (result, body[70:70 + struct.unpack_from("<H", body, 68)[0]]) if result == OK else (result, None)

    def refresh(self, second):
        """(result, Q is stale still)"""
        result, body = self.ask(REFRESH, second)
        return result, body == b"\1" if result == OK else None

    def head(self, value, anew=False):
        result, body = self.ask(HEAD, struct.pack("<BQ", anew, value))
        return (OK, struct.unpack("<Q", body)[0]) if result == OK else (result, None)

    def prepare(self, auth, how=0, measure=KEEP, predicted=None, second=NO_SECOND):
        """Returns (result, slot, S', blob'). The blob is not taken: that is the keybag's rename."""
        result, body = self.ask(PREPARE, auth + second + struct.pack("<BI", how, measure) + values(predicted or {}))
        if result != OK:
            return result, None, None, None
        return result, struct.unpack_from("<I", body)[0], body[4:36], body[38:38 + struct.unpack_from("<H", body, 36)[0]]

    def commit(self, slot):
        return self.ask(COMMIT, struct.pack("<I", slot))[0]

    def step(self, value):
        return self.ask(GENERATION, struct.pack("<BQ", 1, value))[0]

    def status(self):
        result, body = self.ask(STATUS)
        return parse_status(body) if result == OK else {"error": result}

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.end.close()

    def close(self):
        self.end.close()
        self.process.wait(10)

    def again(self, blob=None):
        """A new process for the same vault."""
        if blob is not None:
            self.blob = blob
        self.close()
        self.start()
        return self.hello()


class Cutter:
    """Cuts the power at the n-th command from now: kills the element, or element and TPM."""

    def __init__(self, tpm):
        self.tpm, self.element, self.left, self.both, self.hit = tpm, None, 0, False, False

    def __call__(self, command):
        if self.left <= 0:
            return None
        self.left -= 1
        if self.left > 0:
            return None
        self.hit = True
        self.element.process.send_signal(signal.SIGKILL)
        if self.both:
            self.tpm.process.send_signal(signal.SIGKILL)
        raise OSError("cut")

    def arm(self, element, at, both):
        self.element, self.left, self.both, self.hit = element, at, both, False

    def power_on(self):
        """After a cut: the TPM stands again when it fell too; the element's next process is the caller's to start."""
        self.left = 0
        self.element.process.wait(10)
        self.element.end.close()
        if self.both:
            self.tpm.process.wait(10)
            self.tpm.process = None
            self.tpm.start()


def fresh(build, folder, tpm, limits, tcti=None):
    """An element provisioned for a vault of its own: the element, its right passcode half, S and D. Its state lies in folder."""
    e = Element(build, tempfile.mkdtemp(dir=folder), os.urandom(16), tcti or tpm.tcti)
    right = os.urandom(32)
    check(e.hello(True) == OK, f"hello: {e.text}")
    result, secret, device = e.provision(right, limits)
    check(result == OK, f"provision: {result} {e.text}")
    return e, right, secret, device


def indices(tpm):
    """How many NV indices the TPM has."""
    return sum("0x" in line for line in tpm.tool("tpm2_getcap", "handles-nv-index")[1].splitlines())
