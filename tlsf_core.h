/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The core of the TLSF engine: lists, checks, and the two operations that decide
 * about its speed.  All of it is inline, for tlsf.c, which explains it, and for
 * chaos_alloc.c, whose calls for the usual case end here.
 *
 * The usual case has no call in it, hence no stack frame and no register to save:
 * whatever would take one (a lock that is held, blocks that an NMI has left,
 * damage, a link into another pool) makes tlsf_alloc_fast() and tlsf_free_fast()
 * give up with nothing changed, and the caller goes the long way.
 */
#ifndef _CHAOS_TLSF_CORE_H
#define _CHAOS_TLSF_CORE_H

#include <linux/llist.h>

#include "engine.h"
#include "lock.h"
#include "pool.h"
#include "sanitize.h"
#include "tlsf.h"

/* ---------------------------------- lists --------------------------------- */

static __always_inline struct list_head *tlsf_list(struct tlsf *t,
						   unsigned long key)
{
	return (struct list_head *)t + key;
}

static __always_inline void tlsf_mark_list(struct tlsf *t, unsigned long key)
{
	unsigned long fl = key / TLSF_SL_COUNT;

	if (!t->sl_bitmap[fl])
		t->fl_bitmap |= 1UL << fl;
	t->sl_bitmap[fl] |= 1U << (key % TLSF_SL_COUNT);
}

static __always_inline void tlsf_unmark_list(struct tlsf *t, unsigned long key)
{
	unsigned long fl = key / TLSF_SL_COUNT;

	t->sl_bitmap[fl] &= ~(1U << (key % TLSF_SL_COUNT));
	if (!t->sl_bitmap[fl])
		t->fl_bitmap &= ~(1UL << fl);
}

/* Go on from *@key to the first list that has blocks; false: there is none. */
static __always_inline bool tlsf_find(const struct tlsf *t, unsigned long *key)
{
	unsigned long fl = *key / TLSF_SL_COUNT;
	u32 sls = t->sl_bitmap[fl] >> (*key % TLSF_SL_COUNT);
	unsigned long fls;

	if (sls) {
		*key += __ffs(sls);
		return true;
	}
	fls = t->fl_bitmap & (~1UL << fl);
	if (unlikely(!fls))
		return false;
	fl = __ffs(fls);
	*key = fl * TLSF_SL_COUNT + __ffs(t->sl_bitmap[fl]);
	return true;
}

static __always_inline void tlsf_insert(struct tlsf *t, struct tlsf_block *block,
					unsigned long key)
{
	struct list_head *list = tlsf_list(t, key);
	struct list_head *next = list->next;

	block->link.next = next;
	block->link.prev = list;
	next->prev = &block->link;
	list->next = &block->link;
	if (next == list)
		tlsf_mark_list(t, key);
}

/* Take what is between @prev and @next, of the list @key, off it. */
static __always_inline void tlsf_unlink(struct tlsf *t, struct list_head *prev,
					struct list_head *next, unsigned long key)
{
	next->prev = prev;
	prev->next = next;
	if (next == prev)
		tlsf_unmark_list(t, key);
}

/* Put @block in the place of what is between @prev and @next. */
static __always_inline void tlsf_replace(struct list_head *prev,
					 struct list_head *next,
					 struct tlsf_block *block)
{
	block->link.next = next;
	block->link.prev = prev;
	next->prev = &block->link;
	prev->next = &block->link;
}

/* ---------------------------------- pools --------------------------------- */

/* Whether a block could be at @p in @pool. */
static __always_inline bool tlsf_is_inside(const struct tlsf_pool *pool,
					   const void *p)
{
	return (unsigned long)p - pool->first <= pool->span;
}

/* The pool of a heap that @p is in, by the map; NULL: none that is in use. */
static __always_inline struct tlsf_pool *tlsf_mapped_pool(struct tlsf *t,
							  const void *p)
{
	struct chaos_pool *mapped = chaos_pool_of(p);
	struct tlsf_pool *pool;

	if (!mapped || mapped->heap != t->heap)
		return NULL;
	pool = mapped->priv;
	if (!tlsf_is_inside(pool, p) || list_empty(&pool->node))
		return NULL;
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

static __always_inline bool tlsf_is_possible(const struct tlsf_pool *pool,
					     unsigned long position)
{
	return position <= pool->span / TLSF_ALIGN;
}

static __always_inline bool tlsf_is_live_at(const struct tlsf_pool *pool,
					    unsigned long position)
{
	return READ_ONCE(pool->live[BIT_WORD(position)]) >>
	       position % BITS_PER_LONG & 1;
}

static __always_inline bool tlsf_is_live(const struct tlsf_pool *pool,
					 const void *p)
{
	unsigned long at = tlsf_position(pool, p);

	return tlsf_is_possible(pool, at) && tlsf_is_live_at(pool, at);
}

/* For a @p that is the start of a block. */
static __always_inline void tlsf_set_live(struct tlsf_pool *pool, const void *p,
					  bool live)
{
	unsigned long at = tlsf_position(pool, p);
	unsigned long *word = &pool->live[BIT_WORD(at)];

	WRITE_ONCE(*word, live ? *word | BIT_MASK(at) : *word & ~BIT_MASK(at));
}

/* Whether a block of @size fits between @block and the sentinel. */
static __always_inline bool tlsf_size_possible(const struct tlsf_pool *pool,
					       const struct tlsf_block *block,
					       size_t size)
{
	size_t offset = (unsigned long)&block->link - pool->first;

	return size - TLSF_MIN_SIZE <= pool->span - offset;
}

/* --------------------------------- checks --------------------------------- */

/**
 * struct tlsf_listed - what is known of a free block that has been found intact
 * @size: its size
 * @key: the list that it is on
 * @next: its link's ends
 * @prev:
 */
struct tlsf_listed {
	size_t size;
	unsigned long key;
	struct list_head *next;
	struct list_head *prev;
};

/* Whether a link leads to another pool that is in use. */
bool tlsf_link_far(struct tlsf *t, const struct list_head *link);

/*
 * Whether a link of a block in @pool whose list is @list may be followed.  With
 * @near, not to another pool.
 */
static __always_inline bool tlsf_link_valid(struct tlsf *t,
					    const struct tlsf_pool *pool,
					    const struct list_head *list,
					    const struct list_head *link,
					    bool near)
{
	if (link == list || likely(tlsf_is_inside(pool, link)))
		return true;
	return !near && tlsf_link_far(t, link);
}

/* Look at the links of a free block of @size in @pool. */
static __always_inline bool tlsf_links_intact(struct tlsf *t,
					      const struct tlsf_pool *pool,
					      struct tlsf_block *block,
					      size_t size, bool near,
					      struct tlsf_listed *l)
{
	struct list_head *list;

	l->size = size;
	l->key = tlsf_key(size);
	l->next = block->link.next;
	l->prev = block->link.prev;
	list = tlsf_list(t, l->key);
	return likely(tlsf_link_valid(t, pool, list, l->next, near)) &&
	       likely(tlsf_link_valid(t, pool, list, l->prev, near)) &&
	       likely((l->next->prev == &block->link) &
		      (l->prev->next == &block->link));
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

/*
 * Whether @next, which @size bytes of the live block at @position lead to, may be
 * looked at.
 */
static __always_inline bool tlsf_next_possible(const struct tlsf_pool *pool,
					       unsigned long position, size_t size)
{
	return likely(tlsf_is_possible(pool, position + size / TLSF_ALIGN -
				       TLSF_MIN_SIZE / TLSF_ALIGN));
}

/* Whether what lies there, at @position, is a free block. */
static __always_inline bool tlsf_next_free(struct tlsf *t,
					   const struct tlsf_pool *pool,
					   struct tlsf_block *next,
					   unsigned long position, bool near,
					   struct tlsf_listed *l)
{
	size_t size = next->head - TLSF_FREE;

	return tlsf_next_possible(pool, position, size) &&
	       likely(tlsf_next_at(next, size)->prev_phys == next) &&
	       tlsf_links_intact(t, pool, next, size, near, l);
}

/* Whether it is a live block that does not know the one before as free. */
static __always_inline bool tlsf_next_live(const struct tlsf_pool *pool,
					   const struct tlsf_block *next,
					   unsigned long position)
{
	return likely(!(next->head & TLSF_PREV_FREE)) &&
	       likely(tlsf_is_live_at(pool, position));
}

/* Whether what lies before a block with TLSF_PREV_FREE is a free block. */
static __always_inline bool tlsf_prev_intact(struct tlsf *t,
					     const struct tlsf_pool *pool,
					     const struct tlsf_block *block,
					     bool near, struct tlsf_listed *l)
{
	struct tlsf_block *prev = block->prev_phys;
	size_t size = (unsigned long)block - (unsigned long)prev - TLSF_HEADER;

	return likely(tlsf_is_inside(pool, (void *)prev +
				     offsetof(struct tlsf_block, link))) &&
	       likely(prev->head == (size | TLSF_FREE)) &&
	       tlsf_links_intact(t, pool, prev, size, near, l);
}

/* ------------------------------- allocation ------------------------------- */

/* Mark the block at @offset as live; false if it is. */
static __always_inline bool tlsf_claim(struct tlsf_pool *pool,
				       unsigned long offset)
{
	unsigned long at = offset / TLSF_ALIGN;
	unsigned long *word = &pool->live[BIT_WORD(at)];
	unsigned long live = *word;

	if (unlikely(live & BIT_MASK(at)))
		return false;
	WRITE_ONCE(*word, live | BIT_MASK(at));
	return true;
}

/*
 * Whether a rest of @excess behind @size bytes is worth a block of its own.  One of
 * less than a list's step is not: cutting it off now and merging it again later
 * costs more than its use.
 */
static __always_inline bool tlsf_worth_cutting(size_t excess, size_t size)
{
	return (ssize_t)(excess - (size >> TLSF_SLI)) >= (ssize_t)TLSF_MIN_SPLIT;
}

/*
 * Make the first block of the list @key, of @whole bytes up to @end and claimed,
 * one of @size, and keep the rest.  Returns what it costs.
 */
static __always_inline size_t
tlsf_cut_first(struct tlsf *t, unsigned long key, struct list_head *list,
	       struct tlsf_block *block, size_t whole, struct tlsf_block *end,
	       size_t size)
{
	struct list_head *next = block->link.next;
	struct tlsf_block *rest = tlsf_next_at(block, size);
	size_t excess = whole - size;
	unsigned long rest_key;

	if (!tlsf_worth_cutting(excess, size)) {
		tlsf_unlink(t, list, next, key);
		block->head = whole;
		end->head &= ~TLSF_PREV_FREE;
		return TLSF_HEADER + whole;
	}
	excess -= TLSF_HEADER;
	block->head = size;
	rest->head = excess | TLSF_FREE;
	end->prev_phys = rest;
	rest_key = tlsf_key(excess);
	if (rest_key == key) {
		tlsf_replace(list, next, rest);
	} else {
		tlsf_unlink(t, list, next, key);
		tlsf_insert(t, rest, rest_key);
	}
	return TLSF_HEADER + size;
}

/*
 * Where no list is sure to have a block for @size: the first block of the list that
 * @size itself is on may do.  Blocks are of sizes that the search finds again, with
 * the exception of what was all that there was, and less than the next list's.
 */
static __always_inline bool tlsf_find_exact(struct tlsf *t, size_t size,
					    unsigned long *key, size_t *least)
{
	const struct list_head *list;

	*key = tlsf_key(size);
	list = tlsf_list(t, *key);
	if (list->next == list)
		return false;
	*least = tlsf_size(tlsf_block_of(list->next));
	return *least >= size;
}

/*
 * Whether the @first block of @list is what the list says, and has at least @least
 * bytes.  It is in *@pool; *@whole is then what it has, *@end is behind it, and *@offset
 * is where in the pool it is.
 * (OPTIMIZER_HIDE_VAR(), here and below: an address calculated once takes one
 * register, an offset and its base take two.)
 */
static __always_inline bool
tlsf_first_intact(struct tlsf *t, struct list_head *list,
		  struct list_head *first, size_t least,
		  struct tlsf_pool **pool, unsigned long *offset, size_t *whole,
		  struct tlsf_block **end)
{
	struct tlsf_block *block = tlsf_block_of(first);
	struct tlsf_pool *in = t->recent;
	struct list_head *next;

	if (unlikely(!tlsf_is_inside(in, first))) {
		in = tlsf_mapped_pool(t, first);
		if (!in)
			return false;
		t->recent = in;
	}
	*pool = in;
	*offset = (unsigned long)first - in->first;
	next = first->next;
	*whole = block->head - TLSF_FREE;
	if (unlikely(!tlsf_link_valid(t, in, list, next, true)))
		return false;
	if (unlikely((*whole < least) |
		     (*whole > in->span - *offset + TLSF_MIN_SIZE)))
		return false;
	*end = tlsf_next_at(block, *whole);
	OPTIMIZER_HIDE_VAR(*end);
	return likely((first->prev == list) & (next->prev == first) &
		      ((*end)->prev_phys == block));
}

/*
 * Put a block of @size, the least on the list @key, into *@p and what it costs
 * into *@cost; if there is none, one of @want.  False: there is none either, or
 * anything about it is unusual.
 */
static __always_inline bool tlsf_take(struct tlsf *t, unsigned long key,
				      size_t size, size_t want, void **p,
				      size_t *cost)
{
	struct list_head *list, *first;
	struct tlsf_pool *pool;
	struct tlsf_block *end;
	unsigned long offset;
	size_t whole;

	if (unlikely(!tlsf_find(t, &key)) &&
	    !tlsf_find_exact(t, want, &key, &size))
		return false;
	list = tlsf_list(t, key);
	OPTIMIZER_HIDE_VAR(list);
	first = list->next;
	if (unlikely(!tlsf_first_intact(t, list, first, size, &pool, &offset,
					&whole, &end)) ||
	    unlikely(!tlsf_claim(pool, offset)))
		return false;
	*p = first;
	*cost = tlsf_cut_first(t, key, list, tlsf_block_of(first), whole, end,
			       size);
	pool->allocs++;
	pool->used += *cost;
	return true;
}

/*
 * Allocate from @heap for the usual case: a lock that is free, and a block that is
 * where it should be.  NULL: not the usual case; nothing has been changed.
 * If *@due, the caller calls chaos_wake_grower().
 */
static __always_inline bool tlsf_alloc_fast(struct chaos_heap *heap, size_t want,
					    void **p, bool *due)
{
	struct tlsf *t = heap->priv;
	unsigned long key, flags;
	size_t size, cost;

	key = tlsf_key_up(max(want, TLSF_MIN_SIZE), &size);
	OPTIMIZER_HIDE_VAR(size);
	if (unlikely(!chaos_trylock(&t->lock, &flags)))
		return false;
	if (unlikely(!llist_empty(&t->lock.deferred)) ||
	    unlikely(!tlsf_take(t, key, size, want, p, &cost))) {
		chaos_unlock(&t->lock, flags);
		return false;
	}
	*due = chaos_hold_only(heap, cost) > READ_ONCE(heap->low_mark);
	chaos_unlock(&t->lock, flags);
	return true;
}

/* --------------------------------- release -------------------------------- */

/* Free @block of @size, behind which is @next, or nothing that is free. */
static __always_inline void tlsf_put(struct tlsf *t, struct tlsf_block *block,
				     size_t size, const struct tlsf_listed *next)
{
	struct tlsf_block *end = tlsf_next_at(block, size);
	unsigned long key;

	if (next) {
		size += TLSF_HEADER + next->size;
		end = tlsf_next_at(block, size);
		key = tlsf_key(size);
		if (key == next->key) {
			tlsf_replace(next->prev, next->next, block);
		} else {
			tlsf_unlink(t, next->prev, next->next, next->key);
			tlsf_insert(t, block, key);
		}
	} else {
		end->head |= TLSF_PREV_FREE;
		tlsf_insert(t, block, tlsf_key(size));
	}
	block->head = size | TLSF_FREE;
	end->prev_phys = block;
}

/* The same if @prev is before it. */
static __always_inline void
tlsf_put_behind(struct tlsf *t, struct tlsf_block *block, size_t size,
		const struct tlsf_listed *next, const struct tlsf_listed *prev)
{
	struct tlsf_block *end = tlsf_next_at(block, size);
	struct list_head *link;
	unsigned long key;

	block = block->prev_phys;
	size += TLSF_HEADER + prev->size;
	if (next) {
		size += TLSF_HEADER + next->size;
		end = tlsf_next_at(block, size);
		tlsf_unlink(t, next->prev, next->next, next->key);
	} else {
		end->head |= TLSF_PREV_FREE;
	}
	key = tlsf_key(size);
	if (key != prev->key) {
		/* Read again: the other one may have been its neighbour there. */
		link = &block->link;
		tlsf_unlink(t, link->prev, link->next, prev->key);
		tlsf_insert(t, block, key);
	}
	block->head = size | TLSF_FREE;
	end->prev_phys = block;
}

/* The block at @position of @pool, which was @cost, is not live any more. */
static __always_inline void tlsf_disclaim(struct tlsf_pool *pool,
					  unsigned long position, size_t cost)
{
	unsigned long *word = &pool->live[BIT_WORD(position)];

	WRITE_ONCE(*word, *word & ~BIT_MASK(position));
	pool->used -= cost;
	pool->frees++;
}

/*
 * Take back what is at @p; *@cost is then what it was.  Whether the neighbours are
 * free makes four ways, each of which knows no more than it has to.
 */
static __always_inline enum chaos_verdict
tlsf_release(struct tlsf *t, struct tlsf_pool *pool, void *p, bool near,
	     size_t *cost)
{
	unsigned long at = tlsf_position(pool, p);
	struct tlsf_block *block = tlsf_block_of(p);
	struct tlsf_listed next, prev;
	struct tlsf_block *behind;
	unsigned long behind_at;
	size_t size;
	u64 head;

	if (unlikely(!tlsf_is_possible(pool, at) || !tlsf_is_live_at(pool, at)))
		return CHAOS_FREED;
	head = block->head;
	size = head & TLSF_SIZE;
	*cost = TLSF_HEADER + size;
	behind = tlsf_next_at(block, size);
	behind_at = at + size / TLSF_ALIGN + TLSF_HEADER / TLSF_ALIGN;
	if (unlikely(head & TLSF_FREE) ||
	    unlikely(!tlsf_next_possible(pool, at, size)))
		return CHAOS_CORRUPT;

	if (behind->head & TLSF_FREE) {
		if (unlikely(!tlsf_next_free(t, pool, behind, behind_at, near,
					     &next)))
			return CHAOS_CORRUPT;
		if (!(head & TLSF_PREV_FREE)) {
			tlsf_disclaim(pool, at, *cost);
			tlsf_put(t, block, size, &next);
			return CHAOS_OK;
		}
		if (unlikely(!tlsf_prev_intact(t, pool, block, near, &prev)))
			return CHAOS_CORRUPT;
		tlsf_disclaim(pool, at, *cost);
		tlsf_put_behind(t, block, size, &next, &prev);
		return CHAOS_OK;
	}

	if (unlikely(!tlsf_next_live(pool, behind, behind_at)))
		return CHAOS_CORRUPT;
	if (!(head & TLSF_PREV_FREE)) {
		tlsf_disclaim(pool, at, *cost);
		tlsf_put(t, block, size, NULL);
		return CHAOS_OK;
	}
	if (unlikely(!tlsf_prev_intact(t, pool, block, near, &prev)))
		return CHAOS_CORRUPT;
	tlsf_disclaim(pool, at, *cost);
	tlsf_put_behind(t, block, size, NULL, &prev);
	return CHAOS_OK;
}

/*
 * Free the block at @p of @heap for the usual case.  False: it is not; nothing has
 * been changed, whatever @p is.
 */
static __always_inline bool tlsf_free_fast(struct chaos_heap *heap, void *p)
{
	struct tlsf *t = heap->priv;
	struct tlsf_pool *pool;
	unsigned long flags;
	bool done = false;
	size_t cost;

	if (unlikely(!chaos_trylock(&t->lock, &flags)))
		return false;
	if (unlikely(!llist_empty(&t->lock.deferred)))
		goto unlock;
	/* Interrupts are off, so that a pool found stays. */
	pool = t->recent;
	if (unlikely(!tlsf_is_possible(pool, tlsf_position(pool, p)))) {
		pool = tlsf_mapped_pool(t, p);
		if (!pool)
			goto unlock;
		t->recent = pool;
	}
	if (unlikely(tlsf_release(t, pool, p, true, &cost) != CHAOS_OK))
		goto unlock;
	chaos_san_free(heap, p, cost - TLSF_HEADER);
	/* Not @heap: that would be one register more than there are. */
	chaos_unhold(t->heap, cost);
	done = true;
unlock:
	chaos_unlock(&t->lock, flags);
	return done;
}

#endif /* _CHAOS_TLSF_CORE_H */
