/* element/record.h: what the software element keeps about one vault, in one file replaced as a whole. Holds D in the clear and S under A:
 * this element's secrets are as safe as the state directory and the passcode. Source: spec/50-element.md [EL-*]. */
#ifndef HF_ELEMENT_RECORD_H
#define HF_ELEMENT_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/wrap.h"
#include "format/keybag.h"
#include "keys/device_secret.h"
#include "keys/element_auth.h"
#include "keys/release_secret.h"
#include "proto/element.h"

#define HF_ELEMENT_SLOTS 2
#define HF_ELEMENT_WRAP_LEN (HF_RELEASE_SECRET_LEN + HF_WRAP_OVERHEAD)

struct hf_element_slot {
    bool used;
    uint8_t wrap[HF_ELEMENT_WRAP_LEN]; /* S under A, aad vault id || slot u32 */
};

struct hf_element_record {
    uint8_t vault_id[16];
    struct hf_policy policy; /* attempts and delays alone count here */
    uint32_t failed, failed_since_success;
    uint8_t boot_id[16];     /* of delay_until_ms */
    uint64_t delay_until_ms; /* CLOCK_BOOTTIME */
    uint32_t delay_s;        /* the delay in force; 0: none. Starts afresh after another boot */
    uint8_t state;           /* enum hf_element_state */
    uint64_t generation;
    struct hf_device_secret device;
    uint32_t slot;
    struct hf_element_slot slots[HF_ELEMENT_SLOTS];
};

/* HF_NOT_FOUND, HF_DAMAGED, HF_IO. */
HF_MUST_USE enum hf_result hf_element_record_load(int dir, struct hf_element_record *ret);
HF_MUST_USE enum hf_result hf_element_record_save(int dir, const struct hf_element_record *record);

#endif
