"""The attacker's own tool: opens a vault's key files without any program of Holdfast, from a copy of the disk. Written from src/format/keybag.h, src/crypto/kdf.h and
src/element/record.c alone, over libargon2 and libsodium. It knows no limit, no delay and no count; what it cannot open nobody opens without what it lacks."""
import ctypes, hashlib, os, struct

argon2 = ctypes.CDLL("libargon2.so.1")
sodium = ctypes.CDLL("libsodium.so.23")
KEK, DEVICE_KEY, SECTION, RECOVERY_SEED, RECOVERY_KEY, FILE_WRAP, FILE_COMMIT, SOFT_ELEMENT = 1, 2, 4, 5, 6, 7, 9, 20
CLASSES = {1: "complete", 2: "unless-open", 3: "after-unlock", 4: "always"}


def kdf(context, key, info, length=64):
    return hashlib.blake2b(info, digest_size=length, key=key, salt=struct.pack("<H", context) + bytes(14), person=b"holdfast-kdf-v1\0").digest()


def open_sealed(derived, aad, sealed):
    """A committed message (src/crypto/committed.h) under its 64 derived bytes; None when it is not of this key."""
    if sealed[-32:] != derived[32:]:
        return None
    plain = ctypes.create_string_buffer(len(sealed))
    length = ctypes.c_ulonglong()
    body = sealed[24:-32]
    bad = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(plain, ctypes.byref(length), None, body, ctypes.c_ulonglong(len(body)), aad, ctypes.c_ulonglong(len(aad)), sealed[:24], derived[:32])
    return plain.raw[:length.value] if bad == 0 else None


def commits(context, key, sealed):
    """Whether key is the one that sealed this: the commitment tells, without decrypting."""
    return kdf(context, key, sealed[:24])[32:] == sealed[-32:]


class Policy:
    def __init__(self, data, at):
        self.attempts, count = struct.unpack_from("<II", data, at)
        self.delays = struct.unpack_from(f"<{count}I", data, at + 8)
        self.end = at + 8 + 4 * count + 16


class Keybag:
    def __init__(self, path):
        data = self.data = open(path, "rb").read()
        parts, at = [], 0
        for _ in range(4):
            (length,) = struct.unpack_from("<I", data, at)
            parts.append(data[at + 4:at + 4 + length])
            at += 4 + length
        self.header, self.device, self.user, self.recovery = parts
        h = self.header
        self.vault, (self.generation,), self.salt = h[12:28], struct.unpack_from("<Q", h, 28), h[36:68]
        self.cost = struct.unpack_from("<III", h, 68)
        self.policy = Policy(h, 80)

    def stretch(self, passcode):
        """Argon2id: A and B."""
        kib, passes, lanes = self.cost
        out = ctypes.create_string_buffer(64)
        if argon2.argon2id_hash_raw(passes, kib, lanes, passcode.encode(), ctypes.c_size_t(len(passcode.encode())), self.salt, ctypes.c_size_t(32), out, ctypes.c_size_t(64)):
            raise MemoryError("Argon2id")
        return out.raw[:32], out.raw[32:]

    def classes(self, plain):
        """{class name: key of its newest generation} of a section's plaintext."""
        keys = {}
        _, count = struct.unpack_from("<II", plain)
        for i in range(count):
            cls, _ = struct.unpack_from("<BI", plain, 8 + 69 * i)
            keys[CLASSES[cls]] = plain[8 + 69 * i + 5:8 + 69 * i + 37]
        return keys

    def with_kek(self, kek):
        plain = open_sealed(kdf(SECTION, kek, self.user[:24]), self.header, self.user)
        return plain and self.classes(plain)

    def with_secret(self, s, b):
        """S of the element and B of the passcode."""
        return self.with_kek(kdf(KEK, s, b + self.vault, 32))

    def with_device(self, d):
        plain = open_sealed(kdf(SECTION, kdf(DEVICE_KEY, d, self.vault, 32), self.device[:24]), self.header, self.device)
        return plain and self.classes(plain)

    def with_phrase(self, secret):
        """The 32 bytes of a recovery phrase."""
        if not self.recovery:
            return None
        scalar = kdf(RECOVERY_SEED, secret, self.vault, 32)
        public, shared = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
        sodium.crypto_scalarmult_base(public, scalar)
        box = self.recovery
        sodium.crypto_scalarmult(shared, scalar, box[:32])
        plain = open_sealed(kdf(RECOVERY_KEY, shared.raw, box[:32] + public.raw), self.header, box[32:])
        return plain and self.classes(plain)


class Record:
    """The software element's file."""

    def __init__(self, path):
        self.path = path
        data = self.data = bytearray(open(path, "rb").read())
        self.vault = bytes(data[8:24])
        self.at = Policy(data, 24).end
        at = self.at + 4 + 4 + 16 + 8 + 4 + 1 + 8
        self.device = bytes(data[at:at + 32])
        (self.slot,) = struct.unpack_from("<I", data, at + 32)
        self.wrap = bytes(data[at + 36 + 105 * self.slot + 1:at + 36 + 105 * (self.slot + 1)])

    @property
    def failed(self):
        return struct.unpack_from("<I", self.data, self.at)[0]

    def reset(self):
        """The count back to nothing, the delay gone; the checksum is no secret."""
        struct.pack_into("<II", self.data, self.at, 0, 0)
        struct.pack_into("<QI", self.data, self.at + 24, 0, 0)
        self.data[-32:] = hashlib.blake2b(bytes(self.data[:-32]), digest_size=32).digest()
        open(self.path, "wb").write(self.data)

    def release(self, a):
        return open_sealed(kdf(SOFT_ELEMENT, a, self.wrap[:24]), self.vault + struct.pack("<I", self.slot), self.wrap)


def record_of(state):
    """The one element record below a state directory, or None."""
    found = [os.path.join(base, "element") for base, _, names in os.walk(state) if "element" in names]
    return Record(found[0]) if found else None


def guess(bag, record, passcode):
    """One guess with everything that a copied disk has: the class keys, or None."""
    a, b = bag.stretch(passcode)
    s = record.release(a) if record else None
    return bag.with_secret(s, b) if s else None


def file_key(path, keys):
    """The key of one file of the vault, by the class keys; None when they do not open it."""
    page = open(path, "rb").read(256)
    if page[:8] != b"HOLDFILE":
        return None
    for key in keys.values():
        found = open_sealed(kdf(FILE_WRAP, key, page[40:64]), page[:40], page[40:144])
        if found and any(page[224:256] == kdf(FILE_COMMIT, found, page[at:at + 16], 32) for at in range(8, 32)):
            return found
    return None


def files_of(vault):
    """The ciphertext files of a vault."""
    for base, folders, names in os.walk(vault):
        folders[:] = [f for f in folders if f != ".holdfast"]
        for name in names:
            path = os.path.join(base, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def opens_files(vault, keys):
    """How many of a vault's files the class keys open."""
    return sum(file_key(path, keys) is not None for path in files_of(vault)) if keys else 0
