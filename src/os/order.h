/* os/order.h: tells ThreadSanitizer of an order that the kernel keeps and that it cannot see. Nothing in any other build. */
#ifndef HF_OS_ORDER_H
#define HF_OS_ORDER_H

#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *at);
void __tsan_release(void *at);
#define HF_ORDER_BEFORE(at) __tsan_release(at)
#define HF_ORDER_AFTER(at) __tsan_acquire(at)
#else
#define HF_ORDER_BEFORE(at) ((void)(at))
#define HF_ORDER_AFTER(at) ((void)(at))
#endif

#endif
