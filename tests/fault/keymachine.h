/* tests/fault/keymachine.h: the two programs that hold keys, whole, each on a thread of this process, and what the supervisor and the command say to them. */
#ifndef HF_TEST_FAULT_KEYMACHINE_H
#define HF_TEST_FAULT_KEYMACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "format/fileheader.h"
#include "proto/control.h"

struct key_file {
    uint8_t s[HF_STATIC_LEN], key[32];
};

/* Once a process, before anything else is opened: the descriptors that the enclave has by number. */
void key_machine_reserve(void);
/* Once a child: starts element and enclave on disk_now. */
void key_machine_boot(void);

/* The verbs; each gives the enclave's verdict. */
enum hf_result key_start(void);
enum hf_result key_create(const char *passcode, uint32_t attempts, uint8_t ret_phrase[32]);
enum hf_result key_unlock(const char *passcode);
enum hf_result key_passcode(const char *old, const char *fresh);
enum hf_result key_new_phrase(const char *passcode, uint8_t ret_phrase[32]);
enum hf_result key_settings(const char *passcode, uint32_t grace_s);
enum hf_result key_rotate(void);
enum hf_result key_recover(const uint8_t phrase[32], const char *fresh);
enum hf_result key_recover_test(const uint8_t phrase[32]);
enum hf_result key_erase(bool even_without_element);
enum hf_result key_status(struct hf_enclave_status *ret);
enum hf_result key_head_open(uint32_t *ret_settled);
enum hf_result key_head_settle(uint32_t epoch);
enum hf_result key_file_make(unsigned class, struct key_file *ret);
enum hf_result key_file_open(const struct key_file *file); /* HF_DAMAGED: another key came */
/* The supervisor's durable intent. */
enum hf_result key_erase_mark(bool set);
bool key_erase_is_marked(void);

#endif
