// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_overrun: a client writes past the end of a block, by a byte, by a word
 * and by a page.  What it has overwritten is lost.  All else is not: other blocks keep
 * their contents, the heap goes on, hands out no memory twice, and can be destroyed.
 * Documentation/badinput.rst has what is reported.
 */
#include <linux/seq_file.h>
#include <linux/sizes.h>

#include "common.h"
#include "../engine.h"
#include "../track.h"

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
 * @text: for reports
 */
struct scene {
	struct chaos_heap *heap;
	struct chaos_test_block *block[OVERRUN_BLOCKS];
	unsigned int victim;
	unsigned long from;
	unsigned long to;
	char text[SZ_4K];
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

static struct chaos_heap *overrun_heap(struct kunit *test, unsigned int level,
				       enum chaos_track track)
{
	return chaos_test_heap_at(test, CHAOS_TEST_FEWER > 1 ? SZ_1M : SZ_2M,
				  CHAOS_HARDENING_0 + level, track);
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

/* Counts blocks that are not as large as they can be: nobody may look at their ends. */
static bool count_wrong(struct chaos_heap *heap, void *p, size_t size, void *arg)
{
	size_t *wrong = arg;

	*wrong += !in_pool((unsigned long)p, size);
	return true;
}

/* Whoever looks at all blocks, and at what is behind them, is to survive that. */
static void look_around(struct kunit *test, struct scene *s)
{
	struct seq_file m = { .buf = s->text, .size = sizeof(s->text) };
	size_t wrong = 0;
	int err;

	err = chaos_heap_walk(s->heap, count_wrong, &wrong);
	KUNIT_EXPECT_EQ(test, wrong, 0);
	KUNIT_EXPECT_TRUE(test, err == 0 || err == -EUCLEAN);
	/* What one finds damaged is no secret to the other. */
	if (err)
		KUNIT_EXPECT_EQ(test, chaos_heap_check(s->heap), -EUCLEAN);
	KUNIT_EXPECT_EQ(test, chaos_callers_show(&m, s->heap), s->heap->track ? err : 0);
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

static void overrun_once(struct kunit *test, unsigned int level, enum chaos_track track,
			 size_t size, u8 value, size_t n, struct found *found)
{
	struct scene *s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	int err;

	KUNIT_ASSERT_NOT_NULL(test, s);
	s->heap = overrun_heap(test, level, track);
	set_up(test, s, size, value, n);
	err = chaos_heap_check(s->heap);
	KUNIT_EXPECT_TRUE(test, err == 0 || err == -EUCLEAN);
	look_around(test, s);
	free_all(test, s, size);
	use_on(test, s);
	look_around(test, s);
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
				overrun_once(test, level, CHAOS_TRACK_NONE, sizes[k],
					     values[j], overruns[i], &found);
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

/* The same where blocks remember who allocated them: past their ends, and before the next. */
static void tracked(struct kunit *test)
{
	static const size_t lengths[] = { 8, 64, 4096 };
	struct found found = {};
	unsigned int level, i, j;

	for (level = 0; level <= 2; level++)
		for (i = 0; i < ARRAY_SIZE(lengths); i++)
			for (j = CHAOS_TEST_FEWER > 1; j < ARRAY_SIZE(values);
			     j += CHAOS_TEST_FEWER)
				overrun_once(test, level, CHAOS_TRACK_CALLER, 40, values[j],
					     lengths[i], &found);
	kunit_info(test, "%u, found by check %u, by calls %u", found.n, found.by_check,
		   found.by_free);
}

/* In tlsf, a block's size is in front of it: each that it cannot have, and one that it could. */
static void wrong_sizes(struct kunit *test)
{
	static const u64 heads[] = {
		0, 8, 16, 24, 32, SZ_2M - 8, SZ_2M, SZ_1G, (1ULL << 40) - 8, ~0ULL, 256,
	};
	unsigned int level, i;

	if (strcmp(chaos_test_engine(test)->name, "tlsf"))
		kunit_skip(test, "no sizes in front of blocks");
	for (level = 0; level <= 2; level += 2) {
		for (i = 0; i < ARRAY_SIZE(heads); i++) {
			struct scene *s = chaos_test_buf(test, 1, sizeof(*s));
			u64 *first, *head, was;

			s->heap = overrun_heap(test, level, CHAOS_TRACK_CALLER);
			/* The first of the pool: in front of it is nothing. */
			first = chaos_heap_alloc(s->heap, 100, GFP_KERNEL);
			KUNIT_ASSERT_NOT_NULL(test, first);
			KUNIT_ASSERT_NOT_NULL(test, chaos_heap_alloc(s->heap, 100, GFP_KERNEL));
			head = first - 1;
			was = chaos_test_put_word(head, heads[i]);
			KUNIT_EXPECT_EQ(test, chaos_heap_check(s->heap), -EUCLEAN);
			look_around(test, s);
			chaos_heap_usable_size(s->heap, first);
			KUNIT_EXPECT_NULL(test, chaos_heap_realloc(s->heap, first, SZ_4M,
								   GFP_NOWAIT | __GFP_NOWARN));
			chaos_test_put_word(head, was);
			KUNIT_EXPECT_GE(test, chaos_heap_usable_size(s->heap, first), 100);
			chaos_test_destroy(test, s->heap);
		}
	}
}

static struct kunit_case overrun_cases[] = {
	CHAOS_CASE_SLOW(level_0),
	CHAOS_CASE_SLOW(level_1),
	CHAOS_CASE_SLOW(level_2),
	CHAOS_CASE_SLOW(tracked),
	CHAOS_CASE(wrong_sizes),
	{}
};

static struct kunit_suite overrun_suite = {
	.name = "chaos_overrun",
	.test_cases = overrun_cases,
};

kunit_test_suites(&overrun_suite);
