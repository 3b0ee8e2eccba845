/* What stands in for the machine around enclave and element (test_keylife): a clock that the test moves, a fast function in Argon2id's place, no locked stacks. */
#include <string.h>
#include <sys/file.h>

#include "crypto/argon.h"
#include "crypto/kdf.h"
#include "enclave/enclave.h"
#include "os/clock.h"
#include "os/secret.h"
#include "standins.h"

uint8_t stand_boot;
uint64_t stand_ms = 1000;

enum hf_result hf_clock_boot_time(struct hf_boot_time *ret)
{
    memset(ret->boot_id, stand_boot, sizeof ret->boot_id);
    ret->ms = stand_ms;
    return HF_OK;
}

uint64_t hf_clock_span_ms(const char *test_variable, uint64_t otherwise)
{
    (void)test_variable;
    return otherwise;
}

uint64_t hf_clock_ms(void)
{
    return stand_ms;
}

uint64_t hf_clock_ns(void)
{
    return stand_ms * 1000000;
}

int hf_clock_timer(void)
{
    return -1;
}

void hf_clock_timer_set(int timer, uint64_t at_ms)
{
    (void)timer, (void)at_ms;
}

enum hf_result hf_argon_derive(const struct hf_passcode *passcode, const uint8_t salt[HF_ARGON_SALT_LEN], const struct hf_argon_cost *cost, struct hf_element_auth *ret_auth,
                               struct hf_kek_half *ret_half, bool *ret_locked)
{
    uint8_t key[32] = {0}, out[64];
    struct hf_span info[] = {HF_SPAN(passcode->bytes, passcode->len), HF_SPAN(salt, HF_ARGON_SALT_LEN)};
    (void)cost;
    hf_kdf(HF_KDF_NAME_KEY, key, info, 2, out, sizeof out);
    memcpy(ret_auth->bytes, out, 32);
    memcpy(ret_half->bytes, out + 32, 32);
    if (ret_locked)
        *ret_locked = true;
    return HF_OK;
}

struct hf_argon_cost hf_argon_calibrate(uint32_t max_kib, uint32_t target_ms)
{
    (void)max_kib, (void)target_ms;
    return (struct hf_argon_cost){HF_ARGON_MIN_KIB, 3, 1};
}

enum hf_secret_kind hf_secret_kind(void)
{
    return HF_SECRET_MLOCK;
}

bool hf_secret_machine_swaps(void)
{
    return false;
}

bool hf_secret_big_lockable(size_t len)
{
    (void)len;
    return true;
}

void hf_secret_wipe_stack(void)
{
}

enum hf_result hf_enclave_take_connection(const struct hf_enclave *e, int *ret_fd)
{
    (void)e, (void)ret_fd;
    return HF_PROTOCOL;
}

/* The element's directory is in memory: nobody else serves it. */
int flock(int fd, int operation)
{
    (void)fd, (void)operation;
    return 0;
}
