// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_api: the default heap, with whatever engine insmod gave it, by
 * the functions that name no heap.
 *
 * Others may use the default heap; nobody does while the tests run.  Figures are
 * compared with what they were, all the same.
 */
#include <linux/delay.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "common.h"

/* The default heap before a test. */
static int api_init(struct kunit *test)
{
	struct chaos_heap_stats *before;

	before = kunit_kzalloc(test, sizeof(*before), GFP_KERNEL);
	if (!before)
		return -ENOMEM;
	chaos_heap_stats(NULL, before);
	test->priv = before;
	return 0;
}

static void expect_as_before(struct kunit *test)
{
	struct chaos_heap_stats *before = test->priv, s;

	KUNIT_EXPECT_EQ(test, chaos_heap_check(NULL), 0);
	chaos_heap_stats(NULL, &s);
	KUNIT_EXPECT_EQ(test, s.live_blocks, before->live_blocks);
	KUNIT_EXPECT_EQ(test, s.live_bytes, before->live_bytes);
	KUNIT_EXPECT_EQ(test, s.bad_frees, before->bad_frees);
}

static size_t hidden(size_t size)
{
	OPTIMIZER_HIDE_VAR(size);
	return size;
}

static void alloc_free(struct kunit *test)
{
	size_t size, errors = 0;
	struct rnd_state rnd;
	unsigned int i;
	void *p;

	prandom_seed_state(&rnd, 7);
	for (i = 0; i < 20000 / CHAOS_TEST_FEWER; i++) {
		size = chaos_test_size(&rnd, SZ_256K);
		p = chaos_alloc(size, i % 2 ? GFP_KERNEL : GFP_ATOMIC);
		if (!p) {
			errors++;
			continue;
		}
		errors += chaos_usable_size(p) < size;
		errors += !chaos_heap_owns(NULL, p);
		chaos_test_fill(p, size, i);
		errors += !chaos_test_filled(p, size, i);
		chaos_free(p);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	expect_as_before(test);
}

static void zalloc_calloc(struct kunit *test)
{
	size_t size, errors = 0;
	void *p;

	for (size = 1; size < SZ_1M; size = size * 3 + 1) {
		p = chaos_alloc(size, GFP_KERNEL);
		if (p)
			chaos_test_fill(p, size, -1);
		chaos_free(p);
		p = chaos_zalloc(size, GFP_KERNEL);
		errors += !p || !chaos_test_zeroed(p, size);
		if (p)
			chaos_test_fill(p, size, -1);
		chaos_free(p);
		p = chaos_calloc(size, 3, GFP_KERNEL);
		errors += !p || !chaos_test_zeroed(p, size * 3);
		if (p)
			chaos_test_fill(p, size * 3, -1);
		chaos_free(p);
		p = chaos_alloc(size, GFP_ATOMIC | __GFP_ZERO);
		errors += !p || !chaos_test_zeroed(p, size);
		chaos_free(p);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	expect_as_before(test);
}

static void calloc_overflow(struct kunit *test)
{
	static const size_t pairs[][2] = {
		{ SIZE_MAX, 2 }, { 2, SIZE_MAX }, { SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX / 2 + 1, 2 }, { SIZE_MAX / 8 + 1, 8 },
		{ BIT(BITS_PER_LONG / 2), BIT(BITS_PER_LONG / 2) },
		{ BIT(BITS_PER_LONG / 2) + 1, BIT(BITS_PER_LONG / 2) },
		{ SIZE_MAX / 16, 16 },
	};
	unsigned int i;
	void *p;

	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		p = chaos_calloc(hidden(pairs[i][0]), hidden(pairs[i][1]),
				 GFP_KERNEL | __GFP_NOWARN);
		KUNIT_EXPECT_NULL_MSG(test, p, "%zu * %zu", pairs[i][0],
				      pairs[i][1]);
	}
	p = chaos_calloc(hidden(0), hidden(SIZE_MAX), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, p, ZERO_SIZE_PTR);
	p = chaos_calloc(hidden(SIZE_MAX), hidden(0), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, p, ZERO_SIZE_PTR);
	expect_as_before(test);
}

static void edges(struct kunit *test)
{
	void *p;

	KUNIT_EXPECT_PTR_EQ(test, chaos_alloc(hidden(0), GFP_KERNEL),
			    ZERO_SIZE_PTR);
	KUNIT_EXPECT_PTR_EQ(test, chaos_zalloc(hidden(0), GFP_KERNEL),
			    ZERO_SIZE_PTR);
	chaos_free(NULL);
	chaos_free(ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, chaos_usable_size(NULL), 0);
	KUNIT_EXPECT_EQ(test, chaos_usable_size(ZERO_SIZE_PTR), 0);
	p = chaos_alloc(hidden(SIZE_MAX), GFP_KERNEL | __GFP_NOWARN);
	KUNIT_EXPECT_NULL(test, p);
	p = chaos_alloc(hidden(SIZE_MAX - 7), GFP_ATOMIC | __GFP_NOWARN);
	KUNIT_EXPECT_NULL(test, p);
	p = chaos_alloc_aligned(64, 3, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, p);
	p = chaos_alloc_aligned(64, 2 * CHAOS_MAX_ALIGN, GFP_KERNEL);
	KUNIT_EXPECT_NULL(test, p);
	p = chaos_alloc(64, GFP_KERNEL | __GFP_NOFAIL);
	KUNIT_EXPECT_NULL(test, p);
	expect_as_before(test);
}

static void aligned(struct kunit *test)
{
	size_t align;
	void *p;

	for (align = 1; align <= CHAOS_MAX_ALIGN; align *= 2) {
		p = chaos_alloc_aligned(100, align, GFP_KERNEL);
		KUNIT_EXPECT_NOT_NULL(test, p);
		KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, align));
		chaos_free(p);
	}
	expect_as_before(test);
}

static void grow_and_shrink(struct kunit *test)
{
	size_t size, errors = 0;
	void *p = NULL, *q;

	for (size = 1; size < SZ_2M; size *= 2) {
		q = chaos_realloc(p, size, GFP_KERNEL);
		errors += !q || (p && !chaos_test_filled(q, size / 2, 1));
		p = q ?: p;
		if (q)
			chaos_test_fill(p, size, 1);
	}
	for (size /= 4; size; size /= 2) {
		q = chaos_realloc(p, size, GFP_KERNEL);
		errors += !q || !chaos_test_filled(q, size, 1);
		p = q ?: p;
	}
	q = chaos_realloc(p, hidden(SIZE_MAX / 2), GFP_KERNEL | __GFP_NOWARN);
	KUNIT_EXPECT_NULL(test, q);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 1, 1));
	q = chaos_realloc(p, hidden(0), GFP_KERNEL);
	KUNIT_EXPECT_PTR_EQ(test, q, ZERO_SIZE_PTR);
	KUNIT_EXPECT_EQ(test, errors, 0);
	expect_as_before(test);
}

#define BULK	333

static void bulk(struct kunit *test)
{
	void **p = chaos_test_buf(test, BULK, sizeof(*p));
	static const size_t sizes[] = { 8, 100, 1000, 9000 };
	size_t i, k, errors = 0;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		size_t size = sizes[i];

		KUNIT_ASSERT_EQ(test, chaos_alloc_bulk(size, GFP_KERNEL, BULK, p),
				BULK);
		for (k = 0; k < BULK; k++) {
			errors += chaos_usable_size(p[k]) < size;
			chaos_test_fill(p[k], size, k);
		}
		for (k = 0; k < BULK; k++)
			errors += !chaos_test_filled(p[k], size, k);
		/* NULLs may be among them. */
		chaos_free(p[7]);
		p[7] = NULL;
		chaos_free_bulk(BULK, p);

		KUNIT_ASSERT_EQ(test, chaos_alloc_bulk(size, GFP_KERNEL | __GFP_ZERO,
						       BULK, p), BULK);
		for (k = 0; k < BULK; k++)
			errors += !chaos_test_zeroed(p[k], size);
		chaos_free_bulk(BULK, p);
	}
	KUNIT_EXPECT_EQ(test, errors, 0);
	KUNIT_EXPECT_EQ(test, chaos_alloc_bulk(64, GFP_KERNEL, 0, p), 0);
	chaos_free_bulk(0, p);
	expect_as_before(test);
}

/* All or nothing: what there was room for is given back. */
static void bulk_too_much(struct kunit *test)
{
	gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN;
	struct chaos_heap_stats s;
	void *p[4] = {};

	chaos_heap_stats(NULL, &s);
	KUNIT_EXPECT_EQ(test, chaos_alloc_bulk(hidden(s.max_bytes / 3), gfp, 4, p),
			0);
	KUNIT_EXPECT_EQ(test, chaos_alloc_bulk(hidden(SIZE_MAX - 7), gfp, 4, p), 0);
	KUNIT_EXPECT_EQ(test, chaos_alloc_bulk(64, GFP_KERNEL | __GFP_NOFAIL, 4, p),
			0);
	expect_as_before(test);
}

static size_t count_words(const u64 *p, size_t size, u64 word)
{
	size_t i, n = 0;

	for (i = 0; i < size / sizeof(*p); i++)
		n += READ_ONCE_NOCHECK(p[i]) == word;
	return n;
}

/*
 * The memory of the block is the pool's, and the pool stays: what became of the
 * contents can be seen.
 */
static void free_sensitive(struct kunit *test)
{
	static const size_t sizes[] = { 64, 1000, 6000, 150000 };
	const u64 secret = 0x5ec2e75ec2e75ec2ULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *p = chaos_alloc(sizes[i], GFP_KERNEL);
		size_t usable = chaos_usable_size(p);

		KUNIT_EXPECT_NOT_NULL(test, p);
		/* All that may be used may hold a secret. */
		chaos_test_fill(p, usable, secret);
		KUNIT_EXPECT_EQ(test, count_words(p, usable, secret),
				usable / sizeof(secret));
		chaos_free_sensitive(p);
		OPTIMIZER_HIDE_VAR(p);
		KUNIT_EXPECT_EQ(test, count_words(p, usable, secret), 0);
	}
	expect_as_before(test);
}

static bool count_block(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	++*(size_t *)arg;
	return true;
}

static void by_null(struct kunit *test)
{
	struct chaos_heap_stats *before = test->priv, s;
	size_t blocks = 0;
	void *p, *q;

	/* NULL names the heap that chaos_alloc() takes from. */
	p = chaos_heap_alloc(NULL, 100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_TRUE(test, chaos_heap_owns(NULL, p));
	KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(NULL, p),
			chaos_usable_size(p));
	chaos_heap_stats(NULL, &s);
	KUNIT_EXPECT_EQ(test, s.live_blocks, before->live_blocks + 1);
	KUNIT_EXPECT_EQ(test, chaos_heap_walk(NULL, count_block, &blocks), 0);
	KUNIT_EXPECT_EQ(test, blocks, s.live_blocks);
	chaos_free(p);

	p = chaos_zalloc(100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	q = chaos_heap_realloc(NULL, p, 5000, GFP_KERNEL);
	KUNIT_EXPECT_NOT_NULL(test, q);
	chaos_heap_free(NULL, q ?: p);
	p = chaos_heap_alloc_aligned(NULL, 100, 512, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, p && IS_ALIGNED((unsigned long)p, 512));
	chaos_free_sensitive(p);
	p = chaos_heap_zalloc(NULL, 100, GFP_KERNEL);
	KUNIT_EXPECT_TRUE(test, p && chaos_test_zeroed(p, 100));
	chaos_free(p);
	chaos_heap_collect(NULL, true);
	expect_as_before(test);
}

static void wrong_frees(struct kunit *test)
{
	struct chaos_heap_stats *before = test->priv;
	struct kmsg_dump_iter log;
	void *p, *on_stack[2];

	chaos_test_log_start(&log);
	p = on_stack;
	OPTIMIZER_HIDE_VAR(p);
	chaos_free(p);
	p = kmalloc(100, GFP_KERNEL);
	chaos_free(p);
	kfree(p);
	p = chaos_alloc(100, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, p);
	chaos_free((char *)p + 8);
	chaos_free(p);
	OPTIMIZER_HIDE_VAR(p);
	chaos_free(p);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(NULL), 0);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(NULL) - before->bad_frees, 4);
	KUNIT_EXPECT_LE(test, chaos_test_log_lines(&log, "chaos_alloc:"), 4);
	before->bad_frees += 4;
	expect_as_before(test);
}

/*
 * A report names the heap and the caller.  When others have used the rate up, it
 * has to wait for its turn.
 */
static void report_names_caller(struct kunit *test)
{
	static const char * const texts[] = {
		"chaos_alloc: heap default", "report_names_caller+",
	};
	struct chaos_heap_stats *before = test->priv;
	struct kmsg_dump_iter log;
	unsigned int i, tries;
	size_t lines;
	void *p;

	if (!IS_ENABLED(CONFIG_PRINTK) || !IS_ENABLED(CONFIG_KALLSYMS))
		kunit_skip(test, "a kernel without log or symbols");
	p = &log;
	OPTIMIZER_HIDE_VAR(p);
	for (i = 0; i < ARRAY_SIZE(texts) - !CHAOS_TEST_NAMES_CALLER; i++) {
		chaos_test_log_start(&log);
		for (lines = tries = 0; !lines && tries < 400; tries++) {
			if (tries)
				msleep(50);
			chaos_free(p);
			before->bad_frees++;
			lines = chaos_test_log_lines(&log, texts[i]);
		}
		KUNIT_EXPECT_GE_MSG(test, lines, 1, "\"%s\"", texts[i]);
	}
	expect_as_before(test);
}

#ifdef DEFINE_FREE
static void use_cleanup(size_t *size)
{
	void *p __free(chaos_free) = chaos_alloc(300, GFP_KERNEL);
	void *none __free(chaos_free) = NULL;

	if (p && !none)
		*size = chaos_usable_size(p);
}

static void *take_pointer(void)
{
	void *p __free(chaos_free) = chaos_zalloc(300, GFP_KERNEL);

	return_ptr(p);
}

static void scoped_free(struct kunit *test)
{
	size_t size = 0;
	void *p;

	use_cleanup(&size);
	KUNIT_EXPECT_GE(test, size, 300);
	expect_as_before(test);
	p = take_pointer();
	KUNIT_EXPECT_TRUE(test, p && chaos_test_zeroed(p, 300));
	chaos_free(p);
	expect_as_before(test);
}
#else
static void scoped_free(struct kunit *test)
{
	kunit_skip(test, "this kernel has no <linux/cleanup.h>");
}
#endif

/**
 * struct pulse - a heart, and how long it takes from one call to the next
 * @heart: what the hook has seen
 * @since: allocations since the last call
 * @longest: the highest @since
 */
struct pulse {
	struct chaos_test_heart heart;
	size_t since;
	size_t longest;
};

static void beat(struct chaos_heap *heap, bool force, u64 heartbeat, void *arg)
{
	struct pulse *p = container_of(arg, struct pulse, heart);

	p->longest = max(p->longest, p->since);
	p->since = 0;
	chaos_test_beat(heap, force, heartbeat, arg);
}

#define HEART_ALLOCS	(100000 / CHAOS_TEST_FEWER)

static void exercise(struct pulse *p, size_t size)
{
	size_t i;

	for (i = 0; i < HEART_ALLOCS; i++) {
		chaos_free(chaos_alloc(size, GFP_KERNEL));
		p->since++;
	}
	p->longest = max(p->longest, p->since);
}

static void unregister(void *unused)
{
	WARN_ON(chaos_register_deferred_free(NULL, NULL, NULL));
}

static void deferred_free(struct kunit *test)
{
	struct pulse *a = chaos_test_buf(test, 1, sizeof(*a));
	struct pulse *b = chaos_test_buf(test, 1, sizeof(*b));
	size_t calls;

	a->heart.block = 100;
	b->heart.block = 100;
	chaos_test_defer(test, unregister, NULL);
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(NULL, beat, &a->heart), 0);
	exercise(a, 64);
	KUNIT_EXPECT_GE(test, a->heart.calls, 2);
	KUNIT_EXPECT_EQ(test, a->heart.wrong, 0);
	KUNIT_EXPECT_LT(test, a->longest, HEART_ALLOCS / 2);

	/* The second replaces the first. */
	calls = a->heart.calls;
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(NULL, beat, &b->heart), 0);
	exercise(b, 3000);
	KUNIT_EXPECT_EQ(test, a->heart.calls, calls);
	KUNIT_EXPECT_GE(test, b->heart.calls, 2);
	KUNIT_EXPECT_EQ(test, b->heart.wrong, 0);
	KUNIT_EXPECT_LT(test, b->longest, HEART_ALLOCS / 2);
	KUNIT_EXPECT_GT(test, b->heart.last, a->heart.last);

	calls = b->heart.calls;
	KUNIT_EXPECT_EQ(test, chaos_register_deferred_free(NULL, NULL, NULL), 0);
	exercise(b, 64);
	KUNIT_EXPECT_EQ(test, b->heart.calls, calls);
	expect_as_before(test);
}

static struct kunit_case api_cases[] = {
	KUNIT_CASE(alloc_free),
	KUNIT_CASE(zalloc_calloc),
	KUNIT_CASE(calloc_overflow),
	KUNIT_CASE(edges),
	KUNIT_CASE(aligned),
	KUNIT_CASE(grow_and_shrink),
	KUNIT_CASE(bulk),
	KUNIT_CASE(bulk_too_much),
	KUNIT_CASE(free_sensitive),
	KUNIT_CASE(by_null),
	KUNIT_CASE(wrong_frees),
	KUNIT_CASE(report_names_caller),
	KUNIT_CASE(scoped_free),
	KUNIT_CASE(deferred_free),
	{}
};

static struct kunit_suite api_suite = {
	.name = "chaos_api",
	.init = api_init,
	.test_cases = api_cases,
};

kunit_test_suites(&api_suite);
