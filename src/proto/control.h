/* proto/control.h: supervisor -> enclave. Secrets of the owner come and go through `secret` descriptors: one end of a socketpair
 * (SOCK_SEQPACKET) that the CLI made and the supervisor hands on unread. On it: CLI -> enclave one datagram per secret, in the order that the verb names
 * (u8 kind, bytes); enclave -> CLI one datagram u8 kind, bytes (a new recovery secret as its 32 bytes). Source: spec/60-processes.md [CH-3].
 *
 * | request       | descriptors | body | secrets on the channel | reply body |
 * | START         | -           | - | | reads the keybag, asks the element for D, checks the MAC and generation, opens the device section: enclave status. HF_DAMAGED, HF_GONE, HF_UNREACHABLE as found, still with enclave status as body |
 * | CREATE        | secret      | policy | u32 memory_kib (0: auto) | u32 passes | u32 element kind | string tcti | u8 recovery | u8 trusted TPM | u32 measure | u8 sentence | -> passcode, -> sentence when said; <- recovery secret when wanted | vault id 16 | u32 PCRs of measure that nothing was measured into | u8 Argon2id's memory may reach swap |
 * | UNLOCK        | secret      | - | -> passcode | enclave status (HF_OK), else element numbers in the text |
 * | LOCK          | -           | u32 mask of classes to forget | | - |
 * | PASSCODE      | secret      | - | -> old passcode, -> new passcode | - |
 * | RECOVER       | secret      | u8 test | u32 element kind | string tcti | u8 trusted TPM | u32 measure | u8 sentence | -> recovery secret [-> new passcode when not test] [-> sentence when said] | u32 class keys made |
 * | NEW_RECOVERY  | secret      | - | -> passcode; <- recovery secret | - |
 * | RESEAL        | secret      | seal (proto/element.h) | u8 sentence (hf_sentence_change) | -> passcode [-> sentence when new] | - |
 * | SENTENCE      | secret      | - | <- sentence (empty: none) | - |
 * | DURESS        | secret      | u8 take it away | -> passcode [-> duress passcode when not taken away] | - |
 * | ROTATE        | -           | u8 class (0: all that are available) | | u32 generation      needs unlocked |
 * | ERASE         | -           | u8 even without the element | | -    element first, then the keybag, head and everything else in .holdfast; memory last |
 * | STATUS        | -           | - | | enclave status |
 * | SETTINGS      | secret      | u32 which (HF_SETTING_*) | u32 grace_s | u32 inactivity_s | u32 screen lock | -> passcode | enclave status     only what `which` names is changed |
 * A refused passcode's answer has no body, or u8 1: it was the duress passcode, everything is destroyed, and the supervisor evicts all classes at once.
 * enclave status = u8 loaded | vault id 16 | u64 generation | policy | u8 has_recovery | u32 kdf memory | u32 passes | u32 lanes | u32 available mask | u32 meta mask
 *                | u8 was unlocked since start | u32 failed since the last unlock (as told by the element at that unlock) | element status (proto/element.h) | u8 secret memory kind | u8 Argon2id's memory may reach swap | string note
 * policy = u32 attempts | u32 delay_count | u32 delay_s… | u32 grace_s | u32 inactivity_s | u32 profile | u32 screen lock */
#ifndef HF_PROTO_CONTROL_H
#define HF_PROTO_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/keybag.h"
#include "format/policy.h"
#include "proto/element.h"

enum hf_control_request {
    HF_CTL_START = 0x0201,
    HF_CTL_CREATE,
    HF_CTL_UNLOCK,
    HF_CTL_LOCK,
    HF_CTL_PASSCODE,
    HF_CTL_RECOVER,
    HF_CTL_NEW_RECOVERY,
    HF_CTL_ROTATE,
    HF_CTL_ERASE,
    HF_CTL_STATUS,
    HF_CTL_SETTINGS,
    HF_CTL_RESEAL,
    HF_CTL_SENTENCE,
    HF_CTL_DURESS
};

#define HF_SETTING_GRACE 1u
#define HF_SETTING_INACTIVITY 2u
#define HF_SETTING_SCREEN_LOCK 4u

enum hf_secret_message { HF_SECRET_PASSCODE = 1, HF_SECRET_NEW_PASSCODE = 2, HF_SECRET_RECOVERY = 3, HF_SECRET_SENTENCE = 4 };
enum hf_sentence_change { HF_SENTENCE_KEPT = 0, HF_SENTENCE_NEW = 1, HF_SENTENCE_NONE = 2 };

struct hf_enclave_status {
    bool loaded;
    uint8_t vault_id[16];
    uint64_t generation;
    struct hf_policy policy;
    bool has_recovery;
    uint32_t kdf_memory_kib, kdf_passes, kdf_lanes;
    uint32_t available, meta; /* HF_CLASS_BIT masks */
    bool unlocked_once;
    uint32_t failed_since_unlock;
    struct hf_element_status element;
    uint8_t secret_memory; /* enum hf_secret_kind */
    bool kdf_may_swap;     /* [EL-23] */
    char note[256];
};

void hf_enclave_status_write(struct hf_writer *writer, const struct hf_enclave_status *status);
void hf_enclave_status_read(struct hf_reader *reader, struct hf_enclave_status *ret);

#endif
