/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Work for an allocator that is timed in blocks of calls: the same source in the
 * kernel and in user space, so that both do the same.
 *
 * At the full speed of a machine, a call takes less time than reading the clock
 * on both sides of it: hence blocks.  Whoever includes this has defined
 * gfp_t, GFP_NOWAIT, noinline and loop_clock().
 */
#ifndef _CHAOS_BENCH_LOOPS_H
#define _CHAOS_BENCH_LOOPS_H

#include <linux/types.h>

/* Calls in a block: some microseconds */
#define LOOP_CALLS	256

/* Blocks whose time is kept, after LOOP_WARM whose time is not */
#define LOOP_BLOCKS	2048
#define LOOP_WARM	512

/* Churn: live blocks, and steps before they are repeated */
#define LOOP_SLOTS	2048
#define LOOP_STEPS	(64 * LOOP_CALLS)
#define LOOP_SIZE_MIN	16
#define LOOP_SIZE_MAX	4096

enum loop_op {
	LOOP_ALLOC,
	LOOP_FREE,
	LOOP_PAIR,	/* not to be told apart */
	LOOP_OPS
};

static const char *const loop_op_names[LOOP_OPS] = {
	[LOOP_ALLOC] = "alloc",
	[LOOP_FREE] = "free",
	[LOOP_PAIR] = "pair",
};

struct loop_step {
	__u16 slot;
	__u16 size;
};

/**
 * struct loop - a loop on its way
 * @alloc: of the allocator
 * @free: of the allocator
 * @arg: for both
 * @size: of blocks; churn has its own
 * @at: the next step of churn
 * @slot: live blocks
 * @slot_size: their sizes
 * @step: what churn does, the same for everyone
 * @sample: ticks of each block of calls
 */
struct loop {
	void *(*alloc)(void *arg, size_t size, gfp_t gfp);
	void (*free)(void *arg, void *p, size_t size);
	void *arg;
	size_t size;
	unsigned int at;
	void *slot[LOOP_SLOTS];
	__u16 slot_size[LOOP_SLOTS];
	struct loop_step step[LOOP_STEPS];
	__u32 sample[LOOP_OPS][LOOP_BLOCKS];
};

/* A 64-bit linear congruential generator; its upper bits are the good ones. */
static __u32 loop_random(__u64 *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

static void loop_seed(struct loop *loop, __u64 state)
{
	unsigned int i;

	for (i = 0; i < LOOP_STEPS; i++) {
		loop->step[i].slot = loop_random(&state) % LOOP_SLOTS;
		loop->step[i].size = LOOP_SIZE_MIN + loop_random(&state) %
				     (LOOP_SIZE_MAX - LOOP_SIZE_MIN + 1);
	}
}

/* A block is allocated and freed again. */
static noinline bool loop_pair(struct loop *loop, __u32 ticks[LOOP_OPS])
{
	__u32 start = loop_clock();
	unsigned int i;
	void *p;

	for (i = 0; i < LOOP_CALLS; i++) {
		p = loop->alloc(loop->arg, loop->size, GFP_NOWAIT);
		if (!p)
			return false;
		loop->free(loop->arg, p, loop->size);
	}
	ticks[LOOP_PAIR] = loop_clock() - start;
	return true;
}

/* 256 blocks are allocated, then freed in the same order. */
static noinline bool loop_batch(struct loop *loop, __u32 ticks[LOOP_OPS])
{
	__u32 start = loop_clock();
	unsigned int i, n;

	for (n = 0; n < LOOP_CALLS; n++) {
		loop->slot[n] = loop->alloc(loop->arg, loop->size, GFP_NOWAIT);
		if (!loop->slot[n])
			break;
	}
	ticks[LOOP_ALLOC] = loop_clock() - start;
	start = loop_clock();
	for (i = 0; i < n; i++)
		loop->free(loop->arg, loop->slot[i], loop->size);
	ticks[LOOP_FREE] = loop_clock() - start;
	return n == LOOP_CALLS;
}

/* In a random slot, the block is freed and one of random size allocated. */
static noinline bool loop_churn(struct loop *loop, __u32 ticks[LOOP_OPS])
{
	const struct loop_step *step = &loop->step[loop->at];
	__u32 start = loop_clock();
	unsigned int i;

	for (i = 0; i < LOOP_CALLS; i++, step++) {
		void **slot = &loop->slot[step->slot];

		if (*slot)
			loop->free(loop->arg, *slot, loop->slot_size[step->slot]);
		*slot = loop->alloc(loop->arg, step->size, GFP_NOWAIT);
		if (!*slot)
			return false;
		loop->slot_size[step->slot] = step->size;
	}
	ticks[LOOP_PAIR] = loop_clock() - start;
	loop->at = (loop->at + LOOP_CALLS) % LOOP_STEPS;
	return true;
}

static void loop_empty_slots(struct loop *loop)
{
	unsigned int i;

	for (i = 0; i < LOOP_SLOTS; i++) {
		if (loop->slot[i])
			loop->free(loop->arg, loop->slot[i], loop->slot_size[i]);
		loop->slot[i] = NULL;
	}
}

/**
 * struct loop_work - a loop that can be run
 * @name: for the reports
 * @sized: it is run for each block size
 * @ops: bits of what is timed in it
 * @block: runs LOOP_CALLS calls
 */
struct loop_work {
	const char *name;
	bool sized;
	unsigned int ops;
	bool (*block)(struct loop *loop, __u32 ticks[LOOP_OPS]);
};

#define LOOP_WORKS	3

static const struct loop_work loop_works[LOOP_WORKS] = {
	{ "loop-pair", true, 1U << LOOP_PAIR, loop_pair },
	{ "loop-batch", true, 1U << LOOP_ALLOC | 1U << LOOP_FREE, loop_batch },
	{ "loop-churn", false, 1U << LOOP_PAIR, loop_churn },
};

/* The least of sorted samples that @per_mille of all are not above */
static __u32 loop_quantile(const __u32 *sample, unsigned int per_mille)
{
	return sample[(LOOP_BLOCKS - 1) * per_mille / 1000];
}

#endif /* _CHAOS_BENCH_LOOPS_H */
