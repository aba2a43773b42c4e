/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a document says of the code beside it.  If it is not so, insmod fails, and the log
 * has the line.  For tasks: the counts are plain.
 */
#ifndef _CHAOS_CLAIM_H
#define _CHAOS_CLAIM_H

#include <linux/printk.h>
#include <linux/types.h>

static unsigned int claims;
static unsigned int claims_wrong;

static void claim_made(bool holds, const char *what, const char *function, int line)
{
	claims++;
	if (holds)
		return;
	claims_wrong++;
	pr_err("not so: %s, in %s(), line %d\n", what, function, line);
}

#define claim(what)	claim_made(what, #what, __func__, __LINE__)

#endif /* _CHAOS_CLAIM_H */
