// SPDX-License-Identifier: GPL-2.0
/*
 * The TLSF engine: two-level segregated fit.
 *
 * After M. Masmano, I. Ripoll, A. Crespo, J. Real: "TLSF: a new dynamic memory
 * allocator for real-time systems", ECRTS 2004.  Free blocks are kept on
 * lists by size: a first level of powers of two, each cut into equal parts by a
 * second level.  A bitmap says which lists have blocks, another one which of
 * its words are not 0, so that the first list that is sure to serve a request is
 * found with two instructions that count zeroes.  A block that is freed merges with
 * its free neighbours at once.  No step depends on the number or the sizes of blocks.
 *
 * Layout.  Blocks lie end to end in a pool.  A block is a word of size and flags
 * and its payload; while it is free, the end of its payload holds the list's link
 * and a pointer back to the start, which the block behind needs to merge with it.
 *
 *	head | payload ...       | head | ...        | link | prev | head | ...
 *	       ^ what callers get         ^ free block         `--> of the free one
 *
 * With the link there, a free block that grows or shrinks at its front stays where
 * it is on its list.  A small block taken from a large one and given back changes no
 * list at all.
 *
 * Trust.  Callers write past their blocks and into blocks that they have freed,
 * so nothing that is read from a pool decides alone:
 *
 * - Which addresses are live blocks is known from a bitmap apart from the pool
 *   (tlsf_pool.live): no other pointer is ever accepted.
 * - Before anything is changed, the heads of the blocks involved are compared
 *   with their surroundings, and links that are to be changed with what they
 *   point at, which is first known to be memory of the heap.  A block whose neighbourhood was
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

#include "compat.h"
#include "engine.h"
#include "fault.h"
#include "lock.h"
#include "sanitize.h"
#include "tlsf.h"
#include "tlsf_core.h"

/*
 * How far a wrong pointer is traced back to the block that it lies in.  Only
 * the wording of a report depends on it.
 */
#define TLSF_BLAME_WORDS	1024

/* Damaged lists that one request gets past. */
#define TLSF_RETRIES		2

/*
 * Which pool an address is in
 */

/*
 * The pools of a heap are on the map, for a while even those that have been
 * released; only a core by itself has others.
 */
static noinline struct tlsf_pool *tlsf_search_pool(struct tlsf *t,
						   const void *p)
{
	struct chaos_pool *mapped = chaos_pool_of(p);
	struct tlsf_pool *pool;

	if (mapped && mapped->heap == t->heap)
		return tlsf_mapped_pool(t, p);
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

bool tlsf_link_far(struct tlsf *t, const struct list_head *link)
{
	return tlsf_search_pool(t, tlsf_least_at(link));
}

/*
 * Allocation
 */

/* A list whose first block has at least @size bytes; false: there is none. */
static bool tlsf_find_any(struct tlsf *t, size_t size, unsigned long *key)
{
	struct tlsf_block *end;
	size_t least;

	*key = tlsf_key_up(size, &least);
	if (tlsf_find(t, key))
		return true;
	if (!tlsf_find_exact(t, key))
		return false;
	/* Not its head: whether prev_phys may be followed is not known yet. */
	end = container_of(tlsf_list(t, *key)->next, struct tlsf_block, link);
	return (void *)&end->head - end->prev_phys >= size;
}

/*
 * Take the first block, of at least @size bytes, off the list @key and mark it as live.
 * Its head, and the one behind, still say free.  False: it is not what the list says.
 */
static bool tlsf_claim_first(struct tlsf *t, unsigned long key, size_t size,
			     struct tlsf_first *f)
{
	struct list_head *list = tlsf_list(t, key);
	const struct list_head *link = list->next;

	if (!tlsf_pool_at(t, tlsf_least_at(link)) || !tlsf_first_intact(t, list, size, f) ||
	    link->prev != list ||
	    !tlsf_link_valid(t, f->pool, list, link->next, false) ||
	    link->next->prev != link || !tlsf_claim(f->pool, f->at))
		return false;
	tlsf_unlink(t, list, link->next, key);
	return true;
}

/* The first block of a list was overwritten: its links lead nowhere. */
static void tlsf_drop_list(struct tlsf *t, unsigned long key)
{
	struct list_head *list = tlsf_list(t, key);
	const void *p = list->next;

	INIT_LIST_HEAD(list);
	tlsf_unmark_list(t, key);
	chaos_report(t->heap, p, CHAOS_CORRUPT, _RET_IP_);
}

/*
 * Move the start of a live block whose head is @head up to where it is aligned
 * to @align, and give back what is before it.
 */
static struct tlsf_block *tlsf_align(struct tlsf *t, struct tlsf_pool *pool,
				     struct tlsf_block *block, size_t align,
				     u64 *head)
{
	size_t gap = tlsf_gap(block->payload, align);

	if (gap) {
		tlsf_set_live(pool, block->payload, false);
		block = tlsf_cut_front(t, block->payload, gap);
		tlsf_set_live(pool, block->payload, true);
		*head = (*head - gap) | TLSF_PREV_FREE;
	}
	*head |= tlsf_promise(align);
	return block;
}

/*
 * Make a live block, whose payload reaches up to @end, one of @size if it is that
 * large, and give the rest back.  @end knows the block before it as free.
 * Returns the size that it has got.
 */
static __always_inline size_t tlsf_trim(struct tlsf *t,
					struct tlsf_block *block, u64 head,
					struct tlsf_block *end, size_t size)
{
	size_t whole = head & TLSF_SIZE;
	struct tlsf_block *rest;

	size = min(size, whole);
	rest = tlsf_split(block, head, size);
	if (!rest) {
		block->head = head;
		end->head &= ~TLSF_PREV_FREE;
		return whole;
	}
	whole -= size + TLSF_HEADER;
	tlsf_set_free(rest->payload, whole, end);
	tlsf_insert(t, &end->link, tlsf_key(whole));
	return size;
}

/*
 * A block of @size, which has been rounded, aligned to @align, from whatever
 * pool, past whatever damage.  *@cost is what it costs.
 */
static noinline struct tlsf_block *
tlsf_take_any(struct tlsf *t, size_t size, size_t align, size_t *cost)
{
	size_t need = size;
	unsigned int retries = TLSF_RETRIES;
	struct tlsf_block *block;
	struct tlsf_first f;
	unsigned long key;
	u64 head;

	if (align > TLSF_ALIGN)
		need = tlsf_aligned_need(size, align);
	else
		tlsf_key_up(size, &size);	/* see tlsf_take_aligned() */
	for (;;) {
		if (!tlsf_find_any(t, need, &key))
			return NULL;
		if (likely(tlsf_claim_first(t, key, need, &f)))
			break;
		tlsf_drop_list(t, key);
		if (!retries--)
			return NULL;
	}
	block = tlsf_block_of(f.p);
	head = f.size;
	if (align > TLSF_ALIGN)
		block = tlsf_align(t, f.pool, block, align, &head);
	*cost = TLSF_HEADER + tlsf_trim(t, block, head, f.end, size);
	f.pool->allocs++;
	f.pool->used += *cost;
	return block;
}

/* Of one that is not aligned, the usual case first. */
static __always_inline struct tlsf_block *
tlsf_take_plain(struct tlsf *t, size_t size, size_t *cost)
{
	unsigned long key;
	size_t least;
	void *p;

	key = tlsf_key_up(size, &least);
	if (likely(tlsf_take(t, key, least, size, &p, cost)))
		return tlsf_block_of(p);
	return tlsf_take_any(t, size, TLSF_ALIGN, cost);
}

/*
 * Release
 */

/* What is wrong with a pointer that is not that of a live block. */
static noinline enum chaos_verdict tlsf_blame(const struct tlsf_pool *pool,
					      const void *p)
{
	unsigned long at = tlsf_position(pool, p);
	unsigned long word, stop, bits;
	const struct tlsf_block *block;

	if (at > pool->last)
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
	return (unsigned long)p < (unsigned long)tlsf_next(block)->payload ?
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
	struct tlsf_block *end, *behind;
	size_t had, next_size = 0;
	struct tlsf_listed next;
	unsigned long at;
	bool next_free;
	u64 head;

	if (unlikely(!tlsf_is_live(pool, p)))
		return false;
	head = block->head;
	had = head & TLSF_SIZE;
	at = tlsf_position(pool, p) + (TLSF_HEADER + had) / TLSF_ALIGN;
	if (unlikely(head & TLSF_FREE) ||
	    unlikely(!tlsf_next_possible(pool, at)))
		return false;
	behind = tlsf_next_at(block, had);
	end = behind;
	next_free = behind->head & TLSF_FREE;
	if (next_free) {
		next_size = behind->head - TLSF_FREE;
		if (unlikely(!tlsf_next_free(pool, behind, at, next_size)))
			return false;
		end = tlsf_next_at(behind, next_size);
		if (unlikely(!tlsf_link_intact(t, pool, &end->link, next_size,
					       false, &next)))
			return false;
	} else if (unlikely(!tlsf_next_live(pool, behind, at))) {
		return false;
	}

	if (next_free)
		head += TLSF_HEADER + next_size;
	if ((head & TLSF_SIZE) < size)
		return false;
	*from = had;
	*to = had;
	if (size == had)
		return true;
	if (next_free)
		tlsf_unlink(t, next.prev, next.next, next.key);
	end->head |= TLSF_PREV_FREE;
	tlsf_key_up(size, &size);
	*to = tlsf_trim(t, block, head, end, size);
	pool->used += *to - had;
	return true;
}

/*
 * Pools
 */

/* Stands for a pool where there is none: no address is in it that could be a block's. */
static struct tlsf_pool tlsf_no_pool = { .first = 1 };

VISIBLE_IF_KUNIT void tlsf_init(struct tlsf *t, struct chaos_heap *heap)
{
	unsigned int i;

	chaos_lock_init(&t->lock);
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

	size = ALIGN_DOWN(size, TLSF_ALIGN);
	if (!IS_ALIGNED((unsigned long)mem, TLSF_ALIGN) ||
	    size < TLSF_MIN_SPLIT + TLSF_HEADER)
		return -EINVAL;
	if (size >= TLSF_BLOCK_LIMIT)
		return -EFBIG;

	pool->first = (unsigned long)block->payload;
	pool->last = (size - TLSF_HEADER - TLSF_MIN_SPLIT) / TLSF_ALIGN;
	list_add_tail(&pool->node, &t->pools);

	size -= 2 * TLSF_HEADER;
	block->head = size | TLSF_FREE;
	sentinel = tlsf_next(block);
	sentinel->prev_phys = block->payload;
	sentinel->head = TLSF_PREV_FREE;
	tlsf_set_live(pool, sentinel->payload, true);
	tlsf_insert(t, &sentinel->link, tlsf_key(size));
	if (t->recent == &tlsf_no_pool)
		t->recent = pool;	/* the first call need not look for it */
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
	size_t size = pool->last * TLSF_ALIGN + TLSF_MIN_SIZE;
	struct tlsf_listed l;

	if (pool->used || list_empty(&pool->node))
		return false;
	if (block->head != (size | TLSF_FREE) ||
	    !tlsf_free_intact(pool, block) ||
	    !tlsf_link_intact(t, pool, &tlsf_next_at(block, size)->link, size,
			      false, &l))
		return false;
	tlsf_unlink(t, l.prev, l.next, l.key);
	t->allocs += pool->allocs;
	t->frees += pool->frees;
	pool->allocs = 0;
	pool->frees = 0;
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
	size_t held;
};

static int tlsf_check_free(struct tlsf *t, struct tlsf_pool *pool,
			   struct tlsf_block *block)
{
	unsigned long key = tlsf_key(tlsf_size(block));
	const struct list_head *link;
	struct tlsf_listed l;

	if (block->head & ~(TLSF_SIZE | TLSF_FREE))
		return chaos_unclean(t->heap, "free block %p: head %#llx",
				     block->payload, block->head);
	link = &tlsf_next(block)->link;
	if (!tlsf_free_intact(pool, block) ||
	    !tlsf_link_intact(t, pool, link, tlsf_size(block), false, &l))
		return chaos_unclean(t->heap, "free block %p: links %p, %p",
				     block->payload, link->next, link->prev);
	if (list_empty(tlsf_list(t, key)))
		return chaos_unclean(t->heap,
				     "free block %p of %zu: list %lu is empty",
				     block->payload, tlsf_size(block), key);
	return 0;
}

/**
 * struct tlsf_tour - a check of the blocks of one pool, from the first to the sentinel
 * @pool: whose they are
 * @block: where it is
 * @prev: the block before, or NULL
 * @prev_free: that one is free
 * @live: live blocks so far
 * @used: bytes of these
 */
struct tlsf_tour {
	struct tlsf_pool *pool;
	struct tlsf_block *block;
	struct tlsf_block *prev;
	bool prev_free;
	size_t live;
	size_t used;
};

/* Does the block know what is before it?  So must the sentinel. */
static int tlsf_check_joint(struct tlsf *t, const struct tlsf_tour *at)
{
	const struct tlsf_block *block = at->block;

	if (!!(block->head & TLSF_PREV_FREE) != at->prev_free)
		return chaos_unclean(t->heap, "block %p: head %#llx after a %s block",
				     block->payload, block->head,
				     at->prev_free ? "free" : "live");
	if (at->prev_free && block->prev_phys != at->prev->payload)
		return chaos_unclean(t->heap, "block %p: prev_phys %p, not %p",
				     block->payload, block->prev_phys, at->prev->payload);
	return 0;
}

static int tlsf_check_block(struct tlsf *t, const struct tlsf_tour *at)
{
	const struct tlsf_block *block = at->block;
	bool free = block->head & TLSF_FREE;
	size_t size = tlsf_size(block);

	if (!tlsf_size_possible(at->pool, block, size) || !IS_ALIGNED(size, TLSF_ALIGN))
		return chaos_unclean(t->heap, "block %p: head %#llx reaches out of the pool",
				     block->payload, block->head);
	if (free == tlsf_is_live(at->pool, block->payload))
		return chaos_unclean(t->heap, "block %p: head %#llx, live bit %d",
				     block->payload, block->head, !free);
	if (free && at->prev_free)
		return chaos_unclean(t->heap, "free blocks %p and %p side by side",
				     at->prev->payload, block->payload);
	return free ? tlsf_check_free(t, at->pool, at->block) : 0;
}

static void tlsf_tour_on(struct tlsf_tour *at, struct tlsf_census *sum)
{
	at->prev = at->block;
	at->prev_free = at->block->head & TLSF_FREE;
	if (at->prev_free) {
		sum->free_blocks++;
	} else {
		at->live++;
		at->used += TLSF_HEADER + tlsf_size(at->block);
	}
	at->block = tlsf_next(at->block);
}

/* At the sentinel, @units from the first block: does the pool know what was found? */
static int tlsf_check_counts(struct tlsf *t, const struct tlsf_tour *at, size_t units)
{
	const struct tlsf_pool *pool = at->pool;
	size_t bits = bitmap_weight(pool->live, units + 1);

	if (at->block->head & ~TLSF_PREV_FREE)
		return chaos_unclean(t->heap, "sentinel %p: head %#llx",
				     at->block->payload, at->block->head);
	if (bits != at->live + 1)
		return chaos_unclean(t->heap, "pool %#lx: %zu live bits, %zu live blocks",
				     pool->first, bits - 1, at->live);
	if (at->used != pool->used)
		return chaos_unclean(t->heap, "pool %#lx: %zu bytes used, %zu counted",
				     pool->first, at->used, pool->used);
	if (at->live != pool->allocs - pool->frees)
		return chaos_unclean(t->heap,
				     "pool %#lx: %zu live blocks, but %llu taken and %llu given back",
				     pool->first, at->live, pool->allocs, pool->frees);
	return 0;
}

static int tlsf_check_pool(struct tlsf *t, struct tlsf_pool *pool,
			   struct tlsf_census *sum)
{
	struct tlsf_tour at = {
		.pool = pool,
		.block = tlsf_block_of((void *)pool->first),
	};
	size_t sentinel = pool->last * TLSF_ALIGN + TLSF_MIN_SPLIT;
	int err;

	for (;;) {
		err = tlsf_check_joint(t, &at);
		if (err || (unsigned long)at.block->payload - pool->first == sentinel)
			break;
		err = tlsf_check_block(t, &at);
		if (err)
			break;
		tlsf_tour_on(&at, sum);
	}
	sum->held += at.used;
	return err ?: tlsf_check_counts(t, &at, sentinel / TLSF_ALIGN);
}

/* Every list.  No more blocks are followed than the pools have. */
static int tlsf_check_list(struct tlsf *t, unsigned long key, size_t *left)
{
	unsigned long word = t->sl_bitmap[TLSF_SL_WORD(key)];
	struct list_head *list = tlsf_list(t, key);
	bool mark = word & TLSF_SL_MARK(key);
	struct list_head *prev = list;
	struct list_head *link;

	if (mark == list_empty(list))
		return chaos_unclean(t->heap, "list %lu: mark %d", key, mark);
	if (!!word != !!(t->fl_bitmap & TLSF_FL_MARK(key)))
		return chaos_unclean(t->heap, "list %lu: lists %#lx, mark %d", key,
				     word, !word);
	for (link = list->next; link != list; link = link->next) {
		struct tlsf_pool *pool = tlsf_search_pool(t, tlsf_least_at(link));
		struct tlsf_block *block;

		if (!pool || !IS_ALIGNED((unsigned long)link, TLSF_ALIGN))
			return chaos_unclean(t->heap, "list %lu: link to %p",
					     key, link);
		block = tlsf_block_linked(link);
		if (!tlsf_is_inside(pool, block->payload) ||
		    !tlsf_free_intact(pool, block) ||
		    &tlsf_next(block)->link != link || link->prev != prev)
			return chaos_unclean(t->heap,
					     "list %lu: block %p, link %p to %p, not %p",
					     key, block->payload, link,
					     link->prev, prev);
		if (tlsf_key(tlsf_size(block)) != key)
			return chaos_unclean(t->heap,
					     "list %lu: block %p of %zu",
					     key, block->payload,
					     tlsf_size(block));
		if (!(*left)--)
			return chaos_unclean(t->heap,
					     "list %lu: more blocks on lists than in pools",
					     key);
		prev = link;
	}
	return 0;
}

/* All of the invariants that this file and tlsf.h name. */
static int tlsf_take_census(struct tlsf *t, struct tlsf_census *sum)
{
	struct tlsf_pool *pool;
	unsigned long key;
	size_t left;
	int err;

	list_for_each_entry(pool, &t->pools, node) {
		err = tlsf_check_pool(t, pool, sum);
		if (err)
			return err;
	}
	left = sum->free_blocks;
	for (key = TLSF_KEY_BASE; key < TLSF_KEY_BASE + TLSF_LISTS; key++) {
		err = tlsf_check_list(t, key, &left);
		if (err)
			return err;
	}
	if (left)
		return chaos_unclean(t->heap, "%zu free blocks on no list", left);
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
	size_t cost;
	void *p;

	if (!size || size > TLSF_REQUEST_MAX)
		return NULL;
	size = tlsf_round(size);
	if (align <= TLSF_ALIGN) {
		block = tlsf_take_plain(t, size, &cost);
	} else {
		if (tlsf_take_aligned(t, size, align, &p, &cost))
			return p;
		block = tlsf_take_any(t, size, align, &cost);
	}
	return block ? block->payload : NULL;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_malloc);

VISIBLE_IF_KUNIT enum chaos_verdict tlsf_free(struct tlsf *t,
					      struct tlsf_pool *pool, void *p)
{
	enum chaos_verdict verdict;
	size_t size;

	verdict = tlsf_release(t, pool, p, false, &size);
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

#if IS_ENABLED(CONFIG_KUNIT)
VISIBLE_IF_KUNIT struct tlsf *tlsf_of_heap(struct chaos_heap *heap)
{
	return heap->priv;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_of_heap);

VISIBLE_IF_KUNIT struct chaos_lock *tlsf_lock_of_heap(struct chaos_heap *heap)
{
	struct tlsf *t = heap->priv;

	return &t->lock;
}
EXPORT_SYMBOL_IF_KUNIT(tlsf_lock_of_heap);
#endif

static __always_inline enum chaos_verdict
tlsf_free_locked(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	struct tlsf *t = heap->priv;
	enum chaos_verdict verdict;
	size_t cost;

	lockdep_assert_held(&t->lock.raw);
	verdict = tlsf_release(t, pool->priv, p, false, &cost);
	if (likely(verdict == CHAOS_OK)) {
		chaos_san_free(heap, p, cost - TLSF_HEADER);
		chaos_unhold(heap, cost);
	}
	return verdict;
}

static void tlsf_free_deferred(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	enum chaos_verdict verdict;

	verdict = tlsf_free_locked(heap, pool, p);
	if (verdict != CHAOS_OK)
		chaos_report(heap, p, verdict, _RET_IP_);
}

static noinline void tlsf_drain_slow(struct tlsf *t)
{
	chaos_drain_deferred(&t->lock, t->heap, tlsf_free_deferred);
}

static __always_inline void tlsf_drain(struct tlsf *t)
{
	if (unlikely(!llist_empty(&t->lock.deferred)))
		tlsf_drain_slow(t);
}

static int tlsf_op_init(struct chaos_heap *heap)
{
	struct tlsf *t;

	t = chaos_unless_fails(CHAOS_FAULT_SETUP,
			       kvzalloc_node(sizeof(*t), GFP_KERNEL, heap->node));
	if (!t)
		return -ENOMEM;
	tlsf_init(t, heap);
	heap->priv = t;
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
	struct tlsf *t = heap->priv;
	struct tlsf_pool *mine;
	unsigned long flags;
	int err;

	if (pool->size >= TLSF_BLOCK_LIMIT)
		return -EFBIG;
	mine = chaos_meta_alloc(meta, pool->nid);
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
	raw_spin_lock_irqsave(&t->lock.raw, flags);
	tlsf_drain(t);
	err = tlsf_add_pool(t, mine, (void *)pool->start, pool->size);
	raw_spin_unlock_irqrestore(&t->lock.raw, flags);
	WARN_ON(err);
	return 0;
}

static size_t tlsf_op_pool_used(struct chaos_heap *heap,
				struct chaos_pool *pool)
{
	const struct tlsf_pool *mine = pool->priv;

	/* data_race(): a hint; tlsf_op_release_pool() looks again, with the lock. */
	return data_race(mine->used);
}

static bool tlsf_op_release_pool(struct chaos_heap *heap,
				 struct chaos_pool *pool)
{
	struct tlsf *t = heap->priv;
	unsigned long flags;
	bool released;

	raw_spin_lock_irqsave(&t->lock.raw, flags);
	tlsf_drain(t);
	released = tlsf_release_pool(t, pool->priv);
	raw_spin_unlock_irqrestore(&t->lock.raw, flags);
	return released;
}

/* What NMIs have left to the next holder of the lock is found by the pools. */
static void tlsf_op_quiesce(struct chaos_heap *heap)
{
	struct tlsf *t = heap->priv;
	unsigned long flags;

	raw_spin_lock_irqsave(&t->lock.raw, flags);
	tlsf_drain(t);
	raw_spin_unlock_irqrestore(&t->lock.raw, flags);
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
	tlsf_op_quiesce(heap);
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

void *tlsf_op_alloc(struct chaos_heap *heap, size_t size, size_t align)
{
	struct tlsf *t = heap->priv;
	struct tlsf_block *block;
	unsigned long flags;
	size_t cost;

	if (unlikely(size > TLSF_REQUEST_MAX))
		return NULL;
	size = tlsf_round(size);
	if (unlikely(!chaos_lock(&t->lock, &flags)))
		return NULL;
	tlsf_drain(t);
	block = tlsf_take_any(t, size, align, &cost);
	if (likely(block))
		chaos_hold(heap, cost);
	chaos_unlock(&t->lock, flags);
	return likely(block) ? block->payload : NULL;
}

static size_t tlsf_op_alloc_bulk(struct chaos_heap *heap, size_t size, size_t n,
				 void **p)
{
	struct tlsf *t = heap->priv;
	size_t done, cost, held = 0;
	struct tlsf_block *block;
	unsigned long flags;

	if (unlikely(size > TLSF_REQUEST_MAX))
		return 0;
	size = tlsf_round(size);
	if (unlikely(!chaos_lock(&t->lock, &flags)))
		return 0;
	tlsf_drain(t);
	for (done = 0; done < n; done++) {
		block = tlsf_take_plain(t, size, &cost);
		if (unlikely(!block))
			break;
		held += cost;
		p[done] = block->payload;
	}
	chaos_hold(heap, held);
	chaos_unlock(&t->lock, flags);
	return done;
}

/* In NMI, and what this CPU or another was doing cannot be waited for. */
static noinline enum chaos_verdict
tlsf_free_later(struct chaos_heap *heap, struct chaos_pool *pool, void *p)
{
	struct tlsf *t = heap->priv;

	if (!tlsf_is_live(pool->priv, p))
		return tlsf_blame(pool->priv, p);
	return chaos_defer_free(&t->lock, p) ? CHAOS_OK : CHAOS_FREED;
}

enum chaos_verdict tlsf_op_free(struct chaos_heap *heap,
				struct chaos_pool *pool, void *p)
{
	struct tlsf *t = heap->priv;
	enum chaos_verdict verdict;
	unsigned long flags;

	if (unlikely(!chaos_lock(&t->lock, &flags)))
		return tlsf_free_later(heap, pool, p);
	tlsf_drain(t);
	verdict = tlsf_free_locked(heap, pool, p);
	chaos_unlock(&t->lock, flags);
	if (unlikely(verdict == CHAOS_FREED))
		return tlsf_blame(pool->priv, p);
	return verdict;
}

static size_t tlsf_op_free_bulk(struct chaos_heap *heap, size_t n, void **p,
				enum chaos_verdict *verdict)
{
	struct tlsf *t = heap->priv;
	struct chaos_pool *pool;
	unsigned long flags;
	size_t done;

	if (unlikely(!chaos_lock(&t->lock, &flags)))
		return chaos_free_each(heap, n, p, verdict, tlsf_free_later);
	tlsf_drain(t);
	done = chaos_free_each(heap, n, p, verdict, tlsf_free_locked);
	chaos_unlock(&t->lock, flags);
	if (unlikely(*verdict == CHAOS_FREED)) {
		/* It was in a pool, which may have been returned: nothing in it was live. */
		pool = chaos_pool_of(p[done]);
		if (pool)
			*verdict = tlsf_blame(pool->priv, p[done]);
	}
	return done;
}

static bool tlsf_op_resize(struct chaos_heap *heap, struct chaos_pool *pool,
			   void *p, size_t size)
{
	struct tlsf *t = heap->priv;
	unsigned long flags;
	size_t from, to;
	bool done;

	if (unlikely(size > TLSF_REQUEST_MAX))
		return false;
	size = tlsf_round(size);
	if (unlikely(!chaos_lock(&t->lock, &flags)))
		return false;
	tlsf_drain(t);
	done = tlsf_resize_locked(t, pool->priv, p, size, &from, &to);
	if (done) {
		chaos_unhold(heap, from);
		chaos_hold(heap, to);
	}
	chaos_unlock(&t->lock, flags);
	return done;
}

static enum chaos_verdict tlsf_op_query(struct chaos_heap *heap,
					struct chaos_pool *pool, const void *p,
					struct chaos_block *block)
{
	const struct tlsf_pool *mine = pool->priv;
	struct tlsf *t = heap->priv;
	u64 head, promise;

	if (unlikely(!tlsf_is_live(mine, p)))
		return tlsf_blame(mine, p);
	if (unlikely(chaos_is_waiting(&t->lock, p)))
		return CHAOS_FREED;
	head = READ_ONCE(tlsf_block_of(p)->head);
	promise = head >> TLSF_PROMISE_SHIFT;
	block->size = head & TLSF_SIZE;
	if (unlikely(head & TLSF_FREE || promise > TLSF_PROMISE_MAX ||
		     !tlsf_size_possible(mine, tlsf_block_of(p), block->size)))
		return CHAOS_CORRUPT;
	block->align = TLSF_ALIGN << promise;
	return CHAOS_OK;
}

static int tlsf_op_check(struct chaos_heap *heap)
{
	struct tlsf *t = heap->priv;
	struct tlsf_census sum = { 0 };
	unsigned long flags;
	int err;

	raw_spin_lock_irqsave(&t->lock.raw, flags);
	tlsf_drain(t);
	err = tlsf_take_census(t, &sum);
	if (!err && sum.held != atomic_long_read(&heap->held))
		err = chaos_unclean(heap, "%zu bytes held, %zu counted",
				    sum.held, atomic_long_read(&heap->held));
	raw_spin_unlock_irqrestore(&t->lock.raw, flags);
	return err;
}

/*
 * Show the block at @p to the visitor.  Not if its head was overwritten: nothing else says
 * where it ends, and visitors look there.
 */
static bool tlsf_visit(struct chaos_heap *heap, const struct tlsf_pool *pool, void *p,
		       chaos_visitor visitor, void *arg, int *err)
{
	const struct tlsf_block *block = tlsf_block_of(p);
	u64 head = READ_ONCE(block->head);
	size_t size = head & TLSF_SIZE;

	if (likely(!(head & TLSF_FREE) && size >= heap->trailer &&
		   tlsf_size_possible(pool, block, size)))
		return visitor(heap, p, size, arg);
	if (!*err)
		*err = chaos_unclean(heap, "block %p: head %#llx", p, head);
	return true;
}

/*
 * The live bits make it possible to leave the lock after each word of them: a
 * block seen is live at that moment, and none that stays is missed.
 */
static int tlsf_op_walk(struct chaos_heap *heap, struct chaos_pool *only,
			chaos_visitor visitor, void *arg)
{
	struct tlsf *t = heap->priv;
	unsigned long word, words, flags;
	struct chaos_pool *pool;
	bool more = true;
	int err = 0;

	list_for_each_entry(pool, &heap->pools, node) {
		struct tlsf_pool *mine = pool->priv;

		if (only && pool != only)
			continue;
		words = BITS_TO_LONGS(mine->last + 1);
		for (word = 0; word < words && more; word++) {
			unsigned long bits, at;

			if (!READ_ONCE(mine->live[word]))
				continue;
			raw_spin_lock_irqsave(&t->lock.raw, flags);
			tlsf_drain(t);
			bits = mine->live[word];
			for (; bits && more; bits &= bits - 1) {
				void *p;

				at = word * BITS_PER_LONG + __ffs(bits);
				if (at > mine->last)
					break;
				p = (void *)(mine->first + at * TLSF_ALIGN);
				more = tlsf_visit(heap, mine, p, visitor, arg, &err);
			}
			raw_spin_unlock_irqrestore(&t->lock.raw, flags);
			cond_resched();
		}
		if (!more)
			return -ECANCELED;
	}
	return err;
}

static void tlsf_op_stats(struct chaos_heap *heap,
			  struct chaos_heap_stats *stats)
{
	struct tlsf *t = heap->priv;
	struct tlsf_pool *pool;
	unsigned long flags;

	raw_spin_lock_irqsave(&t->lock.raw, flags);
	tlsf_drain(t);
	stats->allocs = t->allocs;
	stats->local_frees = t->frees;
	list_for_each_entry(pool, &t->pools, node) {
		stats->allocs += pool->allocs;
		stats->local_frees += pool->frees;
	}
	stats->live_blocks = stats->allocs - stats->local_frees;
	stats->live_bytes = atomic_long_read(&heap->held) -
			    stats->live_blocks * TLSF_HEADER;
	raw_spin_unlock_irqrestore(&t->lock.raw, flags);
}

static bool tlsf_op_collect(struct chaos_heap *heap, bool force)
{
	tlsf_op_quiesce(heap);
	return false;
}

const struct chaos_engine chaos_tlsf_engine = {
	.name = "tlsf",
	.header = TLSF_HEADER,
	.fast_max = TLSF_REQUEST_MAX,
	.init = tlsf_op_init,
	.quiesce = tlsf_op_quiesce,
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
	.collect = tlsf_op_collect,
};
