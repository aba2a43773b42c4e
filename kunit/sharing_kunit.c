// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_sharing: blocks that are allocated at one place and freed at
 * another, for long.  A place is a CPU and a context level.  What one place has
 * freed, or has left behind, is there for all others: memory held stays close
 * to what is live, and nothing is stranded at a place that does not run again.
 */
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/sched.h>

#include "common.h"
#include "engine.h"

CHAOS_TEST_ENGINE_PARAM();

/* ----------------------------------- flow --------------------------------- */

#define FLOW_POOL	SZ_64M
#define FLOW_SIZE	592
#define FLOW_BLOCKS	1000000
#define FLOW_LIVE	8192UL	/* of each producer */
#define FLOW_AHEAD	512	/* sent and not yet freed */
#define FLOW_BATCH	256	/* in each interrupt */
#define FLOW_CLASSES	256

/**
 * struct flow - blocks on their way from producers to the one consumer
 * @heap: what they are from
 * @road: those that have been sent and not taken
 * @ahead: their number
 * @live: all blocks
 * @peak: the largest number of them
 * @producing: producers that have not made all of theirs
 * @timer: whichever side runs in hardirq
 * @stop: the timer shall not start again
 * @tally: what the consumer counted
 *
 * @live is counted up after an allocation, and down before a free: it is
 * never too large, so neither is what the heap may hold.
 */
struct flow {
	struct chaos_heap *heap;
	struct llist_head road;
	atomic_t ahead;
	atomic_t live;
	atomic_t peak;
	atomic_t producing;
	struct hrtimer timer;
	bool stop;
	struct chaos_test_tally tally;
};

/**
 * struct producer - has a set of live blocks of a fixed size
 * @flow: where those go that a new one has replaced
 * @set: the blocks; when it is complete, new ones replace others at random
 * @quota: blocks to make
 * @tally: what it counted
 */
struct producer {
	struct flow *flow;
	struct chaos_test_block *set[FLOW_LIVE];
	size_t quota;
	struct chaos_test_tally tally;
};

static void send(struct flow *flow, struct chaos_test_block *b)
{
	atomic_inc(&flow->ahead);
	llist_add(&b->node, &flow->road);
}

static void count_live(struct flow *flow)
{
	int live = atomic_inc_return(&flow->live), peak = atomic_read(&flow->peak);

	while (live > peak && !atomic_try_cmpxchg(&flow->peak, &peak, live))
		;
}

/* Any context. */
static void produce_one(struct producer *p)
{
	struct chaos_test_block *b;
	size_t i = p->tally.made;

	if (i >= FLOW_LIVE)
		i = chaos_test_below(&p->tally.rnd, FLOW_LIVE);
	b = chaos_test_make(p->flow->heap, FLOW_SIZE, GFP_ATOMIC, p->tally.made);
	p->tally.made++;
	if (!b) {
		p->tally.failed++;
		return;
	}
	count_live(p->flow);
	swap(b, p->set[i]);
	if (b)
		send(p->flow, b);
}

/* Until all are made or too many wait for the consumer; true: all are made. */
static bool produce(struct producer *p, size_t max)
{
	while (p->tally.made < p->quota && max-- &&
	       atomic_read(&p->flow->ahead) < FLOW_AHEAD)
		produce_one(p);
	return p->tally.made >= p->quota;
}

/* Any context. */
static size_t consume(struct flow *flow)
{
	struct chaos_test_block *b, *next;
	size_t n = 0;

	llist_for_each_entry_safe(b, next, llist_del_all(&flow->road), node) {
		atomic_dec(&flow->live);
		flow->tally.bad += !chaos_test_unmake(flow->heap, b);
		atomic_dec(&flow->ahead);
		n++;
	}
	flow->tally.made += n;
	return n;
}

static void produce_in_task(struct producer *p)
{
	while (!produce(p, SIZE_MAX))
		usleep_range(20, 100);
	atomic_dec(&p->flow->producing);
}

static void consume_in_task(struct flow *flow)
{
	bool last;

	do {
		/* Before the blocks: what was sent before it is on the road. */
		last = !atomic_read_acquire(&flow->producing);
		if (!consume(flow))
			usleep_range(20, 100);
		cond_resched();
	} while (!last);
}

/* ----------------------------- what may be held --------------------------- */

/* One page of each size class that has any. */
static size_t page_of_each(struct kunit *test, struct chaos_heap *heap)
{
	struct chaos_class_stats *c;
	size_t i, n, bytes = 0;

	c = chaos_test_buf(test, FLOW_CLASSES, sizeof(*c));
	n = chaos_heap_class_stats(heap, c, FLOW_CLASSES);
	KUNIT_ASSERT_LE(test, n, FLOW_CLASSES);
	for (i = 0; i < n; i++) {
		if (c[i].pages)
			bytes += DIV_ROUND_UP(c[i].page_bytes, c[i].pages);
	}
	return bytes;
}

/*
 * At most 1.25 times the bytes that were live at once, and a page of each class.
 * The evl engine rounds the size up by more than that: there, usable bytes count.
 */
static void expect_held(struct kunit *test, struct flow *flow)
{
	const char *engine = chaos_test_engine(test)->name;
	size_t size = FLOW_SIZE, pages, peak;
	struct chaos_heap_stats s;

	chaos_heap_stats(flow->heap, &s);
	if (!strcmp(engine, "evl"))
		size = s.live_bytes / s.live_blocks;
	pages = page_of_each(test, flow->heap);
	peak = (size_t)atomic_read(&flow->peak) * size;
	KUNIT_EXPECT_EQ(test, s.live_blocks, atomic_read(&flow->live));
	KUNIT_EXPECT_LE(test, s.peak_held_bytes, peak / 4 * 5 + pages);
	kunit_info(test, "%zu KiB held at most, %zu KiB live, %zu KiB in one page",
		   s.peak_held_bytes / SZ_1K, peak / SZ_1K, pages / SZ_1K);
}

/* ------------------------------ running a flow ----------------------------- */

/* The other engines have nothing that could be stranded. */
static size_t flow_blocks(struct kunit *test, unsigned int producers)
{
	size_t blocks = chaos_test_mimalloc(test) ? FLOW_BLOCKS : FLOW_BLOCKS / 20;

	return max(blocks / CHAOS_TEST_FEWER, 2 * FLOW_LIVE * producers);
}

static struct flow *flow_init(struct kunit *test, struct producer *p,
			      unsigned int producers, size_t blocks)
{
	struct chaos_heap *heap = chaos_test_heap(test, FLOW_POOL, 0);
	struct flow *flow = chaos_test_buf(test, 1, sizeof(*flow));
	unsigned int i;

	flow->heap = heap;
	init_llist_head(&flow->road);
	atomic_set(&flow->producing, producers);
	for (i = 0; i < producers; i++) {
		p[i].flow = flow;
		p[i].quota = blocks / producers;
		prandom_seed_state(&p[i].tally.rnd, 30 + i);
	}
	return flow;
}

static void empty_sets(struct flow *flow, struct producer *p,
		       unsigned int producers)
{
	unsigned int i, k;

	for (i = 0; i < producers; i++) {
		for (k = 0; k < FLOW_LIVE; k++) {
			if (p[i].set[k])
				send(flow, p[i].set[k]);
			p[i].set[k] = NULL;
		}
	}
	consume(flow);
}

static void flow_end(struct kunit *test, struct flow *flow, struct producer *p,
		     unsigned int producers, size_t blocks)
{
	size_t made = 0;
	unsigned int i;

	for (i = 0; i < producers; i++) {
		made += p[i].tally.made;
		KUNIT_EXPECT_EQ(test, p[i].tally.failed, 0);
	}
	KUNIT_EXPECT_EQ(test, made, blocks);
	KUNIT_EXPECT_EQ(test, atomic_read(&flow->live), producers * FLOW_LIVE);
	expect_held(test, flow);
	chaos_test_sound(test, flow->heap);
	empty_sets(flow, p, producers);
	KUNIT_EXPECT_EQ(test, flow->tally.bad, 0);
	KUNIT_EXPECT_EQ(test, flow->tally.made, blocks);
	chaos_test_idle(test, flow->heap, 0);
}

/* --------------------------- from one CPU to another ----------------------- */

static void producer_thread(struct chaos_test_thread *self)
{
	produce_in_task(self->arg);
}

static void consumer_thread(struct chaos_test_thread *self)
{
	consume_in_task(self->arg);
}

/* The last CPU of the @n + 1 frees all blocks, and never allocates. */
static void flow_between_cpus(struct kunit *test, unsigned int producers)
{
	size_t blocks = flow_blocks(test, producers);
	struct chaos_test_thread *threads;
	unsigned int cpus[5], i;
	struct producer *p;
	struct flow *flow;

	KUNIT_ASSERT_LT(test, producers, ARRAY_SIZE(cpus));
	chaos_test_cpus(test, cpus, producers + 1);
	p = chaos_test_buf(test, producers, sizeof(*p));
	threads = chaos_test_buf(test, producers + 1, sizeof(*threads));
	flow = flow_init(test, p, producers, blocks);
	for (i = 0; i < producers; i++) {
		threads[i].fn = producer_thread;
		threads[i].arg = &p[i];
		threads[i].cpu = cpus[i];
	}
	threads[i].fn = consumer_thread;
	threads[i].arg = flow;
	threads[i].cpu = cpus[i];
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, producers + 1), 0);
	flow_end(test, flow, p, producers, blocks);
}

static void cpu_to_cpu(struct kunit *test)
{
	flow_between_cpus(test, 1);
}

/*
 * In user space, mimalloc 3.2 to 3.4 grow to five times the live bytes here.  The
 * other engines would only show how CPUs wait for a lock.
 */
static void four_producers(struct kunit *test)
{
	flow_between_cpus(test, 4);
}

/* -------------------------- between task and hardirq ----------------------- */

/* A flow with its one producer: the timer's side finds the other. */
struct irq_flow {
	struct flow *flow;
	struct producer producer;
	struct hrtimer timer;
};

static enum hrtimer_restart producer_tick(struct hrtimer *timer)
{
	struct irq_flow *f = container_of(timer, struct irq_flow, timer);
	ktime_t began = ktime_get();

	if (!produce(&f->producer, FLOW_BATCH))
		return chaos_test_again(timer, began);
	/* After the last block. */
	atomic_dec_return_release(&f->flow->producing);
	return HRTIMER_NORESTART;
}

static enum hrtimer_restart consumer_tick(struct hrtimer *timer)
{
	struct irq_flow *f = container_of(timer, struct irq_flow, timer);
	bool last = !atomic_read_acquire(&f->flow->producing);
	ktime_t began = ktime_get();

	consume(f->flow);
	return last ? HRTIMER_NORESTART : chaos_test_again(timer, began);
}

static void cancel_timer(void *timer)
{
	hrtimer_cancel(timer);
}

static void flow_between_levels(struct kunit *test,
				enum hrtimer_restart (*tick)(struct hrtimer *))
{
	size_t blocks = flow_blocks(test, 1);
	struct irq_flow *f = chaos_test_buf(test, 1, sizeof(*f));

	f->flow = flow_init(test, &f->producer, 1, blocks);
	hrtimer_setup(&f->timer, tick, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
	chaos_test_defer(test, cancel_timer, &f->timer);
	chaos_test_bind(test);
	hrtimer_start(&f->timer, ns_to_ktime(50 * NSEC_PER_USEC),
		      HRTIMER_MODE_REL_PINNED_HARD);
	if (tick == producer_tick)
		consume_in_task(f->flow);
	else
		produce_in_task(&f->producer);
	/* The consumer's last turn is the one after the producer's. */
	while (hrtimer_active(&f->timer))
		usleep_range(100, 200);
	flow_end(test, f->flow, &f->producer, 1, blocks);
}

static void hardirq_to_task(struct kunit *test)
{
	flow_between_levels(test, producer_tick);
}

static void task_to_hardirq(struct kunit *test)
{
	flow_between_levels(test, consumer_tick);
}

/* ------------------------------ what is left behind ------------------------ */

#define LEFT_MAX	SZ_32K

/*
 * What contexts that are idle may keep of a heap, in percent: an eighth, and
 * what that costs at the edges.
 */
#define LEFT_FREE	85

static const size_t left_pools[] = { SZ_1M, SZ_4M };
static const size_t left_sizes[] = { 64, FLOW_SIZE, 4096, 30000 };

struct leaver {
	struct chaos_heap *heap;
	struct llist_head blocks;
};

/* A page of as many classes as there is room for, then whatever fits. */
static void leave_blocks(void *arg)
{
	struct leaver *l = arg;
	struct chaos_test_block *b;
	struct rnd_state rnd;
	unsigned int misses = 0;
	size_t size;

	prandom_seed_state(&rnd, 40);
	for (size = 32; misses < 16; ) {
		b = chaos_test_make(l->heap, size, GFP_ATOMIC | __GFP_NOWARN, 1);
		if (b)
			llist_add(&b->node, &l->blocks);
		else
			misses++;
		if (size < LEFT_MAX)
			size += max(size / 8, 8UL);
		else
			size = LEFT_MAX + chaos_test_size(&rnd, LEFT_MAX);
		if (size > LEFT_MAX)
			size = min(size, LEFT_MAX + chaos_test_size(&rnd, LEFT_MAX));
	}
}

static struct chaos_heap *lasting_heap(struct kunit *test, size_t pool)
{
	struct chaos_heap *heap = chaos_test_heap(test, pool, 0);

	/* Not the timer shall help. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	return heap;
}

static size_t capacity_at(struct kunit *test, struct chaos_heap *heap,
			  const struct chaos_test_place *place, size_t size)
{
	LLIST_HEAD(blocks);
	size_t n;

	n = chaos_test_exhaust_at(place, heap, size, &blocks);
	KUNIT_EXPECT_EQ(test, chaos_test_drain_at(place, heap, &blocks), 0);
	return n;
}

static size_t fresh_capacity(struct kunit *test, size_t pool,
			     const struct chaos_test_place *place, size_t size)
{
	struct chaos_heap *heap = chaos_test_heap(test, pool, 0);
	size_t n = capacity_at(test, heap, place, size);

	chaos_test_destroy(test, heap);
	KUNIT_ASSERT_GT(test, n, 0);
	return n;
}

/*
 * All of @from allocate, in turn, as much as there is; @by frees it; then @to can
 * have nearly all of the memory, and all of it when it has been collected.
 */
static void leave(struct kunit *test, const struct chaos_test_place *from,
		  unsigned int n_from, const struct chaos_test_place *by,
		  const struct chaos_test_place *to, size_t pool, size_t size)
{
	size_t fresh = fresh_capacity(test, pool, to, size), n;
	struct leaver l = { .heap = lasting_heap(test, pool) };
	unsigned int i;

	for (i = 0; i < n_from; i++) {
		KUNIT_ASSERT_EQ(test, chaos_test_at(&from[i], leave_blocks, &l), 0);
		KUNIT_EXPECT_FALSE(test, llist_empty(&l.blocks));
		KUNIT_EXPECT_EQ(test, chaos_test_drain_at(by, l.heap, &l.blocks),
				0);
	}
	n = capacity_at(test, l.heap, to, size);
	KUNIT_EXPECT_GE_MSG(test, n * 100, fresh * LEFT_FREE,
			    "%zu KiB: %zu of %zu blocks of %zu", pool / SZ_1K, n,
			    fresh, size);
	chaos_test_collect(l.heap);
	n = capacity_at(test, l.heap, to, size);
	KUNIT_EXPECT_GE_MSG(test, n, fresh, "%zu KiB, collected: blocks of %zu",
			    pool / SZ_1K, size);
	chaos_test_idle(test, l.heap, 0);
	chaos_test_destroy(test, l.heap);
}

static void leave_all(struct kunit *test, const struct chaos_test_place *from,
		      unsigned int n_from, const struct chaos_test_place *by,
		      const struct chaos_test_place *to)
{
	/* The other engines have nothing that could be left behind. */
	size_t pools = chaos_test_mimalloc(test) ? ARRAY_SIZE(left_pools) : 1;
	size_t i, k;

	for (i = 0; i < pools; i++) {
		for (k = 0; k < ARRAY_SIZE(left_sizes); k++)
			leave(test, from, n_from, by, to, left_pools[i],
			      left_sizes[k]);
	}
}

/* An interrupt that never comes again. */
static void left_by_hardirq(struct kunit *test)
{
	struct chaos_test_place from = { .hardirq = true }, by = {};

	chaos_test_cpus(test, &from.cpu, 1);
	by.cpu = from.cpu;
	leave_all(test, &from, 1, &by, &by);
}

/* A CPU that does nothing any more. */
static void left_by_cpu(struct kunit *test)
{
	struct chaos_test_place from = {}, by = {}, irq = { .hardirq = true };
	unsigned int cpus[2];

	chaos_test_cpus(test, cpus, 2);
	from.cpu = cpus[1];
	by.cpu = cpus[0];
	irq.cpu = cpus[0];
	leave_all(test, &from, 1, &by, &by);
	leave_all(test, &from, 1, &irq, &by);
	leave_all(test, &from, 1, &by, &irq);
}

#define LEAVING_CPUS	4

/* Tasks and interrupts of all CPUs but one, which frees; a third has it all. */
static void left_by_all(struct kunit *test)
{
	struct chaos_test_place from[2 * LEAVING_CPUS - 2], by = {};
	unsigned int cpus[LEAVING_CPUS], i;

	chaos_test_cpus(test, cpus, LEAVING_CPUS);
	for (i = 0; i < ARRAY_SIZE(from); i++) {
		from[i].cpu = cpus[1 + i / 2];
		from[i].hardirq = i % 2;
	}
	by.cpu = cpus[0];
	leave_all(test, from, ARRAY_SIZE(from), &by, &from[0]);
	leave_all(test, from, ARRAY_SIZE(from), &by, &by);
}

/* ---------------------------------- looking ------------------------------- */

#define WATCH_BLOCKS	100
#define WATCH_LIMIT	(10 * NSEC_PER_SEC)

/**
 * struct watch - a CPU that nobody else gets, as a real-time task may have one
 * @heap: whose blocks it has
 * @blocks: these
 * @busy: it has them, and lets nobody in any more
 * @seen: the others have looked at the heap, and collected what it keeps
 * @in_time: they could while it was busy
 * @stats: what they saw
 */
struct watch {
	struct chaos_heap *heap;
	void *blocks[WATCH_BLOCKS];
	bool busy;
	bool seen;
	bool in_time;
	struct chaos_heap_stats stats;
};

/* Two threads, on different CPUs. */
static void run_two(struct kunit *test, void (*fn)(struct chaos_test_thread *self), void *arg)
{
	struct chaos_test_thread threads[2] = {};
	unsigned int cpus[2], i;

	chaos_test_cpus(test, cpus, ARRAY_SIZE(cpus));
	for (i = 0; i < ARRAY_SIZE(threads); i++) {
		threads[i].fn = fn;
		threads[i].arg = arg;
		threads[i].cpu = cpus[i];
	}
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, ARRAY_SIZE(threads)), 0);
}

static void watch_busy(struct watch *w)
{
	u64 end = ktime_get_ns() + WATCH_LIMIT;
	unsigned int i;

	for (i = 0; i < WATCH_BLOCKS; i++)
		w->blocks[i] = chaos_heap_alloc(w->heap, FLOW_SIZE, GFP_KERNEL);
	preempt_disable();
	/* After the blocks; pairs with watch_look(). */
	smp_store_release(&w->busy, true);
	/* After what was seen; pairs with watch_look(). */
	while (!smp_load_acquire(&w->seen) && ktime_get_ns() < end)
		cpu_relax();
	w->in_time = READ_ONCE(w->seen);
	preempt_enable();
}

static void watch_look(struct watch *w)
{
	/* Pairs with watch_busy(). */
	while (!smp_load_acquire(&w->busy))
		cond_resched();
	chaos_heap_stats(w->heap, &w->stats);
	chaos_heap_class_stats(w->heap, NULL, 0);
	chaos_heap_collect(w->heap, false);
	chaos_heap_collect(w->heap, true);
	/* Pairs with watch_busy(). */
	smp_store_release(&w->seen, true);
}

static void watch_thread(struct chaos_test_thread *self)
{
	if (self->nr)
		watch_busy(self->arg);
	else
		watch_look(self->arg);
}

/* While a CPU that uses the heap lets nobody in, nobody waits for it for long. */
static void busy_cpu(struct kunit *test)
{
	struct watch *w = chaos_test_buf(test, 1, sizeof(*w));
	unsigned int i;

	w->heap = chaos_test_heap(test, SZ_4M, 0);
	run_two(test, watch_thread, w);
	KUNIT_EXPECT_TRUE(test, w->in_time);
	KUNIT_EXPECT_EQ(test, w->stats.live_blocks, WATCH_BLOCKS);
	KUNIT_EXPECT_EQ(test, w->stats.allocs, WATCH_BLOCKS);
	for (i = 0; i < WATCH_BLOCKS; i++)
		chaos_heap_free(w->heap, w->blocks[i]);
	chaos_test_idle(test, w->heap, 0);
}

/**
 * struct parting - a heap that goes while a CPU lets nobody in
 * @test: whose heap it is
 * @heap: which
 * @block: of it, in a page that the CPU keeps
 * @busy: @block is there, and the CPU lets nobody in any more
 * @gone: the CPU has seen the heap's memory go
 */
struct parting {
	struct kunit *test;
	struct chaos_heap *heap;
	void *block;
	bool busy;
	bool gone;
};

static void parting_busy(struct parting *p)
{
	u64 end = ktime_get_ns() + WATCH_LIMIT;

	p->block = chaos_heap_alloc(p->heap, FLOW_SIZE, GFP_KERNEL);
	preempt_disable();
	/* After the block; pairs with parting_destroy(). */
	smp_store_release(&p->busy, true);
	do {
		cpu_relax();
		p->gone = !chaos_heap_owns(p->heap, p->block);
	} while (!p->gone && ktime_get_ns() < end);
	preempt_enable();
}

/* What a collection has asked of the CPU, and waited for in vain, is asked still. */
static void parting_destroy(struct parting *p)
{
	/* Pairs with parting_busy(). */
	while (!smp_load_acquire(&p->busy))
		cond_resched();
	chaos_heap_collect(p->heap, true);
	chaos_test_destroy(p->test, p->heap);
}

static void parting_thread(struct chaos_test_thread *self)
{
	if (self->nr)
		parting_busy(self->arg);
	else
		parting_destroy(self->arg);
}

/* The CPU is back before the heap is quite gone, and finds nothing to do for it. */
static void destroyed_unvisited(struct kunit *test)
{
	struct parting p = { .test = test, .heap = chaos_test_heap(test, SZ_4M, 0) };

	/* There, irq_work_sync() waits for a grace period, and that for the CPU. */
	if (!arch_irq_work_has_interrupt())
		kunit_skip(test, "no interrupt for irq_work");
	run_two(test, parting_thread, &p);
	KUNIT_EXPECT_NOT_NULL(test, p.block);
	KUNIT_EXPECT_TRUE(test, p.gone);
}

/**
 * struct selfish - a real-time task that does not sleep, and cannot wait for memory
 * @heap: that it uses
 * @blocks: what it has got
 * @grown: so has the heap
 */
struct selfish {
	struct chaos_heap *heap;
	struct llist_head blocks;
	bool grown;
};

/* Statistics may sleep. */
static void selfish_thread(struct chaos_test_thread *self)
{
	u64 end = ktime_get_ns() + WATCH_LIMIT;
	struct selfish *s = self->arg;
	struct chaos_test_block *b;

	sched_set_fifo(current);
	do {
		b = chaos_test_make(s->heap, FLOW_SIZE, GFP_ATOMIC | __GFP_NOWARN, 1);
		if (b)
			llist_add(&b->node, &s->blocks);
		else
			udelay(5);
		s->grown = atomic_long_read(&s->heap->grows);
	} while (!s->grown && ktime_get_ns() < end);
	sched_set_normal(current, 0);
}

/* The heap grows for it meanwhile: that is done by others, on other CPUs. */
static void grows_beside(struct kunit *test)
{
	struct chaos_test_thread thread = { .fn = selfish_thread };
	struct selfish s = { .heap = chaos_test_heap(test, SZ_1M, SZ_4M) };
	unsigned int cpus[2];

	chaos_test_cpus(test, cpus, ARRAY_SIZE(cpus));
	thread.arg = &s;
	thread.cpu = cpus[1];
	KUNIT_ASSERT_EQ(test, chaos_test_run(&thread, 1), 0);
	KUNIT_EXPECT_TRUE(test, s.grown);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(s.heap, &s.blocks), 0);
	chaos_test_idle(test, s.heap, 0);
}

static struct kunit_case sharing_cases[] = {
	CHAOS_CASE_SLOW(hardirq_to_task),
	CHAOS_CASE_SLOW(task_to_hardirq),
	CHAOS_CASE_SLOW(cpu_to_cpu),
	KUNIT_CASE_SLOW(four_producers),
	CHAOS_CASE(left_by_hardirq),
	CHAOS_CASE(left_by_cpu),
	CHAOS_CASE(left_by_all),
	CHAOS_CASE(busy_cpu),
	CHAOS_CASE(destroyed_unvisited),
	CHAOS_CASE(grows_beside),
	{}
};

static struct kunit_suite sharing_suite = {
	.name = "chaos_sharing",
	.test_cases = sharing_cases,
};

kunit_test_suites(&sharing_suite);
