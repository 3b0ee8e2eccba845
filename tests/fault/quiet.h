/* tests/fault/quiet.h: a kernel that nobody has to tell anything. */
#ifndef HF_TEST_FAULT_QUIET_H
#define HF_TEST_FAULT_QUIET_H

#include "fs/tree.h"

static void quiet(uint64_t id)
{
    (void)id;
}

static void quiet_named(uint64_t parent, const char *name)
{
    (void)parent, (void)name;
}

static void quiet_all(void)
{
}

static const struct hf_tree_kernel quiet_kernel = {.inval_node = quiet, .inval_entry = quiet_named, .inval_all_entries = quiet_all, .keys_are_back = quiet_all, .has_inval_all = true};

#endif
