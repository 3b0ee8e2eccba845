/* fs/scan.h: inside the tree alone: after an unclean stop, every object of the open window is looked at once and put into a settled shape. Source: spec/35-crash.md [CR-4] [CR-5]. */
#ifndef HF_FS_SCAN_H
#define HF_FS_SCAN_H

#include <stdint.h>

/* Scans what the classes that are there now allow; when nothing is left that could not be looked at, settles and closes the window (hf_unclean := false).
 * Does nothing when the window is closed. */
void hf_scan(void);

#endif
