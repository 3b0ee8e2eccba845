/* crypto/libcrypto.h: libcrypto's own memory. Its contexts hold key schedules, so from hf_libcrypto_guard on what it allocates lies in the secret arena.
 *
 * Call order: hf_secret_open, hf_libcrypto_start (nothing of libcrypto before it), hf_libcrypto_guard, then keys. Between the two libcrypto loads its
 * tables (hundreds of kilobytes, no secrets) into ordinary memory. The cost: a name 0.2 us more (1.5 to 1.75), a page nothing that can be measured. */
#ifndef HF_CRYPTO_LIBCRYPTO_H
#define HF_CRYPTO_LIBCRYPTO_H

#include "base/result.h"

/* HF_FAILED: libcrypto has allocated already. */
HF_MUST_USE enum hf_result hf_libcrypto_start(void);
void hf_libcrypto_guard(void);

#endif
