/* format/keybag.h: VAULT/.holdfast/keybag, the one file that holds a vault's keys. Pure: bytes in, struct out.
 *
 *   public header  | u32 len, bytes (readable by anyone; what is needed before a try)
 *   device section | u32 len, wrap under the device key
 *   user section   | u32 len, wrap under the KEK
 *   recovery box   | u32 len (0 with --no-recovery), sealed to the phrase
 *   MAC 32         | KDF(device key, HF_KDF_KEYBAG_MAC, everything before)
 *   checksum 4     | CRC-32C of everything before: tells an accident from a missing element
 * Public header: "HFKEYBAG" | format u16 = 4 | zeros 2 | then the fields of struct hf_public_header in order (policy: attempts, delay count, that many
 * delays, grace, inactivity, profile, screen lock; has_recovery is a u8; tcti and element blob have a u16 length). Sections' plaintext: format u32 = 4 | count u32 |
 * entries of class u8, generation u32, class key 32, meta key 32 | the rest of struct hf_keybag_keys in order (the sentence has a u16 length).
 * Replaced as a whole (hf_file_replace), so that header, sections and generation never part. Source: spec/10-keybag.md [KB-5] [KB-6]. */
#ifndef HF_FORMAT_KEYBAG_H
#define HF_FORMAT_KEYBAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"
#include "format/class.h"
#include "format/measure.h"
#include "keys/class_key.h"
#include "keys/duress_auth.h"
#include "keys/meta_key.h"

#define HF_KEYBAG_MAX 65536
#define HF_VAULT_ID_LEN 16
#define HF_KEYBAG_DELAYS_MAX 16
#define HF_KEYBAG_TCTI_MAX 256
#define HF_KEYBAG_ELEMENT_BLOB_MAX 4096
#define HF_KEYBAG_KEYS_MAX 64
/* The limits of crypto/argon.h, repeated because format/ does not reach crypto/ (test_format compares them). */
#define HF_KEYBAG_KDF_MIN_KIB 65536u
#define HF_KEYBAG_KDF_MAX_KIB (4u * 1024 * 1024)
#define HF_KEYBAG_KDF_MAX_PASSES 64u
#define HF_KEYBAG_KDF_MAX_LANES 16u

enum hf_element_kind { HF_ELEMENT_AUTO = 0, HF_ELEMENT_SOFTWARE = 1, HF_ELEMENT_TPM2 = 2 };

#define HF_SCREEN_LOCK_NONE 0u

/* What the owner chose at creation; sealed in the user section too and compared after each unlock. */
struct hf_policy {
    uint32_t attempts;                        /* 0: no limit */
    uint32_t delay_count;
    uint32_t delay_s[HF_KEYBAG_DELAYS_MAX];   /* after failure 4, 5, …; the last repeats */
    uint32_t grace_s;                         /* class complete after `lock` */
    uint32_t inactivity_s;                    /* 0: never */
    uint32_t profile;                         /* 0 plain, 1 personal */
    uint32_t screen_lock;                     /* what the desktop's lock takes away: NONE, class complete, or after-unlock too (as inactivity does) */
};

struct hf_public_header {
    uint8_t vault_id[HF_VAULT_ID_LEN];
    uint64_t generation;                      /* of the whole file */
    uint8_t salt[32];
    uint32_t kdf_memory_kib, kdf_passes, kdf_lanes;
    struct hf_policy policy;
    uint8_t unless_open_public[32];           /* of the newest generation of class unless-open [UO-4] */
    bool has_recovery;
    uint32_t element_kind;                    /* enum hf_element_kind, never AUTO */
    uint32_t element_slot;                    /* which of the element's two slots this keybag belongs to */
    char tcti[HF_KEYBAG_TCTI_MAX];            /* empty for the software element */
    size_t element_blob_len;                  /* the element's public parts, opaque here */
    uint8_t element_blob[HF_KEYBAG_ELEMENT_BLOB_MAX];
};

struct hf_keybag_entry {
    uint8_t class;        /* enum hf_class */
    uint32_t generation;  /* class-key generation, from 1 */
    struct hf_class_key key; /* unless-open: the X25519 private half of this generation */
    struct hf_meta_key meta;
};

/* Plaintext of the device section (entries of class always) and of the user section and recovery box (all other entries). Lives in locked memory. */
struct hf_keybag_keys {
    uint32_t count;
    struct hf_keybag_entry entries[HF_KEYBAG_KEYS_MAX];
    uint8_t recovery_public[32];     /* zeros: none. User section and recovery box. Not in the public header: nobody else may seal to it */
    struct hf_policy policy;         /* the sealed copy */
    uint8_t names_reserved[32];      /* record and consent root keys, for the parts that follow */
    char sentence[HF_SENTENCE_MAX];  /* empty: none. Device section and recovery box [EL-21] */
    struct hf_duress_auth duress;    /* Q's authorisation, random where no duress passcode is set. User section alone, else zeros [DU-2] */
};

/* A parsed file: views into the caller's buffer, but for the header. */
struct hf_keybag_view {
    struct hf_public_header header;
    struct hf_span header_bytes;   /* AAD of the three sections: the header as it stands in the file */
    struct hf_span device_section; /* wraps */
    struct hf_span user_section;
    struct hf_span recovery_box;   /* len 0: none */
    struct hf_span macced;         /* everything before the MAC */
    uint8_t mac[32];
};

/* HF_DAMAGED with a text that names the damage: too short, magic, version, checksum, a field out of range, bytes left over. */
HF_MUST_USE enum hf_result hf_keybag_parse(struct hf_span file, struct hf_keybag_view *ret, struct hf_error *error);
/* The header's bytes alone, as they will stand in the file. Fields out of range are the caller's bug (HF_ASSERT). */
HF_MUST_USE enum hf_result hf_keybag_header_encode(const struct hf_public_header *header, uint8_t *out, size_t cap, size_t *ret_len);
/* Everything up to the MAC; then the caller computes the MAC and calls _finish, which appends MAC and checksum. */
HF_MUST_USE enum hf_result hf_keybag_assemble(struct hf_span header_bytes, struct hf_span device_section, struct hf_span user_section, struct hf_span recovery_box,
                                              uint8_t *out, size_t cap, size_t *ret_len);
HF_MUST_USE enum hf_result hf_keybag_finish(uint8_t *file, size_t cap, size_t macced_len, const uint8_t mac[32], size_t *ret_len);

#define HF_KEYBAG_KEYS_ENCODED_MAX 8192
HF_MUST_USE enum hf_result hf_keybag_keys_encode(const struct hf_keybag_keys *keys, uint8_t *out, size_t cap, size_t *ret_len);
HF_MUST_USE enum hf_result hf_keybag_keys_decode(struct hf_span bytes, struct hf_keybag_keys *ret);

#endif
