/* proto/keys.h: filesystem -> enclave. No passcode and no class key ever travels here. Source: spec/60-processes.md [CH-6].
 *
 * | request    | body                                   | reply body |
 * | INFO       | -                                      | vault id 16 | u32 available (HF_CLASS_BIT mask: class key there now) | u32 meta (mask: meta key there) | u32 current generation × 4 (class 1…4) |
 * | CLASS_KEYS | u8 class | u32 generation (0: current) | u32 generation | meta key 32 | u8 open (files can be opened) | u8 has_name | name key 64 (when has_name)     HF_LOCKED when not even the meta key is there |
 * | MAKE       | u8 class | u8 kind | u8 n (<= 64)      | n × { S 256 | file key 32 }    fresh ids, keys and wraps |
 * | OPEN       | u8 n (<= 64) | n × S 256               | n × { u8 result | file key 32 (zeros unless HF_OK) }    HF_LOCKED, HF_DAMAGED each for itself |
 * | REWRAP     | S 256 | u8 new class                   | S 256    the same file key under the current generation of that class |
 * | HEAD_OPEN  | -                                      | u32 settled | u8 state found (hf_head_state) | index tips 2 × 32 (main, always) | u8 age (hf_head_age); the head says OPEN durably before the reply |
 * | HEAD_SETTLE| u32 epoch (> settled) | index tips 2 × 32 | -    durable |
 * | HEAD_ACCEPT| -                                      | -    everything was accepted: the head is the newest from now on; HF_LOCKED unless unlocked |
 * | HEAD_CLOSE | u32 epoch                              | -    settled := epoch, CLOSED, durable |
 * A file whose class is raised gets a fresh key: it is made anew and its content copied, no request is needed for that. */
#ifndef HF_PROTO_KEYS_H
#define HF_PROTO_KEYS_H

#define HF_KEYS_BATCH 64

enum hf_keys_request {
    HF_KEYS_INFO = 0x0301,
    HF_KEYS_CLASS_KEYS,
    HF_KEYS_MAKE,
    HF_KEYS_OPEN,
    HF_KEYS_REWRAP,
    HF_KEYS_HEAD_OPEN,
    HF_KEYS_HEAD_SETTLE,
    HF_KEYS_HEAD_CLOSE,
    HF_KEYS_HEAD_ACCEPT
};

/* Beside the element's counter: as it says; put back; the counter is gone, nobody can say. */
enum hf_head_age { HF_HEAD_NEWEST, HF_HEAD_OLDER, HF_HEAD_UNCOUNTED };

#endif
