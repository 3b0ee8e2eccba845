/* format/measure.h: which PCRs (SHA-256 bank) a vault is sealed to and with which values, how people write them, and the owner's sentence. Pure.
 * On disk and on channels: u16 mask | 32 bytes for each PCR of it, the lowest first. Source: spec/50-element.md [EL-17] [EL-21] [EL-22]. */
#ifndef HF_FORMAT_MEASURE_H
#define HF_FORMAT_MEASURE_H

#include <stdbool.h>

#include "base/reader.h"
#include "base/writer.h"

#define HF_PCR_COUNT 16
#define HF_PCR_LEN 32
#define HF_PCR_BIT(pcr) (1u << (pcr))
#define HF_MEASURE_DEFAULT (HF_PCR_BIT(7) | HF_PCR_BIT(11))
/* In requests, in a mask's place: as it is now. */
#define HF_MEASURE_KEEP 0x10000u
#define HF_SENTENCE_MAX 160 /* with its NUL */

struct hf_measure {
    uint32_t mask; /* of HF_PCR_BIT; 0: not measured */
    uint8_t value[HF_PCR_COUNT][HF_PCR_LEN];
};

void hf_measure_write(struct hf_writer *writer, const struct hf_measure *measure);
void hf_measure_read(struct hf_reader *reader, struct hf_measure *ret);
/* The PCRs in which they differ; 0: equal. */
uint32_t hf_measure_difference(const struct hf_measure *a, const struct hf_measure *b);
/* PCRs of it that nothing was measured into. */
uint32_t hf_measure_untouched(const struct hf_measure *measure);

/* "7,11". False when malformed, named twice, or above 15. */
bool hf_pcr_list_parse(const char *text, uint32_t *ret_mask);
/* "7, 11" */
void hf_pcr_list_print(uint32_t mask, char *out, size_t cap);
/* Adds what text says to *measure: PCR=HEX or PCR:sha256=HEX, by commas or lines; # comments. HF_USAGE with the reason; *measure may be half changed then. */
HF_MUST_USE enum hf_result hf_prediction_parse(struct hf_span text, struct hf_measure *measure, struct hf_error *error);

bool hf_sentence_is_sound(struct hf_span text);

#endif
