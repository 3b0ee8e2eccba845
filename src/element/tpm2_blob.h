/* element/tpm2_blob.h: what the tpm2 element keeps about a vault. Two places, neither holds a secret in the clear:
 * the blob goes into the keybag (the enclave carries it, sealed with the rest), the note lies in the element's state directory.
 *
 * Blob, big and small numbers little-endian: format u32 = 3 | slot u32 | limit u32 | delay count u32 | delays u32… | SRK Name 34 | C u32 | G u32 | H u32 |
 * G's value at the vault's birth u64 | generation then u64 | pace u32 | P (below) | the P before it | Q | the Q before it | seals u8, 1 or 2 |
 * each seal: PCRs and values (format/measure.h) | sealed S | sealed D (each: public area, private area, u16 lengths); then trust u8 | why not, string.
 * P, Q: u8 used | handle u32 | v 8 | one-use key x 32, y 32. Source: spec/50-element.md, spec/51-duress.md. */
#ifndef HF_ELEMENT_TPM2_BLOB_H
#define HF_ELEMENT_TPM2_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "base/span.h"
#include "format/keybag.h"

#define HF_TPM_NAME_LEN 34 /* algorithm, SHA-256 */
#define HF_TPM_SEALED_PUBLIC_MAX 128
#define HF_TPM_SEALED_PRIVATE_MAX 256
#define HF_TPM_WHY_MAX 160
#define HF_TPM2_PACE_MAX_MS 10000u

/* Everything that P's (or Q's) Name follows from. */
struct hf_tpm2_pin {
    bool used;
    uint32_t handle;
    uint8_t gate_value[8]; /* v */
    uint8_t gate_key[64];
};

struct hf_tpm2_sealed {
    size_t public_len, private_len;
    uint8_t public[HF_TPM_SEALED_PUBLIC_MAX];
    uint8_t private[HF_TPM_SEALED_PRIVATE_MAX];
};

/* S and D, sealed to P and to these values (mask 0: to P alone). */
struct hf_tpm2_seal {
    struct hf_measure measure;
    struct hf_tpm2_sealed release, device;
};

struct hf_tpm2_blob {
    uint32_t slot;
    struct hf_policy policy; /* attempts (the limit, never 0) and delays alone count here */
    uint8_t srk_name[HF_TPM_NAME_LEN];
    uint32_t counter, generation_counter, head_counter; /* handles of C, G and H */
    uint64_t birth_count, birth_generation;
    uint32_t pace_ms;               /* how long this TPM took to make P, Q and the seals [DU-8] */
    struct hf_tpm2_pin pin, before, second, second_before; /* second: Q */
    uint32_t seal_count;          /* 2: a predicted one waits beside the one in force. Both have the same PCRs, with other values */
    struct hf_tpm2_seal seals[2];
    uint8_t trust;          /* enum hf_trust */
    char trust_why[HF_TPM_WHY_MAX]; /* what was missing; without quotes and backslashes */
};

/* The element's own note: loss of it costs nothing but the exactness of a delay and two NV indices. */
struct hf_tpm2_note {
    uint8_t vault_id[16];
    bool erased;
    uint8_t boot_id[16];
    uint64_t delay_until_ms;
    uint32_t delay_count;     /* the TPM's count that the delay belongs to */
    struct hf_tpm2_pin doing, doing_second; /* a P and a Q that were to be made: unless the keybag has them, they go */
    uint32_t doing_counter;   /* C's handle then */
};

HF_MUST_USE enum hf_result hf_tpm2_blob_encode(const struct hf_tpm2_blob *blob, uint8_t *out, size_t cap, size_t *ret_len);
HF_MUST_USE enum hf_result hf_tpm2_blob_decode(struct hf_span bytes, struct hf_tpm2_blob *ret);

/* HF_NOT_FOUND, HF_DAMAGED, HF_IO. dir: the vault's folder in the state directory. */
HF_MUST_USE enum hf_result hf_tpm2_note_load(int dir, struct hf_tpm2_note *ret);
HF_MUST_USE enum hf_result hf_tpm2_note_save(int dir, const struct hf_tpm2_note *note);

#endif
