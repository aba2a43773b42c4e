// SPDX-License-Identifier: GPL-2.0
/*
 * White-box tests of the mimalloc engine's memory: hints that lead astray,
 * retirement, the limit on what theaps keep, lists that are pushed at once,
 * and what hardening adds to a page.
 */
#include <kunit/test.h>
#include <linux/irq_work.h>

#include "common.h"
#include "../mi_internal.h"

#define MI_TEST_POOL	(16UL << 20)
#define MI_TEST_SIZE	64
#define MI_TEST_MAX	80

static struct chaos_heap *mi_make_heap(struct kunit *test,
				       enum chaos_hardening hardening)
{
	struct chaos_heap_params params = {
		.name = "mi_memory",
		.allocator = "mimalloc",
		.pool_size = MI_TEST_POOL,
		.node = NUMA_NO_NODE,
		.hardening = hardening,
	};
	struct chaos_heap *heap = chaos_test_create(test, &params);

	/* The background must not tidy up under the tests' eyes. */
	chaos_test_never(test, heap, CHAOS_OPT_RETIRE_DELAY);
	return chaos_test_exact(heap);
}

static void mi_end_heap(struct kunit *test, struct chaos_heap *heap)
{
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	chaos_test_destroy(test, heap);
}

static struct mi_page *mi_test_page(const void *p)
{
	struct mi_page *page;

	preempt_disable();
	page = mi_page_of(chaos_pool_of(p), p);
	preempt_enable();
	return page;
}

static struct mi_pool *mi_test_pool(const void *p)
{
	struct mi_pool *mp;

	preempt_disable();
	mp = mi_pool_priv(chaos_pool_of(p));
	preempt_enable();
	return mp;
}

static u64 mi_word(struct mi_page *page)
{
	return atomic64_read(&page->thread_free);
}

static void *mi_take(struct kunit *test, struct chaos_heap *heap, size_t size)
{
	void *p = chaos_heap_alloc(heap, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static void mi_expect_counts(struct kunit *test, struct chaos_heap *heap, u64 allocs,
			     u64 frees)
{
	struct chaos_heap_stats s;

	chaos_heap_stats(heap, &s);
	KUNIT_EXPECT_EQ(test, s.allocs, allocs);
	KUNIT_EXPECT_EQ(test, s.local_frees, frees);
	KUNIT_EXPECT_EQ(test, s.live_blocks, allocs - frees);
}

/* Fill a page to the last block, and begin another one; number of blocks. */
static unsigned int mi_fill(struct kunit *test, struct chaos_heap *heap, void **p)
{
	unsigned int n = 1;

	p[0] = mi_take(test, heap, MI_TEST_SIZE);
	while (n < MI_TEST_MAX) {
		p[n] = mi_take(test, heap, MI_TEST_SIZE);
		if (mi_test_page(p[n++]) != mi_test_page(p[0]))
			return n;
	}
	KUNIT_FAIL_AND_ABORT(test, "a page of more than %u blocks", MI_TEST_MAX);
	return 0;
}

/* Free blocks from another context level. */
struct mi_bulk_free {
	struct irq_work work;
	struct chaos_heap *heap;
	void **p;
	size_t n;
};

static void mi_bulk_free_irq(struct irq_work *work)
{
	struct mi_bulk_free *b = container_of(work, struct mi_bulk_free, work);

	chaos_heap_free_bulk(b->heap, b->n, b->p);
}

static void mi_free_foreign(struct chaos_heap *heap, void **p, size_t n)
{
	struct mi_bulk_free b = { .heap = heap, .p = p, .n = n };

	b.work = IRQ_WORK_INIT_HARD(mi_bulk_free_irq);
	irq_work_queue(&b.work);
	irq_work_sync(&b.work);
}

/* ---------------------------------- hints --------------------------------- */

static unsigned long *mi_hints(struct mi_pool *mp, unsigned int bin)
{
	return mp->listed + bin * mp->words;
}

/* A hint to a page that is not LISTED is followed once, and changes nothing. */
static void mi_hint_to_nothing(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_heap *mi = heap->priv;
	void *full[MI_TEST_MAX], *p;
	struct mi_page *owned, *page;
	unsigned int bin, n, free;
	struct mi_pool *mp;
	u64 word;

	migrate_disable();
	n = mi_fill(test, heap, full);
	owned = mi_test_page(full[n - 1]);
	page = mi_test_page(full[0]);
	mp = mi_test_pool(full[0]);
	word = mi_word(page);
	bin = mi_bin(2 * MI_TEST_SIZE);
	free = mp->slices - 1;
	KUNIT_ASSERT_FALSE(test, mi_slice_used(mp, free));
	set_bit(owned - mp->page, mi_hints(mp, bin));
	set_bit(page - mp->page, mi_hints(mp, bin));
	set_bit(free, mi_hints(mp, bin));
	atomic_inc(&mi->bin[bin].listed);

	p = mi_take(test, heap, 2 * MI_TEST_SIZE);
	KUNIT_EXPECT_PTR_NE(test, mi_test_page(p), owned);
	KUNIT_EXPECT_PTR_NE(test, mi_test_page(p), page);
	KUNIT_EXPECT_EQ(test, mi_word(page), word);
	KUNIT_EXPECT_TRUE(test, mi_is_owned(mi_word(owned)));
	KUNIT_EXPECT_EQ(test, mi_word(&mp->page[free]), 0);
	KUNIT_EXPECT_TRUE(test, bitmap_empty(mi_hints(mp, bin), mp->slices));
	atomic_dec(&mi->bin[bin].listed);
	migrate_enable();
	mi_end_heap(test, heap);
}

/*
 * A hint to a page that is LISTED in another bin: the slice was reused between
 * the page's word and the hint.  The page stays to be found where it belongs.
 */
static void mi_hint_to_other_bin(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_heap *mi = heap->priv;
	unsigned int bin = mi_bin(2 * MI_TEST_SIZE), n;
	void *p[MI_TEST_MAX], *q;
	struct mi_page *page;
	struct mi_pool *mp;

	migrate_disable();
	n = mi_fill(test, heap, p);
	page = mi_test_page(p[0]);
	mp = mi_test_pool(p[0]);
	mi_free_foreign(heap, p, 1);
	KUNIT_ASSERT_EQ(test, mi_word(page) & MI_LISTED, MI_LISTED);
	set_bit(page - mp->page, mi_hints(mp, bin));
	atomic_inc(&mi->bin[bin].listed);

	q = mi_take(test, heap, 2 * MI_TEST_SIZE);
	atomic_dec(&mi->bin[bin].listed);
	KUNIT_EXPECT_PTR_NE(test, mi_test_page(q), page);
	KUNIT_EXPECT_EQ(test, mi_word(page) & MI_LISTED, MI_LISTED);
	KUNIT_EXPECT_TRUE(test, test_bit(page - mp->page,
					 mi_hints(mp, mi_bin(MI_TEST_SIZE))));
	KUNIT_EXPECT_EQ(test, atomic_read(&mi->bin[mi_bin(MI_TEST_SIZE)].listed), 1);

	/* Fill up the page at hand: then the LISTED one is next. */
	while (mi_test_page(q) != page && n++ < 3 * MI_TEST_MAX)
		q = mi_take(test, heap, MI_TEST_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, mi_test_page(q), page);
	KUNIT_EXPECT_EQ(test, atomic_read(&mi->bin[mi_bin(MI_TEST_SIZE)].listed), 0);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* ------------------------------ lists at once ----------------------------- */

/* Several blocks of a FULL page are freed by one push, which claims the page. */
static void mi_push_list_full(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	void *p[MI_TEST_MAX];
	struct mi_page *page;
	unsigned int n;

	migrate_disable();
	n = mi_fill(test, heap, p);
	page = mi_test_page(p[0]);
	mi_free_foreign(heap, p, 5);
	KUNIT_EXPECT_EQ(test, mi_word(page) & (MI_LISTED | MI_OWNED), MI_LISTED);
	KUNIT_EXPECT_EQ(test, mi_count_of(mi_word(page)), (s32)n - 1 - 5);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	/* All that is left at once: the page goes. */
	mi_free_foreign(heap, p + 5, n - 1 - 5);
	KUNIT_EXPECT_EQ(test, mi_word(page), 0);
	KUNIT_EXPECT_EQ(test, page->slices, 0);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* The same block twice in one call: the second one is refused and reported. */
static void mi_push_list_twice(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	void *p[MI_TEST_MAX], *twice[4];
	struct mi_page *page;
	unsigned int n;

	migrate_disable();
	n = mi_fill(test, heap, p);
	page = mi_test_page(p[0]);
	twice[0] = p[0];
	twice[1] = p[1];
	twice[2] = p[0];
	twice[3] = p[2];
	mi_free_foreign(heap, twice, 4);
	KUNIT_EXPECT_EQ(test, mi_count_of(mi_word(page)), (s32)n - 1 - 3);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* ------------------------------- full pages ------------------------------- */

/* A page that we have filled comes back by a free of our own, which is a local one. */
static void mi_takes_back_full(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_theap *theap;
	void *p[MI_TEST_MAX];
	struct mi_page *page;
	unsigned int n, i;

	migrate_disable();
	theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	n = mi_fill(test, heap, p);
	page = mi_test_page(p[0]);
	KUNIT_EXPECT_TRUE(test, mi_is_full(mi_word(page)));
	KUNIT_EXPECT_NULL(test, page->theap);

	chaos_heap_free(heap, p[0]);
	KUNIT_EXPECT_EQ(test, mi_word(page), MI_OWNED);
	KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);
	KUNIT_EXPECT_EQ(test, mi_free_count(page), 1);
	mi_expect_counts(test, heap, n, 1);

	for (i = 1; i < n; i++)
		chaos_heap_free(heap, p[i]);
	mi_expect_counts(test, heap, n, n);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* -------------------------------- retirement ------------------------------ */

/* Empty pages are looked for when this allocates: of sizes that no page is kept of. */
static void mi_look_for_empty(struct kunit *test, struct chaos_heap *heap, size_t size)
{
	struct mi_theap *theap = this_cpu_ptr(heap->theaps) + MI_TASK;

	theap->retire_at = (jiffies - 2) | 1;
	chaos_heap_free(heap, mi_take(test, heap, size));
}

/* The last page of a class is kept when it is empty, and goes when it is due. */
static void mi_retired_for_a_while(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_theap *theap;
	struct mi_page *page;
	void *p;

	migrate_disable();
	theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	p = mi_take(test, heap, MI_TEST_SIZE);
	page = mi_test_page(p);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);
	KUNIT_EXPECT_TRUE(test, page->frees & MI_RETIRED);
	KUNIT_EXPECT_NE(test, theap->retire_at, 0);

	/* Not due: any visit to the generic path leaves it. */
	chaos_heap_free(heap, mi_take(test, heap, 2 * MI_TEST_SIZE));
	KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);

	/* Due, and seen empty; due again, and still empty. */
	mi_look_for_empty(test, heap, 3 * MI_TEST_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);
	mi_look_for_empty(test, heap, 5 * MI_TEST_SIZE);
	KUNIT_EXPECT_NULL(test, theap->queue[mi_bin(MI_TEST_SIZE)].first);
	KUNIT_EXPECT_NULL(test, theap->queue[mi_bin(2 * MI_TEST_SIZE)].first);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* One that is in use again when it is due stays. */
static void mi_retired_in_use(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_theap *theap;
	struct mi_page *page;
	void *p;

	migrate_disable();
	theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	p = mi_take(test, heap, MI_TEST_SIZE);
	page = mi_test_page(p);
	chaos_heap_free(heap, p);
	p = mi_take(test, heap, MI_TEST_SIZE);
	KUNIT_ASSERT_PTR_EQ(test, mi_test_page(p), page);
	mi_look_for_empty(test, heap, 3 * MI_TEST_SIZE);
	mi_look_for_empty(test, heap, 5 * MI_TEST_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);
	KUNIT_EXPECT_FALSE(test, page->due);
	KUNIT_EXPECT_FALSE(test, page->frees & MI_RETIRED);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* Allocate @n blocks, free them all, and count the pages that are ours still. */
static size_t mi_keeps_after(struct kunit *test, struct chaos_heap *heap,
			     unsigned int n, size_t size)
{
	struct mi_theap *theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	void **p = chaos_test_buf(test, n, sizeof(*p));
	struct mi_page *page;
	size_t bytes = 0;
	unsigned int i;

	for (i = 0; i < n; i++)
		p[i] = mi_take(test, heap, size);
	for (i = 0; i < n; i++)
		chaos_heap_free(heap, p[i]);
	for (page = theap->queue[mi_bin(size)].first; page; page = page->next)
		bytes += mi_page_bytes(page);
	KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), bytes);
	KUNIT_EXPECT_EQ(test, theap->retired, bytes);
	return bytes;
}

/* What was freed at once is kept for the next time, but no more than that of it. */
static void mi_retired_many(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_heap *mi = heap->priv;
	unsigned int n = mi->spare_max / SZ_1K;
	struct mi_theap *theap;
	/* Not below the smallest blocks: each look takes a class that has no page yet. */
	unsigned int bin = CHAOS_SAN_MIN_SIZE / 8, looks = 0;
	struct mi_page *last;
	size_t kept;

	KUNIT_ASSERT_GE(test, n, 16);
	migrate_disable();
	theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	kept = mi_keeps_after(test, heap, n / 2, SZ_1K);
	KUNIT_EXPECT_GE(test, kept, n / 2 * SZ_1K);
	KUNIT_EXPECT_LE(test, kept, mi->spare_max);
	/* They are used again, and none besides. */
	KUNIT_EXPECT_EQ(test, mi_keeps_after(test, heap, n / 2, SZ_1K), kept);
	kept = mi_keeps_after(test, heap, 4 * n, SZ_1K);
	KUNIT_EXPECT_LE(test, kept, mi->spare_max);
	KUNIT_EXPECT_GE(test, kept, mi->spare_max / 2);

	/* When they are due, they go one by one, the last one first. */
	last = theap->queue[mi_bin(SZ_1K)].last;
	while (theap->queue[mi_bin(SZ_1K)].first && ++bin < mi_bin(SZ_1K)) {
		mi_look_for_empty(test, heap, mi_bin_size(bin));
		if (++looks == 4)
			KUNIT_EXPECT_EQ(test, last->slices, 0);
	}
	KUNIT_EXPECT_NULL(test, theap->queue[mi_bin(SZ_1K)].first);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* Who allocates in between does not free all at once: then an empty page goes. */
static void mi_retired_not_at_once(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	void *p[MI_TEST_MAX];
	struct mi_page *page;
	unsigned int n, i;

	migrate_disable();
	n = mi_fill(test, heap, p);
	page = mi_test_page(p[0]);
	for (i = 0; i + 2 < n; i++)
		chaos_heap_free(heap, p[i]);
	mi_take(test, heap, 3 * MI_TEST_SIZE);
	KUNIT_EXPECT_EQ(test, page->slices, 1);
	chaos_heap_free(heap, p[i]);
	KUNIT_EXPECT_EQ(test, page->slices, 0);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* A large page is worth more than the time that it takes to get it back. */
static void mi_retired_large(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_heap *mi = heap->priv;
	struct mi_theap *theap;
	struct mi_page *page;
	unsigned int i;

	migrate_disable();
	theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	for (i = 0; i < 2; i++) {
		void *p = mi_take(test, heap, i ? SZ_256K : SZ_32K);

		page = mi_test_page(p);
		KUNIT_EXPECT_EQ(test, mi_page_bytes(page) > mi->retire_max, i);
		chaos_heap_free(heap, p);
		KUNIT_EXPECT_EQ(test, page->slices == 0, i);
		KUNIT_EXPECT_PTR_EQ(test, page->theap, i ? NULL : theap);
	}
	migrate_enable();
	mi_end_heap(test, heap);
}

/* Make the theap look as if the generic path had not been taken for long. */
static void mi_make_idle(struct mi_theap *theap)
{
	theap->stamp = jiffies - msecs_to_jiffies(CHAOS_TEST_NEVER) - 1;
}

/* Who uses the fast path only keeps its pages, and who does nothing loses them. */
static void mi_idle_theap(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_theap *theap;
	struct mi_page *page;
	unsigned int i;
	void *p, *kept;

	migrate_disable();
	theap = this_cpu_ptr(heap->theaps) + MI_TASK;
	kept = mi_take(test, heap, MI_TEST_SIZE);
	page = mi_test_page(kept);
	for (i = 1; i <= 3; i++) {
		p = mi_take(test, heap, MI_TEST_SIZE);
		KUNIT_ASSERT_PTR_EQ(test, mi_test_page(p), page);
		chaos_heap_free(heap, p);
		mi_make_idle(theap);
		chaos_heap_collect(heap, false);
		KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);
		KUNIT_EXPECT_EQ(test, theap->pages, 1);
		mi_expect_counts(test, heap, 1 + i, i);
	}

	/* Not for long enough: then nobody looks. */
	chaos_heap_collect(heap, false);
	KUNIT_EXPECT_PTR_EQ(test, page->theap, theap);
	mi_make_idle(theap);
	chaos_heap_collect(heap, false);
	KUNIT_EXPECT_NULL(test, page->theap);
	KUNIT_EXPECT_EQ(test, theap->pages, 0);
	mi_expect_counts(test, heap, 4, 3);

	chaos_heap_free(heap, kept);
	migrate_enable();
	mi_end_heap(test, heap);
}

static void mi_no_delay(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	void *p;

	KUNIT_ASSERT_EQ(test, chaos_heap_set_option(heap, CHAOS_OPT_RETIRE_DELAY, 0),
			0);
	migrate_disable();
	p = mi_take(test, heap, MI_TEST_SIZE);
	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), 0);
	migrate_enable();
	mi_end_heap(test, heap);
}

/* --------------------------------- the limit ------------------------------ */

/* What theaps keep is bounded, however many classes they use. */
static void mi_cache_is_limited(struct kunit *test)
{
	struct chaos_heap_params params = {
		.name = "mi_memory",
		.allocator = "mimalloc",
		.pool_size = 1 << 20,
		.node = NUMA_NO_NODE,
	};
	struct chaos_heap *heap = chaos_test_exact(chaos_test_create(test, &params));
	struct mi_heap *mi = heap->priv;
	unsigned int i, bad = 0, kept = 0;
	void *p[MI_BINS];

	for (i = 1; i < MI_BINS && mi_bin_size(i) <= 4096; i++) {
		p[i] = mi_take(test, heap, mi_bin_size(i));
		if (atomic_long_read(&mi->cached) > mi->cache_limit + mi->page_max)
			bad++;
		kept = max_t(unsigned int, kept, atomic_long_read(&mi->cached));
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	KUNIT_EXPECT_GT(test, kept, mi->cache_limit / 2);
	while (--i)
		chaos_heap_free(heap, p[i]);
	chaos_test_collect(heap);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&mi->cached), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), 0);
	mi_end_heap(test, heap);
}

/* -------------------------------- hardening ------------------------------- */

static void mi_keys(struct kunit *test)
{
	struct chaos_heap *plain = mi_make_heap(test, CHAOS_HARDENING_0);
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	struct mi_page *one, *two;

	one = mi_test_page(mi_take(test, plain, 64));
	two = mi_test_page(mi_take(test, plain, 128));
	KUNIT_EXPECT_EQ(test, one->key, two->key);
	KUNIT_EXPECT_TRUE(test, one->key & MI_KEY_TOP);

	one = mi_test_page(mi_take(test, heap, 64));
	two = mi_test_page(mi_take(test, heap, 128));
	KUNIT_EXPECT_NE(test, one->key, two->key);
	KUNIT_EXPECT_TRUE(test, one->key & two->key & MI_KEY_TOP);
	mi_end_heap(test, plain);
	mi_end_heap(test, heap);
}

/* In how many steps from block to block the address is that of the neighbour. */
static unsigned int mi_in_order(struct kunit *test, struct chaos_heap *heap,
				char **p, unsigned int n)
{
	unsigned int i, neighbours = 0;

	for (i = 0; i < n; i++)
		p[i] = mi_take(test, heap, 64);
	for (i = 1; i < n; i++)
		neighbours += p[i] - p[i - 1] == p[1] - p[0];
	return neighbours;
}

static void mi_random_order(struct kunit *test)
{
	struct chaos_heap *one = mi_make_heap(test, CHAOS_HARDENING_1);
	struct chaos_heap *two = mi_make_heap(test, CHAOS_HARDENING_2);
	char *p[40], *q[40];
	unsigned int i, same = 0;

	migrate_disable();
	KUNIT_EXPECT_EQ(test, mi_in_order(test, one, p, 40), 39);
	KUNIT_EXPECT_LT(test, mi_in_order(test, two, p, 40), 20);
	/* Another page has another order. */
	chaos_test_destroy(test, two);
	two = mi_make_heap(test, CHAOS_HARDENING_2);
	mi_in_order(test, two, q, 40);
	for (i = 1; i < 40; i++)
		same += q[i] - q[0] == p[i] - p[0];
	KUNIT_EXPECT_LT(test, same, 20);
	migrate_enable();
	mi_end_heap(test, one);
	mi_end_heap(test, two);
}

/*
 * Who writes past the last block of a page meets a guard, not a neighbour.  That
 * is seen by a check, and when the page goes; the heap works on.
 */
static void mi_guards(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_2);
	struct mi_page *page;
	struct mi_pool *mp;
	char *end, *p;
	char old;

	p = mi_take(test, heap, MI_BIN_MAX_SIZE + 1);
	page = mi_test_page(p);
	mp = mi_test_pool(p);
	KUNIT_ASSERT_TRUE(test, page->guard);
	end = p + mi_page_bytes(page) - (1UL << mp->pool->slice_shift);
	KUNIT_EXPECT_GE(test, end - p, MI_BIN_MAX_SIZE + 1);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), 0);
	old = *end;
	*end = ~old;
	KUNIT_EXPECT_EQ(test, chaos_heap_check(heap), -EUCLEAN);

	chaos_heap_free(heap, p);
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	KUNIT_EXPECT_EQ(test, page->slices, 0);
	chaos_heap_free(heap, mi_take(test, heap, MI_BIN_MAX_SIZE + 1));
	KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 1);
	mi_end_heap(test, heap);
}

/* What a client has in a block's first word can look like a link. */
static void mi_looks_like_a_link(struct kunit *test)
{
	enum chaos_hardening level;

	for (level = CHAOS_HARDENING_0; level <= CHAOS_HARDENING_1; level++) {
		struct chaos_heap *heap = mi_make_heap(test, level);
		unsigned long *p = mi_take(test, heap, 64);
		struct mi_page *page = mi_test_page(p);

		p[0] = page->key ^ (64 + 3);
		chaos_heap_free(heap, p);
		p = mi_take(test, heap, 64);
		p[0] = MI_KEY_TOP;
		chaos_heap_free(heap, p);
		KUNIT_EXPECT_EQ(test, chaos_test_bad_frees(heap), 0);
		KUNIT_EXPECT_EQ(test, chaos_test_live(heap), 0);
		mi_end_heap(test, heap);
	}
}

/*
 * The check has room for all blocks of the largest page of small ones, which a class gets
 * when it has many pages.
 */
static void mi_check_many_blocks(struct kunit *test)
{
	struct chaos_heap *heap = mi_make_heap(test, CHAOS_HARDENING_1);
	const size_t size = max(8UL, CHAOS_SAN_MIN_SIZE);
	unsigned int i, limit = MI_TEST_POOL / size;
	struct mi_page *page = NULL;

	migrate_disable();
	for (i = 0; i < limit && (!page || page->reserved < SZ_64K / size); i++)
		page = mi_test_page(mi_take(test, heap, size));
	KUNIT_ASSERT_EQ(test, page->reserved, SZ_64K / size);
	while (page->capacity < page->reserved)
		mi_take(test, heap, size);
	migrate_enable();
	mi_end_heap(test, heap);
}

static struct kunit_case mi_memory_cases[] = {
	KUNIT_CASE(mi_hint_to_nothing),
	KUNIT_CASE(mi_hint_to_other_bin),
	KUNIT_CASE(mi_push_list_full),
	KUNIT_CASE(mi_push_list_twice),
	KUNIT_CASE(mi_takes_back_full),
	KUNIT_CASE(mi_retired_for_a_while),
	KUNIT_CASE(mi_retired_in_use),
	KUNIT_CASE(mi_retired_many),
	KUNIT_CASE(mi_retired_not_at_once),
	KUNIT_CASE(mi_retired_large),
	KUNIT_CASE(mi_idle_theap),
	KUNIT_CASE(mi_no_delay),
	KUNIT_CASE(mi_cache_is_limited),
	KUNIT_CASE(mi_keys),
	KUNIT_CASE(mi_random_order),
	KUNIT_CASE(mi_guards),
	KUNIT_CASE(mi_looks_like_a_link),
	KUNIT_CASE(mi_check_many_blocks),
	{}
};

static struct kunit_suite mi_memory_suite = {
	.name = "chaos_mi_memory",
	.test_cases = mi_memory_cases,
};

kunit_test_suite(mi_memory_suite);
