#include "element/tpm2_trust.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sodium.h>
#include <tss2/tss2_mu.h>

#include "element/tpm2_credential.h"
#include "keys/wipe.h"
#include "os/file.h"
#include "os/random.h"

#pragma GCC poison memcmp strcpy sprintf

enum { EK_CERTIFICATE = 0x01C00002, EK_PERSISTENT = 0x81010001, CERTIFICATE_MAX = 4096, PIECE = 512, ROOTS_MAX = 128 * 1024, NONCE_LEN = 32 };

/* --- the certificate --- */

static enum hf_result read_certificate(struct hf_tpm *tpm, X509 **ret, struct hf_error *error)
{
    uint8_t bytes[CERTIFICATE_MAX];
    ESYS_TR index;
    TPM2B_NV_PUBLIC *public = NULL;
    TSS2_RC rc = Esys_TR_FromTPMPublic(tpm->esys, EK_CERTIFICATE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index);
    if (hf_tpm_base(rc) == TPM2_RC_HANDLE)
        return hf_fail(error, HF_NOT_FOUND, "the TPM has no EK certificate (NV index 0x%08x)", EK_CERTIFICATE);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_NV_ReadPublic(tpm->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL);
    HF_TRY(hf_tpm_verdict(tpm, rc, "show its EK certificate", error));
    HF_ASSERT(public);
    size_t size = public->nvPublic.dataSize, len = 0;
    free(public);
    if (size > sizeof bytes)
        return hf_fail(error, HF_TOO_LARGE, "the EK certificate is larger than any known");
    while (len < size) {
        TPM2B_MAX_NV_BUFFER *data = NULL;
        size_t want = size - len < PIECE ? size - len : PIECE;
        rc = Esys_NV_Read(tpm->esys, ESYS_TR_RH_OWNER, index, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, (uint16_t)want, (uint16_t)len, &data);
        HF_TRY(hf_tpm_verdict(tpm, rc, "show its EK certificate", error));
        bool whole = data->size == want;
        if (whole)
            memcpy(bytes + len, data->buffer, want);
        free(data);
        if (!whole)
            return hf_fail(error, HF_DAMAGED, "the EK certificate is cut");
        len += want;
    }
    const uint8_t *at = bytes;
    *ret = d2i_X509(NULL, &at, (long)len); /* what follows it in the index is padding */
    return *ret ? HF_OK : hf_fail(error, HF_DAMAGED, "the EK certificate is malformed");
}

/* The owner's roots, intermediates among them: every certificate in the file is trusted. */
static enum hf_result read_roots(int root, X509_STORE *store, struct hf_error *error)
{
    uint8_t *bytes = malloc(ROOTS_MAX);
    size_t len = 0, count = 0;
    enum hf_result result = !bytes ? HF_NO_MEMORY : hf_file_read(root, "tpm-roots.pem", bytes, ROOTS_MAX, &len);
    BIO *file = result == HF_OK ? BIO_new_mem_buf(bytes, (int)len) : NULL;
    for (X509 *one; file && (one = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL; X509_free(one))
        count += X509_STORE_add_cert(store, one) == 1;
    BIO_free(file);
    free(bytes);
    if (result == HF_NOT_FOUND || (result == HF_OK && count == 0))
        return hf_fail(error, HF_NOT_FOUND, "no manufacturers' roots are installed (tpm-roots.pem in the element's state directory)");
    return result == HF_OK ? HF_OK : hf_fail(error, result, "tpm-roots.pem: %s", hf_result_text(result));
}

/* An EK certificate has a critical name extension that OpenSSL does not know, and lives longer than any clock here is to be believed. */
static bool chain_verifies(X509_STORE *store, X509 *certificate, const char **ret_why)
{
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    bool good = context && X509_STORE_CTX_init(context, store, certificate, NULL) == 1;
    if (good) {
        X509_STORE_CTX_set_flags(context, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME | X509_V_FLAG_IGNORE_CRITICAL);
        good = X509_verify_cert(context) == 1;
        *ret_why = X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
    }
    X509_STORE_CTX_free(context);
    return good;
}

/* Extended key usage: the TCG's tcg-kp-EKCertificate. */
static bool is_for_ek(X509 *certificate)
{
    EXTENDED_KEY_USAGE *usages = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    ASN1_OBJECT *wanted = OBJ_txt2obj("2.23.133.8.1", 1);
    bool found = false;
    for (int i = 0; usages && wanted && i < sk_ASN1_OBJECT_num(usages); i++)
        found = found || OBJ_cmp(sk_ASN1_OBJECT_value(usages, i), wanted) == 0;
    ASN1_OBJECT_free(wanted);
    EXTENDED_KEY_USAGE_free(usages);
    return found;
}

static enum hf_result check_certificate(X509 *certificate, int root, struct hf_error *error)
{
    const char *why = "";
    X509_STORE *store = X509_STORE_new();
    enum hf_result result = store ? read_roots(root, store, error) : hf_fail(error, HF_NO_MEMORY, "no memory for the roots");
    if (result == HF_OK && !is_for_ek(certificate))
        result = hf_fail(error, HF_REFUSED, "the EK certificate is not one for an endorsement key");
    if (result == HF_OK && !chain_verifies(store, certificate, &why))
        result = hf_fail(error, HF_REFUSED, "the EK certificate does not lead to an installed root (%s)", why);
    X509_STORE_free(store);
    return result;
}

/* --- the chip --- */

/* The TCG's EK template L-1: RSA 2048, policy PolicySecret(endorsement hierarchy). */
static enum hf_result make_ek(struct hf_tpm *tpm, ESYS_TR *ret, struct hf_error *error)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    static const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_RSA, .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_ADMINWITHPOLICY |
                                           TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
                       .authPolicy = {.size = 32, .buffer = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
                                                             0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA}},
                       .parameters.rsaDetail = {.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                                                .scheme.scheme = TPM2_ALG_NULL, .keyBits = 2048},
                       .unique.rsa = {.size = 256}}};
    tpm->tcti.wait_ms = HF_TCTI_RSA_WAIT_MS; /* chips take their time to make an RSA key */
    TSS2_RC rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &template, &no_data, &no_pcrs,
                                    ret, NULL, NULL, NULL, NULL);
    tpm->tcti.wait_ms = HF_TCTI_WAIT_MS;
    if (rc != TSS2_RC_SUCCESS)
        *ret = ESYS_TR_NONE;
    return hf_tpm_verdict(tpm, rc, "make its endorsement key", error);
}

/* The one that lies ready in the TPM, when it is the certificate's; ESYS_TR_NONE otherwise. */
static enum hf_result find_ek(struct hf_tpm *tpm, EVP_PKEY *certified, ESYS_TR *ret, struct hf_error *error)
{
    ESYS_TR found;
    TPM2B_PUBLIC *public = NULL;
    BIGNUM *modulus = NULL;
    *ret = ESYS_TR_NONE;
    TSS2_RC rc = Esys_TR_FromTPMPublic(tpm->esys, EK_PERSISTENT, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &found);
    if (rc != TSS2_RC_SUCCESS && !(rc & TSS2_RC_LAYER_MASK))
        return HF_OK; /* none is there */
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_ReadPublic(tpm->esys, found, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, NULL, NULL);
    HF_TRY(hf_tpm_verdict(tpm, rc, "show its endorsement key", error));
    HF_ASSERT(public);
    const TPM2B_PUBLIC_KEY_RSA *own = &public->publicArea.unique.rsa;
    uint8_t bytes[TPM2_MAX_RSA_KEY_BYTES];
    if (public->publicArea.type == TPM2_ALG_RSA && EVP_PKEY_get_bn_param(certified, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1 &&
        BN_bn2binpad(modulus, bytes, own->size) == own->size && hf_equal_ct(bytes, own->buffer, own->size))
        *ret = found;
    BN_free(modulus);
    free(public);
    return HF_OK;
}

/* A key that signs only what the TPM itself says. */
static enum hf_result make_ak(struct hf_tpm *tpm, ESYS_TR *ret, TPM2B_PUBLIC **ret_public, struct hf_error *error)
{
    static const TPM2B_SENSITIVE_CREATE no_auth;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    static const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC, .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                           TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
                       .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                                                .curveID = TPM2_ECC_NIST_P256, .kdf.scheme = TPM2_ALG_NULL},
                       .unique.ecc = {.x = {.size = 32}, .y = {.size = 32}}}};
    TSS2_RC rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, &template, &no_data, &no_pcrs,
                                    ret, ret_public, NULL, NULL, NULL);
    if (rc != TSS2_RC_SUCCESS)
        *ret = ESYS_TR_NONE;
    HF_TRY(hf_tpm_verdict(tpm, rc, "make an attestation key", error));
    /* The Name that the credential is made for holds these: a key that somebody brought along would say what he likes. */
    if ((*ret_public)->publicArea.objectAttributes != template.publicArea.objectAttributes)
        return hf_fail(error, HF_REFUSED, "the attestation key is not one that was made in the TPM");
    return HF_OK;
}

/* ActivateCredential: only the TPM with the certificate's key opens it, and only for the attestation key of that Name. */
static enum hf_result activate(struct hf_tpm *tpm, EVP_PKEY *certified, ESYS_TR ek, ESYS_TR ak, const TPM2B_NAME *ak_name, struct hf_error *error)
{
    uint8_t wanted[HF_CREDENTIAL_LEN];
    TPM2B_ID_OBJECT blob = {0};
    TPM2B_ENCRYPTED_SECRET secret = {0};
    TPM2B_DIGEST *opened = NULL;
    ESYS_TR session;
    hf_random(wanted, sizeof wanted);
    if (hf_credential_make(certified, ak_name, wanted, &blob, &secret) != HF_OK)
        return hf_fail(error, HF_REFUSED, "the EK certificate's key is not an RSA key that can be used");
    HF_TRY(hf_tpm_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_CONTINUESESSION, &session, error));
    TSS2_RC rc = Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, session, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0, NULL, NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_ActivateCredential(tpm->esys, ak, ek, ESYS_TR_PASSWORD, session, ESYS_TR_NONE, &blob, &secret, &opened);
    hf_tpm_flush(tpm, &session);
    bool same = rc == TSS2_RC_SUCCESS && opened->size == sizeof wanted && hf_equal_ct(opened->buffer, wanted, sizeof wanted);
    free(opened);
    if (rc & TSS2_RC_LAYER_MASK)
        return hf_tpm_verdict(tpm, rc, "prove its endorsement key", error);
    return same ? HF_OK : hf_fail(error, HF_REFUSED, "the TPM does not hold the key of its own EK certificate");
}

static EVP_PKEY *public_key(const TPM2B_PUBLIC *public)
{
    const TPMS_ECC_POINT *point = &public->publicArea.unique.ecc;
    uint8_t bytes[65] = {4};
    if (point->x.size > 32 || point->y.size > 32)
        return NULL;
    memcpy(bytes + 1 + 32 - point->x.size, point->x.buffer, point->x.size);
    memcpy(bytes + 33 + 32 - point->y.size, point->y.buffer, point->y.size);
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM parameters[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t) "P-256", 0),
                               OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes, sizeof bytes), OSSL_PARAM_END};
    if (!context || EVP_PKEY_fromdata_init(context) != 1 || EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    return key;
}

static bool is_signed(const TPM2B_PUBLIC *ak, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature)
{
    uint8_t digest[32];
    uint8_t *der = NULL;
    const TPMS_SIGNATURE_ECC *pair = &signature->signature.ecdsa;
    ECDSA_SIG *numbers = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(pair->signatureR.buffer, pair->signatureR.size, NULL), *s = BN_bin2bn(pair->signatureS.buffer, pair->signatureS.size, NULL);
    EVP_PKEY *key = public_key(ak);
    EVP_PKEY_CTX *context = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    bool good = signature->sigAlg == TPM2_ALG_ECDSA && numbers && r && s && ECDSA_SIG_set0(numbers, r, s) == 1;
    if (good)
        r = s = NULL; /* the signature's now */
    int len = good ? i2d_ECDSA_SIG(numbers, &der) : -1;
    (void)crypto_hash_sha256(digest, attest->attestationData, attest->size);
    good = len > 0 && context && EVP_PKEY_verify_init(context) == 1 && EVP_PKEY_verify(context, der, (size_t)len, digest, sizeof digest) == 1;
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(numbers);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
    return good;
}

static bool is_name(const TPM2B_NAME *name, const uint8_t wanted[HF_TPM_NAME_LEN])
{
    return name->size == HF_TPM_NAME_LEN && hf_equal_ct(name->name, wanted, HF_TPM_NAME_LEN);
}

/* Signed by ak, made by a TPM just now (the nonce), about what is asked. */
static bool says(const TPM2B_PUBLIC *ak, const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature, const TPM2B_DATA *nonce, TPMI_ST_ATTEST type,
                 const uint8_t name[HF_TPM_NAME_LEN])
{
    TPMS_ATTEST said = {0};
    size_t at = 0;
    if (!is_signed(ak, attest, signature) || Tss2_MU_TPMS_ATTEST_Unmarshal(attest->attestationData, attest->size, &at, &said) != TSS2_RC_SUCCESS ||
        said.magic != TPM2_GENERATED_VALUE || said.type != type || said.extraData.size != nonce->size ||
        !hf_equal_ct(said.extraData.buffer, nonce->buffer, nonce->size))
        return false;
    return is_name(type == TPM2_ST_ATTEST_NV ? &said.attested.nv.indexName : &said.attested.certify.name, name);
}

static enum hf_result certify(struct hf_tpm *tpm, ESYS_TR ak, const TPM2B_PUBLIC *ak_public, ESYS_TR pin, const uint8_t pin_name[HF_TPM_NAME_LEN],
                              struct hf_error *error)
{
    static const TPMT_SIG_SCHEME keys_own = {.scheme = TPM2_ALG_NULL};
    TPM2B_DATA nonce = {.size = NONCE_LEN};
    TPM2B_ATTEST *srk_attest = NULL, *pin_attest = NULL;
    TPMT_SIGNATURE *srk_signature = NULL, *pin_signature = NULL;
    hf_random(nonce.buffer, NONCE_LEN);
    TSS2_RC rc = Esys_Certify(tpm->esys, tpm->srk, ak, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE, &nonce, &keys_own, &srk_attest, &srk_signature);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_NV_Certify(tpm->esys, ak, ESYS_TR_RH_OWNER, pin, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, ESYS_TR_NONE, &nonce, &keys_own, 8, 0, &pin_attest,
                             &pin_signature);
    enum hf_result result = hf_tpm_verdict(tpm, rc, "certify its own keys", error);
    HF_ASSERT(result != HF_OK || (srk_attest && srk_signature && pin_attest && pin_signature));
    if (result == HF_OK && (!says(ak_public, srk_attest, srk_signature, &nonce, TPM2_ST_ATTEST_CERTIFY, tpm->srk_name.name) ||
                            !says(ak_public, pin_attest, pin_signature, &nonce, TPM2_ST_ATTEST_NV, pin_name)))
        result = hf_fail(error, HF_REFUSED, "storage key or P do not lie in the TPM of the EK certificate");
    free(srk_attest);
    free(pin_attest);
    free(srk_signature);
    free(pin_signature);
    return result;
}

static enum hf_result prove_chip(struct hf_tpm *tpm, EVP_PKEY *certified, const uint8_t pin_name[HF_TPM_NAME_LEN], ESYS_TR pin, struct hf_error *error)
{
    ESYS_TR ek = ESYS_TR_NONE, ak = ESYS_TR_NONE;
    TPM2B_PUBLIC *ak_public = NULL;
    TPM2B_NAME *ak_name = NULL;
    enum hf_result result = make_ak(tpm, &ak, &ak_public, error);
    if (result == HF_OK)
        result = hf_tpm_verdict(tpm, Esys_TR_GetName(tpm->esys, ak, &ak_name), "name its attestation key", error);
    if (result == HF_OK)
        result = find_ek(tpm, certified, &ek, error);
    bool ready = ek != ESYS_TR_NONE;
    if (result == HF_OK && !ready)
        result = make_ek(tpm, &ek, error);
    if (result == HF_OK)
        result = activate(tpm, certified, ek, ak, ak_name, error);
    if (!ready)
        hf_tpm_flush(tpm, &ek);
    if (result == HF_OK)
        result = certify(tpm, ak, ak_public, pin, pin_name, error);
    hf_tpm_flush(tpm, &ak);
    free(ak_name);
    free(ak_public);
    return result;
}

enum hf_result hf_trust_prove(struct hf_tpm *tpm, int root, const uint8_t pin_name[HF_TPM_NAME_LEN], ESYS_TR pin, struct hf_error *error)
{
    X509 *certificate = NULL;
    enum hf_result result = read_certificate(tpm, &certificate, error);
    if (result == HF_OK)
        result = check_certificate(certificate, root, error);
    if (result == HF_OK)
        result = prove_chip(tpm, X509_get0_pubkey(certificate), pin_name, pin, error);
    X509_free(certificate);
    return result;
}
