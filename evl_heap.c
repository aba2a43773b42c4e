// SPDX-License-Identifier: GPL-2.0
/*
 * The evl engine: power-of-two blocks over a best-fit allocator of page ranges.
 *
 * The algorithm is that of the Xenomai 4 (EVL) system heap, a variant of
 * M. K. McKusick and M. J. Karels, "Design of a General Purpose Memory
 * Allocator for the 4.3BSD UNIX Kernel", USENIX Summer 1988.  A pool is cut
 * into pages of 512 bytes.
 *
 * - Requests of up to 256 bytes are rounded up to a power of two and served
 *   from a page of blocks of that size.  The pages of one size form a ring,
 *   those with room in front; a bitmap tells which of a page's blocks are busy.
 * - Other requests get a range of whole pages: the high part of the shortest
 *   free range that is long enough.  A freed range merges with its free
 *   neighbours.
 *
 * Structures.  The page map of a pool has an entry for each page, and lies
 * outside of the pool.  The first page of a range, or a page of blocks, is
 * marked as such, all other pages of a range are not: hence the map tells for
 * any address whatever if a block starts there.  The last page of a
 * free range is marked too, and both ends know the length: hence the
 * neighbours of a range are found without a search by address.  By length, free
 * ranges are found in a bin of their own, and from 128 MiB on in evl_heap.size_tree;
 * all pools of a heap share these.  Nothing is ever stored in free memory.
 *
 * The short range that was freed last, or the page of blocks that became empty
 * last, is kept as it is, for the next allocation may well want the same.
 *
 * Locking.  One struct chaos_lock guards everything.  query() and the checks
 * of an NMI that finds the lock taken read the map without it: the entry of
 * a live block does not change until its owner frees or resizes it.
 *
 * Time.  All takes a fixed number of steps but for free ranges of 128 MiB and
 * more, which take a few descents of the size tree.  What needs the fewest of them
 * is in evl_fast.h.
 */
#include <linux/bitops.h>
#include <linux/kprobes.h>
#include <linux/log2.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/numa.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "compat.h"
#include "evl_fast.h"
#include "evl_heap.h"
#include "fault.h"
#include "sanitize.h"

/*
 * A request for aligned pages looks at so many more ranges of the same length that
 * may fit or not, or at one that is longer: that is a search, and costs as much.
 */
#define EVL_ALIGN_TRIES		3

/* No place in a range. */
#define EVL_NOWHERE		U32_MAX

/* Nodes searched for the long free range that a bad pointer is in: 128 MiB. */
#define EVL_LOOK_BACK		(EVL_NR_BINS * sizeof(struct evl_page) >> EVL_NODE_SHIFT)

/* Pages handled by add_pool() before others get a turn. */
#define EVL_BATCH		256

/* The node of a long range that starts at @page. */
static struct evl_range *evl_range_of(struct evl_heap *evl,
				      const struct evl_page *page)
{
	struct evl_pool *ep = evl_pool_of(evl, page);

	return &ep->range[evl_node_nr(ep, page)];
}

static __always_inline struct evl_page *evl_range_page(struct rb_node *node)
{
	return rb_entry(node, struct evl_range, size_node)->page;
}

static __always_inline size_t evl_to_pages(size_t size)
{
	return (size >> EVL_PAGE_SHIFT) + !!(size & (EVL_PAGE_SIZE - 1));
}

/* -- Free ranges by size -- */

/* Where in its row is the bin of @pages?  Its word, and the first bin of that. */
static __always_inline unsigned int evl_row_word(u32 pages)
{
	return (pages % EVL_ROW_SIZE) / EVL_WORD_BITS;
}

static __always_inline struct evl_page **evl_row_bins(struct evl_row *row,
						      u32 pages)
{
	return &row->bin[round_down(pages % EVL_ROW_SIZE, EVL_WORD_BITS)];
}

static __always_inline void evl_add_to_row(struct evl_heap *evl, struct evl_page *r)
{
	unsigned int word = evl_row_word(r->pages);
	unsigned int nr = r->pages / EVL_ROW_SIZE;
	struct evl_row *row = evl->row[nr];

	evl_add_to_bin(&row->map[word], evl_row_bins(row, r->pages),
		       r->pages % EVL_WORD_BITS, r);
	row->words |= BIT_ULL(word);
	evl->rows |= BIT_ULL(nr);
}

/* Of a range that was @pages long, and whose bin had @prev and @next beside it. */
static __always_inline void evl_leave_row(struct evl_heap *evl, u32 pages,
					  struct evl_page *prev,
					  struct evl_page *next)
{
	unsigned int word = evl_row_word(pages), nr = pages / EVL_ROW_SIZE;
	struct evl_row *row = evl->row[nr];

	evl_close_gap(&row->map[word], evl_row_bins(row, pages),
		      pages % EVL_WORD_BITS, prev, next);
	if (row->map[word])
		return;
	row->words &= ~BIT_ULL(word);
	if (!row->words)
		evl->rows &= ~BIT_ULL(nr);
}

static __always_inline void evl_remove_from_row(struct evl_heap *evl, struct evl_page *r)
{
	evl_leave_row(evl, r->pages, r->prev, r->next);
}

/* Into the size tree; behind those of the same length. */
static noinline void evl_add_to_tree(struct evl_heap *evl, struct evl_page *r,
				     struct evl_range *range)
{
	struct rb_node **link = &evl->size_tree.rb_root.rb_node;
	struct rb_node *parent = NULL;
	u32 pages = r->pages;
	bool leftmost = true;

	while (*link) {
		parent = *link;
		if (pages < evl_range_page(parent)->pages) {
			link = &parent->rb_left;
		} else {
			link = &parent->rb_right;
			leftmost = false;
		}
	}
	r->range = range;
	rb_link_node(&range->size_node, parent, link);
	rb_insert_color_cached(&range->size_node, &evl->size_tree, leftmost);
}

static __always_inline void evl_insert_long_range(struct evl_heap *evl,
						  struct evl_page *r)
{
	struct evl_range *range = evl_range_of(evl, r);

	WRITE_ONCE(range->page, r);
	if (likely(r->pages < EVL_NR_BINS))
		evl_add_to_row(evl, r);
	else
		evl_add_to_tree(evl, r, range);
}

/* The node is left as it is: it means nothing once @r is no free range. */
static __always_inline void evl_remove_long_range(struct evl_heap *evl,
						  struct evl_page *r)
{
	if (likely(r->pages < EVL_NR_BINS))
		evl_remove_from_row(evl, r);
	else
		rb_erase_cached(&r->range->size_node, &evl->size_tree);
}

static __always_inline void evl_insert_length(struct evl_heap *evl,
					      struct evl_page *r)
{
	if (unlikely(r->pages >= EVL_LONG))
		evl_insert_long_range(evl, r);
	else
		evl_add_to_bin(&evl->short_map, evl->short_bin, r->pages, r);
}

static __always_inline void evl_remove_length(struct evl_heap *evl,
					      struct evl_page *r)
{
	if (unlikely(r->pages >= EVL_LONG))
		evl_remove_long_range(evl, r);
	else
		evl_remove_from_bin(&evl->short_map, evl->short_bin, r->pages,
				    r);
}

/* Would a range with @pages stay where it is in the size tree? */
static bool evl_order_holds(struct evl_heap *evl, struct evl_page *r, u32 pages)
{
	struct rb_node *node = &r->range->size_node;

	if (pages < r->pages) {
		if (node == rb_first_cached(&evl->size_tree))
			return true;
		return evl_range_page(rb_prev(node))->pages <= pages;
	}
	node = rb_next(node);
	return !node || evl_range_page(node)->pages >= pages;
}

static noinline struct evl_page *evl_search_tree(struct evl_heap *evl,
						 u32 pages)
{
	struct rb_node *node = evl->size_tree.rb_root.rb_node;
	struct evl_page *best = NULL;

	while (node) {
		struct evl_page *r = evl_range_page(node);

		if (r->pages >= pages) {
			best = r;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

/* Those above bit @n, which may be the last one. */
static __always_inline u64 evl_above_bit(u64 map, unsigned int n)
{
	return map & (~1ULL << n);
}

/* The first range of the row in a word of @words, which is not 0. */
static __always_inline struct evl_page *evl_row_first(struct evl_row *row, u64 words)
{
	unsigned int word = __ffs64(words);

	return row->bin[word * EVL_WORD_BITS + __ffs64(row->map[word])];
}

/* The shortest free range of at least @pages >= EVL_LONG that has a bin, or NULL. */
static __always_inline struct evl_page *evl_search_rows(struct evl_heap *evl, u32 pages)
{
	unsigned int word = evl_row_word(pages), nr = pages / EVL_ROW_SIZE;
	struct evl_row *row = evl->row[nr];
	u64 map;

	if (evl->rows & BIT_ULL(nr)) {
		map = evl_from_bit(row->map[word], pages % EVL_WORD_BITS);
		if (map)
			return evl_row_bins(row, pages)[__ffs64(map)];
		map = evl_above_bit(row->words, word);
		if (map)
			return evl_row_first(row, map);
	}
	map = evl_above_bit(evl->rows, nr);
	if (!map)
		return NULL;
	row = evl->row[__ffs64(map)];
	return evl_row_first(row, row->words);
}

/* The same, of all long ones. */
static __always_inline struct evl_page *evl_search_long(struct evl_heap *evl, u32 pages)
{
	struct evl_page *r = NULL;

	if (likely(pages < EVL_NR_BINS))
		r = evl_search_rows(evl, pages);
	if (likely(r))
		return r;
	return RB_EMPTY_ROOT(&evl->size_tree.rb_root) ?
		NULL : evl_search_tree(evl, pages);
}

/* The shortest free range of at least @pages, or NULL. */
static __always_inline struct evl_page *
evl_search_shortest(struct evl_heap *evl, u32 pages)
{
	u64 map;

	if (pages < EVL_LONG) {
		map = evl_from_bit(evl->short_map, pages);
		if (map)
			return evl->short_bin[__ffs64(map)];
		pages = EVL_LONG;
	}
	return evl_search_long(evl, pages);
}

/* The same, for the tests. */
VISIBLE_IF_KUNIT __maybe_unused struct evl_page *
evl_search_size_ge(struct evl_heap *evl, u32 pages)
{
	return evl_search_shortest(evl, pages);
}
EXPORT_SYMBOL_IF_KUNIT(evl_search_size_ge);

/* A free range that is not shorter than @r, and not seen before @r. */
static __always_inline struct evl_page *evl_next_range(struct evl_heap *evl,
						       struct evl_page *r)
{
	struct rb_node *node;

	if (r->pages < EVL_NR_BINS)
		return r->next ?: evl_search_shortest(evl, r->pages + 1);
	node = rb_next(&r->range->size_node);
	return node ? evl_range_page(node) : NULL;
}

/* -- Free ranges by address -- */

VISIBLE_IF_KUNIT void evl_remove_range_byaddr(struct evl_page *r)
{
	evl_set_type(r + r->pages - 1, EVL_NONE);
	evl_set_type(r, EVL_NONE);
}
EXPORT_SYMBOL_IF_KUNIT(evl_remove_range_byaddr);

/* The free range that ends where @page starts, or NULL. */
VISIBLE_IF_KUNIT struct evl_page *
evl_search_left_mergeable(struct evl_page *page)
{
	return evl_ends_free(page - 1) ? page - page[-1].pages : NULL;
}
EXPORT_SYMBOL_IF_KUNIT(evl_search_left_mergeable);

/* The free range that starts at @end, or NULL. */
VISIBLE_IF_KUNIT struct evl_page *
evl_search_right_mergeable(struct evl_page *end)
{
	return end->type == EVL_FREE ? end : NULL;
}
EXPORT_SYMBOL_IF_KUNIT(evl_search_right_mergeable);

static __always_inline void evl_insert_range(struct evl_heap *evl,
					     struct evl_page *r, u32 pages)
{
	evl_mark_free(r, pages);
	evl_insert_length(evl, r);
}

static __always_inline void evl_remove_range(struct evl_heap *evl,
					     struct evl_page *r)
{
	evl_remove_length(evl, r);
	evl_remove_range_byaddr(r);
}

/* The range's place in the size tree often stays. */
static noinline void evl_resize_huge_range(struct evl_heap *evl,
					   struct evl_page *r, u32 pages)
{
	bool stays = pages >= EVL_NR_BINS && evl_order_holds(evl, r, pages);

	if (!stays)
		evl_remove_long_range(evl, r);
	evl_set_type(r + r->pages - 1, EVL_NONE);
	evl_mark_free(r, pages);
	if (!stays)
		evl_insert_length(evl, r);
}

/*
 * From row to row, the node stays.  As the new bin comes first, words that both share
 * are not cleared to be set again.
 */
static __always_inline void evl_resize_long_range(struct evl_heap *evl,
						  struct evl_page *r, u32 pages)
{
	struct evl_page *prev = r->prev, *next = r->next;
	u32 old = r->pages;

	if (r->pages >= EVL_NR_BINS) {
		evl_resize_huge_range(evl, r, pages);
		return;
	}
	evl_set_type(r + old - 1, EVL_NONE);
	evl_mark_free(r, pages);
	if (likely(pages >= EVL_LONG && pages < EVL_NR_BINS))
		evl_add_to_row(evl, r);
	else
		evl_insert_length(evl, r);
	evl_leave_row(evl, old, prev, next);
}

/* Move the end of a free range; @pages is not what it has. */
static __always_inline void evl_resize_range(struct evl_heap *evl,
					     struct evl_page *r, u32 pages)
{
	if (r->pages >= EVL_LONG) {
		evl_resize_long_range(evl, r, pages);
		return;
	}
	evl_remove_length(evl, r);
	evl_set_type(r + r->pages - 1, EVL_NONE);
	evl_insert_range(evl, r, pages);
}

/* -- Ranges of pages -- */

/*
 * Take @pages out of the free range @r, @at pages after its start.  What is
 * in front stays in the tree.
 */
static __always_inline struct evl_page *
evl_split_range(struct evl_heap *evl, struct evl_page *r, u32 at, u32 pages)
{
	struct evl_page *page = r + at;
	u32 tail = r->pages - at - pages;

	if (at)
		evl_resize_range(evl, r, at);
	else
		evl_remove_range(evl, r);
	if (unlikely(tail))
		evl_insert_range(evl, page + pages, tail);
	return page;
}

/* Where in the @length pages from @r are the highest @pages that are aligned? */
static __always_inline u32 evl_align_high(struct evl_heap *evl,
					  const struct evl_page *r, u32 length,
					  u32 pages, size_t align)
{
	unsigned long start = evl_page_addr(evl, r);
	unsigned long last = start +
		((unsigned long)(length - pages) << EVL_PAGE_SHIFT);

	return ((last & ~(align - 1)) - start) >> EVL_PAGE_SHIFT;
}

/* The same where there may be none: EVL_NOWHERE. */
static __always_inline u32 evl_fit_aligned(struct evl_heap *evl,
					   const struct evl_page *r, u32 length,
					   u32 pages, size_t align)
{
	unsigned long start = evl_page_addr(evl, r);
	unsigned long last = start +
		((unsigned long)(length - pages) << EVL_PAGE_SHIFT);

	last &= ~(align - 1);
	return last < start ? EVL_NOWHERE : (last - start) >> EVL_PAGE_SHIFT;
}

/* The same for any @length and alignment. */
static __always_inline u32 evl_fit(struct evl_heap *evl, const struct evl_page *r,
				   u32 length, u32 pages, size_t align)
{
	if (length < pages)
		return EVL_NOWHERE;
	if (align <= EVL_PAGE_SIZE)
		return length - pages;
	return evl_fit_aligned(evl, r, length, pages, align);
}

/*
 * Take @pages from the free ranges.  The caller gives the first of them a
 * type; the others are EVL_NONE.
 */
static __always_inline struct evl_page *
evl_reserve_pages(struct evl_heap *evl, u32 pages)
{
	struct evl_page *r = evl_search_shortest(evl, pages);

	lockdep_assert_held(&evl->lock.raw);

	return likely(r) ? evl_split_range(evl, r, r->pages - pages, pages) : NULL;
}

/*
 * The same, aligned to more than a page.  If the shortest range, @first, does not hold
 * them so, one that is longer by the alignment does.
 */
static __always_inline struct evl_page *
evl_reserve_aligned(struct evl_heap *evl, struct evl_page *first, u32 pages,
		    size_t align)
{
	size_t padded = pages + (align >> EVL_PAGE_SHIFT) - 1;
	struct evl_page *r = first;
	u32 at;

	if (unlikely(!first))
		return NULL;
	at = evl_fit_aligned(evl, r, r->pages, pages, align);
	if (at == EVL_NOWHERE) {
		if (padded > EVL_MAX_PAGES)
			return NULL;
		r = evl_search_shortest(evl, padded);
		if (unlikely(!r))
			return NULL;
		at = evl_align_high(evl, r, r->pages, pages, align);
	}
	return evl_split_range(evl, r, at, pages);
}

/* There is none that is longer by the alignment, but a few others are to be tried. */
static __always_inline struct evl_page *
evl_reserve_other(struct evl_heap *evl, struct evl_page *first, u32 pages,
		  size_t align)
{
	struct evl_page *r = first;
	int tries = EVL_ALIGN_TRIES;
	u32 at = EVL_NOWHERE, length;

	while (r && at == EVL_NOWHERE && tries > 0) {
		length = r->pages;
		r = evl_next_range(evl, r);
		if (!r)
			return NULL;
		tries -= r->pages == length ? 1 : EVL_ALIGN_TRIES;
		at = evl_fit_aligned(evl, r, r->pages, pages, align);
	}
	return at == EVL_NOWHERE ? NULL : evl_split_range(evl, r, at, pages);
}

/* Give back @pages from @page on, all EVL_NONE. */
noinline void evl_release_page_range(struct evl_heap *evl,
				     struct evl_page *page, u32 pages)
{
	struct evl_page *right = evl_search_right_mergeable(page + pages);
	struct evl_page *left = evl_search_left_mergeable(page);

	lockdep_assert_held(&evl->lock.raw);

	if (right) {
		pages += right->pages;
		evl_remove_range(evl, right);
	}
	if (left)
		evl_resize_range(evl, left, left->pages + pages);
	else
		evl_insert_range(evl, page, pages);
}
EXPORT_SYMBOL_IF_KUNIT(evl_release_page_range);

/* -- What is used -- */

/* Either the heap holds more than ever before, or the ranges do, or neither. */
noinline void evl_new_peak(struct evl_heap *evl, size_t held)
{
	size_t peak = max(evl->heap->peak_held, held);
	size_t block_bytes = evl->block_pages << EVL_PAGE_SHIFT;
	size_t range_bytes = max(evl->ranges.peak_pages << EVL_PAGE_SHIFT,
				 held - block_bytes);

	WRITE_ONCE(evl->heap->peak_held, peak);
	evl->ranges.peak_pages = range_bytes >> EVL_PAGE_SHIFT;
	evl->watch = min(peak, range_bytes + block_bytes);
}

static __always_inline void evl_use_block_page(struct evl_heap *evl,
					       struct evl_bucket *bucket,
					       const struct evl_page *page)
{
	struct evl_use *use = &bucket->use;

	use->peak_pages = max(use->peak_pages, ++use->pages);
	evl->block_pages++;
	evl_pool_of(evl, page)->used++;
	chaos_hold(evl->heap, EVL_PAGE_SIZE);
}

/* The ranges' peak is reached with a page less now. */
static __always_inline void evl_unuse_block_page(struct evl_heap *evl,
						 struct evl_bucket *bucket,
						 const struct evl_page *page)
{
	bucket->use.pages--;
	evl->block_pages--;
	evl->watch -= min(evl->watch, EVL_PAGE_SIZE);
	evl_pool_of(evl, page)->used--;
	chaos_unhold(evl->heap, EVL_PAGE_SIZE);
}

/* -- What is kept although it is not used -- */

static noinline void evl_drop_kept(struct evl_heap *evl)
{
	struct evl_page *kept = evl->kept;

	if (!kept)
		return;
	evl->kept = NULL;
	evl->kept_pages = 0;
	evl_merge_kept(evl, kept);
}

/* The page of blocks that is kept although it is empty, or NULL. */
static struct evl_page *evl_spare(struct evl_heap *evl)
{
	struct evl_page *page = evl->spare;

	return page && page->busy == evl_bucket_of(evl, page->type)->empty ?
		page : NULL;
}

/* -- Pages of blocks -- */

/* An empty page is none of blocks any longer. */
static __always_inline void evl_close_page(struct evl_heap *evl,
					   struct evl_page *page)
{
	struct evl_bucket *bucket = evl_bucket_of(evl, page->type);

	evl_remove_page(page);
	evl_set_type(page, EVL_NONE);
	evl_unuse_block_page(evl, bucket, page);
}

/* Return it to the free ranges. */
static __always_inline void evl_drop_page(struct evl_heap *evl,
					  struct evl_page *page)
{
	evl_close_page(evl, page);
	evl_release_short(evl, page, 1);
}

noinline void evl_drop_spare(struct evl_heap *evl)
{
	struct evl_page *page = evl_spare(evl);

	evl->spare = NULL;
	if (page)
		evl_drop_page(evl, page);
}

/* What is kept at @page is nothing any longer.  A range remains accounted for. */
static __always_inline void evl_dissolve_kept(struct evl_heap *evl,
					      struct evl_page *page)
{
	if (page->type == EVL_KEPT) {
		evl_set_type(page, EVL_NONE);
		evl->kept = NULL;
		evl->kept_pages = 0;
	} else {
		evl_close_page(evl, page);
		evl->spare = NULL;
	}
}

/*
 * There is no free range for @pages, but there may be one around what is kept.
 * Nothing is merged in vain, or only to be split again: what this costs makes the
 * longest calls.  The pages of evl->kept are used already: *@used.
 */
static __always_inline struct evl_page *
evl_reserve_kept(struct evl_heap *evl, u32 pages, size_t align, u32 *used)
{
	struct evl_page *kept = evl->kept ?: evl_spare(evl), *start, *end;
	u32 nr = evl->kept_pages ?: 1, before, behind, at, tail;

	if (!kept)
		return NULL;
	end = kept + nr;
	before = evl_pages_before(kept);
	behind = evl_pages_behind(end);
	start = kept - before;
	at = evl_fit(evl, start, before + nr + behind, pages, align);
	if (at == EVL_NOWHERE)
		return NULL;

	*used = evl->kept_pages;
	evl_dissolve_kept(evl, kept);
	if (behind)
		evl_remove_range(evl, end);
	tail = before + nr + behind - at - pages;
	if (before && at && at != before)
		evl_resize_range(evl, start, at);
	else if (before > at)
		evl_remove_range(evl, start);
	else if (before < at)
		evl_insert_range(evl, start, at);
	if (unlikely(tail))
		evl_insert_range(evl, start + at + pages, tail);
	return start + at;
}

/* *@used of the pages count as used by ranges. */
static __always_inline struct evl_page *
evl_take_pages(struct evl_heap *evl, u32 pages, u32 *used)
{
	struct evl_page *page = evl_reserve_pages(evl, pages);

	*used = 0;
	return likely(page) ? page :
		evl_reserve_kept(evl, pages, CHAOS_MIN_ALIGN, used);
}

/*
 * The same, aligned.  What is kept comes before other ranges: it is one try only, and
 * costs most where it is of use.
 */
static __always_inline struct evl_page *
evl_take_aligned(struct evl_heap *evl, u32 pages, size_t align, u32 *used)
{
	struct evl_page *first = evl_search_shortest(evl, pages), *page;

	*used = 0;
	page = evl_reserve_aligned(evl, first, pages, align);
	if (likely(page))
		return page;
	page = evl_reserve_kept(evl, pages, align, used);
	return page ?: evl_reserve_other(evl, first, pages, align);
}

/* A fresh page of blocks at the front of the ring. */
noinline struct evl_page *
evl_add_block_page(struct evl_heap *evl, struct evl_bucket *bucket,
		   unsigned int log2)
{
	struct evl_page *page;
	u32 used;

	page = evl_take_pages(evl, 1, &used);
	if (unlikely(!page))
		return NULL;
	if (unlikely(used))
		evl_unuse_pages(evl, evl_pool_of(evl, page), used);
	evl_use_block_page(evl, bucket, page);
	WRITE_ONCE(page->busy, bucket->empty);
	evl_set_type(page, log2);
	evl_add_page_front(&bucket->head, page);
	return page;
}

/*
 * Keep the page: the next allocation would have to fetch one again.  What was kept
 * before goes.
 */
noinline void evl_page_emptied(struct evl_heap *evl, struct evl_page *page)
{
	if (evl->kept)
		evl_drop_kept(evl);
	else
		evl_drop_spare(evl);
	evl->spare = page;
}

/* -- Blocks of whole pages -- */

static __always_inline void *evl_use_range(struct evl_heap *evl,
					   struct evl_page *page, u32 pages,
					   u32 used, size_t align)
{
	struct evl_pool *ep;

	if (unlikely(!page))
		return NULL;
	ep = evl_pool_of(evl, page);
	evl_use_pages(evl, ep, (long)pages - used);
	return evl_open_range(evl, page, pages, align,
			      evl_pool_page_addr(ep, page));
}

static __always_inline void *evl_alloc_long(struct evl_heap *evl, size_t size,
					    size_t align, bool aligned)
{
	size_t pages = evl_to_pages(size);
	struct evl_page *page;
	u32 used;

	if (unlikely(pages > EVL_MAX_PAGES))
		return NULL;
	if (aligned)
		page = evl_take_aligned(evl, pages,
					evl_range_mask(size, align) + 1, &used);
	else
		page = evl_take_pages(evl, pages, &used);
	return evl_use_range(evl, page, pages, used, align);
}

/* Aligned to more than a page of the engine. */
__kprobes noinline void *evl_alloc_aligned(struct evl_heap *evl, size_t size,
					   size_t align)
{
	return evl_alloc_long(evl, size, align, true);
}

/* To a page, as all ranges are. */
__kprobes noinline void *evl_alloc_range(struct evl_heap *evl, size_t size,
					 size_t align)
{
	return evl_alloc_long(evl, size, align, false);
}

static void evl_shrink_range(struct evl_heap *evl, struct evl_page *page,
			     u32 pages)
{
	u32 less = page->pages - pages;

	if (page + page->pages == evl->kept)
		evl_drop_kept(evl);
	WRITE_ONCE(page->pages, pages);
	evl_unuse_pages(evl, evl_pool_of(evl, page), less);
	evl_release_page_range(evl, page + pages, less);
}

/* Into the low part of the free range behind, if that is long enough. */
static bool evl_grow_range(struct evl_heap *evl, struct evl_page *page,
			   u32 pages)
{
	struct evl_page *right = page + page->pages;
	u32 more = pages - page->pages;

	if (right == evl->kept)
		evl_drop_kept(evl);
	if (evl_pages_behind(right) < more)
		return false;
	evl_split_range(evl, right, 0, more);
	WRITE_ONCE(page->pages, pages);
	evl_use_pages(evl, evl_pool_of(evl, page), more);
	return true;
}

/* -- Pointers -- */

/*
 * @page is EVL_NONE; is it in free memory?  Either what it is in starts within
 * EVL_LONG pages, or that is long and, if free, has a node.  If the node is
 * too far away, say no: the pointer is wrong either way.
 */
static bool evl_in_free_range(const struct evl_pool *ep,
			      const struct evl_page *page)
{
	size_t n = page - ep->page, i, slot;
	const struct evl_page *r;
	u8 type;

	for (i = 1; i <= min_t(size_t, n, EVL_LONG); i++) {
		type = READ_ONCE(page[-i].type);
		if (type != EVL_NONE)
			return type == EVL_FREE || type == EVL_KEPT;
	}
	slot = evl_node_nr(ep, page);
	for (i = 0; i <= min_t(size_t, slot, EVL_LOOK_BACK); i++) {
		r = READ_ONCE(ep->range[slot - i].page);
		if (r && r <= page && READ_ONCE(r->type) == EVL_FREE)
			return page - r < READ_ONCE(r->pages);
	}
	return false;
}

noinline enum chaos_verdict
evl_not_a_block(const struct evl_pool *ep, const struct evl_page *page)
{
	switch (READ_ONCE(page->type)) {
	case EVL_FREE:
	case EVL_FREE_END:
	case EVL_KEPT:
		return CHAOS_FREED;
	case EVL_NONE:
		return evl_in_free_range(ep, page) ? CHAOS_FREED :
						     CHAOS_INTERIOR;
	case EVL_RANGE:
		return CHAOS_INTERIOR;
	default:
		return CHAOS_CORRUPT;
	}
}

/*
 * Describe the block at @p.  Without the lock the answer is right if the
 * block is live and stays so; otherwise it was right at some moment.
 */
static enum chaos_verdict evl_look_up(const struct evl_pool *ep, const void *p,
				      struct chaos_block *block)
{
	unsigned long offset = (unsigned long)p - ep->start;
	struct evl_page *page = &ep->page[offset >> EVL_PAGE_SHIFT];
	u8 type = READ_ONCE(page->type);

	if (evl_is_block_page(type)) {
		if (offset & ((1UL << type) - 1))
			return CHAOS_INTERIOR;
		offset &= EVL_PAGE_SIZE - 1;
		if (!(READ_ONCE(page->busy) & (1U << (offset >> type))))
			return CHAOS_FREED;
		block->size = 1UL << type;
		block->align = 1UL << type;
		return CHAOS_OK;
	}
	if (type == EVL_RANGE && !(offset & (EVL_PAGE_SIZE - 1))) {
		block->size = (size_t)READ_ONCE(page->pages) << EVL_PAGE_SHIFT;
		block->align = 1UL << READ_ONCE(page->align);
		return CHAOS_OK;
	}
	return evl_not_a_block(ep, page);
}

/* In NMI, while somebody else has the lock. */
noinline enum chaos_verdict
evl_free_unlocked(struct evl_heap *evl, struct evl_pool *ep, void *p)
{
	enum chaos_verdict verdict;
	struct chaos_block block;

	verdict = evl_look_up(ep, p, &block);
	if (verdict != CHAOS_OK)
		return verdict;
	return chaos_defer_free(&evl->lock, p) ? CHAOS_OK : CHAOS_FREED;
}
EXPORT_SYMBOL_IF_KUNIT(evl_free_unlocked);

/* -- The lock -- */

static void evl_free_deferred(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	enum chaos_verdict verdict;

	verdict = evl_free_locked(heap->priv, pool->priv, p);
	if (verdict != CHAOS_OK)
		chaos_report(heap, p, verdict, _RET_IP_);
}

noinline void evl_drain(struct evl_heap *evl)
{
	chaos_drain_deferred(&evl->lock, evl->heap, evl_free_deferred);
}

/* In task context. */
static __always_inline void evl_lock_task(struct evl_heap *evl,
					  unsigned long *flags)
{
	raw_spin_lock_irqsave(&evl->lock.raw, *flags);
	evl_drain(evl);
}

/* -- The engine's operations -- */

/* For heaps that are not the default one. */
__kprobes void *evl_op_alloc(struct chaos_heap *heap, size_t size, size_t align)
{
	return evl_alloc(heap, size, align);
}

static __kprobes enum chaos_verdict evl_op_free(struct chaos_heap *heap,
						struct chaos_pool *pool, void *p)
{
	return evl_free(heap, pool, p);
}

static size_t evl_alloc_bulk(struct chaos_heap *heap, size_t size, size_t n,
			     void **p)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	size_t done;

	if (unlikely(!evl_lock(evl, &flags)))
		return 0;
	for (done = 0; done < n; done++) {
		p[done] = evl_alloc_locked(evl, size, CHAOS_MIN_ALIGN);
		if (unlikely(!p[done]))
			break;
	}
	evl_unlock(evl, flags);
	return done;
}

static __always_inline enum chaos_verdict
evl_free_one_locked(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	return evl_free_locked(heap->priv, pool->priv, p);
}

static __always_inline enum chaos_verdict
evl_free_one_unlocked(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	return evl_free_unlocked(heap->priv, pool->priv, p);
}

static size_t evl_free_bulk(struct chaos_heap *heap, size_t n, void **p,
			    enum chaos_verdict *verdict)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	size_t done;

	if (unlikely(!evl_lock(evl, &flags)))
		return chaos_free_each(heap, n, p, verdict, evl_free_one_unlocked);
	done = chaos_free_each(heap, n, p, verdict, evl_free_one_locked);
	evl_unlock(evl, flags);
	return done;
}

static bool evl_resize_locked(struct evl_heap *evl, struct evl_pool *ep,
			      void *p, size_t size)
{
	unsigned long offset = (unsigned long)p - ep->start;
	struct evl_page *page = &ep->page[offset >> EVL_PAGE_SHIFT];
	size_t pages = evl_to_pages(size);
	struct chaos_block block;

	if (evl_look_up(ep, p, &block) != CHAOS_OK)
		return false;
	if (page->type != EVL_RANGE)
		return size <= block.size;
	if (pages > EVL_MAX_PAGES)
		return false;
	if (pages > page->pages)
		return evl_grow_range(evl, page, pages);
	if (pages < page->pages)
		evl_shrink_range(evl, page, pages);
	return true;
}

static bool evl_resize(struct chaos_heap *heap, struct chaos_pool *pool,
		       void *p, size_t size)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	bool done;

	if (unlikely(!evl_lock(evl, &flags)))
		return false;
	done = evl_resize_locked(evl, pool->priv, p, size);
	evl_unlock(evl, flags);
	return done;
}

static enum chaos_verdict evl_query(struct chaos_heap *heap,
				    struct chaos_pool *pool, const void *p,
				    struct chaos_block *block)
{
	struct evl_heap *evl = heap->priv;
	enum chaos_verdict verdict;

	verdict = evl_look_up(pool->priv, p, block);
	if (verdict == CHAOS_OK && unlikely(!llist_empty(&evl->lock.deferred)) &&
	    chaos_is_waiting(&evl->lock, p))
		return CHAOS_FREED;
	return verdict;
}

static void evl_add_stats(struct chaos_heap_stats *stats,
			  const struct evl_use *use, size_t live_bytes)
{
	stats->allocs += use->allocs;
	stats->local_frees += use->frees;
	stats->live_blocks += evl_live(use);
	stats->live_bytes += live_bytes;
}

static void evl_stats(struct chaos_heap *heap, struct chaos_heap_stats *stats)
{
	struct evl_heap *evl = heap->priv;
	struct evl_use *use;
	unsigned long flags;
	unsigned int i;

	evl_lock_task(evl, &flags);
	for (i = 0; i < EVL_NR_BUCKETS; i++) {
		use = &evl->bucket[i].use;
		evl_add_stats(stats, use, evl_live(use) << (i + EVL_MIN_LOG2));
	}
	use = &evl->ranges;
	evl_add_stats(stats, use,
		      (evl_range_pages(evl) - evl->kept_pages) << EVL_PAGE_SHIFT);
	evl_unlock(evl, flags);
}

/* The buckets, then all ranges. */
static size_t evl_class_stats(struct chaos_heap *heap,
			      struct chaos_class_stats *classes, size_t n)
{
	struct evl_heap *evl = heap->priv;
	struct evl_use use[EVL_NR_BUCKETS + 1];
	unsigned long flags;
	unsigned int i;
	size_t kept;

	evl_lock_task(evl, &flags);
	for (i = 0; i < EVL_NR_BUCKETS; i++)
		use[i] = evl->bucket[i].use;
	use[i] = evl->ranges;
	use[i].pages = evl_range_pages(evl);
	kept = (size_t)evl->kept_pages << EVL_PAGE_SHIFT;
	evl_unlock(evl, flags);

	for (i = 0; i < ARRAY_SIZE(use) && i < n; i++) {
		bool bucket = i < EVL_NR_BUCKETS;
		size_t size = bucket ? EVL_MIN_BLOCK << i : 0;
		size_t bytes = use[i].pages << EVL_PAGE_SHIFT;

		classes[i] = (struct chaos_class_stats){
			.block_size	= size,
			.pages		= use[i].pages,
			.peak_pages	= use[i].peak_pages,
			.page_bytes	= bytes,
			.capacity	= bucket ? bytes / size : evl_live(&use[i]),
			.live_blocks	= evl_live(&use[i]),
			.live_bytes	= bucket ? evl_live(&use[i]) * size :
						   bytes - kept,
			.allocs		= use[i].allocs,
			.local_frees	= use[i].frees,
		};
	}
	return ARRAY_SIZE(use);
}

/* What NMIs have left to the next holder of the lock is found by the pools. */
static void evl_quiesce(struct chaos_heap *heap)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;

	evl_lock_task(evl, &flags);
	evl_unlock(evl, flags);
}

static bool evl_collect(struct chaos_heap *heap, bool force)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;

	evl_lock_task(evl, &flags);
	if (force) {
		evl_drop_spare(evl);
		evl_drop_kept(evl);
	}
	evl_unlock(evl, flags);
	return false;
}

static size_t evl_pool_need(struct chaos_heap *heap, size_t size, size_t align)
{
	size_t pages = evl_to_pages(size);

	if (is_power_of_2(size) && size <= PAGE_SIZE)
		align = max(align, size);
	if (align > EVL_PAGE_SIZE)
		pages += (align >> EVL_PAGE_SHIFT) - 1;
	if (pages > min(EVL_MAX_PAGES, SIZE_MAX >> EVL_PAGE_SHIFT))
		return SIZE_MAX;
	return pages << EVL_PAGE_SHIFT;
}

/* -- Heaps and pools -- */

static int evl_init(struct chaos_heap *heap)
{
	struct evl_heap *evl;
	unsigned int i;

	evl = chaos_unless_fails(CHAOS_FAULT_SETUP, kzalloc(sizeof(*evl), GFP_KERNEL));
	if (!evl)
		return -ENOMEM;
	chaos_lock_init(&evl->lock);
	evl->heap = heap;
	evl->size_tree = RB_ROOT_CACHED;
	for (i = 0; i < EVL_NR_BUCKETS; i++) {
		struct evl_bucket *bucket = &evl->bucket[i];

		bucket->empty = ~evl_block_mask(i + EVL_MIN_LOG2);
		bucket->head.busy = EVL_ALL_BUSY;
		evl_init_ring(&bucket->head);
	}
	heap->priv = evl;
	return 0;
}

static void evl_exit(struct chaos_heap *heap)
{
	struct evl_heap *evl = heap->priv;
	unsigned int i;

	for (i = 0; i < EVL_NR_ROWS; i++)
		kvfree(evl->row[i]);
	kvfree(evl->pools);
	kfree(evl);
	heap->priv = NULL;
}

/* A free slot in evl->pools, which grows if need be; or -errno. */
static int evl_get_slot(struct evl_heap *evl)
{
	unsigned int slot, nr = evl->nr_slots;
	struct evl_pool **old, **pools;
	unsigned long flags;

	for (slot = 0; slot < nr; slot++) {
		if (!evl->pools[slot])
			return slot;
	}

	nr = nr ? 2 * nr : 4;
	if (nr > U16_MAX + 1)
		return -ENOSPC;
	pools = chaos_meta_alloc(nr * sizeof(*pools), NUMA_NO_NODE);
	if (!pools)
		return -ENOMEM;

	old = evl->pools;
	if (old)
		memcpy(pools, old, slot * sizeof(*pools));
	evl_lock_task(evl, &flags);
	evl->pools = pools;
	evl->nr_slots = nr;
	evl_unlock(evl, flags);
	kvfree(old);
	return slot;
}

/*
 * Make row @nr have @bins bins.  Its ranges do not know where their bin is, but by
 * their length.
 */
static int evl_grow_row(struct evl_heap *evl, unsigned int nr, u32 bins)
{
	struct evl_row *old = evl->row[nr], *row;
	unsigned long flags;

	if (old && old->nr >= bins)
		return 0;
	row = chaos_meta_alloc(struct_size(row, bin, bins), NUMA_NO_NODE);
	if (!row)
		return -ENOMEM;
	evl_lock_task(evl, &flags);
	if (old)
		memcpy(row, old, struct_size(old, bin, old->nr));
	row->nr = bins;
	evl->row[nr] = row;
	evl_unlock(evl, flags);
	kvfree(old);
	return 0;
}

/* Bins for all lengths of free ranges that a pool of @nr_pages can have. */
VISIBLE_IF_KUNIT int evl_add_bins(struct evl_heap *evl, size_t nr_pages)
{
	size_t bins = min(round_up(nr_pages + 1, EVL_WORD_BITS), EVL_NR_BINS);
	size_t first;
	int err = 0;

	for (first = 0; !err && first < bins; first += EVL_ROW_SIZE)
		err = evl_grow_row(evl, first / EVL_ROW_SIZE,
				   min(bins - first, EVL_ROW_SIZE));
	return err;
}
EXPORT_SYMBOL_IF_KUNIT(evl_add_bins);

/* Header, page map with its guards, and nodes of @ep, in one piece. */
static size_t evl_meta_size(size_t nr_pages)
{
	return sizeof(struct evl_pool) +
	       (nr_pages + 2) * sizeof(struct evl_page) +
	       evl_nr_nodes(nr_pages) * sizeof(struct evl_range);
}

static void evl_init_map(struct evl_pool *ep)
{
	u32 n;

	for (n = 0; n < ep->nr_pages; n++) {
		ep->page[n].slot = ep->slot;
		if (!(n % EVL_BATCH))
			cond_resched();
	}
	ep->page[-1].type = EVL_GUARD;
	ep->page[ep->nr_pages].type = EVL_GUARD;
}

static int evl_add_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	size_t nr_pages = pool->size >> EVL_PAGE_SHIFT;
	struct evl_heap *evl = heap->priv;
	size_t size = evl_meta_size(nr_pages);
	struct evl_pool *ep;
	unsigned long flags;
	int slot, err;

	if (nr_pages > EVL_MAX_PAGES)
		return -EFBIG;
	err = evl_add_bins(evl, nr_pages);
	if (err)
		return err;
	slot = evl_get_slot(evl);
	if (slot < 0)
		return slot;
	ep = chaos_meta_alloc(size, pool->nid);
	if (!ep)
		return -ENOMEM;

	ep->start = pool->start;
	ep->nr_pages = nr_pages;
	ep->slot = slot;
	ep->page = (struct evl_page *)(ep + 1) + 1;
	ep->range = (struct evl_range *)(ep->page + nr_pages + 1);
	ep->bias = ep->start - (unsigned long)ep->page * EVL_PAGE_SCALE;
	evl_init_map(ep);
	pool->priv = ep;
	err = chaos_pool_publish(pool);
	if (err) {
		pool->priv = NULL;
		kvfree(ep);
		return err;
	}
	pool->meta_size = size;

	evl_lock_task(evl, &flags);
	evl->pools[slot] = ep;
	evl_release_page_range(evl, ep->page, nr_pages);
	evl_unlock(evl, flags);
	return 0;
}

/* What is kept does not count: it goes as soon as anybody wants it. */
static u32 evl_pages_used(struct evl_heap *evl, struct evl_pool *ep)
{
	struct evl_page *spare = evl_spare(evl);
	u32 pages = ep->used;

	lockdep_assert_held(&evl->lock.raw);
	if (spare && evl_pool_of(evl, spare) == ep)
		pages--;
	if (evl->kept && evl_pool_of(evl, evl->kept) == ep)
		pages -= evl->kept_pages;
	return pages;
}

static size_t evl_pool_used(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	u32 pages;

	evl_lock_task(evl, &flags);
	pages = evl_pages_used(evl, pool->priv);
	evl_unlock(evl, flags);
	return (size_t)pages << EVL_PAGE_SHIFT;
}

/*
 * All of the pool is a single free range then; when that and the slot are gone,
 * nothing leads to the pool any more.
 */
static bool evl_release_locked(struct evl_heap *evl, struct evl_pool *ep)
{
	if (evl->pools[ep->slot] != ep || evl_pages_used(evl, ep))
		return false;
	evl_drop_spare(evl);
	evl_drop_kept(evl);
	evl_remove_range(evl, ep->page);
	evl->pools[ep->slot] = NULL;
	return true;
}

static bool evl_release_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	bool released;

	evl_lock_task(evl, &flags);
	released = evl_release_locked(evl, pool->priv);
	evl_unlock(evl, flags);
	return released;
}

/*
 * If the whole heap goes, its rings and trees still lead to the pool, but nobody
 * looks at these any more.  An NMI that freed a block which another CPU was
 * freeing may have left it on the list of deferred ones: it must not be found
 * there once its memory is gone.
 */
static void evl_remove_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	evl_quiesce(heap);
	kvfree(pool->priv);
	pool->priv = NULL;
	pool->meta_size = 0;
}

static bool evl_walk_page(struct chaos_heap *heap, struct evl_page *page,
			  chaos_visitor visitor, void *arg)
{
	unsigned long addr = evl_page_addr(heap->priv, page);
	unsigned int log2 = page->type;
	unsigned long busy;
	unsigned int bit;

	if (log2 == EVL_FREE || log2 == EVL_KEPT)
		return true;
	if (log2 == EVL_RANGE)
		return visitor(heap, (void *)addr,
			       (size_t)page->pages << EVL_PAGE_SHIFT, arg);

	busy = page->busy & evl_block_mask(log2);
	for_each_set_bit(bit, &busy, BITS_PER_TYPE(u32)) {
		if (!visitor(heap, (void *)(addr + (bit << log2)),
			     1UL << log2, arg))
			return false;
	}
	return true;
}

static int evl_walk(struct chaos_heap *heap, struct chaos_pool *pool,
		    chaos_visitor visitor, void *arg)
{
	struct evl_heap *evl = heap->priv;
	struct evl_page *page, *end;
	unsigned long flags;
	unsigned int slot;
	int err = 0;

	evl_lock_task(evl, &flags);
	for (slot = 0; !err && slot < evl->nr_slots; slot++) {
		struct evl_pool *ep = evl->pools[slot];

		if (!ep || (pool && pool->priv != ep))
			continue;
		end = ep->page + ep->nr_pages;
		for (page = ep->page; page < end;
		     page += evl_is_block_page(page->type) ? 1 : page->pages) {
			if (!evl_walk_page(heap, page, visitor, arg)) {
				err = -ECANCELED;
				break;
			}
		}
	}
	evl_unlock(evl, flags);
	return err;
}

/* -- The check -- */

/**
 * struct evl_tally - what the page maps say, to be compared with the rest
 * @used: pages that are not in free ranges
 * @ranges: allocated ranges
 * @range_pages: their pages, and those of the one that is kept
 * @kept: the latter
 * @block_pages: pages of blocks, per bucket
 * @blocks: allocated blocks, per bucket
 * @binned: free ranges that have a bin
 * @treed: those that are in the size tree
 */
struct evl_tally {
	size_t used;
	size_t ranges;
	size_t range_pages;
	u32 kept;
	size_t block_pages[EVL_NR_BUCKETS];
	size_t blocks[EVL_NR_BUCKETS];
	size_t binned;
	size_t treed;
};

/* A pointer to trust: the entry of a page, not one of a guard or of nothing. */
static bool evl_is_map_entry(struct evl_heap *evl, const struct evl_page *page)
{
	unsigned int slot;

	for (slot = 0; slot < evl->nr_slots; slot++) {
		struct evl_pool *ep = evl->pools[slot];

		if (ep && page >= ep->page && page < ep->page + ep->nr_pages)
			return !(((unsigned long)page -
				  (unsigned long)ep->page) % sizeof(*page));
	}
	return false;
}

static int evl_check_free_range(struct evl_heap *evl, struct evl_page *r,
				struct evl_tally *tally)
{
	struct evl_page *last = r + r->pages - 1;

	if (evl_search_left_mergeable(r))
		return chaos_unclean(evl->heap,
				     "evl: free range %lx not merged with the one before",
				     evl_page_addr(evl, r));
	if (last != r &&
	    (last->type != EVL_FREE_END || last->pages != r->pages))
		return chaos_unclean(evl->heap,
				     "evl: free range %lx of %u pages ends in type %u, %u pages",
				     evl_page_addr(evl, r), r->pages,
				     last->type, last->pages);
	if (r->pages < EVL_NR_BINS)
		tally->binned++;
	else
		tally->treed++;
	if (r->pages >= EVL_LONG && evl_range_of(evl, r)->page != r)
		return chaos_unclean(evl->heap,
				     "evl: free range %lx of %u pages has no node",
				     evl_page_addr(evl, r), r->pages);
	return 0;
}

static int evl_check_block_page(struct evl_heap *evl, struct evl_page *page,
				struct evl_tally *tally)
{
	unsigned int i = page->type - EVL_MIN_LOG2;
	struct evl_bucket *bucket = &evl->bucket[i];

	if ((page->busy & bucket->empty) != bucket->empty)
		return chaos_unclean(evl->heap,
				     "evl: page %lx of %u byte blocks has busy bits %08x",
				     evl_page_addr(evl, page), 1U << page->type,
				     page->busy);
	if (page->busy == bucket->empty && page != evl->spare)
		return chaos_unclean(evl->heap,
				     "evl: empty page %lx of %u byte blocks",
				     evl_page_addr(evl, page),
				     1U << page->type);
	tally->block_pages[i]++;
	tally->blocks[i] += hweight32(page->busy & ~bucket->empty);
	return 0;
}

/* Whatever starts at @page; *@pages becomes its length. */
static int evl_check_start(struct evl_heap *evl, struct evl_page *page,
			   size_t left, struct evl_tally *tally, u32 *pages)
{
	*pages = 1;
	if (page->type >= EVL_MIN_LOG2 && page->type <= EVL_MAX_LOG2) {
		tally->used++;
		return evl_check_block_page(evl, page, tally);
	}
	if (page->type != EVL_FREE && page->type != EVL_RANGE &&
	    (page->type != EVL_KEPT || page != evl->kept))
		return chaos_unclean(evl->heap,
				     "evl: page %lx has type %u where something starts",
				     evl_page_addr(evl, page), page->type);
	*pages = page->pages;
	if (!*pages || *pages > left)
		return chaos_unclean(evl->heap,
				     "evl: range %lx of type %u has %u pages, %zu left",
				     evl_page_addr(evl, page), page->type,
				     *pages, left);
	if (page->type == EVL_FREE)
		return evl_check_free_range(evl, page, tally);
	tally->used += *pages;
	tally->range_pages += *pages;
	if (page->type == EVL_KEPT) {
		tally->kept = *pages;
		return 0;
	}
	if (!IS_ALIGNED(evl_page_addr(evl, page), 1UL << page->align))
		return chaos_unclean(evl->heap,
				     "evl: range %lx not aligned to %lu",
				     evl_page_addr(evl, page),
				     1UL << page->align);
	tally->ranges++;
	return 0;
}

static int evl_check_pool(struct evl_heap *evl, struct evl_pool *ep,
			  struct evl_tally *tally)
{
	struct evl_page *page = ep->page, *end = page + ep->nr_pages;
	size_t before = tally->used;
	u32 pages, n, inner;
	int err;

	if (page[-1].type != EVL_GUARD || end->type != EVL_GUARD)
		return chaos_unclean(evl->heap,
				     "evl: a guard of pool %lx is gone",
				     ep->start);
	for (n = 0; n < ep->nr_pages; n++) {
		if (page[n].slot != ep->slot)
			return chaos_unclean(evl->heap,
					     "evl: page %u of pool %lx has slot %u, not %u",
					     n, ep->start, page[n].slot,
					     ep->slot);
	}
	while (page < end) {
		err = evl_check_start(evl, page, end - page, tally, &pages);
		if (err)
			return err;
		inner = page->type == EVL_FREE ? pages - 1 : pages;
		for (n = 1; n < inner; n++) {
			if (page[n].type != EVL_NONE)
				return chaos_unclean(evl->heap,
					     "evl: page %lx inside of range %lx has type %u",
						     evl_page_addr(evl, page + n),
						     evl_page_addr(evl, page),
						     page[n].type);
		}
		page += pages;
	}
	if (tally->used - before != ep->used)
		return chaos_unclean(evl->heap,
				     "evl: pool %lx has %zu pages in use, %u counted",
				     ep->start, tally->used - before, ep->used);
	return 0;
}

/* As many as the maps say, in the order of the ring, and no others. */
static int evl_check_bucket(struct evl_heap *evl, unsigned int i,
			    const struct evl_tally *tally)
{
	struct evl_bucket *bucket = &evl->bucket[i];
	struct evl_page *page, *prev = &bucket->head;
	unsigned int log2 = i + EVL_MIN_LOG2;
	bool full = false;
	size_t nr = 0;

	for (page = prev->next; page != &bucket->head; page = page->next) {
		if (!evl_is_map_entry(evl, page) || page->prev != prev ||
		    page->type != log2 || nr++ == tally->block_pages[i])
			return chaos_unclean(evl->heap,
					     "evl: ring of %u byte blocks is broken after %zu pages",
					     1U << log2, nr);
		if (full && page->busy != EVL_ALL_BUSY)
			return chaos_unclean(evl->heap,
					     "evl: page %lx of %u byte blocks has room behind a full one",
					     evl_page_addr(evl, page),
					     1U << log2);
		full = page->busy == EVL_ALL_BUSY;
		prev = page;
	}
	if (nr != tally->block_pages[i] || bucket->head.prev != prev)
		return chaos_unclean(evl->heap,
				     "evl: ring of %u byte blocks has %zu pages of %zu",
				     1U << log2, nr, tally->block_pages[i]);
	if (bucket->head.busy != EVL_ALL_BUSY)
		return chaos_unclean(evl->heap,
				     "evl: bucket of %u byte blocks has room in its head",
				     1U << log2);
	if (evl_live(&bucket->use) != tally->blocks[i] || bucket->use.pages != nr)
		return chaos_unclean(evl->heap,
				     "evl: %zu blocks of %u bytes, %zu pages counted; %zu, %zu found",
				     evl_live(&bucket->use), 1U << log2,
				     bucket->use.pages, tally->blocks[i], nr);
	return 0;
}

/* The ranges of @pages, of which the first is @first; *@nr counts them. */
static int evl_check_bin(struct evl_heap *evl, u32 pages,
			 struct evl_page *first, bool mapped,
			 const struct evl_tally *tally, size_t *nr)
{
	struct evl_page *page, *prev = NULL;

	for (page = first; page; page = page->next) {
		if (!evl_is_map_entry(evl, page) || page->prev != prev ||
		    page->type != EVL_FREE || page->pages != pages ||
		    (*nr)++ == tally->binned)
			return chaos_unclean(evl->heap,
					     "evl: bin of %u pages is broken, %zu ranges of all bins seen",
					     pages, *nr);
		prev = page;
	}
	if (mapped != !!first)
		return chaos_unclean(evl->heap,
				     "evl: bin of %u pages has %sranges, its bit is %u",
				     pages, first ? "" : "no ", mapped);
	return 0;
}

/* The bits that stand for no bin are never set. */
static int evl_check_row(struct evl_heap *evl, unsigned int nr,
			 const struct evl_tally *tally, size_t *found)
{
	struct evl_row *row = evl->row[nr];
	unsigned int word, i;
	int err = 0;

	for (word = 0; word < ARRAY_SIZE(row->map); word++) {
		u64 map = row->map[word];

		if (!!map != !!(row->words & BIT_ULL(word)))
			return chaos_unclean(evl->heap,
					     "evl: row %u has words %llx, word %u is %llx",
					     nr, row->words, word, map);
		if (map && word * EVL_WORD_BITS >= row->nr)
			return chaos_unclean(evl->heap,
					     "evl: row %u has bits beyond bin %u",
					     nr, row->nr);
	}
	for (i = 0; !err && i < row->nr; i++)
		err = evl_check_bin(evl, nr * EVL_ROW_SIZE + i, row->bin[i],
				    row->map[i / EVL_WORD_BITS] &
				    BIT_ULL(i % EVL_WORD_BITS), tally, found);
	return err;
}

static int evl_check_bins(struct evl_heap *evl, const struct evl_tally *tally)
{
	size_t found = 0;
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < EVL_LONG; i++)
		err = evl_check_bin(evl, i, evl->short_bin[i],
				    evl->short_map & BIT_ULL(i), tally, &found);
	for (i = 0; !err && i < EVL_NR_ROWS; i++) {
		struct evl_row *row = evl->row[i];

		if ((row && row->words) != !!(evl->rows & BIT_ULL(i)))
			return chaos_unclean(evl->heap,
					     "evl: row %u is not as rows %llx have it",
					     i, evl->rows);
		if (row)
			err = evl_check_row(evl, i, tally, &found);
	}
	if (!err && found != tally->binned)
		return chaos_unclean(evl->heap,
				     "evl: the bins have %zu ranges of %zu",
				     found, tally->binned);
	return err;
}

static int evl_check_kept(struct evl_heap *evl, const struct evl_tally *tally)
{
	struct evl_page *spare = evl->spare;

	if (spare && evl->kept)
		return chaos_unclean(evl->heap,
				     "evl: a range and a page of blocks are kept");
	if (tally->kept != evl->kept_pages || !evl->kept != !tally->kept ||
	    tally->kept >= EVL_LONG)
		return chaos_unclean(evl->heap,
				     "evl: a range of %u pages is kept, %u counted",
				     tally->kept, evl->kept_pages);
	if (spare && (!evl_is_map_entry(evl, spare) ||
		      !evl_is_block_page(spare->type)))
		return chaos_unclean(evl->heap,
				     "evl: the spare page is no page of blocks");
	return 0;
}

static int evl_check_tree(struct evl_heap *evl, const struct evl_tally *tally)
{
	struct rb_node *node = rb_first(&evl->size_tree.rb_root);
	struct evl_page *page;
	size_t nr = 0;
	u32 least = EVL_NR_BINS;

	if (node != rb_first_cached(&evl->size_tree))
		return chaos_unclean(evl->heap,
				     "evl: the size tree's first node is not the leftmost");
	for (; node; node = rb_next(node)) {
		page = evl_range_page(node);
		if (!evl_is_map_entry(evl, page) ||
		    &evl_range_of(evl, page)->size_node != node ||
		    page->range != evl_range_of(evl, page) ||
		    page->type != EVL_FREE || page->pages < least ||
		    nr++ == tally->treed)
			return chaos_unclean(evl->heap,
					     "evl: the size tree is broken after %zu ranges of up to %u pages",
					     nr, least);
		least = page->pages;
	}
	if (nr != tally->treed)
		return chaos_unclean(evl->heap,
				     "evl: the size tree has %zu ranges of %zu",
				     nr, tally->treed);
	return 0;
}

static int evl_check_totals(struct evl_heap *evl, const struct evl_tally *tally)
{
	size_t held = atomic_long_read(&evl->heap->held);

	if (evl_live(&evl->ranges) != tally->ranges)
		return chaos_unclean(evl->heap,
				     "evl: %zu ranges counted, %zu found",
				     evl_live(&evl->ranges), tally->ranges);
	if (evl->block_pages != tally->used - tally->range_pages)
		return chaos_unclean(evl->heap,
				     "evl: %zu pages of blocks counted, %zu found",
				     evl->block_pages,
				     tally->used - tally->range_pages);
	if (evl->watch > evl->heap->peak_held ||
	    evl->watch >> EVL_PAGE_SHIFT >
	    evl->ranges.peak_pages + evl->block_pages)
		return chaos_unclean(evl->heap,
				     "evl: peaks above %zu bytes are not seen",
				     evl->watch);
	if (held != tally->used << EVL_PAGE_SHIFT)
		return chaos_unclean(evl->heap,
				     "evl: %zu bytes held, %zu found", held,
				     tally->used << EVL_PAGE_SHIFT);
	return 0;
}

static int evl_check_locked(struct evl_heap *evl)
{
	struct evl_tally tally = {};
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < evl->nr_slots; i++) {
		if (evl->pools[i])
			err = evl_check_pool(evl, evl->pools[i], &tally);
	}
	for (i = 0; !err && i < EVL_NR_BUCKETS; i++)
		err = evl_check_bucket(evl, i, &tally);
	return err ?: evl_check_bins(evl, &tally) ?:
		      evl_check_tree(evl, &tally) ?:
		      evl_check_kept(evl, &tally) ?:
		      evl_check_totals(evl, &tally);
}

static int evl_check(struct chaos_heap *heap)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	int err;

	evl_lock_task(evl, &flags);
	err = evl_check_locked(evl);
	evl_unlock(evl, flags);
	return err;
}

#if IS_ENABLED(CONFIG_KUNIT)
/* What is in line elsewhere. */
struct evl_page *evl_reserve_page_range(struct evl_heap *evl, u32 pages,
					size_t align)
{
	struct evl_page *first;

	if (align <= EVL_PAGE_SIZE)
		return evl_reserve_pages(evl, pages);
	first = evl_search_shortest(evl, pages);
	return evl_reserve_aligned(evl, first, pages, align) ?:
	       evl_reserve_other(evl, first, pages, align);
}
EXPORT_SYMBOL_IF_KUNIT(evl_reserve_page_range);

void evl_move_page_front(struct evl_page *head, struct evl_page *page)
{
	evl_move_to_front(head, page);
}
EXPORT_SYMBOL_IF_KUNIT(evl_move_page_front);

void evl_move_page_back(struct evl_page *head, struct evl_page *page)
{
	evl_move_to_back(head, page);
}
EXPORT_SYMBOL_IF_KUNIT(evl_move_page_back);

void evl_insert_range_bysize(struct evl_heap *evl, struct evl_page *r)
{
	evl_insert_length(evl, r);
}
EXPORT_SYMBOL_IF_KUNIT(evl_insert_range_bysize);

void evl_remove_range_bysize(struct evl_heap *evl, struct evl_page *r)
{
	evl_remove_length(evl, r);
}
EXPORT_SYMBOL_IF_KUNIT(evl_remove_range_bysize);

void evl_insert_range_byaddr(struct evl_page *r, u32 pages)
{
	evl_mark_free(r, pages);
}
EXPORT_SYMBOL_IF_KUNIT(evl_insert_range_byaddr);

/* The bytes that a request takes. */
size_t evl_round_size(size_t size)
{
	size_t ones = (size - 1) | (EVL_MIN_BLOCK - 1);

	if (ones < 1UL << EVL_MAX_LOG2)
		return 1UL << (__fls(ones) + 1);
	return evl_to_pages(size) << EVL_PAGE_SHIFT;
}
EXPORT_SYMBOL_IF_KUNIT(evl_round_size);
#endif

const struct chaos_engine chaos_evl_engine = {
	.name		= "evl",
	.natural	= true,
	.fast_max	= CHAOS_SIZE_MAX,
	.init		= evl_init,
	.quiesce	= evl_quiesce,
	.exit		= evl_exit,
	.add_pool	= evl_add_pool,
	.pool_used	= evl_pool_used,
	.release_pool	= evl_release_pool,
	.remove_pool	= evl_remove_pool,
	.pool_need	= evl_pool_need,
	.alloc		= evl_op_alloc,
	.alloc_bulk	= evl_alloc_bulk,
	.free		= evl_op_free,
	.free_bulk	= evl_free_bulk,
	.resize		= evl_resize,
	.query		= evl_query,
	.check		= evl_check,
	.walk		= evl_walk,
	.stats		= evl_stats,
	.class_stats	= evl_class_stats,
	.collect	= evl_collect,
};
