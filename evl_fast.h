/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The evl engine's fast paths: small blocks, and ranges of less than 32 KiB between
 * neighbours that are as short.  What they mean is told in evl_heap.c.  They are
 * in line, so that a call of the default heap has no more than one frame: half of
 * the instructions of such a call are prologues, the lock, and the look-up.
 */
#ifndef _CHAOS_EVL_FAST_H
#define _CHAOS_EVL_FAST_H

#include <linux/bitops.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "evl_heap.h"
#include "sanitize.h"

/* What is not done in line; evl_heap.c.  With the lock held, but for the last two. */
struct evl_page *evl_add_block_page(struct evl_heap *evl,
				    struct evl_bucket *bucket,
				    unsigned int log2);
void evl_page_emptied(struct evl_heap *evl, struct evl_page *page);
void evl_drop_spare(struct evl_heap *evl);
void *evl_alloc_range(struct evl_heap *evl, size_t size, size_t align);
void *evl_alloc_aligned(struct evl_heap *evl, size_t size, size_t align);
void evl_new_peak(struct evl_heap *evl, size_t held);
void evl_release_page_range(struct evl_heap *evl, struct evl_page *page,
			    u32 pages);
void evl_drain(struct evl_heap *evl);
enum chaos_verdict evl_not_a_block(const struct evl_pool *ep,
				   const struct evl_page *page);
void *evl_op_alloc(struct chaos_heap *heap, size_t size, size_t align);
enum chaos_verdict evl_free_unlocked(struct evl_heap *evl,
				     struct evl_pool *ep, void *p);

/* -- The page map -- */

static __always_inline struct evl_pool *evl_pool_of(struct evl_heap *evl,
						    const struct evl_page *page)
{
	return evl->pools[page->slot];
}

static __always_inline unsigned long
evl_pool_page_addr(const struct evl_pool *ep, const struct evl_page *page)
{
	return (unsigned long)page * EVL_PAGE_SCALE + ep->bias;
}

static __always_inline unsigned long evl_page_addr(struct evl_heap *evl,
						   const struct evl_page *page)
{
	return evl_pool_page_addr(evl_pool_of(evl, page), page);
}

/* Readers without the lock see one type or the other. */
static __always_inline void evl_set_type(struct evl_page *page, u8 type)
{
	WRITE_ONCE(page->type, type);
}

static __always_inline bool evl_is_block_page(u8 type)
{
	return (u8)(type - EVL_MIN_LOG2) < EVL_NR_BUCKETS;
}

/* -- Rings of pages: buckets -- */

static __always_inline void evl_init_ring(struct evl_page *head)
{
	head->prev = head;
	head->next = head;
}

static __always_inline void evl_link_page(struct evl_page *prev,
					  struct evl_page *page,
					  struct evl_page *next)
{
	page->prev = prev;
	page->next = next;
	prev->next = page;
	next->prev = page;
}

static __always_inline void evl_add_page_front(struct evl_page *head,
					       struct evl_page *page)
{
	evl_link_page(head, page, head->next);
}

static __always_inline void evl_add_page_back(struct evl_page *head,
					      struct evl_page *page)
{
	evl_link_page(head->prev, page, head);
}

static __always_inline void evl_remove_page(struct evl_page *page)
{
	page->prev->next = page->next;
	page->next->prev = page->prev;
}

static __always_inline void evl_move_to_front(struct evl_page *head,
					      struct evl_page *page)
{
	evl_remove_page(page);
	evl_add_page_front(head, page);
}

static __always_inline void evl_move_to_back(struct evl_page *head,
					     struct evl_page *page)
{
	evl_remove_page(page);
	evl_add_page_back(head, page);
}

/* -- Free ranges -- */

/* To the front of the bin: of @bin[0], @bin[1], ..., of which @map tells. */
static __always_inline void evl_add_to_bin(u64 *map, struct evl_page **bin,
					   unsigned int n, struct evl_page *r)
{
	struct evl_page *first = bin[n];

	r->prev = NULL;
	r->next = first;
	bin[n] = r;
	if (first)
		first->prev = r;
	else
		*map |= BIT_ULL(n);
}

/* Close the gap that a range between @prev and @next leaves there. */
static __always_inline void evl_close_gap(u64 *map, struct evl_page **bin,
					  unsigned int n, struct evl_page *prev,
					  struct evl_page *next)
{
	if (next)
		next->prev = prev;
	if (prev) {
		prev->next = next;
		return;
	}
	bin[n] = next;
	if (!next)
		*map &= ~BIT_ULL(n);
}

static __always_inline void evl_remove_from_bin(u64 *map, struct evl_page **bin,
						unsigned int n,
						struct evl_page *r)
{
	evl_close_gap(map, bin, n, r->prev, r->next);
}

/* The same for the first one. */
static __always_inline void evl_remove_first(u64 *map, struct evl_page **bin,
					     unsigned int n, struct evl_page *r)
{
	struct evl_page *next = r->next;

	bin[n] = next;
	if (next)
		next->prev = NULL;
	else
		*map &= ~BIT_ULL(n);
}

/* Bits @n and up. */
static __always_inline u64 evl_from_bit(u64 map, unsigned int n)
{
	return map & (~0ULL << n);
}

/*
 * Mark both ends: whoever frees the pages on either side finds the range.  This
 * stands for the address tree of the original.
 */
static __always_inline void evl_mark_free(struct evl_page *r, u32 pages)
{
	struct evl_page *last = r + pages - 1;

	last->pages = pages;
	evl_set_type(last, EVL_FREE_END);
	r->pages = pages;
	evl_set_type(r, EVL_FREE);
}

static __always_inline bool evl_ends_free(const struct evl_page *last)
{
	return last->type == EVL_FREE_END || last->type == EVL_FREE;
}

/* Free pages that a range from @page on would merge with. */
static __always_inline u32 evl_pages_before(const struct evl_page *page)
{
	return evl_ends_free(page - 1) ? page[-1].pages : 0;
}

static __always_inline u32 evl_pages_behind(const struct evl_page *end)
{
	return end->type == EVL_FREE ? end->pages : 0;
}

/* The same in line, for what becomes a short range and hence was made of these. */
static __always_inline void evl_release_short(struct evl_heap *evl,
					      struct evl_page *page, u32 pages)
{
	struct evl_page *end = page + pages;
	u32 before = evl_pages_before(page);
	u32 behind = evl_pages_behind(end);

	if (unlikely(before + pages + behind >= EVL_LONG)) {
		evl_release_page_range(evl, page, pages);
		return;
	}
	if (behind) {
		evl_remove_from_bin(&evl->short_map, evl->short_bin, behind,
				    end);
		evl_set_type(end, EVL_NONE);
		pages += behind;
	}
	if (before) {
		evl_set_type(page - 1, EVL_NONE);
		page -= before;
		evl_remove_from_bin(&evl->short_map, evl->short_bin, before,
				    page);
		pages += before;
	}
	evl_mark_free(page, pages);
	evl_add_to_bin(&evl->short_map, evl->short_bin, pages, page);
}

/* -- What is used -- */

/* The pages of allocated ranges, and of the one that is kept. */
static __always_inline size_t evl_range_pages(const struct evl_heap *evl)
{
	return (atomic_long_read(&evl->heap->held) >> EVL_PAGE_SHIFT) -
	       evl->block_pages;
}

/* By ranges, or fewer than before.  This is chaos_hold(), with one look for all peaks. */
static __always_inline void evl_use_pages(struct evl_heap *evl,
					  struct evl_pool *ep, long pages)
{
	struct chaos_heap *heap = evl->heap;
	size_t held = atomic_long_read(&heap->held) +
		((size_t)pages << EVL_PAGE_SHIFT);

	ep->used += pages;
	atomic_long_set(&heap->held, held);
	if (unlikely(held > evl->watch))
		evl_new_peak(evl, held);
	chaos_held_now(heap, held);
}

static __always_inline void evl_unuse_pages(struct evl_heap *evl,
					    struct evl_pool *ep, u32 pages)
{
	ep->used -= pages;
	chaos_unhold(evl->heap, (size_t)pages << EVL_PAGE_SHIFT);
}

/* -- Pages of blocks -- */

static __always_inline void *evl_alloc_block(struct evl_heap *evl,
					     unsigned int log2)
{
	struct evl_bucket *bucket = evl_bucket_of(evl, log2);
	struct evl_page *page = bucket->head.next;
	unsigned int bit;
	u32 busy;

	if (unlikely(page->busy == EVL_ALL_BUSY)) {
		page = evl_add_block_page(evl, bucket, log2);
		if (unlikely(!page))
			return NULL;
	}
	busy = page->busy;
	bit = __ffs(~busy & EVL_ALL_BUSY);
	busy |= 1U << bit;
	WRITE_ONCE(page->busy, busy);
	if (unlikely(busy == EVL_ALL_BUSY))
		evl_move_to_back(&bucket->head, page);
	bucket->use.allocs++;
	return (void *)(evl_page_addr(evl, page) + (bit << log2));
}

static __always_inline enum chaos_verdict
evl_free_block(struct evl_heap *evl, struct evl_page *page, unsigned int log2,
	       unsigned long offset, void *p)
{
	struct evl_bucket *bucket = evl_bucket_of(evl, log2);
	u32 bit = 1U << ((offset & (EVL_PAGE_SIZE - 1)) >> log2);
	u32 busy = page->busy;

	if (unlikely(offset & ((1UL << log2) - 1)))
		return CHAOS_INTERIOR;
	if (unlikely(!(busy & bit)))
		return CHAOS_FREED;

	chaos_san_free(evl->heap, p, 1UL << log2);
	WRITE_ONCE(page->busy, busy & ~bit);
	bucket->use.frees++;
	if (unlikely(busy == EVL_ALL_BUSY))
		evl_move_to_front(&bucket->head, page);
	else if (unlikely((busy & ~bit) == bucket->empty) && page != evl->spare)
		evl_page_emptied(evl, page);
	return CHAOS_OK;
}

/* -- Blocks of whole pages -- */

/* The range that was freed last is merged with its neighbours after all. */
static __always_inline void evl_merge_kept(struct evl_heap *evl,
					   struct evl_page *kept)
{
	u32 pages = kept->pages;

	evl_set_type(kept, EVL_NONE);
	evl_unuse_pages(evl, evl_pool_of(evl, kept), pages);
	evl_release_short(evl, kept, pages);
}

/* The low bits of an address that an allocated range may not have. */
static __always_inline size_t evl_range_mask(size_t size, size_t align)
{
	size_t natural = is_power_of_2(size) ? (size - 1) & (PAGE_SIZE - 1) : 0;

	return natural | (align - 1);
}

static __always_inline void *evl_open_range(struct evl_heap *evl,
					    struct evl_page *page, u32 pages,
					    size_t align, unsigned long addr)
{
	page->pages = pages;
	page->align = __fls(align);
	evl_set_type(page, EVL_RANGE);
	evl->ranges.allocs++;
	return (void *)addr;
}

/* A range that is cut from a long one, or hard to find.  @mask: see above. */
static __always_inline void *evl_alloc_pages(struct evl_heap *evl, size_t size,
					     size_t align, size_t mask)
{
	return mask < EVL_PAGE_SIZE ? evl_alloc_range(evl, size, align) :
				      evl_alloc_aligned(evl, size, align);
}

/*
 * A short range: the one that was freed last, or the high part of the shortest
 * short one that is long enough, if the alignment happens to be right.
 */
static __always_inline void *evl_alloc_short(struct evl_heap *evl, size_t size,
					     size_t align)
{
	u32 pages = (size + EVL_PAGE_SIZE - 1) >> EVL_PAGE_SHIFT, length;
	size_t mask = evl_range_mask(size, align);
	struct evl_page *page, *r;
	struct evl_pool *ep;
	unsigned long addr;
	u64 map;

	if (pages == evl->kept_pages) {
		page = evl->kept;
		addr = evl_page_addr(evl, page);
		if (likely(!(addr & mask))) {
			evl->kept = NULL;
			evl->kept_pages = 0;
			return evl_open_range(evl, page, pages, align, addr);
		}
	}

	if (align > EVL_PAGE_SIZE)
		return evl_alloc_aligned(evl, size, align);
	map = evl_from_bit(evl->short_map, pages);
	if (unlikely(!map))
		return evl_alloc_pages(evl, size, align, mask);
	length = __ffs64(map);
	r = evl->short_bin[length];
	page = r + (length - pages);
	ep = evl_pool_of(evl, page);
	addr = evl_pool_page_addr(ep, page);
	if (unlikely(addr & mask))
		return evl_alloc_aligned(evl, size, align);

	evl_remove_first(&evl->short_map, evl->short_bin, length, r);
	evl_set_type(r + length - 1, EVL_NONE);
	length -= pages;
	if (length) {
		evl_mark_free(r, length);
		evl_add_to_bin(&evl->short_map, evl->short_bin, length, r);
	}
	evl_use_pages(evl, ep, pages);
	return evl_open_range(evl, page, pages, align, addr);
}

/*
 * A short range is not merged before the next one is freed, or a page of blocks is
 * empty: the next allocation may well be one of its length.
 */
static __always_inline void evl_free_range(struct evl_heap *evl,
					   struct evl_page *page, void *p)
{
	struct evl_page *kept = evl->kept;
	u32 pages = page->pages;

	chaos_san_free(evl->heap, p, (size_t)pages << EVL_PAGE_SHIFT);
	evl->ranges.frees++;
	if (unlikely(pages >= EVL_LONG)) {
		evl_set_type(page, EVL_NONE);
		evl_unuse_pages(evl, evl_pool_of(evl, page), pages);
		evl_release_page_range(evl, page, pages);
		return;
	}
	evl_set_type(page, EVL_KEPT);
	evl->kept = page;
	evl->kept_pages = pages;
	if (kept)
		evl_merge_kept(evl, kept);
	else if (unlikely(evl->spare))
		evl_drop_spare(evl);
}

/* -- The engine's operations -- */

static __always_inline enum chaos_verdict
evl_free_locked(struct evl_heap *evl, struct evl_pool *ep, void *p)
{
	unsigned long offset = (unsigned long)p - ep->start;
	struct evl_page *page = &ep->page[offset >> EVL_PAGE_SHIFT];
	u8 type = page->type;

	if (likely(evl_is_block_page(type)))
		return evl_free_block(evl, page, type, offset, p);
	if (unlikely(type != EVL_RANGE || (offset & (EVL_PAGE_SIZE - 1))))
		return evl_not_a_block(ep, page);
	evl_free_range(evl, page, p);
	return CHAOS_OK;
}

/* False only in NMI. */
static __always_inline bool evl_lock(struct evl_heap *evl, unsigned long *flags)
{
	if (unlikely(!chaos_lock(&evl->lock, flags)))
		return false;
	if (unlikely(!llist_empty(&evl->lock.deferred)))
		evl_drain(evl);
	return true;
}

static __always_inline void evl_unlock(struct evl_heap *evl,
				       unsigned long flags)
{
	chaos_unlock(&evl->lock, flags);
}

static __always_inline void *evl_alloc_locked(struct evl_heap *evl, size_t size,
					      size_t align)
{
	/* All ones below the power of two that size and alignment fit into. */
	size_t ones = (size - 1) | (align - 1) | (EVL_MIN_BLOCK - 1);

	if (ones < 1UL << EVL_MAX_LOG2)
		return evl_alloc_block(evl, __fls(ones) + 1);
	if (likely(size <= (EVL_LONG - 1) << EVL_PAGE_SHIFT))
		return evl_alloc_short(evl, size, align);
	return evl_alloc_pages(evl, size, align, evl_range_mask(size, align));
}

/* FAST PATH: chaos_engine.alloc. */
static __always_inline void *evl_alloc(struct chaos_heap *heap, size_t size,
				       size_t align)
{
	struct evl_heap *evl = heap->priv;
	unsigned long flags;
	void *p;

	if (unlikely(!evl_lock(evl, &flags)))
		return NULL;
	p = evl_alloc_locked(evl, size, align);
	evl_unlock(evl, flags);
	return p;
}

/* FAST PATH: chaos_engine.free. */
static __always_inline enum chaos_verdict
evl_free(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	struct evl_heap *evl = heap->priv;
	enum chaos_verdict verdict;
	unsigned long flags;

	if (unlikely(!evl_lock(evl, &flags)))
		return evl_free_unlocked(evl, pool->priv, p);
	verdict = evl_free_locked(evl, pool->priv, p);
	evl_unlock(evl, flags);
	return verdict;
}

#endif /* _CHAOS_EVL_FAST_H */
