/* tests/fuzz/apart.h: for targets whose code keeps state that only the process's end takes away: each input has a process of its own. */
#ifndef HF_TEST_FUZZ_APART_H
#define HF_TEST_FUZZ_APART_H

/* Before the first: how the coverage that leads the fuzzer comes back. */
void fuzz_apart_start(void);
/* Runs fn in a child and takes over what it covered. The child's death by anything but its end is this process's as well. What fn leaves lies in shared memory. */
void fuzz_apart(void (*fn)(void));

#endif
