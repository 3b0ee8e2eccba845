#include "fs/epoch.h"

_Atomic uint32_t hf_epoch, hf_settled;
