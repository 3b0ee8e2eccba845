/* element/tpm2_credential.h: MakeCredential in software: a secret that only the TPM with the given endorsement key (EK) can open, and only while it
 * holds the key of the given Name. Never asked of the TPM that is to prove itself. Source: TCG TPM 2.0 Library Part 1, 24 (credential protection). */
#ifndef HF_ELEMENT_TPM2_CREDENTIAL_H
#define HF_ELEMENT_TPM2_CREDENTIAL_H

#include <openssl/evp.h>
#include <tss2/tss2_tpm2_types.h>

#include "base/result.h"

#define HF_CREDENTIAL_LEN 32

/* ek: RSA, with the TCG's template L-1 (SHA-256, AES-128-CFB). HF_FAILED when OpenSSL refuses. */
HF_MUST_USE enum hf_result hf_credential_make(EVP_PKEY *ek, const TPM2B_NAME *name, const uint8_t credential[HF_CREDENTIAL_LEN], TPM2B_ID_OBJECT *ret_blob,
                                              TPM2B_ENCRYPTED_SECRET *ret_secret);

#endif
