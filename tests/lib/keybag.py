"""The keybag's checksum, for whoever changes one on purpose."""


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def summed(content):
    """With a right checksum behind it."""
    return content[:-4] + crc32c(content[:-4]).to_bytes(4, "little")
