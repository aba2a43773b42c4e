// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_overrun: a client writes past the end of a block, by a byte, by a word
 * and by a page.  What it has overwritten is lost.  All else is not: other blocks keep
 * their contents, the heap goes on, hands out no memory twice, and can be destroyed.
 * Documentation/badinput.rst has what is reported.
 */
#include <linux/sizes.h>

#include "common.h"
#include "../engine.h"

CHAOS_TEST_ENGINE_PARAM();

#define OVERRUN_BLOCKS	96

static const size_t overruns[] = { 1, 8, 4096 };
static const u8 values[] = { 0x00, 0xa5, 0xff };
/* Small, medium, and such as have pages of their own */
static const size_t sizes[] = { 40, 200, 1024, 6000 };

/**
 * struct scene - a heap in which one block was written past its end
 * @heap: the heap
 * @block: blocks; every third was freed again, and is NULL
 * @victim: the number of the one whose end was overrun
 * @from: the first byte that was overwritten
 * @to: behind the last one
 */
struct scene {
	struct chaos_heap *heap;
	struct chaos_test_block *block[OVERRUN_BLOCKS];
	unsigned int victim;
	unsigned long from;
	unsigned long to;
};

/* As a client would that KASAN does not see: by a device, perhaps. */
static noinline __no_sanitize_address void scribble(void *p, u8 value, size_t n)
{
	u8 *bytes = p;
	size_t i;

	OPTIMIZER_HIDE_VAR(bytes);
	for (i = 0; i < n; i++)
		WRITE_ONCE(bytes[i], value);
}

static struct chaos_heap *overrun_heap(struct kunit *test, unsigned int level)
{
	const struct chaos_heap_params params = {
		.name = "overrun",
		.allocator = chaos_test_engine(test)->name,
		.pool_size = SZ_2M,
		.node = NUMA_NO_NODE,
		.hardening = CHAOS_HARDENING_0 + level,
	};

	return chaos_test_create(test, &params);
}

/* Everything but the heap is not the client's to overwrite. */
static bool in_pool(unsigned long from, size_t n)
{
	struct chaos_pool *pool;
	bool in;

	preempt_disable();
	pool = chaos_pool_of((void *)from);
	in = pool && from + n <= chaos_pool_end(pool);
	preempt_enable();
	return in;
}

/*
 * Blocks, holes between them, and an overrun from a block in the middle.  Where an engine
 * puts one behind the other, what follows is a block if @value is 0, else a hole.
 */
static void set_up(struct kunit *test, struct scene *s, size_t size, u8 value, size_t n)
{
	struct chaos_test_block *b;
	unsigned int i;

	for (i = 0; i < OVERRUN_BLOCKS; i++) {
		s->block[i] = chaos_test_make(s->heap, size, GFP_KERNEL, i);
		KUNIT_ASSERT_NOT_NULL(test, s->block[i]);
	}
	for (i = 0; i < OVERRUN_BLOCKS; i += 3) {
		KUNIT_ASSERT_TRUE(test, chaos_test_unmake(s->heap, s->block[i]));
		s->block[i] = NULL;
	}
	s->victim = OVERRUN_BLOCKS / 2 + (value ? 2 : 1);
	for (; s->victim < OVERRUN_BLOCKS; s->victim++) {
		b = s->block[s->victim];
		if (!b)
			continue;
		s->from = (unsigned long)b + chaos_heap_usable_size(s->heap, b);
		s->to = s->from + n;
		if (in_pool(s->from, n))
			break;
	}
	KUNIT_ASSERT_LT(test, s->victim, OVERRUN_BLOCKS);
	scribble((void *)s->from, value, n);
}

/* Could the overrun have reached the block? */
static bool was_hit(const struct scene *s, const struct chaos_test_block *b, size_t size)
{
	unsigned long start = (unsigned long)b;

	return start < s->to && start + size > s->from;
}

/* Free all that was not overwritten, by the addresses that the client knows. */
static void free_all(struct kunit *test, struct scene *s, size_t size)
{
	struct chaos_test_block *b;
	unsigned int i;

	for (i = 0; i < OVERRUN_BLOCKS; i++) {
		b = s->block[i];
		if (!b)
			continue;
		if (!was_hit(s, b, size))
			KUNIT_EXPECT_TRUE_MSG(test, chaos_test_intact(b), "block %u", i);
		chaos_heap_free(s->heap, b);
	}
}

/* Who has got memory that somebody else has finds it changed. */
static void use_on(struct kunit *test, struct scene *s)
{
	struct chaos_test_tally tally = {};
	struct chaos_test_mill mill;
	int i;

	chaos_test_mill_init(test, &mill, s->heap, 300, 3000);
	prandom_seed_state(&tally.rnd, 7);
	for (i = 0; i < 3000 / CHAOS_TEST_FEWER; i++)
		chaos_test_mill_step(&mill, &tally, GFP_NOWAIT);
	KUNIT_EXPECT_GT(test, tally.made, 100 / CHAOS_TEST_FEWER);
	KUNIT_EXPECT_EQ(test, tally.bad, 0);
	KUNIT_EXPECT_EQ(test, chaos_test_mill_empty(&mill), 0);
}

/**
 * struct found - what was found of overruns of one kind
 * @n: how many there were
 * @by_check: those that chaos_heap_check() found
 * @by_free: those of which a free or another call reported something
 */
struct found {
	unsigned int n;
	unsigned int by_check;
	unsigned int by_free;
};

static void overrun_once(struct kunit *test, unsigned int level, size_t size, u8 value,
			 size_t n, struct found *found)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	int err;

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->heap = overrun_heap(test, level);
	set_up(test, s, size, value, n);
	err = chaos_heap_check(s->heap);
	KUNIT_EXPECT_TRUE(test, err == 0 || err == -EUCLEAN);
	free_all(test, s, size);
	use_on(test, s);
	found->n++;
	found->by_check += !!err;
	found->by_free += !!chaos_test_bad_frees(s->heap);
	chaos_test_destroy(test, s->heap);
	kunit_kfree(test, s);
}

/* Each length, each value (on slow kernels one of them), each size of block. */
static void overrun_at(struct kunit *test, unsigned int level)
{
	struct chaos_heap *other = chaos_test_heap(test, SZ_256K, 0);
	struct chaos_test_block *b;
	unsigned int i, j, k;

	b = chaos_test_make(other, 3000, GFP_KERNEL, 1);
	KUNIT_ASSERT_NOT_NULL(test, b);
	for (i = 0; i < ARRAY_SIZE(overruns); i++) {
		struct found found = {};

		for (j = CHAOS_TEST_FEWER > 1; j < ARRAY_SIZE(values); j += CHAOS_TEST_FEWER)
			for (k = 0; k < ARRAY_SIZE(sizes); k++)
				overrun_once(test, level, sizes[k], values[j],
					     overruns[i], &found);
		kunit_info(test, "level %u, by %zu: %u, found by check %u, by calls %u",
			   level, overruns[i], found.n, found.by_check, found.by_free);
		/* That is what level 2 is for. */
		if (level == 2) {
			KUNIT_EXPECT_EQ(test, found.by_check, found.n);
			KUNIT_EXPECT_EQ(test, found.by_free, found.n);
		}
	}
	KUNIT_EXPECT_TRUE(test, chaos_test_unmake(other, b));
	chaos_test_idle(test, other, 0);
}

static void level_0(struct kunit *test)
{
	overrun_at(test, 0);
}

static void level_1(struct kunit *test)
{
	overrun_at(test, 1);
}

static void level_2(struct kunit *test)
{
	overrun_at(test, 2);
}

static struct kunit_case overrun_cases[] = {
	CHAOS_CASE_SLOW(level_0),
	CHAOS_CASE_SLOW(level_1),
	CHAOS_CASE_SLOW(level_2),
	{}
};

static struct kunit_suite overrun_suite = {
	.name = "chaos_overrun",
	.test_cases = overrun_cases,
};

kunit_test_suites(&overrun_suite);
