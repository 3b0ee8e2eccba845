/* proto/element.h: enclave -> element. The element serves one vault a process; HELLO comes first and once. Source: spec/50-element.md.
 *
 * | request    | body                                                                | reply body |
 * | HELLO      | vault id 16 | u32 kind (hf_element_kind; AUTO at creation only) | string tcti | u8 creating | span16 blob | u32 kind | status |
 * | PROVISION  | A 32 | Aq 32 | policy: u32 attempts | u32 delay_count | u32 delay_s… | u64 generation | u8 trusted | u32 measure | u32 slot | S 32 | D 32 | span16 blob        (once, when nothing is provisioned) |
 * | RELEASE    | A 32 | Aq 32                                                    | S 32; on HF_WRONG_PASSCODE, HF_DELAYED, HF_GONE: status instead, then u8 Q took it [DU-3] |
 * | DEVICE     | -                                                               | D 32 |
 * | PREPARE    | A' 32 | Aq' 32 | seal                                                    | u32 new slot | S' 32 | span16 blob'   (only after a RELEASE that succeeded in this process; old slot stays alive) |
 * | COMMIT     | u32 slot                                                        | -   durable: slot stays, the other is destroyed, failures := 0 for a new slot |
 * | GENERATION | u8 op 0 read, 1 step to | u64 value                             | u64 generation in force  (step only upward) |
 * | STATUS     | -                                                               | status |
 * | ERASE      | -                                                               | -   S and D of both slots destroyed, durably, first of all |
 * | DECOY      | -                                                              | as PROVISION   only after a RELEASE that Q took: P and Q go first of all [DU-6] |
 * | REFRESH    | Aq 32                                                           | u8 Q is stale still   (only after a RELEASE that succeeded in this process: Q takes its own authorisation, and its count is 0 [DU-4]) |
 * | HEAD       | u8 make it again when it is gone | u64 value                      | u64 count in force  H, upward alone |
 * | FRESH      | A 32 | Aq 32 | policy | u64 generation | u8 trusted | u32 measure | u32 kind | string tcti | as PROVISION: throws away whatever is there for this vault (recover) |
 * status = u32 kind | u8 state (hf_element_state) | u8 hardware | string vendor | u32 failed | u32 limit | u32 retry_after_s | u8 erases
 *          | u64 generation | u32 current slot | u32 failed since the last success (shown at unlock) | string public (JSON object text of public parts, "{}" for software)
 *          | u8 software (hf_software_fit) | u8 predicted: a second seal waits for its first unlock | u32 PCRs that are measured | u32 of them: nothing was measured into
 *          | u8 head counted | u64 head count | u8 Q is stale | u32 pace ms
 * Aq: Q's authorisation, random where no duress passcode is set; the software element takes no notice of it.
 * seal = u8 how (hf_seal_how) | u32 measure (PRESENT alone; else KEEP) | predicted values (format/measure.h; PREDICTED alone, else none)
 * measure: a mask of PCRs, 0 none; HF_MEASURE_KEEP: those measured until now (FRESH and PREPARE). Software that the vault is not sealed to: HF_REFUSED.
 * generation at PROVISION and FRESH: the keybag's before the one that will be written (0 at creation): the count starts there. trusted: the owner says that the TPM is hardware. blob: as the keybag holds it.
 * RELEASE counts durably before it judges; success clears the count durably before S is sent. */
#ifndef HF_PROTO_ELEMENT_H
#define HF_PROTO_ELEMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/writer.h"
#include "format/measure.h"

enum hf_element_request {
    HF_EL_HELLO = 0x0401,
    HF_EL_PROVISION,
    HF_EL_RELEASE,
    HF_EL_DEVICE,
    HF_EL_PREPARE,
    HF_EL_COMMIT,
    HF_EL_GENERATION,
    HF_EL_STATUS,
    HF_EL_ERASE,
    HF_EL_FRESH,
    HF_EL_DECOY,
    HF_EL_HEAD,
    HF_EL_REFRESH
};

enum hf_element_state { HF_ELEMENT_EMPTY = 0, HF_ELEMENT_ACTIVE = 1, HF_ELEMENT_FINISHED = 2 /* limit reached */, HF_ELEMENT_ERASED = 3 };

/* Does the software that runs fit a seal? */
enum hf_software_fit { HF_FIT_UNMEASURED = 0, HF_FIT_IN_FORCE = 1, HF_FIT_PREDICTED = 2, HF_FIT_NONE = 3 };
enum hf_seal_how { HF_SEAL_KEEP = 0 /* the seals there are */, HF_SEAL_PRESENT = 1 /* one, to the values in force, or to those there are now */,
                   HF_SEAL_PREDICTED = 2 /* two: to the values in force, and to these */ };

struct hf_seal_request {
    uint8_t how;
    uint32_t measure;
    struct hf_measure predicted;
};

#define HF_ELEMENT_PUBLIC_MAX 6144

struct hf_element_status {
    uint32_t kind;
    uint8_t state;
    bool hardware;
    char vendor[64];
    uint32_t failed, limit, retry_after_s;
    bool erases;
    uint64_t generation;
    uint32_t slot;
    uint32_t failed_since_success;
    char public_json[HF_ELEMENT_PUBLIC_MAX];
    uint8_t fit;     /* enum hf_software_fit */
    bool predicted;  /* a second seal waits */
    uint32_t pcrs, untouched_pcrs;
    bool head_counted;   /* a counter holds the head's count [FR-13] */
    uint64_t head_count;
    bool second_stale;   /* Q is to be made anew at the next unlock [DU-4] */
    uint32_t pace_ms;    /* how long P, Q and the seals took to make [DU-8] */
};

void hf_element_status_write(struct hf_writer *writer, const struct hf_element_status *status);
void hf_element_status_read(struct hf_reader *reader, struct hf_element_status *ret);
/* Rejects what is outside the layout above. */
void hf_seal_request_write(struct hf_writer *writer, const struct hf_seal_request *seal);
void hf_seal_request_read(struct hf_reader *reader, struct hf_seal_request *ret);

#endif
