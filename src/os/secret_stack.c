/* hf_secret_run and hf_secret_wipe_stack: the stack that lies inside the arena. */
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "os/secret.h"
#include "os/secret_parts.h"

#if defined(__SANITIZE_ADDRESS__)
#define HF_WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HF_WITH_ASAN 1
#endif
#endif
#ifdef HF_WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum { WIPE_FRAME_BYTES = 4096, WIPE_OTHER_STACK_FRAMES = 16, FRAME_MARGIN_BYTES = 512 };

static struct {
    uint8_t *start;
    size_t len;
} stack;

void hf_secret_stack_init(void *start, size_t len)
{
    stack.start = start;
    stack.len = len;
}

/* What the new stack starts with (makecontext passes no pointers portably), and where it came from. */
static struct {
    int (*fn)(void *arg);
    void *arg;
    int value;
    ucontext_t here;
    ucontext_t there;
    const void *old_bottom;
    size_t old_len;
} call;

static void enter_stack(void)
{
#ifdef HF_WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, &call.old_bottom, &call.old_len);
#endif
    call.value = call.fn(call.arg);
#ifdef HF_WITH_ASAN
    __sanitizer_start_switch_fiber(NULL, call.old_bottom, call.old_len);
#endif
}

/* Returns when enter_stack has. */
static void switch_stack(void)
{
#ifdef HF_WITH_ASAN
    void *fake_stack = NULL;
    __sanitizer_start_switch_fiber(&fake_stack, stack.start, stack.len);
#endif
    HF_ASSERT(swapcontext(&call.here, &call.there) == 0);
#ifdef HF_WITH_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
}

int hf_secret_run(int (*fn)(void *arg), void *arg)
{
    HF_ASSERT(stack.len > 0 && !call.fn);
    call.fn = fn;
    call.arg = arg;
    HF_ASSERT(getcontext(&call.there) == 0);
    call.there.uc_stack.ss_sp = stack.start;
    call.there.uc_stack.ss_size = stack.len;
    call.there.uc_link = &call.here;
    makecontext(&call.there, enter_stack, 0);
    switch_stack();
    explicit_bzero(stack.start, stack.len);
    call.fn = NULL;
    return call.value;
}

/* Overwrites from the arena stack's end up to just below this function's own frame. Calls nothing: a callee would stand
 * in what is being overwritten. */
static __attribute__((noinline, no_sanitize("address"))) void wipe_to_stack_end(void)
{
    uintptr_t end = (uintptr_t)__builtin_frame_address(0) - FRAME_MARGIN_BYTES;
    for (uintptr_t at = (uintptr_t)stack.start; at + sizeof(uint64_t) <= end; at += sizeof(uint64_t))
        *(volatile uint64_t *)at = 0;
}

/* Not sanitized: red zones would leave gaps between the frames. */
static __attribute__((noinline, no_sanitize("address"))) void wipe_frames(int count)
{
    uint8_t frame[WIPE_FRAME_BYTES];
    explicit_bzero(frame, sizeof frame);
    if (count > 1)
        wipe_frames(count - 1);
    __asm__ volatile("" : : "r"(frame) : "memory"); /* keeps it from becoming a loop over one frame */
}

void hf_secret_wipe_stack(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    uintptr_t start = (uintptr_t)stack.start;
    if (stack.len == 0 || here < start || here >= start + stack.len) {
        wipe_frames(WIPE_OTHER_STACK_FRAMES);
        return;
    }
    wipe_to_stack_end();
    /* The margin that was left out, unless the stack ends there. */
    if (here - start > (size_t)2 * WIPE_FRAME_BYTES)
        wipe_frames(1);
}
