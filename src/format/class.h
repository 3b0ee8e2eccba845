/* format/class.h: the protection classes of page 00. The numbers are on disk. */
#ifndef HF_FORMAT_CLASS_H
#define HF_FORMAT_CLASS_H

#include <stdbool.h>
#include <stdint.h>

enum hf_class {
    HF_CLASS_COMPLETE = 1,
    HF_CLASS_UNLESS_OPEN = 2,
    HF_CLASS_AFTER_UNLOCK = 3,
    HF_CLASS_ALWAYS = 4
};
#define HF_CLASS_FIRST 1
#define HF_CLASS_LAST 4

#define HF_CLASS_BIT(class) (1u << (class))

/* "complete", "unless-open", "after-unlock", "always"; NULL for another number. */
const char *hf_class_name(unsigned class);
/* The class of that name, 0 when there is none. */
unsigned hf_class_from_name(const char *name);

#endif
