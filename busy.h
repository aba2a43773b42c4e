/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who is changing something just now: for checks that look at it without a lock,
 * and believe only what they have seen while nobody was.
 *
 * Changes take no lock either, in any context, so each counts itself in and out,
 * on counters of its CPU.  A check reads their sums before and after:
 *
 *	if (!chaos_busy_none(busy, &begun))
 *		...	perhaps another time
 *	look
 *	if (chaos_busy_none_since(busy, begun))
 *		...	it was as it looked
 */
#ifndef _CHAOS_BUSY_H
#define _CHAOS_BUSY_H

#include <linux/cpumask.h>
#include <linux/percpu.h>

#include <asm/barrier.h>

#include "compat.h"

/**
 * struct chaos_busy - counts of one CPU
 * @begun: changes begun on this CPU
 * @ended: changes ended on this CPU; what begins on one may end on another, so
 *	only sums over all CPUs mean something
 *
 * this_cpu_inc() only: any context may interrupt any other.
 */
struct chaos_busy {
	unsigned long begun;
	unsigned long ended;
};

/* The smp_wmb() of these two pair with the smp_rmb() of the two below. */
static __always_inline void chaos_busy_begin(struct chaos_busy __percpu *busy)
{
	this_cpu_inc(busy->begun);
	smp_wmb();	/* who sees a change sees that it has begun */
}

static __always_inline void chaos_busy_end(struct chaos_busy __percpu *busy)
{
	smp_wmb();	/* who sees that it has ended sees the change */
	this_cpu_inc(busy->ended);
}

static inline unsigned long chaos_busy_sum(struct chaos_busy __percpu *busy, bool ended)
{
	const struct chaos_busy *one;
	unsigned long sum = 0;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		one = per_cpu_ptr(busy, cpu);
		sum += READ_ONCE(*(ended ? &one->ended : &one->begun));
	}
	return sum;
}

/*
 * Is no change under way?  The ends are read before the begins: if the sums are the
 * same, everything that had begun has ended.
 */
static inline bool chaos_busy_none(struct chaos_busy __percpu *busy,
				   unsigned long *begun)
{
	unsigned long ended = chaos_busy_sum(busy, true);

	smp_rmb();	/* pairs with chaos_busy_end() */
	*begun = chaos_busy_sum(busy, false);
	smp_rmb();	/* what is looked at is read after that */
	return *begun == ended;
}

/* Has no change begun since? */
static inline bool chaos_busy_none_since(struct chaos_busy __percpu *busy,
					 unsigned long begun)
{
	smp_rmb();	/* pairs with chaos_busy_begin() */
	return chaos_busy_sum(busy, false) == begun;
}

#endif /* _CHAOS_BUSY_H */
