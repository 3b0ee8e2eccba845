#include "mounted.h"
MOUNTED_MAIN()
