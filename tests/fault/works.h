/* tests/fault/works.h: the workloads. */
#ifndef HF_TEST_FAULT_WORKS_H
#define HF_TEST_FAULT_WORKS_H

struct work {
    const char *name;
    void (*run)(void);
};
extern const struct work works[];
extern const unsigned work_count;

#endif
