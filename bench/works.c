// SPDX-License-Identifier: GPL-2.0
/*
 * What one CPU can be given to do.
 *
 * Interrupts are masked for a batch of calls at a time, and let in between
 * batches, lest the machine take us for dead.  The first batches are to warm up
 * and not counted.
 */
#include <linux/errno.h>
#include <linux/irq_work.h>
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "bench.h"

/* How often, with scale=100 */
#define PAIR_BATCHES	32
#define BATCH_ROUNDS	64
#define CHURN_BATCHES	2048
#define IRQ_ROUNDS	32
#define REALLOC_ROUNDS	128
#define BULK_ROUNDS	64

/* Batches of churn from one sample of its memory to the next; some are points of its curve */
#define CHURN_SAMPLE	8
#define CHURN_POINT	(CHURN_BATCHES / BENCH_POINTS)

#define REALLOC_FROM	16
#define REALLOC_TO	SZ_64K

static unsigned int rounds(const struct bench *bench, unsigned int usual)
{
	return max(usual * bench->scale / 100, 2U);
}

static void section_begin(const struct bench *bench, struct counter_section *section)
{
	counter_begin(section, !bench->heap.peer->sleeps);
}

static void *plain_alloc(const struct bench_heap *heap, size_t size)
{
	return heap->peer->alloc(heap->arg, size, BENCH_GFP);
}

static void plain_free(const struct bench_heap *heap, void *p, size_t size)
{
	heap->peer->free(heap->arg, p, size);
}

/* ---------------------------------- pair ---------------------------------- */

static int pair_batch(struct bench *bench, bool count)
{
	struct counter_section section;
	u32 alloc, free;
	unsigned int i;
	void *p = NULL;

	section_begin(bench, &section);
	for (i = 0; i < BENCH_BATCH; i++) {
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

static int pair_loop(struct bench *bench)
{
	struct counter_section section;
	unsigned int i;
	void *p = NULL;
	u32 ticks;

	section_begin(bench, &section);
	ticks = counter_read();
	for (i = 0; i < BENCH_BATCH; i++) {
		p = plain_alloc(&bench->heap, bench->size);
		if (!p)
			break;
		plain_free(&bench->heap, p, bench->size);
	}
	ticks = counter_read() - ticks;
	counter_end(&section);
	if (!p)
		return -ENOMEM;
	hist_add(&bench->loop[BENCH_LOOP_PAIR], ticks);
	return 0;
}

/* A block is allocated and freed again. */
static int pair_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, PAIR_BATCHES);
	int err = 0;

	for (i = 0; !err && i < n; i++) {
		err = pair_batch(bench, i >= n / 2);
		cond_resched();
	}
	for (i = 0; !counter_instructions && !err && i < n; i++)
		err = pair_loop(bench);
	return err;
}

static const struct bench_work work_pair = {
	.name = "pair",
	.from = 8,
	.to = SZ_64K,
	.run = pair_run,
};

/* ---------------------------------- batch --------------------------------- */

static int batch_alloc(struct bench *bench, bool count)
{
	struct counter_section section;
	unsigned int n;
	u32 cost;

	section_begin(bench, &section);
	for (n = 0; n < BENCH_BATCH; n++) {
		cost = bench_timed_alloc(&bench->heap, bench->size, &bench->slot[n]);
		if (!bench->slot[n])
			break;
		if (count)
			hist_add(&bench->hist[BENCH_ALLOC], cost);
	}
	counter_end(&section);
	return n == BENCH_BATCH ? 0 : -ENOMEM;
}

/* As many as there are: the first of the others is NULL. */
static void batch_free(struct bench *bench, bool count)
{
	struct counter_section section;
	unsigned int i;
	u32 cost;

	section_begin(bench, &section);
	for (i = 0; i < BENCH_BATCH && bench->slot[i]; i++) {
		cost = bench_timed_free(&bench->heap, bench->slot[i], bench->size);
		if (count)
			hist_add(&bench->hist[BENCH_FREE], cost);
	}
	counter_end(&section);
}

static int batch_loop(struct bench *bench)
{
	struct counter_section section;
	u32 start, middle, end;
	unsigned int i, n;

	section_begin(bench, &section);
	start = counter_read();
	for (n = 0; n < BENCH_BATCH; n++) {
		bench->slot[n] = plain_alloc(&bench->heap, bench->size);
		if (!bench->slot[n])
			break;
	}
	middle = counter_read();
	for (i = 0; i < n; i++)
		plain_free(&bench->heap, bench->slot[i], bench->size);
	end = counter_read();
	counter_end(&section);
	if (n < BENCH_BATCH)
		return -ENOMEM;
	hist_add(&bench->loop[BENCH_LOOP_ALLOC], middle - start);
	hist_add(&bench->loop[BENCH_LOOP_FREE], end - middle);
	return 0;
}

/* 256 blocks are allocated, then freed in the same order. */
static int batch_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, BATCH_ROUNDS);
	int err = 0;

	for (i = 0; !err && i < n; i++) {
		err = batch_alloc(bench, i >= n / 2);
		batch_free(bench, i >= n / 2);
		cond_resched();
	}
	for (i = 0; !counter_instructions && !err && i < n; i++)
		err = batch_loop(bench);
	return err;
}

static const struct bench_work work_batch = {
	.name = "batch",
	.from = 8,
	.to = SZ_64K,
	.run = batch_run,
};

/* ---------------------------------- churn --------------------------------- */

/* As many of each power of two: more small ones than large ones */
static u32 churn_size_log(struct bench *bench)
{
	u32 half = 16U << (prandom_u32_state(&bench->random) % 8);

	return half + 1 + prandom_u32_state(&bench->random) % half;
}

static u32 churn_size_flat(struct bench *bench)
{
	return 16 + prandom_u32_state(&bench->random) % (SZ_4K - 16 + 1);
}

static unsigned int churn_slot(struct bench *bench)
{
	return prandom_u32_state(&bench->random) % BENCH_SLOTS;
}

static int churn_step(struct bench *bench, u32 (*size)(struct bench *), bool count)
{
	unsigned int i = churn_slot(bench);
	void **slot = &bench->slot[i];
	u32 cost;

	if (*slot) {
		cost = bench_timed_free(&bench->heap, *slot, bench->slot_size[i]);
		bench->memory.live -= bench->slot_size[i];
		if (count)
			hist_add(&bench->hist[BENCH_FREE], cost);
	}
	bench->slot_size[i] = size(bench);
	cost = bench_timed_alloc(&bench->heap, bench->slot_size[i], slot);
	if (!*slot)
		return -ENOMEM;
	bench->memory.live += bench->slot_size[i];
	if (count)
		hist_add(&bench->hist[BENCH_ALLOC], cost);
	return 0;
}

static int churn_batch(struct bench *bench, u32 (*size)(struct bench *), bool count)
{
	struct counter_section section;
	unsigned int i;
	int err = 0;

	section_begin(bench, &section);
	for (i = 0; !err && i < BENCH_BATCH; i++)
		err = churn_step(bench, size, count);
	counter_end(&section);
	return err;
}

/* All slots are full by now. */
static int churn_loop(struct bench *bench, u32 (*size)(struct bench *))
{
	struct counter_section section;
	unsigned int i, n;
	u32 ticks;

	section_begin(bench, &section);
	ticks = counter_read();
	for (n = 0; n < BENCH_BATCH; n++) {
		i = churn_slot(bench);
		plain_free(&bench->heap, bench->slot[i], bench->slot_size[i]);
		bench->slot_size[i] = size(bench);
		bench->slot[i] = plain_alloc(&bench->heap, bench->slot_size[i]);
		if (!bench->slot[i])
			break;
	}
	ticks = counter_read() - ticks;
	counter_end(&section);
	if (n < BENCH_BATCH)
		return -ENOMEM;
	hist_add(&bench->loop[BENCH_LOOP_PAIR], ticks);
	return 0;
}

static int churn_fill(struct bench *bench, u32 (*size)(struct bench *))
{
	unsigned int i;

	for (i = 0; i < BENCH_SLOTS; i++) {
		bench->slot_size[i] = size(bench);
		bench->slot[i] = plain_alloc(&bench->heap, bench->slot_size[i]);
		if (!bench->slot[i])
			return -ENOMEM;
		bench->memory.live += bench->slot_size[i];
	}
	return 0;
}

static void churn_empty(struct bench *bench)
{
	unsigned int i;

	for (i = 0; i < BENCH_SLOTS; i++)
		if (bench->slot[i])
			plain_free(&bench->heap, bench->slot[i], bench->slot_size[i]);
}

/* In a random slot, the block is freed and one of random size allocated. */
static int churn(struct bench *bench, u32 (*size)(struct bench *))
{
	unsigned int i, n = rounds(bench, CHURN_BATCHES);
	int err;

	bench_memory_start(bench);
	err = churn_fill(bench, size);
	for (i = 0; !err && i < n; i++) {
		err = churn_batch(bench, size, i >= n / 4);
		if (i % CHURN_SAMPLE == 0)
			bench_memory_sample(bench, i >= n / 4);
		if (i % CHURN_POINT == 0)
			bench_memory_point(bench, i * BENCH_BATCH);
		cond_resched();
	}
	for (i = 0; !counter_instructions && !err && i < n; i++)
		err = churn_loop(bench, size);
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

/* ----------------------------- hard interrupts ----------------------------- */

/**
 * struct irq_round - half a round, to be done in hard interrupt context
 * @work: does it
 * @bench: whose round
 * @alloc: allocate; else free
 * @count: the warm-up is over
 * @err: no memory
 */
struct irq_round {
	struct irq_work work;
	struct bench *bench;
	bool alloc;
	bool count;
	int err;
};

static void irq_handler(struct irq_work *work)
{
	struct irq_round *round = container_of(work, struct irq_round, work);

	if (round->alloc)
		round->err = batch_alloc(round->bench, round->count);
	else
		batch_free(round->bench, round->count);
}

static void irq_do(struct irq_round *round)
{
	irq_work_queue(&round->work);
	irq_work_sync(&round->work);
}

static int irq_run(struct bench *bench, bool alloc_in_irq)
{
	struct irq_round round = {
		.work = IRQ_WORK_INIT_HARD(irq_handler),
		.bench = bench,
		.alloc = alloc_in_irq,
	};
	unsigned int i, n = rounds(bench, IRQ_ROUNDS);

	for (i = 0; !round.err && i < n; i++) {
		round.count = i >= n / 2;
		if (alloc_in_irq) {
			irq_do(&round);
			batch_free(bench, round.count);
		} else {
			round.err = batch_alloc(bench, round.count);
			irq_do(&round);
		}
		cond_resched();
	}
	return round.err;
}

/* 256 blocks are allocated in a hard interrupt, and freed by a task. */
static int irq_alloc_run(struct bench *bench)
{
	return irq_run(bench, true);
}

/* 256 blocks are allocated by a task, and freed in a hard interrupt. */
static int irq_free_run(struct bench *bench)
{
	return irq_run(bench, false);
}

static bool any_context(const struct bench_peer *peer)
{
	return !peer->sleeps;
}

static const struct bench_work work_irq_alloc = {
	.name = "irq-alloc",
	.from = 64,
	.to = SZ_1K,
	.able = any_context,
	.run = irq_alloc_run,
};

static const struct bench_work work_irq_free = {
	.name = "irq-free",
	.from = 64,
	.to = SZ_1K,
	.able = any_context,
	.run = irq_free_run,
};

/* --------------------------------- realloc -------------------------------- */

static int realloc_round(struct bench *bench, bool count)
{
	struct counter_section section;
	size_t size = REALLOC_FROM;
	void *p, *old;
	u32 cost;

	section_begin(bench, &section);
	p = plain_alloc(&bench->heap, size);
	while (p && size < REALLOC_TO) {
		old = p;
		cost = bench_timed_realloc(&bench->heap, old, size + size / 2, &p);
		if (!p) {
			plain_free(&bench->heap, old, size);
			break;
		}
		size += size / 2;
		if (count)
			hist_add(&bench->hist[BENCH_REALLOC], cost);
	}
	if (p)
		plain_free(&bench->heap, p, size);
	counter_end(&section);
	return p ? 0 : -ENOMEM;
}

/* A block grows by half, over and over. */
static int realloc_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, REALLOC_ROUNDS);
	int err = 0;

	for (i = 0; !err && i < n; i++) {
		err = realloc_round(bench, i >= n / 2);
		cond_resched();
	}
	return err;
}

static bool has_realloc(const struct bench_peer *peer)
{
	return peer->realloc;
}

static const struct bench_work work_realloc = {
	.name = "realloc",
	.able = has_realloc,
	.run = realloc_run,
};

/* --------------------------------- aligned -------------------------------- */

static int aligned_round(struct bench *bench, bool count)
{
	size_t align = bench->size, size = bench->size + bench->size / 2;
	struct counter_section section;
	unsigned int i, n;
	int err = 0;
	u32 cost;

	section_begin(bench, &section);
	for (n = 0; n < BENCH_BATCH; n++) {
		cost = bench_timed_aligned(&bench->heap, size, align, &bench->slot[n]);
		if (!bench->slot[n]) {
			err = -ENOMEM;
			break;
		}
		if (!IS_ALIGNED((unsigned long)bench->slot[n], align))
			err = -EFAULT;
		if (count)
			hist_add(&bench->hist[BENCH_ALIGNED], cost);
	}
	for (i = 0; i < n; i++) {
		cost = bench_timed_free(&bench->heap, bench->slot[i], size);
		if (count)
			hist_add(&bench->hist[BENCH_FREE], cost);
	}
	counter_end(&section);
	return err;
}

/* 256 blocks, each aligned to two thirds of its size, which is a power of two */
static int aligned_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, BATCH_ROUNDS);
	int err = 0;

	for (i = 0; !err && i < n; i++) {
		err = aligned_round(bench, i >= n / 2);
		cond_resched();
	}
	return err;
}

/* What the empty peer returns is not aligned. */
static bool has_aligned(const struct bench_peer *peer)
{
	return peer->aligned && peer != &bench_empty;
}

static const struct bench_work work_aligned = {
	.name = "aligned",
	.from = 64,
	.to = SZ_4K,
	.align = true,
	.able = has_aligned,
	.run = aligned_run,
};

/* ---------------------------------- bulk ---------------------------------- */

static int bulk_round(struct bench *bench, bool count)
{
	struct counter_section section;
	u32 alloc, free;
	size_t got;

	section_begin(bench, &section);
	alloc = bench_timed_alloc_bulk(&bench->heap, bench->size, BENCH_BATCH,
				       bench->slot, &got);
	free = bench_timed_free_bulk(&bench->heap, got, bench->slot);
	counter_end(&section);
	if (got != BENCH_BATCH)
		return -ENOMEM;
	if (!count)
		return 0;
	hist_add(&bench->hist[BENCH_ALLOC_BULK], alloc);
	hist_add(&bench->hist[BENCH_FREE_BULK], free);
	return 0;
}

/* 256 blocks are allocated in one call, and freed in one. */
static int bulk_run(struct bench *bench)
{
	unsigned int i, n = rounds(bench, BULK_ROUNDS);
	int err = 0;

	for (i = 0; !err && i < n; i++) {
		err = bulk_round(bench, i >= n / 2);
		cond_resched();
	}
	return err;
}

static bool has_bulk(const struct bench_peer *peer)
{
	return peer->alloc_bulk;
}

static const struct bench_work work_bulk = {
	.name = "bulk",
	.from = 16,
	.to = SZ_4K,
	.able = has_bulk,
	.run = bulk_run,
};

const struct bench_work *const bench_works[] = {
	&work_pair,
	&work_batch,
	&work_churn,
	&work_churn_flat,
	&bench_work_trace,
	&work_irq_alloc,
	&work_irq_free,
	&work_realloc,
	&work_aligned,
	&work_bulk,
	NULL
};
