/* What an owner and an auditor may see. Nothing here is secret. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64url.h"
#include "element/tpm2.h"
#include "element/tpm2_names.h"
#include "element/tpm2_trust.h"

#pragma GCC poison memcmp strcpy sprintf

/* Goes on behind what out holds already. */
__attribute__((format(printf, 3, 4))) static void add(char *out, size_t cap, const char *fmt, ...)
{
    size_t at = strlen(out);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(out + at, cap - at, fmt, args);
    va_end(args);
}

static void add_values(char *out, size_t cap, const char *key, const struct hf_measure *measure)
{
    char value[2 * HF_PCR_LEN + 1];
    const char *comma = "";
    add(out, cap, ",\"%s\":{", key);
    for (unsigned pcr = 0; pcr < HF_PCR_COUNT; pcr++) {
        if (!(measure->mask & HF_PCR_BIT(pcr)))
            continue;
        hf_hex_encode(measure->value[pcr], HF_PCR_LEN, value);
        add(out, cap, "%s\"%u\":\"%s\"", comma, pcr, value);
        comma = ",";
    }
    add(out, cap, "}");
}

/* What is measured, and whether the software that runs is what it was sealed to. */
static void add_measured(const struct hf_tpm2 *t, char *out, size_t cap)
{
    static const char *const fits[] = {"unknown", "in-force", "predicted", "other"};
    char release[2 * HF_TPM_SEALED_PUBLIC_MAX + 1], device[2 * HF_TPM_SEALED_PUBLIC_MAX + 1];
    const struct hf_tpm2_blob *blob = &t->blob;
    add(out, cap, ",\"measured\":%s,\"reseal_pending\":%s", blob->seals[0].measure.mask ? "true" : "false", blob->seal_count > 1 ? "true" : "false");
    if (blob->seals[0].measure.mask == 0)
        return;
    add(out, cap, ",\"software\":\"%s\"", fits[t->fit]);
    add_values(out, cap, "pcrs", &blob->seals[0].measure);
    if (blob->seal_count < 2)
        return;
    add_values(out, cap, "pcrs_predicted", &blob->seals[1].measure);
    hf_hex_encode(blob->seals[1].release.public, blob->seals[1].release.public_len, release);
    hf_hex_encode(blob->seals[1].device.public, blob->seals[1].device.public_len, device);
    add(out, cap, ",\"sealed_public_predicted\":\"%s\",\"sealed_device_public_predicted\":\"%s\"", release, device);
}

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
    hf_hex_encode(blob->seals[0].release.public, blob->seals[0].release.public_len, release);
    hf_hex_encode(blob->seals[0].device.public, blob->seals[0].device.public_len, device);
    hf_hex_encode(t->vault_id, sizeof t->vault_id, id);
    (void)snprintf(out, cap,
                   "{\"nv_pin\":\"0x%08x\",\"nv_counter\":\"0x%08x\",\"nv_generation\":\"0x%08x\",\"nv_head\":\"0x%08x\",\"nv_second\":\"0x%08x\",\"nv_pin_name\":\"%s\",\"srk_name\":\"%s\","
                   "\"gate_value\":\"%s\",\"gate_key\":\"%s\",\"sealed_public\":\"%s\",\"sealed_device_public\":\"%s\",\"pin_state\":\"%s\","
                   "\"element_vault_id\":\"%s\",\"trust\":\"%s\",\"trust_why\":\"%s\"",
                   blob->pin.handle, blob->counter, blob->generation_counter, blob->head_counter, blob->second.handle, pin_name, srk_name, value, key, release, device,
                   t->replaced ? "replaced" : t->lost ? "gone" : t->state == HF_ELEMENT_ACTIVE || t->state == HF_ELEMENT_FINISHED ? "whole" : "gone", id,
                   blob->trust == HF_TRUST_CERTIFICATE ? "certificate" : blob->trust == HF_TRUST_OWNER ? "owner" : "none", blob->trust_why);
    add_measured(t, out, cap);
    add(out, cap, "}");
}

enum hf_result hf_tpm2_status(struct hf_tpm2 *t, struct hf_element_status *ret)
{
    struct hf_element_status status = {.kind = HF_ELEMENT_TPM2, .state = t->state, .hardware = t->known && t->blob.trust != HF_TRUST_NONE, .failed = t->count, .generation = t->generation,
                                       .failed_since_success = t->count};
    if (t->known) {
        status.limit = t->blob.policy.attempts;
        status.erases = true;
        status.fit = (uint8_t)t->fit;
        status.head_counted = t->head_counted;
        status.head_count = t->head_count;
        status.second_stale = t->second_stale;
        status.pace_ms = t->blob.pace_ms;
        status.predicted = t->blob.seal_count > 1;
        status.pcrs = t->blob.seals[0].measure.mask;
        status.untouched_pcrs = hf_measure_untouched(&t->blob.seals[0].measure);
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
