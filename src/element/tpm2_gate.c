#include "element/tpm2_gate.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <sodium.h>

#pragma GCC poison memcmp strcpy sprintf

struct hf_gate_key {
    EVP_PKEY *pair;
};

static bool coordinate(const EVP_PKEY *pair, const char *which, uint8_t out[32])
{
    BIGNUM *number = NULL;
    bool good = EVP_PKEY_get_bn_param(pair, which, &number) == 1 && BN_bn2binpad(number, out, 32) == 32;
    BN_free(number);
    return good;
}

enum hf_result hf_gate_key_new(struct hf_gate_key **ret, uint8_t ret_public[64])
{
    struct hf_gate_key *key = calloc(1, sizeof *key);
    if (!key)
        return HF_NO_MEMORY;
    key->pair = EVP_EC_gen("P-256");
    if (!key->pair || !coordinate(key->pair, OSSL_PKEY_PARAM_EC_PUB_X, ret_public) || !coordinate(key->pair, OSSL_PKEY_PARAM_EC_PUB_Y, ret_public + 32)) {
        hf_gate_key_free(&key);
        return HF_FAILED;
    }
    *ret = key;
    return HF_OK;
}

void hf_gate_key_free(struct hf_gate_key **key)
{
    if (!*key)
        return;
    EVP_PKEY_free((*key)->pair); /* OpenSSL clears private numbers as it frees them */
    free(*key);
    *key = NULL;
}

static bool split(const uint8_t *der, size_t len, TPMT_SIGNATURE *ret)
{
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)len);
    *ret = (TPMT_SIGNATURE){.sigAlg = TPM2_ALG_ECDSA, .signature.ecdsa = {.hash = TPM2_ALG_SHA256, .signatureR.size = 32, .signatureS.size = 32}};
    bool good = pair && BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret->signature.ecdsa.signatureR.buffer, 32) == 32 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret->signature.ecdsa.signatureS.buffer, 32) == 32;
    ECDSA_SIG_free(pair);
    return good;
}

static bool sign(const struct hf_gate_key *key, const uint8_t digest[32], TPMT_SIGNATURE *ret)
{
    uint8_t der[80];
    size_t len = sizeof der;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->pair, NULL);
    bool good = context && EVP_PKEY_sign_init(context) == 1 && EVP_PKEY_sign(context, der, &len, digest, 32) == 1 && split(der, len, ret);
    EVP_PKEY_CTX_free(context);
    return good;
}

/* What the key signs: the session's nonce, no expiry, no command and no reference. */
static enum hf_result policy_signed(struct hf_tpm *tpm, ESYS_TR session, const struct hf_gate_key *key, const uint8_t public[64], struct hf_error *error)
{
    static const uint8_t no_expiry[4];
    TPM2B_PUBLIC area;
    TPM2B_NONCE *nonce = NULL;
    ESYS_TR loaded = ESYS_TR_NONE;
    TPMT_SIGNATURE signature;
    uint8_t digest[32];
    crypto_hash_sha256_state hash;
    TSS2_RC rc = Esys_TRSess_GetNonceTPM(tpm->esys, session, &nonce);
    HF_TRY(hf_tpm_verdict(tpm, rc, "give a nonce", error));
    (void)crypto_hash_sha256_init(&hash);
    (void)crypto_hash_sha256_update(&hash, nonce->buffer, nonce->size);
    (void)crypto_hash_sha256_update(&hash, no_expiry, sizeof no_expiry);
    (void)crypto_hash_sha256_final(&hash, digest);
    hf_tpm2_gate_key_public(public, &area);
    enum hf_result result = sign(key, digest, &signature) ? HF_OK : hf_fail(error, HF_FAILED, "the one-use key can't sign");
    if (result == HF_OK) {
        rc = Esys_LoadExternal(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL, &area, ESYS_TR_RH_NULL, &loaded);
        result = hf_tpm_verdict(tpm, rc, "load a public key", error);
    }
    if (result == HF_OK) {
        rc = Esys_PolicySigned(tpm->esys, loaded, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, nonce, NULL, NULL, 0, &signature, NULL, NULL);
        result = hf_tpm_verdict(tpm, rc, "take the one-use key's word", error);
    }
    hf_tpm_flush(tpm, &loaded);
    free(nonce);
    return result;
}

static TSS2_RC policy_counter(struct hf_tpm *tpm, ESYS_TR session, ESYS_TR counter, const uint8_t value[8])
{
    TPM2B_OPERAND operand = {.size = 8};
    memcpy(operand.buffer, value, 8);
    return Esys_PolicyNV(tpm->esys, counter, counter, session, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &operand, 0, TPM2_EO_EQ);
}

static enum hf_result find_counter(struct hf_tpm *tpm, uint32_t handle, const uint8_t vault_id[16], ESYS_TR *ret, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    enum hf_nv_found found;
    hf_tpm2_counter_public(HF_TPM2_GATE_COUNTER, vault_id, handle, &public);
    HF_TRY(hf_nv_find(tpm, &public, ret, &found, error));
    if (found == HF_NV_ABSENT) { /* destroyed by another user of the TPM: a new one never starts at an old value */
        enum hf_result made = hf_nv_define(tpm, &public, NULL, ret, error);
        if (made != HF_OK)
            return made == HF_EXISTS ? hf_fail(error, HF_FAILED, "the TPM's index 0x%08x appeared meanwhile; try again", handle) : made;
        return HF_OK;
    }
    if (found == HF_NV_FOREIGN)
        return hf_fail(error, HF_DAMAGED, "the TPM's index 0x%08x is no longer this vault's counter: another has taken its place", handle);
    return HF_OK;
}

enum hf_result hf_gate_plan(struct hf_tpm *tpm, uint32_t counter, const uint8_t vault_id[16], struct hf_gate_key **ret_key, struct hf_tpm2_pin *ret_pin,
                            struct hf_error *error)
{
    struct hf_tpm2_pin pin = {.used = true};
    ESYS_TR index;
    uint64_t value;
    HF_TRY(find_counter(tpm, counter, vault_id, &index, error));
    HF_TRY(hf_nv_counter_step(tpm, index, error));
    HF_TRY(hf_nv_counter_read(tpm, index, &value, error));
    for (int i = 0; i < 8; i++)
        pin.gate_value[i] = (uint8_t)(value >> (56 - 8 * i));
    enum hf_result result = hf_gate_key_new(ret_key, pin.gate_key);
    if (result != HF_OK)
        return hf_fail(error, result, "no one-use key can be made");
    *ret_pin = pin;
    return HF_OK;
}

static enum hf_result write_once(struct hf_tpm *tpm, ESYS_TR index, const struct hf_tpm2_pin *pin, ESYS_TR counter, const struct hf_gate_key *key,
                                 uint32_t count, uint32_t limit, struct hf_error *error)
{
    TPM2B_OPERAND operand;
    TPM2B_MAX_NV_BUFFER content = {.size = 8};
    ESYS_TR session;
    hf_tpm2_limit_operand(count, &operand);
    memcpy(content.buffer, operand.buffer, 4); /* pinCount, pinLimit */
    hf_tpm2_limit_operand(limit, &operand);
    memcpy(content.buffer + 4, operand.buffer, 4);
    HF_TRY(hf_tpm_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_CONTINUESESSION, &session, error));
    enum hf_result result = policy_signed(tpm, session, key, pin->gate_key, error);
    if (result == HF_OK)
        result = hf_tpm_verdict(tpm, policy_counter(tpm, session, counter, pin->gate_value), "see C at its value", error);
    if (result == HF_OK)
        result = hf_tpm_verdict(tpm, Esys_PolicyCommandCode(tpm->esys, session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CC_NV_Write),
                                "limit a policy to writing", error);
    if (result == HF_OK)
        result = hf_tpm_verdict(tpm, Esys_NV_Write(tpm->esys, index, index, session, ESYS_TR_NONE, ESYS_TR_NONE, &content, 0), "write the limit", error);
    hf_tpm_flush(tpm, &session);
    return result;
}

/* C stands above v, read in an authenticated session; and the TPM itself refuses C == v. */
static enum hf_result close_gate(struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, ESYS_TR counter, struct hf_error *error)
{
    uint64_t value, gate = 0;
    ESYS_TR session;
    for (int i = 0; i < 8; i++)
        gate = gate << 8 | pin->gate_value[i];
    HF_TRY(hf_nv_counter_step(tpm, counter, error));
    HF_TRY(hf_nv_counter_read(tpm, counter, &value, error));
    HF_TRY(hf_tpm_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_CONTINUESESSION, &session, error));
    TSS2_RC rc = policy_counter(tpm, session, counter, pin->gate_value);
    hf_tpm_flush(tpm, &session);
    if (value <= gate || hf_tpm_base(rc) != TPM2_RC_POLICY)
        return hf_fail(error, HF_REFUSED, "the TPM leaves the limit open to be written again (counter %llu, gate %llu): it can't be trusted with it",
                       (unsigned long long)value, (unsigned long long)gate);
    return HF_OK;
}

enum hf_result hf_gate_make_pin(struct hf_tpm *tpm, const struct hf_tpm2_pin *pin, uint32_t counter, const uint8_t vault_id[16],
                                const struct hf_gate_key *key, const uint8_t auth[32], uint32_t count, uint32_t limit, struct hf_error *error)
{
    TPM2B_NV_PUBLIC public;
    ESYS_TR c, index;
    uint32_t counted, written;
    TPM2B_AUTH value = {.size = 32};
    HF_TRY(find_counter(tpm, counter, vault_id, &c, error));
    hf_tpm2_pin_public(pin, counter, vault_id, &public);
    memcpy(value.buffer, auth, 32);
    enum hf_result result = hf_nv_define(tpm, &public, &value, &index, error);
    hf_wipe(&value, sizeof value);
    HF_TRY(result);
    result = write_once(tpm, index, pin, c, key, count, limit, error);
    if (result == HF_OK)
        result = close_gate(tpm, pin, c, error);
    if (result == HF_OK)
        result = hf_nv_pin_read(tpm, index, &counted, &written, error);
    if (result == HF_OK && (counted != count || written != limit))
        result = hf_fail(error, HF_REFUSED, "the TPM did not keep the limit that was written");
    return result;
}
