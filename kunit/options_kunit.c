// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_options: what can be changed while a heap is in use, what is
 * refused, with which reason, and what the options do.  The heartbeat is counted
 * exactly.  The module parameters of the same names are tested from user space,
 * in rootfs/params.sh.
 */
#include <linux/delay.h>
#include <linux/string.h>

#include "common.h"

CHAOS_TEST_ENGINE_PARAM();

/* ----------------------------------- values ------------------------------- */

/**
 * struct value - a value of an option, and what becomes of it
 * @option: the option
 * @value: the value
 * @reason: what the log has when it is refused; NULL: it is accepted
 */
struct value {
	enum chaos_option option;
	unsigned long value;
	const char *reason;
};

#define WATERMARKS	"0 to 50 percent are valid"
#define DELAYS		"0 to 3600000 ms are valid"
#define HEARTBEATS	"1 to 1073741824 allocations are valid"
#define STEPS		"0 and 65536 to "

static const struct value values[] = {
	{ CHAOS_OPT_WATERMARK, 0 },
	{ CHAOS_OPT_WATERMARK, 1 },
	{ CHAOS_OPT_WATERMARK, 50 },
	{ CHAOS_OPT_WATERMARK, 51, "watermark=51 is refused: " WATERMARKS },
	{ CHAOS_OPT_WATERMARK, ULONG_MAX, WATERMARKS },
	{ CHAOS_OPT_WATERMARK, 12 },
	{ CHAOS_OPT_RETIRE_DELAY, 0 },
	{ CHAOS_OPT_RETIRE_DELAY, 3600000 },
	{ CHAOS_OPT_RETIRE_DELAY, 3600001, "retire_delay=3600001 is refused: " DELAYS },
	{ CHAOS_OPT_RETIRE_DELAY, 1UL << 31, DELAYS },
	{ CHAOS_OPT_RETIRE_DELAY, 100 },
	{ CHAOS_OPT_RETURN_DELAY, 0 },
	{ CHAOS_OPT_RETURN_DELAY, 3600000 },
	{ CHAOS_OPT_RETURN_DELAY, 3600001, "return_delay=3600001 is refused: " DELAYS },
	{ CHAOS_OPT_RETURN_DELAY, 5000 },
	{ CHAOS_OPT_HEARTBEAT, 1 },
	{ CHAOS_OPT_HEARTBEAT, 1UL << 30 },
	{ CHAOS_OPT_HEARTBEAT, 0, "heartbeat=0 is refused: " HEARTBEATS },
	{ CHAOS_OPT_HEARTBEAT, (1UL << 30) + 1, "heartbeat=1073741825 is refused: " HEARTBEATS },
	{ CHAOS_OPT_HEARTBEAT, 256 },
	{ CHAOS_OPT_GROWTH_STEP, SZ_64K },
	{ CHAOS_OPT_GROWTH_STEP, SZ_64K + 1 },
	{ CHAOS_OPT_GROWTH_STEP, SZ_1G },
	{ CHAOS_OPT_GROWTH_STEP, 1, "growth_step=1 is refused: " STEPS },
	{ CHAOS_OPT_GROWTH_STEP, SZ_64K - 1, "growth_step=65535 is refused: " STEPS },
	{ CHAOS_OPT_GROWTH_STEP, ULONG_MAX, STEPS },
	{ CHAOS_OPT_GROWTH_STEP, 0 },
};

static void try_value(struct kunit *test, struct chaos_heap *heap,
		      const struct value *v)
{
	unsigned long before, after;
	struct kmsg_dump_iter log;
	int err;

	KUNIT_EXPECT_EQ(test, chaos_heap_get_option(heap, v->option, &before), 0);
	chaos_test_log_start(&log);
	err = chaos_heap_set_option(heap, v->option, v->value);
	KUNIT_EXPECT_EQ_MSG(test, err, v->reason ? -EINVAL : 0, "%d=%lu",
			    v->option, v->value);
	KUNIT_EXPECT_EQ(test, chaos_heap_get_option(heap, v->option, &after), 0);
	KUNIT_EXPECT_EQ_MSG(test, after, v->reason ? before : v->value, "%d=%lu",
			    v->option, v->value);
	if (!IS_ENABLED(CONFIG_PRINTK))
		return;
	KUNIT_EXPECT_EQ_MSG(test, chaos_test_log_lines(&log, v->reason ?: "is refused"),
			    v->reason ? 1 : 0, "%d=%lu", v->option, v->value);
}

static void set_and_refuse(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_8M);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(values); i++)
		try_value(test, heap, &values[i]);
	chaos_test_idle(test, heap, 0);
}

static void unknown_option(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	unsigned long value = 77;
	struct kmsg_dump_iter log;

	chaos_test_log_start(&log);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, 5, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, -1, 1), -EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_get_option(heap, 5, &value), -EINVAL);
	KUNIT_EXPECT_EQ(test, value, 77);
	if (IS_ENABLED(CONFIG_PRINTK))
		KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "0 to 4 are valid"), 3);
}

/* A heap begins with the defaults, whatever another one has. */
static void defaults(struct kunit *test)
{
	static const struct value expected[] = {
		{ CHAOS_OPT_WATERMARK, 12 },
		{ CHAOS_OPT_RETIRE_DELAY, 100 },
		{ CHAOS_OPT_RETURN_DELAY, 5000 },
		{ CHAOS_OPT_HEARTBEAT, 256 },
		{ CHAOS_OPT_GROWTH_STEP, 0 },
	};
	struct chaos_heap *first = chaos_test_heap(test, SZ_1M, 0), *second;
	unsigned long value;
	size_t i;

	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(first, CHAOS_OPT_WATERMARK, 1), 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(first, CHAOS_OPT_HEARTBEAT, 1), 0);
	second = chaos_test_heap(test, SZ_1M, 0);
	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		KUNIT_EXPECT_EQ(test, chaos_heap_get_option(second,
							    expected[i].option,
							    &value), 0);
		KUNIT_EXPECT_EQ(test, value, expected[i].value);
	}
}

/* NULL names the default heap, here as everywhere. */
static void default_heap(struct kunit *test)
{
	unsigned long before, after;

	KUNIT_EXPECT_EQ(test, chaos_heap_get_option(NULL, CHAOS_OPT_HEARTBEAT,
						    &before), 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(NULL, CHAOS_OPT_HEARTBEAT, 7), 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_get_option(NULL, CHAOS_OPT_HEARTBEAT,
						    &after), 0);
	KUNIT_EXPECT_EQ(test, after, 7);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(NULL, CHAOS_OPT_HEARTBEAT, 0),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(NULL, CHAOS_OPT_HEARTBEAT,
						    before), 0);
}

/* Each level that there is; and none that there is not. */
static void hardening_param(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "kunit-level",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_1M,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap;
	int level;

	for (level = CHAOS_HARDENING_DEFAULT; level <= CHAOS_HARDENING_2; level++) {
		params.hardening = level;
		heap = chaos_heap_create(&params);
		KUNIT_EXPECT_NOT_ERR_OR_NULL(test, heap);
		chaos_heap_destroy(heap);
	}
	params.hardening = level;
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_create(&params), ERR_PTR(-EINVAL));
	params.hardening = -1;
	KUNIT_EXPECT_PTR_EQ(test, chaos_heap_create(&params), ERR_PTR(-EINVAL));
}

/* -------------------------------- what they do ---------------------------- */

static struct chaos_heap_stats stats_of(struct chaos_heap *heap)
{
	struct chaos_heap_stats stats;

	chaos_heap_stats(heap, &stats);
	return stats;
}

/* Has the heap so many pools, within some seconds? */
static bool pools_become(struct chaos_heap *heap, unsigned int min,
			 unsigned int max)
{
	unsigned int tries, pools;

	for (tries = 0; tries < 200; tries++) {
		pools = stats_of(heap).pools;
		if (pools >= min && pools <= max)
			return true;
		msleep(50);
	}
	return false;
}

#define BLOCK	SZ_8K

/*
 * With a watermark of 0, the worker leaves a full heap alone; with one of 50, it
 * is due when half of the heap is in use, at once.
 */
static void watermark(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_8M);
	LLIST_HEAD(blocks);
	size_t i;

	chaos_test_exact(heap);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_WATERMARK, 0), 0);
	for (i = 0; i < SZ_1M * 3 / 4 / BLOCK; i++) {
		struct chaos_test_block *b;

		b = chaos_test_make(heap, BLOCK, GFP_NOWAIT, i);
		KUNIT_ASSERT_NOT_NULL(test, b);
		llist_add(&b->node, &blocks);
	}
	msleep(300);
	KUNIT_EXPECT_EQ(test, stats_of(heap).pools, 1);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_WATERMARK, 50), 0);
	/* The next allocation sees that it is below. */
	chaos_heap_free(heap, chaos_heap_alloc(heap, SZ_32K, GFP_NOWAIT));
	KUNIT_EXPECT_TRUE(test, pools_become(heap, 2, UINT_MAX));
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* Every pool that is added has as many bytes; a step of 0 doubles the heap. */
static void growth_step(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_16M);
	struct chaos_heap_stats stats;
	LLIST_HEAD(blocks);

	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_GROWTH_STEP,
						    SZ_256K), 0);
	do {
		struct chaos_test_block *b = chaos_test_make(heap, BLOCK,
							     GFP_KERNEL, 1);

		KUNIT_ASSERT_NOT_NULL(test, b);
		llist_add(&b->node, &blocks);
		stats = stats_of(heap);
	} while (stats.pool_bytes < SZ_4M);
	KUNIT_EXPECT_EQ(test, stats.pool_bytes - SZ_1M,
			(stats.pools - 1) * (size_t)SZ_256K);

	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_GROWTH_STEP, 0), 0);
	do {
		struct chaos_test_block *b = chaos_test_make(heap, BLOCK,
							     GFP_KERNEL, 1);

		KUNIT_ASSERT_NOT_NULL(test, b);
		llist_add(&b->node, &blocks);
	} while (stats_of(heap).pool_bytes < stats.pool_bytes + SZ_512K);
	KUNIT_EXPECT_GE(test, stats_of(heap).pool_bytes,
			min_t(size_t, 2 * stats.pool_bytes, SZ_16M));
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

/* A change of the delay is heeded by pools that are empty already. */
static void return_delay(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, SZ_8M);
	LLIST_HEAD(blocks);

	chaos_test_never(test, heap, CHAOS_OPT_RETURN_DELAY);
	chaos_test_exhaust(heap, BLOCK, GFP_KERNEL, &blocks);
	KUNIT_EXPECT_GE(test, stats_of(heap).pools, 2);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	msleep(1000);
	KUNIT_EXPECT_EQ(test, stats_of(heap).returns, 0);
	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_RETURN_DELAY, 0), 0);
	KUNIT_EXPECT_TRUE(test, pools_become(heap, 1, 1));
	KUNIT_EXPECT_GE(test, stats_of(heap).returns, 1);
	chaos_test_idle(test, heap, 0);
}

/* --------------------------------- heartbeat ------------------------------ */

static struct chaos_heap *heart_heap(struct kunit *test, struct chaos_test_heart *h,
				     unsigned long interval)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_4M, 0);

	KUNIT_EXPECT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_HEARTBEAT,
						    interval), 0);
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, chaos_test_beat, h), 0);
	return heap;
}

static void alloc_free(struct chaos_heap *heap, size_t n, size_t size)
{
	while (n--)
		chaos_heap_free(heap, chaos_heap_alloc(heap, size, GFP_ATOMIC));
}

/* The n-th call comes with allocation n * interval, not before, not after. */
static void heartbeat_exact(struct kunit *test)
{
	static const unsigned long intervals[] = { 1, 2, 7, 256, 1000 };
	static const size_t sizes[] = { 8, 64, 1024, 1025, 9000, 100000 };
	size_t i, k, n, wrong = 0;

	for (i = 0; i < ARRAY_SIZE(intervals); i++) {
		unsigned long interval = intervals[i];
		struct chaos_test_heart h = {};
		struct chaos_heap *heap = heart_heap(test, &h, interval);

		for (n = 1, k = 0; n <= 3 * interval + 10; n++, k++) {
			alloc_free(heap, 1, sizes[k % ARRAY_SIZE(sizes)]);
			wrong += h.calls != n / interval;
			wrong += h.last != n / interval;
		}
		KUNIT_EXPECT_EQ_MSG(test, wrong, 0, "interval %lu", interval);
		KUNIT_EXPECT_EQ(test, h.wrong, 0);
		KUNIT_EXPECT_EQ(test, h.forced, 0);
		chaos_test_destroy(test, heap);
	}
}

/* What counts, and what does not. */
static void heartbeat_counts(struct kunit *test)
{
	struct chaos_test_heart h = {};
	struct chaos_heap *heap = heart_heap(test, &h, 1);
	size_t zero = 0, calls = 2;
	void *p, *q;

	OPTIMIZER_HIDE_VAR(zero);
	p = chaos_heap_alloc(heap, zero, GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, p, ZERO_SIZE_PTR);
	p = chaos_heap_alloc(heap, 64, GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_EXPECT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, h.calls, 0);
	p = chaos_heap_zalloc(heap, 64, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, h.calls, 1);
	q = chaos_heap_alloc_aligned(heap, 64, 4096, GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, h.calls, 2);
	chaos_heap_free(heap, q);
	/* Where the block stays in place, none is allocated. */
	q = chaos_heap_realloc(heap, p, 60, GFP_KERNEL);
	calls += q != p;
	KUNIT_EXPECT_EQ(test, h.calls, calls);
	p = chaos_heap_realloc(heap, q, 60000, GFP_KERNEL);
	calls += q != p;
	KUNIT_EXPECT_EQ(test, h.calls, calls);
	/* A failure is an allocation, and then the hook is asked for help. */
	q = chaos_heap_alloc(heap, SZ_64M, GFP_KERNEL | __GFP_NOWARN);
	KUNIT_EXPECT_NULL(test, q);
	KUNIT_EXPECT_EQ(test, h.forced, 1);
	KUNIT_EXPECT_EQ(test, h.calls, calls + 1);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, h.wrong, 0);
	KUNIT_EXPECT_EQ(test, h.last, h.calls);
	chaos_test_idle(test, heap, 0);
}

/* Of its list, the hook frees a block when it is asked for help. */
static void help(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg)
{
	struct llist_head *blocks = arg;
	struct llist_node *first = force ? llist_del_first(blocks) : NULL;

	if (first)
		chaos_heap_free(heap, llist_entry(first, struct chaos_test_block, node));
}

/* Who may not sleep gets what the hook has freed. */
static void forced_hook_helps(struct kunit *test)
{
	struct chaos_heap *heap = chaos_test_heap(test, SZ_1M, 0);
	LLIST_HEAD(blocks);
	void *p;

	/* Or it goes on where another CPU keeps what the hook frees. */
	chaos_test_bind(test);
	chaos_test_exhaust(heap, 1000, GFP_ATOMIC, &blocks);
	KUNIT_ASSERT_FALSE(test, llist_empty(&blocks));
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, help, &blocks), 0);
	p = chaos_heap_alloc(heap, 1000, GFP_ATOMIC | __GFP_NOWARN);
	KUNIT_EXPECT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, NULL, NULL), 0);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, chaos_test_drain(heap, &blocks), 0);
	chaos_test_idle(test, heap, 0);
}

#define BULK	100

/* Each block of a bulk counts. */
static void heartbeat_bulk(struct kunit *test)
{
	struct chaos_test_heart h = {};
	struct chaos_heap *heap = heart_heap(test, &h, 7);
	size_t i, n = 0;
	void *p[BULK];

	for (i = 1; i <= BULK; i++) {
		KUNIT_ASSERT_EQ(test, chaos_heap_alloc_bulk(heap, 48, GFP_KERNEL, i, p), i);
		chaos_heap_free_bulk(heap, i, p);
		n += i;
		KUNIT_EXPECT_EQ(test, h.calls, n / 7);
		KUNIT_EXPECT_EQ(test, h.last, n / 7);
	}
	KUNIT_EXPECT_EQ(test, h.wrong, 0);
	chaos_test_idle(test, heap, 0);
}

/* Multiples of the interval that is in force at the time. */
static void heartbeat_interval_changes(struct kunit *test)
{
	struct chaos_test_heart h = {};
	struct chaos_heap *heap = heart_heap(test, &h, 100);

	alloc_free(heap, 250, 64);
	KUNIT_EXPECT_EQ(test, h.calls, 2);
	/* 260, 270, ... 300 */
	chaos_heap_set_option(heap, CHAOS_OPT_HEARTBEAT, 10);
	alloc_free(heap, 50, 64);
	KUNIT_EXPECT_EQ(test, h.calls, 7);
	/* 400, 500 */
	chaos_heap_set_option(heap, CHAOS_OPT_HEARTBEAT, 100);
	alloc_free(heap, 250, 2000);
	KUNIT_EXPECT_EQ(test, h.calls, 9);
	/* 1000 */
	chaos_heap_set_option(heap, CHAOS_OPT_HEARTBEAT, 1000);
	alloc_free(heap, 449, 64);
	KUNIT_EXPECT_EQ(test, h.calls, 9);
	alloc_free(heap, 1, 64);
	KUNIT_EXPECT_EQ(test, h.calls, 10);
	KUNIT_EXPECT_EQ(test, h.last, 10);
	KUNIT_EXPECT_EQ(test, h.wrong, 0);
	chaos_test_idle(test, heap, 0);
}

/* The count begins anew with each hook; the heartbeat goes on. */
static void heartbeat_of_each_hook(struct kunit *test)
{
	struct chaos_test_heart a = {}, b = {};
	struct chaos_heap *heap = heart_heap(test, &a, 10);

	alloc_free(heap, 35, 64);
	KUNIT_EXPECT_EQ(test, a.calls, 3);
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, chaos_test_beat, &b), 0);
	alloc_free(heap, 9, 64);
	KUNIT_EXPECT_EQ(test, b.calls, 0);
	alloc_free(heap, 1, 64);
	KUNIT_EXPECT_EQ(test, b.calls, 1);
	KUNIT_EXPECT_EQ(test, b.last, 4);
	KUNIT_EXPECT_EQ(test, a.calls, 3);
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, NULL, NULL), 0);
	alloc_free(heap, 1000, 64);
	KUNIT_EXPECT_EQ(test, b.calls, 1);
	/* Nobody has counted these. */
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(heap, chaos_test_beat, &a), 0);
	alloc_free(heap, 10, 64);
	KUNIT_EXPECT_EQ(test, a.calls, 4);
	KUNIT_EXPECT_EQ(test, a.last, 5);
	KUNIT_EXPECT_EQ(test, a.wrong + b.wrong, 0);
	chaos_test_idle(test, heap, 0);
}

/*
 * What the hook allocates counts, and it is not entered for it: every second
 * beat falls into the hook, and the one after it tells of both.
 */
static void heartbeat_within(struct kunit *test)
{
	struct chaos_test_heart h = { .block = 64 };
	struct chaos_heap *heap = heart_heap(test, &h, 1);
	size_t n;

	for (n = 1; n <= 100; n++) {
		alloc_free(heap, 1, 64);
		KUNIT_EXPECT_EQ(test, h.calls, n);
		KUNIT_EXPECT_EQ(test, h.last, 2 * n - 1);
	}
	KUNIT_EXPECT_EQ(test, h.wrong, 0);
	chaos_test_idle(test, heap, 0);
}

/**
 * struct visit - allocations somewhere else
 * @heap: from this heap
 * @n: how many
 */
struct visit {
	struct chaos_heap *heap;
	size_t n;
};

static void visit(void *arg)
{
	struct visit *v = arg;

	alloc_free(v->heap, v->n, 128);
}

/* Tasks and interrupts of all CPUs have one count, and call the hook. */
static void heartbeat_everywhere(struct kunit *test)
{
	struct chaos_test_heart h = {};
	struct visit v = { .heap = heart_heap(test, &h, 10) };
	struct chaos_test_place place;
	size_t n = 0, round;
	int cpu;

	for (round = 0; round < 20; round++) {
		for_each_online_cpu(cpu) {
			place.cpu = cpu;
			place.hardirq = round % 2;
			v.n = 3 + round % 5;
			KUNIT_ASSERT_EQ(test, chaos_test_at(&place, visit, &v), 0);
			n += v.n;
			KUNIT_EXPECT_EQ(test, h.calls, n / 10);
			KUNIT_EXPECT_EQ(test, h.last, n / 10);
		}
	}
	KUNIT_EXPECT_EQ(test, h.wrong, 0);
	chaos_test_idle(test, v.heap, 0);
}

#define CROWD		4
#define CROWD_ALLOCS	(20000 / CHAOS_TEST_FEWER)

static void crowd(struct chaos_test_thread *self)
{
	alloc_free(self->arg, CROWD_ALLOCS, 64 + self->nr * 500);
}

/* However many at once: none is counted twice, none is lost. */
static void heartbeat_crowd(struct kunit *test)
{
	struct chaos_test_heart *h = chaos_test_buf(test, 1, sizeof(*h));
	struct chaos_heap *heap = heart_heap(test, h, 16);
	struct chaos_test_thread *threads;
	unsigned int i;

	threads = chaos_test_buf(test, CROWD, sizeof(*threads));
	for (i = 0; i < CROWD; i++) {
		threads[i].fn = crowd;
		threads[i].arg = heap;
		threads[i].cpu = -1;
	}
	KUNIT_ASSERT_EQ(test, chaos_test_run(threads, CROWD), 0);
	KUNIT_EXPECT_EQ(test, h->wrong, 0);
	/* Calls may have found the hook running; their beats are in the next. */
	alloc_free(heap, 16, 64);
	KUNIT_EXPECT_EQ(test, h->last, CROWD * CROWD_ALLOCS / 16 + 1);
	KUNIT_EXPECT_LE(test, h->calls, h->last);
	KUNIT_EXPECT_GE(test, h->calls, 2);
	chaos_test_idle(test, heap, 0);
}

static struct kunit_case options_cases[] = {
	CHAOS_CASE(set_and_refuse),
	CHAOS_CASE(unknown_option),
	CHAOS_CASE(defaults),
	KUNIT_CASE(default_heap),
	CHAOS_CASE(hardening_param),
	CHAOS_CASE(watermark),
	CHAOS_CASE(growth_step),
	CHAOS_CASE(return_delay),
	CHAOS_CASE(heartbeat_exact),
	CHAOS_CASE(heartbeat_counts),
	CHAOS_CASE(forced_hook_helps),
	CHAOS_CASE(heartbeat_bulk),
	CHAOS_CASE(heartbeat_interval_changes),
	CHAOS_CASE(heartbeat_of_each_hook),
	CHAOS_CASE(heartbeat_within),
	CHAOS_CASE(heartbeat_everywhere),
	CHAOS_CASE(heartbeat_crowd),
	{}
};

static struct kunit_suite options_suite = {
	.name = "chaos_options",
	.test_cases = options_cases,
};

kunit_test_suites(&options_suite);
