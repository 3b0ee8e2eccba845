/* proto/owner.h: CLI -> supervisor, on the owner's socket or on the pair the CLI made when it started the supervisor. Verbs only; secrets travel on the `secret` descriptor,
 * which the supervisor hands to the enclave unread. Several verbs may follow on one connection. Source: spec/60-processes.md [CH-4].
 *
 * | verb     | descriptors     | body | reply body |
 * | CREATE   | secret          | string vault (absolute) | as CONTROL CREATE's body | as there |
 * | OPEN     | secret or none  | string vault | string mountpoint | u32 flags (HF_OPEN_*) | as STATUS |
 * | UNLOCK   | secret          | - | as STATUS |
 * | LOCK     | -               | u8 now | - |
 * | CLOSE    | -               | u8 force | - |
 * | STATUS   | -               | string vault (used when not open) | owner status |
 * | PASSCODE | secret          | string vault | - |
 * | RECOVER  | secret          | string vault | u8 test | u32 element kind | string tcti | u8 trusted TPM | u32 measure | u8 sentence | u32 classes |
 * | REPLACE  | secret          | string vault | -     a new recovery phrase |
 * | RESEAL   | secret          | string vault | as CONTROL RESEAL's body | - |
 * | DURESS   | secret          | string vault | u8 take it away | - |
 * | SENTENCE | secret          | string vault | -     before a passcode is asked for: starts the programs, which refuse other software [EL-21] |
 * | ROTATE   | -               | u8 class | u64 files     (PROGRESS first) |
 * | ERASE    | -               | string vault | - |
 * | CHECK    | -               | - | FINDING messages, then u64 objects | u64 findings |
 * | ACCEPT   | secret, or none for LIST | as proto/mount.h ACCEPT | FINDING messages, then u64 changed | u64 findings |
 * | SECRETS  | -               | string vault | u8 creating | string name: the abstract socket that takes this vault's secrets (packaged mode: the verbs
 *                                bring no descriptor then); empty: a pair, as above |
 * | SETTINGS | secret          | string vault | as CONTROL SETTINGS' body | - |
 * | WAIT     | -               | - | answers when the vault is closed (for --foreground) |
 * owner status = u8 state (hf_vault_state) | string mountpoint | enclave status | u32 open_unless_open | u32 for how many seconds the oldest | u32 pids: super, enclave, element, fs (0: not running) | u32 grace left s | string enclave_sha256 hex
 *              | u16 the verb under way (enum hf_owner_request; 0: none): then enclave and filesystem are told as last known | string vault | u32 since s | u8 watches | string bus note | string last stop | u8 freshness */
#ifndef HF_PROTO_OWNER_H
#define HF_PROTO_OWNER_H

#include <stdint.h>

#include "proto/control.h"

enum hf_owner_request {
    HF_OWN_CREATE = 0x0101,
    HF_OWN_OPEN,
    HF_OWN_UNLOCK,
    HF_OWN_LOCK,
    HF_OWN_CLOSE,
    HF_OWN_STATUS,
    HF_OWN_PASSCODE,
    HF_OWN_RECOVER,
    HF_OWN_REPLACE,
    HF_OWN_ROTATE,
    HF_OWN_ERASE,
    HF_OWN_CHECK,
    HF_OWN_WAIT,
    HF_OWN_SECRETS,
    HF_OWN_SETTINGS,
    HF_OWN_RESEAL,
    HF_OWN_SENTENCE,
    HF_OWN_ACCEPT,
    HF_OWN_DURESS
};

#define HF_OPEN_LOCKED 1u
#define HF_OPEN_ALLOW_OTHER 2u
#define HF_OPEN_READ_ONLY 4u
#define HF_OPEN_WAIT 8u
#define HF_OPEN_DATABASES 16u /* --for databases: the kernel gathers writes */
#define HF_OPEN_NO_FRESHNESS 32u

enum hf_vault_state {
    HF_STATE_CLOSED = 0,
    HF_STATE_BEFORE_FIRST_UNLOCK,
    HF_STATE_UNLOCKED,
    HF_STATE_LOCKING,
    HF_STATE_LOCKED,
    HF_STATE_ERASED
};

#define HF_WATCHES_SCREEN 1u
#define HF_WATCHES_SUSPEND 2u

struct hf_owner_status {
    uint8_t state;
    char mountpoint[4096];
    struct hf_enclave_status enclave;
    uint32_t open_unless_open, unless_open_s; /* [UO-7] how many, and for how long the oldest */
    uint32_t pid_super, pid_enclave, pid_element, pid_fs;
    uint32_t grace_left_s;
    char enclave_sha256[65];
    uint16_t under_way;
    char vault[4096];
    uint32_t since_s;    /* in this state */
    uint8_t watches;     /* HF_WATCHES_* */
    char bus_note[128];  /* what of them is missing */
    char last_stop[256]; /* how it ended last, when not in order */
    uint8_t freshness; /* proto/mount.h HF_FRESHNESS_*; of a vault that is not open: 0 */
};

void hf_owner_status_write(struct hf_writer *writer, const struct hf_owner_status *status);
void hf_owner_status_read(struct hf_reader *reader, struct hf_owner_status *ret);

#endif
