/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a document says of the code beside it.  If it is not so, insmod fails, and the log
 * has the line, once.  For tasks: the counts are plain.
 */
#ifndef _CHAOS_CLAIM_H
#define _CHAOS_CLAIM_H

#include <linux/printk.h>
#include <linux/types.h>

/**
 * struct claim - a statement
 * @text: what it is
 * @function: where it is made
 * @line: likewise
 * @made: it was
 * @wrong: it did not hold
 */
struct claim {
	const char *text;
	const char *function;
	int line;
	bool made;
	bool wrong;
};

static unsigned int claims;
static unsigned int claims_wrong;

static void claim_made(struct claim *claim, bool holds)
{
	claims += !claim->made;
	claim->made = true;
	if (holds || claim->wrong)
		return;
	claim->wrong = true;
	claims_wrong++;
	pr_err("not so: %s, in %s(), line %d\n", claim->text, claim->function, claim->line);
}

#define claim(what)							\
do {									\
	static struct claim __claim = {					\
		.text = #what, .function = __func__, .line = __LINE__,	\
	};								\
									\
	claim_made(&__claim, what);					\
} while (0)

#endif /* _CHAOS_CLAIM_H */
