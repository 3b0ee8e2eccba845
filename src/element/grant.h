/* element/grant.h: what an element gives when it takes a passcode on: at provisioning and at a change. Lives on the secret stack; the caller wipes. */
#ifndef HF_ELEMENT_GRANT_H
#define HF_ELEMENT_GRANT_H

#include <stddef.h>
#include <stdint.h>

#include "format/keybag.h"
#include "keys/device_secret.h"
#include "keys/release_secret.h"

struct hf_grant {
    uint32_t slot;
    struct hf_release_secret release;
    struct hf_device_secret device;
    size_t blob_len; /* 0 with the software element */
    uint8_t blob[HF_KEYBAG_ELEMENT_BLOB_MAX];
};

#endif
