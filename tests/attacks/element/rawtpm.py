"""TPM commands by hand, for what tpm2-tools cannot say: sessions bound to an NV index (TPM 2.0 Library Part 1, 19.6; Part 3)."""
import hashlib, hmac, os, socket, struct

NULL = 0x40000007


def tpm2b(data):
    return struct.pack(">H", len(data)) + data


class Raw:
    def __init__(self, path):
        self.end = socket.socket(socket.AF_UNIX)
        self.end.connect(path)

    def send(self, tag, code, body):
        self.end.sendall(struct.pack(">HII", tag, 10 + len(body), code) + body)
        data = b""
        while len(data) < 10 or len(data) < struct.unpack(">I", data[2:6])[0]:
            data += self.end.recv(4096)
        return struct.unpack(">I", data[6:10])[0], data[10:]

    def session(self, kind, bind=NULL):
        """StartAuthSession, unsalted: (handle, nonceTPM, nonceCaller)."""
        nonce = os.urandom(32)
        code, body = self.send(0x8001, 0x176, struct.pack(">II", NULL, bind) + tpm2b(nonce) + tpm2b(b"") + struct.pack(">BHH", kind, 0x10, 0x0B))
        if code:
            raise PermissionError(code)
        (length,) = struct.unpack(">H", body[4:6])
        return struct.unpack(">I", body[:4])[0], body[6:6 + length], nonce

    def flush(self, handle):
        self.send(0x8001, 0x165, struct.pack(">I", handle))

    def authorised(self, code, handles, names, parameters, session, key):
        """A command whose one authorisation is an HMAC of the session."""
        handle, nonce_tpm, _ = session
        nonce, attributes = os.urandom(32), b"\x01"
        command = hashlib.sha256(struct.pack(">I", code) + names + parameters).digest()
        proof = hmac.new(key, command + nonce + nonce_tpm + attributes, hashlib.sha256).digest()
        area = struct.pack(">I", handle) + tpm2b(nonce) + attributes + tpm2b(proof)
        return self.send(0x8002, code, handles + struct.pack(">I", len(area)) + area + parameters)[0]

    def close(self):
        self.end.close()


def session_key(auth, nonce_tpm, nonce_caller):
    """KDFa(SHA-256, auth, "ATH", nonceTPM, nonceCaller, 256)."""
    return hmac.new(auth, struct.pack(">I", 1) + b"ATH\0" + nonce_tpm + nonce_caller + struct.pack(">I", 256), hashlib.sha256).digest()


def bound_guess(path, index, name, auth, command):
    """A guess at an index's authorisation through a session that is bound to it; returns the TPM's answer. command: "secret" or "read"."""
    raw = Raw(path)
    try:
        bound = raw.session(0, index)
    except PermissionError as refused:
        raw.close()
        return refused.args[0]
    policy = raw.session(1)
    key = session_key(auth, bound[1], bound[2])
    handle = struct.pack(">I", index)
    if command == "secret":
        answer = raw.authorised(0x151, handle + struct.pack(">I", policy[0]), name + struct.pack(">I", policy[0]),
                                tpm2b(b"") + tpm2b(b"") + tpm2b(b"") + bytes(4), bound, key)
    else:
        answer = raw.authorised(0x14E, handle + handle, name + name, struct.pack(">HH", 8, 0), bound, key)
    raw.flush(bound[0])
    raw.flush(policy[0])
    raw.close()
    return answer
