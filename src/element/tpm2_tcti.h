/* element/tpm2_tcti.h: the wire to a TPM, as tpm2-tss wants it (a TCTI), over a Unix socket or the kernel's resource manager.
 *
 * Our own instead of tpm2-tss's loader: that one loads a library by a name out of the vault's files, and waits without limit.
 * Source: spec/50-element.md [EL-9]. */
#ifndef HF_ELEMENT_TPM2_TCTI_H
#define HF_ELEMENT_TPM2_TCTI_H

#include <stdbool.h>
#include <stdint.h>

#include <tss2/tss2_tcti.h>

#include "base/result.h"

#define HF_TCTI_DEFAULT "device:/dev/tpmrm0"
#define HF_TPM_MESSAGE_MAX 4096
/* A TPM's slowest command of ours takes under a second; more means that somebody else holds it. */
#define HF_TCTI_WAIT_MS 10000
#define HF_TCTI_RSA_WAIT_MS 90000

struct hf_tcti {
    TSS2_TCTI_CONTEXT_COMMON_V1 common; /* first: tpm2-tss sees this alone */
    int fd;
    int wait_ms;           /* for an answer; HF_TCTI_WAIT_MS, more while an RSA key is made */
    bool shared;           /* a resource manager keeps users apart and cleans up behind them */
    enum hf_result broken; /* why the wire failed; HF_OK: it has not */
};

/* conf: "device:/dev/tpmrmN", "swtpm:path=/ABSOLUTE"; empty: the default. HF_USAGE for anything else, HF_UNREACHABLE with what is wrong. */
HF_MUST_USE enum hf_result hf_tcti_open(const char *conf, struct hf_tcti *ret, struct hf_error *error);
void hf_tcti_close(struct hf_tcti *tcti);
/* Drops what an owner left in the TPM's memory (FlushContext, past tpm2-tss, which does not know the handle). */
HF_MUST_USE enum hf_result hf_tcti_flush(struct hf_tcti *tcti, uint32_t handle);

#endif
