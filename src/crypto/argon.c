#include "crypto/argon.h"

#include <argon2.h>
#include <sys/sysinfo.h>

#include "keys/wipe.h"
#include "os/clock.h"
#include "os/secret.h"

#pragma GCC poison memcmp strcpy sprintf

enum { PASSES = 3, OUTPUT_LEN = HF_ELEMENT_AUTH_LEN + HF_KEK_HALF_LEN };

/* libargon2's callbacks take no argument of ours. */
static _Thread_local bool arena_locked;

static int arena_alloc(uint8_t **ret, size_t len)
{
    *ret = hf_secret_big_alloc(len, &arena_locked);
    return *ret ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

static void arena_free(uint8_t *arena, size_t len)
{
    hf_secret_big_free(arena, len);
}

static bool cost_allowed(const struct hf_argon_cost *cost)
{
    return cost->memory_kib >= HF_ARGON_MIN_KIB && cost->memory_kib <= HF_ARGON_MAX_KIB && cost->passes >= 1 &&
           cost->passes <= HF_ARGON_MAX_PASSES && cost->lanes >= 1 && cost->lanes <= HF_ARGON_MAX_LANES;
}

static enum hf_result run(const uint8_t *passcode, size_t len, const uint8_t salt[HF_ARGON_SALT_LEN], const struct hf_argon_cost *cost,
                          uint8_t out[OUTPUT_LEN])
{
    argon2_context context = {
        .out = out,
        .outlen = OUTPUT_LEN,
        .pwd = (uint8_t *)(uintptr_t)passcode, /* only read: ARGON2_FLAG_CLEAR_PASSWORD is not set */
        .pwdlen = (uint32_t)len,
        .salt = (uint8_t *)(uintptr_t)salt,
        .saltlen = HF_ARGON_SALT_LEN,
        .t_cost = cost->passes,
        .m_cost = cost->memory_kib,
        .lanes = cost->lanes,
        .threads = 1,
        .version = ARGON2_VERSION_13,
        .allocate_cbk = arena_alloc,
        .free_cbk = arena_free,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    int status = argon2id_ctx(&context);
    HF_ASSERT(status == ARGON2_OK || status == ARGON2_MEMORY_ALLOCATION_ERROR);
    return status == ARGON2_OK ? HF_OK : HF_NO_MEMORY;
}

enum hf_result hf_argon_derive(const struct hf_passcode *passcode, const uint8_t salt[HF_ARGON_SALT_LEN], const struct hf_argon_cost *cost,
                               struct hf_element_auth *ret_auth, struct hf_kek_half *ret_half, bool *ret_locked)
{
    HF_ASSERT(passcode->len <= HF_PASSCODE_MAX);
    if (!cost_allowed(cost))
        return HF_REFUSED;
    uint8_t out[OUTPUT_LEN];
    enum hf_result result = run(passcode->bytes, passcode->len, salt, cost, out);
    if (result == HF_OK) {
        memcpy(ret_auth->bytes, out, HF_ELEMENT_AUTH_LEN);
        memcpy(ret_half->bytes, out + HF_ELEMENT_AUTH_LEN, HF_KEK_HALF_LEN);
        if (ret_locked)
            *ret_locked = arena_locked;
    }
    hf_wipe(out, sizeof out);
    return result;
}

/* Half of the free memory, or an eighth of all where that is more: sysinfo counts the page cache as taken. */
static uint32_t memory_limit_kib(uint32_t max_kib)
{
    uint64_t limit = max_kib < HF_ARGON_MAX_KIB ? max_kib : HF_ARGON_MAX_KIB;
    struct sysinfo info;
    if (sysinfo(&info) == 0) {
        uint64_t half_free = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit / 2 / 1024;
        uint64_t eighth = (uint64_t)info.totalram * info.mem_unit / 8 / 1024;
        uint64_t there = half_free > eighth ? half_free : eighth;
        limit = there < limit ? there : limit;
    }
    return limit > HF_ARGON_MIN_KIB ? (uint32_t)limit : HF_ARGON_MIN_KIB;
}

/* Milliseconds of one run, at least 1; 0 when there was no memory for it. */
static uint64_t time_run_ms(const struct hf_argon_cost *cost)
{
    static const uint8_t passcode[] = "calibration";
    static const uint8_t salt[HF_ARGON_SALT_LEN];
    uint8_t out[OUTPUT_LEN];
    uint64_t start_ns = hf_clock_ns();
    if (run(passcode, sizeof passcode, salt, cost, out) != HF_OK)
        return 0;
    uint64_t ms = (hf_clock_ns() - start_ns) / 1000000;
    return ms > 0 ? ms : 1;
}

/* The cost that would have taken target_ms, were time in proportion: more memory first, more passes where memory is at its limit. */
static struct hf_argon_cost scale(struct hf_argon_cost cost, uint64_t took_ms, uint32_t target_ms, uint32_t limit_kib)
{
    uint64_t work_kib = (uint64_t)cost.memory_kib * cost.passes * target_ms / took_ms;
    uint64_t memory = work_kib / PASSES / 1024 * 1024;
    uint64_t passes = PASSES;
    if (memory > limit_kib) {
        memory = limit_kib;
        passes = work_kib / memory;
    }
    cost.memory_kib = memory > HF_ARGON_MIN_KIB ? (uint32_t)memory : HF_ARGON_MIN_KIB;
    cost.passes = passes < HF_ARGON_MAX_PASSES ? (uint32_t)passes : HF_ARGON_MAX_PASSES;
    return cost;
}

struct hf_argon_cost hf_argon_calibrate(uint32_t max_kib, uint32_t target_ms)
{
    struct hf_argon_cost cost = {.memory_kib = HF_ARGON_MIN_KIB, .passes = PASSES, .lanes = 1};
    uint32_t limit_kib = memory_limit_kib(max_kib);
    (void)time_run_ms(&cost); /* warms up: clock, caches, the kernel's free pages */
    uint64_t took_ms = time_run_ms(&cost);
    if (took_ms == 0)
        return cost;
    struct hf_argon_cost guess = scale(cost, took_ms, target_ms, limit_kib);
    took_ms = time_run_ms(&guess);
    if (took_ms == 0) /* it must not fail at the first unlock: stay with what was there */
        return cost;
    if (took_ms > target_ms + target_ms / 4 || took_ms < target_ms - target_ms / 4)
        guess = scale(guess, took_ms, target_ms, limit_kib);
    return guess;
}
