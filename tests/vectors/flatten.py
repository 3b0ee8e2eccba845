#!/usr/bin/env python3
"""Turns the published vectors that concern us into flat lines for test_vectors.c: a kind, then hexadecimal fields ('-' is the empty string).

    flatten.py FOLDER        FOLDER holds crypto/wycheproof and crypto/nist-cavp

    gcm      key nonce aad plain ciphertext tag ok     256-bit keys, 96-bit nonces, 128-bit tags: what crypto/pagecipher.h does
    siv      key aad plain tag||ciphertext ok          512-bit keys, one associated string, a text that is not empty: crypto/siv.h
    x25519   public private shared                     crypto/recovery.c
    xchacha  key nonce aad plain ciphertext tag ok     crypto/committed.h

Vectors of other sizes than ours are left out: our code can't express them. Their number goes to standard error.
"""
import json
import os
import sys

left_out = 0


def emit(kind, *fields):
    print(kind, *(field or '-' for field in fields))


def wycheproof(folder, name):
    with open(os.path.join(folder, 'crypto', 'wycheproof', name + '_test.json'), encoding='utf-8') as file:
        for group in json.load(file)['testGroups']:
            for test in group['tests']:
                yield group, test


def ok(test):
    return '1' if test['result'] == 'valid' else '0'


def aead(folder, name, kind, nonce_bits):
    global left_out
    for group, test in wycheproof(folder, name):
        if (group['keySize'], group['ivSize'], group['tagSize']) == (256, nonce_bits, 128):
            emit(kind, *(test[field] for field in ('key', 'iv', 'aad', 'msg', 'ct', 'tag')), ok(test))
        else:
            left_out += 1


def siv(folder):
    global left_out
    for group, test in wycheproof(folder, 'aes_siv_cmac'):
        if group['keySize'] == 512 and len(test['ct']) > 32:
            emit('siv', test['key'], test['aad'], test['msg'], test['ct'], ok(test))
        else:
            left_out += 1


def x25519(folder):
    for _, test in wycheproof(folder, 'x25519'):
        emit('x25519', test['public'], test['private'], test['shared'])


def cavp(folder, name):
    """NIST CAVP: [Section = bits] lines, then blocks of 'Field = hex', and FAIL where decryption must fail."""
    global left_out
    sizes, block = {}, {}

    def flush():
        global left_out
        if not block:
            return
        if (sizes['Keylen'], sizes['IVlen'], sizes['Taglen']) == ('256', '96', '128'):
            emit('gcm', *(block.get(field, '') for field in ('Key', 'IV', 'AAD', 'PT', 'CT', 'Tag')), '0' if 'FAIL' in block else '1')
        else:
            left_out += 1
        block.clear()

    with open(os.path.join(folder, 'crypto', 'nist-cavp', 'AES-GCM', name), encoding='ascii') as file:
        for line in map(str.strip, file):
            if not line:
                flush()
            elif line.startswith('['):
                field, value = line.strip('[]').split(' = ')
                sizes[field] = value
            elif not line.startswith('#'):
                field, _, value = line.partition(' =')
                block[field] = value.strip()
        flush()


def main():
    folder = sys.argv[1]
    aead(folder, 'aes_gcm', 'gcm', 96)
    cavp(folder, 'gcmDecrypt256.rsp')
    cavp(folder, 'gcmEncryptExtIV256.rsp')
    siv(folder)
    x25519(folder)
    aead(folder, 'xchacha20_poly1305', 'xchacha', 192)
    print(f'{left_out} vectors left out: sizes that Holdfast does not use', file=sys.stderr)


main()
