#include "format/class.h"

#include <stddef.h>
#include <string.h>

static const char *const names[HF_CLASS_LAST + 1] = {
    [HF_CLASS_COMPLETE] = "complete",
    [HF_CLASS_UNLESS_OPEN] = "unless-open",
    [HF_CLASS_AFTER_UNLOCK] = "after-unlock",
    [HF_CLASS_ALWAYS] = "always",
};

const char *hf_class_name(unsigned class)
{
    return class <= HF_CLASS_LAST ? names[class] : NULL;
}

unsigned hf_class_from_name(const char *name)
{
    for (unsigned class = HF_CLASS_FIRST; class <= HF_CLASS_LAST; class++) {
        if (strcmp(names[class], name) == 0)
            return class;
    }
    return 0;
}
