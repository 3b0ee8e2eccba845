/* crypto/kdf.h: the one key derivation, and the table of everything that is ever derived.
 *
 * KDF(key, context, info) = BLAKE2b(key = key, salt = context as u16 LE then zeros, personal = "holdfast-kdf-v1\0", input = info),
 * 16 to 64 bytes long (the length is part of BLAKE2b's parameters). Library: libsodium crypto_generichash_blake2b_salt_personal.
 * Context numbers are never reused; a new use takes the next number. Source: spec/20-keys.md [KD-1]…[KD-3]. */
#ifndef HF_CRYPTO_KDF_H
#define HF_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum hf_kdf_context {
    HF_KDF_KEK = 1,               /* key S, info B || vault id -> kek */
    HF_KDF_DEVICE_KEY = 2,        /* key D, info vault id -> device key */
    HF_KDF_KEYBAG_MAC = 3,        /* key device key, info the file's bytes -> 32-byte MAC */
    HF_KDF_SECTION_KEY = 4,       /* key kek or device key, info nonce -> 32-byte AEAD key || 32-byte commitment */
    HF_KDF_RECOVERY_SEED = 5,     /* key recovery secret, info vault id -> X25519 seed */
    HF_KDF_RECOVERY_KEY = 6,      /* key X25519 shared secret, info eph pub || recovery pub -> AEAD key || commitment */
    HF_KDF_FILE_WRAP = 7,         /* key class key, info nonce -> 32-byte AEAD key || 32-byte commitment */
    HF_KDF_NAME_KEY = 8,          /* key class key, info empty -> 64-byte name key */
    HF_KDF_FILE_COMMIT = 9,       /* key file key, info file id -> 32-byte commitment in the header */
    HF_KDF_PAGE_KEY = 10,         /* key file key, info u32 generation -> page key */
    HF_KDF_META_MAC = 11,         /* key meta key, info file id || M without its MAC -> 16 bytes */
    HF_KDF_NAME_SLOT = 12,        /* key meta key, info directory id || file id || name -> 16 bytes */
    HF_KDF_ATTR_MAC = 13,         /* key meta key, info file id || mode u32 || uid u32 || gid u32 -> 16 bytes */
    HF_KDF_DIR_MAC = 14,          /* key meta key, info as format/dirrecord.h -> 16 bytes */
    HF_KDF_EVIDENCE = 15,         /* key meta key, info file id || kind u8 || value 16 || epoch u32 -> 16 bytes */
    HF_KDF_LONG_NAME = 16,        /* key first half of the name key, info directory id || name -> 32 bytes */
    HF_KDF_XATTR_DIGEST = 17,     /* key meta key, info sorted (name, value) ciphertexts -> 32 bytes */
    HF_KDF_XATTR_KEY = 18,        /* key file key (files) or name key's first half (all others), info id -> 64-byte SIV key */
    HF_KDF_HEAD_MAC = 19,         /* key device key, info the head's bytes -> 32-byte MAC */
    HF_KDF_SOFT_ELEMENT = 20,     /* key A, info vault id || slot -> the software element's wrap of S */
    HF_KDF_TRY_CACHE = 21,        /* key random per start, info passcode -> 32-byte tag of a wrong try */
    HF_KDF_NONCE_CHECK = 22,      /* reserved */
    HF_KDF_SYMLINK_KEY = 23,      /* key first half of the name key, info empty -> 64-byte SIV key for link targets */
    HF_KDF_INDEX_WRAP = 24,       /* key meta key, info nonce -> 32-byte AEAD key || 32-byte commitment: the freshness index's own keys */
    HF_KDF_INDEX_RECORD = 25,     /* key the index's seal key, info nonce -> 32-byte AEAD key || 32-byte commitment */
    HF_KDF_INDEX_TIP = 26,        /* key the index's seal key, info the header, or the tip before || the record's tag and commitment -> 32 bytes */
    HF_KDF_ONEPASS = 27,          /* key X25519 shared secret, info eph pub || recipient pub -> 32-byte AEAD key || 24-byte commitment */
    HF_KDF_OPEN_NAME_KEY = 28,    /* key unless-open's meta key, info empty -> its 64-byte name key: names stay when the private half goes */
    HF_KDF_OPEN_META_MAC = 29,    /* key unless-open's meta key, info S || M without its MAC -> 16 bytes: anyone can make the wrap in S */
    HF_KDF_MORE_NAMES = 30,       /* key meta key, info file id || record number u32 || slots -> 32-byte digest of a file's further names */
    HF_KDF_SPOOL_META = 31,       /* key class always' meta key, info empty -> the meta key of files of unless-open that are made before the first unlock */
    HF_KDF_DURESS = 32,           /* key A, info vault id -> the second index's authorisation */
    HF_KDF_DIR_XATTRS = 33        /* key directory id || 16 zeros, info as HF_KDF_XATTR_DIGEST -> 32 bytes: a hash, which the directory's MAC covers */
};

/* key: 32 bytes. info: pieces hashed in order as one string (fixed-length pieces first, at most one of variable length, last). */
void hf_kdf(enum hf_kdf_context context, const uint8_t key[32], const struct hf_span *info, size_t info_count, uint8_t *out, size_t out_len);

#endif
