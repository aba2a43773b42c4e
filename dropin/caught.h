/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _CHAOS_CAUGHT_H
#define _CHAOS_CAUGHT_H

#include <linux/types.h>

/* What is not the kernel's has kept its names, and what is of the family is on the heap. */
bool caught_names(void);

#endif
