/* keys/public.h: what follows from a secret and may be known all the same: a verdict that the program goes on to act on.
 * Nothing but a mark: tests/ct runs our code with secrets that valgrind follows, and reports each branch and each address that depends on one. */
#ifndef HF_KEYS_PUBLIC_H
#define HF_KEYS_PUBLIC_H

#ifdef HF_TEST_CT
#include <valgrind/memcheck.h>
#define HF_NOW_PUBLIC(object) ((void)VALGRIND_MAKE_MEM_DEFINED(&(object), sizeof(object)))
#else
#define HF_NOW_PUBLIC(object) ((void)0)
#endif

#endif
