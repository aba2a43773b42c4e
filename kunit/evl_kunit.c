// SPDX-License-Identifier: GPL-2.0
/*
 * Suite chaos_evl: the evl engine from inside.
 *
 * The cases up to heap_box have the names and the worked values of the lab that
 * the engine follows; the others guard one defence or property each.
 */
#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/overflow.h>
#include <linux/prandom.h>
#include <linux/rbtree.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "chaos_alloc.h"
#include "common.h"
#include "compat.h"
#include "engine.h"
#include "evl_heap.h"
#include "lock.h"

/**
 * struct lab - a heap with one pool, seen from inside
 * @heap: the heap, made with the public API
 * @evl: the engine's side of it
 * @pool: its first pool
 * @ep: the engine's side of that
 */
struct lab {
	struct chaos_heap *heap;
	struct evl_heap *evl;
	struct chaos_pool *pool;
	struct evl_pool *ep;
};

/*
 * Run a statement as the engine would.  Expectations stay outside: to report a
 * failure may sleep.
 */
#define locked(lab, statement)						\
do {									\
	raw_spinlock_t *__lock = &(lab)->evl->lock.raw;			\
	unsigned long __flags;						\
									\
	raw_spin_lock_irqsave(__lock, __flags);				\
	statement;							\
	raw_spin_unlock_irqrestore(__lock, __flags);			\
} while (0)

static struct lab *lab_new(struct kunit *test, size_t size)
{
	struct lab *lab = kunit_kzalloc(test, sizeof(*lab), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, lab);
	lab->heap = chaos_test_exact(chaos_test_heap_of(test, "evl", size, 0));
	lab->evl = lab->heap->priv;
	lab->pool = list_first_entry(&lab->heap->pools, struct chaos_pool,
				     node);
	lab->ep = lab->pool->priv;
	KUNIT_ASSERT_EQ(test, lab->pool->size, size);
	KUNIT_ASSERT_EQ(test, lab->ep->nr_pages, size / EVL_PAGE_SIZE);
	return lab;
}

static void *lab_alloc(struct kunit *test, struct lab *lab, size_t size)
{
	void *p = chaos_heap_alloc(lab->heap, size, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, p);
	return p;
}

static void *lab_alloc_aligned(struct lab *lab, size_t size, size_t align)
{
	return chaos_heap_alloc_aligned(lab->heap, size, align,
					GFP_KERNEL | __GFP_NOWARN);
}

/* As an int, for messages; nothing is reported to the log. */
static int lab_free(struct lab *lab, void *p)
{
	int verdict;

	preempt_disable();
	verdict = lab->heap->engine->free(lab->heap, lab->pool, p);
	preempt_enable();
	return verdict;
}

static bool lab_resize(struct lab *lab, void *p, size_t size)
{
	bool done;

	preempt_disable();
	done = lab->heap->engine->resize(lab->heap, lab->pool, p, size);
	preempt_enable();
	return done;
}

static u32 lab_page_nr(struct lab *lab, const void *p)
{
	return ((unsigned long)p - lab->ep->start) >> EVL_PAGE_SHIFT;
}

static struct evl_page *lab_page(struct lab *lab, const void *p)
{
	return &lab->ep->page[lab_page_nr(lab, p)];
}

static size_t lab_size(struct lab *lab, const void *p)
{
	return chaos_heap_usable_size(lab->heap, p);
}

static void lab_release(struct lab *lab, u32 nr, u32 pages)
{
	locked(lab, evl_release_page_range(lab->evl, &lab->ep->page[nr],
					   pages));
}

static struct evl_page *lab_reserve(struct lab *lab, u32 pages)
{
	struct evl_page *page;

	locked(lab, page = evl_reserve_page_range(lab->evl, pages, 1));
	return page;
}

/* Take all pages out of the free ranges; lab_put_all() is the reverse. */
static void lab_take_all(struct kunit *test, struct lab *lab)
{
	KUNIT_ASSERT_PTR_EQ(test, lab_reserve(lab, lab->ep->nr_pages),
			    lab->ep->page);
	KUNIT_ASSERT_EQ(test, lab->evl->short_map, 0);
	KUNIT_ASSERT_EQ(test, lab->evl->rows, 0);
	KUNIT_ASSERT_TRUE(test, RB_EMPTY_ROOT(&lab->evl->size_tree.rb_root));
}

static void lab_put_all(struct lab *lab)
{
	lab_release(lab, 0, lab->ep->nr_pages);
}

/* Make a free range by hand, or unmake it, as its neighbours see it. */
static void lab_insert(struct lab *lab, u32 nr, u32 pages)
{
	struct evl_page *r = &lab->ep->page[nr];

	locked(lab, evl_insert_range_byaddr(r, pages);
		    evl_insert_range_bysize(lab->evl, r));
}

static void lab_remove(struct lab *lab, u32 nr)
{
	struct evl_page *r = &lab->ep->page[nr];

	locked(lab, evl_remove_range_bysize(lab->evl, r);
		    evl_remove_range_byaddr(r));
}

/* Expect page @nr to start a free range of @pages, marked at both ends. */
static void lab_expect_free(struct kunit *test, struct lab *lab, u32 nr,
			    u32 pages)
{
	struct evl_page *r = &lab->ep->page[nr];

	KUNIT_EXPECT_EQ(test, r->type, EVL_FREE);
	KUNIT_EXPECT_EQ(test, r->pages, pages);
	KUNIT_EXPECT_EQ(test, r[pages - 1].type,
			pages == 1 ? EVL_FREE : EVL_FREE_END);
	KUNIT_EXPECT_EQ(test, r[pages - 1].pages, pages);
}

/* The first range in the bin of @pages. */
static struct evl_page *lab_bin(struct lab *lab, u32 pages)
{
	struct evl_row *row = lab->evl->row[pages / EVL_ROW_SIZE];

	return pages < EVL_LONG ? lab->evl->short_bin[pages] :
				  row->bin[pages % EVL_ROW_SIZE];
}

/* Free ranges of EVL_LONG pages or more that have a bin. */
static size_t lab_long_count(struct lab *lab)
{
	struct evl_page *r;
	u32 pages, nr = 0;
	size_t n = 0;

	for (pages = EVL_LONG; lab->evl->row[nr]; pages++) {
		if (pages % EVL_ROW_SIZE < lab->evl->row[nr]->nr) {
			for (r = lab_bin(lab, pages); r; r = r->next)
				n++;
		}
		nr = (pages + 1) / EVL_ROW_SIZE;
	}
	return n;
}

/* Expect an idle heap whose first pool is one free range again. */
static void lab_expect_whole(struct kunit *test, struct lab *lab)
{
	chaos_heap_collect(lab->heap, true);
	chaos_test_idle(test, lab->heap, 0);
	lab_expect_free(test, lab, 0, lab->ep->nr_pages);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 0);
}

/* -- The lab's cases -- */

static void insert_range_bysize(struct kunit *test)
{
	static const u32 pages[] = { 70, 3, 300, 64, 1, 70, 63, 3, 65, 4100 };
	struct lab *lab = lab_new(test, SZ_4M);
	struct evl_row *row;
	u32 nr[ARRAY_SIZE(pages)], at = 1;
	struct evl_page *r;
	unsigned int i;

	lab_take_all(test, lab);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		nr[i] = at;
		lab_insert(lab, at, pages[i]);
		at += pages[i] + 1;
	}

	/* By their exact length, the latest first. */
	KUNIT_EXPECT_EQ(test, lab->evl->short_map,
			BIT_ULL(1) | BIT_ULL(3) | BIT_ULL(63));
	r = lab_bin(lab, 3);
	KUNIT_EXPECT_PTR_EQ(test, r, &lab->ep->page[nr[7]]);
	KUNIT_EXPECT_PTR_EQ(test, r->next, &lab->ep->page[nr[1]]);
	KUNIT_EXPECT_NULL(test, r->next->next);

	/* Long ones, too; three levels of bits tell which lengths there are. */
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 6);
	KUNIT_EXPECT_EQ(test, lab->evl->rows, BIT_ULL(0) | BIT_ULL(1));
	row = lab->evl->row[0];
	KUNIT_EXPECT_EQ(test, row->words, BIT_ULL(1) | BIT_ULL(4));
	KUNIT_EXPECT_EQ(test, row->map[1],
			BIT_ULL(0) | BIT_ULL(1) | BIT_ULL(6));
	KUNIT_EXPECT_EQ(test, row->map[4], BIT_ULL(300 % 64));
	r = lab_bin(lab, 70);
	KUNIT_EXPECT_PTR_EQ(test, r, &lab->ep->page[nr[5]]);
	KUNIT_EXPECT_PTR_EQ(test, r->next, &lab->ep->page[nr[0]]);
	row = lab->evl->row[1];
	KUNIT_EXPECT_EQ(test, row->words, BIT_ULL(0));
	KUNIT_EXPECT_EQ(test, row->map[0], BIT_ULL(4));
	KUNIT_EXPECT_PTR_EQ(test, lab_bin(lab, 4100), &lab->ep->page[nr[9]]);

	for (i = 0; i < ARRAY_SIZE(pages); i++)
		lab_remove(lab, nr[i]);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, 0);
	KUNIT_EXPECT_EQ(test, lab->evl->rows, 0);
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 0);
	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

static void insert_range_byaddr(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_page *page = lab->ep->page;
	u32 i;

	lab_take_all(test, lab);
	evl_insert_range_byaddr(&page[10], 5);
	evl_insert_range_byaddr(&page[20], 1);
	evl_insert_range_byaddr(&page[40], 2);
	lab_expect_free(test, lab, 10, 5);
	lab_expect_free(test, lab, 20, 1);
	lab_expect_free(test, lab, 40, 2);

	/* Found from both sides, and nothing else is. */
	for (i = 0; i <= lab->ep->nr_pages; i++) {
		struct evl_page *left = evl_search_left_mergeable(&page[i]);
		struct evl_page *right = evl_search_right_mergeable(&page[i]);

		/* Nobody asks from within. */
		if ((i < 11 || i > 14) && i != 41)
			KUNIT_EXPECT_PTR_EQ(test, left,
					    i == 15 ? &page[10] :
					    i == 21 ? &page[20] :
					    i == 42 ? &page[40] : NULL);
		KUNIT_EXPECT_PTR_EQ(test, right,
				    i == 10 || i == 20 || i == 40 ? &page[i] :
								    NULL);
	}

	evl_remove_range_byaddr(&page[10]);
	evl_remove_range_byaddr(&page[20]);
	evl_remove_range_byaddr(&page[40]);
	for (i = 0; i < lab->ep->nr_pages; i++)
		KUNIT_EXPECT_EQ(test, page[i].type, EVL_NONE);
	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

static void search_right_mergeable(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_page *page = lab->ep->page;

	lab_take_all(test, lab);
	lab_insert(lab, 8, 4);

	KUNIT_EXPECT_PTR_EQ(test, evl_search_right_mergeable(&page[8]),
			    &page[8]);
	KUNIT_EXPECT_NULL(test, evl_search_right_mergeable(&page[7]));
	KUNIT_EXPECT_NULL(test, evl_search_right_mergeable(&page[9]));
	/* The last page of a range is no range. */
	KUNIT_EXPECT_NULL(test, evl_search_right_mergeable(&page[11]));
	KUNIT_EXPECT_NULL(test, evl_search_right_mergeable(&page[12]));
	/* Nothing lies behind the pool. */
	KUNIT_EXPECT_NULL(test,
			  evl_search_right_mergeable(page + lab->ep->nr_pages));

	lab_remove(lab, 8);
	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

/* The four ways to merge. */
static void release_page_range(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	u32 i;

	lab_take_all(test, lab);
	lab_release(lab, 10, 2);	/* alone */
	lab_release(lab, 20, 2);
	lab_expect_free(test, lab, 10, 2);
	lab_expect_free(test, lab, 20, 2);
	lab_release(lab, 12, 3);	/* with the left one */
	lab_expect_free(test, lab, 10, 5);
	lab_release(lab, 18, 2);	/* with the right one */
	lab_expect_free(test, lab, 18, 4);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, BIT_ULL(5) | BIT_ULL(4));
	lab_release(lab, 15, 3);	/* with both */
	lab_expect_free(test, lab, 10, 12);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, BIT_ULL(12));
	for (i = 11; i < 21; i++)
		KUNIT_EXPECT_EQ(test, lab->ep->page[i].type, EVL_NONE);

	/* From short to long, on either side, up to the ends of the pool. */
	lab_release(lab, 22, 100);
	lab_expect_free(test, lab, 10, 112);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, 0);
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 1);
	lab_release(lab, 122, 6);
	lab_release(lab, 0, 10);
	lab_expect_whole(test, lab);
}

static void search_size_ge(struct kunit *test)
{
	static const struct {
		u32 want, got;
	} tries[] = {
		{ 1, 2 }, { 2, 2 }, { 3, 7 }, { 7, 7 }, { 8, 63 }, { 63, 63 },
		{ 64, 80 }, { 80, 80 }, { 81, 200 }, { 200, 200 },
		{ 201, 300 }, { 300, 300 }, { 301, 4095 }, { 4095, 4095 },
		{ 4096, 4160 }, { 4160, 4160 }, { 4161, 9000 },
		{ 8191, 9000 }, { 8192, 9000 }, { 9001, 0 },
		{ EVL_NR_BINS - 1, 0 }, { EVL_NR_BINS, 0 }, { U32_MAX, 0 },
	};
	static const u32 pages[] = {
		200, 7, 80, 2, 300, 63, 4160, 9000, 4095,
	};
	struct lab *lab = lab_new(test, SZ_16M);
	u32 nr[ARRAY_SIZE(pages)], at = 0;
	struct evl_page *r;
	unsigned int i;

	lab_take_all(test, lab);
	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		nr[i] = at;
		lab_insert(lab, at, pages[i]);
		at += pages[i] + 1;
	}
	for (i = 0; i < ARRAY_SIZE(tries); i++) {
		locked(lab, r = evl_search_size_ge(lab->evl, tries[i].want));
		KUNIT_EXPECT_EQ_MSG(test, r ? r->pages : 0, tries[i].got,
				    "for %u pages", tries[i].want);
	}

	/* With no short one left, the shortest of the long ones. */
	lab_remove(lab, nr[1]);
	lab_remove(lab, nr[3]);
	lab_remove(lab, nr[5]);
	locked(lab, r = evl_search_size_ge(lab->evl, 1));
	KUNIT_EXPECT_PTR_EQ(test, r, &lab->ep->page[nr[2]]);

	lab_remove(lab, nr[0]);
	lab_remove(lab, nr[2]);
	lab_remove(lab, nr[4]);
	lab_remove(lab, nr[8]);
	locked(lab, r = evl_search_size_ge(lab->evl, 1));
	KUNIT_EXPECT_PTR_EQ(test, r, &lab->ep->page[nr[6]]);
	lab_remove(lab, nr[6]);
	lab_remove(lab, nr[7]);
	locked(lab, r = evl_search_size_ge(lab->evl, 1));
	KUNIT_EXPECT_NULL(test, r);
	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

static void reserve_page_range(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_page *page = lab->ep->page;

	/* The low part stays in the tree, the high part is returned. */
	KUNIT_EXPECT_PTR_EQ(test, lab_reserve(lab, 3), &page[125]);
	lab_expect_free(test, lab, 0, 125);
	KUNIT_EXPECT_EQ(test, page[125].type, EVL_NONE);
	KUNIT_EXPECT_EQ(test, page[127].type, EVL_NONE);

	/* From long to short. */
	KUNIT_EXPECT_PTR_EQ(test, lab_reserve(lab, 65), &page[60]);
	lab_expect_free(test, lab, 0, 60);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, BIT_ULL(60));
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 0);

	/* The shortest that is long enough, be it that nothing stays. */
	lab_release(lab, 100, 4);
	KUNIT_EXPECT_PTR_EQ(test, lab_reserve(lab, 4), &page[100]);
	KUNIT_EXPECT_NULL(test, lab_reserve(lab, 61));
	KUNIT_EXPECT_PTR_EQ(test, lab_reserve(lab, 60), &page[0]);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, 0);
	KUNIT_EXPECT_NULL(test, lab_reserve(lab, 1));

	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

static void move_page_back(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_bucket *bucket = evl_bucket_of(lab->evl, 8);
	struct evl_page *page[3], *r;
	void *p[6];
	unsigned int i;

	/* Fill three pages, and make room in each: 2 -> 1 -> 0. */
	for (i = 0; i < 6; i++)
		p[i] = lab_alloc(test, lab, 256);
	for (i = 0; i < 3; i++) {
		page[i] = lab_page(lab, p[2 * i]);
		KUNIT_EXPECT_EQ(test, page[i]->busy, EVL_ALL_BUSY);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[2 * i]), CHAOS_OK);
	}
	r = bucket->head.next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[2]);
	r = r->next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[1]);
	KUNIT_EXPECT_PTR_EQ(test, r->next, page[0]);

	/* 2 -> 0 -> 1 */
	locked(lab, evl_move_page_back(&bucket->head, page[1]));
	r = bucket->head.next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[2]);
	r = r->next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[0]);
	r = r->next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[1]);
	KUNIT_EXPECT_PTR_EQ(test, r->next, &bucket->head);

	/* 0 -> 2 -> 1 */
	locked(lab, evl_move_page_front(&bucket->head, page[0]));
	r = bucket->head.next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[0]);
	KUNIT_EXPECT_PTR_EQ(test, r->next, page[2]);
	chaos_test_sound(test, lab->heap);

	/* The page in front is filled, and goes to the back. */
	p[0] = lab_alloc(test, lab, 256);
	KUNIT_EXPECT_PTR_EQ(test, lab_page(lab, p[0]), page[0]);
	r = bucket->head.next;
	KUNIT_EXPECT_PTR_EQ(test, r, page[2]);
	KUNIT_EXPECT_PTR_EQ(test, bucket->head.prev, page[0]);
	chaos_test_sound(test, lab->heap);

	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0]), CHAOS_OK);
	for (i = 1; i < 6; i += 2)
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]), CHAOS_OK);
	lab_expect_whole(test, lab);
}

static void heap_alloc(struct kunit *test)
{
	static const struct {
		size_t size, rounded;
	} sizes[] = {
		{ 1, 16 }, { 15, 16 }, { 16, 16 }, { 17, 32 }, { 32, 32 },
		{ 33, 64 }, { 65, 128 }, { 129, 256 }, { 256, 256 },
		{ 257, 512 }, { 432, 512 }, { 512, 512 }, { 513, 1024 },
		{ 700, 1024 }, { 1024, 1024 }, { 1025, 1536 },
		{ 1200, 1536 }, { 40000, 40448 },
	};
	struct lab *lab = lab_new(test, SZ_128K);
	void *p[ARRAY_SIZE(sizes)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_EQ(test, evl_round_size(sizes[i].size),
				sizes[i].rounded);
		p[i] = lab_alloc(test, lab, sizes[i].size);
		KUNIT_EXPECT_EQ(test, lab_size(lab, p[i]), sizes[i].rounded);
		chaos_test_fill(p[i], sizes[i].rounded, i);
	}
	chaos_test_sound(test, lab->heap);
	KUNIT_EXPECT_EQ(test, chaos_test_live(lab->heap), ARRAY_SIZE(sizes));
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p[i],
							  sizes[i].rounded, i));
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]), CHAOS_OK);
	}
	lab_expect_whole(test, lab);
}

static void heap_alloc_small(struct kunit *test)
{
	static const u32 masks[EVL_NR_BUCKETS] = {
		0xffffffff, 0x0000ffff, 0x000000ff, 0x0000000f, 0x00000003,
	};
	struct lab *lab = lab_new(test, SZ_64K);
	unsigned int log2, i;

	for (log2 = EVL_MIN_LOG2; log2 <= EVL_MAX_LOG2; log2++) {
		struct evl_bucket *bucket = evl_bucket_of(lab->evl, log2);
		u32 mask = masks[log2 - EVL_MIN_LOG2], busy = ~mask;
		unsigned int blocks = EVL_PAGE_SIZE >> log2;
		void *p[BITS_PER_TYPE(u32)], *next;
		struct evl_page *page;

		KUNIT_EXPECT_EQ(test, evl_block_mask(log2), mask);
		KUNIT_EXPECT_EQ(test, bucket->empty, ~mask);

		/* One page, from its start, bit by bit. */
		for (i = 0; i < blocks; i++) {
			p[i] = lab_alloc(test, lab, BIT(log2) - (i & 1));
			page = lab_page(lab, p[0]);
			busy |= BIT(i);
			KUNIT_EXPECT_PTR_EQ(test, p[i], p[0] + (i << log2));
			KUNIT_EXPECT_EQ(test, page->busy, busy);
			KUNIT_EXPECT_EQ(test, page->type, log2);
			KUNIT_EXPECT_EQ(test, lab_size(lab, p[i]), BIT(log2));
			chaos_test_fill(p[i], BIT(log2), i + log2);
		}
		KUNIT_EXPECT_EQ(test, page->busy, EVL_ALL_BUSY);
		KUNIT_EXPECT_EQ(test, evl_live(&bucket->use), blocks);

		/* Then another page; a hole in the first is filled. */
		next = lab_alloc(test, lab, BIT(log2));
		KUNIT_EXPECT_PTR_NE(test, lab_page(lab, next), page);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[1]), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, page->busy, EVL_ALL_BUSY & ~BIT(1));
		KUNIT_EXPECT_PTR_EQ(test, lab_alloc(test, lab, BIT(log2)),
				    p[1]);
		chaos_test_fill(p[1], BIT(log2), 1 + log2);
		chaos_test_sound(test, lab->heap);

		for (i = 0; i < blocks; i++) {
			KUNIT_EXPECT_TRUE(test,
					  chaos_test_filled(p[i], BIT(log2),
							    i + log2));
			KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]), CHAOS_OK);
		}
		KUNIT_EXPECT_EQ(test, lab_free(lab, next), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, evl_live(&bucket->use), 0);
	}
	lab_expect_whole(test, lab);
}

/* A stale pointer's write; KASAN would report it, and is kept from doing so. */
static noinline __no_sanitize_address void spoil(u8 *p, u8 value, size_t size)
{
	while (size--)
		WRITE_ONCE(p[size], value);
}

/* No write, be it before or after the free, reaches what the engine knows. */
static void heap_write_then_free(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	size_t size, usable;
	void *p, *q;

	for (size = 1; size < SZ_32K; size += 1 + size / 3) {
		p = lab_alloc(test, lab, size);
		usable = lab_size(lab, p);
		chaos_test_fill(p, usable, ~0ULL);
		chaos_test_sound(test, lab->heap);
		KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, usable, ~0ULL));
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);

		/* The pool is still mapped: a stale pointer writes there. */
		spoil(p, 0xa5, usable);
		chaos_test_sound(test, lab->heap);
		q = lab_alloc(test, lab, size);
		chaos_test_fill(q, lab_size(lab, q), size);
		spoil(p, 0x5a, 8);
		chaos_test_sound(test, lab->heap);
		KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	}
	lab_expect_whole(test, lab);
}

static void heap_free(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_256K);
	struct chaos_test_block *b[200];
	struct rnd_state rnd;
	unsigned int i, j;
	size_t bad = 0;

	prandom_seed_state(&rnd, 8);
	for (i = 0; i < ARRAY_SIZE(b); i++) {
		b[i] = chaos_test_make(lab->heap, chaos_test_size(&rnd, 2000),
				       GFP_KERNEL, i);
		KUNIT_ASSERT_NOT_NULL(test, b[i]);
	}
	chaos_test_sound(test, lab->heap);
	for (i = ARRAY_SIZE(b); i; i--) {
		j = chaos_test_below(&rnd, i);
		bad += !chaos_test_intact(b[j]);
		KUNIT_EXPECT_EQ(test, lab_free(lab, b[j]), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, lab_free(lab, b[j]), CHAOS_FREED);
		b[j] = b[i - 1];
		chaos_test_sound(test, lab->heap);
	}
	KUNIT_EXPECT_EQ(test, bad, 0);
	lab_expect_whole(test, lab);
}

struct box {
	struct box *next;
	u64 value[2];
	char name[23];
};

static void heap_box(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct box *box, *boxes = NULL;
	unsigned int i;

	for (i = 0; i < 300; i++) {
		box = lab_alloc(test, lab, sizeof(*box));
		box->next = boxes;
		box->value[0] = i;
		box->value[1] = ~(u64)i;
		snprintf(box->name, sizeof(box->name), "box %u", i);
		boxes = box;
	}
	KUNIT_EXPECT_EQ(test, chaos_test_live(lab->heap), 300);
	chaos_test_sound(test, lab->heap);
	while (i--) {
		char name[sizeof(box->name)];

		box = boxes;
		snprintf(name, sizeof(name), "box %u", i);
		KUNIT_EXPECT_EQ(test, box->value[0], i);
		KUNIT_EXPECT_EQ(test, box->value[1], ~(u64)i);
		KUNIT_EXPECT_STREQ(test, box->name, name);
		boxes = box->next;
		KUNIT_EXPECT_EQ(test, lab_free(lab, box), CHAOS_OK);
	}
	KUNIT_EXPECT_NULL(test, boxes);
	lab_expect_whole(test, lab);
}

/* -- One defence or property each -- */

static void interior_pointer(struct kunit *test)
{
	static const size_t sizes[] = { 16, 64, 256, 512, 3000, 60000 };
	struct lab *lab = lab_new(test, SZ_128K);
	size_t i, offset, usable, held;
	void *p;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		p = lab_alloc(test, lab, sizes[i]);
		usable = lab_size(lab, p);
		held = atomic_long_read(&lab->heap->held);
		for (offset = 1; offset < usable; offset += 1 + offset / 5) {
			KUNIT_EXPECT_EQ(test, lab_free(lab, p + offset),
					CHAOS_INTERIOR);
			KUNIT_EXPECT_FALSE(test,
					   lab_resize(lab, p + offset, 8));
		}
		KUNIT_EXPECT_EQ(test, lab_free(lab, p + usable - 1),
				CHAOS_INTERIOR);
		if (usable > EVL_PAGE_SIZE)
			KUNIT_EXPECT_EQ(test, lab_free(lab, p + EVL_PAGE_SIZE),
					CHAOS_INTERIOR);
		KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), held);
		KUNIT_EXPECT_EQ(test, lab_size(lab, p), usable);
		chaos_test_sound(test, lab->heap);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	}
	lab_expect_whole(test, lab);
}

static void double_free_block(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p = lab_alloc(test, lab, 100), *q = lab_alloc(test, lab, 100);

	/* In a page that is still in use. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, chaos_test_live(lab->heap), 1);
	/* In an empty page. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, evl_live(&evl_bucket_of(lab->evl, 7)->use), 0);
	chaos_test_sound(test, lab->heap);
	/* In a page that has become part of a free range. */
	chaos_heap_collect(lab->heap, true);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_FREED);
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, 8));
	lab_expect_whole(test, lab);
}

static void double_free_range(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_4M);
	void *p[6];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = lab_alloc(test, lab, 5000 + i * 60000);
	/* Every second one: no neighbours; then the others: both. */
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[i * 2 % 6 + i / 3]),
				CHAOS_OK);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[i * 2 % 6 + i / 3]),
				CHAOS_FREED);
		chaos_test_sound(test, lab->heap);
	}
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]), CHAOS_FREED);
	lab_expect_whole(test, lab);
}

/* What once began inside of a range is forgotten. */
static void stale_continuation(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p[40], *small[8], *big;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = lab_alloc(test, lab, 513 + i % 3 * 512);
	for (i = 0; i < ARRAY_SIZE(small); i++)
		small[i] = lab_alloc(test, lab, 200);
	for (i = 0; i < ARRAY_SIZE(p); i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, p[(i * 7) % 40]), CHAOS_OK);
	for (i = 0; i < ARRAY_SIZE(small); i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, small[i]), CHAOS_OK);
	chaos_heap_collect(lab->heap, true);

	big = lab_alloc(test, lab, SZ_64K);
	for (i = 1; i < lab->ep->nr_pages; i++)
		KUNIT_EXPECT_EQ(test, lab->ep->page[i].type, EVL_NONE);
	for (i = 0; i < ARRAY_SIZE(p); i++) {
		if (p[i] != big)
			KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]),
					CHAOS_INTERIOR);
	}
	for (i = 0; i < ARRAY_SIZE(small); i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, small[i]), CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, lab_size(lab, big), SZ_64K);
	KUNIT_EXPECT_EQ(test, lab_free(lab, big), CHAOS_OK);
	lab_expect_whole(test, lab);
}

/* The node of a long range that is free no longer says nothing. */
static void stale_node(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_256K);
	struct evl_page *page;
	void *p[4], *big;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = lab_alloc(test, lab, SZ_64K);
	page = lab_page(lab, p[1]);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[1]), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->ep->range[evl_node_nr(lab->ep, page)].page,
			    page);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[1] + 90 * EVL_PAGE_SIZE), CHAOS_FREED);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[2] + 90 * EVL_PAGE_SIZE), CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0] + 90 * EVL_PAGE_SIZE), CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0]), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[2]), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[3]), CHAOS_OK);

	big = lab_alloc(test, lab, SZ_256K);
	for (i = 1; i < lab->ep->nr_pages; i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, big + i * EVL_PAGE_SIZE),
				CHAOS_INTERIOR);
	chaos_test_sound(test, lab->heap);
	KUNIT_EXPECT_EQ(test, lab_free(lab, big), CHAOS_OK);
	for (i = 0; i < lab->ep->nr_pages; i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, big + i * EVL_PAGE_SIZE),
				CHAOS_FREED);
	lab_expect_whole(test, lab);
}

static void alignment(struct kunit *test)
{
	static const size_t sizes[] = { 1, 24, 100, 256, 300, 512, 5000 };
	struct lab *lab = lab_new(test, SZ_16M);
	void *p[ARRAY_SIZE(sizes)];
	struct chaos_block block;
	size_t align, i;

	for (align = CHAOS_MIN_ALIGN; align <= CHAOS_MAX_ALIGN; align *= 2) {
		/* All at once would need 28 MiB if padding were lost. */
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			p[i] = lab_alloc_aligned(lab, sizes[i], align);
			if (!p[i]) {
				KUNIT_EXPECT_GT(test, align, SZ_1M);
				continue;
			}
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[i],
							   align));
			KUNIT_EXPECT_EQ(test,
					lab->heap->engine->query(lab->heap,
								 lab->pool,
								 p[i], &block),
					CHAOS_OK);
			KUNIT_EXPECT_GE(test, block.align, align);
			KUNIT_EXPECT_GE(test, block.size, sizes[i]);
			KUNIT_EXPECT_EQ(test, lab_size(lab, p[i]), block.size);
			chaos_test_fill(p[i], block.size, align + i);
		}
		KUNIT_EXPECT_NOT_NULL(test, p[0]);
		KUNIT_EXPECT_NOT_NULL(test, p[1]);
		/* Only the blocks are held. */
		KUNIT_EXPECT_LE(test, atomic_long_read(&lab->heap->held), SZ_16K);
		chaos_test_sound(test, lab->heap);
		for (i = 0; i < ARRAY_SIZE(sizes); i++) {
			if (!p[i])
				continue;
			KUNIT_EXPECT_TRUE(test,
					  chaos_test_filled(p[i], sizes[i],
							    align + i));
			KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]), CHAOS_OK);
		}
		lab_expect_whole(test, lab);
	}
}

/* An aligned block is found even where only some of the ranges fit. */
static void alignment_tight(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_page *page;

	lab_take_all(test, lab);
	lab_release(lab, 40, 8);	/* a multiple of 8, looked at last */
	lab_release(lab, 4, 8);
	lab_release(lab, 20, 8);
	lab_release(lab, 60, 8);
	locked(lab, page = evl_reserve_page_range(lab->evl, 8, SZ_4K));
	KUNIT_EXPECT_PTR_EQ(test, page, &lab->ep->page[40]);
	locked(lab, page = evl_reserve_page_range(lab->evl, 8, SZ_4K));
	KUNIT_EXPECT_NULL(test, page);

	/* What is in front and behind stays free. */
	lab_release(lab, 75, 15);
	locked(lab, page = evl_reserve_page_range(lab->evl, 8, SZ_4K));
	KUNIT_EXPECT_PTR_EQ(test, page, &lab->ep->page[80]);
	lab_expect_free(test, lab, 75, 5);
	lab_expect_free(test, lab, 88, 2);

	lab_remove(lab, 4);
	lab_remove(lab, 20);
	lab_remove(lab, 60);
	lab_remove(lab, 75);
	lab_remove(lab, 88);
	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

/* However many ranges do not fit, one with room for any alignment is found. */
static void alignment_padded(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_256K);
	struct evl_page *page;
	unsigned int i;

	lab_take_all(test, lab);
	for (i = 0; i < 24; i++)
		lab_release(lab, 4 + 16 * i, 8);
	lab_release(lab, 403, 15);
	locked(lab, page = evl_reserve_page_range(lab->evl, 8, SZ_4K));
	KUNIT_EXPECT_PTR_EQ(test, page, &lab->ep->page[408]);

	for (i = 0; i < 24; i++)
		lab_remove(lab, 4 + 16 * i);
	lab_remove(lab, 403);
	if (page)
		lab_remove(lab, 416);
	lab_put_all(lab);
	lab_expect_whole(test, lab);
}

/* Powers of two up to a page are aligned to themselves, unasked. */
static void alignment_natural(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_2M);
	struct chaos_block block;
	void *p[16], *odd[16];
	size_t size, i;

	for (size = 16; size <= PAGE_SIZE; size *= 2) {
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			odd[i] = lab_alloc(test, lab, 513 + i);
			p[i] = lab_alloc(test, lab, size);
			KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p[i],
							   size));
			KUNIT_EXPECT_EQ(test, lab_size(lab, p[i]), size);
		}
		if (size > EVL_PAGE_SIZE) {
			/* Nobody asked for it, so a realloc is free of it. */
			lab->heap->engine->query(lab->heap, lab->pool, p[0],
						 &block);
			KUNIT_EXPECT_EQ(test, block.align, CHAOS_MIN_ALIGN);
		}
		chaos_test_sound(test, lab->heap);
		for (i = 0; i < ARRAY_SIZE(p); i++) {
			KUNIT_EXPECT_EQ(test, lab_free(lab, odd[i]), CHAOS_OK);
			KUNIT_EXPECT_EQ(test, lab_free(lab, p[i]), CHAOS_OK);
		}
	}
	lab_expect_whole(test, lab);
}

static void resize_block(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p = lab_alloc(test, lab, 40);

	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 64);
	chaos_test_fill(p, 64, 7);
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 1));
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 64));
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, 65));
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, SIZE_MAX));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 64);
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, 64, 7));
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, 1));
	lab_expect_whole(test, lab);
}

static void resize_range(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p, *wall;

	/* 28 free pages behind 60 of @p, and a wall. */
	wall = lab_alloc(test, lab, 40 * EVL_PAGE_SIZE);
	p = lab_alloc(test, lab, 88 * EVL_PAGE_SIZE);
	chaos_test_fill(p, 60 * EVL_PAGE_SIZE, 3);
	KUNIT_EXPECT_EQ(test, lab_page_nr(lab, p), 0);
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 60 * EVL_PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 60 * EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 100 * EVL_PAGE_SIZE);
	lab_expect_free(test, lab, 60, 28);
	chaos_test_sound(test, lab->heap);

	/* Into a part of them, rounded up. */
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 70 * EVL_PAGE_SIZE + 1));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 71 * EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 111 * EVL_PAGE_SIZE);
	lab_expect_free(test, lab, 71, 17);
	chaos_test_sound(test, lab->heap);

	/* Not beyond; into all. */
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, 88 * EVL_PAGE_SIZE + 1));
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, SIZE_MAX));
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, SIZE_MAX - SZ_64K));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 71 * EVL_PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 88 * EVL_PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 128 * EVL_PAGE_SIZE);
	KUNIT_EXPECT_FALSE(test, lab_resize(lab, wall, SZ_64K));
	chaos_test_sound(test, lab->heap);

	/* What is given up merges with what is free behind. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, wall), CHAOS_OK);
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 1));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), EVL_PAGE_SIZE);
	lab_expect_free(test, lab, 1, 127);
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, SZ_64K));
	KUNIT_EXPECT_TRUE(test, chaos_test_filled(p, EVL_PAGE_SIZE, 3));
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_expect_whole(test, lab);
}

/* A pair in an otherwise empty bucket leaves the ranges alone. */
static void empty_page_kept(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_bucket *bucket = evl_bucket_of(lab->evl, 6);
	void *p = lab_alloc(test, lab, 64), *first = p, *q[9];
	struct evl_page *page = lab_page(lab, p);
	unsigned int i;

	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, page->type, 6);
		KUNIT_EXPECT_EQ(test, page->busy, bucket->empty);
		KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, page);
		lab_expect_free(test, lab, 0, 127);
		p = lab_alloc(test, lab, 64);
		KUNIT_EXPECT_PTR_EQ(test, p, first);
	}

	/* One is kept in all, and that is the last one. */
	q[0] = p;
	for (i = 1; i < ARRAY_SIZE(q); i++)
		q[i] = lab_alloc(test, lab, 64);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 2 * EVL_PAGE_SIZE);
	for (i = 0; i < 8; i++)
		KUNIT_EXPECT_EQ(test, lab_free(lab, q[i]), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, page);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 2 * EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, lab_page(lab, q[8])->type, 6);
	chaos_test_sound(test, lab->heap);
	KUNIT_EXPECT_EQ(test, lab_free(lab, q[8]), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, lab_page(lab, q[8]));
	KUNIT_EXPECT_NE(test, page->type, 6);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), EVL_PAGE_SIZE);
	chaos_test_sound(test, lab->heap);
	p = lab_alloc(test, lab, 16);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, lab->evl->spare->type, 4);
	chaos_test_idle(test, lab->heap, 0);

	/* A gentle collect leaves it, a forced one does not. */
	chaos_heap_collect(lab->heap, false);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), EVL_PAGE_SIZE);
	chaos_heap_collect(lab->heap, true);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 0);
	KUNIT_EXPECT_NULL(test, lab->evl->spare);
	lab_expect_whole(test, lab);
}

/* The last pages are had by who needs them. */
static void empty_page_under_pressure(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	unsigned int log2;
	void *p;

	for (log2 = EVL_MIN_LOG2; log2 <= EVL_MAX_LOG2; log2++) {
		p = lab_alloc(test, lab, BIT(log2));
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	}
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), EVL_PAGE_SIZE);
	/* For a caller that may block, the API would collect. */
	p = chaos_heap_alloc(lab->heap, SZ_64K, GFP_NOWAIT | __GFP_NOWARN);
	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), SZ_64K);
	chaos_test_sound(test, lab->heap);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_expect_whole(test, lab);

	/* A spare that is in use again is not dropped. */
	p = lab_alloc(test, lab, 16);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	p = lab_alloc(test, lab, 16);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(lab->heap, SZ_64K,
						 GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 16);
	chaos_heap_collect(lab->heap, true);
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 16);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_expect_whole(test, lab);
}

/* A pair of a short range leaves the bins alone, wherever it is. */
static void range_kept(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p = lab_alloc(test, lab, 1000), *q = lab_alloc(test, lab, 3000);
	struct evl_page *page = lab_page(lab, p);
	void *first = p, *long_one;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
		KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, page);
		KUNIT_EXPECT_EQ(test, lab->evl->kept_pages, 2);
		KUNIT_EXPECT_EQ(test, lab->evl->short_map, 0);
		/* For everybody, it is free. */
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_FREED);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p + 8), CHAOS_FREED);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p + 512), CHAOS_FREED);
		KUNIT_EXPECT_FALSE(test, lab_resize(lab, p, 8));
		KUNIT_EXPECT_EQ(test, chaos_test_live(lab->heap), 1);
		chaos_test_sound(test, lab->heap);
		p = lab_alloc(test, lab, 600 + 80 * i);
		KUNIT_EXPECT_PTR_EQ(test, p, first);
		KUNIT_EXPECT_NULL(test, lab->evl->kept);
	}

	/* Not for another length, nor where the alignment is wrong. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	p = lab_alloc(test, lab, 512);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, page);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, lab_page(lab, p));
	KUNIT_EXPECT_NE(test, page->type, EVL_KEPT);
	p = lab_alloc_aligned(lab, 512, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, IS_ALIGNED((unsigned long)p, PAGE_SIZE));
	chaos_test_sound(test, lab->heap);

	/*
	 * The next one that is freed takes its place; long ones are not kept.  (Of no
	 * size that is aligned naturally, for which it may be too late on large pages.)
	 */
	long_one = lab_alloc(test, lab, SZ_32K + EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, long_one), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, lab_page(lab, p));
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, lab_page(lab, q));
	chaos_test_sound(test, lab->heap);
	chaos_test_idle(test, lab->heap, 0);
	chaos_heap_collect(lab->heap, false);
	KUNIT_EXPECT_NOT_NULL(test, lab->evl->kept);
	lab_expect_whole(test, lab);
	KUNIT_EXPECT_NULL(test, lab->evl->kept);
}

/* Of a range and an empty page, what was freed last is kept, and nothing else. */
static void one_thing_kept(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p = lab_alloc(test, lab, 1000), *q = lab_alloc(test, lab, 100);
	struct evl_page *range = lab_page(lab, p), *page = lab_page(lab, q);

	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, range);
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	KUNIT_EXPECT_NULL(test, lab->evl->kept);
	KUNIT_EXPECT_EQ(test, lab->evl->kept_pages, 0);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, page);
	KUNIT_EXPECT_EQ(test, range->type, EVL_FREE);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), EVL_PAGE_SIZE);
	chaos_test_sound(test, lab->heap);

	p = lab_alloc(test, lab, 1000);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, page);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, lab_page(lab, p));
	KUNIT_EXPECT_NULL(test, lab->evl->spare);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held),
			2 * EVL_PAGE_SIZE);
	chaos_test_sound(test, lab->heap);

	/* A page that is in use again stays, but it is kept no longer. */
	q = lab_alloc(test, lab, 100);
	p = lab_alloc(test, lab, 1000);
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	q = lab_alloc(test, lab, 100);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, lab_page(lab, q));
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_NULL(test, lab->evl->spare);
	KUNIT_EXPECT_EQ(test, lab_size(lab, q), 128);
	chaos_test_sound(test, lab->heap);
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	lab_expect_whole(test, lab);
}

/* It is had by who needs it, with what is free on either side. */
static void range_kept_under_pressure(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	unsigned int i, last;
	void *p, *q;

	for (i = 0; i < 4; i++) {
		p = lab_alloc(test, lab, i & 1 ? 100 : 1000);
		q = lab_alloc(test, lab, i & 1 ? 1000 : 100);
		KUNIT_EXPECT_EQ(test, lab_free(lab, i & 2 ? p : q), CHAOS_OK);
		KUNIT_EXPECT_EQ(test, lab_free(lab, i & 2 ? q : p), CHAOS_OK);
		last = !(i & 1) == !(i & 2) ? 2 : 1;
		KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held),
				last * EVL_PAGE_SIZE);
		p = chaos_heap_alloc(lab->heap, SZ_64K, GFP_NOWAIT);
		KUNIT_ASSERT_NOT_NULL(test, p);
		KUNIT_EXPECT_NULL(test, lab->evl->kept);
		KUNIT_EXPECT_NULL(test, lab->evl->spare);
		chaos_test_sound(test, lab->heap);
		KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
		lab_expect_whole(test, lab);
	}

	/* Where it is of no use, it stays. */
	p = lab_alloc(test, lab, 1000);
	q = lab_alloc(test, lab, 512);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(lab->heap, SZ_64K,
						 GFP_NOWAIT | __GFP_NOWARN));
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, lab_page(lab, p));

	/* A block in front of it grows into it. */
	p = lab_alloc(test, lab, 2048);
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	KUNIT_EXPECT_TRUE(test, lab_resize(lab, p, 2048 + 512));
	KUNIT_EXPECT_EQ(test, lab_size(lab, p), 2048 + 512);
	chaos_test_sound(test, lab->heap);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_expect_whole(test, lab);
}

/* An aligned request tries it before other ranges than the shortest, and these then. */
static void range_kept_aligned(struct kunit *test)
{
	static const unsigned int freed[] = { 8, 9, 1, 2, 12, 13 };
	struct lab *lab = lab_new(test, SZ_64K);
	void *block[SZ_64K / SZ_2K], *p;
	bool gone[ARRAY_SIZE(block)] = {};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(block); i++) {
		p = lab_alloc(test, lab, SZ_2K);
		block[lab_page_nr(lab, p) * EVL_PAGE_SIZE / SZ_2K] = p;
	}
	/* 4 KiB at 16 KiB, 4 KiB at 2 KiB, and 2 KiB at 24 KiB with what is kept behind. */
	for (i = 0; i < ARRAY_SIZE(freed); i++) {
		gone[freed[i]] = true;
		KUNIT_EXPECT_EQ(test, lab_free(lab, block[freed[i]]), CHAOS_OK);
	}
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->kept, lab_page(lab, block[13]));

	p = lab_alloc_aligned(lab, SZ_4K, SZ_4K);
	KUNIT_EXPECT_PTR_EQ(test, p, block[12]);
	KUNIT_EXPECT_NULL(test, lab->evl->kept);
	chaos_test_sound(test, lab->heap);
	p = lab_alloc_aligned(lab, SZ_4K, SZ_4K);
	KUNIT_EXPECT_PTR_EQ(test, p, block[8]);
	p = lab_alloc_aligned(lab, SZ_4K, SZ_4K);
	KUNIT_EXPECT_NULL(test, p);
	chaos_test_sound(test, lab->heap);

	gone[8] = false;
	gone[12] = false;
	for (i = 0; i < ARRAY_SIZE(block); i++) {
		if (!gone[i])
			KUNIT_EXPECT_EQ(test, lab_free(lab, block[i]), CHAOS_OK);
	}
	lab_expect_whole(test, lab);
}

/* Two pools side by side in memory stay two. */
static void pools_do_not_merge(struct kunit *test)
{
	void *mem = chaos_test_vmem(test, 3 * SZ_64K);
	void *first = PTR_ALIGN(mem, SZ_64K);
	struct lab *lab = lab_new(test, SZ_64K);
	struct chaos_pool *pool[2];
	struct evl_pool *ep;
	struct evl_page *r;
	unsigned int i;
	void *p[4];

	KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(lab->heap, first, SZ_64K), 0);
	KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(lab->heap, first + SZ_64K,
						  SZ_64K), 0);
	pool[1] = list_last_entry(&lab->heap->pools, struct chaos_pool, node);
	pool[0] = list_prev_entry(pool[1], node);
	KUNIT_ASSERT_EQ(test, chaos_pool_end(pool[0]), pool[1]->start);

	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 3);
	locked(lab, r = evl_search_size_ge(lab->evl, 129));
	KUNIT_EXPECT_NULL(test, r);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(lab->heap, SZ_64K + 1,
						 GFP_KERNEL | __GFP_NOWARN));

	/* All of all three, freed in an order that meets at the seam. */
	for (i = 0; i < 3; i++)
		p[i] = lab_alloc(test, lab, SZ_64K);
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(lab->heap, 1,
						 GFP_KERNEL | __GFP_NOWARN));
	for (i = 0; i < 3; i++)
		chaos_heap_free(lab->heap, p[i]);
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 3);
	for (i = 0; i < 2; i++) {
		ep = pool[i]->priv;
		KUNIT_EXPECT_EQ(test, ep->page[0].type, EVL_FREE);
		KUNIT_EXPECT_EQ(test, ep->page[0].pages, 128);
	}

	/* Nor does a block grow across. */
	for (i = 0; i < 3; i++)
		p[i] = lab_alloc(test, lab, SZ_64K);
	for (i = 0; i < 3; i++) {
		if (p[i] != first)
			chaos_heap_free(lab->heap, p[i]);
	}
	KUNIT_EXPECT_FALSE(test, lab->heap->engine->resize(lab->heap, pool[0],
							   first, SZ_64K + 1));
	chaos_heap_free(lab->heap, first);
	lab_expect_whole(test, lab);
}

/* As the API would, had it grown the heap by the pool. */
static bool lab_release_pool(struct lab *lab, struct chaos_pool *pool)
{
	bool released;

	mutex_lock(&lab->heap->mutex);
	released = lab->heap->engine->release_pool(lab->heap, pool);
	mutex_unlock(&lab->heap->mutex);
	return released;
}

/* A pool that goes leaves bins, tree, buckets and slots as if it never came. */
static void release_pool(struct kunit *test)
{
	void *mem = chaos_test_vmem(test, 3 * SZ_64K);
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_bucket *bucket = evl_bucket_of(lab->evl, 6);
	struct chaos_pool *pool;
	struct evl_pool *ep;
	void *p, *q, *r;

	/* The first pool has nothing but a range of 3 pages to give. */
	p = lab_alloc(test, lab, SZ_64K - 3 * EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, BIT_ULL(3));
	KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(lab->heap, PTR_ALIGN(mem, SZ_64K),
						  SZ_64K), 0);
	pool = list_last_entry(&lab->heap->pools, struct chaos_pool, node);
	ep = pool->priv;
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 1);
	KUNIT_ASSERT_PTR_EQ(test, lab->evl->pools[ep->slot], ep);

	/* Page by page: a spare in each, and a range. */
	q = lab_alloc(test, lab, 1536);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, 0);
	r = lab_alloc(test, lab, 64);
	KUNIT_EXPECT_EQ(test, (unsigned long)r & ~0xffffUL, pool->start);
	KUNIT_EXPECT_EQ(test, ep->used, 1);
	KUNIT_EXPECT_FALSE(test, lab_release_pool(lab, pool));
	KUNIT_EXPECT_EQ(test, lab_size(lab, r), 64);
	chaos_heap_free(lab->heap, r);
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, &ep->page[127]);
	KUNIT_EXPECT_EQ(test, ep->used, 1);
	KUNIT_EXPECT_EQ(test, lab->heap->engine->pool_used(lab->heap, pool), 0);
	KUNIT_EXPECT_FALSE(test, lab_release_pool(lab, lab->pool));
	KUNIT_EXPECT_PTR_EQ(test, lab->evl->spare, &ep->page[127]);

	KUNIT_EXPECT_TRUE(test, lab_release_pool(lab, pool));
	KUNIT_EXPECT_NULL(test, lab->evl->spare);
	KUNIT_EXPECT_PTR_EQ(test, bucket->head.next, &bucket->head);
	KUNIT_EXPECT_EQ(test, lab_long_count(lab), 0);
	KUNIT_EXPECT_EQ(test, lab->evl->short_map, 0);
	KUNIT_EXPECT_NULL(test, lab->evl->pools[ep->slot]);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), SZ_64K);
	KUNIT_EXPECT_FALSE(test, lab_release_pool(lab, pool));
	KUNIT_EXPECT_NULL(test, chaos_heap_alloc(lab->heap, 16,
						 GFP_KERNEL | __GFP_NOWARN));
	KUNIT_EXPECT_FALSE(test, chaos_heap_usable_size(lab->heap, r));
	chaos_test_sound(test, lab->heap);

	/* The slot is free for another. */
	KUNIT_ASSERT_EQ(test, chaos_heap_add_pool(lab->heap,
						  PTR_ALIGN(mem, SZ_64K) + SZ_64K,
						  SZ_64K), 0);
	KUNIT_EXPECT_NOT_NULL(test, lab->evl->pools[ep->slot]);
	r = lab_alloc(test, lab, 64);
	chaos_heap_free(lab->heap, q);
	chaos_heap_free(lab->heap, p);
	chaos_heap_free(lab->heap, r);
	chaos_test_sound(test, lab->heap);
}

/* A block that an NMI has freed is no reason to keep a pool. */
static void release_deferred(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p = lab_alloc(test, lab, 1);
	int verdict;

	locked(lab, verdict = evl_free_unlocked(lab->evl, lab->ep, p));
	KUNIT_EXPECT_EQ(test, verdict, CHAOS_OK);
	KUNIT_EXPECT_FALSE(test, llist_empty(&lab->evl->lock.deferred));
	KUNIT_EXPECT_TRUE(test, lab_release_pool(lab, lab->pool));
	KUNIT_EXPECT_TRUE(test, llist_empty(&lab->evl->lock.deferred));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->held), 0);
	chaos_test_idle(test, lab->heap, 0);
}

/* Nor is it a reason to complain, if the whole heap goes before anybody has taken the lock. */
static void destroy_deferred(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p = lab_alloc(test, lab, 1);
	struct kmsg_dump_iter log;
	int verdict;

	locked(lab, verdict = evl_free_unlocked(lab->evl, lab->ep, p));
	KUNIT_EXPECT_EQ(test, verdict, CHAOS_OK);
	/* The rate limit may swallow the report. */
	lab->heap->engine->quiesce(lab->heap);
	KUNIT_EXPECT_TRUE(test, llist_empty(&lab->evl->lock.deferred));
	chaos_test_log_start(&log);
	chaos_test_destroy(test, lab->heap);
	KUNIT_EXPECT_EQ(test, chaos_test_log_lines(&log, "bad pointer"), 0);
}

/*
 * An NMI has freed what somebody else still writes to: that is no link to follow.  What
 * has been freed later is not lost.
 */
static void deferred_overwritten(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	void *p[3];
	int verdict[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		p[i] = lab_alloc(test, lab, 64);
	locked(lab, {
		for (i = 0; i < 3; i++)
			verdict[i] = evl_free_unlocked(lab->evl, lab->ep, p[i]);
		memset(p[1], 0x41, 64);
	});
	for (i = 0; i < 3; i++)
		KUNIT_EXPECT_EQ(test, verdict[i], CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[2]), CHAOS_FREED);
	KUNIT_EXPECT_TRUE(test, llist_empty(&lab->evl->lock.deferred));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&lab->heap->bad_frees), 1);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[1]), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0]), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, chaos_heap_check(lab->heap), 0);
}

/* What an NMI frees while the lock is held is freed by the next holder. */
static void nmi_deferral(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	int first[4], again[4], interior, unused;
	void *p[4];
	unsigned int i;

	p[0] = lab_alloc(test, lab, 16);
	p[1] = lab_alloc(test, lab, 16);
	p[2] = lab_alloc(test, lab, 256);
	p[3] = lab_alloc(test, lab, 3000);
	locked(lab, {
		for (i = 0; i < 4; i++)
			first[i] = evl_free_unlocked(lab->evl, lab->ep, p[i]);
		for (i = 0; i < 4; i++)
			again[i] = evl_free_unlocked(lab->evl, lab->ep, p[i]);
		interior = evl_free_unlocked(lab->evl, lab->ep, p[3] + 512);
		unused = evl_free_unlocked(lab->evl, lab->ep, p[1] + 16);
	});
	for (i = 0; i < 4; i++) {
		KUNIT_EXPECT_EQ(test, first[i], CHAOS_OK);
		KUNIT_EXPECT_EQ(test, again[i], CHAOS_FREED);
	}
	KUNIT_EXPECT_EQ(test, interior, CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, unused, CHAOS_FREED);
	KUNIT_EXPECT_FALSE(test, llist_empty(&lab->evl->lock.deferred));
	KUNIT_EXPECT_EQ(test, evl_live(&lab->evl->ranges), 1);

	/* They are as good as free, though nobody has taken the lock since. */
	for (i = 0; i < 4; i++)
		KUNIT_EXPECT_EQ(test, chaos_heap_usable_size(lab->heap, p[i]), 0);
	KUNIT_EXPECT_EQ(test, atomic_long_xchg(&lab->heap->bad_frees, 0), 4);

	/* Any call will do; a free of the same block comes too late. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, p[0]), CHAOS_FREED);
	KUNIT_EXPECT_TRUE(test, llist_empty(&lab->evl->lock.deferred));
	KUNIT_EXPECT_EQ(test, evl_live(&lab->evl->ranges), 0);
	lab_expect_whole(test, lab);
}

static void impossible_sizes(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	const struct chaos_engine *engine = lab->heap->engine;
	static const size_t sizes[] = {
		SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 510, SIZE_MAX - 511,
		SIZE_MAX - 512, SIZE_MAX / 2 + 1, SIZE_MAX / 2, SZ_64K + 1,
	};
	unsigned int i;
	size_t align;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (align = 8; align <= CHAOS_MAX_ALIGN; align *= 8)
			KUNIT_EXPECT_NULL(test, engine->alloc(lab->heap,
							      sizes[i], align));
		KUNIT_EXPECT_GE(test, engine->pool_need(lab->heap, sizes[i], 8),
				sizes[i]);
	}
	KUNIT_EXPECT_EQ(test, engine->pool_need(lab->heap, SIZE_MAX, 8),
			SIZE_MAX);
	KUNIT_EXPECT_EQ(test, engine->pool_need(lab->heap, 1, 8),
			EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, engine->pool_need(lab->heap, 1200, 8), 1536);
	KUNIT_EXPECT_EQ(test, engine->pool_need(lab->heap, 1200, SZ_64K),
			1536 + SZ_64K - EVL_PAGE_SIZE);
	lab_expect_whole(test, lab);
}

#if BITS_PER_LONG == 64
/*
 * The last 60 pages of a pool of 2 TiB less 64 KiB.  The engine never touches
 * the memory itself, so there need not be any.
 */
static void huge_pool(struct kunit *test)
{
	const u32 nr_pages = U32_MAX - 127, first = nr_pages - 60;
	struct lab *lab = lab_new(test, SZ_64K);
	const struct chaos_engine *engine = lab->heap->engine;
	struct evl_pool **pools;
	struct evl_page *page;
	struct chaos_heap *heap;
	struct chaos_pool pool = { .start = SZ_64K };
	struct evl_pool ep = { .start = SZ_64K, .nr_pages = nr_pages };
	struct chaos_block block;
	struct lab far = { .pool = &pool, .ep = &ep };
	unsigned long end;
	void *p, *q;

	/* These keep something about memory which is not there. */
	if (IS_ENABLED(CONFIG_KASAN) || IS_ENABLED(CONFIG_DEBUG_KMEMLEAK))
		kunit_skip(test, "not with KASAN or kmemleak");
	heap = kunit_kzalloc(test, sizeof(*heap), GFP_KERNEL);
	page = kunit_kcalloc(test, 62, sizeof(*page), GFP_KERNEL);
	pools = kvcalloc(1, sizeof(*pools), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, heap);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_ASSERT_NOT_NULL(test, pools);
	heap->low_mark = SIZE_MAX;
	KUNIT_ASSERT_EQ(test, engine->init(heap), 0);
	far.heap = heap;
	far.evl = heap->priv;
	far.evl->pools = pools;
	far.evl->nr_slots = 1;
	pools[0] = &ep;
	pool.priv = &ep;
	page[0].type = EVL_GUARD;
	page[61].type = EVL_GUARD;
	ep.page = (void *)page + sizeof(*page) - (size_t)first * sizeof(*page);
	ep.bias = ep.start - (unsigned long)ep.page * EVL_PAGE_SCALE;
	lab_release(&far, first, 60);

	end = ep.start + ((unsigned long)nr_pages << EVL_PAGE_SHIFT);
	p = engine->alloc(heap, 1200, 8);
	KUNIT_EXPECT_EQ(test, (unsigned long)p, end - 1536);
	q = engine->alloc(heap, 100, 8);
	KUNIT_EXPECT_EQ(test, (unsigned long)q, end - 2048);
	KUNIT_EXPECT_EQ(test, engine->query(heap, &pool, p, &block), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, block.size, 1536);
	KUNIT_EXPECT_EQ(test, engine->free(heap, &pool, p + 512),
			CHAOS_INTERIOR);
	KUNIT_EXPECT_EQ(test, engine->free(heap, &pool, p), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, engine->free(heap, &pool, q), CHAOS_OK);
	KUNIT_EXPECT_EQ(test, engine->free(heap, &pool, q), CHAOS_FREED);
	engine->collect(heap, true);
	KUNIT_EXPECT_EQ(test, page[1].type, EVL_FREE);
	KUNIT_EXPECT_EQ(test, page[1].pages, 60);
	KUNIT_EXPECT_EQ(test, atomic_long_read(&heap->held), 0);
	engine->exit(heap);

	KUNIT_EXPECT_EQ(test, engine->pool_need(heap, 5UL << 30, 8), 5UL << 30);
	KUNIT_EXPECT_EQ(test, evl_round_size((5UL << 30) + 1),
			(5UL << 30) + EVL_PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, engine->pool_need(heap, 3UL << 40, 8), SIZE_MAX);
}
#endif

/*
 * Ranges without a bin.  The engine never touches the memory itself, so there need
 * not be any.
 */
static void huge_ranges(struct kunit *test)
{
	static const u32 pages[] = {
		EVL_NR_BINS + 100, EVL_NR_BINS, EVL_NR_BINS + 100,
	};
	static const u32 sorted[] = {
		EVL_NR_BINS, EVL_NR_BINS + 100, EVL_NR_BINS + 100,
	};
	/* The ranges, the pages between them, and some behind. */
	const u32 nr_pages = 4 * EVL_NR_BINS + 300;
	struct evl_pool ep = { .start = SZ_64K, .nr_pages = nr_pages };
	struct chaos_pool pool = { .start = SZ_64K };
	const struct chaos_engine *engine = lab_new(test, SZ_64K)->heap->engine;
	struct lab far = { .pool = &pool, .ep = &ep };
	struct evl_page *map, *r, *page;
	u32 nr[ARRAY_SIZE(pages)], at = 1;
	struct rb_node *node;
	unsigned int i;

	map = kvcalloc(nr_pages + 2, sizeof(*map), GFP_KERNEL);
	ep.range = kvcalloc(evl_nr_nodes(nr_pages), sizeof(*ep.range), GFP_KERNEL);
	far.heap = kunit_kzalloc(test, sizeof(*far.heap), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, far.heap);
	far.heap->low_mark = SIZE_MAX;
	KUNIT_ASSERT_EQ(test, engine->init(far.heap), 0);
	far.evl = far.heap->priv;
	far.evl->pools = kvcalloc(1, sizeof(*far.evl->pools), GFP_KERNEL);
	if (!map || !ep.range || !far.evl->pools ||
	    evl_add_bins(far.evl, EVL_NR_BINS)) {
		KUNIT_FAIL(test, "no memory");
		goto out;
	}
	far.evl->nr_slots = 1;
	far.evl->pools[0] = &ep;
	ep.page = map + 1;
	ep.page[-1].type = EVL_GUARD;
	ep.page[nr_pages].type = EVL_GUARD;

	for (i = 0; i < ARRAY_SIZE(pages); i++) {
		nr[i] = at;
		lab_insert(&far, at, pages[i]);
		at += pages[i] + 1;
	}
	lab_insert(&far, at, EVL_NR_BINS - 1);

	/* In order, behind those of the same length; the last one has a bin. */
	node = rb_first_cached(&far.evl->size_tree);
	for (i = 0; i < ARRAY_SIZE(sorted) && node; i++) {
		r = rb_entry(node, struct evl_range, size_node)->page;
		KUNIT_EXPECT_EQ(test, r->pages, sorted[i]);
		node = rb_next(node);
	}
	KUNIT_EXPECT_EQ(test, i, ARRAY_SIZE(sorted));
	KUNIT_EXPECT_NULL(test, node);
	KUNIT_EXPECT_EQ(test, far.evl->rows, BIT_ULL(EVL_NR_ROWS - 1));
	locked(&far, r = evl_search_size_ge(far.evl, EVL_NR_BINS - 1));
	KUNIT_EXPECT_PTR_EQ(test, r, &ep.page[at]);
	locked(&far, r = evl_search_size_ge(far.evl, EVL_NR_BINS));
	KUNIT_EXPECT_PTR_EQ(test, r, &ep.page[nr[1]]);
	locked(&far, r = evl_search_size_ge(far.evl, EVL_NR_BINS + 1));
	KUNIT_EXPECT_PTR_EQ(test, r, &ep.page[nr[0]]);
	locked(&far, r = evl_search_size_ge(far.evl, EVL_NR_BINS + 101));
	KUNIT_EXPECT_NULL(test, r);

	/* From the tree to a bin and back; with what is in between, to one. */
	lab_remove(&far, at);
	page = lab_reserve(&far, 1);
	KUNIT_EXPECT_PTR_EQ(test, page, &ep.page[nr[1] + EVL_NR_BINS - 1]);
	KUNIT_EXPECT_EQ(test, far.evl->rows, BIT_ULL(EVL_NR_ROWS - 1));
	lab_expect_free(test, &far, nr[1], EVL_NR_BINS - 1);
	lab_release(&far, nr[1] + EVL_NR_BINS - 1, 1);
	KUNIT_EXPECT_EQ(test, far.evl->rows, 0);
	page = lab_reserve(&far, EVL_NR_BINS + 1);
	KUNIT_EXPECT_PTR_EQ(test, page, &ep.page[nr[0] + 99]);
	lab_expect_free(test, &far, nr[0], 99);
	lab_release(&far, nr[0] + 99, EVL_NR_BINS + 1);
	for (i = 1; i < ARRAY_SIZE(pages); i++)
		lab_release(&far, nr[i] - 1, 1);
	lab_release(&far, at - 1, nr_pages - at + 1);
	lab_release(&far, 0, 1);
	lab_expect_free(test, &far, 0, nr_pages);
	lab_remove(&far, 0);
	KUNIT_EXPECT_TRUE(test, RB_EMPTY_ROOT(&far.evl->size_tree.rb_root));
out:
	engine->exit(far.heap);
	kvfree(ep.range);
	kvfree(map);
}

/* The check is no good if it finds nothing. */
static void check_finds(struct kunit *test)
{
	struct lab *lab = lab_new(test, SZ_64K);
	struct evl_page *page;
	void *p, *q;

#define EXPECT_UNCLEAN(lvalue, value)					\
do {									\
	__auto_type __at = &(lvalue);					\
	__auto_type __old = *__at;					\
									\
	*__at = value;							\
	KUNIT_EXPECT_EQ(test, chaos_heap_check(lab->heap), -EUCLEAN);	\
	*__at = __old;							\
	KUNIT_EXPECT_EQ(test, chaos_heap_check(lab->heap), 0);		\
} while (0)

	p = lab_alloc(test, lab, 40);
	q = lab_alloc(test, lab, 3000);
	page = lab_page(lab, p);
	EXPECT_UNCLEAN(page->busy, page->busy | BIT(3));
	EXPECT_UNCLEAN(page->busy, page->busy & ~BIT(20));
	EXPECT_UNCLEAN(page->busy, evl_bucket_of(lab->evl, 6)->empty);
	EXPECT_UNCLEAN(page->type, EVL_NONE);
	EXPECT_UNCLEAN(page->type, 5);
	EXPECT_UNCLEAN(page->slot, 1);
	EXPECT_UNCLEAN(page->prev, page);
	EXPECT_UNCLEAN(page->next, page + 1);
	page = lab_page(lab, q);
	EXPECT_UNCLEAN(page->pages, 5);
	EXPECT_UNCLEAN(page->pages, 0);
	EXPECT_UNCLEAN(page->pages, 1000);
	EXPECT_UNCLEAN(page->align, 17);
	EXPECT_UNCLEAN(page[1].type, EVL_RANGE);
	page = lab->ep->page;
	EXPECT_UNCLEAN(page->pages, page->pages - 1);
	EXPECT_UNCLEAN(page[page->pages - 1].pages, 3);
	EXPECT_UNCLEAN(page[-1].type, EVL_NONE);
	EXPECT_UNCLEAN(page[lab->ep->nr_pages].type, EVL_FREE);
	EXPECT_UNCLEAN(lab->evl->short_map, 2);
	EXPECT_UNCLEAN(lab->ep->range[0].page, &page[1]);
	EXPECT_UNCLEAN(lab->evl->rows, 0);
	EXPECT_UNCLEAN(lab->evl->rows, 3);
	EXPECT_UNCLEAN(lab->evl->row[0]->words, 0);
	EXPECT_UNCLEAN(lab->evl->row[0]->words, 7);
	EXPECT_UNCLEAN(lab->evl->row[0]->map[1], 3);
	EXPECT_UNCLEAN(lab->evl->row[0]->map[63], 1);
	EXPECT_UNCLEAN(lab->evl->row[0]->bin[page->pages], NULL);
	EXPECT_UNCLEAN(lab->evl->row[0]->bin[70], page);
	EXPECT_UNCLEAN(lab->evl->kept, page);
	EXPECT_UNCLEAN(lab->evl->kept_pages, 1);
	EXPECT_UNCLEAN(lab->evl->spare, page);
	EXPECT_UNCLEAN(lab->evl->ranges.allocs, 2);
	EXPECT_UNCLEAN(lab->evl->ranges.frees, 1);
	EXPECT_UNCLEAN(lab->evl->ranges.peak_pages, 1);
	EXPECT_UNCLEAN(lab->evl->block_pages, 2);
	EXPECT_UNCLEAN(lab->evl->watch, SIZE_MAX);
	EXPECT_UNCLEAN(lab->evl->bucket[2].use.allocs, 2);
	EXPECT_UNCLEAN(lab->evl->bucket[2].use.pages, 2);
	EXPECT_UNCLEAN(lab->ep->used, 6);
	EXPECT_UNCLEAN(lab->heap->held.counter, 512);

	/* A page in use may be the spare one, but not if a range is kept. */
	KUNIT_EXPECT_EQ(test, lab_free(lab, q), CHAOS_OK);
	EXPECT_UNCLEAN(lab->evl->spare, lab_page(lab, p));
#undef EXPECT_UNCLEAN

	KUNIT_EXPECT_EQ(test, lab_free(lab, p), CHAOS_OK);
	lab_expect_whole(test, lab);
}

static struct kunit_case evl_cases[] = {
	KUNIT_CASE(insert_range_bysize),
	KUNIT_CASE(insert_range_byaddr),
	KUNIT_CASE(search_right_mergeable),
	KUNIT_CASE(release_page_range),
	KUNIT_CASE(search_size_ge),
	KUNIT_CASE(reserve_page_range),
	KUNIT_CASE(move_page_back),
	KUNIT_CASE(heap_alloc),
	KUNIT_CASE(heap_alloc_small),
	KUNIT_CASE(heap_write_then_free),
	KUNIT_CASE(heap_free),
	KUNIT_CASE(heap_box),
	KUNIT_CASE(interior_pointer),
	KUNIT_CASE(double_free_block),
	KUNIT_CASE(double_free_range),
	KUNIT_CASE(stale_continuation),
	KUNIT_CASE(stale_node),
	KUNIT_CASE(alignment),
	KUNIT_CASE(alignment_tight),
	KUNIT_CASE(alignment_padded),
	KUNIT_CASE(alignment_natural),
	KUNIT_CASE(resize_block),
	KUNIT_CASE(resize_range),
	KUNIT_CASE(empty_page_kept),
	KUNIT_CASE(empty_page_under_pressure),
	KUNIT_CASE(range_kept),
	KUNIT_CASE(one_thing_kept),
	KUNIT_CASE(range_kept_under_pressure),
	KUNIT_CASE(range_kept_aligned),
	KUNIT_CASE(pools_do_not_merge),
	KUNIT_CASE(release_pool),
	KUNIT_CASE(release_deferred),
	KUNIT_CASE(destroy_deferred),
	KUNIT_CASE(deferred_overwritten),
	KUNIT_CASE(nmi_deferral),
	KUNIT_CASE(impossible_sizes),
#if BITS_PER_LONG == 64
	KUNIT_CASE(huge_pool),
#endif
	KUNIT_CASE(huge_ranges),
	KUNIT_CASE(check_finds),
	{}
};

static struct kunit_suite evl_suite = {
	.name = "chaos_evl",
	.test_cases = evl_cases,
};

kunit_test_suites(&evl_suite);
