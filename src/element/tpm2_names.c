#include "element/tpm2_names.h"

#include <sodium.h>
#include <string.h>

#include <tss2/tss2_mu.h>

#include "base/result.h"
#include "keys/wipe.h"

#pragma GCC poison memcmp strcpy sprintf

enum { DIGEST_LEN = 32, AREA_MAX = 512 };
_Static_assert(crypto_hash_sha256_BYTES == DIGEST_LEN, "TPM2_ALG_SHA256");

/* A TPM's numbers are big-endian. */
static void put(crypto_hash_sha256_state *hash, uint64_t value, unsigned len)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < len; i++)
        bytes[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
    (void)crypto_hash_sha256_update(hash, bytes, len);
}

static void put_name_of(const uint8_t *area, size_t len, uint8_t out[HF_TPM_NAME_LEN])
{
    out[0] = TPM2_ALG_SHA256 >> 8;
    out[1] = TPM2_ALG_SHA256 & 0xff;
    (void)crypto_hash_sha256(out + 2, area, len);
}

void hf_tpm2_counter_public(enum hf_tpm2_role role, const uint8_t vault_id[16], uint32_t handle, TPM2B_NV_PUBLIC *ret)
{
    static const char marks[][11] = {[HF_TPM2_GATE_COUNTER] = "holdfast C", [HF_TPM2_GENERATION_COUNTER] = "holdfast G", [HF_TPM2_HEAD_COUNTER] = "holdfast H"};
    crypto_hash_sha256_state hash;
    *ret = (TPM2B_NV_PUBLIC){.nvPublic = {.nvIndex = handle, .nameAlg = TPM2_ALG_SHA256, .dataSize = 8,
                                          .attributes = TPMA_NV_OWNERWRITE | TPMA_NV_AUTHWRITE | TPMA_NV_OWNERREAD | TPMA_NV_AUTHREAD | TPMA_NV_NO_DA |
                                                        (TPM2_NT_COUNTER << TPMA_NV_TPM2_NT_SHIFT),
                                          .authPolicy.size = DIGEST_LEN}};
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, (const uint8_t *)marks[role], sizeof marks[role] - 1);
    (void)crypto_hash_sha256_update(&hash, vault_id, 16);
    (void)crypto_hash_sha256_final(&hash, ret->nvPublic.authPolicy.buffer);
}

void hf_tpm2_nv_name(const TPM2B_NV_PUBLIC *public, bool written, uint8_t out[HF_TPM_NAME_LEN])
{
    TPMS_NV_PUBLIC area = public->nvPublic;
    uint8_t bytes[AREA_MAX];
    size_t len = 0;
    area.attributes = written ? area.attributes | TPMA_NV_WRITTEN : area.attributes & ~TPMA_NV_WRITTEN;
    HF_ASSERT(Tss2_MU_TPMS_NV_PUBLIC_Marshal(&area, bytes, sizeof bytes, &len) == TSS2_RC_SUCCESS);
    put_name_of(bytes, len, out);
}

void hf_tpm2_gate_key_public(const uint8_t key[64], TPM2B_PUBLIC *ret)
{
    *ret = (TPM2B_PUBLIC){.publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                                         .objectAttributes = TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_SIGN_ENCRYPT,
                                         .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                                  .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                                                                  .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL},
                                         .unique.ecc = {.x = {.size = 32}, .y = {.size = 32}}}};
    memcpy(ret->publicArea.unique.ecc.x.buffer, key, 32);
    memcpy(ret->publicArea.unique.ecc.y.buffer, key + 32, 32);
}

/* PolicySigned and PolicySecret extend alike: the key's or entity's Name, then an empty reference. */
static void extend_entity(uint8_t digest[DIGEST_LEN], uint32_t command, const uint8_t name[HF_TPM_NAME_LEN])
{
    crypto_hash_sha256_state hash;
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, digest, DIGEST_LEN);
    put(&hash, command, 4);
    (void)crypto_hash_sha256_update(&hash, name, HF_TPM_NAME_LEN);
    (void)crypto_hash_sha256_final(&hash, digest);
    (void)crypto_hash_sha256(digest, digest, DIGEST_LEN);
}

/* PolicyNV(index, offset, ==, operand). */
static void extend_nv(uint8_t digest[DIGEST_LEN], const uint8_t *operand, size_t operand_len, uint16_t offset, const uint8_t name[HF_TPM_NAME_LEN])
{
    uint8_t arguments[DIGEST_LEN];
    crypto_hash_sha256_state hash;
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, operand, operand_len);
    put(&hash, offset, 2);
    put(&hash, TPM2_EO_EQ, 2);
    (void)crypto_hash_sha256_final(&hash, arguments);
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, digest, DIGEST_LEN);
    put(&hash, TPM2_CC_PolicyNV, 4);
    (void)crypto_hash_sha256_update(&hash, arguments, sizeof arguments);
    (void)crypto_hash_sha256_update(&hash, name, HF_TPM_NAME_LEN);
    (void)crypto_hash_sha256_final(&hash, digest);
}

static void extend_command(uint8_t digest[DIGEST_LEN], uint32_t permitted)
{
    crypto_hash_sha256_state hash;
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, digest, DIGEST_LEN);
    put(&hash, TPM2_CC_PolicyCommandCode, 4);
    put(&hash, permitted, 4);
    (void)crypto_hash_sha256_final(&hash, digest);
}

void hf_tpm2_pin_public(const struct hf_tpm2_pin *pin, uint32_t counter, const uint8_t vault_id[16], TPM2B_NV_PUBLIC *ret)
{
    TPM2B_NV_PUBLIC c;
    TPM2B_PUBLIC key;
    uint8_t area[AREA_MAX], name[HF_TPM_NAME_LEN], digest[DIGEST_LEN] = {0};
    size_t len = 0;
    hf_tpm2_gate_key_public(pin->gate_key, &key);
    HF_ASSERT(Tss2_MU_TPMT_PUBLIC_Marshal(&key.publicArea, area, sizeof area, &len) == TSS2_RC_SUCCESS);
    put_name_of(area, len, name);
    extend_entity(digest, TPM2_CC_PolicySigned, name);
    hf_tpm2_counter_public(HF_TPM2_GATE_COUNTER, vault_id, counter, &c);
    hf_tpm2_nv_name(&c, true, name);
    extend_nv(digest, pin->gate_value, sizeof pin->gate_value, 0, name);
    extend_command(digest, TPM2_CC_NV_Write);
    *ret = (TPM2B_NV_PUBLIC){.nvPublic = {.nvIndex = pin->handle, .nameAlg = TPM2_ALG_SHA256, .dataSize = 8,
                                          .attributes = TPMA_NV_POLICYWRITE | TPMA_NV_OWNERREAD | TPMA_NV_NO_DA |
                                                        (TPM2_NT_PIN_FAIL << TPMA_NV_TPM2_NT_SHIFT),
                                          .authPolicy.size = DIGEST_LEN}};
    memcpy(ret->nvPublic.authPolicy.buffer, digest, DIGEST_LEN);
}

void hf_tpm2_pin_name(const struct hf_tpm2_pin *pin, uint32_t counter, const uint8_t vault_id[16], uint8_t out[HF_TPM_NAME_LEN])
{
    TPM2B_NV_PUBLIC public;
    hf_tpm2_pin_public(pin, counter, vault_id, &public);
    hf_tpm2_nv_name(&public, true, out);
}

void hf_tpm2_pcr_selection(uint32_t mask, TPML_PCR_SELECTION *ret)
{
    *ret = (TPML_PCR_SELECTION){.count = 1, .pcrSelections = {{.hash = TPM2_ALG_SHA256, .sizeofSelect = 3}}};
    ret->pcrSelections[0].pcrSelect[0] = (uint8_t)mask;
    ret->pcrSelections[0].pcrSelect[1] = (uint8_t)(mask >> 8);
}

void hf_tpm2_pcr_digest(const struct hf_measure *measure, TPM2B_DIGEST *ret)
{
    crypto_hash_sha256_state hash;
    (void)crypto_hash_sha256_init(&hash);
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (measure->mask & HF_PCR_BIT(pcr))
            (void)crypto_hash_sha256_update(&hash, measure->value[pcr], HF_PCR_LEN);
    }
    *ret = (TPM2B_DIGEST){.size = DIGEST_LEN};
    (void)crypto_hash_sha256_final(&hash, ret->buffer);
}

/* PolicyPCR over literal values [EL-14]; nothing when nothing is measured. */
static void extend_pcrs(uint8_t digest[DIGEST_LEN], const struct hf_measure *measure)
{
    crypto_hash_sha256_state hash;
    TPML_PCR_SELECTION selection;
    TPM2B_DIGEST values;
    uint8_t area[AREA_MAX];
    size_t len = 0;
    if (measure->mask == 0)
        return;
    hf_tpm2_pcr_selection(measure->mask, &selection);
    hf_tpm2_pcr_digest(measure, &values);
    HF_ASSERT(Tss2_MU_TPML_PCR_SELECTION_Marshal(&selection, area, sizeof area, &len) == TSS2_RC_SUCCESS);
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, digest, DIGEST_LEN);
    put(&hash, TPM2_CC_PolicyPCR, 4);
    (void)crypto_hash_sha256_update(&hash, area, len);
    (void)crypto_hash_sha256_update(&hash, values.buffer, DIGEST_LEN);
    (void)crypto_hash_sha256_final(&hash, digest);
}

void hf_tpm2_release_policy(const uint8_t pin_name[HF_TPM_NAME_LEN], const struct hf_measure *measure, TPM2B_DIGEST *ret)
{
    *ret = (TPM2B_DIGEST){.size = DIGEST_LEN};
    extend_pcrs(ret->buffer, measure);
    extend_entity(ret->buffer, TPM2_CC_PolicySecret, pin_name);
}

void hf_tpm2_limit_operand(uint32_t limit, TPM2B_OPERAND *ret)
{
    *ret = (TPM2B_OPERAND){.size = 4};
    for (int i = 0; i < 4; i++)
        ret->buffer[i] = (uint8_t)(limit >> (24 - 8 * i));
}

void hf_tpm2_device_policy(const uint8_t pin_name[HF_TPM_NAME_LEN], uint32_t limit, const struct hf_measure *measure, TPM2B_DIGEST *ret)
{
    TPM2B_OPERAND operand;
    hf_tpm2_limit_operand(limit, &operand);
    *ret = (TPM2B_DIGEST){.size = DIGEST_LEN};
    extend_pcrs(ret->buffer, measure);
    extend_nv(ret->buffer, operand.buffer, operand.size, 4, pin_name);
}
