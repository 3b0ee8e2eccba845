/* fs/keyring.h: the filesystem's side of the enclave channel: class metadata and name keys, a pool of new file keys, unwrapping. Thread-safe. */
#ifndef HF_FS_KEYRING_H
#define HF_FS_KEYRING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"
#include "format/class.h"
#include "format/fileheader.h"
#include "format/indexlog.h"
#include "keys/file_key.h"
#include "keys/meta_key.h"
#include "keys/name_key.h"

HF_MUST_USE enum hf_result hf_keyring_start(int socket);
/* Asks for the class keys again. */
HF_MUST_USE enum hf_result hf_keyring_refresh(void);
bool hf_keyring_has_name(unsigned class);
/* Files of the class can be opened. For unless-open that ends at a lock, while names, metadata and making files go on [UO-5]. */
bool hf_keyring_is_open(unsigned class);
/* Before hf_keyring_drop: from now on none of the classes is open to whoever asks; what they hold serves the last settle. */
void hf_keyring_closing(uint32_t mask);
bool hf_keyring_is_closing(unsigned class); /* a load: asked at each request */
/* The keys are there still: also while the class is closing. */
bool hf_keyring_holds(unsigned class);
/* The current one; 0: not even the metadata key is there. */
uint32_t hf_keyring_generation(unsigned class);
/* Copies; HF_LOCKED when it is not there, HF_DAMAGED when there never was such a generation. The caller wipes. */
HF_MUST_USE enum hf_result hf_keyring_meta(unsigned class, uint32_t generation, struct hf_meta_key *ret);
HF_MUST_USE enum hf_result hf_keyring_name(unsigned class, uint32_t generation, struct hf_name_key *ret);
/* A new file's static header and key. Class unless-open before the first unlock: one with HF_GENERATION_SPOOL [UO-8]. */
HF_MUST_USE enum hf_result hf_keyring_make(unsigned class, unsigned kind, uint8_t ret_static[HF_STATIC_LEN], struct hf_file_key *ret_key);
/* The same file key under the current generation of a class. */
HF_MUST_USE enum hf_result hf_keyring_rewrap(const uint8_t s[HF_STATIC_LEN], unsigned class, uint8_t ret_s[HF_STATIC_LEN]);
HF_MUST_USE enum hf_result hf_keyring_open(const uint8_t s[HF_STATIC_LEN], struct hf_file_key *ret_key);
/* Forgets the pools and name keys of the classes. The metadata keys stay. */
void hf_keyring_drop(uint32_t mask);
/* Back to before the first unlock: after hf_keyring_drop of all, the metadata keys too, but for class always'. */
void hf_keyring_drop_meta(void);
void hf_keyring_drop_all(void);
/* The head. HEAD_OPEN, HEAD_SETTLE, HEAD_CLOSE, HEAD_ACCEPT of proto/keys.h. tips: of the indexes, main and always. age: enum hf_head_age. */
HF_MUST_USE enum hf_result hf_keyring_head_open(uint32_t *ret_settled, uint8_t *ret_state, uint8_t ret_tips[2 * HF_INDEX_TIP_LEN], uint8_t *ret_age);
HF_MUST_USE enum hf_result hf_keyring_head_settle(uint32_t epoch, const uint8_t tips[2 * HF_INDEX_TIP_LEN]);
HF_MUST_USE enum hf_result hf_keyring_head_close(uint32_t epoch);
HF_MUST_USE enum hf_result hf_keyring_head_accept(void);

#endif
