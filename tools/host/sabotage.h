/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is done to heaps that nobody needs any more.
 */
#ifndef _HOST_SABOTAGE_H
#define _HOST_SABOTAGE_H

#include <linux/compiler.h>

/*
 * Make a heap of @engine, for a task on @cpu, do to it what the script says, and destroy
 * it.  @any: what takes long, too.
 */
void sabotage(const char *engine, unsigned int cpu, bool any);

#endif /* _HOST_SABOTAGE_H */
