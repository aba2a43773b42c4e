// SPDX-License-Identifier: GPL-2.0
/*
 * What one CPU can be given to do.
 *
 * Interrupts are masked for a batch of calls at a time, and let in between
 * batches, lest the machine take us for dead.
 */
#include <linux/errno.h>
#include <linux/sizes.h>

#include "bench.h"

/* Calls of a kind with interrupts masked */
#define BATCH		256

#define PAIR_BATCHES	32
#define BATCH_ROUNDS	64
#define CHURN_BATCHES	2048

static unsigned int rounds(const struct bench *bench, unsigned int usual)
{
	return max(usual * bench->scale / 100, 2U);
}

u32 noinline bench_timed_alloc(const struct bench_heap *heap, size_t size, void **p)
{
	typeof(heap->peer->alloc) alloc = heap->peer->alloc;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	*p = alloc(arg, size, GFP_NOWAIT | __GFP_NOWARN);
	return counter_read() - start;
}

u32 noinline bench_timed_free(const struct bench_heap *heap, void *p, size_t size)
{
	typeof(heap->peer->free) free = heap->peer->free;
	void *arg = heap->arg;
	u32 start;

	start = counter_read();
	free(arg, p, size);
	return counter_read() - start;
}

/* ---------------------------------- pair ---------------------------------- */

static int pair_batch(struct bench *bench, bool count)
{
	struct counter_section section;
	u32 alloc, free;
	unsigned int i;
	void *p = NULL;

	counter_begin(&section);
	for (i = 0; i < BATCH; i++) {
		alloc = bench_timed_alloc(&bench->heap, bench->size, &p);
		if (!p)
			break;
		free = bench_timed_free(&bench->heap, p, bench->size);
		if (!count)
			continue;
		hist_add(&bench->hist[BENCH_ALLOC], alloc);
		hist_add(&bench->hist[BENCH_FREE], free);
	}
	counter_end(&section);
	return p ? 0 : -ENOMEM;
}

/* A block is allocated and freed again.  The first half is to warm up. */
static int pair_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, PAIR_BATCHES);
	int err = 0;

	for (i = 0; !err && i < n; i++)
		err = pair_batch(bench, i >= n / 2);
	return err;
}

static const struct bench_work work_pair = {
	.name = "pair",
	.sized = true,
	.run = pair_run,
};

/* ---------------------------------- batch --------------------------------- */

static int batch_round(struct bench *bench, bool count)
{
	struct counter_section section;
	unsigned int i, n;
	u32 cost;

	counter_begin(&section);
	for (n = 0; n < BATCH; n++) {
		cost = bench_timed_alloc(&bench->heap, bench->size, &bench->slot[n]);
		if (!bench->slot[n])
			break;
		if (count)
			hist_add(&bench->hist[BENCH_ALLOC], cost);
	}
	for (i = 0; i < n; i++) {
		cost = bench_timed_free(&bench->heap, bench->slot[i], bench->size);
		if (count)
			hist_add(&bench->hist[BENCH_FREE], cost);
	}
	counter_end(&section);
	return n == BATCH ? 0 : -ENOMEM;
}

/* 256 blocks are allocated, then freed in the same order. */
static int batch_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, BATCH_ROUNDS);
	int err = 0;

	for (i = 0; !err && i < n; i++)
		err = batch_round(bench, i >= n / 2);
	return err;
}

static const struct bench_work work_batch = {
	.name = "batch",
	.sized = true,
	.run = batch_run,
};

/* ---------------------------------- churn --------------------------------- */

/* As many of each power of two, as kernels ask for */
static u32 churn_size_log(struct bench *bench)
{
	u32 half = 16U << (prandom_u32_state(&bench->random) % 8);

	return half + 1 + prandom_u32_state(&bench->random) % half;
}

static u32 churn_size_flat(struct bench *bench)
{
	return 16 + prandom_u32_state(&bench->random) % (SZ_4K - 16 + 1);
}

static int churn_step(struct bench *bench, u32 (*size)(struct bench *), bool count)
{
	unsigned int i = prandom_u32_state(&bench->random) % BENCH_SLOTS;
	void **slot = &bench->slot[i];
	u32 cost;

	if (*slot) {
		cost = bench_timed_free(&bench->heap, *slot, bench->slot_size[i]);
		if (count)
			hist_add(&bench->hist[BENCH_FREE], cost);
	}
	bench->slot_size[i] = size(bench);
	cost = bench_timed_alloc(&bench->heap, bench->slot_size[i], slot);
	if (count)
		hist_add(&bench->hist[BENCH_ALLOC], cost);
	return *slot ? 0 : -ENOMEM;
}

static int churn_batch(struct bench *bench, u32 (*size)(struct bench *), bool count)
{
	struct counter_section section;
	unsigned int i;
	int err = 0;

	counter_begin(&section);
	for (i = 0; !err && i < BATCH; i++)
		err = churn_step(bench, size, count);
	counter_end(&section);
	return err;
}

static void churn_empty(struct bench *bench)
{
	unsigned int i;

	for (i = 0; i < BENCH_SLOTS; i++)
		if (bench->slot[i])
			bench->heap.peer->free(bench->heap.arg, bench->slot[i],
					       bench->slot_size[i]);
}

/*
 * In a random slot, the block is freed and one of random size allocated.  The
 * first quarter is to warm up; all slots are full by then.
 */
static int churn(struct bench *bench, u32 (*size)(struct bench *))
{
	unsigned int i, n = rounds(bench, CHURN_BATCHES);
	int err = 0;

	for (i = 0; !err && i < n; i++)
		err = churn_batch(bench, size, i >= n / 4);
	churn_empty(bench);
	return err;
}

static int churn_run(struct bench *bench)
{
	return churn(bench, churn_size_log);
}

static int churn_flat_run(struct bench *bench)
{
	return churn(bench, churn_size_flat);
}

static const struct bench_work work_churn = {
	.name = "churn",
	.run = churn_run,
};

static const struct bench_work work_churn_flat = {
	.name = "churn-flat",
	.run = churn_flat_run,
};

const struct bench_work *const bench_works[] = {
	&work_pair,
	&work_batch,
	&work_churn,
	&work_churn_flat,
	NULL
};
