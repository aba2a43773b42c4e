// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_counts: the statistics of heaps and of size classes.  At rest they
 * are exact.
 */
#include <linux/irq_work.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

#define COUNTS_CLASSES	256
#define COUNTS_SIZE	592

/**
 * struct counts - a heap of mimalloc's and what it says of itself
 * @heap: the heap
 * @s: of the heap
 * @n: number of classes
 * @c: of the classes
 * @k: the class that blocks of COUNTS_SIZE are of
 */
struct counts {
	struct chaos_heap *heap;
	struct chaos_heap_stats s;
	size_t n;
	struct chaos_class_stats c[COUNTS_CLASSES];
	struct chaos_class_stats *k;
};

static void add_up(struct chaos_class_stats *sum,
		   const struct chaos_class_stats *k)
{
	sum->pages += k->pages;
	sum->page_bytes += k->page_bytes;
	sum->live_blocks += k->live_blocks;
	sum->live_bytes += k->live_bytes;
	sum->allocs += k->allocs;
	sum->local_frees += k->local_frees;
	sum->foreign_frees += k->foreign_frees;
	sum->abandoned_pages += k->abandoned_pages;
	sum->abandoned += k->abandoned;
	sum->adopted += k->adopted;
}

/* The heap is the sum of its classes, and live is what was not freed. */
static void expect_sums(struct kunit *test, struct counts *c)
{
	struct chaos_class_stats sum = {};
	struct chaos_heap_stats *s = &c->s;
	size_t i;

	for (i = 0; i < c->n; i++) {
		struct chaos_class_stats *k = &c->c[i];

		add_up(&sum, k);
		KUNIT_EXPECT_EQ(test, k->live_blocks,
				k->allocs - k->local_frees - k->foreign_frees);
		KUNIT_EXPECT_LE(test, k->live_bytes, k->page_bytes);
		KUNIT_EXPECT_LE(test, k->pages, k->peak_pages);
		KUNIT_EXPECT_LE(test, k->abandoned_pages, k->pages);
		if (k->block_size)
			KUNIT_EXPECT_EQ(test, k->live_bytes,
					k->live_blocks * k->block_size);
	}
	KUNIT_EXPECT_EQ(test, s->pages, sum.pages);
	KUNIT_EXPECT_EQ(test, s->held_bytes, sum.page_bytes);
	KUNIT_EXPECT_EQ(test, s->live_blocks, sum.live_blocks);
	KUNIT_EXPECT_EQ(test, s->live_bytes, sum.live_bytes);
	KUNIT_EXPECT_EQ(test, s->allocs, sum.allocs);
	KUNIT_EXPECT_EQ(test, s->local_frees, sum.local_frees);
	KUNIT_EXPECT_EQ(test, s->foreign_frees, sum.foreign_frees);
	KUNIT_EXPECT_EQ(test, s->abandoned_pages, sum.abandoned_pages);
	KUNIT_EXPECT_EQ(test, s->abandoned, sum.abandoned);
	KUNIT_EXPECT_EQ(test, s->adopted, sum.adopted);
}

static void look(struct kunit *test, struct counts *c)
{
	chaos_heap_stats(c->heap, &c->s);
	c->n = chaos_heap_class_stats(c->heap, c->c, COUNTS_CLASSES);
	KUNIT_ASSERT_GT(test, c->n, 1);
	KUNIT_ASSERT_LE(test, c->n, COUNTS_CLASSES);
	for (c->k = c->c; c->k->block_size < COUNTS_SIZE; c->k++)
		KUNIT_ASSERT_NE(test, c->k->block_size, 0);
	expect_sums(test, c);
}

static struct counts *counts_init(struct kunit *test, struct chaos_test_place *here,
				  struct chaos_test_place *there)
{
	struct chaos_heap *heap = chaos_test_heap_of(test, "mimalloc", SZ_4M, 0);
	struct counts *c = chaos_test_buf(test, 1, sizeof(*c));
	unsigned int cpus[2];

	/* Nothing is to happen by itself. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	chaos_test_cpus(test, cpus, there ? 2 : 1);
	*here = (struct chaos_test_place){ .cpu = cpus[0] };
	if (there)
		*there = (struct chaos_test_place){ .cpu = cpus[1] };
	c->heap = heap;
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->s.allocs, 0);
	KUNIT_EXPECT_EQ(test, c->s.pages, 0);
	return c;
}

static void expect_counts(struct kunit *test, struct counts *c, u64 allocs,
			  u64 local, u64 foreign)
{
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->k->allocs, allocs);
	KUNIT_EXPECT_EQ(test, c->k->local_frees, local);
	KUNIT_EXPECT_EQ(test, c->k->foreign_frees, foreign);
	KUNIT_EXPECT_EQ(test, c->k->live_blocks, allocs - local - foreign);
	KUNIT_EXPECT_EQ(test, c->s.allocs, allocs);
	KUNIT_EXPECT_EQ(test, c->s.local_frees, local);
	KUNIT_EXPECT_EQ(test, c->s.foreign_frees, foreign);
}

/**
 * struct batch - a few blocks
 * @heap: their heap
 * @size: bytes of each
 * @n: how many
 * @from: the first one of @p that is meant
 * @p: the blocks
 */
struct batch {
	struct chaos_heap *heap;
	size_t size;
	size_t n;
	size_t from;
	void *p[1000];
};

static void alloc_batch(void *arg)
{
	struct batch *b = arg;
	size_t i;

	for (i = b->from; i < b->from + b->n; i++)
		b->p[i] = chaos_heap_alloc(b->heap, b->size, GFP_ATOMIC | __GFP_NOWARN);
}

static void free_batch(void *arg)
{
	struct batch *b = arg;
	size_t i;

	for (i = b->from; i < b->from + b->n; i++) {
		chaos_heap_free(b->heap, b->p[i]);
		b->p[i] = NULL;
	}
}

static void alloc_batch_bulk(void *arg)
{
	struct batch *b = arg;

	b->n = chaos_heap_alloc_bulk(b->heap, b->size, GFP_ATOMIC | __GFP_NOWARN,
				     b->n, b->p + b->from);
}

static void free_batch_bulk(void *arg)
{
	struct batch *b = arg;

	chaos_heap_free_bulk(b->heap, b->n, b->p + b->from);
}

static struct batch *batch_init(struct kunit *test, struct chaos_heap *heap)
{
	struct batch *b = chaos_test_buf(test, 1, sizeof(*b));

	b->heap = heap;
	b->size = COUNTS_SIZE;
	return b;
}

static void do_batch(struct kunit *test, struct batch *b,
		     const struct chaos_test_place *place, void (*fn)(void *arg),
		     size_t from, size_t n)
{
	b->from = from;
	b->n = n;
	KUNIT_ASSERT_EQ(test, chaos_test_at(place, fn, b), 0);
	KUNIT_ASSERT_EQ(test, b->n, n);
}

/* ------------------------------- who frees what ---------------------------- */

static void local_frees(struct kunit *test)
{
	struct chaos_test_place here;
	struct counts *c = counts_init(test, &here, NULL);
	struct batch *b = batch_init(test, c->heap);

	do_batch(test, b, &here, alloc_batch, 0, 5);
	expect_counts(test, c, 5, 0, 0);
	do_batch(test, b, &here, free_batch, 0, 3);
	expect_counts(test, c, 5, 3, 0);
	do_batch(test, b, &here, alloc_batch, 0, 3);
	expect_counts(test, c, 8, 3, 0);
	do_batch(test, b, &here, free_batch, 0, 5);
	expect_counts(test, c, 8, 8, 0);
	chaos_test_idle(test, c->heap, 0);
}

/* Few enough that the page still has its owner: the others' frees are foreign. */
static void frees_elsewhere(struct kunit *test, bool other_cpu)
{
	struct chaos_test_place here, there;
	struct counts *c = counts_init(test, &here, other_cpu ? &there : NULL);
	struct batch *b = batch_init(test, c->heap);

	if (!other_cpu)
		there = (struct chaos_test_place){ .cpu = here.cpu, .hardirq = true };
	do_batch(test, b, &here, alloc_batch, 0, 6);
	do_batch(test, b, &there, free_batch, 0, 2);
	expect_counts(test, c, 6, 0, 2);
	do_batch(test, b, &here, free_batch, 2, 1);
	expect_counts(test, c, 6, 1, 2);
	do_batch(test, b, &there, free_batch, 3, 3);
	expect_counts(test, c, 6, 1, 5);
	KUNIT_EXPECT_EQ(test, c->k->pages, 1);
	/* Over and over, the page's list goes back to its owner. */
	do_batch(test, b, &here, alloc_batch, 0, 6);
	do_batch(test, b, &there, free_batch, 0, 6);
	do_batch(test, b, &here, alloc_batch, 0, 6);
	do_batch(test, b, &there, free_batch, 0, 6);
	expect_counts(test, c, 18, 1, 17);
	chaos_test_idle(test, c->heap, 0);
}

static void other_cpu_frees(struct kunit *test)
{
	frees_elsewhere(test, true);
}

static void other_level_frees(struct kunit *test)
{
	frees_elsewhere(test, false);
}

static void bulk_counts(struct kunit *test)
{
	struct chaos_test_place here, there;
	struct counts *c = counts_init(test, &here, &there);
	struct batch *b = batch_init(test, c->heap);

	/* Few enough that the page still has its owner. */
	do_batch(test, b, &here, alloc_batch_bulk, 0, 6);
	expect_counts(test, c, 6, 0, 0);
	do_batch(test, b, &here, free_batch_bulk, 0, 2);
	expect_counts(test, c, 6, 2, 0);
	do_batch(test, b, &there, free_batch_bulk, 2, 4);
	expect_counts(test, c, 6, 2, 4);
	do_batch(test, b, &here, alloc_batch_bulk, 0, 700);
	do_batch(test, b, &here, free_batch_bulk, 0, 700);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->s.allocs, 706);
	KUNIT_EXPECT_EQ(test, c->s.local_frees + c->s.foreign_frees, 706);
	chaos_test_idle(test, c->heap, 0);
}

/* In place, nothing is allocated or freed; a move is one of each. */
static void realloc_counts(struct kunit *test)
{
	struct chaos_test_place here;
	struct counts *c = counts_init(test, &here, NULL);
	void *p;

	KUNIT_ASSERT_EQ(test, set_cpus_allowed_ptr(current, cpumask_of(here.cpu)), 0);
	p = chaos_heap_alloc(c->heap, COUNTS_SIZE, GFP_KERNEL);
	p = chaos_heap_realloc(c->heap, p, COUNTS_SIZE - 10, GFP_KERNEL);
	p = chaos_heap_realloc(c->heap, p, COUNTS_SIZE, GFP_KERNEL);
	expect_counts(test, c, 1, 0, 0);
	p = chaos_heap_realloc(c->heap, p, 5 * COUNTS_SIZE, GFP_KERNEL);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->k->allocs, 1);
	KUNIT_EXPECT_EQ(test, c->k->local_frees, 1);
	KUNIT_EXPECT_EQ(test, c->s.allocs, 2);
	KUNIT_EXPECT_EQ(test, c->s.local_frees, 1);
	KUNIT_EXPECT_EQ(test, c->s.live_blocks, 1);
	chaos_heap_free(c->heap, p);
	chaos_test_idle(test, c->heap, 0);
}

/* What was refused is counted as that and nothing else. */
static void refused_is_not_counted(struct kunit *test)
{
	struct chaos_test_place here;
	struct counts *c = counts_init(test, &here, NULL);
	struct batch *b = batch_init(test, c->heap);
	void *p;

	do_batch(test, b, &here, alloc_batch, 0, 2);
	p = b->p[0];
	do_batch(test, b, &here, free_batch, 0, 1);
	chaos_heap_free(c->heap, p);
	chaos_heap_free(c->heap, b->p[1] + 8);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(c->heap, SZ_64M,
						 GFP_ATOMIC | __GFP_NOWARN));
	expect_counts(test, c, 2, 1, 0);
	KUNIT_EXPECT_EQ(test, c->s.bad_frees, 2);
	KUNIT_EXPECT_EQ(test, c->s.failures, 1);
	do_batch(test, b, &here, free_batch, 1, 1);
	chaos_test_idle(test, c->heap, 2);
}

/* ------------------------------------ pages -------------------------------- */

/* Allocate until the class has another page than the first; how many blocks. */
static size_t fill_page(struct kunit *test, struct counts *c, struct batch *b,
			const struct chaos_test_place *place)
{
	size_t n;

	for (n = 0; n < ARRAY_SIZE(b->p); n++) {
		do_batch(test, b, place, alloc_batch, n, 1);
		KUNIT_ASSERT_NOT_NULL(test, b->p[n]);
		look(test, c);
		if (c->k->pages == 2)
			return n + 1;
	}
	KUNIT_FAIL_AND_ABORT(test, "a page of more than %zu blocks", n);
	return 0;
}

static void pages_and_peak(struct kunit *test)
{
	struct chaos_test_place here;
	struct counts *c = counts_init(test, &here, NULL);
	struct batch *b = batch_init(test, c->heap);
	size_t n, page;

	do_batch(test, b, &here, alloc_batch, 0, 1);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->k->pages, 1);
	KUNIT_EXPECT_EQ(test, c->k->peak_pages, 1);
	/* Fragmentation: what the one block does not use. */
	page = c->k->page_bytes;
	KUNIT_EXPECT_EQ(test, c->k->live_bytes, c->k->block_size);
	KUNIT_EXPECT_GE(test, page, c->k->block_size);
	KUNIT_EXPECT_EQ(test, c->s.held_bytes, page);
	do_batch(test, b, &here, free_batch, 0, 1);

	n = fill_page(test, c, b, &here);
	KUNIT_EXPECT_EQ(test, c->k->peak_pages, 2);
	KUNIT_EXPECT_GE(test, c->k->page_bytes, c->k->live_bytes);
	KUNIT_EXPECT_GE(test, c->s.peak_held_bytes, c->k->page_bytes);
	do_batch(test, b, &here, free_batch, 0, n);
	chaos_test_collect(c->heap);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->k->pages, 0);
	KUNIT_EXPECT_EQ(test, c->k->page_bytes, 0);
	KUNIT_EXPECT_EQ(test, c->k->peak_pages, 2);
	KUNIT_EXPECT_EQ(test, c->s.held_bytes, 0);
	chaos_test_idle(test, c->heap, 0);
}

/* A full page whose first free is another CPU's is anybody's; who needs one has it. */
static void abandoned_and_adopted(struct kunit *test)
{
	struct chaos_test_place here, there;
	struct counts *c = counts_init(test, &here, &there);
	struct batch *b = batch_init(test, c->heap);
	size_t n = fill_page(test, c, b, &here);

	KUNIT_EXPECT_EQ(test, c->k->abandoned, 0);
	KUNIT_EXPECT_EQ(test, c->k->abandoned_pages, 0);
	do_batch(test, b, &there, free_batch, 0, 2);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->k->abandoned, 1);
	KUNIT_EXPECT_EQ(test, c->k->abandoned_pages, 1);
	KUNIT_EXPECT_EQ(test, c->k->adopted, 0);
	KUNIT_EXPECT_EQ(test, c->k->foreign_frees, 2);

	do_batch(test, b, &there, alloc_batch, 0, 1);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->k->adopted, 1);
	KUNIT_EXPECT_EQ(test, c->k->abandoned, 1);
	KUNIT_EXPECT_EQ(test, c->k->abandoned_pages, 0);
	KUNIT_EXPECT_EQ(test, c->k->pages, 2);
	do_batch(test, b, &here, free_batch, 1, n - 1);
	do_batch(test, b, &there, free_batch, 0, 1);
	look(test, c);
	KUNIT_EXPECT_EQ(test, c->s.allocs, n + 1);
	KUNIT_EXPECT_EQ(test, c->s.live_blocks, 0);
	chaos_test_idle(test, c->heap, 0);
}

/* Blocks above the largest class: each is a page of the last class. */
static void large_blocks(struct kunit *test)
{
	struct chaos_test_place here;
	struct counts *c = counts_init(test, &here, NULL);
	struct chaos_heap *heap = chaos_test_heap_of(test, "mimalloc", SZ_64M, 0);
	struct chaos_class_stats *last;
	void *p[3];
	unsigned int i;

	c->heap = heap;
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = chaos_heap_alloc(heap, SZ_8M, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p[i]);
	}
	look(test, c);
	last = &c->c[c->n - 1];
	KUNIT_EXPECT_EQ(test, last->block_size, 0);
	KUNIT_EXPECT_EQ(test, last->live_blocks, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, last->pages, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, last->allocs, ARRAY_SIZE(p));
	KUNIT_EXPECT_GE(test, last->live_bytes, ARRAY_SIZE(p) * (size_t)SZ_8M);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		chaos_heap_free(heap, p[i]);
	look(test, c);
	last = &c->c[c->n - 1];
	KUNIT_EXPECT_EQ(test, last->pages, 0);
	KUNIT_EXPECT_EQ(test, last->peak_pages, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, last->local_frees + last->foreign_frees,
			ARRAY_SIZE(p));
	chaos_test_idle(test, heap, 0);
}

/* A buffer for fewer classes gets the first ones; the number is that of all. */
static void short_buffer(struct kunit *test)
{
	struct chaos_test_place here;
	struct counts *c = counts_init(test, &here, NULL);
	struct chaos_class_stats few[3];
	size_t i;

	memset(few, 0xa5, sizeof(few));
	KUNIT_EXPECT_EQ(test, chaos_heap_class_stats(c->heap, few, 2), c->n);
	for (i = 0; i < 2; i++)
		KUNIT_EXPECT_EQ(test, few[i].block_size, c->c[i].block_size);
	KUNIT_EXPECT_EQ(test, few[2].block_size, 0xa5a5a5a5a5a5a5a5UL);
	KUNIT_EXPECT_EQ(test, chaos_heap_class_stats(c->heap, NULL, 0), c->n);
}

/* --------------------------------- any engine ------------------------------ */

#define CHURN_THREADS	4
#define CHURN_STEPS	(20000 / CHAOS_TEST_FEWER)

/**
 * struct churner - a thread, and interrupts on its CPU
 * @mill: of all
 * @task: what the thread counted
 * @irq: what the interrupts counted
 * @work: the interrupt
 */
struct churner {
	struct chaos_test_mill *mill;
	struct chaos_test_tally task;
	struct chaos_test_tally irq;
	struct irq_work work;
};

static void churn_hardirq(struct irq_work *work)
{
	struct churner *c = container_of(work, struct churner, work);
	unsigned int i;

	for (i = 0; i < 8; i++)
		chaos_test_mill_step(c->mill, &c->irq, GFP_ATOMIC);
}

static void churn_thread(struct chaos_test_thread *self)
{
	struct churner *c = self->arg;
	unsigned int i;

	for (i = 0; i < CHURN_STEPS; i++) {
		chaos_test_mill_step(c->mill, &c->task, GFP_KERNEL);
		if (i % 16)
			continue;
		irq_work_queue(&c->work);
		cond_resched();
	}
	irq_work_sync(&c->work);
}

/* All at once and from everywhere: when they are done, the sums are right. */
static void after_a_churn(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_16M, 0);
	struct chaos_test_thread *threads;
	struct chaos_test_mill mill;
	struct chaos_heap_stats s;
	struct churner *c;
	u64 made = 0;
	int cpu = -1;
	u32 i;

	threads = chaos_test_buf(test, CHURN_THREADS, sizeof(*threads));
	c = chaos_test_buf(test, CHURN_THREADS, sizeof(*c));
	chaos_test_mill_init(test, &mill, heap, 500, SZ_16K);
	for (i = 0; i < CHURN_THREADS; i++) {
		c[i].mill = &mill;
		c[i].work = IRQ_WORK_INIT_HARD(churn_hardirq);
		prandom_seed_state(&c[i].task.rnd, 80 + 2 * i);
		prandom_seed_state(&c[i].irq.rnd, 81 + 2 * i);
		threads[i].fn = churn_thread;
		threads[i].arg = &c[i];
		cpu = cpumask_next(cpu, cpu_online_mask);
		if (cpu >= nr_cpu_ids)
			cpu = cpumask_first(cpu_online_mask);
		threads[i].cpu = cpu;
	}
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, CHURN_THREADS), 0);
	for (i = 0; i < CHURN_THREADS; i++) {
		made += c[i].task.made + c[i].irq.made;
		KUNIT_EXPECT_EQ(test, c[i].task.bad + c[i].irq.bad, 0);
		KUNIT_EXPECT_GT(test, c[i].irq.made, 0);
	}
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.allocs, made);
	KUNIT_EXPECT_EQ(test, s.live_blocks,
			s.allocs - s.local_frees - s.foreign_frees);
	KUNIT_EXPECT_GT(test, s.live_blocks, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&mill), 0);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.allocs, made);
	KUNIT_EXPECT_EQ(test, s.local_frees + s.foreign_frees, made);
	if (chaos_test_mimalloc(test))
		KUNIT_EXPECT_GT(test, s.foreign_frees, 0);
	else
		KUNIT_EXPECT_EQ(test, s.foreign_frees, 0);
	KUNIT_EXPECT_GE(test, s.peak_held_bytes, s.held_bytes);
	KUNIT_EXPECT_LE(test, s.peak_held_bytes, s.pool_bytes);
	chaos_test_idle(test, heap, 0);
}

static void allocs_and_frees(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, 0);
	struct chaos_heap_stats s;
	size_t i, usable = 0;
	void *p[50];

	chaos_test_exact(heap);
	/* Pages that are given up are nobody's: frees into them are not local. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	chaos_test_bind(test);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = chaos_heap_alloc(heap, 10 + i * 50, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, p[i]);
		usable += chaos_heap_usable_size(heap, p[i]);
	}
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.allocs, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, s.local_frees, 0);
	KUNIT_EXPECT_EQ(test, s.live_blocks, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, s.live_bytes, usable);
	KUNIT_EXPECT_GE(test, s.held_bytes, usable);
	for (i = 0; i < 20; i++)
		chaos_heap_free(heap, p[i]);
	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.allocs, ARRAY_SIZE(p));
	KUNIT_EXPECT_EQ(test, s.local_frees, 20);
	KUNIT_EXPECT_EQ(test, s.foreign_frees, 0);
	KUNIT_EXPECT_EQ(test, s.live_blocks, ARRAY_SIZE(p) - 20);
	for (; i < ARRAY_SIZE(p); i++)
		chaos_heap_free(heap, p[i]);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case counts_cases[] = {
	KUNIT_CASE(local_frees),
	KUNIT_CASE(other_cpu_frees),
	KUNIT_CASE(other_level_frees),
	KUNIT_CASE(bulk_counts),
	KUNIT_CASE(realloc_counts),
	KUNIT_CASE(refused_is_not_counted),
	KUNIT_CASE(pages_and_peak),
	KUNIT_CASE(abandoned_and_adopted),
	KUNIT_CASE(large_blocks),
	KUNIT_CASE(short_buffer),
	CHAOS_CASE(allocs_and_frees),
	CHAOS_CASE_SLOW(after_a_churn),
	{}
};

static struct kunit_suite counts_suite = {
	.name = "chaos_counts",
	.test_cases = counts_cases,
};

kunit_test_suites(&counts_suite);
