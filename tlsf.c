// SPDX-License-Identifier: GPL-2.0
/*
 * The TLSF engine: two-level segregated fit.
 *
 * After M. Masmano, I. Ripoll, A. Crespo, J. Real: "TLSF: a new dynamic memory
 * allocator for real-time systems", ECRTS 2004.  Free blocks are kept on
 * lists by size: a first level of powers of two, each cut into equal parts by a
 * second level.  A bitmap per level says which lists have blocks, so that
 * the first list that is sure to serve a request is found with two
 * find-first-set instructions.  A block that is freed merges with its free
 * neighbours at once.  No step depends on the number or the sizes of blocks.
 *
 * Layout.  Blocks lie end to end in a pool.  A block is a word of size and flags
 * and its payload; while it is free, its payload holds the list's link, and
 * its end a pointer back to it, which the block behind needs to merge with it.
 *
 *	head | payload ...         | head | link | ...      | prev | head | ...
 *	       ^ what callers get           ^ free block      `--> of the free one
 *
 * Trust.  Callers write past their blocks and into blocks that they have freed,
 * so nothing that is read from a pool decides alone:
 *
 * - Which addresses are live blocks is known from a bitmap apart from the pool
 *   (tlsf_pool.live): no other pointer is ever accepted.
 * - Before anything is changed, the heads of the blocks involved are compared
 *   with their surroundings, and links with what they point at, which
 *   is first known to be memory of the heap.  A block whose neighbourhood was
 *   overwritten is refused and thereby leaked; a list whose first block was
 *   overwritten is dropped; both are reported.
 *
 * Locking.  One struct chaos_lock per heap covers the control, all blocks and
 * bitmaps.  Only tlsf_op_query() and tlsf_free_later() read without it:
 * the live bit and the size of a block that the caller owns cannot change, and
 * for any other pointer the answer is as good as the caller's synchronisation.
 *
 * The functions up to tlsf_check() work on any memory, for callers that
 * serialise (and tests); the functions named tlsf_op_*() put a heap
 * around them.
 */
#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "engine.h"
#include "lock.h"
#include "sanitize.h"
#include "tlsf.h"

/*
 * How far a wrong pointer is traced back to the block that it lies in.  Only
 * the wording of a report depends on it.
 */
#define TLSF_BLAME_WORDS	1024

/* Damaged lists that one request gets past. */
#define TLSF_RETRIES		2

/*
 * The list heads
 */

static __always_inline void tlsf_mark_list(struct tlsf *t, unsigned int index)
{
	unsigned int fl = index / TLSF_SL_COUNT;

	t->sl_bitmap[fl] |= 1U << (index % TLSF_SL_COUNT);
	t->fl_bitmap |= 1UL << fl;
}

static __always_inline void tlsf_unmark_list(struct tlsf *t, unsigned int index)
{
	unsigned int fl = index / TLSF_SL_COUNT;

	t->sl_bitmap[fl] &= ~(1U << (index % TLSF_SL_COUNT));
	if (!t->sl_bitmap[fl])
		t->fl_bitmap &= ~(1UL << fl);
}

/*
 * Whether @link is a list head, not the middle of one: there, a damaged link may
 * find what it looks for.  Then (@link - @t->list) is its index.
 */
static __always_inline bool tlsf_is_list(const struct tlsf *t,
					 const struct list_head *link)
{
	unsigned long offset = (unsigned long)link - (unsigned long)t->list;

	return offset < sizeof(t->list) && IS_ALIGNED(offset, sizeof(*link));
}

static __always_inline void tlsf_insert_at(struct tlsf *t,
					   struct tlsf_block *block,
					   unsigned int index)
{
	struct list_head *list = &t->list[index];
	struct list_head *next = list->next;

	block->link.next = next;
	block->link.prev = list;
	next->prev = &block->link;
	list->next = &block->link;
	if (next == list)
		tlsf_mark_list(t, index);
}

static __always_inline void tlsf_insert(struct tlsf *t,
					struct tlsf_block *block, size_t size)
{
	tlsf_insert_at(t, block, tlsf_mapping_insert(size));
}

static __always_inline void tlsf_unlink_first(struct tlsf *t,
					      unsigned int index)
{
	struct list_head *list = &t->list[index];
	struct list_head *next = list->next->next;

	next->prev = list;
	list->next = next;
	if (next == list)
		tlsf_unmark_list(t, index);
}

/* Put @block, of a size that belongs there, in the place of a list's first. */
static __always_inline void tlsf_replace_first(struct tlsf *t,
					       unsigned int index,
					       struct tlsf_block *block)
{
	struct list_head *list = &t->list[index];
	struct list_head *next = list->next->next;

	block->link.next = next;
	block->link.prev = list;
	next->prev = &block->link;
	list->next = &block->link;
}

static __always_inline void tlsf_unlink(struct tlsf *t, struct tlsf_block *block)
{
	struct list_head *next = block->link.next;
	struct list_head *prev = block->link.prev;

	next->prev = prev;
	prev->next = next;
	if (next == prev)
		tlsf_unmark_list(t, next - t->list);
}

/*
 * Which pool an address is in, and whether it is what it seems to be
 */

/* Whether a block could be at @p in @pool. */
static __always_inline bool tlsf_is_inside(const struct tlsf_pool *pool,
					   const void *p)
{
	return (unsigned long)p - pool->first <= pool->span;
}

/*
 * The pools of a heap are on the map, for a while even those that have been
 * released; only a core by itself has others.
 */
static noinline struct tlsf_pool *tlsf_search_pool(struct tlsf *t,
						   const void *p)
{
	struct chaos_pool *mapped = chaos_pool_of(p);
	struct tlsf_pool *pool;

	if (mapped && mapped->heap == t->heap) {
		pool = mapped->priv;
		return tlsf_is_inside(pool, p) && !list_empty(&pool->node) ?
			pool : NULL;
	}
	list_for_each_entry(pool, &t->pools, node) {
		if (tlsf_is_inside(pool, p))
			return pool;
	}
	return NULL;
}

/* The pool of the block at @p; NULL: no block can be there. */
static struct tlsf_pool *tlsf_pool_at(struct tlsf *t, const void *p)
{
	struct tlsf_pool *pool = t->recent;

	if (!tlsf_is_inside(pool, p)) {
		pool = tlsf_search_pool(t, p);
		if (pool)
			t->recent = pool;
	}
	return pool;
}

/* Number of the bit in @pool->live for @p; out of range if misaligned. */
static __always_inline unsigned long tlsf_position(const struct tlsf_pool *pool,
						   const void *p)
{
	unsigned long offset = (unsigned long)p - pool->first;

	return offset >> TLSF_ALIGN_SHIFT |
	       offset << (BITS_PER_LONG - TLSF_ALIGN_SHIFT);
}

static __always_inline bool tlsf_is_live(const struct tlsf_pool *pool,
					 const void *p)
{
	unsigned long at = tlsf_position(pool, p);

	return at <= pool->span / TLSF_ALIGN &&
	       READ_ONCE(pool->live[BIT_WORD(at)]) & BIT_MASK(at);
}

/* For a @p that is the start of a block. */
static __always_inline unsigned long *tlsf_live_word(struct tlsf_pool *pool,
						     const void *p,
						     unsigned long *mask)
{
	unsigned long at = tlsf_position(pool, p);

	*mask = BIT_MASK(at);
	return &pool->live[BIT_WORD(at)];
}

/* Whether a block of @size fits between @block and the sentinel. */
static __always_inline bool tlsf_size_possible(const struct tlsf_pool *pool,
					       const struct tlsf_block *block,
					       size_t size)
{
	size_t offset = (unsigned long)&block->link - pool->first;

	return size - TLSF_MIN_SIZE <= pool->span - offset;
}

/*
 * Whether a free block's head and the block behind it tell the same story.  A
 * flag too many or too few makes the size one that is not followed by this
 * block's address.  (Garbage may be misaligned, but is inside of the pool.)
 */
static __always_inline bool tlsf_free_intact(const struct tlsf_pool *pool,
					     const struct tlsf_block *block)
{
	size_t size = block->head - TLSF_FREE;

	return likely(tlsf_size_possible(pool, block, size)) &&
	       likely(tlsf_next_at(block, size)->prev_phys == block);
}

/* Whether a link may be followed. */
static __always_inline bool tlsf_link_valid(struct tlsf *t,
					    const struct tlsf_pool *pool,
					    const struct list_head *link)
{
	if (likely(tlsf_is_inside(pool, link)))
		return true;
	return tlsf_is_list(t, link) || tlsf_search_pool(t, link);
}

static __always_inline bool tlsf_links_intact(struct tlsf *t,
					      const struct tlsf_pool *pool,
					      const struct tlsf_block *block)
{
	const struct list_head *next = block->link.next;
	const struct list_head *prev = block->link.prev;

	return likely(tlsf_link_valid(t, pool, next)) &&
	       likely(tlsf_link_valid(t, pool, prev)) &&
	       likely(next->prev == &block->link && prev->next == &block->link);
}

/*
 * Whether what lies behind a live block of @size is a block, and agrees that
 * the one before is not free.
 */
static __always_inline bool tlsf_next_intact(struct tlsf *t,
					     struct tlsf_pool *pool,
					     const struct tlsf_block *block,
					     size_t size)
{
	const struct tlsf_block *next;
	unsigned long mask;

	if (unlikely(!tlsf_size_possible(pool, block, size)))
		return false;
	next = tlsf_next_at(block, size);
	if (next->head & TLSF_FREE)
		return tlsf_free_intact(pool, next) &&
		       tlsf_links_intact(t, pool, next);
	return likely(!(next->head & TLSF_PREV_FREE)) &&
	       likely(*tlsf_live_word(pool, &next->link, &mask) & mask);
}

/* Whether what lies before a block with TLSF_PREV_FREE is a free block. */
static __always_inline bool tlsf_prev_intact(struct tlsf *t,
					     const struct tlsf_pool *pool,
					     const struct tlsf_block *block)
{
	const struct tlsf_block *prev = block->prev_phys;
	void *p = (void *)prev + offsetof(struct tlsf_block, link);

	return likely(tlsf_is_inside(pool, p)) &&
	       likely(prev->head == (void *)&block->head - p + TLSF_FREE) &&
	       tlsf_links_intact(t, pool, prev);
}

/*
 * Allocation
 */

/*
 * A list whose first block has at least @size bytes; TLSF_LISTS if there is
 * none.  Where rounding up passes over the list that a block of just this
 * size is on, that list's first block is tried: else a freed block would
 * not serve the request that it was cut for.
 */
static __always_inline unsigned int tlsf_find(const struct tlsf *t, size_t size)
{
	unsigned int index = tlsf_mapping_search(size);
	unsigned int exact = tlsf_mapping_insert(size);
	unsigned int fl = index / TLSF_SL_COUNT;
	unsigned long fls;
	u32 sls;

	if (exact != index) {
		const struct list_head *list = &t->list[exact];
		const struct list_head *first = list->next;

		if (first != list && tlsf_size(tlsf_block_of(first)) >= size)
			return exact;
	}
	sls = t->sl_bitmap[fl] >> (index % TLSF_SL_COUNT);
	if (sls)
		return index + __ffs(sls);
	fls = t->fl_bitmap & (~1UL << fl);
	if (unlikely(!fls))
		return TLSF_LISTS;
	fl = __ffs(fls);
	return fl * TLSF_SL_COUNT + __ffs(t->sl_bitmap[fl]);
}

/*
 * Mark the first block, which lies in @pool, of a list that tlsf_find() chose
 * for @size as live.  It is still on the list, its head still says free, and
 * what is too much is still in it.  NULL: it is not what the list says, or
 * @near and the list goes on in another pool.
 */
static __always_inline struct tlsf_block *
tlsf_claim(struct tlsf *t, unsigned int index, size_t size,
	   struct tlsf_pool *pool, bool near)
{
	struct list_head *list = &t->list[index];
	struct tlsf_block *block = tlsf_block_of(list->next);
	struct list_head *next = block->link.next;
	unsigned long *live, mask;

	if (unlikely(block->link.prev != list))
		return NULL;
	if (next != list && unlikely(!tlsf_is_inside(pool, next)) &&
	    (near || !tlsf_link_valid(t, pool, next)))
		return NULL;
	if (unlikely(next->prev != &block->link))
		return NULL;
	if (unlikely(!tlsf_free_intact(pool, block) || block->head < size))
		return NULL;
	live = tlsf_live_word(pool, &block->link, &mask);
	if (unlikely(*live & mask))
		return NULL;

	WRITE_ONCE(*live, *live | mask);
	return block;
}

/*
 * Make a live block, whose payload reaches up to @end, one of @size, and give
 * the rest back.  @end knows the block before it as free.
 */
static __always_inline void tlsf_trim(struct tlsf *t, struct tlsf_block *block,
				      u64 head, struct tlsf_block *end,
				      size_t size)
{
	struct tlsf_block *rest = tlsf_split(block, head, size);

	if (likely(rest)) {
		size = (head & TLSF_SIZE) - size - TLSF_HEADER;
		rest->head = size | TLSF_FREE;
		end->prev_phys = rest;
		tlsf_insert(t, rest, size);
	} else {
		block->head = head;
		end->head &= ~TLSF_PREV_FREE;
	}
}

/*
 * A block of @size, which has been rounded, or NULL if there is none or anything
 * about it is unusual.
 */
static __always_inline struct tlsf_block *tlsf_take(struct tlsf *t, size_t size)
{
	unsigned int index = tlsf_find(t, size);
	struct tlsf_pool *pool = t->recent;
	struct tlsf_block *block, *rest;
	unsigned int rest_index;
	size_t whole;

	if (unlikely(index >= TLSF_LISTS))
		return NULL;
	if (unlikely(!tlsf_is_inside(pool, t->list[index].next)))
		return NULL;
	block = tlsf_claim(t, index, size, pool, true);
	if (unlikely(!block))
		return NULL;

	whole = block->head - TLSF_FREE;
	rest = tlsf_split(block, whole, size);
	if (unlikely(!rest)) {
		tlsf_unlink_first(t, index);
		block->head = whole;
		tlsf_next_at(block, whole)->head &= ~TLSF_PREV_FREE;
		return block;
	}
	tlsf_next_at(block, whole)->prev_phys = rest;
	whole -= size + TLSF_HEADER;
	rest->head = whole | TLSF_FREE;
	rest_index = tlsf_mapping_insert(whole);
	if (rest_index == index) {
		tlsf_replace_first(t, index, rest);
	} else {
		tlsf_unlink_first(t, index);
		tlsf_insert_at(t, rest, rest_index);
	}
	return block;
}

/* The first block of a list was overwritten: its links lead nowhere. */
static void tlsf_drop_list(struct tlsf *t, unsigned int index)
{
	struct list_head *list = &t->list[index];
	const void *p = list->next;

	INIT_LIST_HEAD(list);
	tlsf_unmark_list(t, index);
	chaos_report(t->heap, p, CHAOS_CORRUPT, _RET_IP_);
}

/*
 * Bytes in which a block of @size aligned to @align is found anywhere: what
 * is left before it must be nothing or a block.
 */
static size_t tlsf_aligned_need(size_t size, size_t align)
{
	return size + align - TLSF_ALIGN + TLSF_MIN_SPLIT;
}

/*
 * Move the start of a live block whose head is @head up to where it is aligned
 * to @align, and give back what is before it.
 */
static struct tlsf_block *tlsf_align(struct tlsf *t, struct tlsf_pool *pool,
				     struct tlsf_block *block, size_t align,
				     u64 *head)
{
	unsigned long p = (unsigned long)&block->link;
	unsigned long gap = ALIGN(p, align) - p;
	struct tlsf_block *front = block;
	unsigned long *live, mask;

	if (gap && gap < TLSF_MIN_SPLIT)
		gap = ALIGN(p + TLSF_MIN_SPLIT, align) - p;
	if (gap) {
		block = tlsf_split(front, *head, gap - TLSF_HEADER);
		front->head |= TLSF_FREE;
		block->prev_phys = front;
		tlsf_insert(t, front, gap - TLSF_HEADER);
		*head = block->head | TLSF_PREV_FREE;

		live = tlsf_live_word(pool, &front->link, &mask);
		WRITE_ONCE(*live, *live & ~mask);
		live = tlsf_live_word(pool, &block->link, &mask);
		WRITE_ONCE(*live, *live | mask);
	}
	*head |= (u64)__ffs(align / TLSF_ALIGN) << TLSF_PROMISE_SHIFT;
	return block;
}

/*
 * A block of @size, which has been rounded, aligned to @align, from whatever
 * pool, past whatever damage.
 */
static noinline struct tlsf_block *tlsf_take_any(struct tlsf *t, size_t size,
						 size_t align)
{
	size_t need = align > TLSF_ALIGN ? tlsf_aligned_need(size, align) : size;
	unsigned int retries = TLSF_RETRIES;
	struct tlsf_block *block, *end;
	struct tlsf_pool *pool;
	unsigned int index;
	u64 head;

	for (;;) {
		index = tlsf_find(t, need);
		if (index >= TLSF_LISTS)
			return NULL;
		pool = tlsf_pool_at(t, t->list[index].next);
		block = pool ? tlsf_claim(t, index, need, pool, false) : NULL;
		if (likely(block))
			break;
		tlsf_drop_list(t, index);
		if (!retries--)
			return NULL;
	}
	tlsf_unlink_first(t, index);
	head = block->head - TLSF_FREE;
	end = tlsf_next_at(block, head);
	if (align > TLSF_ALIGN)
		block = tlsf_align(t, pool, block, align, &head);
	tlsf_trim(t, block, head, end, size);
	return block;
}

/* Count a block that has just been taken, from tlsf.recent: what it costs. */
static __always_inline size_t tlsf_count(struct tlsf *t,
					 const struct tlsf_block *block)
{
	size_t cost = TLSF_HEADER + tlsf_size(block);

	t->allocs++;
	t->recent->used += cost;
	return cost;
}

/*
 * Release
 */

/* Take back what is at @p; @size is then what it had. */
static __always_inline enum chaos_verdict
tlsf_release(struct tlsf *t, struct tlsf_pool *pool, void *p, size_t *size)
{
	struct tlsf_block *block = tlsf_block_of(p);
	struct tlsf_block *next, *end;
	unsigned long *live, mask;
	size_t whole;
	u64 head;

	if (unlikely(!tlsf_is_live(pool, p)))
		return CHAOS_FREED;
	head = block->head;
	whole = head & TLSF_SIZE;
	if (unlikely(head & TLSF_FREE ||
		     !tlsf_next_intact(t, pool, block, whole)))
		return CHAOS_CORRUPT;
	if (head & TLSF_PREV_FREE &&
	    unlikely(!tlsf_prev_intact(t, pool, block)))
		return CHAOS_CORRUPT;

	*size = whole;
	live = tlsf_live_word(pool, p, &mask);
	WRITE_ONCE(*live, *live & ~mask);
	t->frees++;
	pool->used -= TLSF_HEADER + whole;
	block->head = whole | TLSF_FREE;
	next = tlsf_next_at(block, whole);
	end = next;
	if (next->head & TLSF_FREE) {
		end = tlsf_next(next);
		tlsf_unlink(t, next);
		tlsf_absorb(block, tlsf_size(next));
	}
	if (head & TLSF_PREV_FREE) {
		struct tlsf_block *prev = block->prev_phys;

		tlsf_unlink(t, prev);
		tlsf_absorb(prev, tlsf_size(block));
		block = prev;
	}
	end->prev_phys = block;
	end->head |= TLSF_PREV_FREE;
	tlsf_insert(t, block, tlsf_size(block));
	return CHAOS_OK;
}

/* What is wrong with a pointer that is not that of a live block. */
static noinline enum chaos_verdict tlsf_blame(const struct tlsf_pool *pool,
					      const void *p)
{
	unsigned long at = tlsf_position(pool, p);
	unsigned long word, stop, bits;
	const struct tlsf_block *block;

	if (at > pool->span / TLSF_ALIGN)
		return CHAOS_INTERIOR;
	word = BIT_WORD(at);
	stop = word > TLSF_BLAME_WORDS ? word - TLSF_BLAME_WORDS : 0;
	bits = READ_ONCE(pool->live[word]) & (BIT_MASK(at) - 1);
	while (!bits && word > stop)
		bits = READ_ONCE(pool->live[--word]);
	if (!bits)
		return CHAOS_FREED;
	at = word * BITS_PER_LONG + __fls(bits);
	block = tlsf_block_of((void *)(pool->first + at * TLSF_ALIGN));
	return (unsigned long)p < (unsigned long)&tlsf_next(block)->link ?
	       CHAOS_INTERIOR : CHAOS_FREED;
}

/*
 * Give the block at @p @size bytes, which have been rounded, where it is.
 * @from is then what it had, @to what it has.
 */
static bool tlsf_resize_locked(struct tlsf *t, struct tlsf_pool *pool, void *p,
			       size_t size, size_t *from, size_t *to)
{
	struct tlsf_block *block = tlsf_block_of(p);
	struct tlsf_block *next, *end;
	size_t had, possible;

	if (unlikely(!tlsf_is_live(pool, p)))
		return false;
	had = tlsf_size(block);
	if (unlikely(block->head & TLSF_FREE ||
		     !tlsf_next_intact(t, pool, block, had)))
		return false;

	next = tlsf_next_at(block, had);
	end = next;
	possible = had;
	if (next->head & TLSF_FREE) {
		possible += TLSF_HEADER + tlsf_size(next);
		end = tlsf_next(next);
	}
	if (possible < size)
		return false;
	if (size != had) {
		if (end != next) {
			tlsf_unlink(t, next);
			tlsf_absorb(block, tlsf_size(next));
		}
		end->head |= TLSF_PREV_FREE;
		tlsf_trim(t, block, block->head, end, size);
	}
	*from = had;
	*to = tlsf_size(block);
	pool->used += *to - had;
	return true;
}

/*
 * Pools
 */

/* Stands for a pool where there is none: no address is in it. */
static struct tlsf_pool tlsf_no_pool = { .first = ULONG_MAX };

VISIBLE_IF_KUNIT void tlsf_init(struct tlsf *t, struct chaos_heap *heap)
{
	unsigned int i;

	t->recent = &tlsf_no_pool;
	t->allocs = 0;
	t->frees = 0;
	t->fl_bitmap = 0;
	memset(t->sl_bitmap, 0, sizeof(t->sl_bitmap));
	for (i = 0; i < TLSF_LISTS; i++)
		INIT_LIST_HEAD(&t->list[i]);
	INIT_LIST_HEAD(&t->pools);
	t->heap = heap;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_init);

/* Bytes of struct tlsf_pool for a pool of @size bytes. */
VISIBLE_IF_KUNIT size_t tlsf_pool_meta(size_t size)
{
	struct tlsf_pool *pool;

	return struct_size(pool, live, BITS_TO_LONGS(size / TLSF_ALIGN));
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_pool_meta);

/*
 * Take @mem into use.  @pool has tlsf_pool_meta(@size) bytes of zeroes.  The
 * first block's prev_phys would lie before @mem, but is never there.
 */
VISIBLE_IF_KUNIT int tlsf_add_pool(struct tlsf *t, struct tlsf_pool *pool,
				   void *mem, size_t size)
{
	struct tlsf_block *block = mem - offsetof(struct tlsf_block, head);
	struct tlsf_block *sentinel;
	unsigned long *live, mask;

	size = ALIGN_DOWN(size, TLSF_ALIGN);
	if (!IS_ALIGNED((unsigned long)mem, TLSF_ALIGN) ||
	    size < TLSF_MIN_SPLIT + TLSF_HEADER)
		return -EINVAL;
	if (size >= TLSF_BLOCK_LIMIT)
		return -EFBIG;

	pool->first = (unsigned long)&block->link;
	pool->span = size - TLSF_HEADER - TLSF_MIN_SPLIT;
	list_add_tail(&pool->node, &t->pools);

	size -= 2 * TLSF_HEADER;
	block->head = size | TLSF_FREE;
	sentinel = tlsf_next(block);
	sentinel->prev_phys = block;
	sentinel->head = TLSF_PREV_FREE;
	live = tlsf_live_word(pool, &sentinel->link, &mask);
	*live |= mask;
	tlsf_insert(t, block, size);
	return 0;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_add_pool);

/*
 * Take @pool out of use if none of its blocks is live: then a single free block
 * spans it, and when that is off its list, nothing leads to the pool any more.
 * False as well if that block was overwritten: others may have links into it.
 */
VISIBLE_IF_KUNIT bool tlsf_release_pool(struct tlsf *t, struct tlsf_pool *pool)
{
	struct tlsf_block *block = tlsf_block_of((void *)pool->first);

	if (pool->used || list_empty(&pool->node))
		return false;
	if (block->head != ((pool->span + TLSF_MIN_SIZE) | TLSF_FREE) ||
	    !tlsf_free_intact(pool, block) ||
	    !tlsf_links_intact(t, pool, block))
		return false;
	tlsf_unlink(t, block);
	list_del_init(&pool->node);
	if (t->recent == pool)
		t->recent = &tlsf_no_pool;
	return true;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_release_pool);

/*
 * Integrity
 */

struct tlsf_census {
	size_t free_blocks;
	size_t live_blocks;
	size_t held;
};

static int tlsf_check_free(struct tlsf *t, struct tlsf_pool *pool,
			   struct tlsf_block *block)
{
	unsigned int index = tlsf_mapping_insert(tlsf_size(block));

	if (block->head & ~(TLSF_SIZE | TLSF_FREE))
		return chaos_unclean(t->heap, "free block %p: head %#llx",
				     &block->link, block->head);
	if (!tlsf_links_intact(t, pool, block))
		return chaos_unclean(t->heap, "free block %p: links %p, %p",
				     &block->link, block->link.next,
				     block->link.prev);
	if (list_empty(&t->list[index]))
		return chaos_unclean(t->heap,
				     "free block %p of %zu: list %u is empty",
				     &block->link, tlsf_size(block), index);
	return 0;
}

/* Every block between the first and the sentinel. */
static int tlsf_check_pool(struct tlsf *t, struct tlsf_pool *pool,
			   struct tlsf_census *sum)
{
	size_t sentinel = pool->span + TLSF_MIN_SPLIT;
	struct tlsf_block *block, *prev = NULL;
	bool prev_free = false;
	size_t live = 0;
	size_t used = 0;
	size_t bits;

	block = tlsf_block_of((void *)pool->first);
	for (;;) {
		size_t offset = (unsigned long)&block->link - pool->first;
		bool free = block->head & TLSF_FREE;
		size_t size = tlsf_size(block);

		if (!!(block->head & TLSF_PREV_FREE) != prev_free)
			return chaos_unclean(t->heap,
					     "block %p: head %#llx after a %s block",
					     &block->link, block->head,
					     prev_free ? "free" : "live");
		if (prev_free && block->prev_phys != prev)
			return chaos_unclean(t->heap,
					     "block %p: prev_phys %p, not %p",
					     &block->link, block->prev_phys,
					     prev);
		if (offset == sentinel)
			break;
		if (!tlsf_size_possible(pool, block, size) ||
		    !IS_ALIGNED(size, TLSF_ALIGN))
			return chaos_unclean(t->heap,
					     "block %p: head %#llx reaches out of the pool",
					     &block->link, block->head);
		if (free == tlsf_is_live(pool, &block->link))
			return chaos_unclean(t->heap,
					     "block %p: head %#llx, live bit %d",
					     &block->link, block->head, !free);
		if (free && prev_free)
			return chaos_unclean(t->heap,
					     "free blocks %p and %p side by side",
					     &prev->link, &block->link);
		if (free) {
			int err = tlsf_check_free(t, pool, block);

			if (err)
				return err;
			sum->free_blocks++;
		} else {
			live++;
			used += TLSF_HEADER + size;
		}
		prev = block;
		prev_free = free;
		block = tlsf_next(block);
	}

	if (block->head & ~TLSF_PREV_FREE)
		return chaos_unclean(t->heap, "sentinel %p: head %#llx",
				     &block->link, block->head);
	bits = bitmap_weight(pool->live, sentinel / TLSF_ALIGN + 1);
	if (bits != live + 1)
		return chaos_unclean(t->heap,
				     "pool %#lx: %zu live bits, %zu live blocks",
				     pool->first, bits - 1, live);
	if (used != pool->used)
		return chaos_unclean(t->heap,
				     "pool %#lx: %zu bytes used, %zu counted",
				     pool->first, used, pool->used);
	sum->live_blocks += live;
	sum->held += used;
	return 0;
}

/* Every list.  No more blocks are followed than the pools have. */
static int tlsf_check_list(struct tlsf *t, unsigned int index, size_t *left)
{
	unsigned int fl = index / TLSF_SL_COUNT;
	struct list_head *list = &t->list[index];
	bool mark = t->sl_bitmap[fl] & 1U << (index % TLSF_SL_COUNT);
	struct list_head *prev = list;
	struct list_head *link;

	if (mark == list_empty(list))
		return chaos_unclean(t->heap, "list %u: mark %d", index, mark);
	if (!!t->sl_bitmap[fl] != !!(t->fl_bitmap & 1UL << fl))
		return chaos_unclean(t->heap, "level %u: mark %d, lists %#x",
				     fl, !t->sl_bitmap[fl], t->sl_bitmap[fl]);
	for (link = list->next; link != list; link = link->next) {
		struct tlsf_pool *pool = tlsf_search_pool(t, link);
		struct tlsf_block *block = tlsf_block_of(link);

		if (!pool || !IS_ALIGNED((unsigned long)link, TLSF_ALIGN))
			return chaos_unclean(t->heap, "list %u: link to %p",
					     index, link);
		if (!tlsf_free_intact(pool, block) || link->prev != prev)
			return chaos_unclean(t->heap,
					     "list %u: block %p: head %#llx, link to %p, not %p",
					     index, link, block->head,
					     link->prev, prev);
		if (tlsf_mapping_insert(tlsf_size(block)) != index)
			return chaos_unclean(t->heap,
					     "list %u: block %p of %zu",
					     index, link, tlsf_size(block));
		if (!(*left)--)
			return chaos_unclean(t->heap,
					     "list %u: more blocks on lists than in pools",
					     index);
		prev = link;
	}
	return 0;
}

/* All of the invariants that this file and tlsf.h name. */
static int tlsf_take_census(struct tlsf *t, struct tlsf_census *sum)
{
	struct tlsf_pool *pool;
	unsigned int index;
	size_t left;
	int err;

	list_for_each_entry(pool, &t->pools, node) {
		err = tlsf_check_pool(t, pool, sum);
		if (err)
			return err;
	}
	left = sum->free_blocks;
	for (index = 0; index < TLSF_LISTS; index++) {
		err = tlsf_check_list(t, index, &left);
		if (err)
			return err;
	}
	if (left)
		return chaos_unclean(t->heap, "%zu free blocks on no list", left);
	if (sum->live_blocks != t->allocs - t->frees)
		return chaos_unclean(t->heap,
				     "%zu live blocks, but %llu taken and %llu given back",
				     sum->live_blocks, t->allocs, t->frees);
	return 0;
}

#if IS_ENABLED(CONFIG_KUNIT)
/*
 * The core by itself, without a heap around it
 */

VISIBLE_IF_KUNIT int tlsf_check(struct tlsf *t)
{
	struct tlsf_census sum = { 0 };

	return tlsf_take_census(t, &sum);
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_check);

VISIBLE_IF_KUNIT void *tlsf_malloc(struct tlsf *t, size_t size, size_t align)
{
	struct tlsf_block *block;

	if (!size || size > TLSF_REQUEST_MAX)
		return NULL;
	size = tlsf_round(size);
	block = align <= TLSF_ALIGN ? tlsf_take(t, size) : NULL;
	if (!block)
		block = tlsf_take_any(t, size, align);
	if (!block)
		return NULL;
	tlsf_count(t, block);
	return &block->link;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_malloc);

VISIBLE_IF_KUNIT enum chaos_verdict tlsf_free(struct tlsf *t,
					      struct tlsf_pool *pool, void *p)
{
	enum chaos_verdict verdict;
	size_t size;

	verdict = tlsf_release(t, pool, p, &size);
	return verdict == CHAOS_FREED ? tlsf_blame(pool, p) : verdict;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_free);

VISIBLE_IF_KUNIT bool tlsf_resize(struct tlsf *t, struct tlsf_pool *pool,
				  void *p, size_t size)
{
	size_t from, to;

	if (size > TLSF_REQUEST_MAX)
		return false;
	return tlsf_resize_locked(t, pool, p, tlsf_round(size), &from, &to);
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_resize);
#endif

/*
 * The heap around it
 */

/**
 * struct tlsf_heap - chaos_heap.priv
 * @lock: covers @core, heap->held and all that is in the pools
 * @core: the allocator
 */
struct tlsf_heap {
	struct chaos_lock lock;
	struct tlsf core;
};

#if IS_ENABLED(CONFIG_KUNIT)
VISIBLE_IF_KUNIT struct tlsf *tlsf_of_heap(struct chaos_heap *heap)
{
	struct tlsf_heap *th = heap->priv;

	return &th->core;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_of_heap);

VISIBLE_IF_KUNIT struct chaos_lock *tlsf_lock_of_heap(struct chaos_heap *heap)
{
	struct tlsf_heap *th = heap->priv;

	return &th->lock;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_lock_of_heap);
#endif

static __always_inline enum chaos_verdict
tlsf_free_locked(struct chaos_heap *heap, struct tlsf_pool *pool, void *p)
{
	struct tlsf_heap *th = heap->priv;
	enum chaos_verdict verdict;
	size_t size;

	lockdep_assert_held(&th->lock.raw);
	verdict = tlsf_release(&th->core, pool, p, &size);
	if (likely(verdict == CHAOS_OK)) {
		chaos_san_free(heap, p, size);
		chaos_unhold(heap, TLSF_HEADER + size);
	}
	return verdict;
}

static void tlsf_free_deferred(void *p)
{
	struct chaos_pool *pool = chaos_pool_of(p);
	enum chaos_verdict verdict;

	/* Withdrawn, and its blocks with it. */
	if (!pool)
		return;
	verdict = tlsf_free_locked(pool->heap, pool->priv, p);
	if (verdict != CHAOS_OK)
		chaos_report(pool->heap, p, verdict, _RET_IP_);
}

static noinline void tlsf_drain_slow(struct tlsf_heap *th)
{
	chaos_drain_deferred(&th->lock, tlsf_free_deferred);
}

static __always_inline void tlsf_drain(struct tlsf_heap *th)
{
	if (unlikely(!llist_empty(&th->lock.deferred)))
		tlsf_drain_slow(th);
}

static int tlsf_op_init(struct chaos_heap *heap)
{
	struct tlsf_heap *th;

	th = kvzalloc_node(sizeof(*th), GFP_KERNEL, heap->node);
	if (!th)
		return -ENOMEM;
	chaos_lock_init(&th->lock);
	tlsf_init(&th->core, heap);
	heap->priv = th;
	return 0;
}

static void tlsf_op_exit(struct chaos_heap *heap)
{
	kvfree(heap->priv);
	heap->priv = NULL;
}

static int tlsf_op_add_pool(struct chaos_heap *heap, struct chaos_pool *pool)
{
	size_t meta = tlsf_pool_meta(pool->size);
	struct tlsf_heap *th = heap->priv;
	struct tlsf_pool *mine;
	unsigned long flags;
	int err;

	if (pool->size >= TLSF_BLOCK_LIMIT)
		return -EFBIG;
	/* kvmalloc() refuses sizes of 2 GiB, which a pool of 128 GiB needs. */
	if (meta <= INT_MAX)
		mine = kvzalloc_node(meta, GFP_KERNEL, pool->nid);
	else
		mine = vzalloc_node(meta, pool->nid);
	if (!mine)
		return -ENOMEM;
	pool->priv = mine;
	pool->meta_size = meta;

	/* All zeroes, it refuses any pointer, until there are blocks. */
	err = chaos_pool_publish(pool);
	if (err) {
		pool->priv = NULL;
		kvfree(mine);
		return err;
	}
	raw_spin_lock_irqsave(&th->lock.raw, flags);
	tlsf_drain(th);
	err = tlsf_add_pool(&th->core, mine, (void *)pool->start, pool->size);
	raw_spin_unlock_irqrestore(&th->lock.raw, flags);
	WARN_ON(err);
	return 0;
}

static size_t tlsf_op_pool_used(struct chaos_heap *heap,
				struct chaos_pool *pool)
{
	const struct tlsf_pool *mine = pool->priv;

	return READ_ONCE(mine->used);
}

static bool tlsf_op_release_pool(struct chaos_heap *heap,
				 struct chaos_pool *pool)
{
	struct tlsf_heap *th = heap->priv;
	unsigned long flags;
	bool released;

	raw_spin_lock_irqsave(&th->lock.raw, flags);
	tlsf_drain(th);
	released = tlsf_release_pool(&th->core, pool->priv);
	raw_spin_unlock_irqrestore(&th->lock.raw, flags);
	return released;
}

/*
 * If the whole heap goes, free blocks of the pool are still on lists, but
 * nothing looks at these any more.  An NMI that freed a block which another CPU
 * was freeing may have left it on the list of deferred ones: it must not be
 * found there once its memory is gone.
 */
static void tlsf_op_remove_pool(struct chaos_heap *heap,
				struct chaos_pool *pool)
{
	struct tlsf_heap *th = heap->priv;
	unsigned long flags;

	raw_spin_lock_irqsave(&th->lock.raw, flags);
	tlsf_drain(th);
	raw_spin_unlock_irqrestore(&th->lock.raw, flags);
	kvfree(pool->priv);
	pool->priv = NULL;
}

static size_t tlsf_op_pool_need(struct chaos_heap *heap, size_t size,
				size_t align)
{
	unsigned int index, k;

	if (size > TLSF_REQUEST_MAX)
		return SIZE_MAX;
	size = tlsf_round(size);
	if (align > TLSF_ALIGN)
		size = tlsf_aligned_need(size, align);

	/* The least size of the list that the search begins with. */
	index = tlsf_mapping_search(size);
	if (index >= 2 * TLSF_SL_COUNT) {
		k = index / TLSF_SL_COUNT - 1;
		size = (size_t)(TLSF_SL_COUNT + index % TLSF_SL_COUNT) <<
		       (k + TLSF_ALIGN_SHIFT);
	}
	return size + 2 * TLSF_HEADER;
}

static noinline struct tlsf_block *
tlsf_alloc_slow(struct tlsf_heap *th, size_t size, size_t align)
{
	tlsf_drain(th);
	return tlsf_take_any(&th->core, size, align);
}

void *tlsf_op_alloc(struct chaos_heap *heap, size_t size, size_t align)
{
	struct tlsf_heap *th = heap->priv;
	struct tlsf_block *block = NULL;
	unsigned long flags;

	if (unlikely(size > TLSF_REQUEST_MAX))
		return NULL;
	size = tlsf_round(size);
	if (unlikely(!chaos_lock(&th->lock, &flags)))
		return NULL;
	if (likely(llist_empty(&th->lock.deferred) && align <= TLSF_ALIGN))
		block = tlsf_take(&th->core, size);
	if (unlikely(!block))
		block = tlsf_alloc_slow(th, size, align);
	if (likely(block))
		chaos_hold(heap, tlsf_count(&th->core, block));
	chaos_unlock(&th->lock, flags);
	return likely(block) ? &block->link : NULL;
}

/* As many blocks as one turn of the lock is good for. */
static size_t tlsf_alloc_batch(struct chaos_heap *heap, size_t size, size_t n,
			       void **p)
{
	struct tlsf_heap *th = heap->priv;
	struct tlsf *t = &th->core;
	struct tlsf_block *block;
	unsigned long flags;
	size_t done, cost = 0;

	if (unlikely(!chaos_lock(&th->lock, &flags)))
		return 0;
	tlsf_drain(th);
	for (done = 0; done < n; done++) {
		block = tlsf_take(t, size);
		if (unlikely(!block))
			block = tlsf_take_any(t, size, TLSF_ALIGN);
		if (unlikely(!block))
			break;
		cost += tlsf_count(t, block);
		p[done] = &block->link;
	}
	chaos_hold(heap, cost);
	chaos_unlock(&th->lock, flags);
	return done;
}

static size_t tlsf_op_alloc_bulk(struct chaos_heap *heap, size_t size, size_t n,
				 void **p)
{
	size_t done = 0, batch, got;

	if (unlikely(size > TLSF_REQUEST_MAX))
		return 0;
	size = tlsf_round(size);
	do {
		batch = min_t(size_t, n - done, CHAOS_LOCK_BATCH);
		got = tlsf_alloc_batch(heap, size, batch, p + done);
		done += got;
	} while (got == batch && done < n);
	return done;
}

/* In NMI, and what this CPU or another was doing cannot be waited for. */
static noinline enum chaos_verdict
tlsf_free_later(struct tlsf_heap *th, struct tlsf_pool *pool, void *p)
{
	if (!tlsf_is_live(pool, p))
		return tlsf_blame(pool, p);
	return chaos_defer_free(&th->lock, p) ? CHAOS_OK : CHAOS_FREED;
}

enum chaos_verdict tlsf_op_free(struct chaos_heap *heap,
				struct chaos_pool *pool, void *p)
{
	struct tlsf_heap *th = heap->priv;
	struct tlsf_pool *mine = pool->priv;
	enum chaos_verdict verdict;
	unsigned long flags;

	if (unlikely(!chaos_lock(&th->lock, &flags)))
		return tlsf_free_later(th, mine, p);
	tlsf_drain(th);
	verdict = tlsf_free_locked(heap, mine, p);
	chaos_unlock(&th->lock, flags);
	if (unlikely(verdict == CHAOS_FREED))
		return tlsf_blame(mine, p);
	return verdict;
}

/*
 * Free as many blocks as one turn of the lock is good for, up to the first that
 * cannot be.
 */
static size_t tlsf_free_batch(struct chaos_heap *heap, size_t n, void **p,
			      enum chaos_verdict *verdict)
{
	struct tlsf_heap *th = heap->priv;
	struct chaos_pool *pool = NULL;
	unsigned long flags;
	size_t done;

	*verdict = CHAOS_OK;
	if (unlikely(!chaos_lock(&th->lock, &flags))) {
		pool = chaos_pool_guess(heap, NULL, *p, verdict);
		if (pool)
			*verdict = tlsf_free_later(th, pool->priv, *p);
		return *verdict == CHAOS_OK;
	}
	tlsf_drain(th);
	for (done = 0; done < n; done++) {
		pool = chaos_pool_guess(heap, pool, p[done], verdict);
		if (likely(pool))
			*verdict = tlsf_free_locked(heap, pool->priv, p[done]);
		if (unlikely(*verdict != CHAOS_OK))
			break;
	}
	chaos_unlock(&th->lock, flags);
	if (unlikely(*verdict == CHAOS_FREED))
		*verdict = tlsf_blame(pool->priv, p[done]);
	return done;
}

static size_t tlsf_op_free_bulk(struct chaos_heap *heap, size_t n, void **p,
				enum chaos_verdict *verdict)
{
	size_t done = 0, batch;

	do {
		batch = min_t(size_t, n - done, CHAOS_LOCK_BATCH);
		done += tlsf_free_batch(heap, batch, p + done, verdict);
	} while (*verdict == CHAOS_OK && done < n);
	return done;
}

static bool tlsf_op_resize(struct chaos_heap *heap, struct chaos_pool *pool,
			   void *p, size_t size)
{
	struct tlsf_heap *th = heap->priv;
	unsigned long flags;
	size_t from, to;
	bool done;

	if (unlikely(size > TLSF_REQUEST_MAX))
		return false;
	size = tlsf_round(size);
	if (unlikely(!chaos_lock(&th->lock, &flags)))
		return false;
	tlsf_drain(th);
	done = tlsf_resize_locked(&th->core, pool->priv, p, size, &from, &to);
	if (done) {
		chaos_unhold(heap, from);
		chaos_hold(heap, to);
	}
	chaos_unlock(&th->lock, flags);
	return done;
}

static enum chaos_verdict tlsf_op_query(struct chaos_heap *heap,
					struct chaos_pool *pool, const void *p,
					struct chaos_block *block)
{
	const struct chaos_deferred_block *waiting = p;
	const struct tlsf_pool *mine = pool->priv;
	struct tlsf_heap *th = heap->priv;
	u64 head;

	if (unlikely(!tlsf_is_live(mine, p)))
		return tlsf_blame(mine, p);
	if (unlikely(READ_ONCE(waiting->mark) == th->lock.mark))
		return CHAOS_FREED;
	head = READ_ONCE(tlsf_block_of(p)->head);
	block->size = head & TLSF_SIZE;
	block->align = TLSF_ALIGN << (head >> TLSF_PROMISE_SHIFT);
	if (unlikely(head & TLSF_FREE || block->align > CHAOS_MAX_ALIGN ||
		     !tlsf_size_possible(mine, tlsf_block_of(p), block->size)))
		return CHAOS_CORRUPT;
	return CHAOS_OK;
}

static int tlsf_op_check(struct chaos_heap *heap)
{
	struct tlsf_heap *th = heap->priv;
	struct tlsf_census sum = { 0 };
	unsigned long flags;
	int err;

	raw_spin_lock_irqsave(&th->lock.raw, flags);
	tlsf_drain(th);
	err = tlsf_take_census(&th->core, &sum);
	if (!err && sum.held != atomic_long_read(&heap->held))
		err = chaos_unclean(heap, "%zu bytes held, %zu counted",
				    sum.held, atomic_long_read(&heap->held));
	raw_spin_unlock_irqrestore(&th->lock.raw, flags);
	return err;
}

/*
 * The live bits make it possible to leave the lock after each word of them: a
 * block seen is live at that moment, and none that stays is missed.
 */
static int tlsf_op_walk(struct chaos_heap *heap, chaos_visitor visitor,
			void *arg)
{
	struct tlsf_heap *th = heap->priv;
	unsigned long word, words, flags;
	struct chaos_pool *pool;
	bool more = true;

	list_for_each_entry(pool, &heap->pools, node) {
		struct tlsf_pool *mine = pool->priv;

		words = BITS_TO_LONGS(mine->span / TLSF_ALIGN + 1);
		for (word = 0; word < words && more; word++) {
			unsigned long bits, at;

			if (!READ_ONCE(mine->live[word]))
				continue;
			raw_spin_lock_irqsave(&th->lock.raw, flags);
			tlsf_drain(th);
			bits = mine->live[word];
			for (; bits && more; bits &= bits - 1) {
				void *p;

				at = word * BITS_PER_LONG + __ffs(bits);
				if (at > mine->span / TLSF_ALIGN)
					break;
				p = (void *)(mine->first + at * TLSF_ALIGN);
				more = visitor(heap, p,
					       tlsf_size(tlsf_block_of(p)),
					       arg);
			}
			raw_spin_unlock_irqrestore(&th->lock.raw, flags);
			cond_resched();
		}
		if (!more)
			return -ECANCELED;
	}
	return 0;
}

static void tlsf_op_stats(struct chaos_heap *heap,
			  struct chaos_heap_stats *stats)
{
	struct tlsf_heap *th = heap->priv;
	struct tlsf *t = &th->core;
	unsigned long flags;

	raw_spin_lock_irqsave(&th->lock.raw, flags);
	tlsf_drain(th);
	stats->allocs = t->allocs;
	stats->local_frees = t->frees;
	stats->live_blocks = t->allocs - t->frees;
	stats->live_bytes = atomic_long_read(&heap->held) -
			    stats->live_blocks * TLSF_HEADER;
	raw_spin_unlock_irqrestore(&th->lock.raw, flags);
}

/* Blocks of all sizes lie side by side. */
static size_t tlsf_op_class_stats(struct chaos_heap *heap,
				  struct chaos_class_stats *classes, size_t n)
{
	return 0;
}

static bool tlsf_op_collect(struct chaos_heap *heap, bool force)
{
	struct tlsf_heap *th = heap->priv;
	unsigned long flags;

	raw_spin_lock_irqsave(&th->lock.raw, flags);
	tlsf_drain(th);
	raw_spin_unlock_irqrestore(&th->lock.raw, flags);
	return false;
}

const struct chaos_engine chaos_tlsf_engine = {
	.name = "tlsf",
	.init = tlsf_op_init,
	.exit = tlsf_op_exit,
	.add_pool = tlsf_op_add_pool,
	.pool_used = tlsf_op_pool_used,
	.release_pool = tlsf_op_release_pool,
	.remove_pool = tlsf_op_remove_pool,
	.pool_need = tlsf_op_pool_need,
	.alloc = tlsf_op_alloc,
	.alloc_bulk = tlsf_op_alloc_bulk,
	.free = tlsf_op_free,
	.free_bulk = tlsf_op_free_bulk,
	.resize = tlsf_op_resize,
	.query = tlsf_op_query,
	.check = tlsf_op_check,
	.walk = tlsf_op_walk,
	.stats = tlsf_op_stats,
	.class_stats = tlsf_op_class_stats,
	.collect = tlsf_op_collect,
};
