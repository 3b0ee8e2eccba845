/* What an owner and an auditor may see. Nothing here is secret. */
#include <stdio.h>
#include <string.h>

#include "base/base64url.h"
#include "element/tpm2.h"
#include "element/tpm2_names.h"
#include "element/tpm2_trust.h"

#pragma GCC poison memcmp strcpy sprintf

void hf_tpm2_public_json(const struct hf_tpm2 *t, char *out, size_t cap)
{
    uint8_t name[HF_TPM_NAME_LEN];
    char pin_name[2 * HF_TPM_NAME_LEN + 1], srk_name[2 * HF_TPM_NAME_LEN + 1], value[17], key[129];
    char release[2 * HF_TPM_SEALED_PUBLIC_MAX + 1], device[2 * HF_TPM_SEALED_PUBLIC_MAX + 1], id[33];
    const struct hf_tpm2_blob *blob = &t->blob;
    (void)snprintf(out, cap, "{}");
    if (!t->known)
        return;
    hf_tpm2_pin_name(&blob->pin, blob->counter, t->vault_id, name);
    hf_hex_encode(name, sizeof name, pin_name);
    hf_hex_encode(blob->srk_name, sizeof blob->srk_name, srk_name);
    hf_hex_encode(blob->pin.gate_value, sizeof blob->pin.gate_value, value);
    hf_hex_encode(blob->pin.gate_key, sizeof blob->pin.gate_key, key);
    hf_hex_encode(blob->release.public, blob->release.public_len, release);
    hf_hex_encode(blob->device.public, blob->device.public_len, device);
    hf_hex_encode(t->vault_id, sizeof t->vault_id, id);
    (void)snprintf(out, cap,
                   "{\"nv_pin\":\"0x%08x\",\"nv_counter\":\"0x%08x\",\"nv_generation\":\"0x%08x\",\"nv_pin_name\":\"%s\",\"srk_name\":\"%s\","
                   "\"gate_value\":\"%s\",\"gate_key\":\"%s\",\"sealed_public\":\"%s\",\"sealed_device_public\":\"%s\",\"pin_state\":\"%s\","
                   "\"element_vault_id\":\"%s\",\"trust\":\"%s\",\"trust_why\":\"%s\"}",
                   blob->pin.handle, blob->counter, blob->generation_counter, pin_name, srk_name, value, key, release, device,
                   t->replaced ? "replaced" : t->lost ? "gone" : t->state == HF_ELEMENT_ACTIVE || t->state == HF_ELEMENT_FINISHED ? "whole" : "gone", id,
                   blob->trust == HF_TRUST_CERTIFICATE ? "certificate" : blob->trust == HF_TRUST_OWNER ? "owner" : "none", blob->trust_why);
}

enum hf_result hf_tpm2_status(struct hf_tpm2 *t, struct hf_element_status *ret)
{
    struct hf_element_status status = {.kind = HF_ELEMENT_TPM2, .state = t->state, .hardware = t->known && t->blob.trust != HF_TRUST_NONE, .failed = t->count, .generation = t->generation,
                                       .failed_since_success = t->count};
    if (t->known) {
        status.limit = t->blob.policy.attempts;
        status.erases = true;
        /* An unfinished change shows as the other slot: whoever authenticates the keybag then commits the one it names. */
        status.slot = t->unfinished ? 1 - t->blob.slot : t->blob.slot;
    }
    if (t->state == HF_ELEMENT_ACTIVE)
        HF_TRY(hf_tpm2_delay(t, t->count, &status.retry_after_s));
    (void)snprintf(status.vendor, sizeof status.vendor, "%s", t->vendor);
    hf_tpm2_public_json(t, status.public_json, sizeof status.public_json);
    *ret = status;
    return HF_OK;
}
