/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A histogram of what calls have cost: exact up to HIST_EXACT, and to within
 * 1/HIST_PARTS above.  Sum, least and most are always exact.
 */
#ifndef _CHAOS_BENCH_HIST_H
#define _CHAOS_BENCH_HIST_H

#include <linux/bits.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define HIST_EXACT_SHIFT	12
#define HIST_EXACT		((u32)BIT(HIST_EXACT_SHIFT))
/* Each power of two above is in so many parts. */
#define HIST_PARTS_SHIFT	9
#define HIST_PARTS		((u32)BIT(HIST_PARTS_SHIFT))
#define HIST_BUCKETS		(HIST_EXACT + (32 - HIST_EXACT_SHIFT) * HIST_PARTS)

struct hist {
	u64 n;
	u64 sum;
	u32 least;
	u32 most;
	u32 count[HIST_BUCKETS];
};

static inline unsigned int hist_bucket(u32 value)
{
	unsigned int power;

	if (value < HIST_EXACT)
		return value;
	power = ilog2(value);
	return HIST_EXACT + ((power - HIST_EXACT_SHIFT) << HIST_PARTS_SHIFT) +
	       (value >> (power - HIST_PARTS_SHIFT)) - HIST_PARTS;
}

/* The highest value that goes into a bucket. */
static inline u32 hist_value(unsigned int bucket)
{
	unsigned int power, part;

	if (bucket < HIST_EXACT)
		return bucket;
	bucket -= HIST_EXACT;
	power = (bucket >> HIST_PARTS_SHIFT) + HIST_EXACT_SHIFT;
	part = bucket & (HIST_PARTS - 1);
	return ((HIST_PARTS + part + 1ULL) << (power - HIST_PARTS_SHIFT)) - 1;
}

static inline void hist_add(struct hist *hist, u32 value)
{
	if (!hist->n || value < hist->least)
		hist->least = value;
	hist->most = max(hist->most, value);
	hist->n++;
	hist->sum += value;
	hist->count[hist_bucket(value)]++;
}

/* The least value that @share of 100,000 are not above.  Not of an empty one. */
static inline u32 hist_quantile(const struct hist *hist, unsigned int share)
{
	u64 rank = max_t(u64, DIV_ROUND_UP_ULL(hist->n * share, 100000), 1);
	unsigned int i;
	u64 seen = 0;

	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += hist->count[i];
		if (seen >= rank)
			break;
	}
	return min(hist_value(i), hist->most);
}

#endif /* _CHAOS_BENCH_HIST_H */
